/* Recurrent layers once more, with dh and dc written: PROBE (the plain reading) and EXACT (piece by
 * piece, rescaled in between). Both own every window they write. */
#include "lower_build.h"

/* The four gradients of a layer, in the order of vg_recurrent_layer's weight_slots. */
static const char *const weight_names[4] = {"dweight_ih", "dbias_ih", "dweight_hh", "dbias_hh"};

typedef struct gradient_windows {
    vg_mat dgates_x, dgates_h, dh, dc, dstate0[VG_MAX_STATES];
} gradient_windows;

static gradient_windows build_windows(vg_builder *b, const vg_recurrent_layer *r)
{
    const vg_cell_info *cell = vg_cell_find(b->model->kind);
    gradient_windows w = {0};
    w.dgates_x = vg_build_window(b, r->y.rows, r->preact.cols, b->storage);
    w.dgates_h =
        cell->gates_differ ? vg_build_window(b, r->y.rows, r->preact.cols, b->storage) : w.dgates_x;
    w.dh = vg_build_window(b, r->y.rows, r->y.cols, b->wide);
    if (cell->states > 1)
        w.dc = vg_build_window(b, r->y.rows, r->y.cols, b->wide);
    for (uint32_t s = 0; s < cell->states; s++)
        w.dstate0[s] = vg_build_window(b, b->model->batch, r->y.cols, b->wide);
    return w;
}

static void set_outputs(vg_scan_bwd *scan, const gradient_windows *w)
{
    scan->dgates_x = w->dgates_x;
    scan->dgates_h = w->dgates_h;
    scan->dh = w->dh;
    scan->dc = w->dc;
    for (int s = 0; s < VG_MAX_STATES; s++)
        scan->dstate0[s] = w->dstate0[s];
}

static uint64_t pieces(const vg_builder *b)
{
    return (b->model->seq_len - 1) / b->piece + 1;
}

/* Step 0 is the initial state, then every step. */
static void measure_steps(vg_builder *b, vg_pass pass, uint32_t layer, vg_mat state0, vg_mat steps,
                          uint32_t slot)
{
    vg_build_measure(b, pass, layer, state0, state0.rows, slot);
    vg_build_measure(b, pass, layer, steps, b->model->batch, slot + 1);
}

static uint32_t probe_signal(vg_builder *b, const char *tensor, const vg_recurrent_layer *r,
                             vg_mat state0, vg_mat steps, uint32_t census)
{
    uint32_t slot = vg_build_profile(b, (vg_profile){.tensor = tensor,
                                                     .layer = r->layer,
                                                     .first_step = 0,
                                                     .steps = b->model->seq_len + 1,
                                                     .exponent = r->exponents,
                                                     .census = census,
                                                     .piece = b->piece});
    measure_steps(b, VG_PASS_PROBE, r->layer, state0, steps, slot);
    return slot;
}

static void probe_weights(vg_builder *b, vg_recurrent_layer *r)
{
    const vg_mat mats[4] = {r->dweight_ih, r->dbias_ih, r->dweight_hh, r->dbias_hh};
    for (int i = 0; i < 4; i++) {
        r->weight_slots[i] = vg_build_profile(b, (vg_profile){.tensor = weight_names[i],
                                                              .layer = r->layer,
                                                              .first_step = 1,
                                                              .exponent = r->gates_exponent,
                                                              .census = VG_NO_SLOT,
                                                              .piece = 1});
        vg_build_measure(b, VG_PASS_PROBE, r->layer, mats[i], mats[i].rows, r->weight_slots[i]);
    }
}

/* Of a cell that is one activation: the mean of its derivative, a slot a step. */
static uint32_t probe_census(vg_builder *b, const vg_recurrent_layer *r)
{
    if (!vg_cell_find(b->model->kind)->takes_activation)
        return VG_NO_SLOT;
    uint32_t slot = vg_build_slots(b, b->model->seq_len);
    vg_op *op = vg_build_op(b, VG_CENSUS, VG_PASS_PROBE, r->layer);
    op->activation = b->model->activation;
    op->slot = slot;
    op->census = (vg_census){r->y, b->model->batch};
    return slot;
}

