/* The emulated cuDNN's handles and descriptors, sizes and places. */
#include "cudnn_emulation.h"
#include "cudnn_objects.h"

#include <cstdio>
#include <cstring>

const emu_cudnn_settings emu_cudnn_defaults = {false, 0,     {0, 0, 0, 0}, 192, 128,
                                               0,     false, -1,           0,   0};
emu_cudnn_settings emu_cudnn = emu_cudnn_defaults;

namespace emu
{
namespace dnn
{

std::string &words()
{
    static std::string last;
    return last;
}

cudnnStatus_t status_of(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return CUDNN_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation: return CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    case cudaErrorInvalidValue: return CUDNN_STATUS_BAD_PARAM;
    case cudaErrorNotSupported: return CUDNN_STATUS_NOT_SUPPORTED;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInitializationError: return CUDNN_STATUS_NOT_INITIALIZED;
    default: return CUDNN_STATUS_EXECUTION_FAILED;
    }
}

cudnnStatus_t refuse(cudnnStatus_t status, const char *why)
{
    words() = why;
    return status;
}

void want(const void *thing, const char *caller)
{
    if (!the_machine().library.count(thing))
        emu_report("%s: %p was not made, or is gone", caller, thing);
}

/* What a descriptor of layers says, for so many steps and rows. */
layers layers_of(const cudnnRNNStruct &rnn, int steps, int batch)
{
    const bool converts = rnn.type == CUDNN_DATA_FLOAT && rnn.math != CUDNN_FMA_MATH;
    return {rnn.algo,
            rnn.mode,
            rnn.bias,
            rnn.type,
            converts,
            (uint64_t)steps,
            (uint64_t)batch,
            (uint64_t)rnn.input,
            (uint64_t)rnn.units,
            (uint64_t)rnn.depth};
}

uint64_t weights_bytes(const layers &l)
{
    return weights_count(l) * l.element_bytes();
}

/* What an algorithm does not do. */
cudnnStatus_t check_algo(const cudnnRNNStruct &rnn)
{
    if (emu_cudnn.refused >> rnn.algo & 1u)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "algorithm not supported\non this device");
    if (rnn.algo == CUDNN_RNN_ALGO_STANDARD)
        return CUDNN_STATUS_SUCCESS;
    if (rnn.type == CUDNN_DATA_BFLOAT16)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "no persistent kernel for bfloat16");
    if (rnn.algo == CUDNN_RNN_ALGO_PERSIST_STATIC && rnn.units % 2)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "hiddenSize is odd");
    return CUDNN_STATUS_SUCCESS;
}

} // namespace dnn
} // namespace emu

using namespace emu::dnn;
using emu::layers;

/* Of a sequence, in version 9.19. */
enum { MOST_STEPS = 65535 };

extern "C" {

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
        return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_STATUS_NOT_SUPPORTED_SHAPE: return "CUDNN_STATUS_NOT_SUPPORTED_SHAPE";
    default: break;
    }
    return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED
               ? "CUDNN_STATUS_NOT_SUPPORTED"
               : "CUDNN_STATUS_BAD_PARAM";
}

