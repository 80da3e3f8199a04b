/* Networks whose gradients are known in closed form, through the whole path from a case's name to
 * its decay, on every device that is usable here. */
#include "bounds.h"
#include "vg/tolerance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run_model.h"

static const double log10_2 = 0.301029995663981195, ln_10 = 2.302585092994045684;

static vg_status read_weight(void *context, const vg_tensor *tensor, double *out)
{
    const run_model *run = context;
    return run->driver->read(run->exec, tensor->mat, out);
}

static vg_profile_rows rows_of(run_model *run)
{
    vg_profile_rows rows;
    run_try(run, "rows",
            vg_profile_rows_make(run->program, run->slots, read_weight, run, 1 << 20, &rows));
    run_try(run, "bounds", vg_bounds_check(run->program, &rows));
    return rows;
}

/* The decay over depth, or over time of a layer from 1. */
static vg_decay decay_of(run_model *run, uint32_t layer)
{
    vg_profile_rows rows = rows_of(run);
    assert_true(layer < rows.decay_count);
    vg_decay decay = rows.decays[layer];
    vg_profile_rows_free(&rows);
    return decay;
}

/* Rounding over the whole of a net, in log10. */
static double rounding(const run_model *run, double passed, double derivative)
{
    const vg_model *m = &run->model;
    vg_dtype dtype = run->driver->oracle ? VG_FP64 : m->dtype;
    double reduction = (double)m->width * (double)m->seq_len * m->depth;
    return vg_tolerance_norm(dtype, false, reduction, passed, derivative) / ln_10;
}

static void verdict(const run_model *run, const vg_decay *decay, vg_verdict expected)
{
    if (decay->verdict != expected)
        fail_msg("%s on %s: %s, expected %s", run->name, run->on, vg_verdict_name(decay->verdict),
                 vg_verdict_name(expected));
}

/* ∂h_T/∂h_0 = Π a (1 - h_t²); a > 1 saturates, and vanishes all the same. */
static void scalar_rnn(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        double value, log10_ratio, half_digit;
        vg_verdict verdict;
    } table[] = {
        {"0.3", 0.3, -52.299, 5e-4, VG_VANISHING}, {"0.5", 0.5, -30.139, 5e-4, VG_VANISHING},
        {"0.9", 0.9, -4.930, 5e-4, VG_VANISHING},  {"1", 1.0, -1.884, 5e-4, VG_STABLE},
        {"1.5", 1.5, -39.596, 5e-4, VG_VANISHING}, {"3", 3.0, -150.06, 5e-3, VG_VANISHING},
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            char name[VG_CASE_NAME];
            snprintf(name, sizeof name,
                     "rnn-tanh/d1/w1/b1/t100/fp32/identity%s%s/loss-ones/x-zero/h0-0.5/seed1",
                     table[i].value == 1 ? "" : ":", table[i].value == 1 ? "" : table[i].a);
            double h = 0.5, a = (float)table[i].value, expected = 0, slope = 0;
            for (int t = 0; t < 100; t++) {
                h = tanh(a * h);
                expected += log10(a * (1 - h * h));
                slope += (1 - h * h) / 100;
            }
            run_model run;
            run_start(&run, name, on);
            vg_decay decay = decay_of(&run, 1);
            double tolerance = rounding(&run, 100, slope);
            run_near(&run, "product", decay.log10_ratio, expected, tolerance);
            run_near(&run, "table", decay.log10_ratio, table[i].log10_ratio,
                     table[i].half_digit + tolerance);
            run_near(&run, "linearised", decay.spectral_radius, a, 1e-12);
            verdict(&run, &decay, table[i].verdict);
            run_free(&run);
        }
}

/* dy = (1, 1) is an eigenvector of W_hhᵀ, whose columns sum to λ: 2^T explodes, 0.3^T vanishes.
 * Both leave the range of fp32 and stay in the exact reading. */
static void linear_rnn(void **state)
{
    (void)state;
    enum { T = 1000 };
    static const struct {
        double w[4], lambda;
        int64_t first, last; /* where fp32 no longer holds λ^k, from .. to */
        vg_verdict verdict;
    } table[] = {
        {{1.5, -0.25, 0.5, 2.25}, 2, 128, 128, VG_EXPLODING},
        {{0.25, 0.15, 0.05, 0.15}, 0.3, 76, 88, VG_VANISHING},
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < 2; i++) {
            run_model run;
            run_load(&run, "rnn-identity/d1/w2/b1/t1000/fp32/identity/loss-ones/x-zero/seed1", on,
                     NULL, 0);
            run_write(&run, "weight_hh_l0", table[i].w);
            run_passes(&run, RUN_ALL);
            vg_decay decay = decay_of(&run, 1);
            double tolerance = rounding(&run, T, 1);
            /* fp32 rounds 0.3 and its parts by up to 2^-25 of themselves. */
            tolerance += table[i].lambda == 2 ? 0 : T * 0x1p-23;
            run_near(&run, "ratio", decay.log10_ratio, T * log10(table[i].lambda), tolerance);
            run_near(&run, "rate", log10(decay.rate), log10(table[i].lambda),
                     tolerance / T + 1e-12);
            verdict(&run, &decay, table[i].verdict);
            bool at = decay.underflow_at >= table[i].first && decay.underflow_at <= table[i].last;
            if (!run.driver->oracle && !at)
                fail_msg("%s on %s: left the range at %d", run.name, run.on,
                         (int)decay.underflow_at);
            run_free(&run);
        }
}

