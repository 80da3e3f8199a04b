/* A run of equal dense layers in one kernel: both directions, every activation, over awkward depths
 * and shapes, every way of sharing out, one to many multiprocessors and every schedule; each
 * element of each layer against double on the device's own numbers. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "stack_trial.h"

static stack_trial trial_of(bool backward)
{
    stack_trial s = {};
    s.backward = backward, s.activation = VG_ACTIVATION_COUNT;
    s.depth = s.units = s.batch = 1, s.multiprocessors = 4;
    return s;
}

/* What is awkward for four rows, four of the depth, eight columns and 128 of the depth. */
static void run_shapes(bool backward)
{
    static const uint32_t depths[] = {1, 2, 5, 33}, units[] = {1, 17, 64, 96};
    static const uint32_t batches[] = {1, 3, 8, 33}, pads[] = {0, 3, 16};
    const uint64_t seed = schedule_seed();
    int n = 0;
    for (uint32_t depth : depths)
        for (uint32_t width : units)
            for (uint32_t batch : batches) {
                stack_trial s = trial_of(backward);
                s.depth = depth, s.units = width, s.batch = batch;
                s.activation = stack_activations[(depth + width + n) % STACK_ACTIVATIONS];
                s.residual = n / 2 % 3 == 0;
                s.pad = n % 5 == 4 ? pads[n % 3] : 16 - width % 16, s.shift = n % 7 == 6;
                s.multiprocessors = (uint32_t)(2 + n % 12);
                if (!too_large((uint64_t)depth * width * batch))
                    run_stack(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
                n++;
            }
}
static void test_forward_shapes(void **state)
{
    (void)state;
    run_shapes(false);
}
static void test_backward_shapes(void **state)
{
    (void)state;
    run_shapes(true);
}

/* All activations, and one after the other, with a skip and without. */
static void test_activations(void **state)
{
    (void)state;
    const uint64_t seed = schedule_seed();
    for (int f = 0; f <= STACK_ACTIVATIONS; f++)
        for (int way = 0; way < 4; way++) {
            stack_trial s = trial_of(way % 2);
            s.activation = f < STACK_ACTIVATIONS ? stack_activations[f] : VG_ACTIVATION_COUNT;
            s.residual = way / 2, s.depth = 6, s.units = 20, s.batch = 3;
            s.pad = f % 2 ? 12 : 1;
            run_stack(s, 5, (f + way) % 4, seed);
        }
}

/* Ways of sharing out that small shapes would not choose: {units, rows, depth and row warps, rows
 * at once, stages}. */
static const struct way {
    uint32_t units, batch, multiprocessors;
    vg_stack_choice choice;
} ways[] = {
    {17, 3, 3, {8, 3, 1, 1, 1, 2}},    {17, 3, 3, {8, 3, 1, 3, 1, 3}},
    {33, 9, 6, {16, 5, 1, 1, 4, 2}},   {33, 9, 15, {8, 3, 1, 2, 4, 3}},
    {64, 33, 2, {64, 17, 1, 1, 8, 2}}, {64, 33, 1, {64, 33, 1, 1, 8, 3}},
    {130, 9, 9, {16, 9, 2, 2, 8, 2}},  {130, 20, 17, {8, 20, 2, 4, 4, 3}},
    {257, 2, 9, {32, 2, 2, 1, 1, 2}},  {300, 1, 19, {16, 1, 4, 1, 1, 3}},
    {513, 9, 17, {32, 9, 2, 1, 8, 2}}, {96, 70, 3, {32, 70, 1, 2, 8, 3}},
};
static void test_ways(void **state)
{
    (void)state;
    const uint64_t seed = schedule_seed();
    int n = 0;
    for (const way &each : ways)
        for (int backward = 0; backward < 2; backward++) {
            stack_trial s = trial_of(backward);
            s.units = each.units, s.batch = each.batch, s.depth = 3;
            s.multiprocessors = each.multiprocessors, s.choice = each.choice;
            s.pad = n % 4 == 3 ? 3 : 16 - s.units % 16, s.residual = n / 2 % 2;
            run_stack(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
            n++;
        }
}

/* The same bits whatever the schedule. */
static void test_same_bits(void **state)
{
    (void)state;
    const uint64_t seed = schedule_seed();
    for (int backward = 0; backward < 2; backward++)
        for (uint32_t stages = 2; stages <= VG_STACK_STAGES; stages++) {
            stack_trial s = trial_of(backward);
            s.units = 40, s.batch = 6, s.depth = 7, s.residual = true;
            s.choice = {16, 6, 1, 2, 4, stages};
            std::vector<float> first;
            for (int policy = 0; policy < 4; policy++) {
                const std::vector<float> now = run_stack(s, 9, policy, seed + (uint64_t)policy);
                for (size_t i = 0; policy > 0 && i < now.size(); i++)
                    if (!same(now[i], first[i]))
                        fail_msg("%s: policy %d: result %zu is %.9g, it was %.9g before",
                                 stack_name(s).c_str(), policy, i, (double)now[i],
                                 (double)first[i]);
                if (policy == 0)
                    first = now;
            }
        }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_shapes), cmocka_unit_test(test_backward_shapes),
        cmocka_unit_test(test_activations),    cmocka_unit_test(test_ways),
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
