/* Kernels that each use one word or two of device.cuh: what they leave is in
 * test_cuda_vocabulary.c, those of clusters in test_cuda_vocabulary_clusters.c. Plain C. */
#ifndef VG_TEST_VOCABULARY_H
#define VG_TEST_VOCABULARY_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vocabulary_kernel {
    VOCABULARY_INDEXES,
    VOCABULARY_SHARED,
    VOCABULARY_NAMED,
    VOCABULARY_WARP,
    VOCABULARY_MASKS,
    VOCABULARY_NUMBERS,
    VOCABULARY_PACKS,
    VOCABULARY_FLAG,
    VOCABULARY_GRID_BARRIER,
    VOCABULARY_ADD,
    VOCABULARY_COPY,
    VOCABULARY_MMA,
    VOCABULARY_CLUSTER,
    VOCABULARY_MBAR,
    VOCABULARY_MBAR_REMOTE,
    VOCABULARY_ASYNC,
    VOCABULARY_COUNT
} vocabulary_kernel;

/* in: 4096 floats; out: what the kernel says, zeroed; words: zeroed. */
typedef struct vocabulary_args {
    const float *in;
    void *out;
    uint32_t *words;
    uint32_t rounds;
} vocabulary_args;

vg_kernel vocabulary(vocabulary_kernel which);
vg_kernel vocabulary_mma(void);
vg_kernel vocabulary_cluster(vocabulary_kernel which); /* of those from VOCABULARY_CLUSTER on */

#ifdef __cplusplus
}
#endif
#endif