void cudnnGetLastErrorString(char *message, size_t size)
{
    snprintf(message, size, "%s", words().c_str());
    words().clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    DNN_CALL(cudaErrorInitializationError);
    const cudnnStatus_t status = make(handle, "cuDNN handles");
    if (status == CUDNN_STATUS_SUCCESS)
        (*handle)->device = emu::current_device();
    return status;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    return forget(handle, __func__, 0);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    DNN_CALL(cudaErrorInvalidValue);
    want(handle, __func__);
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* --- descriptors --- */

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *out)
{
    DNN_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    return make(out, "cuDNN tensor descriptors");
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor)
{
    return forget(tensor, __func__, HOST_ONLY);
}

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor, cudnnDataType_t type,
                                         int axes, const int lengths[], const int strides[])
{
    DNN_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(tensor, __func__);
    if (axes < 1 || axes > CUDNN_DIM_MAX)
        return refuse(CUDNN_STATUS_BAD_PARAM, "nbDims");
    *tensor = {type, {lengths, lengths + axes}, {strides, strides + axes}};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t tensor, int requested,
                                         cudnnDataType_t *type, int *axes, int lengths[],
                                         int strides[])
{
    DNN_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(tensor, __func__);
    *type = tensor->type;
    *axes = (int)tensor->lengths.size();
    for (int i = 0; i < requested && i < *axes; i++) {
        lengths[i] = tensor->lengths[(size_t)i];
        strides[i] = tensor->strides[(size_t)i];
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateDropoutDescriptor(cudnnDropoutDescriptor_t *out)
{
    DNN_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    return make(out, "cuDNN dropout descriptors");
}

cudnnStatus_t cudnnDestroyDropoutDescriptor(cudnnDropoutDescriptor_t dropout)
{
    return forget(dropout, __func__, HOST_ONLY);
}

cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t dropout, cudnnHandle_t handle,
                                        float share, void *, size_t, unsigned long long)
{
    DNN_CALL(cudaErrorInvalidValue);
    want(dropout, __func__);
    want(handle, __func__);
    if (share != 0)
        emu_report("%s: dropout is not emulated", __func__);
    dropout->set = true;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateRNNDataDescriptor(cudnnRNNDataDescriptor_t *out)
{
    DNN_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    return make(out, "cuDNN sequence descriptors");
}

cudnnStatus_t cudnnDestroyRNNDataDescriptor(cudnnRNNDataDescriptor_t data)
{
    return forget(data, __func__, HOST_ONLY);
}

cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t data, cudnnDataType_t type,
                                        cudnnRNNDataLayout_t layout, int steps, int batch,
                                        int columns, const int lengths[], void *)
{
    DNN_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(data, __func__);
    if (steps < 1 || batch < 1 || columns < 1)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a length is not positive");
    if (steps > MOST_STEPS)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "");
    if (layout == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED)
        emu_report("%s: batch-major sequences are not emulated", __func__);
    for (int b = 0; b < batch; b++)
        if (lengths[b] != steps)
            emu_report("%s: sequences of several lengths are not emulated", __func__);
    *data = {true, type, layout, steps, batch, columns};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateRNNDescriptor(cudnnRNNDescriptor_t *out)
{
    DNN_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    return make(out, "cuDNN layer descriptors");
}

cudnnStatus_t cudnnDestroyRNNDescriptor(cudnnRNNDescriptor_t rnn)
{
    return forget(rnn, __func__, HOST_ONLY);
}

cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t rnn, cudnnRNNAlgo_t algo,
                                       cudnnRNNMode_t mode, cudnnRNNBiasMode_t bias,
                                       cudnnDirectionMode_t direction, cudnnRNNInputMode_t input,
                                       cudnnDataType_t type, cudnnDataType_t precision,
                                       cudnnMathType_t math, int32_t input_size, int32_t units,
                                       int32_t projection, int32_t depth,
                                       cudnnDropoutDescriptor_t dropout, uint32_t flags)
{
    DNN_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(rnn, __func__);
    want(dropout, __func__);
    if (direction != CUDNN_UNIDIRECTIONAL || input != CUDNN_LINEAR_INPUT || projection != units)
        emu_report("%s: plain layers alone are emulated", __func__);
    if (!dropout->set || input_size < 1 || units < 1 || depth < 1 || precision != CUDNN_DATA_FLOAT)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a size, or what mathPrec goes with");
    if (type != CUDNN_DATA_FLOAT && type != CUDNN_DATA_BFLOAT16)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "dataType");
    if (type == CUDNN_DATA_BFLOAT16 && math != CUDNN_TENSOR_OP_MATH && math != CUDNN_DEFAULT_MATH)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "mathType for bfloat16");
    if (algo != CUDNN_RNN_ALGO_STANDARD && bias != CUDNN_RNN_DOUBLE_BIAS)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "");
    *rnn = {true, algo, mode, bias, type, math, input_size, units, depth, flags, 0};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBuildRNNDynamic(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, int batch)
{
    DNN_CALL(cudaErrorMemoryAllocation);
    want(handle, __func__);
    want(rnn, __func__);
    if (!rnn->set || rnn->algo != CUDNN_RNN_ALGO_PERSIST_DYNAMIC)
        return refuse(CUDNN_STATUS_BAD_PARAM, "not PERSIST_DYNAMIC");
    const cudnnStatus_t status = check_algo(*rnn);
    if (status == CUDNN_STATUS_SUCCESS)
        rnn->built = batch;
    return status;
}

/* --- sizes and places --- */

cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn,
                                        cudnnForwardMode_t mode, cudnnRNNDataDescriptor_t x,
                                        size_t *work, size_t *reserve)
{
    DNN_CALL(cudaErrorInvalidValue);
    want(handle, __func__);
    want(rnn, __func__);
    want(x, __func__);
    if (!rnn->set || !x->set)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor is not set");
    const layers l = layers_of(*rnn, x->steps, x->batch);
    *work = emu::work_bytes(l);
    *reserve = mode == CUDNN_FWD_MODE_TRAINING ? emu::reserve_bytes(l) : 0;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn,
                                         size_t *bytes)
{
    DNN_CALL(cudaErrorInvalidValue);
    want(handle, __func__);
    want(rnn, __func__);
    if (!rnn->set)
        return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor is not set");
    *bytes = weights_bytes(layers_of(*rnn, 1, 1));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t handle, cudnnRNNDescriptor_t rnn, int32_t layer,
                                      size_t bytes, const void *weights, int32_t id,
                                      cudnnTensorDescriptor_t matrix, void **matrix_at,
                                      cudnnTensorDescriptor_t bias, void **bias_at)
{
    DNN_CALL(cudaErrorInvalidValue);
    for (const void *thing :
         {(const void *)handle, (const void *)rnn, (const void *)matrix, (const void *)bias})
        want(thing, __func__);
    const layers l = layers_of(*rnn, 1, 1);
    if (!rnn->set || layer < 0 || layer >= rnn->depth || id < 0 || id >= 2 * (int32_t)l.gates() ||
        bytes < weights_bytes(l))
        return refuse(CUDNN_STATUS_BAD_PARAM, "pseudoLayer, linLayerID or weightSpaceSize");
    const bool lies = layer == emu_cudnn.lies_layer && id == emu_cudnn.lies_id;
    const int64_t wrong = lies ? emu_cudnn.lies_by * (int64_t)l.element_bytes() : 0;
    char *start = (char *)(uintptr_t)weights;
    const int units = rnn->units;
    const int columns = id < (int32_t)l.gates() ? (int)l.columns((uint64_t)layer) : units;
    *matrix = {rnn->type, {1, units, columns}, {units * columns, columns, 1}};
    *matrix_at = start + emu::matrix_at(l, (uint64_t)layer, (uint64_t)id) * l.element_bytes() +
                 (emu_cudnn.lies_bias ? 0 : wrong);
    *bias = {rnn->type, {}, {}};
    *bias_at = nullptr;
    if (!l.has_bias((uint64_t)id))
        return CUDNN_STATUS_SUCCESS;
    *bias = {rnn->type, {1, units, 1}, {units, 1, 1}};
    *bias_at = start + emu::bias_at(l, (uint64_t)layer, (uint64_t)id) * l.element_bytes() +
               (emu_cudnn.lies_bias ? wrong : 0);
    return CUDNN_STATUS_SUCCESS;
}

} /* extern "C" */
