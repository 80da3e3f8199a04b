/* Dense stacks: inner products with the activation as a post-operation; backward its derivative
 * from the output, then both products. */
#include "peer_onednn.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct dense {
    vg_exec *exec;
    uint32_t index;
    bool readout;
    vg_activation activation;
    float alpha;
    dnnl_dim_t batch, in, out;
    /* y and dy: of this layer; x and dx: of the one below. */
    dnnl_memory_t x_at, y_at, dx_at, dy_at, dz_at, weight, dweight, bias, dbias;
} dense;

/* Forward, and backward from the output; false: the identity. */
static bool algorithm_of(vg_activation activation, bool backward, dnnl_alg_kind_t *out)
{
    switch (activation) {
    case VG_sigmoid:
        *out = backward ? dnnl_eltwise_logistic_use_dst_for_bwd : dnnl_eltwise_logistic;
        return true;
    case VG_tanh:
        *out = backward ? dnnl_eltwise_tanh_use_dst_for_bwd : dnnl_eltwise_tanh;
        return true;
    case VG_relu:
    case VG_leaky_relu:
        *out = backward ? dnnl_eltwise_relu_use_dst_for_bwd : dnnl_eltwise_relu;
        return true;
    default: return false;
    }
}

/* The factor of negative arguments. */
static float slope_of(const dense *d)
{
    return d->activation == VG_leaky_relu ? d->alpha : 0;
}

static vg_status forward_desc(const dense *d, bool activated, dnnl_primitive_desc_t *out)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, w[] = {d->out, d->in}, b[] = {d->out},
                     y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), w_desc = vg_onednn_any(2, w),
                             b_desc = vg_onednn_plain(1, b), y_desc = vg_onednn_plain(2, y);
    dnnl_inner_product_desc_t product;
    dnnl_primitive_attr_t attributes;
    dnnl_alg_kind_t algorithm;
    VG_ONEDNN(dnnl_inner_product_forward_desc_init(&product, dnnl_forward_training, &x_desc,
                                                   &w_desc, &b_desc, &y_desc));
    VG_ONEDNN(dnnl_primitive_attr_create(&attributes));
    dnnl_status_t status = dnnl_success;
    if (activated && algorithm_of(d->activation, false, &algorithm)) {
        dnnl_post_ops_t after;
        status = dnnl_post_ops_create(&after);
        if (status == dnnl_success) {
            status = dnnl_post_ops_append_eltwise(after, 1, algorithm, slope_of(d), 0);
            if (status == dnnl_success)
                status = dnnl_primitive_attr_set_post_ops(attributes, after);
            dnnl_post_ops_destroy(after);
        }
    }
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &product, attributes, d->exec->engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return vg_onednn_check(status, "an inner product");
}

static vg_status forward(dense *d)
{
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t weight;
    vg_onednn_step *step;
    const char *words = "";
    VG_TRY(forward_desc(d, true, &primitive));
    if (dnnl_primitive_desc_query(primitive, dnnl_query_impl_info_str, 0, (void *)&words) ==
            dnnl_success &&
        !d->exec->algorithm[0])
        snprintf(d->exec->algorithm, sizeof d->exec->algorithm, "fwd=%s", words);
    vg_status status = vg_onednn_brought(d->exec, VG_PASS_FWD, d->weight,
                                         vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS), &weight);
    if (status != VG_OK) {
        dnnl_primitive_desc_destroy(primitive);
        return status;
    }
    VG_TRY(vg_onednn_add(d->exec, VG_PASS_FWD, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_SRC, d->x_at);
    vg_onednn_arg(step, DNNL_ARG_WEIGHTS, weight);
    vg_onednn_arg(step, DNNL_ARG_BIAS, d->bias);
    vg_onednn_arg(step, DNNL_ARG_DST, d->y_at);
    return VG_OK;
}

