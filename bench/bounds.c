/* Bounds on the decay of gradients, from the weights. */
#include "bounds.h"

#include "theory.h"
#include "vg/tolerance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t most_weights = 1u << 24, most_products = 1u << 30;

/* The weight that a layer's signal goes back through: of a stack, or weight_hh. */
static const vg_tensor *find_weight(const vg_program *program, uint32_t layer)
{
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        if (t->role == VG_ROLE_WEIGHT && t->layer == layer &&
            (program->model.kind == VG_stack || strncmp(t->name, "weight_hh", 9) == 0))
            return t;
    }
    return NULL;
}

/* What all layers together ask for: weights, and products of one squaring of each. */
static void total_work(const vg_program *program, uint64_t *weights, double *products)
{
    *weights = 0;
    *products = 0;
    for (uint32_t l = 1; l <= program->model.depth; l++) {
        const vg_tensor *t = find_weight(program, l);
        if (t) {
            *weights += t->mat.rows * t->mat.cols;
            *products += pow((double)t->mat.cols, 3);
        }
    }
}

/* The singular value of a layer's weight, and with `radius` its spectral radius. */
static vg_status measure(const vg_program *program, uint32_t layer, vg_weight_fn *weights,
                         void *context, double *sigma, double *radius)
{
    const vg_tensor *t = find_weight(program, layer);
    if (!t)
        VG_FAIL(VG_INVALID, "no weight of layer %u", layer);
    double *w = malloc((size_t)t->mat.rows * t->mat.cols * sizeof *w);
    if (!w)
        VG_FAIL(VG_NO_MEMORY, "no memory for %s", t->name);
    vg_status status = weights(context, t, w);
    if (status == VG_OK) {
        *sigma = vg_sigma_max(w, (size_t)t->mat.rows, t->mat.cols);
        if (radius)
            *radius = vg_spectral_radius(w, t->mat.cols);
    }
    free(w);
    return status;
}

static vg_status fill_depth(const vg_program *program, vg_weight_fn *weights, void *context,
                            vg_decay *decay)
{
    const vg_model *m = &program->model;
    double bound = 0, most = 0;
    for (uint32_t l = 1; l <= m->depth; l++) {
        bool last = l == m->depth && m->output == 0;
        double sigma = NAN;
        VG_TRY(measure(program, l, weights, context, &sigma, NULL));
        double gain = vg_activation_find(last ? m->output_activation : m->activation)->bound;
        bool skip = m->residual && (l > 1 || m->input == m->width);
        bound += log10(gain * sigma + skip);
        most = sigma > most || isnan(sigma) ? sigma : most;
    }
    decay->sigma_max = most;
    decay->bound_log10_ratio = bound;
    return VG_OK;
}

static vg_status fill_time(const vg_program *program, vg_weight_fn *weights, void *context,
                           bool with_radius, vg_decay *decay)
{
    const vg_model *m = &program->model;
    bool vanilla = m->kind == VG_rnn;
    VG_TRY(measure(program, decay->layer, weights, context, &decay->sigma_max,
                   vanilla && with_radius ? &decay->spectral_radius : NULL));
    if (vanilla && decay->layer == m->depth && m->loss_at == VG_LOSS_AT_LAST)
        decay->bound_log10_ratio =
            (double)m->seq_len * log10(vg_activation_find(m->activation)->bound * decay->sigma_max);
    return VG_OK;
}

vg_status vg_bounds_fill(const vg_program *program, vg_weight_fn *weights, void *context,
                         vg_decay *decays, size_t count)
{
    uint64_t elements;
    double products;
    for (size_t i = 0; i < count; i++)
        decays[i].sigma_max = decays[i].spectral_radius = decays[i].bound_log10_ratio = NAN;
    total_work(program, &elements, &products);
    if (!weights || elements > most_weights)
        return VG_OK;
    for (size_t i = 0; i < count; i++) {
        if (decays[i].direction == VG_TIME)
            VG_TRY(fill_time(program, weights, context, products <= (double)most_products,
                             &decays[i]));
        else if (program->model.kind == VG_stack)
            VG_TRY(fill_depth(program, weights, context, &decays[i]));
    }
    return VG_OK;
}

/* log10 of what rounding may add over `passed` layers or steps. */
static double slack(const vg_program *program, double passed)
{
    const vg_model *m = &program->model;
    double reduction = (double)m->width * (double)m->seq_len * m->depth;
    vg_dtype dtype = program->storage == VG_FP64 ? VG_FP64 : m->dtype;
    /* 1e-9: what vg_sigma_max() promises. */
    return (vg_tolerance_norm(dtype, false, reduction, passed, 1) + 1e-9 * passed) / log(10);
}

static bool within(double measured, double bound, double tolerance)
{
    return measured <= bound + tolerance;
}

/* Every row of dh of that layer, against its share of the bound. */
static vg_status check_steps(const vg_program *program, const vg_profile_rows *rows,
                             const vg_decay *decay)
{
    const uint64_t last = program->model.seq_len;
    double start = NAN;
    for (size_t i = 0; i < rows->gradient_count; i++) {
        const vg_gradient *g = &rows->gradients[i];
        if (strcmp(g->tensor, "dh") == 0 && g->layer == decay->layer && g->has_step &&
            g->step == last)
            start = g->log10_norm_exact;
    }
    for (size_t i = 0; i < rows->gradient_count; i++) {
        const vg_gradient *g = &rows->gradients[i];
        if (strcmp(g->tensor, "dh") != 0 || g->layer != decay->layer || !g->has_step)
            continue;
        double k = (double)(last - g->step);
        double bound = k > 0 ? decay->bound_log10_ratio / (double)last * k : 0;
        if (!within(g->log10_norm_exact, start + bound, slack(program, k)))
            VG_FAIL(VG_MISMATCH,
                    "layer %u, step %llu: log10 of the norm %.9g exceeds its bound %.9g", g->layer,
                    (unsigned long long)g->step, g->log10_norm_exact, start + bound);
    }
    return VG_OK;
}

vg_status vg_bounds_check(const vg_program *program, const vg_profile_rows *rows)
{
    for (size_t i = 0; i < rows->decay_count; i++) {
        const vg_decay *d = &rows->decays[i];
        if (isnan(d->bound_log10_ratio) || d->verdict == VG_OVERFLOW || isnan(d->log10_ratio))
            continue;
        double passed =
            d->direction == VG_TIME ? (double)program->model.seq_len : (double)program->model.depth;
        if (!within(d->log10_ratio, d->bound_log10_ratio, slack(program, passed)))
            VG_FAIL(VG_MISMATCH, "%s: log10 of the ratio %.9g exceeds its bound %.9g",
                    vg_direction_name(d->direction), d->log10_ratio, d->bound_log10_ratio);
        if (d->direction == VG_TIME)
            VG_TRY(check_steps(program, rows, d));
    }
    return VG_OK;
}
