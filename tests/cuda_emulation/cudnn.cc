/* The emulated cuDNN: as much of it as recurrent layers need. It refuses what the real one refuses,
 * keeps its weights in an order of its own, and adds to the gradients of the weights. Here: its
 * passes, and what it exports. */
#include "cudnn_emulation.h"
#include "cudnn_objects.h"

using namespace emu::dnn;
using emu::layers;

namespace
{

struct operands {
    const cudnnRNNStruct &rnn;
    const cudnnRNNDataStruct &x, &y;
    const cudnnTensorStruct &state;
    size_t weights, work, reserve;
};

/* What all passes check before they issue. */
cudnnStatus_t check(const operands &o, const layers &l)
{
    const bool packed = o.x.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
    if (!o.rnn.set || !o.x.set || !o.y.set)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor is not set");
    if (o.x.type != o.rnn.type || o.y.type != o.rnn.type || o.state.type != o.rnn.type)
        return refuse(CUDNN_STATUS_BAD_PARAM, "data types differ");
    if (o.x.layout != o.y.layout || o.x.steps != o.y.steps || o.x.batch != o.y.batch ||
        o.x.columns != o.rnn.input || o.y.columns != o.rnn.units)
        return refuse(CUDNN_STATUS_BAD_PARAM, "x, y and the layers do not agree");
    if (o.state.lengths != std::vector<int>{o.rnn.depth, o.x.batch, o.rnn.units} ||
        o.state.strides != std::vector<int>{o.x.batch * o.rnn.units, o.rnn.units, 1})
        return refuse(CUDNN_STATUS_BAD_PARAM, "hDesc is not [layers, batch, hidden], packed");
    if (!packed && !(o.rnn.flags & CUDNN_RNN_PADDED_IO_ENABLED))
        return refuse(CUDNN_STATUS_BAD_PARAM, "an unpacked layout needs padded I/O");
    if (o.rnn.algo == CUDNN_RNN_ALGO_PERSIST_DYNAMIC && o.rnn.built != o.x.batch)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no plan was built for this batch");
    if (o.weights < weights_bytes(l) || o.work < emu::work_bytes(l) ||
        o.reserve < emu::reserve_bytes(l))
        return refuse(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "a buffer is too small");
    return check_algo(o.rnn);
}

cudnnStatus_t check_width(const cudnnRNNStruct &rnn, int32_t most)
{
    if (rnn.algo == CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H && rnn.units > most)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "hiddenSize is too large");
    return CUDNN_STATUS_SUCCESS;
}

/* A buffer that lies in device memory; null only where it may. */
void want_memory(const void *at, uint64_t bytes, bool may_be_absent, const char *name,
                 const char *caller)
{
    if (at ? !emu_is_device_memory(at, bytes) : !may_be_absent)
        emu_report("%s: %s at %p: %llu bytes are no device memory", caller, name, at,
                   (unsigned long long)bytes);
}

uint64_t state_bytes(const layers &l)
{
    return l.depth * l.batch * l.units * l.element_bytes();
}

uint64_t sequence_bytes(const layers &l, uint64_t columns)
{
    return l.steps * l.batch * columns * l.element_bytes();
}

} // namespace

extern "C" {

cudnnStatus_t cudnnRNNForward(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn,
                              cudnnForwardMode_t mode, const int32_t *, cudnnRNNDataDescriptor_t x_,
                              const void *x, cudnnRNNDataDescriptor_t y_, void *y,
                              cudnnTensorDescriptor_t h_, const void *hx, void *hy,
                              cudnnTensorDescriptor_t c_, const void *cx, void *cy,
                              size_t weights_size, const void *weights, size_t work_size,
                              void *work, size_t reserve_size, void *reserve)
{
    DNN_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    for (const void *thing : {(const void *)handle, (const void *)rnn, (const void *)x_,
                              (const void *)y_, (const void *)h_, (const void *)c_})
        want(thing, __func__);
    if (mode != CUDNN_FWD_MODE_TRAINING)
        emu_report("%s: inference is not emulated", __func__);
    const layers l = layers_of(*rnn, x_->steps, x_->batch);
    cudnnStatus_t status = check({*rnn, *x_, *y_, *h_, weights_size, work_size, reserve_size}, l);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_width(*rnn, emu_cudnn.small_forward);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const bool cell = rnn->mode == CUDNN_LSTM;
    want_memory(x, sequence_bytes(l, l.input), false, "x", __func__);
    want_memory(y, sequence_bytes(l, l.units), false, "y", __func__);
    want_memory(hx, state_bytes(l), true, "hx", __func__);
    want_memory(hy, state_bytes(l), true, "hy", __func__);
    want_memory(cell ? cx : nullptr, state_bytes(l), true, "cx", __func__);
    want_memory(cell ? cy : nullptr, state_bytes(l), true, "cy", __func__);
    want_memory(weights, weights_size, false, "weights", __func__);
    want_memory(work, work_size, false, "work", __func__);
    want_memory(reserve, reserve_size, false, "reserve", __func__);
    const emu::forward_call c = {l, x, hx, cx, weights, y, hy, cy, work, reserve};
    return status_of(emu::issue(handle->stream, call_, [c] { emu::run_forward(c); }));
}

cudnnStatus_t cudnnRNNBackwardData_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn,
                                      const int32_t *, cudnnRNNDataDescriptor_t y_, const void *y,
                                      const void *dy, cudnnRNNDataDescriptor_t x_, void *dx,
                                      cudnnTensorDescriptor_t h_, const void *hx, const void *dhy,
                                      void *dhx, cudnnTensorDescriptor_t c_, const void *cx,
                                      const void *dcy, void *dcx, size_t weights_size,
                                      const void *weights, size_t work_size, void *work,
                                      size_t reserve_size, void *reserve)
{
    DNN_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    for (const void *thing : {(const void *)handle, (const void *)rnn, (const void *)x_,
                              (const void *)y_, (const void *)h_, (const void *)c_})
        want(thing, __func__);
    const layers l = layers_of(*rnn, x_->steps, x_->batch);
    cudnnStatus_t status = check({*rnn, *x_, *y_, *h_, weights_size, work_size, reserve_size}, l);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_width(*rnn, emu_cudnn.small_backward);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const bool cell = rnn->mode == CUDNN_LSTM;
    want_memory(y, sequence_bytes(l, l.units), false, "y", __func__);
    want_memory(dy, sequence_bytes(l, l.units), false, "dy", __func__);
    want_memory(dx, sequence_bytes(l, l.input), false, "dx", __func__);
    want_memory(hx, state_bytes(l), true, "hx", __func__);
    want_memory(dhy, state_bytes(l), true, "dhy", __func__);
    want_memory(dhx, state_bytes(l), true, "dhx", __func__);
    want_memory(cell ? cx : nullptr, state_bytes(l), true, "cx", __func__);
    want_memory(cell ? dcy : nullptr, state_bytes(l), true, "dcy", __func__);
    want_memory(cell ? dcx : nullptr, state_bytes(l), true, "dcx", __func__);
    want_memory(weights, weights_size, false, "weights", __func__);
    want_memory(work, work_size, false, "work", __func__);
    want_memory(reserve, reserve_size, false, "reserve", __func__);
    const emu::data_call c = {l, y, dy, hx, dhy, cx, dcy, weights, dx, dhx, dcx, work, reserve};
    return status_of(emu::issue(handle->stream, call_, [c] { emu::run_data(c); }));
}

