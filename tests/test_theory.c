/* Mean-field theory against published and closed-form numbers. */
#include "theory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void near(const char *what, double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s: %.17g, expected %.17g, tolerance %g", what, value, expected, tolerance);
}

static double activate(vg_activation activation, double alpha, double u, double *derivative)
{
    double f;
    switch (activation) {
    case VG_sigmoid:
        f = 1 / (1 + exp(-u));
        *derivative = f * (1 - f);
        return f;
    case VG_tanh:
        f = tanh(u);
        *derivative = (1 - f) * (1 + f);
        return f;
    case VG_relu:
    case VG_leaky_relu:
        *derivative = u > 0 ? 1 : activation == VG_relu ? 0 : alpha;
        return u * *derivative;
    default: *derivative = 1; return u;
    }
}

/* Simpson's rule in z with a node at the kink and so many points that f' is resolved. */
static vg_moments simpson(vg_activation activation, double alpha, double q)
{
    int half = 1000 * (int)ceil(12 * fmax(1, sqrt(q) / 8));
    double h = 12.0 / half;
    vg_moments sum = {0, 0, 0};
    for (int i = -half; i <= half; i++) {
        double z = i * h, d, f = activate(activation, alpha, sqrt(q) * z, &d);
        double weight = (i == -half || i == half ? 1 : (i + half) % 2 ? 4 : 2) * h / 3;
        weight *= exp(-z * z / 2) / sqrt(2 * 3.14159265358979323846);
        if (i == 0 && (activation == VG_relu || activation == VG_leaky_relu))
            d = sqrt((1 + alpha * alpha * (activation == VG_leaky_relu)) / 2);
        sum.f2 += weight * f * f;
        sum.d2 += weight * d * d;
        sum.d4 += weight * d * d * d * d;
    }
    return sum;
}

static void moments_against_simpson(void **state)
{
    (void)state;
    static const double qs[] = {1e-6, 0.01, 0.3, 1, 2.5, 9, 11, 12, 30, 400, 1e4, 1e6};
    static const vg_activation smooth[] = {VG_sigmoid, VG_tanh, VG_identity};
    for (size_t a = 0; a < 3; a++)
        for (size_t i = 0; i < sizeof qs / sizeof qs[0]; i++) {
            vg_moments m = vg_theory_moments(smooth[a], 0, qs[i]);
            vg_moments s = simpson(smooth[a], 0, qs[i]);
            near("E[f^2]", m.f2, s.f2, 1e-9 * fmax(s.f2, 1));
            near("E[f'^2]", m.d2, s.d2, 1e-9);
            near("E[f'^4]", m.d4, s.d4, 1e-9);
        }
    near("small q, relative", vg_theory_moments(VG_tanh, 0, 1e-12).f2 * 1e12, 1, 1e-9);
}

static void moments_with_a_kink(void **state)
{
    (void)state;
    for (int leaky = 0; leaky < 2; leaky++) {
        double alpha = 0.3;
        vg_activation activation = leaky ? VG_leaky_relu : VG_relu;
        vg_moments m = vg_theory_moments(activation, alpha, 2.5);
        vg_moments s = simpson(activation, alpha, 2.5);
        near("E[f^2]", m.f2, s.f2, 1e-8);
        near("E[f'^2]", m.d2, s.d2, 1e-8);
        near("E[f'^4]", m.d4, leaky ? (1 + pow(alpha, 4)) / 2 : 0.5, 1e-15);
    }
    vg_moments maxout = vg_theory_moments(VG_maxout, 0, 1.7);
    near("maxout E[f^2]", maxout.f2, 1.7, 1e-15);
    near("maxout E[f'^2]", maxout.d2, 1, 0);
}

static void moments_at_zero(void **state)
{
    (void)state;
    static const struct {
        vg_activation activation;
        double f2, d2, d4;
    } table[] = {
        {VG_sigmoid, 0.25, 1.0 / 16, 1.0 / 256}, {VG_tanh, 0, 1, 1},     {VG_relu, 0, 0, 0},
        {VG_leaky_relu, 0, 0.0625, 0.00390625},  {VG_identity, 0, 1, 1}, {VG_maxout, 0, 1, 1}};
    for (size_t i = 0; i < 6; i++) {
        vg_moments m = vg_theory_moments(table[i].activation, 0.25, 0);
        near("f2", m.f2, table[i].f2, 0);
        near("d2", m.d2, table[i].d2, 0);
        near("d4", m.d4, table[i].d4, 0);
    }
}