/* IRNN on a non-negative drive: dh of every unit k steps back is 2^-k, bit for bit. fp32 holds it
 * as a normal number to k = 126, as a subnormal one to 149, then zero; flushing, zero from 127. */
static void check_irnn(const run_model *run, bool flush)
{
    const vg_profile *dh = run_profile(run, "dh", 1);
    const uint64_t elements = 24, T = 160;
    for (uint64_t k = 0; k <= T; k++) {
        const vg_slot *plain = &run->slots[dh->plain + T - k];
        const vg_slot *exact = &run->slots[dh->exact + T - k];
        uint64_t step = T - k, j = step > 0 ? (step - 1) / dh->piece : 0;
        int64_t e = run->slots[dh->exponent + j].exponent;
        int shift = (int)(-(int64_t)k - e);
        bool wide = run->driver->oracle, zero = !wide && k > (flush ? 126 : 149);
        bool subnormal = !wide && !zero && k > 126;
        run_near(run, "plain", plain->max_abs, zero ? 0 : ldexp(1, -(int)k), 0);
        run_near(run, "zeros", (double)plain->zeros, zero ? elements : 0, 0);
        run_near(run, "subnormals", (double)plain->subnormals, subnormal ? elements : 0, 0);
        run_near(run, "exact", exact->max_abs, ldexp(1, shift), 0);
        run_near(run, "exact", exact->sum_squares, ldexp((double)elements, 2 * shift), 0);
        if (step > 0)
            run_near(run, "census", run->slots[dh->census + step - 1].mean_abs_derivative, 1, 0);
    }
}

static void identity_rnn_bit_for_bit(void **state)
{
    (void)state;
    const char *name = "rnn-relu/d1/w8/b3/t160/fp32/identity:0.5/loss-ones/x-abs/seed1";
    for (EACH_DEVICE(on))
        for (int flush = 0; flush < 2; flush++)
            for (uint64_t piece = 1; piece <= 16; piece *= 16) {
                vg_device_options options = {.threads = 1,
                                             .bind = VG_BIND_NONE,
                                             .denormals =
                                                 flush ? VG_DENORMALS_FLUSH : VG_DENORMALS_KEEP};
                run_model run;
                run_load(&run, name, on, &options, piece);
                run_passes(&run, RUN_ALL);
                check_irnn(&run, run.applied.denormals == VG_DENORMALS_FLUSH);
                vg_decay decay = decay_of(&run, 1);
                run_near(&run, "ratio", decay.log10_ratio, -160 * log10_2, 1e-11);
                run_near(&run, "rate", decay.rate, 0.5, 1e-12);
                run_free(&run);
            }
}

/* At 10^-4 a step fp32 loses a signal within a piece of 16 steps, whatever it starts at, and says
 * so; in pieces of one step every exponent stays exact. */
static void pieces_too_long(void **state)
{
    (void)state;
    const char *name = "rnn-identity/d1/w4/b1/t200/fp32/identity:1e-4/loss-ones/x-zero/seed1";
    for (EACH_DEVICE(on))
        for (uint64_t piece = 1; piece <= 16; piece *= 16) {
            run_model run;
            run_load(&run, name, on, NULL, piece);
            run_passes(&run, RUN_ALL);
            bool lost = piece > 1 && !run.driver->oracle;
            assert_int_equal(vg_profile_needs_finer(run.program, run.slots), lost);
            vg_decay decay = decay_of(&run, 1);
            if (!lost)
                run_near(&run, "ratio", decay.log10_ratio, 200 * log10((float)1e-4),
                         rounding(&run, 200, 1));
            else
                verdict(&run, &decay, VG_DEAD);
            run_free(&run);
        }
}

