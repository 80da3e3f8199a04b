/* Regime S against the oracle: every cell, direction, dtype, instance and number of slices, odd
 * shapes, steps in the middle of a sequence, four schedules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scan_regime_check.h"

static const struct {
    uint32_t units, batch;
    uint64_t steps, t0;
    trial_dy dy;
    bool dstateT;
} sizes[] = {
    {1, 1, 1, 0, TRIAL_DY_NONE, true},  {3, 2, 4, 1, TRIAL_DY_ALL, false},
    {7, 9, 2, 0, TRIAL_DY_LAST, true},  {16, 1, 3, 2, TRIAL_DY_LAST, false},
    {33, 5, 3, 1, TRIAL_DY_ALL, true},  {70, 3, 2, 0, TRIAL_DY_ALL, false},
    {20, 4, 7, 3, TRIAL_DY_LAST, true},
};
enum { SIZES = sizeof sizes / sizeof *sizes };

static const trial_cell cells[] = {
    {VG_rnn, VG_tanh},     {VG_rnn, VG_relu},    {VG_lstm, VG_identity},
    {VG_gru, VG_identity}, {VG_rnn, VG_sigmoid}, {VG_rnn, VG_identity},
};
enum { CELLS = sizeof cells / sizeof *cells };
static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};

static trial_shape shape_of(uint32_t size)
{
    return (trial_shape){sizes[size].units, sizes[size].batch, sizes[size].steps,
                         sizes[size].t0,    sizes[size].dy,    sizes[size].dstateT};
}

/* Everything through the row that the device uses. */
static void test_row(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int c = 0; c < CELLS; c++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
            for (uint32_t s = 0; s < SIZES; s++) {
                trial *t = trial_new(cells[c], dtypes[d], shape_of(s), seed++);
                trial_schedule(t, seed);
                trial_forward(t, NULL);
                trial_backward(t, NULL);
                trial_check_forward(t);
                trial_check_backward(t);
                trial_free(t);
            }
}

/* Every instance with every number of slices that it can have: the oracle judges each. */
static void test_instances(void **state)
{
    (void)state;
    uint32_t ran[2][VG_SCAN_BLOCK_SHAPE_COUNT] = {{0}};
    uint64_t seed = 1000;
    for (int c = 1; c < 4; c++)
        for (uint32_t shape = 0; shape < VG_SCAN_BLOCK_SHAPE_COUNT; shape++)
            for (uint32_t slices = 1; slices <= 32; slices *= 2) {
                trial *t = trial_new(
                    cells[c], slices & 0x2a ? VG_FP32 : VG_BF16,
                    (trial_shape){slices > 4 ? 9 : 37, 5, 2, 0, TRIAL_DY_LAST, true}, seed++);
                trial_schedule(t, seed);
                const trial_force force = {.shape = shape, .slices = slices};
                const bool forward = trial_forward(t, &force);
                ran[0][shape] += forward;
                if (!forward)
                    trial_forward(t, NULL);
                const bool backward = trial_backward(t, &force);
                ran[1][shape] += backward;
                trial_check_forward(t);
                if (backward)
                    trial_check_backward(t);
                trial_free(t);
            }
    for (int direction = 0; direction < 2; direction++)
        for (uint32_t shape = 0; shape < VG_SCAN_BLOCK_SHAPE_COUNT; shape++)
            assert_true(ran[direction][shape] > 0);
}

/* With fewer blocks than tiles a scan in two pieces, dh and dc not wanted, dstate0 in the place of
 * dstateT and another schedule: the same bits. (Another chip may have another plan, and its own.)
 */
static void test_same_bits(void **state)
{
    (void)state;
    for (int c = 1; c < 4; c++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            const trial_shape shape = {11, 7, 5, 0, TRIAL_DY_ALL, true};
            trial *a = trial_new(cells[c], dtypes[d], shape, 77);
            trial *b = trial_new(cells[c], dtypes[d], shape, 77);
            a->device.chip.multiprocessors = b->device.chip.multiprocessors = 2;
            trial_schedule(a, 0);
            trial_forward(a, NULL);
            trial_backward(a, NULL);
            trial_schedule(b, 5);
            trial_steps(b, 0, 2);
            trial_forward(b, NULL);
            trial_steps(b, 2, 5);
            trial_forward(b, NULL);
            b->backward.scan_bwd.dh.rows = b->backward.scan_bwd.dc.rows = 0;
            for (int i = 0; i < VG_MAX_STATES; i++)
                b->backward.scan_bwd.dstate0[i] = b->backward.scan_bwd.dstateT[i];
            trial_backward(b, NULL);
            trial_steps(b, 0, 2);
            trial_backward(b, NULL);
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
        trial *t = trial_new(cells[c], VG_FP32, shape, 3);
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
    if (!trial_usable())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
