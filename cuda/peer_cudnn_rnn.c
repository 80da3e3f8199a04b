/* A model in one form: cuDNN's descriptors and buffers, and its passes. */
#include "peer_cudnn.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_AXES = 3, MATRIX_AXES = 3 };

/* --- descriptors --- */

static cudnnDataType_t data_type(vg_dtype storage)
{
    return storage == VG_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

static cudnnRNNMode_t cell_mode(const vg_model *model)
{
    switch (model->kind) {
    case VG_lstm: return CUDNN_LSTM;
    case VG_gru: return CUDNN_GRU;
    default: return model->activation == VG_relu ? CUDNN_RNN_RELU : CUDNN_RNN_TANH;
    }
}

static vg_status describe_layers(vg_cudnn_rnn *r, bool forward, cudnnRNNDescriptor_t *out)
{
    const vg_model *m = r->model;
    const vg_cudnn *cudnn = vg_cudnn_of(r->device);
    const cudnnRNNAlgo_t algo = vg_cudnn_algo(&r->form, forward);
    /* Sequences of several lengths are what padded input and output is for. */
    const bool padded = vg_cudnn_layout(&r->form) != CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
    VG_CUDNN(r->device, cudnnCreateRNNDescriptor, out);
    VG_CUDNN(r->device, cudnnSetRNNDescriptor_v8, *out, algo, cell_mode(m), vg_cudnn_bias(&r->form),
             CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, data_type(r->storage), CUDNN_DATA_FLOAT,
             vg_cudnn_math(&r->form), (int32_t)m->input, (int32_t)m->width, (int32_t)m->width,
             (int32_t)m->depth, r->dropout,
             padded ? CUDNN_RNN_PADDED_IO_ENABLED : CUDNN_RNN_PADDED_IO_DISABLED);
    if (algo == CUDNN_RNN_ALGO_PERSIST_DYNAMIC)
        VG_CUDNN(r->device, cudnnBuildRNNDynamic, cudnn->handle, *out, (int)m->batch);
    return VG_OK;
}

/* The library's own words do not say which size is too large. */
static vg_status describe_sequence(vg_cudnn_rnn *r, const int *lengths, uint32_t columns,
                                   cudnnRNNDataDescriptor_t *out)
{
    const vg_model *m = r->model;
    const vg_cudnn_api *api = &vg_cudnn_of(r->device)->api;
    char words[256];
    VG_CUDNN(r->device, cudnnCreateRNNDataDescriptor, out);
    vg_status status = vg_cudnn_check(
        r->device,
        api->cudnnSetRNNDataDescriptor(*out, data_type(r->storage), vg_cudnn_layout(&r->form),
                                       (int)m->seq_len, (int)m->batch, (int)columns, lengths, NULL),
        "cudnnSetRNNDataDescriptor");
    if (status != VG_UNSUPPORTED)
        return status;
    snprintf(words, sizeof words, "%s", vg_reason());
    VG_FAIL(status, "%s (%llu steps, batch %u, width %u)", words, (unsigned long long)m->seq_len,
            m->batch, columns);
}

static vg_status describe_sequences(vg_cudnn_rnn *r)
{
    const vg_model *m = r->model;
    int *lengths = malloc(m->batch * sizeof *lengths);
    if (!lengths)
        VG_FAIL(VG_NO_MEMORY, "cuDNN: no memory for %u lengths", m->batch);
    for (uint32_t b = 0; b < m->batch; b++)
        lengths[b] = (int)m->seq_len;
    vg_status status = describe_sequence(r, lengths, m->input, &r->x);
    if (status == VG_OK)
        status = describe_sequence(r, lengths, m->width, &r->y);
    free(lengths);
    return status;
}

static vg_status describe_state(vg_cudnn_rnn *r)
{
    const vg_model *m = r->model;
    const uint64_t layer = (uint64_t)m->batch * m->width;
    if (layer > INT_MAX)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: a state of %u rows of %u: it counts to %d", m->batch,
                m->width, INT_MAX);
    const int lengths[STATE_AXES] = {(int)m->depth, (int)m->batch, (int)m->width};
    const int strides[STATE_AXES] = {(int)layer, (int)m->width, 1};
    VG_CUDNN(r->device, cudnnCreateTensorDescriptor, &r->state);
    VG_CUDNN(r->device, cudnnSetTensorNdDescriptor, r->state, data_type(r->storage), STATE_AXES,
             lengths, strides);
    return VG_OK;
}

