/* A trial of a run of equal dense layers in one kernel: its windows, its launch, and each layer in
 * double from the device's own numbers. C++; include after cmocka. */
#ifndef VG_TESTS_STACK_TRIAL_H
#define VG_TESTS_STACK_TRIAL_H

#include "scan_m_trial.h"
#include "stack_kernels.h"

#include <memory>

struct stack_trial {
    bool backward, residual;
    uint32_t depth, units, batch;
    vg_activation activation; /* VG_ACTIVATION_COUNT: another one each layer */
    uint32_t pad, shift;      /* of every window's rows */
    uint32_t multiprocessors;
    vg_stack_choice choice; /* units 0: the plan's own */
};

static inline std::string stack_name(const stack_trial &s)
{
    char text[300];
    const vg_stack_choice &c = s.choice;
    snprintf(text, sizeof text,
             "stack %s depth=%u W=%u B=%u %s%s pad=%u shift=%u sms=%u choice {%u,%u,%u,%u,%u,%u}",
             s.backward ? "bwd" : "fwd", s.depth, s.units, s.batch,
             s.activation < VG_ACTIVATION_COUNT ? vg_activation_find(s.activation)->name : "all",
             s.residual ? " residual" : "", s.pad, s.shift, s.multiprocessors, c.units, c.rows,
             c.depth_warps, c.row_warps, c.at_once, c.stages);
    return text;
}

static const vg_activation stack_activations[] = {VG_sigmoid, VG_tanh, VG_relu, VG_leaky_relu,
                                                  VG_identity};
enum { STACK_ACTIVATIONS = sizeof stack_activations / sizeof *stack_activations };
static const float stack_alpha = 0.125f;

static inline vg_activation stack_activation(const stack_trial &s, uint32_t layer)
{
    return s.activation < VG_ACTIVATION_COUNT ? s.activation
                                              : stack_activations[layer % STACK_ACTIVATIONS];
}

typedef std::vector<std::unique_ptr<window>> windows;

struct stack_windows {
    const stack_trial &s;
    windows weight, bias;
    windows flow; /* depth + 1: x, then every y; backward the dy that comes in, then every dx */
    windows a;    /* the activations' outputs: what a residual layer writes, or backward reads */
    windows dz;   /* backward, but with the identity */

    explicit stack_windows(const stack_trial &trial) : s(trial)
    {
        flow.push_back(make(s.batch));
        for (uint32_t l = 0; l < s.depth; l++) {
            weight.push_back(make(s.units));
            bias.push_back(make(s.backward ? 0 : 1));
            flow.push_back(make(s.batch));
            a.push_back(make(s.backward || s.residual ? s.batch : 0));
            dz.push_back(make(s.backward && stack_activation(s, l) != VG_identity ? s.batch : 0));
        }
    }
    std::unique_ptr<window> make(uint64_t rows) const
    {
        return std::unique_ptr<window>(new window(VG_FP32, rows, s.units, s.pad, s.shift));
    }
    std::vector<window *> all() const
    {
        std::vector<window *> out;
        for (const windows *some : {&weight, &bias, &flow, &a, &dz})
            for (const std::unique_ptr<window> &one : *some)
                out.push_back(one.get());
        return out;
    }
    /* Layer l's left operand backward: dz, or dy itself. */
    const window &operand(uint32_t l) const
    {
        return !s.backward || dz[l]->rows == 0 ? *flow[l] : *dz[l];
    }
    /* Only what a run may read; the rest is NaN. */
    void fill(uint64_t seed) const
    {
        for (uint32_t l = 0; l < s.depth; l++) {
            weight[l]->fill_random(seed + 3 * l, 1.7f / sqrtf((float)s.units));
            bias[l]->fill_random(seed + 3 * l + 1, 0.5f);
            if (s.backward)
                a[l]->fill_random(seed + 3 * l + 2, 1);
        }
        flow[0]->fill_random(seed + 1000003, 1);
    }
};

static inline float *place(const window &w)
{
    return (float *)((vg_window)w).at;
}

static inline std::vector<vg_stack_layer> stack_records(const stack_trial &s,
                                                        const stack_windows &w)
{
    std::vector<vg_stack_layer> out(s.depth + s.backward);
    for (uint32_t l = 0; l < s.depth; l++) {
        vg_stack_layer &layer = out[l + s.backward];
        layer.weight = place(*w.weight[l]), layer.operand = place(w.operand(l));
        layer.skip = s.residual ? place(*w.flow[l]) : nullptr;
        layer.out = place(*w.flow[l + 1]);
        if (!s.backward) {
            layer.bias = place(*w.bias[l]), layer.a = place(*w.a[l]);
            layer.activation = stack_activation(s, l), layer.alpha = stack_alpha;
            continue;
        }
        vg_stack_layer &before = out[l];
        before.out = place(*w.flow[l]), before.dz = place(*w.dz[l]);
        before.a = before.dz ? place(*w.a[l]) : nullptr;
        before.activation = stack_activation(s, l), before.alpha = stack_alpha;
    }
    return out;
}

static inline vg_stack_plan stack_plan(const stack_trial &s)
{
    int shared = 0;
    cuda_check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
               "attribute");
    const vg_persistent_chip chip = {s.multiprocessors, (uint64_t)shared};
    const vg_stack_shape shape = {s.units, s.batch};
    const vg_stack_plan plan = s.choice.units ? vg_stack_plan_with(chip, shape, s.choice)
                                              : vg_stack_plan_make(chip, shape);
    if (plan.blocks == 0)
        fail_msg("%s: no plan", stack_name(s).c_str());
    return plan;
}

