/* Recurrent layers, with or without a read-out, as a program: forward and backward. */
#include "lower_build.h"

#include <stdio.h>
#include <stdlib.h>

/* "" of a single layer, else "_l<k>" with k from 0. */
static const char *state_suffix(const vg_builder *b, uint32_t index, char out[16])
{
    out[0] = 0;
    if (b->model->depth > 1)
        snprintf(out, 16, "_l%u", index);
    return out;
}

/* One window holds h_0 and every h_t, so that the row of h_{t-1} is found without a branch. */
static void build_states(vg_builder *b, vg_recurrent_layer *r, uint32_t index)
{
    const vg_model *m = b->model;
    const vg_cell_info *cell = vg_cell_find(m->kind);
    uint64_t rows = m->seq_len * m->batch, kept = cell->kept + cell->states - 1;
    vg_shape shape = {3, {1, m->batch, m->width}};
    char suffix[16];
    state_suffix(b, index, suffix);
    vg_mat whole = vg_build_window(b, rows + m->batch, m->width, b->storage);
    r->history = vg_mat_rows(whole, 0, rows);
    r->state0[0] = vg_mat_rows(whole, 0, m->batch);
    r->y = vg_mat_rows(whole, m->batch, rows);
    vg_build_tensor(b, VG_ROLE_INPUT, r->layer, r->state0[0], shape, "h_0%s", suffix);
    vg_build_tensor(b, VG_ROLE_OUTPUT, r->layer, vg_mat_rows(r->y, rows - m->batch, m->batch),
                    shape, "h_n%s", suffix);
    if (kept)
        r->reserve =
            vg_build_window(b, rows, kept * m->width, cell->states > 1 ? b->wide : b->storage);
    if (cell->states > 1) {
        vg_mat last = vg_mat_rows(r->reserve, rows - m->batch, m->batch);
        r->state0[1] = vg_build_window(b, m->batch, m->width, b->wide);
        vg_build_tensor(b, VG_ROLE_INPUT, r->layer, r->state0[1], shape, "c_0%s", suffix);
        vg_build_tensor(b, VG_ROLE_OUTPUT, r->layer,
                        vg_mat_cols(last, cell->kept * m->width, m->width), shape, "c_n%s", suffix);
    }
}

static void build_layer(vg_builder *b, vg_recurrent_layer *r, uint32_t index, vg_mat x)
{
    const vg_model *m = b->model;
    uint64_t gates = (uint64_t)vg_cell_find(m->kind)->gates * m->width;
    char suffix[16];
    snprintf(suffix, sizeof suffix, "_l%u", index);
    r->layer = index + 1;
    r->x = x;
    vg_build_weights(b, r->layer, gates, x.cols, "ih", suffix, &r->weight_ih, &r->bias_ih,
                     &r->dweight_ih, &r->dbias_ih);
    vg_build_weights(b, r->layer, gates, m->width, "hh", suffix, &r->weight_hh, &r->bias_hh,
                     &r->dweight_hh, &r->dbias_hh);
    build_states(b, r, index);
    r->preact = vg_build_window(b, x.rows, gates, b->wide);
    vg_op *op = vg_build_op(b, VG_DENSE_FWD, VG_PASS_FWD, r->layer);
    op->dense_fwd =
        (vg_dense_fwd){.x = x, .weight = r->weight_ih, .bias = r->bias_ih, .y = r->preact};
    op = vg_build_op(b, VG_SCAN_FWD, VG_PASS_FWD, r->layer);
    op->activation = m->activation;
    op->scan_fwd = (vg_scan_fwd){.preact_x = r->preact,
                                 .weight_hh = r->weight_hh,
                                 .bias_hh = r->bias_hh,
                                 .state0 = {r->state0[0], r->state0[1]},
                                 .y = r->y,
                                 .reserve = r->reserve};
}

static void forward(vg_builder *b, vg_recurrent_layer *layers, vg_dense_layer *readout)
{
    const vg_model *m = b->model;
    uint64_t rows = m->seq_len * m->batch;
    vg_mat x = vg_build_window(b, rows, m->input, b->storage);
    vg_build_tensor(b, VG_ROLE_INPUT, 0, x, (vg_shape){3, {m->seq_len, m->batch, m->input}}, "x");
    for (uint32_t i = 0; i < m->depth; i++) {
        build_layer(b, &layers[i], i, x);
        x = layers[i].y;
    }
    vg_shape shape = {3, {m->seq_len, m->batch, x.cols}};
    if (m->output) {
        bool all = m->loss_at == VG_LOSS_AT_ALL;
        readout->layer = m->depth + 1;
        readout->activation = m->output_activation;
        readout->x = all ? x : vg_mat_rows(x, rows - m->batch, m->batch);
        vg_build_dense_fwd(b, readout, m->output, "out");
        x = readout->y;
        shape = all ? (vg_shape){3, {m->seq_len, m->batch, m->output}}
                    : (vg_shape){2, {m->batch, m->output}};
    }
    vg_build_tensor(b, VG_ROLE_OUTPUT, m->depth + (m->output > 0), x, shape, "y");
}

