/* The layers of the emulated cuDNN: what a call computes when its stream comes to it. */
#ifndef VG_CUDNN_LAYERS_H
#define VG_CUDNN_LAYERS_H

#include <cudnn.h>

#include <cstddef>
#include <cstdint>

namespace emu
{

/* The descriptors of a call, as they were when it was made. */
struct layers {
    cudnnRNNAlgo_t algo;
    cudnnRNNMode_t mode;
    cudnnRNNBiasMode_t bias;
    cudnnDataType_t type;
    bool tf32; /* operands of products are rounded to it */
    uint64_t steps, batch, input, units, depth;

    uint64_t gates() const
    {
        return mode == CUDNN_LSTM ? 4 : mode == CUDNN_GRU ? 3 : 1;
    }
    uint64_t columns(uint64_t layer) const
    {
        return layer ? units : input;
    }
    bool has_bias(uint64_t id) const
    {
        const bool recurrent = id >= gates();
        return bias == CUDNN_RNN_DOUBLE_BIAS ||
               bias == (recurrent ? CUDNN_RNN_SINGLE_REC_BIAS : CUDNN_RNN_SINGLE_INP_BIAS);
    }
    uint64_t element_bytes() const
    {
        return type == CUDNN_DATA_BFLOAT16 ? 2 : 4;
    }
};

/* Elements from the start of the weights; the library's own order, with gaps. */
uint64_t matrix_at(const layers &l, uint64_t layer, uint64_t id);
uint64_t bias_at(const layers &l, uint64_t layer, uint64_t id);
uint64_t weights_count(const layers &l);
/* Bytes of the reserve, and of the work area. */
uint64_t reserve_bytes(const layers &l);
uint64_t work_bytes(const layers &l);

/* Addresses are of device memory; states, and what belongs to the cell, may be null. */
struct forward_call {
    layers l;
    const void *x, *hx, *cx, *weights;
    void *y, *hy, *cy, *work, *reserve;
};
struct data_call {
    layers l;
    const void *y, *dy, *hx, *dhy, *cx, *dcy, *weights;
    void *dx, *dhx, *dcx, *work, *reserve;
};
struct weights_call {
    layers l;
    const void *x, *hx, *y;
    void *dweights, *work, *reserve;
};
void run_forward(const forward_call &c);
void run_data(const data_call &c);
void run_weights(const weights_call &c);

} // namespace emu

#endif