static void probe_layer(vg_builder *b, vg_recurrent_layer *r)
{
    gradient_windows w = build_windows(b, r);
    set_outputs(&vg_build_scan_bwd(b, r, VG_PASS_PROBE)->scan_bwd, &w);
    r->exponents = vg_build_slots(b, pieces(b));
    r->gates_exponent = vg_build_slots(b, 1);
    r->dh_slot = probe_signal(b, "dh", r, r->dstate0[0], w.dh, probe_census(b, r));
    if (w.dc.rows)
        r->dc_slot = probe_signal(b, "dc", r, r->dstate0[1], w.dc, VG_NO_SLOT);
    probe_weights(b, r);
}

static uint32_t probe_input(vg_builder *b, const vg_recurrent_layer *bottom)
{
    uint32_t slot = vg_build_profile(b, (vg_profile){.tensor = "dh",
                                                     .layer = 0,
                                                     .first_step = 1,
                                                     .steps = b->model->seq_len,
                                                     .exponent = bottom->exponents,
                                                     .census = VG_NO_SLOT,
                                                     .piece = b->piece});
    vg_build_measure(b, VG_PASS_PROBE, 0, bottom->dx, b->model->batch, slot);
    return slot;
}

/* What comes back into a layer of the exact reading: rows of every step or of the last alone, with
 * one exponent (by_piece false) or one a piece. */
typedef struct incoming {
    vg_mat dy;
    uint32_t exponent;
    bool by_piece;
} incoming;

/* Where the states' derivatives are carried from piece to piece, and the rescaled dy. */
typedef struct carried {
    vg_mat states[VG_MAX_STATES], dy;
} carried;

/* Brings what flows into piece j to one exponent: the states' derivatives (but for the last piece,
 * into which nothing comes back) and dy's rows, if any. True if dy is among them. */
static bool rescale_piece(vg_builder *b, const vg_recurrent_layer *r, const incoming *from,
                          const gradient_windows *w, const carried *carry, uint64_t j)
{
    const vg_model *m = b->model;
    bool last = j + 1 == pieces(b), every_step = from->dy.rows == r->y.rows;
    uint64_t t0 = j * b->piece, t1 = last ? m->seq_len : t0 + b->piece;
    uint32_t n = 0;
    vg_op *op = vg_build_op(b, VG_RESCALE, VG_PASS_EXACT, r->layer);
    op->slot = r->exponents + (uint32_t)j;
    op->rescale = (vg_rescale){.exponent = {VG_NO_SLOT, VG_NO_SLOT, VG_NO_SLOT}};
    for (int s = 0; !last && s < VG_MAX_STATES && w->dstate0[s].rows; s++, n++) {
        op->rescale.in[n] = w->dstate0[s];
        op->rescale.out[n] = carry->states[s];
        op->rescale.exponent[n] = r->exponents + (uint32_t)j + 1;
    }
    if (!every_step && !last)
        return false;
    uint64_t first = every_step ? t0 * m->batch : 0;
    uint64_t rows = every_step ? (t1 - t0) * m->batch : from->dy.rows;
    op->rescale.in[n] = vg_mat_rows(from->dy, first, rows);
    op->rescale.out[n] = vg_mat_rows(carry->dy, first, rows);
    op->rescale.exponent[n] = from->exponent + (from->by_piece ? (uint32_t)j : 0);
    return true;
}

static void exact_piece(vg_builder *b, const vg_recurrent_layer *r, const incoming *from,
                        const gradient_windows *w, const carried *carry, uint64_t j)
{
    bool last = j + 1 == pieces(b), with_dy = rescale_piece(b, r, from, w, carry, j);
    vg_op *op = vg_build_scan_bwd(b, r, VG_PASS_EXACT);
    op->t0 = j * b->piece;
    op->t1 = last ? b->model->seq_len : op->t0 + b->piece;
    op->scan_bwd.dy = with_dy ? carry->dy : (vg_mat){0};
    for (int s = 0; !last && s < VG_MAX_STATES; s++)
        op->scan_bwd.dstateT[s] = carry->states[s];
    set_outputs(&op->scan_bwd, w);
}

