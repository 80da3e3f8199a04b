/* Regime S at sizes that ThreadSanitizer bears: every cell, both directions, more than one warp. */
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
} sizes[] = {{5, 2, 2}, {36, 1, 1}};

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
            t->device.chip.multiprocessors = 1;
            trial_forward(t, NULL);
            trial_backward(t, NULL);
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
