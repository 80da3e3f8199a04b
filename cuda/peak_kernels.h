/* The kernel that measures memory: peaks.cu. */
#ifndef VG_CUDA_PEAK_KERNELS_H
#define VG_CUDA_PEAK_KERNELS_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VG_COPY_CHUNK = 8192 }; /* bytes that a block copies in a round */

/* Both have a chunk for each block. In every round each block writes its own chunk of `to`, from
 * the chunk of `from` that another multiprocessor had in the round before: what is read comes from
 * the cache that all share, or from memory where `from` is larger. */
typedef struct vg_copy_args {
    const void *from;
    void *to;
    uint64_t rounds;
} vg_copy_args;
vg_kernel vg_copy_kernel(void);

#ifdef __cplusplus
}
#endif
#endif
