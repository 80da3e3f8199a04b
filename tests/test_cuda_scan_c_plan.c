/* The plans of regime C over many sizes and chips: whatever is planned covers the product, stays in
 * the chip's limits and in its instance's; and what the regime's row says of itself. Needs no GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_exec.h"
#include "scan_cluster_plan.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    vg_chip chip;
} chips[] = {
    {"sm_90",
     {.multiprocessors = 132,
      .shared_bytes = 232448,
      .registers = 65536,
      .threads = 2048,
      .major = 9,
      .clusters = {66, 32, 15, 7}}},
    {"sm_120",
     {.multiprocessors = 170,
      .shared_bytes = 101376,
      .registers = 65536,
      .threads = 1536,
      .major = 12,
      .clusters = {85, 42, 20, 0}}},
    {"a part of an sm_90",
     {.multiprocessors = 16,
      .shared_bytes = 232448,
      .registers = 65536,
      .threads = 2048,
      .major = 9,
      .clusters = {8, 4, 1, 0}}},
};
enum { CHIPS = sizeof chips / sizeof *chips, HOPPER = 0, CONSUMER = 1 };

static const vg_scan_block_shape shapes[] = {
#define SHAPE(threads, kept, rows, ...) {threads, kept, rows},
    VG_SCAN_CLUSTER_SHAPES(SHAPE, )
#undef SHAPE
};

static const vg_model_kind kinds[] = {VG_rnn, VG_lstm, VG_gru};
static const uint32_t batches[] = {1, 2, 9, 32, 133, 65536};

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s on %s %s, %u units, batch %u, %s: %s does not hold", cell->name,          \
                     chips[chip].name, c->forward ? "forward" : "backward", c->units, c->batch,    \
                     vg_dtype_name(c->w), #condition);                                             \
    } while (0)

static uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static void check_plan(int chip, const vg_scan_block_case *c, const vg_scan_cluster_plan *p)
{
    const vg_cell_info *cell = vg_cell_find(c->cell);
    const uint64_t gates = (uint64_t)cell->gates * p->block_units;
    const uint64_t outputs = c->forward ? gates : c->units;
    const uint64_t products = c->forward ? c->units : gates;
    const vg_chip *on = &chips[chip].chip;
    HOLDS(p->shape < VG_SCAN_CLUSTER_SHAPE_COUNT);
    HOLDS(p->kept == shapes[p->shape].kept && p->rows == shapes[p->shape].rows);
    HOLDS(p->threads <= shapes[p->shape].threads && p->threads % 32 == 0);
    HOLDS(p->workers <= p->threads && p->workers % 32 == 0);
    HOLDS(p->slices && (p->slices & (p->slices - 1)) == 0 && p->slices <= 32);
    HOLDS((uint64_t)p->pieces * p->slices * 4 >= products && p->pieces >= p->kept);
    HOLDS((uint64_t)p->workers / p->slices * 4 >= outputs);
    HOLDS(p->cluster >= 2 && p->cluster <= 16 && (p->cluster & (p->cluster - 1)) == 0);
    HOLDS(p->block_units % 4 == 0 && (uint64_t)p->block_units * p->cluster >= c->units);
    HOLDS(p->threads >= p->rows * p->block_units);
    HOLDS(p->clusters >= 1 && p->clusters <= up(c->batch, p->rows));
    HOLDS((uint64_t)p->clusters * p->cluster <= on->multiprocessors);
    const uint64_t rest = (uint64_t)(p->pieces - p->kept) * 16 * p->workers * vg_dtype_size(c->w);
    const uint64_t operands = 2ull * p->rows * 4 * p->pieces * p->slices;
    const uint64_t sums = c->forward
                              ? (uint64_t)p->rows * 4 * (p->workers / p->slices)
                              : 2ull * p->rows * p->block_units * up(c->units, p->block_units);
    HOLDS(p->shared_bytes == 16 + 4 * (operands + sums) + rest);
    HOLDS(p->shared_bytes <= on->shared_bytes);
    HOLDS(p->step_s > 0 && isfinite(p->step_s) && p->start_s > 0 && isfinite(p->start_s));
}

static void test_every_size(void **state)
{
    (void)state;
    for (int chip = 0; chip < CHIPS; chip++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (int which = 0; which < 4; which++)
                for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                    bool fitted = true;
                    for (uint32_t units = 1; units <= 2400; units += units < 400 ? 1 : 37) {
                        const vg_scan_block_case c = {kinds[k], which % 2 == 0,
                                                      which < 2 ? VG_FP32 : VG_BF16, units,
                                                      batches[b]};
                        vg_scan_cluster_plan p;
                        fitted = vg_scan_cluster_plan_make(&chips[chip].chip, &c, &p);
                        if (fitted)
                            check_plan(chip, &c, &p);
                    }
                    assert_false(fitted);
                }
}

/* What a chip's clusters hold, and what they cannot. */
static const struct {
    int chip;
    vg_model_kind cell;
    vg_dtype w;
    uint32_t units;
    bool fits;
} limits[] = {
    {HOPPER, VG_lstm, VG_FP32, 512, true},   {HOPPER, VG_lstm, VG_FP32, 640, false},
    {HOPPER, VG_gru, VG_FP32, 560, true},    {HOPPER, VG_gru, VG_FP32, 768, false},
    {HOPPER, VG_rnn, VG_FP32, 1024, true},   {HOPPER, VG_lstm, VG_BF16, 640, true},
    {CONSUMER, VG_lstm, VG_FP32, 256, true}, {CONSUMER, VG_lstm, VG_FP32, 384, false},
};

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int forward = 0; forward < 2; forward++) {
            const vg_scan_block_case c = {limits[i].cell, forward, limits[i].w, limits[i].units, 8};
            vg_scan_cluster_plan p;
            if (vg_scan_cluster_plan_make(&chips[limits[i].chip].chip, &c, &p) != limits[i].fits)
                fail_msg("%s %s with %u units %s on %s", vg_cell_find(c.cell)->name,
                         forward ? "forward" : "backward", c.units,
                         limits[i].fits ? "does not fit" : "fits", chips[limits[i].chip].name);
        }
}

