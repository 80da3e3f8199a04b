/* Dense stacks: products with the activation as a post-operation; backward its derivative from the
 * output, then both products. Each pass is asked for in every form that the library has for it, and
 * the fastest is kept: a training step has plain weights before it and plain gradients after. */
#include "peer_onednn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vg_onednn_form_names[VG_ONEDNN_FORMS] = {"packed", "plain", "matmul"};

typedef struct dense {
    vg_exec *exec;
    uint32_t index;
    bool readout;
    vg_activation activation;
    float alpha;
    dnnl_dim_t batch, in, out;
    /* y and dy: of this layer; x and dx: of the one below. */
    dnnl_memory_t x_at, y_at, dx_at, dy_at, dz_at, weight, dweight, bias, dbias;
    dnnl_memory_t forward_weight; /* as the forward product has them */
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

/* The activation as a post-operation; nothing for the identity. */
static vg_status activate(const dense *d, dnnl_primitive_attr_t attributes)
{
    dnnl_alg_kind_t algorithm;
    dnnl_post_ops_t after;
    if (!algorithm_of(d->activation, false, &algorithm))
        return VG_OK;
    VG_ONEDNN(dnnl_post_ops_create(&after));
    dnnl_status_t status = dnnl_post_ops_append_eltwise(after, 1, algorithm, slope_of(d), 0);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, after);
    dnnl_post_ops_destroy(after);
    return vg_onednn_check(status, "a post-operation");
}

static dnnl_memory_desc_t weight_desc(const dense *d, vg_onednn_form f)
{
    const dnnl_dim_t w[] = {d->out, d->in};
    return f == VG_ONEDNN_PACKED ? vg_onednn_any(2, w) : vg_onednn_plain(2, w);
}

/* A matmul's: W transposed, and a row of biases. */
static dnnl_memory_desc_t transposed_desc(const dense *d)
{
    const dnnl_dim_t shape[] = {d->in, d->out}, strides[] = {1, d->in};
    return vg_onednn_strided(2, shape, strides);
}

static dnnl_memory_desc_t bias_row_desc(const dense *d)
{
    const dnnl_dim_t shape[] = {1, d->out};
    return vg_onednn_plain(2, shape);
}

static vg_status forward_desc(const dense *d, vg_onednn_form f, bool activated,
                              dnnl_primitive_desc_t *out)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, b[] = {d->out}, y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), b_desc = vg_onednn_plain(1, b),
                             y_desc = vg_onednn_plain(2, y), w_desc = weight_desc(d, f),
                             w_transposed = transposed_desc(d), b_row = bias_row_desc(d);
    union {
        dnnl_inner_product_desc_t product;
        dnnl_matmul_desc_t matmul;
    } op;
    dnnl_primitive_attr_t attributes;
    if (f == VG_ONEDNN_MATMUL)
        VG_ONEDNN(dnnl_matmul_desc_init(&op.matmul, &x_desc, &w_transposed, &b_row, &y_desc));
    else
        VG_ONEDNN(dnnl_inner_product_forward_desc_init(&op.product, dnnl_forward_training, &x_desc,
                                                       &w_desc, &b_desc, &y_desc));
    VG_ONEDNN(dnnl_primitive_attr_create(&attributes));
    vg_status status = activated ? activate(d, attributes) : VG_OK;
    if (status == VG_OK)
        status = vg_onednn_check(
            dnnl_primitive_desc_create(out, &op, attributes, d->exec->engine, NULL), "a product");
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Another view of the same numbers. */
static vg_status seen_as(const dense *d, dnnl_memory_desc_t desc, dnnl_memory_t *memory)
{
    void *at;
    VG_ONEDNN(dnnl_memory_get_data_handle(*memory, &at));
    return vg_onednn_memory(d->exec, &desc, at, memory);
}

/* The weights that a description wants, copied from *weight where they stand otherwise; then its
 * step. The description is used up. */
static vg_status weighted_step(dense *d, vg_pass pass, dnnl_primitive_desc_t primitive,
                               dnnl_memory_t *weight, vg_onednn_step **out)
{
    vg_status status = vg_onednn_brought(d->exec, pass, *weight,
                                         vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS), weight);
    if (status != VG_OK) {
        dnnl_primitive_desc_destroy(primitive);
        return status;
    }
    VG_TRY(vg_onednn_add(d->exec, pass, primitive, out));
    vg_onednn_arg(*out, DNNL_ARG_WEIGHTS, *weight);
    return VG_OK;
}

