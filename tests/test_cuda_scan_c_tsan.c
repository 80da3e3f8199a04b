/* Regime C at sizes that ThreadSanitizer bears: every cell, both directions, clusters of two and
 * four, more steps and tiles than buffers, a block without units, more than one warp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scan_regime_check.h"

static const trial_cell cells[] = {
    {VG_rnn, VG_tanh}, {VG_lstm, VG_identity}, {VG_gru, VG_identity}};
static const struct {
    uint32_t units, batch;
    uint64_t steps;
    trial_force force;
} sizes[] = {
    {5, 2, 4, {.shape = 0, .slices = 2, .cluster = 2, .clusters = 1}},
    {9, 2, 3, {.shape = 3, .slices = 4, .cluster = 4, .clusters = 1}},
    {36, 1, 2, {.shape = 2, .slices = 8, .cluster = 2, .clusters = 1}},
};

static void test_tiny(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t c = 0; c < sizeof cells / sizeof *cells; c++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const trial_shape shape = {
                sizes[s].units, sizes[s].batch, sizes[s].steps, 0, TRIAL_DY_ALL, true};
            trial *t = trial_new(cells[c], seed % 2 ? VG_BF16 : VG_TF32, shape, seed);
            trial_schedule(t, seed++);
            assert_true(trial_forward(t, &sizes[s].force));
            assert_true(trial_backward(t, &sizes[s].force));
            trial_check_forward(t);
            trial_check_backward(t);
            trial_free(t);
        }
}

int main(void)
{
    if (!trial_usable())
        return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