cudnnStatus_t cudnnRNNBackwardWeights_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn,
                                         cudnnWgradMode_t mode, const int32_t *,
                                         cudnnRNNDataDescriptor_t x_, const void *x,
                                         cudnnTensorDescriptor_t h_, const void *hx,
                                         cudnnRNNDataDescriptor_t y_, const void *y,
                                         size_t weights_size, void *dweights, size_t work_size,
                                         void *work, size_t reserve_size, void *reserve)
{
    DNN_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    for (const void *thing : {(const void *)handle, (const void *)rnn, (const void *)x_,
                              (const void *)y_, (const void *)h_})
        want(thing, __func__);
    if (mode != CUDNN_WGRAD_MODE_ADD)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "addGrad: only ADD");
    const layers l = layers_of(*rnn, x_->steps, x_->batch);
    cudnnStatus_t status = check({*rnn, *x_, *y_, *h_, weights_size, work_size, reserve_size}, l);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_width(*rnn, emu_cudnn.small_backward);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    want_memory(x, sequence_bytes(l, l.input), false, "x", __func__);
    want_memory(y, sequence_bytes(l, l.units), false, "y", __func__);
    want_memory(hx, state_bytes(l), true, "hx", __func__);
    want_memory(dweights, weights_size, false, "dweights", __func__);
    want_memory(work, work_size, false, "work", __func__);
    want_memory(reserve, reserve_size, false, "reserve", __func__);
    const emu::weights_call c = {l, x, hx, y, dweights, work, reserve};
    return status_of(emu::issue(handle->stream, call_, [c] { emu::run_weights(c); }));
}

} /* extern "C" */

#define FUNCTION(name)                                                                             \
    {                                                                                              \
#name, (void *)&name                                                                       \
    }

const emu_function *emu_cudnn_functions(void)
{
    static const emu_function functions[] = {
        FUNCTION(cudnnBuildRNNDynamic),
        FUNCTION(cudnnCreate),
        FUNCTION(cudnnCreateDropoutDescriptor),
        FUNCTION(cudnnCreateRNNDataDescriptor),
        FUNCTION(cudnnCreateRNNDescriptor),
        FUNCTION(cudnnCreateTensorDescriptor),
        FUNCTION(cudnnDestroy),
        FUNCTION(cudnnDestroyDropoutDescriptor),
        FUNCTION(cudnnDestroyRNNDataDescriptor),
        FUNCTION(cudnnDestroyRNNDescriptor),
        FUNCTION(cudnnDestroyTensorDescriptor),
        FUNCTION(cudnnGetErrorString),
        FUNCTION(cudnnGetLastErrorString),
        FUNCTION(cudnnGetRNNTempSpaceSizes),
        FUNCTION(cudnnGetRNNWeightParams),
        FUNCTION(cudnnGetRNNWeightSpaceSize),
        FUNCTION(cudnnGetTensorNdDescriptor),
        FUNCTION(cudnnGetVersion),
        FUNCTION(cudnnRNNBackwardData_v8),
        FUNCTION(cudnnRNNBackwardWeights_v8),
        FUNCTION(cudnnRNNForward),
        FUNCTION(cudnnSetDropoutDescriptor),
        FUNCTION(cudnnSetRNNDataDescriptor),
        FUNCTION(cudnnSetRNNDescriptor_v8),
        FUNCTION(cudnnSetStream),
        FUNCTION(cudnnSetTensorNdDescriptor),
        {nullptr, nullptr},
    };
    return emu_cudnn.absent ? nullptr : functions;
}