/* What both directions need: they share the weights and the reserve. */
static vg_status count_bytes(vg_cudnn_rnn *r)
{
    const vg_model *m = r->model;
    const cudnnHandle_t handle = vg_cudnn_of(r->device)->handle;
    const uint64_t element = vg_dtype_size(r->storage), rows = m->seq_len * m->batch;
    const uint64_t state = (uint64_t)m->depth * m->batch * m->width * element;
    size_t work[2], reserve[2], weights[2];
    const cudnnRNNDescriptor_t layers[2] = {r->forward, r->backward};
    for (int i = 0; i < 2; i++) {
        VG_CUDNN(r->device, cudnnGetRNNTempSpaceSizes, handle, layers[i], CUDNN_FWD_MODE_TRAINING,
                 r->x, &work[i], &reserve[i]);
        VG_CUDNN(r->device, cudnnGetRNNWeightSpaceSize, handle, layers[i], &weights[i]);
    }
    if (weights[0] != weights[1])
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: forward and backward lay the weights out differently");
    size_t *bytes = r->bytes;
    bytes[VG_CUDNN_X] = bytes[VG_CUDNN_DX] = rows * m->input * element;
    bytes[VG_CUDNN_Y] = bytes[VG_CUDNN_DY] = rows * m->width * element;
    bytes[VG_CUDNN_HX] = bytes[VG_CUDNN_HY] = bytes[VG_CUDNN_DHX] = state;
    if (vg_cell_find(m->kind)->states > 1)
        bytes[VG_CUDNN_CX] = bytes[VG_CUDNN_CY] = bytes[VG_CUDNN_DCX] = state;
    bytes[VG_CUDNN_WEIGHTS] = bytes[VG_CUDNN_DWEIGHTS] = weights[0];
    bytes[VG_CUDNN_WORK] = work[0] > work[1] ? work[0] : work[1];
    bytes[VG_CUDNN_RESERVE] = reserve[0] > reserve[1] ? reserve[0] : reserve[1];
    return VG_OK;
}

vg_status vg_cudnn_rnn_describe(vg_device *device, const vg_model *model, const vg_cudnn_form *form,
                                vg_cudnn_rnn *out)
{
    const vg_cudnn *cudnn = vg_cudnn_of(device);
    *out = (vg_cudnn_rnn){.device = device,
                          .model = model,
                          .form = *form,
                          .storage = model->dtype == VG_BF16 ? VG_BF16 : VG_FP32};
    VG_TRY(vg_cudnn_takes(model));
    /* Without dropout it needs no memory of random states. */
    VG_CUDNN(device, cudnnCreateDropoutDescriptor, &out->dropout);
    VG_CUDNN(device, cudnnSetDropoutDescriptor, out->dropout, cudnn->handle, 0.0f, NULL, 0, 0);
    VG_TRY(describe_layers(out, true, &out->forward));
    VG_TRY(describe_layers(out, false, &out->backward));
    VG_TRY(describe_sequences(out));
    VG_TRY(describe_state(out));
    return count_bytes(out);
}

vg_status vg_cudnn_rnn_make(vg_device *device, const vg_model *model, const vg_cudnn_form *form,
                            vg_cudnn_rnn *out)
{
    VG_TRY(vg_cudnn_rnn_describe(device, model, form, out));
    for (int i = 0; i < VG_CUDNN_BUFFERS; i++) {
        if (out->bytes[i] == 0)
            continue;
        void *at = NULL;
        VG_CUDA(device, cudaMalloc(&at, out->bytes[i]));
        out->at[i] = at;
        VG_CUDA(device, cudaMemsetAsync(at, 0, out->bytes[i], device->stream));
    }
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    return VG_OK;
}

void vg_cudnn_rnn_free(vg_cudnn_rnn *rnn)
{
    if (!rnn->device)
        return;
    const vg_cudnn_api *api = &vg_cudnn_of(rnn->device)->api;
    for (int i = 0; i < VG_CUDNN_BUFFERS; i++)
        (void)cudaFree(rnn->at[i]);
    if (rnn->state)
        (void)api->cudnnDestroyTensorDescriptor(rnn->state);
    if (rnn->y)
        (void)api->cudnnDestroyRNNDataDescriptor(rnn->y);
    if (rnn->x)
        (void)api->cudnnDestroyRNNDataDescriptor(rnn->x);
    if (rnn->backward)
        (void)api->cudnnDestroyRNNDescriptor(rnn->backward);
    if (rnn->forward)
        (void)api->cudnnDestroyRNNDescriptor(rnn->forward);
    if (rnn->dropout)
        (void)api->cudnnDestroyDropoutDescriptor(rnn->dropout);
    *rnn = (vg_cudnn_rnn){.device = NULL};
}