/* The published points: chi_1 at the fixed point. */
static void fixed_points(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vg_activation activation;
        double alpha, sw2, sb2, chi, tolerance;
    } table[] = {
        {"tanh 0.9", VG_tanh, 0, 0.81, 0, 0.8100, 1e-12},
        {"tanh 1.1", VG_tanh, 0, 1.21, 0, 1.01019, 5e-6},
        {"tanh 2.0", VG_tanh, 0, 4, 0, 1.36267, 5e-6},
        {"tanh, critical", VG_tanh, 0, 1.76096, 0.05, 1, 5e-6},
        {"sigmoid 1", VG_sigmoid, 0, 1, 0, 0.055721, 5e-7},
        {"sigmoid 4", VG_sigmoid, 0, 16, 0, 0.398879, 5e-7},
        {"relu", VG_relu, 0, 1.5, 0.1, 0.75, 1e-15},
        {"leaky relu", VG_leaky_relu, 0.2, 1.5, 0, 0.78, 1e-15},
        {"maxout", VG_maxout, 0, 1.5, 0, 1.5, 1e-15},
        {"identity", VG_identity, 0, 0.5, 1, 0.5, 1e-15},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        double q, chi;
        vg_theory_fixed_point(table[i].activation, table[i].alpha, table[i].sw2, table[i].sb2, &q,
                              &chi);
        near(table[i].name, chi, table[i].chi, table[i].tolerance);
        double f2 = vg_theory_moments(table[i].activation, table[i].alpha, q).f2;
        if (isfinite(q))
            near(table[i].name, table[i].sw2 * f2 + table[i].sb2, q, 1e-10);
    }
    double q, chi;
    vg_theory_fixed_point(VG_identity, 0, 0.5, 1, &q, &chi);
    near("q of a linear layer", q, 2, 1e-15);
    vg_theory_fixed_point(VG_relu, 0, 2, 0, &q, &chi);
    assert_true(isnan(q));
    vg_theory_fixed_point(VG_relu, 0, 2.1, 0, &q, &chi);
    assert_true(isinf(q));
}

/* Where chi_1 = 1 at sb2 = 0.05, found anew. */
static void criticality(void **state)
{
    (void)state;
    double low = 1, high = 3, q, chi;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        vg_theory_fixed_point(VG_tanh, 0, middle, 0.05, &q, &chi);
        *(chi < 1 ? &low : &high) = middle;
    }
    near("critical sw2", low, 1.760955, 1e-6);
}

/* tanh at sw = 1, sb = 0: the product of chi over L layers falls as 0.71/L. */
static void power_law(void **state)
{
    (void)state;
    double q = 1, log_product = 0;
    for (int l = 1; l <= 10000; l++) {
        vg_moments m = vg_theory_moments(VG_tanh, 0, q);
        log_product += log(m.d2);
        q = m.f2;
        if (l == 10 || l == 100 || l == 1000 || l == 10000)
            near("L times the product", exp(log_product) * l, 0.71, 0.005);
    }
}

static vg_model stack_of(vg_activation activation, vg_init init)
{
    return (vg_model){.kind = VG_stack,
                      .activation = activation,
                      .output_activation = activation,
                      .init = init,
                      .depth = 64,
                      .width = 256,
                      .input = 256,
                      .batch = 32,
                      .seq_len = 1,
                      .alpha = 0.01,
                      .pieces = 2,
                      .x = VG_X_NORMAL};
}