static vg_status forward(dense *d, vg_onednn_form f)
{
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t weight = d->weight, bias = d->bias;
    vg_onednn_step *step;
    if (f == VG_ONEDNN_MATMUL) {
        VG_TRY(seen_as(d, transposed_desc(d), &weight));
        VG_TRY(seen_as(d, bias_row_desc(d), &bias));
    }
    VG_TRY(forward_desc(d, f, true, &primitive));
    VG_TRY(weighted_step(d, VG_PASS_FWD, primitive, &weight, &step));
    d->forward_weight = weight;
    vg_onednn_arg(step, DNNL_ARG_SRC, d->x_at);
    vg_onednn_arg(step, DNNL_ARG_BIAS, bias);
    vg_onednn_arg(step, DNNL_ARG_DST, d->y_at);
    return VG_OK;
}

/* dz from dy and y; the identity's dz is dy. */
static vg_status derivative(dense *d)
{
    const dnnl_dim_t y[] = {d->batch, d->out};
    const dnnl_memory_desc_t desc = vg_onednn_plain(2, y);
    dnnl_alg_kind_t algorithm;
    if (!algorithm_of(d->activation, true, &algorithm))
        return VG_OK;
    dnnl_eltwise_desc_t forwards, backwards;
    dnnl_primitive_desc_t hint, primitive;
    vg_onednn_step *step;
    VG_ONEDNN(dnnl_eltwise_forward_desc_init(&forwards, dnnl_forward_training, algorithm, &desc,
                                             slope_of(d), 0));
    VG_ONEDNN(dnnl_eltwise_backward_desc_init(&backwards, algorithm, &desc, &desc, slope_of(d), 0));
    VG_ONEDNN(dnnl_primitive_desc_create(&hint, &forwards, NULL, d->exec->engine, NULL));
    dnnl_status_t status =
        dnnl_primitive_desc_create(&primitive, &backwards, NULL, d->exec->engine, hint);
    dnnl_primitive_desc_destroy(hint);
    VG_TRY(vg_onednn_check(status, "a derivative"));
    VG_TRY(vg_onednn_add(d->exec, VG_PASS_BWD_DATA, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_DST, d->y_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST, d->dy_at);
    vg_onednn_arg(step, DNNL_ARG_DIFF_SRC, d->dz_at);
    return VG_OK;
}

static vg_status by_data_desc(const dense *d, vg_onednn_form f, dnnl_primitive_desc_t *out)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), y_desc = vg_onednn_plain(2, y),
                             w_desc = weight_desc(d, f);
    if (f == VG_ONEDNN_MATMUL) {
        dnnl_matmul_desc_t matmul;
        VG_ONEDNN(dnnl_matmul_desc_init(&matmul, &y_desc, &w_desc, NULL, &x_desc));
        VG_ONEDNN(dnnl_primitive_desc_create(out, &matmul, NULL, d->exec->engine, NULL));
        return VG_OK;
    }
    dnnl_inner_product_desc_t product;
    dnnl_primitive_desc_t hint;
    VG_ONEDNN(dnnl_inner_product_backward_data_desc_init(&product, &x_desc, &w_desc, &y_desc));
    VG_TRY(forward_desc(d, f, false, &hint));
    const dnnl_status_t status =
        dnnl_primitive_desc_create(out, &product, NULL, d->exec->engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return vg_onednn_check(status, "a product by data");
}

/* dx = dz W. */
static vg_status by_data(dense *d, vg_onednn_form f)
{
    const dnnl_memory_desc_t *there;
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t weight = d->weight;
    vg_onednn_step *step;
    VG_ONEDNN(dnnl_memory_get_memory_desc(d->forward_weight, &there));
    VG_TRY(by_data_desc(d, f, &primitive));
    /* What the forward pass has copied to this layout is there already. */
    if (dnnl_memory_desc_equal(there, vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS)))
        weight = d->forward_weight;
    VG_TRY(weighted_step(d, VG_PASS_BWD_DATA, primitive, &weight, &step));
    vg_onednn_arg(step, f == VG_ONEDNN_MATMUL ? DNNL_ARG_SRC : DNNL_ARG_DIFF_DST, d->dz_at);
    vg_onednn_arg(step, f == VG_ONEDNN_MATMUL ? DNNL_ARG_DST : DNNL_ARG_DIFF_SRC, d->dx_at);
    return VG_OK;
}

