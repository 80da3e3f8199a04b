/* The primitives of a dense layer: products with the activation as a post-operation; backward its
 * derivative from the output, then both products. */
#include "peer_onednn_dense.h"

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
static float slope_of(const vg_onednn_dense *d)
{
    return d->activation == VG_leaky_relu ? d->alpha : 0;
}

/* The activation as a post-operation; nothing for the identity. */
static vg_status activate(const vg_onednn_dense *d, dnnl_primitive_attr_t attributes)
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

static dnnl_memory_desc_t weight_desc(const vg_onednn_dense *d, vg_onednn_form f)
{
    const dnnl_dim_t w[] = {d->out, d->in};
    return f == VG_ONEDNN_PACKED ? vg_onednn_any(2, w) : vg_onednn_plain(2, w);
}

/* A matmul's: W transposed, and a row of biases. */
static dnnl_memory_desc_t transposed_desc(const vg_onednn_dense *d)
{
    const dnnl_dim_t shape[] = {d->in, d->out}, strides[] = {1, d->in};
    return vg_onednn_strided(2, shape, strides);
}

static dnnl_memory_desc_t bias_row_desc(const vg_onednn_dense *d)
{
    const dnnl_dim_t shape[] = {1, d->out};
    return vg_onednn_plain(2, shape);
}

static vg_status forward_desc(const vg_onednn_dense *d, vg_onednn_form f, bool activated,
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
static vg_status seen_as(const vg_onednn_dense *d, dnnl_memory_desc_t desc, dnnl_memory_t *memory)
{
    void *at;
    VG_ONEDNN(dnnl_memory_get_data_handle(*memory, &at));
    return vg_onednn_memory(d->exec, &desc, at, memory);
}

/* The weights that a description wants, copied from *weight where they stand otherwise; then its
 * step. The description is used up. */
static vg_status weighted_step(vg_onednn_dense *d, vg_pass pass, dnnl_primitive_desc_t primitive,
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

vg_status vg_onednn_dense_forward(vg_onednn_dense *d, vg_onednn_form f)
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

vg_status vg_onednn_dense_derivative(vg_onednn_dense *d)
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

static vg_status by_data_desc(const vg_onednn_dense *d, vg_onednn_form f,
                              dnnl_primitive_desc_t *out)
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

vg_status vg_onednn_dense_by_data(vg_onednn_dense *d, vg_onednn_form f)
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

static vg_status by_weights_desc(const vg_onednn_dense *d, vg_onednn_form f,
                                 dnnl_primitive_desc_t *out)
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

vg_status vg_onednn_dense_by_weights(vg_onednn_dense *d, vg_onednn_form f)
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

vg_status vg_onednn_dense_dz(vg_onednn_dense *d)
{
    const dnnl_dim_t y[] = {d->batch, d->out};
    const dnnl_memory_desc_t desc = vg_onednn_plain(2, y);
    dnnl_alg_kind_t algorithm;
    d->dz_at = d->dy_at;
    return algorithm_of(d->activation, true, &algorithm)
               ? vg_onednn_memory(d->exec, &desc, NULL, &d->dz_at)
               : VG_OK;
}
