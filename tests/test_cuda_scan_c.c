/* Regime C against the oracle: every cell, direction, dtype, instance, size of cluster and number
 * of slices, odd shapes, blocks without units, steps in the middle of a sequence, four schedules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scan_regime_check.h"

enum { MULTIPROCESSORS = 32 };

static const struct {
    uint32_t units, batch;
    uint64_t steps, t0;
    trial_dy dy;
    bool dstateT;
} sizes[] = {
    {1, 1, 1, 0, TRIAL_DY_NONE, true},   {3, 2, 4, 1, TRIAL_DY_ALL, false},
    {17, 5, 2, 0, TRIAL_DY_LAST, true},  {16, 1, 3, 2, TRIAL_DY_LAST, false},
    {33, 3, 77, 0, TRIAL_DY_ALL, true},  {129, 4, 2, 0, TRIAL_DY_ALL, false},
    {333, 2, 2, 1, TRIAL_DY_LAST, true},
};
enum { SIZES = sizeof sizes / sizeof *sizes };

static const trial_cell cells[] = {
    {VG_rnn, VG_tanh}, {VG_lstm, VG_identity}, {VG_gru, VG_identity}};
enum { CELLS = sizeof cells / sizeof *cells };
static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};

static trial *trial_of(trial_cell cell, vg_dtype dtype, trial_shape shape, uint64_t seed)
{
    trial *t = trial_new(cell, dtype, shape, seed);
    t->regime = &vg_scan_c;
    trial_schedule(t, seed + 1);
    return t;
}

/* Everything through the row that the device uses. */
static void test_row(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int c = 0; c < CELLS; c++)
        for (uint32_t s = 0; s < SIZES; s++) {
            const trial_shape shape = {sizes[s].units, sizes[s].batch, sizes[s].steps,
                                       sizes[s].t0,    sizes[s].dy,    sizes[s].dstateT};
            trial *t = trial_of(cells[c], dtypes[seed % 3], shape, seed);
            seed++;
            trial_forward(t, NULL);
            trial_backward(t, NULL);
            trial_check_forward(t);
            trial_check_backward(t);
            trial_free(t);
        }
}

/* Every instance with every size of cluster and some number of slices that it can have: the oracle
 * judges each. */
static void test_instances(void **state)
{
    (void)state;
    uint32_t ran[2][VG_SCAN_CLUSTER_SHAPE_COUNT][VG_CLUSTER_SIZES] = {{{0}}};
    uint64_t seed = 1000;
    for (uint32_t shape = 0; shape < VG_SCAN_CLUSTER_SHAPE_COUNT; shape++)
        for (uint32_t size = 0; size < VG_CLUSTER_SIZES; size++)
            for (uint32_t slices = 1; slices <= 32; slices *= 2) {
                const trial_shape what = {slices > 4 ? 9 : 37, 5, 3, 0, TRIAL_DY_LAST, true};
                const trial_force force = {.shape = shape, .slices = slices, .cluster = 2u << size};
                trial *t = trial_of(cells[seed % CELLS], dtypes[seed / CELLS % 3], what, seed);
                seed++;
                const bool forward = trial_forward(t, &force);
                ran[0][shape][size] += forward;
                if (!forward)
                    trial_forward(t, NULL);
                const bool backward = trial_backward(t, &force);
                ran[1][shape][size] += backward;
                trial_check_forward(t);
                if (backward)
                    trial_check_backward(t);
                trial_free(t);
            }
    for (int direction = 0; direction < 2; direction++)
        for (uint32_t shape = 0; shape < VG_SCAN_CLUSTER_SHAPE_COUNT; shape++)
            for (uint32_t size = 0; size < VG_CLUSTER_SIZES; size++)
                assert_true(ran[direction][shape][size] > 0);
}

/* A scan in two pieces, dh and dc not wanted, dstate0 in the place of dstateT, another schedule and
 * another number of clusters: the same bits. */
static void test_same_bits(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 3 * CELLS; n++) {
        const trial_shape shape = {21, 5, 5, 0, TRIAL_DY_ALL, true};
        trial_force force = {.shape = n % VG_SCAN_CLUSTER_SHAPE_COUNT,
                             .slices = 4,
                             .cluster = n % 2 ? 8 : 16,
                             .clusters = 2 - n % 2};
        trial *a = trial_of(cells[n % CELLS], dtypes[n / CELLS], shape, 77);
        trial *b = trial_of(cells[n % CELLS], dtypes[n / CELLS], shape, 77);
        assert_true(trial_forward(a, &force) && trial_backward(a, &force));
        trial_schedule(b, 5 + n);
        force.clusters = n % 2 ? 3 : 1;
        trial_steps(b, 0, 2);
        trial_forward(b, &force);
        trial_steps(b, 2, 5);
        trial_forward(b, &force);
        b->backward.scan_bwd.dh.rows = b->backward.scan_bwd.dc.rows = 0;
        for (int i = 0; i < VG_MAX_STATES; i++)
            b->backward.scan_bwd.dstate0[i] = b->backward.scan_bwd.dstateT[i];
        trial_backward(b, &force);
        trial_steps(b, 0, 2);
        trial_backward(b, &force);
        trial_same(a, b, a->forward.scan_fwd.y);
        trial_same(a, b, a->forward.scan_fwd.reserve);
        trial_same(a, b, a->backward.scan_bwd.dgates_x);
        trial_same(a, b, a->backward.scan_bwd.dgates_h);
        trial_free(a);
        trial_free(b);
    }
}

/* NaN in one row's pre-activations reaches that row's states from there on, and no other row. */
static void test_nan(void **state)
{
    (void)state;
    for (int c = 0; c < CELLS; c++) {
        const trial_shape shape = {6, 5, 3, 0, TRIAL_DY_LAST, false};
        trial *t = trial_of(cells[c], VG_FP32, shape, 3);
        const vg_mat x = t->forward.scan_fwd.preact_x, y = t->forward.scan_fwd.y;
        const uint32_t row = 1 * 5 + 2; /* step 1, batch row 2 */
        for (uint32_t j = 0; j < x.cols; j++)
            trial_floats(t, x)[row * x.ld + j] = NAN;
        trial_forward(t, NULL);
        for (uint32_t r = 0; r < y.rows; r++)
            for (uint32_t j = 0; j < y.cols; j++)
                assert_int_equal(isnan(trial_floats(t, y)[r * y.ld + j]) != 0,
                                 r >= row && r % 5 == 2);
        trial_free(t);
    }
}

int main(void)
{
    trial_machine(MULTIPROCESSORS);
    if (!trial_usable())
        return 77;
    trial *t = trial_new(cells[0], VG_FP32, (trial_shape){.units = 1, .batch = 1, .steps = 1}, 1);
    const bool refused = vg_scan_c.fits(&t->device, &t->forward, VG_FP32) != VG_OK;
    trial_free(t);
    if (refused) {
        print_message("skipped: %s\n", vg_reason());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