static vg_status by_weights_desc(const dense *d, vg_onednn_form f, dnnl_primitive_desc_t *out)
{
    const dnnl_dim_t x[] = {d->batch, d->in}, b[] = {d->out}, y[] = {d->batch, d->out};
    const dnnl_memory_desc_t x_desc = vg_onednn_plain(2, x), b_desc = vg_onednn_plain(1, b),
                             y_desc = vg_onednn_plain(2, y), w_desc = weight_desc(d, f);
    dnnl_inner_product_desc_t product;
    dnnl_primitive_desc_t hint;
    VG_ONEDNN(dnnl_inner_product_backward_weights_desc_init(&product, &x_desc, &w_desc, &b_desc,
                                                            &y_desc));
    VG_TRY(forward_desc(d, f, false, &hint));
    const dnnl_status_t status =
        dnnl_primitive_desc_create(out, &product, NULL, d->exec->engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return vg_onednn_check(status, "a product by weights");
}

/* dW = dzᵀ x and the bias sums, which this primitive overwrites. */
static vg_status by_weights(dense *d, vg_onednn_form f)
{
    dnnl_primitive_desc_t primitive;
    dnnl_memory_t made;
    vg_onednn_step *step;
    VG_TRY(by_weights_desc(d, f, &primitive));
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

/* Memory for dz: of the identity, dy itself. */
static vg_status make_dz(dense *d)
{
    const dnnl_dim_t y[] = {d->batch, d->out};
    const dnnl_memory_desc_t desc = vg_onednn_plain(2, y);
    dnnl_alg_kind_t algorithm;
    d->dz_at = d->dy_at;
    return algorithm_of(d->activation, true, &algorithm)
               ? vg_onednn_memory(d->exec, &desc, NULL, &d->dz_at)
               : VG_OK;
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
        VG_TRY(make_dz(d));
        VG_TRY(parameters(d));
    }
    VG_TRY(vg_onednn_place(exec, y, NULL, 0, "y"));
    return vg_onednn_place(exec, dy, NULL, 0, "dy");
}

/* A pass of every layer in one form. */
static vg_status one_pass(dense *layers, uint32_t count, vg_pass pass, vg_onednn_form f)
{
    for (uint32_t i = 0; i < count; i++)
        VG_TRY(pass == VG_PASS_FWD        ? forward(&layers[i], f)
               : pass == VG_PASS_BWD_DATA ? by_data(&layers[count - 1 - i], f)
                                          : by_weights(&layers[count - 1 - i], f));
    return VG_OK;
}

/* A matmul would leave out the gradient of the biases. */
static vg_onednn_form last_form(vg_pass pass)
{
    return pass == VG_PASS_BWD_WEIGHTS ? VG_ONEDNN_PLAIN : VG_ONEDNN_MATMUL;
}

/* The fastest form of a pass, measured (on zeros: a product does not care). */
static vg_status fastest(dense *layers, uint32_t count, vg_pass pass, vg_onednn_form *out)
{
    vg_exec *exec = layers->exec;
    const vg_onednn_mark before = vg_onednn_here(exec);
    double least = (double)INFINITY;
    *out = VG_ONEDNN_PLAIN;
    for (vg_onednn_form f = VG_ONEDNN_PACKED; f <= last_form(pass); f++) {
        double seconds;
        vg_status status = one_pass(layers, count, pass, f);
        if (status == VG_OK)
            status = vg_onednn_time(exec, pass, &seconds);
        vg_onednn_undo(exec, before);
        if (status == VG_OK && seconds < least) {
            least = seconds;
            *out = f;
        } else if (status != VG_OK && status != VG_UNSUPPORTED) {
            return status;
        }
    }
    return VG_OK;
}

/* The form of a pass, named for the rows. */
static vg_status choose(dense *layers, uint32_t count, vg_pass pass, const char *name,
                        vg_onednn_form *out)
{
    vg_exec *exec = layers->exec;
    *out = exec->form;
    if (exec->form == VG_ONEDNN_FORMS)
        VG_TRY(fastest(layers, count, pass, out));
    else if (exec->form > last_form(pass))
        *out = last_form(pass);
    const size_t used = strlen(exec->algorithm);
    snprintf(exec->algorithm + used, sizeof exec->algorithm - used, "%s%s=%s", used ? " " : "",
             name, vg_onednn_form_names[*out]);
    return VG_OK;
}

static vg_status make_passes(dense *layers, uint32_t count)
{
    vg_onednn_form fwd, data, weights;
    VG_TRY(choose(layers, count, VG_PASS_FWD, "fwd", &fwd));
    VG_TRY(one_pass(layers, count, VG_PASS_FWD, fwd));
    VG_TRY(choose(layers, count, VG_PASS_BWD_DATA, "bwd_data", &data));
    VG_TRY(choose(layers, count, VG_PASS_BWD_WEIGHTS, "bwd_weights", &weights));
    for (uint32_t i = count; i-- > 0;) {
        VG_TRY(derivative(&layers[i]));
        VG_TRY(by_data(&layers[i], data));
        VG_TRY(by_weights(&layers[i], weights));
    }
    return VG_OK;
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
    if (status == VG_OK)
        status = make_passes(layers, count);
    free(layers);
    return status;
}
