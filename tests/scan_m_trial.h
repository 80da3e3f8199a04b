/* A trial of the persistent recurrence: its windows, its launch, and each step in double from the
 * device's own numbers. C++; include after cmocka. */
#ifndef VG_TESTS_SCAN_M_TRIAL_H
#define VG_TESTS_SCAN_M_TRIAL_H

#include "cuda_windows.h"

#include "ref_vf.h"
#include "scan_persistent.h"
#include "vg/tolerance.h"

#include <algorithm>
#include <string>

struct scan_trial {
    vg_model_kind cell;
    vg_activation activation;
    bool backward;
    vg_dtype dtype; /* fp32, tf32 or bf16 */
    uint32_t units, batch;
    uint64_t steps, t0, t1; /* the sequence, and what of it is run */
    uint32_t pad, shift;    /* of every window's rows */
    uint32_t multiprocessors;
    enum { NO_DY, DY_LAST, DY_ALL } dy;
    bool dy_wide, dstateT, in_place, totals; /* in_place: dstate0 is dstateT */
    vg_persistent_choice choice;             /* units 0: the plan's own */
};

static inline std::string trial_name(const scan_trial &s)
{
    char text[400];
    const vg_persistent_choice &c = s.choice;
    snprintf(text, sizeof text,
             "%s(%s) %s %s H=%u B=%u T=%llu steps %llu..%llu pad=%u shift=%u sms=%u dy=%d wide=%d "
             "dstateT=%d in_place=%d totals=%d choice {%u,%u,%u,%u,%u,%u,%u,%d}",
             vg_cell_find(s.cell)->name, vg_activation_find(s.activation)->name,
             s.backward ? "bwd" : "fwd", vg_dtype_name(s.dtype), s.units, s.batch,
             (unsigned long long)s.steps, (unsigned long long)s.t0, (unsigned long long)s.t1, s.pad,
             s.shift, s.multiprocessors, (int)s.dy, s.dy_wide, s.dstateT, s.in_place, s.totals,
             c.units, c.rows, c.column_warps, c.depth_warps, c.row_warps, c.chunk, c.held, c.mma);
    return text;
}

static inline vg_window rows_from(const window &w, uint64_t first)
{
    vg_window all = w;
    return vg_window{w.device + w.offset(first, 0), w.rows - first, all.cols, all.ld};
}

struct scan_windows {
    const vg_cell_info *cell;
    vg_dtype storage;
    uint64_t rows;
    window h; /* the state before the first step, then y */
    window c0, weight, reserve;
    window preact, bias; /* forward */
    window dy, dh_T, dc_T, dgates_x, dgates_h, dh_0, dc_0, dh, dc;

    explicit scan_windows(const scan_trial &s)
        : cell(vg_cell_find(s.cell)), storage(s.dtype == VG_BF16 ? VG_BF16 : VG_FP32),
          rows(s.steps * s.batch), h(storage, rows + s.batch, s.units, s.pad, s.shift),
          c0(VG_FP32, cell->states > 1 ? s.batch : 0, s.units, s.pad, s.shift),
          weight(storage, cell->gates * s.units, s.units, s.pad, s.shift),
          reserve(cell->states > 1 ? VG_FP32 : storage, cell->kept ? rows : 0,
                  (cell->kept + cell->states - 1) * s.units, s.pad, s.shift),
          preact(VG_FP32, rows, cell->gates * s.units, s.pad, s.shift),
          bias(VG_FP32, 1, cell->gates * s.units, s.pad, s.shift),
          dy(s.dy_wide ? VG_FP32 : storage,
             s.dy == scan_trial::NO_DY     ? 0
             : s.dy == scan_trial::DY_LAST ? s.batch
                                           : rows,
             s.units, s.pad, s.shift),
          dh_T(VG_FP32, s.dstateT ? s.batch : 0, s.units, s.pad, s.shift),
          dc_T(VG_FP32, s.dstateT && cell->states > 1 ? s.batch : 0, s.units, s.pad, s.shift),
          dgates_x(storage, rows, cell->gates * s.units, s.pad, s.shift),
          dgates_h(storage, cell->gates_differ ? rows : 0, cell->gates * s.units, s.pad, s.shift),
          dh_0(VG_FP32, s.batch, s.units, s.pad, s.shift),
          dc_0(VG_FP32, cell->states > 1 ? s.batch : 0, s.units, s.pad, s.shift),
          dh(VG_FP32, s.totals ? rows : 0, s.units, s.pad, s.shift),
          dc(VG_FP32, s.totals && cell->states > 1 ? rows : 0, s.units, s.pad, s.shift)
    {
    }
    std::vector<window *> all()
    {
        return {&h,    &c0,       &weight,   &reserve, &preact, &bias, &dy, &dh_T,
                &dc_T, &dgates_x, &dgates_h, &dh_0,    &dc_0,   &dh,   &dc};
    }
};