/* Where it does not run, the reason says why. */
static void test_reason(void **state)
{
    (void)state;
    vg_device device = {.name = "cuda:0", .chip = chips[HOPPER].chip};
    vg_op op = {.kind = VG_SCAN_FWD, .cell = VG_lstm, .batch = 4};
    op.scan_fwd.weight_hh = (vg_mat){.rows = 4 * 1024, .cols = 1024, .ld = 1024, .dtype = VG_FP32};
    assert_int_equal(vg_scan_c.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "cuda:0: cuda.scan=C holds weight_hh in one cluster: that "
                                        "of lstm with 1024 units takes 16384 KiB, "));
    assert_true(isinf(vg_scan_c.cost_s(&device, &op, VG_FP32)));
    op.scan_fwd.weight_hh.cols = 256;
    op.t1 = 100;
    assert_int_equal(vg_scan_c.fits(&device, &op, VG_FP32), VG_OK);
    /* 100 steps, each at least a hop. */
    assert_true(vg_scan_c.cost_s(&device, &op, VG_FP32) > 100 * 0.25e-6);
    memset(device.chip.clusters, 0, sizeof device.chip.clusters);
    assert_int_equal(vg_scan_c.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_string_equal(vg_reason(), "cuda:0: cuda.scan=C: no cluster of whole multiprocessors can "
                                     "be launched here");
    device.chip.major = 8;
    device.chip.minor = 6;
    assert_int_equal(vg_scan_c.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_string_equal(vg_reason(), "cuda:0: cuda.scan=C needs clusters of blocks, which came "
                                     "with sm_90: this is sm_86");
}

/* Rows beyond what the clusters take at once cost more, never less. */
static void test_cost(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (uint32_t units = 64; units <= 512; units *= 2) {
            double before = 0;
            for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                const vg_scan_block_case c = {kinds[k], true, VG_FP32, units, batches[b]};
                vg_scan_cluster_plan p;
                assert_true(vg_scan_cluster_plan_make(&chips[HOPPER].chip, &c, &p));
                assert_true(p.step_s >= before);
                before = p.step_s;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_reason),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