/* --- passes --- */

static vg_status issue_forward(const vg_cudnn_rnn *r)
{
    unsigned char *const *at = r->at;
    VG_CUDNN(r->device, cudnnRNNForward, vg_cudnn_of(r->device)->handle, r->forward,
             CUDNN_FWD_MODE_TRAINING, NULL, r->x, at[VG_CUDNN_X], r->y, at[VG_CUDNN_Y], r->state,
             at[VG_CUDNN_HX], at[VG_CUDNN_HY], r->state, at[VG_CUDNN_CX], at[VG_CUDNN_CY],
             r->bytes[VG_CUDNN_WEIGHTS], at[VG_CUDNN_WEIGHTS], r->bytes[VG_CUDNN_WORK],
             at[VG_CUDNN_WORK], r->bytes[VG_CUDNN_RESERVE], at[VG_CUDNN_RESERVE]);
    return VG_OK;
}

/* Nothing comes back into the last states but through dy. */
static vg_status issue_backward_data(const vg_cudnn_rnn *r)
{
    unsigned char *const *at = r->at;
    VG_CUDNN(r->device, cudnnRNNBackwardData_v8, vg_cudnn_of(r->device)->handle, r->backward, NULL,
             r->y, at[VG_CUDNN_Y], at[VG_CUDNN_DY], r->x, at[VG_CUDNN_DX], r->state,
             at[VG_CUDNN_HX], NULL, at[VG_CUDNN_DHX], r->state, at[VG_CUDNN_CX], NULL,
             at[VG_CUDNN_DCX], r->bytes[VG_CUDNN_WEIGHTS], at[VG_CUDNN_WEIGHTS],
             r->bytes[VG_CUDNN_WORK], at[VG_CUDNN_WORK], r->bytes[VG_CUDNN_RESERVE],
             at[VG_CUDNN_RESERVE]);
    return VG_OK;
}

/* cuDNN adds to what is there and knows no other way, so clearing is part of the pass. */
static vg_status issue_backward_weights(const vg_cudnn_rnn *r)
{
    unsigned char *const *at = r->at;
    VG_CUDA(r->device, cudaMemsetAsync(at[VG_CUDNN_DWEIGHTS], 0, r->bytes[VG_CUDNN_DWEIGHTS],
                                       r->device->stream));
    VG_CUDNN(r->device, cudnnRNNBackwardWeights_v8, vg_cudnn_of(r->device)->handle, r->backward,
             CUDNN_WGRAD_MODE_ADD, NULL, r->x, at[VG_CUDNN_X], r->state, at[VG_CUDNN_HX], r->y,
             at[VG_CUDNN_Y], r->bytes[VG_CUDNN_DWEIGHTS], at[VG_CUDNN_DWEIGHTS],
             r->bytes[VG_CUDNN_WORK], at[VG_CUDNN_WORK], r->bytes[VG_CUDNN_RESERVE],
             at[VG_CUDNN_RESERVE]);
    return VG_OK;
}

static vg_status issue(const vg_cudnn_rnn *r, unsigned passes)
{
    if (passes & VG_PASS_FWD)
        VG_TRY(issue_forward(r));
    if (passes & VG_PASS_BWD_DATA)
        VG_TRY(issue_backward_data(r));
    if (passes & VG_PASS_BWD_WEIGHTS)
        VG_TRY(issue_backward_weights(r));
    return VG_OK;
}

/* What must have been run right before a set. */
static unsigned needed_before(unsigned passes)
{
    unsigned before = 0;
    if (!(passes & VG_PASS_FWD) && (passes & VG_PASSES_BWD))
        before |= VG_PASS_FWD;
    if (!(passes & VG_PASS_BWD_DATA) && (passes & VG_PASS_BWD_WEIGHTS))
        before |= VG_PASS_BWD_DATA;
    return before;
}

/* One timed region of `times` repetitions; its milliseconds are added. */
static vg_status time_region(vg_cudnn_rnn *r, unsigned passes, uint32_t times, double *milliseconds)
{
    vg_device *device = r->device;
    float lasted = 0;
    VG_CUDA(device, cudaEventRecord(device->start, device->stream));
    for (uint32_t i = 0; i < times; i++)
        VG_TRY(issue(r, passes));
    VG_CUDA(device, cudaEventRecord(device->stop, device->stream));
    VG_CUDA(device, cudaEventSynchronize(device->stop));
    VG_CUDA(device, cudaEventElapsedTime(&lasted, device->start, device->stop));
    *milliseconds += (double)lasted;
    return VG_OK;
}