static void orthogonal_keeps_the_norm(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double passed;
        uint32_t decay;
    } table[] = {
        {"stack-identity/d64/w48/b4/fp32/orthogonal/loss-random/seed1", 64, 0},
        {"rnn-identity/d1/w32/b4/t1000/fp32/orthogonal/loss-random/seed1", 1000, 1},
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < 2; i++) {
            run_model run;
            run_start(&run, table[i].name, on);
            vg_decay decay = decay_of(&run, table[i].decay);
            run_near(&run, "ratio", pow(10, decay.log10_ratio), 1,
                     1e-5 * sqrt(table[i].passed / 1000));
            verdict(&run, &decay, VG_STABLE);
            run_near(&run, "sigma", decay.sigma_max, 1, 1e-6);
            run_free(&run);
        }
}

/* All weights zero: what is left is the way through the cell state (LSTM), or through the update
 * gate (GRU), at sigmoid(bias) a step. */
static void zero_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        size_t gates;
        double bias, rate;
    } table[] = {
        {"lstm/d1/w4/b2/t64/fp32/uniform/loss-random/seed1", "dc", 4, 0, 0.5},
        {"lstm/d1/w4/b2/t64/fp32/uniform/loss-random/seed1", "dc", 4, 1, 0.7311},
        {"lstm/d1/w4/b2/t64/fp32/uniform/loss-random/seed1", "dc", 4, 2, 0.8808},
        {"gru/d1/w4/b2/t64/fp32/uniform/loss-random/h0-1/seed1", "dh", 3, 0, 0.5},
        {"gru/d1/w4/b2/t64/fp32/uniform/loss-random/h0-1/seed1", "dh", 3, 1, 0.7311},
        {"gru/d1/w4/b2/t64/fp32/uniform/loss-random/h0-1/seed1", "dh", 3, 2, 0.8808},
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            run_model run;
            run_load(&run, table[i].name, on, NULL, 0);
            run_write_all(&run, "weight_ih_l0", 0);
            run_write_all(&run, "weight_hh_l0", 0);
            run_write_all(&run, "bias_hh_l0", 0);
            double bias[16] = {0};
            for (size_t j = 0; j < 4; j++)
                bias[4 + j] = table[i].bias; /* the second gate: f, z */
            run_write(&run, "bias_ih_l0", bias);
            run_passes(&run, RUN_ALL);
            const vg_profile *p = run_profile(&run, table[i].tensor, 1);
            double rate = 1 / (1 + exp(-table[i].bias)), last = 0;
            run_near(&run, "table", rate, table[i].rate, 5e-5);
            for (uint64_t step = 65; step-- > 0;) {
                int64_t e = run.slots[p->exponent + (step ? step - 1 : 0)].exponent;
                double log10_norm = vg_slot_log10(&run.slots[p->exact + step], e);
                if (step < 64)
                    run_near(&run, "rate a step", log10_norm - last, log10(rate),
                             rounding(&run, 1, 1));
                last = log10_norm;
            }
            vg_decay decay = decay_of(&run, 1);
            verdict(&run, &decay,
                    table[i].gates == 4      ? VG_DEAD
                    : decay.log10_ratio < -3 ? VG_VANISHING
                                             : VG_STABLE);
            run_free(&run);
        }
}

/* Measured norms keep to their bounds (rows_of() checks that), and the bounds are not empty. */
static void spectral_bounds(void **state)
{
    (void)state;
    static const char *const names[] = {
        "rnn-tanh/d1/w24/b3/t60/fp32/uniform/seed1",
        "rnn-tanh/d2/w24/b3/t60/fp32/normal:2/loss-random/seed2",
        "rnn-relu/d1/w24/b3/t60/fp32/orthogonal:1.2/seed3",
        "rnn-sigmoid/d1/w24/o5/b3/t60/fp32/normal:5:0.3/seed4",
        "stack-sigmoid/d20/w24/b3/fp32/xavier/seed1",
        "stack-tanh/d20/w24/i10/b3/fp32/xavier/residual/seed2",
        "stack-relu+sigmoid/d20/w24/b3/fp32/he/seed3",
        "stack-maxout/d20/w24/b3/fp32/lecun/seed4",
        "stack-leaky_relu/d20/w24/o7/b3/fp32/he/alpha0.2/seed5",
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            run_model run;
            run_start(&run, names[i], on);
            vg_profile_rows rows = rows_of(&run);
            const vg_decay *decay = &rows.decays[rows.decay_count - 1];
            assert_false(isnan(decay->bound_log10_ratio) || isnan(decay->sigma_max));
            assert_true(decay->log10_ratio < decay->bound_log10_ratio);
            if (run.model.kind != VG_stack)
                assert_true(decay->spectral_radius < decay->sigma_max * (1 + 1e-6));
            vg_profile_rows_free(&rows);
            run_free(&run);
        }
}

/* The typical rate of a linear rnn is its spectral radius, well under the largest singular value.
 */
