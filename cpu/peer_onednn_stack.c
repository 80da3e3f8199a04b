/* Dense stacks: their layers' memory, and their passes. Each pass is asked for in every form that
 * the library has for it, and the fastest is kept: a training step has plain weights before it and
 * plain gradients after. */
#include "peer_onednn_dense.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vg_onednn_form_names[VG_ONEDNN_FORMS] = {"packed", "plain", "matmul"};

/* Weights, biases and their gradients, by their names. */
static vg_status parameters(vg_onednn_dense *d)
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

static vg_status make_layers(vg_exec *exec, const vg_model *m, vg_onednn_dense *layers,
                             uint32_t count)
{
    float *y, *dy;
    dnnl_memory_t y_at, dy_at;
    VG_TRY(signals(exec, m->batch, m->input, &y, &dy, &y_at, &dy_at));
    VG_TRY(vg_onednn_place(exec, y, NULL, 0, "x"));
    VG_TRY(vg_onednn_place(exec, dy, NULL, 0, "dx"));
    for (uint32_t i = 0; i < count; i++) {
        vg_onednn_dense *d = &layers[i];
        const bool readout = i == m->depth, last = i + 1 == count;
        *d = (vg_onednn_dense){.exec = exec,
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
        VG_TRY(vg_onednn_dense_dz(d));
        VG_TRY(parameters(d));
    }
    VG_TRY(vg_onednn_place(exec, y, NULL, 0, "y"));
    return vg_onednn_place(exec, dy, NULL, 0, "dy");
}

/* A pass of every layer in one form. */
static vg_status one_pass(vg_onednn_dense *layers, uint32_t count, vg_pass pass, vg_onednn_form f)
{
    for (uint32_t i = 0; i < count; i++)
        VG_TRY(pass == VG_PASS_FWD        ? vg_onednn_dense_forward(&layers[i], f)
               : pass == VG_PASS_BWD_DATA ? vg_onednn_dense_by_data(&layers[count - 1 - i], f)
                                          : vg_onednn_dense_by_weights(&layers[count - 1 - i], f));
    return VG_OK;
}

/* A matmul would leave out the gradient of the biases. */
static vg_onednn_form last_form(vg_pass pass)
{
    return pass == VG_PASS_BWD_WEIGHTS ? VG_ONEDNN_PLAIN : VG_ONEDNN_MATMUL;
}

/* The fastest form of a pass, measured (on zeros: a product does not care). */
static vg_status fastest(vg_onednn_dense *layers, uint32_t count, vg_pass pass, vg_onednn_form *out)
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
static vg_status choose(vg_onednn_dense *layers, uint32_t count, vg_pass pass, const char *name,
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

static vg_status make_passes(vg_onednn_dense *layers, uint32_t count)
{
    vg_onednn_form fwd, data, weights;
    VG_TRY(choose(layers, count, VG_PASS_FWD, "fwd", &fwd));
    VG_TRY(one_pass(layers, count, VG_PASS_FWD, fwd));
    VG_TRY(choose(layers, count, VG_PASS_BWD_DATA, "bwd_data", &data));
    VG_TRY(choose(layers, count, VG_PASS_BWD_WEIGHTS, "bwd_weights", &weights));
    for (uint32_t i = count; i-- > 0;) {
        VG_TRY(vg_onednn_dense_derivative(&layers[i]));
        VG_TRY(vg_onednn_dense_by_data(&layers[i], data));
        VG_TRY(vg_onednn_dense_by_weights(&layers[i], weights));
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
    vg_onednn_dense *layers = calloc(count, sizeof *layers);
    if (!layers)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for %u layers", count);
    vg_status status = make_layers(exec, m, layers, count);
    if (status == VG_OK)
        status = make_passes(layers, count);
    free(layers);
    return status;
}
