/* The plans of regime S over many sizes and chips: whatever is planned covers the product, stays in
 * the chip's limits and in its instance's. Needs no GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_exec.h"
#include "scan_block_plan.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    vg_chip chip;
} chips[] = {
    {"sm_80",
     {.multiprocessors = 108, .shared_bytes = 166912, .registers = 65536, .threads = 2048}},
    {"sm_90",
     {.multiprocessors = 132, .shared_bytes = 232448, .registers = 65536, .threads = 2048}},
    {"sm_120",
     {.multiprocessors = 170, .shared_bytes = 101376, .registers = 65536, .threads = 1536}},
};
enum { CHIPS = sizeof chips / sizeof *chips };

static const vg_scan_block_shape shapes[] = {
#define SHAPE(threads, kept, rows, ...) {threads, kept, rows},
    VG_SCAN_BLOCK_SHAPES(SHAPE, )
#undef SHAPE
};

static const vg_model_kind kinds[] = {VG_rnn, VG_lstm, VG_gru};
static const uint32_t batches[] = {1, 2, 9, 32, 133, 1000, 65536};

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s on %s %s, %u units, batch %u, %s: %s does not hold", cell->name,          \
                     chips[chip].name, c->forward ? "forward" : "backward", c->units, c->batch,    \
                     vg_dtype_name(c->w), #condition);                                             \
    } while (0)

static void check_plan(int chip, const vg_scan_block_case *c, const vg_scan_block_plan *p)
{
    const vg_cell_info *cell = vg_cell_find(c->cell);
    const uint64_t gates = (uint64_t)cell->gates * c->units;
    const uint64_t outputs = c->forward ? gates : c->units,
                   products = c->forward ? c->units : gates;
    const vg_chip *on = &chips[chip].chip;
    HOLDS(p->shape < VG_SCAN_BLOCK_SHAPE_COUNT);
    HOLDS(p->kept == shapes[p->shape].kept && p->rows == shapes[p->shape].rows);
    HOLDS(p->threads <= shapes[p->shape].threads && p->threads % 32 == 0);
    HOLDS(p->workers <= p->threads && p->workers % 32 == 0);
    HOLDS(p->slices && (p->slices & (p->slices - 1)) == 0 && p->slices <= 32);
    HOLDS((uint64_t)p->pieces * p->slices * 4 >= products && p->pieces >= p->kept);
    HOLDS((uint64_t)p->workers / p->slices * 4 >= outputs);
    HOLDS(p->threads >= p->rows * c->units);
    HOLDS(p->blocks >= 1 && p->blocks <= (c->batch + p->rows - 1) / p->rows);
    const uint64_t rest = (uint64_t)(p->pieces - p->kept) * 16 * p->workers * vg_dtype_size(c->w);
    const uint64_t floats =
        p->rows * 4 * ((uint64_t)p->pieces * p->slices + p->workers / p->slices);
    HOLDS(p->shared_bytes == rest + 4 * floats && p->shared_bytes <= on->shared_bytes);
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
                    for (uint32_t units = 1; units <= 700; units++) {
                        const vg_scan_block_case c = {kinds[k], which % 2 == 0,
                                                      which < 2 ? VG_FP32 : VG_BF16, units,
                                                      batches[b]};
                        vg_scan_block_plan p;
                        const bool fits = vg_scan_block_plan_make(&chips[chip].chip, &c, &p);
                        if (fits)
                            check_plan(chip, &c, &p);
                        fitted = fits;
                    }
                    assert_false(fitted);
                }
}

/* The most units of a chip's block, and the next multiple of 4 no more; larger counts between may
 * fit where lanes come out even. */
static const struct {
    int chip;
    vg_model_kind cell;
    vg_dtype w;
    uint32_t units;
    bool fits;
} limits[] = {
    {1, VG_lstm, VG_FP32, 144, true}, {1, VG_lstm, VG_FP32, 160, false},
    {1, VG_gru, VG_FP32, 160, true},  {1, VG_gru, VG_FP32, 192, false},
    {1, VG_rnn, VG_FP32, 256, true},  {1, VG_rnn, VG_FP32, 384, false},
    {1, VG_lstm, VG_BF16, 192, true}, {0, VG_lstm, VG_FP32, 128, true},
    {2, VG_lstm, VG_FP32, 96, true},  {2, VG_lstm, VG_FP32, 144, false},
};

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int forward = 0; forward < 2; forward++) {
            const vg_scan_block_case c = {limits[i].cell, forward, limits[i].w, limits[i].units, 8};
            vg_scan_block_plan p;
            if (vg_scan_block_plan_make(&chips[limits[i].chip].chip, &c, &p) != limits[i].fits)
                fail_msg("%s %s with %u units %s on %s", vg_cell_find(c.cell)->name,
                         forward ? "forward" : "backward", c.units,
                         limits[i].fits ? "does not fit" : "fits", chips[limits[i].chip].name);
        }
}

/* Where it does not fit, the reason says what does. */
static void test_reason(void **state)
{
    (void)state;
    const vg_device device = {.name = "cuda:0", .chip = chips[1].chip};
    vg_op op = {.kind = VG_SCAN_FWD, .cell = VG_lstm, .batch = 4};
    op.scan_fwd.weight_hh = (vg_mat){.rows = 4 * 512, .cols = 512, .ld = 512, .dtype = VG_FP32};
    assert_int_equal(vg_scan_s.fits(&device, &op, VG_FP32), VG_UNSUPPORTED);
    assert_string_equal(vg_reason(),
                        "cuda:0: cuda.scan=S holds weight_hh in one multiprocessor: that of lstm "
                        "with 512 units takes 4096 KiB, 144 units are the most here");
    assert_true(isinf(vg_scan_s.cost_s(&device, &op, VG_FP32)));
    op.scan_fwd.weight_hh.cols = 144;
    assert_int_equal(vg_scan_s.fits(&device, &op, VG_FP32), VG_OK);
}

/* More rows than multiprocessors cost more, never less; of more units the step is no faster by
 * much. */
static void test_cost(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (uint32_t units = 8; units <= 128; units *= 2) {
            double before = 0;
            for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
                const vg_scan_block_case c = {kinds[k], true, VG_FP32, units, batches[b]};
                vg_scan_block_plan p;
                assert_true(vg_scan_block_plan_make(&chips[1].chip, &c, &p));
                assert_true(p.step_s >= before);
                before = p.step_s;
            }
        }
}

/* A multiprocessor a row as long as there are as many; then rows share the weights of one. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        uint32_t units, batch, least, most;
    } rows[] = {{128, 32, 1, 1}, {128, 132, 1, 1}, {128, 256, 2, 2}, {144, 264, 2, 2},
                {96, 512, 2, 4}, {32, 1024, 2, 4}, {144, 1024, 2, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int forward = 0; forward < 2; forward++) {
            const vg_scan_block_case c = {VG_lstm, forward, VG_FP32, rows[i].units, rows[i].batch};
            vg_scan_block_plan p;
            assert_true(vg_scan_block_plan_make(&chips[1].chip, &c, &p));
            assert_in_range(p.rows, rows[i].least, rows[i].most);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_reason),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