/* dz from dy and y; the identity's dz is dy. */
static vg_status derivative(dense *d)
{
    const dnnl_dim_t y[] = {d->batch, d->out};
    const dnnl_memory_desc_t desc = vg_onednn_plain(2, y);
    dnnl_alg_kind_t algorithm;
    d->dz_at = d->dy_at;
    if (!algorithm_of(d->activation, true, &algorithm))
        return VG_OK;
    dnnl_eltwise_desc_t forward, backward;
    dnnl_primitive_desc_t hint, primitive;
    vg_onednn_step *step;
    VG_TRY(vg_onednn_memory(d->exec, &desc, NULL, &d->dz_at));
    VG_ONEDNN(dnnl_eltwise_forward_desc_init(&forward, dnnl_forward_training, algorithm, &desc,
                                             slope_of(d), 0));
    VG_ONEDNN(dnnl_eltwise_backward_desc_init(&backward, algorithm, &desc, &desc, slope_of(d), 0));
    VG_ONEDNN(dnnl_primitive_desc_create(&hint, &forward, NULL, d->exec->engine, NULL));
    dnnl_status_t status =
        dnnl_primitive_desc_create(&primitive, &backward, NULL, d->exec->engine, hint);
    dnnl_primitive_desc_destroy(hint);
    VG_TRY(vg_onednn_check(status, "a derivative"));
    VG_TRY(vg_onednn_add(d->exec, VG_PASS_BWD_DATA, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_DST, d->y_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST, d->dy_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_SRC, d->dz_at);
    return VG_OK;
}

/* dx = dz W. */
static vg_status by_data(dense *d, dnnl_primitive_desc_t hint)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, w[] = {d->out, d->in}, y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), w_desc = vg_onednn_any(2, w),
                             y_desc = vg_onednn_plain(2, y);
    dnnl_inner_product_desc_t product;
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t weight;
    vg_onednn_step *step;
    VG_ONEDNN(dnnl_inner_product_backward_data_desc_init(&product, &x_desc, &w_desc, &y_desc));
    VG_ONEDNN(dnnl_primitive_desc_create(&primitive, &product, NULL, d->exec->engine, hint));
    vg_status status = vg_onednn_brought(d->exec, VG_PASS_BWD_DATA, d->weight,
                                         vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS), &weight);
    if (status != VG_OK) {
        dnnl_primitive_desc_destroy(primitive);
        return status;
    }
    VG_TRY(vg_onednn_add(d->exec, VG_PASS_BWD_DATA, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST, d->dz_at);
    vg_onednn_arg(step, DNNL_ARG_WEIGHTS, weight);
    vg_onednn_arg(step, DNNL_ARG_DIFF_SRC, d->dx_at);
    return VG_OK;
}

/* dW = dzᵀ x and the bias sums, which this primitive overwrites. */
static vg_status by_weights(dense *d, dnnl_primitive_desc_t hint)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, w[] = {d->out, d->in}, b[] = {d->out},
                     y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), w_desc = vg_onednn_any(2, w),
                             b_desc = vg_onednn_plain(1, b), y_desc = vg_onednn_plain(2, y);
    dnnl_inner_product_desc_t product;
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t made;
    vg_onednn_step *step;
    VG_ONEDNN(dnnl_inner_product_backward_weights_desc_init(&product, &x_desc, &w_desc, &b_desc,
                                                            &y_desc));
    VG_ONEDNN(dnnl_primitive_desc_create(&primitive, &product, NULL, d->exec->engine, hint));
    vg_status status = vg_onednn_made(d->exec, d->dweight,
                                      vg_onednn_wanted(primitive, DNNL_ARG_DIFF_WEIGHTS), &made);
    if (status != VG_OK) {
        dnnl_primitive_desc_destroy(primitive);
        return status;
    }
    VG_TRY(vg_onednn_add(d->exec, VG_PASS_BWD_WEIGHTS, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_SRC, d->x_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST, d->dz_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_WEIGHTS, made);
    vg_onednn_arg(step, DNNL_ARG_DIFF_BIAS, d->dbias);
    return vg_onednn_fetched(d->exec, VG_PASS_BWD_WEIGHTS, made, d->dweight);
}

