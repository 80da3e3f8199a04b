/* What tests ask of the emulated cuDNN beside emu_settings. Set between cases; the defaults are as
 * the real library is. */
#ifndef VG_CUDNN_EMULATION_H
#define VG_CUDNN_EMULATION_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EMU_CUDNN_ALGOS = 4 };

typedef struct emu_cudnn_settings {
    bool absent;                           /* the library is not installed */
    uint32_t refused;                      /* bit a: algorithm a is not supported at all */
    double delay_ms[EMU_CUDNN_ALGOS];      /* how long a forward pass takes by it, at least */
    int32_t small_forward, small_backward; /* the widest layers of PERSIST_STATIC_SMALL_H */
    uint32_t restless;                     /* bit a: algorithm a gives other bits every time */
    /* The place of one gate's matrix or bias in the weights is given wrong by some elements:
     * layer from 0, id as in cudnnGetRNNWeightParams. */
    bool lies_bias;
    int32_t lies_layer, lies_id, lies_by;
} emu_cudnn_settings;

extern emu_cudnn_settings emu_cudnn;
extern const emu_cudnn_settings emu_cudnn_defaults;

#ifdef __cplusplus
}
#endif
#endif