/* Only what a scan may read is filled; the rest is NaN. */
static inline void fill_inputs(const scan_trial &s, scan_windows &w, uint64_t seed)
{
    auto within = [&](uint64_t row, uint64_t from, uint64_t to) {
        return row / s.batch >= from && row / s.batch < to;
    };
    w.weight.fill_random(seed, 2 / sqrtf((float)s.units));
    w.c0.fill_random(seed + 1, 1);
    const uint64_t known = s.backward ? s.t1 : s.t0; /* steps whose results there are */
    for (uint64_t r = 0; r < w.h.rows; r++)
        for (uint32_t j = 0; j < s.units; j++)
            if (within(r, s.t0, known + 1))
                w.h.set(r, j, draw(seed + 2, r * s.units + j, 1));
    for (uint64_t r = 0; r < w.reserve.rows; r++)
        for (uint32_t j = 0; j < w.reserve.cols; j++) {
            bool state = j / s.units >= w.cell->kept;
            if (within(r, state && s.t0 ? s.t0 - 1 : s.t0, known))
                w.reserve.set(r, j,
                              state ? draw(seed + 3, r * w.reserve.cols + j, 1)
                                    : 0.5f + draw(seed + 4, r * w.reserve.cols + j, 0.4f));
        }
    for (uint64_t r = 0; r < w.rows; r++)
        for (uint32_t j = 0; j < w.preact.cols; j++)
            if (within(r, s.t0, s.t1))
                w.preact.set(r, j, draw(seed + 5, r * w.preact.cols + j, 2));
    w.bias.fill_random(seed + 6, 1);
    for (uint64_t r = 0; r < w.dy.rows; r++)
        for (uint32_t j = 0; j < s.units; j++)
            if (s.dy == scan_trial::DY_LAST || within(r, s.t0, s.t1))
                w.dy.set(r, j, draw(seed + 7, r * s.units + j, 1));
    w.dh_T.fill_random(seed + 8, 1);
    w.dc_T.fill_random(seed + 9, 1);
}

static inline vg_persistent_plan trial_plan(const scan_trial &s)
{
    int shared = 0;
    cuda_check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
               "attribute");
    vg_persistent_chip chip = {s.multiprocessors, (uint64_t)shared};
    vg_persistent_shape shape = {s.cell, s.backward, s.units, s.batch, s.dtype};
    vg_persistent_plan plan = s.choice.units ? vg_persistent_plan_with(chip, shape, s.choice)
                                             : vg_persistent_plan_make(chip, shape, nullptr);
    if (plan.blocks == 0)
        fail_msg("%s: no plan", trial_name(s).c_str());
    return plan;
}

/* Flags and carries, zero and poison. */
struct scan_scratch {
    scratch flags;
    window carry0, carry1;

    scan_scratch(const scan_trial &s, const vg_persistent_plan &plan)
        : flags(VG_FLAG_COUNT(plan.blocks) * sizeof(uint32_t)),
          carry0(VG_FP32, s.batch, s.units, s.pad), carry1(VG_FP32, s.batch, s.units, s.pad)
    {
        std::vector<uint32_t> zeros(VG_FLAG_COUNT(plan.blocks));
        cuda_check(cudaMemcpy(flags.at, zeros.data(), zeros.size() * sizeof(uint32_t),
                              cudaMemcpyHostToDevice),
                   "flags");
        carry0.up(), carry1.up();
    }
};

static inline void cooperate(vg_kernel kernel, const vg_persistent_plan &plan, const void *args)
{
    cudaLaunchAttribute cooperative = {};
    cooperative.id = cudaLaunchAttributeCooperative;
    cooperative.val.cooperative = 1;
    cudaLaunchConfig_t how = {};
    how.gridDim = dim3{plan.blocks, 1, 1};
    how.blockDim = dim3{plan.threads, 1, 1};
    how.dynamicSmemBytes = plan.shared_bytes;
    how.attrs = &cooperative, how.numAttrs = 1;
    void *arguments[] = {(void *)args};
    cuda_check(cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    (int)plan.shared_bytes),
               kernel.name);
    cuda_check(cudaLaunchKernelExC(&how, kernel.function, arguments), kernel.name);
    cuda_check(cudaDeviceSynchronize(), kernel.name);
}