static void depth_64(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vg_activation activation;
        vg_init init;
        double log10_ratio, tolerance, rate;
    } table[] = {
        {"tanh", VG_tanh, {VG_INIT_XAVIER, 0, 0}, -0.976, 5e-4, 1},
        {"sigmoid", VG_sigmoid, {VG_INIT_XAVIER, 0, 0}, -40.18, 5e-3, 0.236052},
        {"relu, He", VG_relu, {VG_INIT_HE, 0, 0}, 0, 1e-12, 1},
        {"leaky relu, He", VG_leaky_relu, {VG_INIT_HE, 0, 0}, 0, 1e-12, 1},
        {"relu, LeCun", VG_relu, {VG_INIT_LECUN, 0, 0}, -9.633, 5e-4, 0.707107},
        {"maxout, LeCun", VG_maxout, {VG_INIT_LECUN, 0, 0}, 0, 1e-12, 1},
        {"maxout, He", VG_maxout, {VG_INIT_HE, 0, 0}, 9.633, 5e-4, 1.414214},
        {"identity, orthogonal", VG_identity, {VG_INIT_ORTHOGONAL, 1, 0}, 0, 1e-12, 1},
        {"identity, uniform", VG_identity, {VG_INIT_UNIFORM, 0, 0}, -15.267880, 1e-5, 0.577350},
        {"identity, normal", VG_identity, {VG_INIT_NORMAL, 2, 0.5}, 19.265920, 1e-5, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        vg_model model = stack_of(table[i].activation, table[i].init);
        double curve[65];
        assert_true(vg_theory_depth(&model, curve));
        near(table[i].name, curve[0], 0, 0);
        near(table[i].name, curve[64], table[i].log10_ratio, table[i].tolerance);
        near(table[i].name, vg_theory_depth_rate(&model), table[i].rate, 1e-6);
    }
}

/* sb = sqrt(0.05) makes tanh critical at sw2 = 1.760955. */
static void biases_are_counted(void **state)
{
    (void)state;
    vg_model model = stack_of(VG_tanh, (vg_init){VG_INIT_NORMAL, sqrt(1.760955), sqrt(0.05)});
    double curve[65];
    near("critical rate", vg_theory_depth_rate(&model), 1, 1e-6);
    assert_true(vg_theory_depth(&model, curve));
    near("near the input", curve[64] - curve[63],
         log10(1.760955 * vg_theory_moments(VG_tanh, 0, 1.760955 + 0.05).d2) / 2, 1e-12);
    near("far from the input", curve[1], 0, 1e-4);
}

/* k counts from the output: with another activation on the last layer that layer is k = 1, and an
 * input of its own width is k = depth. */
static void ends_of_a_stack(void **state)
{
    (void)state;
    vg_model model = stack_of(VG_relu, (vg_init){VG_INIT_HE, 0, 0});
    model.output_activation = VG_sigmoid;
    double curve[65], q, base[65];
    assert_true(vg_theory_depth(&model, curve));
    q = 2 * 0.5; /* E h² of He's ReLU layers stays 1, and sw2 = 2 */
    near("last layer", curve[1], log10(2 * vg_theory_moments(VG_sigmoid, 0, 2 * q).d2) / 2, 1e-12);
    near("others", curve[64], curve[1], 1e-12);
    model.output = 10; /* a read-out takes the other activation, and is no layer */
    assert_true(vg_theory_depth(&model, curve));
    near("with a read-out", curve[64], 0, 1e-12);
    model = stack_of(VG_relu, (vg_init){VG_INIT_HE, 0, 0});
    model.output_activation = VG_leaky_relu; /* He's variance is that of the layer's own */
    model.alpha = 0.5;
    assert_true(vg_theory_depth(&model, curve));
    near("leaky last layer", curve[1], 0, 1e-12);
    model = stack_of(VG_identity, (vg_init){VG_INIT_XAVIER, 0, 0});
    assert_true(vg_theory_depth(&model, base));
    model.input = 64;
    assert_true(vg_theory_depth(&model, curve));
    near("narrow input", curve[63], base[63], 1e-12);
    near("narrow input", curve[64], log10(2 * 64.0 / (64 + 256)) / 2, 1e-12);
}

static vg_model rnn_of(vg_activation activation, vg_init init)
{
    vg_model model = stack_of(activation, init);
    model.kind = VG_rnn;
    model.depth = 2;
    model.seq_len = 128;
    model.output_activation = VG_identity;
    return model;
}

