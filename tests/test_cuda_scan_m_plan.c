/* The persistent recurrence's plan: its parts cover the scan and fit the chip, for every shape; and
 * what the regime's row says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_exec.h"
#include "scan_persistent.h"

#include <stdio.h>
#include <string.h>

static const vg_persistent_chip chips[] = {
    {132, 232448}, /* H200 */
    {108, 166912}, /* A100 */
    {170, 101376}, /* sm_120 */
    {4, 232448},   {3, 49152}, {1, 101376},
};
static const uint32_t widths[] = {1,   2,    7,    8,    9,    31,   33,   65,
                                  128, 129,  160,  256,  333,  384,  512,  768,
                                  777, 1000, 1024, 1280, 1536, 2048, 4096, 65536};
static const uint32_t batches[] = {1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 64, 127, 128, 1000, 65536};
static const vg_model_kind cells[] = {VG_rnn, VG_lstm, VG_gru};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* What a kernel takes for granted. */
static void check_plan(vg_persistent_chip chip, vg_persistent_shape shape, vg_persistent_plan plan)
{
    const vg_persistent_tiles *t = &plan.tiles;
    const bool mma = t->fragments > 0;
    const uint64_t gates = vg_cell_find(shape.cell)->gates, of = shape.backward ? 1 : gates;
    const uint64_t each = mma                            ? 1
                          : shape.backward || gates == 1 ? 8
                                                         : 2; /* units of a warp's columns */
    const uint64_t width = mma ? 16 : each * of;
    const uint64_t depth = shape.backward ? gates * shape.units : shape.units;
    const uint64_t bytes = vg_dtype_size(shape.dtype), groups = up(shape.batch, t->rows);
    const uint64_t warps = (uint64_t)t->column_warps * t->depth_warps;
    const uint64_t step = mma ? 64 / bytes : 128, held = mma ? 16 : VG_PERSISTENT_HELD / width;
    const uint64_t set = mma        ? 8 * t->fragments
                         : t->chunk ? (uint64_t)VG_PERSISTENT_ROWS * t->row_warps
                                    : t->row_warps;
    if (mma) {
        assert_true(shape.dtype != VG_FP32 && shape.batch > 4);
        assert_true(t->fragments == 1 || t->fragments == 2 || t->fragments == 4);
        assert_true(set >= t->tile_rows || t->fragments == 4);
        assert_true(t->chunk > 0 && t->chunk <= VG_PERSISTENT_MOST_CHUNK && t->row_warps == 1);
        assert_true(t->stride % 16 == 4);
    }
    assert_true(plan.blocks <= chip.multiprocessors);
    assert_int_equal(plan.blocks, t->slices * groups);
    assert_true((groups - 1) * t->rows < shape.batch);
    assert_true((uint64_t)t->slices * t->units >= shape.units);
    assert_true((uint64_t)(t->slices - 1) * t->units < shape.units);
    assert_int_equal(t->units % each, 0);
    assert_int_equal(plan.threads, 32 * warps * t->row_warps);
    assert_true(plan.threads <= VG_PERSISTENT_THREADS);
    assert_true((uint64_t)t->units * t->tile_rows <= plan.threads);
    assert_true(t->tile_rows > 0 && t->tile_rows <= t->rows);
    assert_true((uint64_t)t->rounds * t->column_warps * width >= t->units * of);
    assert_true((uint64_t)t->steps * step * t->depth_warps >= depth);
    assert_true((t->depth_warps & (t->depth_warps - 1)) == 0);
    assert_true((t->chunk & (t->chunk - 1)) == 0);
    assert_true(t->held <= t->steps && t->held <= held);
    assert_true(t->rounds == 1 || t->held == 0);
    const uint64_t more = (uint64_t)t->rounds * (t->steps - t->held) * warps * width * step * bytes;
    const uint64_t stage = set * t->chunk * step * t->depth_warps * bytes;
    assert_int_equal(t->ring_at, more);
    assert_int_equal(t->partial_at, t->ring_at + VG_PERSISTENT_RING * stage);
    assert_int_equal(t->ring_at % 16, 0);
    assert_int_equal(t->partial_at % 16, 0);
    assert_true(t->stride >= t->rounds * t->column_warps * width);
    assert_int_equal(plan.shared_bytes,
                     t->partial_at + 4ull * t->depth_warps * t->tile_rows * t->stride);
    assert_true(plan.shared_bytes <= chip.shared_bytes);
    assert_true(plan.step_s > 0 && plan.step_s < 1);
}

static void test_every_shape(void **state)
{
    (void)state;
    static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};
    size_t there = 0, mma = 0;
    for (size_t c = 0; c < COUNT(chips); c++)
        for (size_t k = 0; k < COUNT(cells) * 6; k++)
            for (size_t h = 0; h < COUNT(widths); h++)
                for (size_t b = 0; b < COUNT(batches); b++) {
                    const vg_persistent_shape shape = {.cell = cells[k / 6],
                                                       .backward = k % 2,
                                                       .units = widths[h],
                                                       .batch = batches[b],
                                                       .dtype = dtypes[k / 2 % 3]};
                    uint64_t needs = 0;
                    const vg_persistent_plan plan =
                        vg_persistent_plan_make(chips[c], shape, &needs);
                    assert_true(needs > 0);
                    if (plan.blocks == 0)
                        continue;
                    const vg_persistent_plan again = vg_persistent_plan_make(chips[c], shape, NULL);
                    assert_memory_equal(&plan.tiles, &again.tiles, sizeof plan.tiles);
                    check_plan(chips[c], shape, plan);
                    there++;
                    mma += plan.tiles.fragments > 0;
                }
    assert_true(there > 7000 && mma > 2000);
}