static vg_status run(vg_cudnn_rnn *r, unsigned passes, uint32_t times, double *milliseconds)
{
    const unsigned before = needed_before(passes);
    if (passes == (VG_PASS_FWD | VG_PASS_BWD_WEIGHTS))
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: backward by the weights needs backward by the data");
    if (!before)
        return time_region(r, passes, times, milliseconds);
    for (uint32_t i = 0; i < times; i++) {
        VG_TRY(issue(r, before));
        VG_TRY(time_region(r, passes, 1, milliseconds));
    }
    return VG_OK;
}

vg_status vg_cudnn_rnn_run(vg_cudnn_rnn *rnn, unsigned passes, uint32_t times, double *seconds)
{
    double milliseconds = 0;
    assert(passes != 0 && (passes & ~(unsigned)VG_PASSES_TRAIN) == 0);
    vg_status status = run(rnn, passes, times, &milliseconds);
    if (status != VG_OK) {
        /* What was issued before still writes into the buffers. */
        (void)cudaStreamSynchronize(rnn->device->stream);
        return status;
    }
    *seconds = milliseconds / 1e3;
    return VG_OK;
}

/* --- weights --- */

/* Whether the descriptor says `rows` rows of `columns` without gaps. */
static vg_status check_matrix(const vg_cudnn_rnn *r, cudnnTensorDescriptor_t described,
                              uint64_t rows, uint64_t columns)
{
    cudnnDataType_t type;
    int axes, lengths[MATRIX_AXES] = {0}, strides[MATRIX_AXES] = {0};
    uint64_t elements = 1;
    VG_CUDNN(r->device, cudnnGetTensorNdDescriptor, described, MATRIX_AXES, &type, &axes, lengths,
             strides);
    bool plain = axes == MATRIX_AXES && type == data_type(r->storage);
    for (int i = MATRIX_AXES; plain && i-- > 0;) {
        plain = lengths[i] > 0 && (lengths[i] == 1 || (uint64_t)strides[i] == elements);
        elements *= (uint64_t)lengths[i];
    }
    if (!plain || elements != rows * columns)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: its weights do not lie row by row");
    return VG_OK;
}

static vg_status find_gate(const vg_cudnn_rnn *r, cudnnTensorDescriptor_t described[2],
                           uint32_t layer, uint32_t side, uint32_t gate, void *at[2])
{
    const vg_model *m = r->model;
    const uint32_t gates = vg_cell_find(m->kind)->gates;
    for (int i = 0; i < 2; i++)
        VG_CUDNN(r->device, cudnnCreateTensorDescriptor, &described[i]);
    VG_CUDNN(r->device, cudnnGetRNNWeightParams, vg_cudnn_of(r->device)->handle, r->forward,
             (int32_t)layer, r->bytes[VG_CUDNN_WEIGHTS], r->at[VG_CUDNN_WEIGHTS],
             (int32_t)(side * gates + gate), described[0], &at[0], described[1], &at[1]);
    if (!at[0])
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: no weights of layer %u, gate %u", layer + 1, gate);
    const uint32_t columns = side == 0 && layer == 0 ? m->input : m->width;
    VG_TRY(check_matrix(r, described[0], m->width, columns));
    return at[1] ? check_matrix(r, described[1], m->width, 1) : VG_OK;
}

vg_status vg_cudnn_rnn_gate(const vg_cudnn_rnn *rnn, uint32_t layer, uint32_t side, uint32_t gate,
                            uint64_t *matrix, uint64_t *bias)
{
    cudnnTensorDescriptor_t described[2] = {NULL, NULL};
    void *at[2] = {NULL, NULL};
    vg_status status = find_gate(rnn, described, layer, side, gate, at);
    for (int i = 0; i < 2; i++)
        if (described[i])
            (void)vg_cudnn_of(rnn->device)->api.cudnnDestroyTensorDescriptor(described[i]);
    VG_TRY(status);
    const unsigned char *start = rnn->at[VG_CUDNN_WEIGHTS];
    *matrix = (uint64_t)((const unsigned char *)at[0] - start);
    *bias = at[1] ? (uint64_t)((const unsigned char *)at[1] - start) : VG_CUDNN_NONE;
    return VG_OK;
}