static inline void launch_forward(const scan_trial &s, scan_windows &w,
                                  const vg_persistent_plan &plan, scan_scratch &extra)
{
    vg_scan_fwd_args args = {};
    args.preact_x = w.preact, args.weight_hh = w.weight, args.bias_hh = w.bias;
    args.state0[0] = w.h, args.state0[0].rows = s.batch, args.state0[1] = w.c0;
    args.y = rows_from(w.h, s.batch), args.reserve = w.reserve;
    args.t0 = s.t0, args.t1 = s.t1, args.batch = s.batch, args.units = s.units;
    args.activation = s.activation, args.tf32 = s.dtype == VG_TF32;
    args.flags = (uint32_t *)extra.flags.at, args.tiles = plan.tiles;
    const vg_persistent_tiles &t = plan.tiles;
    cooperate(t.fragments ? vg_scan_persistent_mma_fwd_kernel(s.cell, s.dtype, t.fragments)
                          : vg_scan_persistent_fwd_kernel(s.cell, w.storage, t.chunk > 0),
              plan, &args);
}

static inline void launch_backward(const scan_trial &s, scan_windows &w,
                                   const vg_persistent_plan &plan, scan_scratch &extra)
{
    vg_scan_bwd_args args = {};
    args.reserve = w.reserve, args.y = rows_from(w.h, s.batch), args.weight_hh = w.weight;
    args.state0[0] = w.h, args.state0[0].rows = s.batch, args.state0[1] = w.c0;
    args.dy = w.dy, args.dstateT[0] = w.dh_T, args.dstateT[1] = w.dc_T;
    args.dgates_x = w.dgates_x;
    args.dgates_h = w.cell->gates_differ ? (vg_window)w.dgates_h : (vg_window)w.dgates_x;
    args.dstate0[0] = s.in_place ? (vg_window)w.dh_T : (vg_window)w.dh_0;
    args.dstate0[1] = s.in_place ? (vg_window)w.dc_T : (vg_window)w.dc_0;
    args.dh = w.dh, args.dc = w.dc;
    args.t0 = s.t0, args.t1 = s.t1, args.batch = s.batch, args.units = s.units;
    args.activation = s.activation, args.tf32 = s.dtype == VG_TF32, args.dy_wide = s.dy_wide;
    args.carry[0] = extra.carry0, args.carry[1] = extra.carry1;
    args.flags = (uint32_t *)extra.flags.at, args.tiles = plan.tiles;
    const vg_persistent_tiles &t = plan.tiles;
    cooperate(t.fragments ? vg_scan_persistent_mma_bwd_kernel(s.cell, s.dtype, t.fragments)
                          : vg_scan_persistent_bwd_kernel(s.cell, w.storage, t.chunk > 0),
              plan, &args);
}

/* Comparison. */

struct scan_check {
    const scan_trial &s;
    scan_windows &w;
    vg_precision p;

    scan_check(const scan_trial &s_, scan_windows &w_)
        : s(s_), w(w_), p(vg_precision_of(s_.dtype, w_.storage, VG_DENORMALS_KEEP))
    {
    }
    void near(const char *name, const window &got, uint64_t r, uint32_t j, double want,
              double tolerance)
    {
        double value = (double)got.get(r, j), error = fabs(value - want);
        tolerance += vg_tolerance_stored(got.dtype, want);
        if (!(error <= tolerance))
            fail_msg("%s: %s[%llu, %u] is %.9g, expected %.9g, off by %.3g, tolerance %.3g",
                     trial_name(s).c_str(), name, (unsigned long long)r, j, value, want, error,
                     tolerance);
    }
    /* Rows of steps outside [t0, t1) are as they were before. */
    void untouched(const char *name, const window &got, const window &before, uint64_t first)
    {
        for (uint64_t r = 0; r < got.rows; r++)
            for (uint32_t j = 0; j < got.cols; j++) {
                bool run = r >= first + s.t0 * s.batch && r < first + s.t1 * s.batch;
                if (!run && !same(got.get(r, j), before.get(r, j)))
                    fail_msg("%s: %s[%llu, %u] was written", trial_name(s).c_str(), name,
                             (unsigned long long)r, j);
            }
    }
    /* Σ a[row, k] w(k): its value and its tolerance. */
    template <typename F>
    double product(const window &a, uint64_t row, F weight_at, double *tolerance)
    {
        double sum = 0, magnitude = 0, squares = 0;
        for (uint32_t k = 0; k < a.cols; k++) {
            double term = (double)a.get(row, k) * weight_at(k);
            sum += term, magnitude += fabs(term), squares += term * term;
        }
        *tolerance = vg_tolerance_product(p, a.cols, sum, magnitude, squares);
        return sum;
    }

