/* What the emulated cuDNN makes, and what every one of its calls does first. */
#ifndef VG_CUDNN_OBJECTS_H
#define VG_CUDNN_OBJECTS_H

#include "cudnn_layers.h"
#include "runtime.h"

#include <string>
#include <vector>

struct cudnnContext {
    cudaStream_t stream;
    int device;
};

struct cudnnTensorStruct {
    cudnnDataType_t type;
    std::vector<int> lengths, strides;
};

struct cudnnDropoutStruct {
    bool set;
};

struct cudnnRNNStruct {
    bool set;
    cudnnRNNAlgo_t algo;
    cudnnRNNMode_t mode;
    cudnnRNNBiasMode_t bias;
    cudnnDataType_t type;
    cudnnMathType_t math;
    int32_t input, units, depth;
    uint32_t flags;
    int built; /* the batch that PERSIST_DYNAMIC was built for */
};

struct cudnnRNNDataStruct {
    bool set;
    cudnnDataType_t type;
    cudnnRNNDataLayout_t layout;
    int steps, batch, columns;
};

namespace emu
{
namespace dnn
{

/* Descriptors are the host's alone: no device is needed, and a lost one does not matter. */
const unsigned HOST_ONLY = emu::NO_DEVICE | emu::NO_CONTEXT;
/* The words of the last refusal. */
std::string &words();
cudnnStatus_t status_of(cudaError_t error);
cudnnStatus_t refuse(cudnnStatus_t status, const char *why);
/* Reports a thing that was not made, or is gone. */
void want(const void *thing, const char *caller);

template <typename T> cudnnStatus_t make(T **out, const char *kind)
{
    if (!out)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    *out = new T();
    the_machine().library[*out] = kind;
    return CUDNN_STATUS_SUCCESS;
}

template <typename T> cudnnStatus_t forget(T *thing, const char *caller, unsigned flags)
{
    call call_(caller, cudaErrorUnknown, flags | RELEASES);
    if (!the_machine().library.erase(thing))
        emu_report("%s: %p was not made, or is gone", caller, (void *)thing);
    delete thing;
    return status_of(call_.error);
}

/* What a descriptor of layers says, for so many steps and rows. */
layers layers_of(const cudnnRNNStruct &rnn, int steps, int batch);
uint64_t weights_bytes(const layers &l);
/* What an algorithm does not do, whatever the pass. */
cudnnStatus_t check_algo(const cudnnRNNStruct &rnn);

} // namespace dnn
} // namespace emu

#define DNN_CALL(...)                                                                              \
    emu::call call_(__func__, __VA_ARGS__);                                                        \
    emu::dnn::words().clear();                                                                     \
    if (call_.error)                                                                               \
    return emu::dnn::status_of(call_.error)

#endif