/* What comes back to the top layer: [B, H] of the last step, or [T·B, H]. */
static vg_mat build_loss(vg_builder *b, const vg_recurrent_layer *top, vg_dense_layer *readout)
{
    const vg_model *m = b->model;
    bool all = m->loss_at == VG_LOSS_AT_ALL;
    uint64_t rows = m->seq_len * m->batch;
    vg_mat y = top->y;
    if (m->output)
        y = readout->y;
    else if (!all)
        y = vg_mat_rows(y, rows - m->batch, m->batch);
    vg_shape shape =
        all ? (vg_shape){3, {m->seq_len, m->batch, y.cols}} : (vg_shape){2, {m->batch, y.cols}};
    vg_mat dy = vg_build_loss(b, y, shape);
    if (m->output) {
        readout->dy = dy;
        vg_build_dense_bwd_data(b, readout);
        dy = readout->dx;
    }
    return dy;
}

vg_op *vg_build_scan_bwd(vg_builder *b, const vg_recurrent_layer *r, vg_pass pass)
{
    vg_op *op = vg_build_op(b, VG_SCAN_BWD, pass, r->layer);
    op->activation = b->model->activation;
    op->scan_bwd = (vg_scan_bwd){.reserve = r->reserve,
                                 .y = r->y,
                                 .state0 = {r->state0[0], r->state0[1]},
                                 .dy = r->dy,
                                 .weight_hh = r->weight_hh};
    return op;
}

vg_mat vg_build_scan_dx(vg_builder *b, const vg_recurrent_layer *r, vg_mat dgates_x, vg_pass pass)
{
    vg_mat dx = vg_build_window(b, dgates_x.rows, r->x.cols, b->storage);
    vg_op *op = vg_build_op(b, VG_DENSE_BWD_DATA, pass, r->layer);
    op->dense_bwd_data = (vg_dense_bwd_data){
        .dy = dgates_x, .a = r->preact, .weight = r->weight_ih, .dz = dgates_x, .dx = dx};
    return dx;
}

static void backward_layer(vg_builder *b, vg_recurrent_layer *r)
{
    const vg_model *m = b->model;
    const vg_cell_info *cell = vg_cell_find(m->kind);
    char suffix[16];
    state_suffix(b, r->layer - 1, suffix);
    r->dgates_x = vg_build_window(b, r->y.rows, r->preact.cols, b->storage);
    r->dgates_h = cell->gates_differ ? vg_build_window(b, r->y.rows, r->preact.cols, b->storage)
                                     : r->dgates_x;
    for (uint32_t s = 0; s < cell->states; s++) {
        r->dstate0[s] = vg_build_window(b, m->batch, m->width, b->wide);
        vg_build_tensor(b, VG_ROLE_GRADIENT, r->layer, r->dstate0[s],
                        (vg_shape){3, {1, m->batch, m->width}}, "%s%s", s ? "dc_0" : "dh_0",
                        suffix);
    }
    vg_scan_bwd *scan = &vg_build_scan_bwd(b, r, VG_PASS_BWD_DATA)->scan_bwd;
    scan->dgates_x = r->dgates_x;
    scan->dgates_h = r->dgates_h;
    scan->dstate0[0] = r->dstate0[0];
    scan->dstate0[1] = r->dstate0[1];
    r->dx = vg_build_scan_dx(b, r, r->dgates_x, VG_PASS_BWD_DATA);
}

static void backward(vg_builder *b, vg_recurrent_layer *layers, vg_dense_layer *readout)
{
    const vg_model *m = b->model;
    vg_mat dy = build_loss(b, &layers[m->depth - 1], readout);
    for (uint32_t i = m->depth; i-- > 0;) {
        layers[i].dy = dy;
        backward_layer(b, &layers[i]);
        dy = layers[i].dx;
    }
    vg_build_tensor(b, VG_ROLE_GRADIENT, 0, dy, (vg_shape){3, {m->seq_len, m->batch, m->input}},
                    "dx");
    if (m->output)
        vg_build_dense_bwd_weights(b, VG_PASS_BWD_WEIGHTS, readout->layer, readout->dz, readout->x,
                                   readout->dweight, readout->dbias);
    for (uint32_t i = m->depth; i-- > 0;) {
        vg_recurrent_layer *r = &layers[i];
        vg_build_dense_bwd_weights(b, VG_PASS_BWD_WEIGHTS, r->layer, r->dgates_x, r->x,
                                   r->dweight_ih, r->dbias_ih);
        vg_build_dense_bwd_weights(b, VG_PASS_BWD_WEIGHTS, r->layer, r->dgates_h, r->history,
                                   r->dweight_hh, r->dbias_hh);
    }
    vg_build_clip(b);
}

void vg_lower_recurrent(vg_builder *b)
{
    const vg_model *m = b->model;
    vg_dense_layer readout = {0};
    vg_recurrent_layer *layers = calloc(m->depth, sizeof *layers);
    if (!layers) {
        b->status = vg_fail(VG_NO_MEMORY, "lowering: no memory for %u layers", m->depth);
        return;
    }
    forward(b, layers, &readout);
    backward(b, layers, &readout);
    if (b->profile)
        vg_build_recurrent_probe(b, layers, m->output ? &readout : NULL);
    free(layers);
}