/* All pieces' dgates to one exponent, and from them the weights' gradients. */
static void exact_weights(vg_builder *b, const vg_recurrent_layer *r, const gradient_windows *w)
{
    bool differ = vg_cell_find(b->model->kind)->gates_differ;
    vg_mat x = vg_build_window(b, w->dgates_x.rows, w->dgates_x.cols, w->dgates_x.dtype), h = x;
    vg_op *op = vg_build_op(b, VG_RESCALE, VG_PASS_EXACT, r->layer);
    op->slot = r->gates_exponent;
    op->rescale = (vg_rescale){.in = {w->dgates_x},
                               .out = {x},
                               .exponent = {r->exponents, VG_NO_SLOT, VG_NO_SLOT},
                               .segment_rows = b->piece * b->model->batch};
    if (differ) {
        h = vg_build_window(b, x.rows, x.cols, x.dtype);
        op->rescale.in[1] = w->dgates_h;
        op->rescale.out[1] = h;
        op->rescale.exponent[1] = r->exponents;
    }
    const vg_mat plain[4] = {r->dweight_ih, r->dbias_ih, r->dweight_hh, r->dbias_hh};
    vg_mat exact[4];
    for (int i = 0; i < 4; i++)
        exact[i] = vg_build_window(b, plain[i].rows, plain[i].cols, plain[i].dtype);
    vg_build_dense_bwd_weights(b, VG_PASS_EXACT, r->layer, x, r->x, exact[0], exact[1]);
    vg_build_dense_bwd_weights(b, VG_PASS_EXACT, r->layer, h, r->history, exact[2], exact[3]);
    for (int i = 0; i < 4; i++)
        vg_build_measure(b, VG_PASS_EXACT, r->layer, exact[i], exact[i].rows,
                         r->weight_slots[i] + 1);
}

/* Returns dx, whose rows keep the exponent of their piece. */
static vg_mat exact_layer(vg_builder *b, const vg_recurrent_layer *r, const incoming *from)
{
    gradient_windows w = build_windows(b, r);
    carried carry = {.dy = vg_build_window(b, from->dy.rows, from->dy.cols, from->dy.dtype)};
    uint32_t steps = (uint32_t)b->model->seq_len + 1;
    for (int s = 0; s < VG_MAX_STATES && w.dstate0[s].rows; s++)
        carry.states[s] = vg_build_window(b, w.dstate0[s].rows, w.dstate0[s].cols, b->wide);
    for (uint64_t j = pieces(b); !b->counting && b->status == VG_OK && j-- > 0;)
        exact_piece(b, r, from, &w, &carry, j);
    measure_steps(b, VG_PASS_EXACT, r->layer, w.dstate0[0], w.dh, r->dh_slot + steps);
    if (w.dc.rows)
        measure_steps(b, VG_PASS_EXACT, r->layer, w.dstate0[1], w.dc, r->dc_slot + steps);
    vg_mat dx = vg_build_scan_dx(b, r, w.dgates_x, VG_PASS_EXACT);
    exact_weights(b, r, &w);
    return dx;
}

void vg_build_recurrent_probe(vg_builder *b, vg_recurrent_layer *layers, vg_dense_layer *readout)
{
    uint32_t depth = b->model->depth;
    if (readout)
        vg_build_dense_probe(b, readout);
    for (uint32_t i = depth; i-- > 0;)
        probe_layer(b, &layers[i]);
    uint32_t input_slot = probe_input(b, &layers[0]);

    incoming from = {layers[depth - 1].dy, VG_NO_SLOT, false};
    if (readout) {
        vg_mat scaled;
        from.dy = vg_build_dense_exact(b, readout, readout->dy, VG_NO_SLOT, &scaled);
        from.exponent = readout->exponent;
    }
    for (uint32_t i = depth; i-- > 0;) {
        vg_mat dx = exact_layer(b, &layers[i], &from);
        from = (incoming){dx, layers[i].exponents, true};
    }
    vg_build_measure(b, VG_PASS_EXACT, 0, from.dy, b->model->batch,
                     input_slot + (uint32_t)b->model->seq_len);
}
