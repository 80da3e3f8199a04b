/* The persistent recurrence: every cell, both directions, every format, over awkward shapes, parts
 * of a sequence, every way of sharing out, one to four multiprocessors and every schedule; each
 * element of each step against double on the device's own numbers. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "scan_m_ways.h"

/* Every number of units, rows and steps that is awkward for one of 4, 8, 32, 128. */
static const struct shape {
    uint32_t units, batch;
    uint64_t steps, t0, t1;
    uint32_t pad, multiprocessors;
} shapes[] = {
    {1, 1, 1, 0, 1, 0, 1},   {1, 5, 3, 0, 3, 15, 4},   {2, 1, 7, 2, 6, 14, 2},
    {2, 33, 2, 0, 2, 2, 3},  {7, 3, 3, 1, 3, 9, 3},    {7, 9, 2, 0, 2, 0, 4},
    {31, 2, 7, 0, 7, 1, 4},  {31, 33, 1, 0, 1, 1, 2},  {32, 1, 3, 0, 3, 0, 3},
    {32, 5, 7, 3, 4, 0, 4},  {32, 9, 2, 0, 2, 16, 1},  {33, 2, 2, 1, 2, 15, 2},
    {33, 33, 2, 0, 2, 2, 4}, {65, 1, 3, 1, 2, 15, 4},  {65, 3, 7, 0, 7, 3, 3},
    {65, 9, 2, 0, 2, 15, 1}, {65, 33, 3, 2, 3, 15, 4},
};

