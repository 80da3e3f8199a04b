/* A run of equal layers in one kernel at sizes that a race checker can follow. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "stack_trial.h"

static const struct tiny {
    uint32_t depth, units, batch, multiprocessors;
    vg_stack_choice choice;
} tinies[] = {
    {3, 9, 1, 2, {8, 1, 1, 1, 1, 2}},
    {4, 10, 2, 2, {8, 2, 1, 2, 1, 3}},
    {2, 130, 1, 3, {64, 1, 1, 1, 1, 2}},
    {3, 17, 5, 4, {16, 3, 1, 1, 4, 2}},
};

static void test_tiny(void **state)
{
    (void)state;
    const uint64_t seed = schedule_seed();
    int n = 0;
    for (const tiny &each : tinies)
        for (int backward = 0; backward < 2; backward++) {
            stack_trial s = {};
            s.backward = backward, s.activation = VG_ACTIVATION_COUNT, s.residual = n / 2 % 2;
            s.depth = each.depth, s.units = each.units, s.batch = each.batch;
            s.pad = 16 - s.units % 16, s.multiprocessors = each.multiprocessors;
            s.choice = each.choice;
            run_stack(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
            n++;
        }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
