/* Mean-field theory of wide random networks (Poole 2016, Schoenholz 2017): how the variance q of
 * the pre-activations and the squared gradient norm change from layer to layer. */
#include "theory.h"

#include <assert.h>
#include <math.h>

static const double sqrt_2_pi = 2.506628274631000502;

/* f and f' of the saturating activations at u. */
static double saturating(vg_activation activation, double u, double *derivative)
{
    double e = exp(-fabs(u));
    if (activation == VG_sigmoid) {
        *derivative = e / ((1 + e) * (1 + e));
        return u < 0 ? e / (1 + e) : 1 / (1 + e);
    }
    assert(activation == VG_tanh);
    *derivative = 4 * e * e / ((1 + e * e) * (1 + e * e));
    return tanh(u);
}

/* Trapezoid over u = sqrt(q) z. The integrands are analytic within 1.5 of the real line and fall
 * off with the Gaussian or with f', so a step of 1/8 leaves less than the rounding. Where the
 * Gaussian is wider than f' the second moment is taken from its limit: E[tanh²] = 1 - E[f'],
 * E[sigmoid²] = 1/2 - E[f']. */
static vg_moments saturating_moments(vg_activation activation, double q)
{
    const double s = sqrt(q), step = s < 1 ? s / 8 : 0.125;
    const double limit = activation == VG_tanh ? 1 : 0.5;
    const bool narrow = 12 * s <= 40;
    const int half = (int)ceil((narrow ? 12 * s : 40) / step);
    double f2 = 0, d1 = 0, d2 = 0, d4 = 0;
    for (int i = -half; i <= half; i++) {
        double u = i * step, z = u / s, d, weight = exp(-z * z / 2) * step / (s * sqrt_2_pi);
        double f = saturating(activation, u, &d);
        f2 += weight * f * f;
        d1 += weight * d;
        d2 += weight * d * d;
        d4 += weight * d * d * d * d;
    }
    return (vg_moments){narrow ? f2 : limit - d1, d2, d4};
}

/* What q = 0 leaves: every pre-activation is 0. */
static vg_moments moments_at_zero(vg_activation activation, double alpha)
{
    double f = activation == VG_sigmoid ? 0.5 : 0, d = 1;
    if (activation == VG_sigmoid)
        d = 0.25;
    else if (activation == VG_relu || activation == VG_leaky_relu)
        d = activation == VG_relu ? 0 : alpha;
    return (vg_moments){f * f, d * d, d * d * d * d};
}

vg_moments vg_theory_moments(vg_activation activation, double alpha, double q)
{
    if (q == 0)
        return moments_at_zero(activation, alpha);
    double a = activation == VG_relu ? 0 : alpha, a2 = a * a;
    switch (activation) {
    case VG_sigmoid:
    case VG_tanh: return saturating_moments(activation, q);
    case VG_relu:
    case VG_leaky_relu: return (vg_moments){(1 + a2) / 2 * q, (1 + a2) / 2, (1 + a2 * a2) / 2};
    default: return (vg_moments){q, 1, 1};
    }
}

static bool saturates(vg_activation activation)
{
    return activation == VG_sigmoid || activation == VG_tanh;
}

void vg_theory_fixed_point(vg_activation activation, double alpha, double sw2, double sb2,
                           double *q, double *chi)
{
    if (!saturates(activation)) {
        vg_moments one = vg_theory_moments(activation, alpha, 1);
        double gain = sw2 * one.f2;
        *q = gain < 1 ? sb2 / (1 - gain) : gain > 1 || sb2 > 0 ? INFINITY : NAN;
        *chi = sw2 * one.d2;
        return;
    }
    /* sw2 E[f²] + sb2 is concave in q and at most sw2 + sb2: one crossing, or only q = 0. */
    double low = 0, high = sw2 + sb2;
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double middle = low + (high - low) / 2;
        bool below = sw2 * vg_theory_moments(activation, alpha, middle).f2 + sb2 > middle;
        *(below ? &low : &high) = middle;
    }
    *q = low > 0 ? high : 0;
    *chi = sw2 * vg_theory_moments(activation, alpha, *q).d2;
}

/* A matrix [out, in] before an activation; uniform_fan: the uniform initialiser's bound is one over
 * its root. */
typedef struct layer_shape {
    double in, out, uniform_fan;
    vg_activation activation;
} layer_shape;

/* fan_in times the variance of a weight, and the variance of a bias. False: there is no such
 * variance. */