static vg_status backward(dense *d)
{
    dnnl_primitive_desc_t hint;
    VG_TRY(derivative(d));
    VG_TRY(forward_desc(d, false, &hint));
    vg_status status = by_data(d, hint);
    if (status == VG_OK)
        status = by_weights(d, hint);
    dnnl_primitive_desc_destroy(hint);
    return status;
}

/* Weights, biases and their gradients, by their names. */
static vg_status parameters(dense *d)
{
    static const char *const names[] = {"weight_", "bias_", "dweight_", "dbias_"};
    const dnnl_dim_t w[] = {d->out, d->in};
    dnnl_memory_t *const to[] = {&d->weight, &d->bias, &d->dweight, &d->dbias};
    char suffix[16] = "out";
    if (!d->readout)
        snprintf(suffix, sizeof suffix, "%u", d->index);
    for (int i = 0; i < 4; i++) {
        const int axes = i % 2 ? 1 : 2;
        const dnnl_memory_desc_t desc = vg_onednn_plain(axes, w);
        float *at;
        VG_TRY(vg_onednn_floats(d->exec, dnnl_memory_desc_get_size(&desc) / sizeof(float), &at));
        VG_TRY(vg_onednn_memory(d->exec, &desc, at, to[i]));
        VG_TRY(vg_onednn_place(d->exec, at, NULL, 0, "%s%s", names[i], suffix));
    }
    return VG_OK;
}

/* y and dy of a layer, or x and dx below the first. */
static vg_status signals(vg_exec *exec, dnnl_dim_t rows, dnnl_dim_t cols, float **y, float **dy,
                         dnnl_memory_t *y_at, dnnl_memory_t *dy_at)
{
    const dnnl_dim_t shape[] = {rows, cols};
    const dnnl_memory_desc_t desc = vg_onednn_plain(2, shape);
    VG_TRY(vg_onednn_floats(exec, (size_t)(rows * cols), y));
    VG_TRY(vg_onednn_floats(exec, (size_t)(rows * cols), dy));
    VG_TRY(vg_onednn_memory(exec, &desc, *y, y_at));
    return vg_onednn_memory(exec, &desc, *dy, dy_at);
}

static vg_status make_layers(vg_exec *exec, const vg_model *m, dense *layers, uint32_t count)
{
    float *y, *dy;
    dnnl_memory_t y_at, dy_at;
    VG_TRY(signals(exec, m->batch, m->input, &y, &dy, &y_at, &dy_at));
    VG_TRY(vg_onednn_place(exec, y, NULL, 0, "x"));
    VG_TRY(vg_onednn_place(exec, dy, NULL, 0, "dx"));
    for (uint32_t i = 0; i < count; i++) {
        dense *d = &layers[i];
        const bool readout = i == m->depth, last = i + 1 == count;
        *d = (dense){.exec = exec,
                     .index = i,
                     .readout = readout,
                     .activation = last ? m->output_activation : m->activation,
                     .alpha = (float)m->alpha,
                     .batch = m->batch,
                     .in = i ? m->width : m->input,
                     .out = readout ? m->output : m->width,
                     .x_at = y_at,
                     .dx_at = dy_at};
        VG_TRY(signals(exec, d->batch, d->out, &y, &dy, &y_at, &dy_at));
        d->y_at = y_at;
        d->dy_at = dy_at;
        VG_TRY(parameters(d));
    }
    VG_TRY(vg_onednn_place(exec, y, NULL, 0, "y"));
    return vg_onednn_place(exec, dy, NULL, 0, "dy");
}

vg_status vg_onednn_stack(vg_exec *exec, const vg_model *m)
{
    const uint32_t count = m->depth + (m->output > 0);
    if (m->residual)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: a residual beside an activation is no post-operation");
    if (m->activation == VG_maxout || m->output_activation == VG_maxout)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN has no maxout");
    dense *layers = calloc(count, sizeof *layers);
    if (!layers)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for %u layers", count);
    vg_status status = make_layers(exec, m, layers, count);
    for (uint32_t i = 0; i < count && status == VG_OK; i++)
        status = forward(&layers[i]);
    for (uint32_t i = count; i-- > 0 && status == VG_OK;)
        status = backward(&layers[i]);
    free(layers);
    return status;
}