static void run_shapes(bool backward)
{
    uint64_t seed = schedule_seed();
    int n = 0;
    for (const kind &k : kinds)
        for (vg_dtype dtype : dtypes)
            for (const shape &each : shapes) {
                scan_trial s = trial_of(k, backward, dtype);
                s.units = each.units, s.batch = each.batch, s.steps = each.steps;
                s.t0 = each.t0, s.t1 = each.t1, s.pad = each.pad, s.shift = n % 5 == 4;
                s.multiprocessors = each.multiprocessors;
                s.dy = n % 3 == 0   ? scan_trial::DY_LAST
                       : n % 3 == 1 ? scan_trial::DY_ALL
                                    : scan_trial::NO_DY;
                s.dy_wide = n % 2, s.totals = n / 2 % 2;
                s.dstateT = s.dy == scan_trial::NO_DY || n / 3 % 2;
                s.in_place = s.dstateT && n / 4 % 2;
                run_scheduled(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
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

/* Ways of sharing out that small shapes would not choose. */
static const scan_way ways[] = {
    /* Rows in several tiles: states between steps are in memory. */
    {false, VG_stack, 7, 33, 4, {8, 33, 1, 1, 1, 0, 4, false}},
    {false, VG_stack, 16, 21, 2, {16, 21, 2, 1, 2, 1, 4, false}},
    {true, VG_stack, 7, 33, 1, {8, 33, 1, 1, 1, 0, 4, false}},
    {true, VG_stack, 33, 11, 4, {16, 11, 2, 1, 1, 1, 4, false}},
    /* Groups of rows, the last one shorter. */
    {false, VG_stack, 9, 5, 6, {8, 2, 4, 1, 1, 0, 4, false}},
    {true, VG_stack, 17, 5, 4, {16, 3, 2, 1, 1, 0, 4, false}},
    /* Weights beyond those in registers, some and all. */
    {false, VG_stack, 300, 2, 20, {16, 2, 8, 1, 1, 0, 1, false}},
    {false, VG_stack, 150, 6, 10, {16, 6, 8, 1, 1, 2, 0, false}},
    {true, VG_stack, 70, 2, 5, {16, 2, 2, 1, 1, 0, 1, false}},
    {true, VG_stack, 150, 6, 10, {16, 6, 2, 1, 1, 1, 2, false}},
    /* Several rounds of columns. */
    {false, VG_lstm, 65, 6, 4, {24, 6, 4, 1, 1, 1, 0, false}},
    {false, VG_gru, 20, 3, 1, {20, 3, 5, 1, 1, 0, 0, false}},
    {true, VG_stack, 40, 9, 1, {40, 9, 2, 1, 2, 1, 0, false}},
    {true, VG_stack, 40, 2, 1, {40, 2, 2, 2, 1, 0, 0, false}},
    /* Warps along the depth and along the rows; chunks that end beyond the depth. */
    {false, VG_stack, 270, 9, 17, {16, 9, 8, 1, 1, 2, 2, false}},
    {false, VG_lstm, 270, 13, 34, {8, 13, 4, 2, 1, 2, 4, false}},
    {false, VG_gru, 260, 5, 65, {4, 5, 2, 4, 1, 1, 4, false}},
    {false, VG_rnn, 257, 14, 33, {8, 14, 1, 2, 3, 1, 4, false}},
    {true, VG_lstm, 140, 9, 18, {8, 9, 1, 4, 2, 1, 4, false}},
    {true, VG_lstm, 140, 7, 18, {8, 7, 1, 2, 3, 4, 4, false}},
    {true, VG_gru, 99, 5, 7, {16, 5, 2, 2, 2, 0, 4, false}},
    {true, VG_rnn, 260, 5, 17, {16, 5, 2, 4, 1, 1, 4, false}},
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
            scan_trial s = trial_of_way(each, k, dtypes[n % 3], n);
            if (k.cell == VG_rnn && !s.backward) /* its warp's columns are 8 units */
                s.choice.units = (s.choice.units + 7) / 8 * 8;
            run_scheduled(s, (uint64_t)n, n % 4, seed + (uint64_t)n);
            n++;
        }
}

/* All activations of an rnn. */
static void test_activations(void **state)
{
    (void)state;
    uint64_t seed = schedule_seed();
    for (int f = 0; f < VG_ACTIVATION_COUNT; f++)
        for (int backward = 0; backward < 2; backward++) {
            if (!vg_activation_find((vg_activation)f)->in_rnn)
                continue;
            scan_trial s = trial_of({VG_rnn, (vg_activation)f}, backward, VG_FP32);
            s.units = 20, s.batch = 3, s.steps = s.t1 = 3, s.multiprocessors = 2;
            run_scheduled(s, 5, f % 4, seed);
        }
}

/* The same bits whatever the schedule. */
static void test_same_bits(void **state)
{
    (void)state;
    uint64_t seed = schedule_seed();
    for (const kind &k : kinds)
        for (int backward = 0; backward < 2; backward++)
            for (int ring = 0; ring < 2; ring++) {
                scan_trial s = trial_of(k, backward, VG_FP32);
                s.units = 40, s.batch = 6, s.steps = s.t1 = 5, s.multiprocessors = 4;
                s.dy = scan_trial::DY_ALL, s.totals = true;
                s.choice = {16, 6, 2, 1, ring ? 2u : 3u, (uint32_t)ring, 4, false};
                if (!backward)
                    s.choice.column_warps = k.cell == VG_rnn ? 2 : 4, s.choice.row_warps = 1;
                std::vector<float> first;
                for (int policy = 0; policy < 4; policy++) {
                    std::vector<float> now = run_scheduled(s, 9, policy, seed + (uint64_t)policy);
                    for (size_t i = 0; policy > 0 && i < now.size(); i++)
                        if (!same(now[i], first[i]))
                            fail_msg("%s: policy %d: result %zu is %.9g, it was %.9g before",
                                     trial_name(s).c_str(), policy, i, (double)now[i],
                                     (double)first[i]);
                    if (policy == 0)
                        first = now;
                }
            }
}

/* A NaN stays in its row, and stays. */
static void test_nan(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++) {
        scan_trial s = trial_of(kinds[1], false, VG_FP32);
        s.units = 9, s.batch = 6, s.steps = s.t1 = 3, s.multiprocessors = 2;
        s.choice = {8, 6, 4, 1, 1, (uint32_t)ring, 4, false};
        scan_windows w(s);
        fill_inputs(s, w, 3);
        w.preact.set(1, 4, NAN);
        for (window *one : w.all())
            one->up();
        {
            vg_persistent_plan plan = trial_plan(s);
            scan_scratch extra(s, plan);
            launch_forward(s, w, plan, extra);
        }
        w.h.down("y");
        for (uint64_t r = s.batch; r < w.h.rows; r++)
            for (uint32_t j = 0; j < s.units; j++) {
                bool ill = r % s.batch == 1 && (r / s.batch > 1 || j == 4);
                if (ill != isnan(w.h.get(r, j)))
                    fail_msg("ring=%d: y[%llu, %u] is %g", ring, (unsigned long long)r, j,
                             (double)w.h.get(r, j));
            }
    }
}

static void test_tf32_rounds(void **state)
{
    (void)state;
    for (int ring = 0; ring < 2; ring++)
        tf32_rounds({8, 1, 1, 1, 1, (uint32_t)ring, 4, false});
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_shapes), cmocka_unit_test(test_backward_shapes),
        cmocka_unit_test(test_ways),           cmocka_unit_test(test_activations),
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_nan),
        cmocka_unit_test(test_tf32_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