static void time_rates(void **state)
{
    (void)state;
    vg_model model = rnn_of(VG_tanh, (vg_init){VG_INIT_UNIFORM, 0, 0});
    model.width = model.input = 65536; /* the biases, 2 / (3 H), vanish */
    model.depth = 1;
    near("PyTorch's default", log(vg_theory_time_rate(&model)), -0.7825, 5e-5);
    model.width = model.input = 16;
    double q, chi;
    vg_theory_fixed_point(VG_tanh, 0, 1.0 / 3, 1.0 / 3 + 2.0 / 48, &q, &chi);
    near("with biases", vg_theory_time_rate(&model), sqrt(chi), 1e-12);
    model = rnn_of(VG_identity, (vg_init){VG_INIT_ORTHOGONAL, 0.9, 0});
    near("orthogonal, linear", vg_theory_time_rate(&model), 0.9, 1e-12);
    model = rnn_of(VG_tanh, (vg_init){VG_INIT_SPECTRAL, 2, 0});
    model.x = VG_X_ZERO;
    near("no input", vg_theory_time_rate(&model), sqrt(1.36267), 5e-6);
    model.x = VG_X_ONES;
    model.depth = 1;
    vg_theory_fixed_point(VG_tanh, 0, 4, 1.0 / 3, &q, &chi);
    near("driven", vg_theory_time_rate(&model), sqrt(chi), 1e-12);
}

/* The second layer's input is the first one's output; the first layer's curve may take the
 * slower way back through the second. */
static void time_rates_of_two_layers(void **state)
{
    (void)state;
    vg_model model = rnn_of(VG_tanh, (vg_init){VG_INIT_NORMAL, 1.5, 0});
    double q, chi1, chi2;
    vg_theory_fixed_point(VG_tanh, 0, 2.25, 2.25, &q, &chi1);
    double h2 = vg_theory_moments(VG_tanh, 0, q).f2;
    vg_theory_fixed_point(VG_tanh, 0, 2.25, 2.25 * h2, &q, &chi2);
    assert_true(chi2 > chi1);
    double rates[2];
    vg_theory_time_rates(&model, rates);
    near("layer 2", rates[1], sqrt(chi2), 1e-12);
    near("layer 1", rates[0], sqrt(chi2), 1e-12);
    near("any layer", vg_theory_time_rate(&model), sqrt(chi2), 1e-12);
    model.depth = 1;
    near("layer 1 alone", vg_theory_time_rate(&model), sqrt(chi1), 1e-12);
}

static void no_prediction(void **state)
{
    (void)state;
    double curve[65];
    vg_model model = stack_of(VG_tanh, (vg_init){VG_INIT_IDENTITY, 1, 0});
    assert_false(vg_theory_depth(&model, curve));
    assert_true(isnan(vg_theory_depth_rate(&model)));
    model = stack_of(VG_tanh, (vg_init){VG_INIT_XAVIER, 0, 0});
    assert_true(isnan(vg_theory_time_rate(&model)));
    model.residual = true;
    assert_false(vg_theory_depth(&model, curve));
    assert_true(isnan(vg_theory_depth_rate(&model)));
    static const vg_model_kind recurrent[] = {VG_rnn, VG_lstm, VG_gru};
    for (size_t i = 0; i < 3; i++) {
        model = rnn_of(VG_tanh, (vg_init){VG_INIT_UNIFORM, 0, 0});
        model.kind = recurrent[i];
        assert_false(vg_theory_depth(&model, curve));
        assert_true(isnan(vg_theory_depth_rate(&model)));
        assert_int_equal(isnan(vg_theory_time_rate(&model)), i > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_against_simpson),
        cmocka_unit_test(moments_with_a_kink),
        cmocka_unit_test(moments_at_zero),
        cmocka_unit_test(fixed_points),
        cmocka_unit_test(criticality),
        cmocka_unit_test(power_law),
        cmocka_unit_test(depth_64),
        cmocka_unit_test(biases_are_counted),
        cmocka_unit_test(ends_of_a_stack),
        cmocka_unit_test(time_rates),
        cmocka_unit_test(time_rates_of_two_layers),
        cmocka_unit_test(no_prediction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