static inline void stack_launch(const stack_trial &s, const stack_windows &w)
{
    const vg_stack_plan plan = stack_plan(s);
    const std::vector<vg_stack_layer> records = stack_records(s, w);
    const std::vector<uint32_t> zeros(VG_FLAG_COUNT(plan.blocks));
    const size_t bytes = records.size() * sizeof records[0];
    scratch table(bytes), flags(zeros.size() * sizeof zeros[0]);
    cuda_check(cudaMemcpy(table.at, records.data(), bytes, cudaMemcpyHostToDevice), "records");
    cuda_check(
        cudaMemcpy(flags.at, zeros.data(), zeros.size() * sizeof zeros[0], cudaMemcpyHostToDevice),
        "flags");
    vg_stack_args args = {};
    args.layers = (const vg_stack_layer *)table.at, args.count = s.depth;
    args.batch = s.batch, args.units = s.units, args.stages = plan.stages;
    args.ld = w.flow[0]->ld, args.weight_ld = w.weight[0]->ld;
    args.flags = (uint32_t *)flags.at, args.tiles = plan.tiles;
    vg_persistent_plan launched = {};
    launched.blocks = plan.blocks, launched.threads = plan.threads;
    launched.shared_bytes = plan.shared_bytes;
    cooperate(s.backward ? vg_stack_bwd_kernel(plan.at_once) : vg_stack_fwd_kernel(plan.at_once),
              launched, &args);
}

struct stack_check {
    const stack_trial &s;
    const stack_windows &w;
    vg_precision p;

    stack_check(const stack_trial &s_, const stack_windows &w_)
        : s(s_), w(w_), p(vg_precision_of(VG_FP32, VG_FP32, VG_DENORMALS_KEEP))
    {
    }
    void near(const char *name, uint32_t l, const window &got, uint64_t r, uint32_t j, double want,
              double tolerance) const
    {
        const double value = (double)got.get(r, j);
        if (!(fabs(value - want) <= tolerance))
            fail_msg("%s: layer %u: %s[%llu, %u] is %.9g, expected %.9g, tolerance %.3g",
                     stack_name(s).c_str(), l, name, (unsigned long long)r, j, value, want,
                     tolerance);
    }
    /* Σ operand[row, k] weight(k): its value and its tolerance. */
    template <typename F>
    double product(uint32_t l, uint64_t row, F weight_at, double *tolerance) const
    {
        double sum = 0, magnitude = 0;
        for (uint32_t k = 0; k < s.units; k++) {
            const double term = (double)w.operand(l).get(row, k) * (double)weight_at(k);
            sum += term, magnitude += fabs(term);
        }
        *tolerance = vg_tolerance_sum(p, s.units, magnitude);
        return sum;
    }
    void forward(uint32_t l, uint64_t r, uint32_t j) const
    {
        double error;
        const double bias = (double)w.bias[l]->get(0, j);
        const double z =
            bias + product(
                       l, r, [&](uint32_t k) { return w.weight[l]->get(j, k); }, &error);
        const double a = vf_activate(stack_activation(s, l), z, (double)stack_alpha);
        const double tolerance =
            vg_tolerance_function(p, a, 1, error + 4 * p.eps * (fabs(z) + fabs(bias)));
        if (!s.residual) {
            near("y", l, *w.flow[l + 1], r, j, a, tolerance);
            return;
        }
        const double skip = (double)w.flow[l]->get(r, j);
        near("a", l, *w.a[l], r, j, a, tolerance);
        near("y", l, *w.flow[l + 1], r, j, a + skip, tolerance + p.eps * fabs(a + skip));
    }
    void backward(uint32_t l, uint64_t r, uint32_t j) const
    {
        double error;
        const double dy = (double)w.flow[l]->get(r, j);
        if (w.dz[l]->rows) {
            const double slope = vf_activation_derivative(
                stack_activation(s, l), (double)w.a[l]->get(r, j), (double)stack_alpha);
            near("dz", l, *w.dz[l], r, j, dy * slope, 8 * p.eps * fabs(dy) + p.tiny);
        }
        double dx = product(
            l, r, [&](uint32_t k) { return w.weight[l]->get(k, j); }, &error);
        if (s.residual)
            dx += dy, error += p.eps * (fabs(dx) + fabs(dy));
        near("dx", l, *w.flow[l + 1], r, j, dx, error);
    }
};

/* Runs a trial on an emulated chip of so many multiprocessors under a schedule, compares every
 * element, and returns all that the run has written. */
static inline std::vector<float> run_stack(const stack_trial &s, uint64_t data, int policy,
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
    std::vector<float> out;
    const stack_windows w(s);
    const stack_check check(s, w);
    w.fill(data);
    for (window *one : w.all())
        one->up();
    stack_launch(s, w);
    for (window *one : w.all())
        one->down(stack_name(s).c_str());
    for (uint32_t l = 0; l < s.depth; l++)
        for (uint64_t r = 0; r < s.batch; r++)
            for (uint32_t j = 0; j < s.units; j++) {
                s.backward ? check.backward(l, r, j) : check.forward(l, r, j);
                out.push_back(w.flow[l + 1]->get(r, j));
            }
    return out;
}

#endif