static bool variances(const vg_model *model, layer_shape layer, double *sw2, double *sb2)
{
    const vg_init *init = &model->init;
    const double in = layer.in, out = layer.out;
    double alpha = layer.activation == VG_leaky_relu ? model->alpha : 0;
    *sb2 = 0;
    switch (init->kind) {
    case VG_INIT_XAVIER: *sw2 = 2 * in / (in + out); return true;
    case VG_INIT_HE: *sw2 = 2 / (1 + alpha * alpha); return true;
    case VG_INIT_LECUN: *sw2 = 1; return true;
    case VG_INIT_NORMAL:
        *sw2 = init->a * init->a;
        *sb2 = init->b * init->b;
        return true;
    case VG_INIT_UNIFORM:
        *sw2 = in / (3 * layer.uniform_fan);
        *sb2 = 1 / (3 * layer.uniform_fan);
        return true;
    case VG_INIT_ORTHOGONAL: *sw2 = init->a * init->a * in / fmax(in, out); return true;
    case VG_INIT_SPECTRAL: *sw2 = init->a * init->a; return in == out;
    default: return false;
    }
}

/* The mean square of the input's elements. */
static double input_square(const vg_model *model)
{
    return model->x == VG_X_ZERO ? 0 : 1;
}

static bool is_predicted_stack(const vg_model *model)
{
    return model->kind == VG_stack && !model->residual;
}

bool vg_theory_depth(const vg_model *model, double *log10_ratio)
{
    double square = input_square(model);
    if (!is_predicted_stack(model))
        return false;
    for (uint32_t l = 1; l <= model->depth; l++) {
        double in = l == 1 ? model->input : model->width, sw2, sb2;
        bool last = l == model->depth && model->output == 0;
        vg_activation activation = last ? model->output_activation : model->activation;
        if (!variances(model, (layer_shape){in, model->width, in, activation}, &sw2, &sb2))
            return false;
        vg_moments m = vg_theory_moments(activation, model->alpha, sw2 * square + sb2);
        square = m.f2;
        log10_ratio[model->depth + 1 - l] = log10(sw2 * m.d2) / 2;
    }
    log10_ratio[0] = 0;
    for (uint32_t k = 1; k <= model->depth; k++)
        log10_ratio[k] += log10_ratio[k - 1];
    return true;
}

double vg_theory_depth_rate(const vg_model *model)
{
    const double width = model->width;
    double sw2, sb2, q, chi;
    if (!is_predicted_stack(model) ||
        !variances(model, (layer_shape){width, width, width, model->activation}, &sw2, &sb2))
        return NAN;
    vg_theory_fixed_point(model->activation, model->alpha, sw2, sb2, &q, &chi);
    return sqrt(chi);
}

/* The rate of one layer of a vanilla rnn; *square: the mean square of its input, then of its
 * output. */
static double rate_of_layer(const vg_model *model, uint32_t layer, double *square)
{
    const vg_init_kind init = model->init.kind;
    const double h = model->width, in = layer == 1 ? model->input : h;
    double su2, sw2, sb2, unused, q, chi;
    if (!variances(model, (layer_shape){h, h, h, model->activation}, &sw2, &sb2))
        return NAN;
    if (init == VG_INIT_ORTHOGONAL || init == VG_INIT_SPECTRAL)
        su2 = in / (3 * h); /* they shape weight_hh alone: weight_ih is uniform */
    else
        variances(model, (layer_shape){in, h, h, model->activation}, &su2, &unused);
    vg_theory_fixed_point(model->activation, model->alpha, sw2, su2 * *square + 2 * sb2, &q, &chi);
    *square = vg_theory_moments(model->activation, model->alpha, q).f2;
    return sqrt(chi);
}

void vg_theory_time_rates(const vg_model *model, double *rates)
{
    double square = input_square(model);
    for (uint32_t l = 1; l <= model->depth; l++)
        rates[l - 1] = model->kind == VG_rnn ? rate_of_layer(model, l, &square) : NAN;
    for (uint32_t l = model->depth; l-- > 1;)
        rates[l - 1] = fmax(rates[l - 1], rates[l]);
}

double vg_theory_time_rate(const vg_model *model)
{
    double square = input_square(model), slowest = NAN;
    for (uint32_t l = 1; l <= model->depth && model->kind == VG_rnn; l++)
        slowest = fmax(slowest, rate_of_layer(model, l, &square));
    return slowest;
}
