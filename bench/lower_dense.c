/* The dense layer in every pass: of a stack, and the read-out of any model. */
#include "lower_build.h"

void vg_build_weights(vg_builder *b, uint32_t layer, uint64_t rows, uint64_t cols, const char *kind,
                      const char *suffix, vg_mat *weight, vg_mat *bias, vg_mat *dweight,
                      vg_mat *dbias)
{
    vg_shape matrix = {2, {rows, cols}}, vector = {1, {rows}};
    *weight = vg_build_window(b, rows, cols, b->storage);
    *bias = vg_build_window(b, 1, rows, b->wide);
    *dweight = vg_build_window(b, rows, cols, b->wide);
    *dbias = vg_build_window(b, 1, rows, b->wide);
    vg_build_tensor(b, VG_ROLE_WEIGHT, layer, *weight, matrix, "weight_%s%s", kind, suffix);
    vg_build_tensor(b, VG_ROLE_BIAS, layer, *bias, vector, "bias_%s%s", kind, suffix);
    vg_build_tensor(b, VG_ROLE_GRADIENT, layer, *dweight, matrix, "dweight_%s%s", kind, suffix);
    vg_build_tensor(b, VG_ROLE_GRADIENT, layer, *dbias, vector, "dbias_%s%s", kind, suffix);
}

static vg_op *dense_op(vg_builder *b, const vg_dense_layer *d, vg_op_kind kind, vg_pass pass)
{
    vg_op *op = vg_build_op(b, kind, pass, d->layer);
    op->activation = d->activation;
    op->pieces = d->activation == VG_maxout ? b->model->pieces : 1;
    return op;
}

void vg_build_dense_fwd(vg_builder *b, vg_dense_layer *d, uint64_t out, const char *suffix)
{
    uint64_t rows = d->x.rows, pieces = d->activation == VG_maxout ? b->model->pieces : 1;
    vg_build_weights(b, d->layer, pieces * out, d->x.cols, "", suffix, &d->weight, &d->bias,
                     &d->dweight, &d->dbias);
    d->y = vg_build_window(b, rows, out, b->storage);
    d->a = d->residual ? vg_build_window(b, rows, out, b->storage) : d->y;
    if (d->activation == VG_maxout)
        d->winner = vg_build_window(b, rows, out, VG_U8);
    vg_op *op = dense_op(b, d, VG_DENSE_FWD, VG_PASS_FWD);
    op->dense_fwd = (vg_dense_fwd){
        .x = d->x, .weight = d->weight, .bias = d->bias, .y = d->y, .winner = d->winner};
    if (d->residual) {
        op->dense_fwd.skip = d->x;
        op->dense_fwd.a = d->a;
    }
}

/* dz and dx from dy, in windows of their own. */
static void bwd_data(vg_builder *b, vg_pass pass, const vg_dense_layer *d, vg_mat dy, vg_mat *dz,
                     vg_mat *dx)
{
    *dz =
        d->activation == VG_identity ? dy : vg_build_window(b, dy.rows, d->weight.rows, b->storage);
    *dx = vg_build_window(b, dy.rows, d->weight.cols, b->storage);
    vg_op *op = dense_op(b, d, VG_DENSE_BWD_DATA, pass);
    op->dense_bwd_data = (vg_dense_bwd_data){
        dy, d->a, d->winner, d->weight, *dz, *dx, d->residual,
    };
}

void vg_build_dense_bwd_data(vg_builder *b, vg_dense_layer *d)
{
    bwd_data(b, VG_PASS_BWD_DATA, d, d->dy, &d->dz, &d->dx);
}

void vg_build_dense_bwd_weights(vg_builder *b, vg_pass pass, uint32_t layer, vg_mat dz, vg_mat x,
                                vg_mat dweight, vg_mat dbias)
{
    vg_op *op = vg_build_op(b, VG_DENSE_BWD_WEIGHTS, pass, layer);
    op->dense_bwd_weights = (vg_dense_bwd_weights){dz, x, dweight, dbias};
}

static uint32_t probe_whole(vg_builder *b, const char *tensor, const vg_dense_layer *d, vg_mat mat)
{
    uint32_t slot = vg_build_profile(b, (vg_profile){.tensor = tensor,
                                                     .layer = d->layer,
                                                     .first_step = 1,
                                                     .exponent = d->exponent,
                                                     .census = VG_NO_SLOT,
                                                     .piece = 1});
    vg_build_measure(b, VG_PASS_PROBE, d->layer, mat, mat.rows, slot);
    return slot;
}

void vg_build_dense_probe(vg_builder *b, vg_dense_layer *d)
{
    d->exponent = vg_build_slots(b, 1);
    d->dweight_slot = probe_whole(b, "dweight", d, d->dweight);
    d->dbias_slot = probe_whole(b, "dbias", d, d->dbias);
}

vg_mat vg_build_dense_exact(vg_builder *b, const vg_dense_layer *d, vg_mat dy, uint32_t exponent,
                            vg_mat *scaled)
{
    vg_mat dz, dx, dweight, dbias;
    *scaled = vg_build_window(b, dy.rows, dy.cols, dy.dtype);
    vg_op *op = vg_build_op(b, VG_RESCALE, VG_PASS_EXACT, d->layer);
    op->slot = d->exponent;
    op->rescale =
        (vg_rescale){.in = {dy}, .out = {*scaled}, .exponent = {exponent, VG_NO_SLOT, VG_NO_SLOT}};
    bwd_data(b, VG_PASS_EXACT, d, *scaled, &dz, &dx);
    dweight = vg_build_window(b, d->dweight.rows, d->dweight.cols, b->wide);
    dbias = vg_build_window(b, 1, d->dbias.cols, b->wide);
    vg_build_dense_bwd_weights(b, VG_PASS_EXACT, d->layer, dz, d->x, dweight, dbias);
    vg_build_measure(b, VG_PASS_EXACT, d->layer, dweight, dweight.rows, d->dweight_slot + 1);
    vg_build_measure(b, VG_PASS_EXACT, d->layer, dbias, dbias.rows, d->dbias_slot + 1);
    return dx;
}
