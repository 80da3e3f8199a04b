/* What the tests of the persistent recurrence try: kinds of cells, and ways of sharing a scan out.
 * C++; include after cmocka. */
#ifndef VG_TESTS_SCAN_M_WAYS_H
#define VG_TESTS_SCAN_M_WAYS_H

#include "scan_m_trial.h"

static const struct kind {
    vg_model_kind cell;
    vg_activation activation;
} kinds[] = {{VG_rnn, VG_tanh}, {VG_lstm, VG_identity}, {VG_gru, VG_identity}};
static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};

static inline scan_trial trial_of(const kind &k, bool backward, vg_dtype dtype)
{
    scan_trial s = {};
    s.cell = k.cell, s.activation = k.activation, s.backward = backward, s.dtype = dtype;
    s.units = s.batch = 1, s.steps = s.t1 = 1, s.multiprocessors = 1;
    s.dy = scan_trial::DY_LAST;
    return s;
}

/* {units, rows, column, depth and row warps, chunk, held, mma} */
struct scan_way {
    bool backward;
    vg_model_kind cell; /* VG_stack: each */
    uint32_t units, batch;
    uint32_t multiprocessors;
    vg_persistent_choice choice;
};

static inline bool is_of(const scan_way &way, const kind &k)
{
    return way.cell == VG_stack || way.cell == k.cell;
}

/* n: of the trial, for what differs between them. */
static inline scan_trial trial_of_way(const scan_way &way, const kind &k, vg_dtype dtype, int n)
{
    scan_trial s = trial_of(k, way.backward, dtype);
    s.units = way.units, s.batch = way.batch, s.steps = s.t1 = 2;
    s.pad = (uint32_t)(n % 4 == 3 ? 3 : 16 - s.units % 16);
    s.multiprocessors = way.multiprocessors;
    s.choice = way.choice;
    s.dy = scan_trial::DY_ALL, s.totals = true, s.dstateT = n % 2;
    return s;
}

/* tf32 rounds both operands to nearest: 1 + 2^-12 is 1 then, and 1 + 3·2^-12 is 1 + 2^-10. */
static inline void tf32_rounds(vg_persistent_choice choice)
{
    for (int backward = 0; backward < 2; backward++)
        for (int up = 0; up < 2; up++) {
            scan_trial s = trial_of({VG_rnn, VG_identity}, backward, VG_TF32);
            s.units = 4, s.dy = scan_trial::DY_ALL;
            s.choice = choice;
            scan_windows w(s);
            fill_inputs(s, w, 3);
            const float near_one = 1 + (up ? 3 : 1) * 0x1p-12f, one = up ? 1 + 0x1p-10f : 1;
            auto given = [&](uint64_t, uint32_t) { return near_one; };
            auto zero = [](uint64_t, uint32_t) { return 0.0f; };
            w.h.fill(given), w.weight.fill(given), w.dy.fill(given);
            w.preact.fill(zero), w.bias.fill(zero);
            for (window *each : w.all())
                each->up();
            {
                vg_persistent_plan plan = trial_plan(s);
                scan_scratch extra(s, plan);
                s.backward ? launch_backward(s, w, plan, extra) : launch_forward(s, w, plan, extra);
            }
            window &out = backward ? w.dh_0 : w.h;
            out.down("sum");
            for (uint32_t j = 0; j < s.units; j++)
                assert_float_equal(out.get(out.rows - 1, j), 4 * one * one, 0x1p-20f);
        }
}

#endif
