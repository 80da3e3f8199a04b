/* The persistent recurrence at sizes that a race checker can follow: few steps, one to few rows,
 * narrow; every cell, both directions, with and without the ring. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "scan_m_trial.h"

static const struct tiny {
    uint32_t units, batch;
    uint64_t steps;
    uint32_t multiprocessors;
    vg_persistent_choice forward, backward; /* of two units a warp; units 0: the plan's own */
} tinies[] = {
    {4, 1, 2, 2, {}, {}},
    {32, 1, 3, 4, {8, 1, 4, 1, 1, 0, 4, false}, {8, 1, 1, 1, 1, 0, 4, false}},
    {4, 2, 2, 2, {2, 2, 1, 1, 1, 1, 4, false}, {8, 2, 1, 1, 1, 1, 4, false}},
    {4, 5, 2, 2, {2, 5, 1, 1, 1, 1, 0, false}, {8, 5, 1, 1, 1, 0, 4, false}},
    /* Weights that other warps have loaded; tiles without a ring; a ring with several sets. */
    {4, 2, 2, 2, {2, 2, 1, 1, 2, 0, 0, false}, {8, 2, 1, 1, 2, 0, 0, false}},
    {32, 5, 2, 4, {16, 5, 1, 2, 1, 0, 0, false}, {16, 5, 2, 1, 1, 0, 4, false}},
    {32, 9, 2, 4, {8, 9, 4, 1, 1, 1, 4, false}, {16, 9, 2, 1, 1, 1, 4, false}},
    /* On tensor cores, in tf32: weights in registers, and in shared memory. */
    {4, 5, 2, 2, {2, 5, 1, 1, 1, 1, 16, true}, {2, 5, 1, 1, 1, 1, 16, true}},
    {40, 2, 2, 5, {8, 2, 2, 2, 1, 1, 0, true}, {8, 2, 1, 2, 1, 1, 1, true}},
};

static void test_tiny(void **state)
{
    (void)state;
    uint64_t seed = schedule_seed();
    static const vg_model_kind cells[] = {VG_rnn, VG_lstm, VG_gru};
    int n = 0;
    for (const tiny &each : tinies)
        for (vg_model_kind cell : cells)
            for (int backward = 0; backward < 2; backward++) {
                scan_trial s = {};
                s.cell = cell, s.activation = VG_tanh, s.backward = backward;
                s.choice = backward ? each.backward : each.forward;
                s.dtype = s.choice.mma ? VG_TF32 : VG_FP32;
                s.units = each.units, s.batch = each.batch, s.steps = s.t1 = each.steps;
                s.multiprocessors = each.multiprocessors;
                s.dy = scan_trial::DY_LAST;
                if (!backward && cell == VG_rnn && s.choice.units > 0 && !s.choice.mma)
                    s.choice.units = 8, s.choice.column_warps = 1;
                run_scheduled(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
                n++;
            }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