    void forward_unit(uint64_t t, uint32_t b, uint32_t u)
    {
        const uint32_t units = s.units;
        const uint64_t row = t * s.batch + b;
        double x[VG_MAX_GATES] = {}, h[VG_MAX_GATES] = {}, before[VG_MAX_STATES] = {};
        double after[VG_MAX_STATES] = {}, kept[VG_MAX_KEPT] = {}, argument = 0;
        for (uint32_t g = 0; g < w.cell->gates; g++) {
            double error;
            x[g] = (double)w.preact.get(row, g * units + u);
            h[g] = product(
                w.h, row, [&](uint32_t k) { return (double)w.weight.get(g * units + u, k); },
                &error);
            h[g] += (double)w.bias.get(0, g * units + u);
            argument = std::max(argument, error + 4 * p.eps * (fabs(x[g]) + fabs(h[g]) + 1));
        }
        before[0] = (double)w.h.get(row, u);
        const uint32_t state = w.cell->kept * units + u;
        if (w.cell->states > 1)
            before[1] = t ? (double)w.reserve.get(row - s.batch, state) : (double)w.c0.get(b, u);
        vg_cell_fwd(s.cell, s.activation, x, h, before, after, kept);
        const double base = vg_tolerance_function(p, 1, 1, argument);
        const double more = w.cell->states > 1 ? 2 + fabs(before[1]) : 2;
        near("y", w.h, row + s.batch, u, after[0], more * (base + 8 * p.eps * fabs(after[0])));
        if (w.cell->states > 1)
            near("c", w.reserve, row, state, after[1], more * (base + 8 * p.eps * fabs(after[1])));
        for (uint32_t i = 0; i < w.cell->kept; i++)
            near("kept", w.reserve, row, i * units + u, kept[i],
                 base + argument + 8 * p.eps * fabs(kept[i]));
    }

    /* One unit of one row back through all steps: the carries go on in double. */
    void backward_unit(uint32_t b, uint32_t u)
    {
        const uint32_t units = s.units, gates = w.cell->gates;
        window &exchanged = w.cell->gates_differ ? w.dgates_h : w.dgates_x;
        auto weight_at = [&](uint32_t k) { return (double)w.weight.get(k, u); };
        double carry[VG_MAX_STATES] = {}, error[VG_MAX_STATES] = {};
        if (s.dstateT) {
            carry[0] = (double)before_dh_T[b * units + u];
            carry[1] = w.cell->states > 1 ? (double)before_dc_T[b * units + u] : 0;
        }
        double into = 0, into_error = 0;
        for (uint64_t t = s.t1; t-- > s.t0;) {
            const uint64_t row = t * s.batch + b;
            double k[VG_MAX_KEPT] = {}, s0[VG_MAX_STATES] = {}, s1[VG_MAX_STATES] = {};
            double ds1[VG_MAX_STATES] = {}, ds[VG_MAX_STATES] = {};
            double dx[VG_MAX_GATES] = {}, dgh[VG_MAX_GATES] = {};
            for (uint32_t i = 0; i < w.cell->kept; i++)
                k[i] = (double)w.reserve.get(row, i * units + u);
            s0[0] = (double)w.h.get(row, u);
            s1[0] = (double)w.h.get(row + s.batch, u);
            if (w.cell->states > 1) {
                const uint32_t state = w.cell->kept * units + u;
                s1[1] = (double)w.reserve.get(row, state);
                s0[1] = t ? (double)w.reserve.get(row - s.batch, state) : (double)w.c0.get(b, u);
                ds1[1] = carry[1];
            }
            double dy = 0;
            if (s.dy == scan_trial::DY_ALL)
                dy = (double)w.dy.get(row, u);
            else if (s.dy == scan_trial::DY_LAST && t + 1 == s.t1)
                dy = (double)w.dy.get(b, u);
            ds1[0] = carry[0] + into + dy;
            error[0] += into_error + 4 * p.eps * (fabs(carry[0]) + fabs(into) + fabs(dy));
            vg_cell_bwd(s.cell, s.activation, k, s0, s1, ds1, dx, dgh, ds);
            error[1] += error[0] + 16 * p.eps * (fabs(ds1[0]) + fabs(ds1[1]));
            const double gate_error = error[0] + error[1];
            for (uint32_t g = 0; g < gates; g++) {
                near("dgates_x", w.dgates_x, row, g * units + u, dx[g], gate_error);
                if (w.cell->gates_differ)
                    near("dgates_h", w.dgates_h, row, g * units + u, dgh[g], gate_error);
            }
            if (s.totals)
                near("dh", w.dh, row, u, ds1[0], error[0]);
            if (s.totals && w.cell->states > 1)
                near("dc", w.dc, row, u, ds1[1], error[1]);
            for (uint32_t i = 0; i < w.cell->states; i++) {
                carry[i] = ds[i];
                error[i] += 8 * p.eps * fabs(ds[i]);
            }
            if (!w.cell->gates_differ)
                error[0] = 0; /* nothing but the product goes on */
            into = product(exchanged, row, weight_at, &into_error);
        }
        near("dh_0", s.in_place ? w.dh_T : w.dh_0, b, u, into + carry[0],
             into_error + error[0] + 4 * p.eps * (fabs(into) + fabs(carry[0])));
        if (w.cell->states > 1)
            near("dc_0", s.in_place ? w.dc_T : w.dc_0, b, u, carry[1], error[1]);
    }