/* What an H200 must hold, and what it cannot. */
static const struct reach {
    vg_model_kind cell;
    bool backward;
    uint32_t units, batch;
    vg_dtype dtype;
    bool there, in_registers;
} reaches[] = {
    {VG_lstm, false, 1024, 1, VG_FP32, true, true},
    {VG_lstm, false, 512, 32, VG_FP32, true, true},
    {VG_lstm, false, 1024, 32, VG_FP32, true, false},
    {VG_lstm, false, 1536, 32, VG_FP32, true, false},
    {VG_lstm, true, 1024, 1, VG_FP32, true, true},
    {VG_lstm, true, 1024, 32, VG_FP32, true, false},
    {VG_gru, true, 1536, 32, VG_FP32, true, false},
    {VG_rnn, false, 2048, 1, VG_FP32, true, false},
    {VG_lstm, false, 4096, 1, VG_FP32, false, false},
    {VG_lstm, true, 4096, 1, VG_BF16, false, false},
};

static void test_reach(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reaches); i++) {
        const struct reach *r = reaches + i;
        const vg_persistent_shape shape = {r->cell, r->backward, r->units, r->batch, r->dtype};
        const vg_persistent_plan plan = vg_persistent_plan_make(chips[0], shape, NULL);
        if ((plan.blocks > 0) != r->there)
            fail_msg("%s H=%u B=%u: %u blocks", vg_cell_find(r->cell)->name, r->units, r->batch,
                     plan.blocks);
        if (r->in_registers)
            assert_int_equal(plan.tiles.held, plan.tiles.steps);
    }
}

/* More rows or units never cost less. */
static void test_cost_grows(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(cells) * 2; k++)
        for (uint32_t units = 32; units <= 1024; units *= 2) {
            double before = 0;
            for (uint32_t batch = 1; batch <= 256; batch *= 4) {
                const vg_persistent_shape shape = {cells[k / 2], k % 2, units, batch, VG_FP32};
                const vg_persistent_plan plan = vg_persistent_plan_make(chips[0], shape, NULL);
                assert_true(plan.blocks > 0 && plan.step_s >= before);
                before = plan.step_s;
            }
        }
}

static vg_op scan_of(uint32_t units, uint32_t batch, uint64_t steps)
{
    const vg_mat y = {.rows = steps * batch, .cols = units, .ld = units};
    vg_op op = {.kind = VG_SCAN_FWD, .cell = VG_lstm, .batch = batch, .t1 = steps};
    op.scan_fwd.y = y;
    op.scan_fwd.weight_hh = (vg_mat){.rows = 4 * units, .cols = units, .ld = units};
    return op;
}

static void test_row(void **state)
{
    (void)state;
    vg_device device = {.name = "cuda:0",
                        .chip = {.multiprocessors = 132,
                                 .major = 9,
                                 .shared_bytes = 232448,
                                 .registers = 65536,
                                 .threads = 2048,
                                 .cooperative = true}};
    vg_op op = scan_of(1024, 1, 512);
    char words[200];
    assert_int_equal(vg_scan_m.fits(&device, &op, VG_FP32), VG_OK);
    vg_scan_m.words(&device, &op, VG_FP32, words, sizeof words);
    assert_string_equal(words, "blocks=128 units=8 rows=1 weights=registers");
    assert_int_equal(vg_scan_m.scratch(&device, &op, VG_FP32), 128 / 8 * 32 * 4);
    assert_int_equal(vg_scan_m.nodes(&op), 2);
    assert_true(vg_scan_m.cost_s(&device, &op, VG_FP32) > 512 * 0.65e-6);

    /* Tensor cores, where the format and the rows are for them. */
    op = scan_of(1024, 32, 512);
    static const char *const starts[] = {"blocks=", "product=mma blocks=", "product=mma blocks="};
    static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};
    for (size_t i = 0; i < COUNT(dtypes); i++) {
        vg_scan_m.words(&device, &op, dtypes[i], words, sizeof words);
        assert_memory_equal(words, starts[i], strlen(starts[i]));
        assert_true(i == 0 || vg_scan_m.cost_s(&device, &op, dtypes[i]) <
                                  vg_scan_m.cost_s(&device, &op, dtypes[i - 1]));
    }

    op = scan_of(4096, 1, 512);
    assert_int_equal(vg_scan_m.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "too wide: 2048 KiB of weights a multiprocessor"));
    op = scan_of(64, 1, (1u << 24) + 1);
    assert_int_equal(vg_scan_m.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "16777217 steps"));
    op = scan_of(64, 1, 512);
    device.chip.registers = 32768;
    assert_int_equal(vg_scan_m.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "registers"));
    device.chip.cooperative = false;
    assert_int_equal(vg_scan_m.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "cooperative"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shape),
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_cost_grows),
        cmocka_unit_test(test_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
