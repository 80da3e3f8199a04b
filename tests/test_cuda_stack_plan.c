/* How a run of equal layers is shared out: the parts cover it and fit the chip, for every shape;
 * and where the model holds the one kernel for faster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "stack_kernels.h"

static const vg_persistent_chip chips[] = {
    {132, 232448}, {108, 166912}, {170, 101376}, {4, 232448}, {3, 49152}, {1, 101376},
};
static const uint32_t widths[] = {1,   2,   7,   8,   9,    17,   64,   96,   128,  129,
                                  256, 333, 512, 777, 1000, 1024, 1025, 4096, 65536};
static const uint32_t batches[] = {1, 2, 3, 5, 8, 9, 31, 32, 33, 64, 128, 1000, 65536};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* What a kernel takes for granted. */
static void check_plan(vg_persistent_chip chip, vg_stack_shape shape, vg_stack_plan plan)
{
    const vg_persistent_tiles *t = &plan.tiles;
    const uint64_t warps = (uint64_t)t->column_warps * t->depth_warps * t->row_warps;
    assert_true(plan.blocks <= chip.multiprocessors);
    assert_int_equal(plan.blocks, t->slices * up(shape.batch, t->rows));
    assert_true((up(shape.batch, t->rows) - 1) * t->rows < shape.batch);
    assert_true((uint64_t)t->slices * t->units >= shape.units);
    assert_true((uint64_t)(t->slices - 1) * t->units < shape.units);
    assert_int_equal(t->units, t->column_warps * VG_STACK_WIDTH);
    assert_int_equal(plan.threads, 32 * warps);
    assert_true(plan.threads <= VG_STACK_THREADS);
    assert_true((uint64_t)t->steps * t->depth_warps * VG_STACK_PIECE >= shape.units);
    assert_true(t->tile_rows > 0 && (uint64_t)t->tile_rows * t->units <= plan.threads);
    assert_true(t->stride >= t->units);
    assert_true(plan.stages == 2 || plan.stages == VG_STACK_STAGES);
    assert_true(plan.at_once == 1 || plan.at_once == 4 || plan.at_once == 8);
    assert_int_equal(t->partial_at, (uint64_t)plan.stages * t->column_warps * t->steps *
                                        t->depth_warps * VG_STACK_WIDTH * VG_STACK_PIECE * 4);
    assert_int_equal(plan.shared_bytes,
                     t->partial_at + 4ull * t->depth_warps * t->rows * t->stride);
    assert_true(plan.shared_bytes <= chip.shared_bytes);
    assert_true(plan.layer_s > 0 && plan.layer_s < 1);
}

static void test_every_shape(void **state)
{
    (void)state;
    size_t there = 0;
    for (size_t c = 0; c < COUNT(chips); c++)
        for (size_t w = 0; w < COUNT(widths); w++)
            for (size_t b = 0; b < COUNT(batches); b++) {
                const vg_stack_shape shape = {widths[w], batches[b]};
                const vg_stack_plan plan = vg_stack_plan_make(chips[c], shape);
                if (plan.blocks)
                    check_plan(chips[c], shape, plan);
                there += plan.blocks > 0;
            }
    assert_true(there > COUNT(chips) * COUNT(widths) * COUNT(batches) / 4);
}

/* What the kernel was made for, there is a plan for on the chips that it was made for. */
static void test_narrow(void **state)
{
    (void)state;
    for (size_t c = 0; c < 2; c++)
        for (uint32_t units = 1; units <= 1024; units += 31)
            for (size_t b = 0; b < COUNT(batches) && batches[b] <= 128; b++)
                assert_true(
                    vg_stack_plan_make(chips[c], (vg_stack_shape){units, batches[b]}).blocks);
}

static double gain(uint32_t units, uint32_t batch)
{
    const vg_stack_shape shape = {units, batch};
    const vg_stack_plan plan = vg_stack_plan_make(chips[0], shape);
    return vg_stack_graph_s(chips[0], shape, 64, 1) / vg_stack_kernel_s(&plan, 64);
}

/* Predictions: the narrower and the fewer rows, the more the kernel gains. */
static void test_crossover(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{256, 1},   {256, 32}, {256, 128}, {512, 1},   {512, 32},
                                        {512, 128}, {1024, 1}, {1024, 32}, {1024, 128}};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const vg_stack_shape shape = {sizes[i][0], sizes[i][1]};
        const vg_stack_plan plan = vg_stack_plan_make(chips[0], shape);
        print_message("W=%u B=%u: a layer in %.2f us, in a graph %.2f (blocks=%u units=%u rows=%u "
                      "depth_warps=%u row_warps=%u at_once=%u stages=%u)\n",
                      shape.units, shape.batch, plan.layer_s * 1e6,
                      vg_stack_graph_s(chips[0], shape, 1, 1) * 1e6, plan.blocks, plan.tiles.units,
                      plan.tiles.rows, plan.tiles.depth_warps, plan.tiles.row_warps, plan.at_once,
                      plan.stages);
    }
    assert_true(gain(256, 1) > 2);
    assert_true(gain(256, 1) > gain(256, 128));
    assert_true(gain(512, 32) > 1);
    assert_true(gain(1024, 1) > gain(1024, 128));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shape),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_crossover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
