/* A stack of dense layers, with or without a read-out, as a program. */
#include "lower_build.h"

#include <stdio.h>
#include <stdlib.h>

static void forward(vg_builder *b, vg_dense_layer *layers, uint32_t count)
{
    const vg_model *m = b->model;
    vg_mat x = vg_build_window(b, m->batch, m->input, b->storage);
    vg_build_tensor(b, VG_ROLE_INPUT, 0, x, (vg_shape){2, {m->batch, m->input}}, "x");
    for (uint32_t i = 0; i < count; i++) {
        vg_dense_layer *d = &layers[i];
        bool readout = i == m->depth;
        char suffix[16];
        snprintf(suffix, sizeof suffix, readout ? "out" : "%u", i);
        d->layer = i + 1;
        d->activation = i + 1 == count ? m->output_activation : m->activation;
        d->residual = m->residual && !readout && x.cols == m->width;
        d->x = x;
        vg_build_dense_fwd(b, d, readout ? m->output : m->width, suffix);
        x = d->y;
    }
    vg_build_tensor(b, VG_ROLE_OUTPUT, count, x, (vg_shape){2, {x.rows, x.cols}}, "y");
}

static void backward(vg_builder *b, vg_dense_layer *layers, uint32_t count)
{
    vg_mat y = layers[count - 1].y;
    vg_mat dy = vg_build_loss(b, y, (vg_shape){2, {y.rows, y.cols}});
    for (uint32_t i = count; i-- > 0;) {
        layers[i].dy = dy;
        vg_build_dense_bwd_data(b, &layers[i]);
        dy = layers[i].dx;
    }
    vg_build_tensor(b, VG_ROLE_GRADIENT, 0, dy, (vg_shape){2, {dy.rows, dy.cols}}, "dx");
    for (uint32_t i = count; i-- > 0;) {
        vg_dense_layer *d = &layers[i];
        vg_build_dense_bwd_weights(b, VG_PASS_BWD_WEIGHTS, d->layer, d->dz, d->x, d->dweight,
                                   d->dbias);
    }
    vg_build_clip(b);
}

/* The signal dh of a layer (0: the input) and the census of its activation. */
static uint32_t probe_signal(vg_builder *b, uint32_t layer, vg_mat dh, uint32_t exponent,
                             const vg_dense_layer *d)
{
    uint32_t census = d ? vg_build_slots(b, 1) : VG_NO_SLOT;
    uint32_t slot = vg_build_profile(b, (vg_profile){.tensor = "dh",
                                                     .layer = layer,
                                                     .first_step = 1,
                                                     .exponent = exponent,
                                                     .census = census,
                                                     .piece = 1});
    vg_build_measure(b, VG_PASS_PROBE, layer, dh, dh.rows, slot);
    if (d) {
        vg_op *op = vg_build_op(b, VG_CENSUS, VG_PASS_PROBE, layer);
        op->activation = d->activation;
        op->pieces = d->activation == VG_maxout ? b->model->pieces : 1;
        op->slot = census;
        op->census = (vg_census){d->a, d->a.rows};
    }
    return slot;
}

/* dh_slots[l]: the plain slot of dh of layer l, 0..depth. */
static void profile(vg_builder *b, vg_dense_layer *layers, uint32_t count, uint32_t *dh_slots)
{
    uint32_t depth = b->model->depth;
    for (uint32_t i = count; i-- > 0;) {
        vg_build_dense_probe(b, &layers[i]);
        if (i < depth)
            dh_slots[i + 1] = probe_signal(b, i + 1, layers[i].dy, layers[i].exponent, &layers[i]);
    }
    dh_slots[0] = probe_signal(b, 0, layers[0].dx, layers[0].exponent, NULL);

    vg_mat dy = layers[count - 1].dy, scaled;
    uint32_t exponent = VG_NO_SLOT;
    for (uint32_t i = count; i-- > 0;) {
        dy = vg_build_dense_exact(b, &layers[i], dy, exponent, &scaled);
        exponent = layers[i].exponent;
        if (i < depth)
            vg_build_measure(b, VG_PASS_EXACT, i + 1, scaled, scaled.rows, dh_slots[i + 1] + 1);
    }
    vg_build_measure(b, VG_PASS_EXACT, 0, dy, dy.rows, dh_slots[0] + 1);
}

void vg_lower_stack(vg_builder *b)
{
    uint32_t count = b->model->depth + (b->model->output > 0);
    vg_dense_layer *layers = calloc(count, sizeof *layers);
    uint32_t *dh_slots = calloc((size_t)count + 1, sizeof *dh_slots);
    b->piece = 1;
    if (layers && dh_slots) {
        forward(b, layers, count);
        backward(b, layers, count);
        if (b->profile)
            profile(b, layers, count, dh_slots);
    } else if (b->status == VG_OK) {
        b->status = vg_fail(VG_NO_MEMORY, "lowering: no memory for %u layers", count);
    }
    free(layers);
    free(dh_slots);
}