    std::vector<float> before_dh_T, before_dc_T;
};

/* Every number that the scan has written, for a comparison of bits. */
static inline std::vector<float> results_of(const scan_trial &s, scan_windows &w)
{
    std::vector<float> out;
    for (window *one : w.all())
        if (one != &w.weight && one != &w.preact && one != &w.bias && one != &w.dy)
            for (uint64_t r = 0; r < one->rows; r++)
                for (uint32_t j = 0; j < one->cols; j++)
                    out.push_back(one->get(r, j));
    (void)s;
    return out;
}

/* Runs a trial, compares every element, and returns all results. */
static inline std::vector<float> run_trial(const scan_trial &s, uint64_t seed)
{
    scan_windows w(s), before(s);
    fill_inputs(s, w, seed), fill_inputs(s, before, seed);
    for (window *one : w.all())
        one->up();
    {
        vg_persistent_plan plan = trial_plan(s);
        scan_scratch extra(s, plan);
        s.backward ? launch_backward(s, w, plan, extra) : launch_forward(s, w, plan, extra);
    }
    for (window *one : w.all())
        one->down(trial_name(s).c_str());
    scan_check check(s, w);
    if (s.backward) {
        for (uint32_t b = 0; s.dstateT && b < s.batch; b++)
            for (uint32_t u = 0; u < s.units; u++) {
                check.before_dh_T.push_back(before.dh_T.get(b, u));
                if (w.cell->states > 1)
                    check.before_dc_T.push_back(before.dc_T.get(b, u));
            }
        for (uint32_t b = 0; b < s.batch; b++)
            for (uint32_t u = 0; u < s.units; u++)
                check.backward_unit(b, u);
        check.untouched("dgates_x", w.dgates_x, before.dgates_x, 0);
        check.untouched("dgates_h", w.dgates_h, before.dgates_h, 0);
        check.untouched("dh", w.dh, before.dh, 0);
        check.untouched("dc", w.dc, before.dc, 0);
    } else {
        for (uint64_t t = s.t0; t < s.t1; t++)
            for (uint32_t b = 0; b < s.batch; b++)
                for (uint32_t u = 0; u < s.units; u++)
                    check.forward_unit(t, b, u);
        check.untouched("y", w.h, before.h, s.batch);
        check.untouched("reserve", w.reserve, before.reserve, 0);
    }
    return results_of(s, w);
}

/* As run_trial(), on an emulated chip of so many multiprocessors under a schedule. */
static inline std::vector<float> run_scheduled(const scan_trial &s, uint64_t data, int policy,
                                               uint64_t seed)
{
#if defined(VG_CUDA_EMULATED)
    emu_settings settings = emu_defaults();
    settings.policy = (emu_policy)policy;
    settings.seed = seed;
    settings.multiprocessors = s.multiprocessors;
    assert_int_equal(emu_reset(&settings), 0);
#else
    (void)policy, (void)seed;
#endif
    return run_trial(s, data);
}

/* Seeds of the schedules: from the clock, or VG_SEED; printed. */
static inline uint64_t schedule_seed(void)
{
    const char *asked = getenv("VG_SEED");
    uint64_t seed = asked ? strtoull(asked, nullptr, 0) : (uint64_t)time(nullptr);
    print_message("VG_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
