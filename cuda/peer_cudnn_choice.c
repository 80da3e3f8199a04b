/* Which form of a model is the fastest here: a trial of all of them. */
#include "peer_cudnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 5 };
/* No more runs of a form once they have lasted this long. */
static const double enough_s = 0.25;
/* A later form has to beat an earlier one by more than timings scatter. */
static const double better_by = 0.98;

/* The best so far, and why others are not among the tried. */
typedef struct trial {
    vg_device *device;
    const vg_model *model;
    bool found;
    vg_cudnn_form best;
    double best_s;
    uint32_t ran;
    int weight; /* of the reason that is kept; 0: none is */
    vg_status refused;
    char reason[512];
} trial;

/* Uniform in (-1, 1) / √H, so that no state grows: Marsaglia's xorshift64*. */
static void fill_stage(const vg_cudnn_rnn *r)
{
    unsigned char *stage = vg_cudnn_of(r->device)->stage;
    const double scale = 1 / sqrt(r->model->width);
    const size_t size = vg_dtype_size(r->storage);
    uint64_t state = 88172645463325252u;
    for (size_t at = 0; at < VG_CUDNN_STAGE; at += size) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        const double value = ldexp((double)(state * 2685821657736338717u >> 11), -52) - 1;
        vg_cudnn_pack(r->storage, scale * value, stage + at);
    }
}

/* What a step reads is random: zeros would cost less power, and so less time. */
static vg_status fill_inputs(const vg_cudnn_rnn *r)
{
    static const vg_cudnn_buffer inputs[] = {VG_CUDNN_X, VG_CUDNN_HX, VG_CUDNN_CX, VG_CUDNN_DY,
                                             VG_CUDNN_WEIGHTS};
    fill_stage(r);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        const size_t bytes = r->bytes[inputs[i]];
        for (size_t at = 0; at < bytes; at += VG_CUDNN_STAGE)
            VG_TRY(vg_cudnn_upload(r->device, r->at[inputs[i]] + at,
                                   bytes - at < VG_CUDNN_STAGE ? bytes - at : VG_CUDNN_STAGE));
    }
    return VG_OK;
}

/* A sum over the weights' gradients, on which every other result has a bearing. */
static vg_status checksum(const vg_cudnn_rnn *r, uint64_t *out)
{
    const size_t bytes = r->bytes[VG_CUDNN_DWEIGHTS];
    const unsigned char *stage = vg_cudnn_of(r->device)->stage;
    uint64_t sum = 0xCBF29CE484222325u;
    for (size_t at = 0; at < bytes; at += VG_CUDNN_STAGE) {
        const size_t n = bytes - at < VG_CUDNN_STAGE ? bytes - at : VG_CUDNN_STAGE;
        VG_TRY(vg_cudnn_download(r->device, r->at[VG_CUDNN_DWEIGHTS] + at, n));
        for (size_t i = 0; i < n; i++)
            sum = (sum ^ stage[i]) * 0x100000001B3u;
    }
    *out = sum;
    return VG_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of several training steps after one to warm up. A form that does not repeat its bits
 * could not be checked from one repetition to the next. */
static vg_status time_steps(vg_cudnn_rnn *r, double *out)
{
    double seconds[MOST_RUNS], spent = 0, warm;
    uint64_t first, last;
    int runs = 0;
    VG_TRY(fill_inputs(r));
    VG_TRY(vg_cudnn_rnn_run(r, VG_PASSES_TRAIN, 1, &warm));
    VG_TRY(checksum(r, &first));
    while (runs < MOST_RUNS && (runs == 0 || spent < enough_s)) {
        VG_TRY(vg_cudnn_rnn_run(r, VG_PASSES_TRAIN, 1, &seconds[runs]));
        spent += seconds[runs++];
    }
    VG_TRY(checksum(r, &last));
    if (first != last)
        VG_FAIL(VG_UNSUPPORTED, "%s: two runs of it left different bits", r->device->name);
    qsort(seconds, (size_t)runs, sizeof *seconds, compare);
    *out = seconds[runs / 2];
    return VG_OK;
}

static vg_status time_form(trial *t, const vg_cudnn_form *form)
{
    vg_cudnn_rnn rnn;
    double seconds = 0;
    vg_status status = vg_cudnn_rnn_make(t->device, t->model, form, &rnn);
    if (status == VG_OK)
        status = time_steps(&rnn, &seconds);
    vg_cudnn_rnn_free(&rnn);
    VG_TRY(status);
    t->ran++;
    if (!t->found || seconds < better_by * t->best_s) {
        t->found = true;
        t->best = *form;
        t->best_s = seconds;
    }
    return VG_OK;
}

/* Keeps the first reason of the weightiest kind: want of memory, then cuDNN's words, then ours. */
static void refuse(trial *t, vg_status status, bool by_library)
{
    const int weight = status == VG_NO_MEMORY ? 3 : by_library ? 2 : 1;
    if (weight <= t->weight)
        return;
    t->weight = weight;
    t->refused = status;
    snprintf(t->reason, sizeof t->reason, "%s", vg_reason());
}

/* Times a form that is asked for and fits. Only what no further form can help is a failure. */
static vg_status try_form(trial *t, const vg_cudnn_form *form)
{
    if (!vg_cudnn_form_asked(vg_cudnn_of(t->device), form))
        return VG_OK;
    vg_status status = vg_cudnn_form_fits(t->model, form);
    if (status != VG_OK) {
        refuse(t, status, false);
        return VG_OK;
    }
    status = time_form(t, form);
    if (status == VG_DEVICE_LOST)
        return status;
    if (status != VG_OK)
        refuse(t, status, true);
    return VG_OK;
}

/* Every algorithm and math type with one bias and layout. */
static vg_status try_bias(trial *t, uint32_t bias, uint32_t layout)
{
    for (uint32_t algo = 0; algo < VG_CUDNN_ALGOS; algo++)
        for (uint32_t math = 0; math < VG_CUDNN_MATHS; math++)
            VG_TRY(try_form(t, &(vg_cudnn_form){algo, math, bias, layout}));
    return VG_OK;
}

/* Every bias of one layout; of the later ones, where an earlier one works, only the best form. */
static vg_status try_layout(trial *t, uint32_t layout)
{
    for (uint32_t bias = 0; bias < VG_CUDNN_BIASES; bias++) {
        const vg_cudnn_form best = {t->best.algo, t->best.math, bias, layout};
        VG_TRY(t->found ? try_form(t, &best) : try_bias(t, bias, layout));
    }
    return VG_OK;
}

vg_status vg_cudnn_choose(vg_device *device, const vg_model *model, vg_cudnn_form *out,
                          uint32_t *tried)
{
    trial t = {.device = device, .model = model};
    VG_TRY(vg_cudnn_takes(model));
    for (uint32_t layout = 0; layout < VG_CUDNN_LAYOUTS; layout++) {
        /* Of the later layouts, where an earlier one works, only the best form. */
        const vg_cudnn_form best = {t.best.algo, t.best.math, t.best.bias, layout};
        VG_TRY(t.found ? try_form(&t, &best) : try_layout(&t, layout));
    }
    if (!t.found)
        VG_FAIL(t.refused, "%s", t.reason);
    *out = t.best;
    *tried = t.ran;
    return VG_OK;
}
