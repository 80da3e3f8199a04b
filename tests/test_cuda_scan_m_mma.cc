/* The persistent recurrence on tensor cores: every cell, both directions, tf32 and bf16, as its
 * plan shares it out and in other ways; each element of each step against double on the device's
 * own numbers. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "scan_m_ways.h"

/* {units, rows, column and depth warps, 1, chunk, held} */
static const scan_way ways[] = {
    /* One fragment and less; two; four and more, in several sets; several tiles. */
    {false, VG_stack, 33, 8, 3, {16, 8, 1, 2, 1, 1, 16, true}},
    {true, VG_stack, 47, 3, 3, {16, 3, 1, 4, 1, 1, 16, true}},
    {false, VG_stack, 32, 16, 4, {8, 16, 2, 4, 1, 2, 16, true}},
    {true, VG_stack, 80, 9, 5, {16, 9, 1, 8, 1, 2, 16, true}},
    {false, VG_lstm, 35, 32, 5, {8, 32, 2, 4, 1, 1, 16, true}},
    {true, VG_gru, 40, 37, 5, {8, 37, 1, 8, 1, 1, 16, true}},
    {false, VG_stack, 17, 70, 2, {12, 70, 4, 2, 1, 1, 16, true}},
    /* Groups of rows, the last one shorter; units that fill no warp's columns. */
    {false, VG_stack, 37, 12, 16, {5, 7, 1, 4, 1, 2, 16, true}},
    {true, VG_stack, 21, 20, 21, {3, 9, 1, 2, 1, 2, 16, true}},
    {true, VG_stack, 33, 5, 3, {11, 5, 1, 8, 1, 1, 16, true}},
    /* Weights beyond those in registers, some and all; several rounds of columns. */
    {false, VG_stack, 70, 9, 9, {8, 9, 2, 1, 1, 4, 2, true}},
    {true, VG_stack, 60, 6, 4, {16, 6, 1, 2, 1, 2, 3, true}},
    {false, VG_lstm, 40, 6, 2, {20, 6, 3, 2, 1, 2, 0, true}},
    {true, VG_stack, 70, 11, 2, {40, 11, 2, 2, 1, 4, 0, true}},
    /* Every chunk, also one that ends beyond the depth. */
    {false, VG_stack, 77, 10, 10, {8, 10, 2, 1, 1, 1, 16, true}},
    {false, VG_stack, 90, 10, 12, {8, 10, 2, 1, 1, 4, 16, true}},
    {true, VG_lstm, 65, 8, 5, {16, 8, 1, 2, 1, 4, 16, true}},
};

static void test_ways(void **state)
{
    (void)state;
    uint64_t seed = schedule_seed();
    int n = 0;
    for (const scan_way &each : ways)
        for (const kind &k : kinds) {
            if (!is_of(each, k))
                continue;
            for (vg_dtype dtype : {VG_TF32, VG_BF16}) {
                run_scheduled(trial_of_way(each, k, dtype, n), (uint64_t)n, n % 4,
                              seed + (uint64_t)n);
                n++;
            }
        }
}

/* Shapes drawn anew each time, the sharing out too: where there is a choice, the plan's own. */
static void test_random_shapes(void **state)
{
    (void)state;
    static const uint32_t batches[] = {1, 3, 8, 9, 16};
    uint64_t seed = schedule_seed();
    for (uint64_t n = 0; n < 24; n++) {
        auto drawn = [&](uint64_t what, uint32_t below) {
            return (uint32_t)((draw(seed + what, n, 1) + 1) / 2 * (float)below) % below;
        };
        scan_trial s = trial_of(kinds[n % 3], n % 2, n / 2 % 2 ? VG_BF16 : VG_TF32);
        s.units = 32 + drawn(1, 49), s.batch = batches[drawn(2, 5)];
        s.steps = s.t1 = 1 + drawn(3, 5);
        s.multiprocessors = 1 + drawn(4, 6);
        s.dstateT = true, s.totals = drawn(5, 2), s.pad = drawn(6, 17);
        if (trial_plan(s).tiles.fragments == 0) { /* few rows, above all */
            const uint32_t gates = s.backward ? 1 : vg_cell_find(s.cell)->gates;
            const uint32_t units = (s.units + s.multiprocessors - 1) / s.multiprocessors;
            const uint32_t tiles = (units * gates + 15) / 16;
            s.choice = {units, s.batch, tiles < 8 ? tiles : 8, 1, 1, 2, tiles > 8 ? 0u : 1u, true};
        }
        run_scheduled(s, n, (int)(n % 4), seed + n);
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int backward = 0; backward < 2; backward++) {
        scan_trial s = trial_of(kinds[1], backward, VG_TF32);
        s.units = 20, s.batch = 9, s.steps = s.t1 = 3, s.multiprocessors = 5;
        s.choice = {4, 9, 1, 2, 1, 1, 16, true};
        std::vector<float> first = run_scheduled(s, 9, 0, 1);
        for (int policy = 1; policy < 4; policy++) {
            std::vector<float> now = run_scheduled(s, 9, policy, 7);
            for (size_t i = 0; i < now.size(); i++)
                if (!same(now[i], first[i]))
                    fail_msg("%s: policy %d: result %zu is %.9g, it was %.9g before",
                             trial_name(s).c_str(), policy, i, (double)now[i], (double)first[i]);
        }
    }
}

static void test_tf32_rounds(void **state)
{
    (void)state;
    tf32_rounds({8, 1, 1, 1, 1, 1, 4, true});
    tf32_rounds({8, 1, 1, 1, 1, 1, 0, true});
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tf32_rounds),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