static void rate_is_the_spectral_radius(void **state)
{
    (void)state;
    for (EACH_DEVICE(on)) {
        run_model run;
        run_start(&run, "rnn-identity/d1/w24/b3/t600/fp32/spectral:0.9/seed1", on);
        vg_decay decay = decay_of(&run, 1);
        run_near(&run, "radius", decay.spectral_radius, 0.9, 1e-6);
        run_near(&run, "rate", decay.rate, 0.9, 0.002);
        assert_true(decay.sigma_max > 1.3);
        run_free(&run);
    }
}

/* 64 layers: what theory says, within four deviations of a single net (β = L (3 μ₂/μ₁² - 1)/W). */
static void deep_stacks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double log10_ratio, beta;
        vg_verdict verdict;
    } table[] = {
        {"stack-sigmoid/d64/w128/b4/fp32/xavier/seed1", -40.18, 1.02, VG_VANISHING},
        {"stack-tanh/d64/w128/b4/fp32/xavier/seed1", -0.976, 1.1, VG_STABLE},
        {"stack-relu/d64/w128/b4/fp32/he/seed1", 0, 2.5, VG_STABLE},
    };
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < 3; i++) {
            run_model run;
            run_start(&run, table[i].name, on);
            vg_decay decay = decay_of(&run, 0);
            double expected = table[i].log10_ratio - table[i].beta / 4 / ln_10;
            run_near(&run, "ratio", decay.log10_ratio, expected,
                     4 * sqrt(1.5 * table[i].beta) / 2 / ln_10);
            run_near(&run, "predicted", decay.predicted_log10_ratio, table[i].log10_ratio, 5e-3);
            verdict(&run, &decay, table[i].verdict);
            run_free(&run);
        }
}

/* Sigmoid and Glorot weights lose fp32's normal numbers near layer 60. What comes after is still
 * within 1 % as long as subnormal numbers are kept and have bits left: to near layer 69. */
static void sigmoid_leaves_the_range(void **state)
{
    (void)state;
    for (EACH_DEVICE(on))
        for (int flush = 0; flush < 2; flush++) {
            vg_device_options options = {.threads = 1,
                                         .bind = VG_BIND_NONE,
                                         .denormals =
                                             flush ? VG_DENORMALS_FLUSH : VG_DENORMALS_KEEP};
            run_model run;
            run_load(&run, "stack-sigmoid/d80/w64/b4/fp32/xavier/seed1", on, &options, 0);
            run_passes(&run, RUN_ALL);
            vg_decay decay = decay_of(&run, 0);
            bool flushed = run.applied.denormals == VG_DENORMALS_FLUSH;
            int64_t least = flushed ? 57 : 66, most = flushed ? 62 : 71, at = decay.underflow_at;
            if (run.driver->oracle ? at != -1 : at < least || at > most)
                fail_msg("%s on %s: left the range at %d", run.name, run.on, (int)at);
            uint64_t subnormals = 0;
            for (uint32_t l = 30; l > 0; l--)
                subnormals += run.slots[run_profile(&run, "dh", l)->plain].subnormals;
            assert_int_equal(subnormals > 0, !run.driver->oracle && !flushed);
            run_near(&run, "exact all the same", decay.log10_ratio, decay.predicted_log10_ratio,
                     1.5);
            run_free(&run);
        }
}

/* Double leaves its range near layer 500: its squares did at 250, which nothing may show. */
static void sigmoid_leaves_the_range_of_double(void **state)
{
    (void)state;
    run_model run;
    run_start(&run, "stack-sigmoid/d600/w16/b2/fp64/xavier/seed1", "ref");
    vg_decay decay = decay_of(&run, 0);
    double per_layer = decay.log10_ratio / 600;
    run_near(&run, "left the range", (double)decay.underflow_at * per_layer, -322, 3);
    const vg_slot *deep = &run.slots[run_profile(&run, "dh", 250)->plain];
    assert_true(deep->max_abs > 0 && deep->sum_squares > 0 && vg_slot_norm(deep) >= deep->max_abs);
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_rnn),
        cmocka_unit_test(linear_rnn),
        cmocka_unit_test(identity_rnn_bit_for_bit),
        cmocka_unit_test(pieces_too_long),
        cmocka_unit_test(orthogonal_keeps_the_norm),
        cmocka_unit_test(zero_weights),
        cmocka_unit_test(spectral_bounds),
        cmocka_unit_test(rate_is_the_spectral_radius),
        cmocka_unit_test(deep_stacks),
        cmocka_unit_test(sigmoid_leaves_the_range),
        cmocka_unit_test(sigmoid_leaves_the_range_of_double),
    };
    return cmocka_run_group_tests(tests, run_find_devices, run_free_devices);
}
