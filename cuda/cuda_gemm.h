/* Matrix products through cuBLASLt, row-major, with its epilogues. The library is opened at run
 * time, so that a program without it starts. An algorithm is the heuristic's first answer, never
 * the winner of a timing: two processes give the same bits. */
#ifndef VG_CUDA_GEMM_H
#define VG_CUDA_GEMM_H

#include "cuda_device.h"

typedef enum vg_gemm_epilogue {
    VG_GEMM_PLAIN,
    VG_GEMM_BIAS,      /* + bias [1, n], fp32 */
    VG_GEMM_BIAS_RELU, /* and ReLU */
    VG_GEMM_SUM_A      /* bias [1, m] receives Σ over k of op(A)[m, k], overwritten */
} vg_gemm_epilogue;

/* D[m, n] = op(A)[m, k] op(B)[k, n], plus C where `adds`. A is [m, k], or [k, m] where transposed;
 * B is [k, n], or [n, k] where transposed; all row-major with their own ld. Types: a and b are
 * both VG_FP32 or both VG_BF16; c and d may be VG_FP32 or the same. tf32: as the dtype says. C may
 * be D. alignment: bytes, a power of two that divides every address given to vg_gemm_issue() (the
 * bias's too); 0: that of one element. */
typedef struct vg_gemm_shape {
    uint64_t m, n, k;
    uint64_t lda, ldb, ldc, ldd;
    bool transpose_a, transpose_b, adds, tf32;
    vg_dtype ab, c, d;
    vg_gemm_epilogue epilogue;
    uint32_t alignment;
} vg_gemm_shape;

typedef struct vg_gemm vg_gemm; /* a product ready to be issued */

/* The library and its version ("cuBLASLt 13.0.1"); VG_UNSUPPORTED with the reason where it is not
 * there. From here on the process has no environment that would turn fp32 into something else. */
vg_status vg_gemm_open(vg_device *device);
void vg_gemm_close(vg_device *device); /* nothing happens where it is not open */
const char *vg_gemm_version(const vg_device *device);
/* Runs tiny products to learn what device->traits says. */
vg_status vg_gemm_learn(vg_device *device);

/* VG_UNSUPPORTED where the library has no algorithm for it (an epilogue, a type). */
vg_status vg_gemm_make(vg_device *device, const vg_gemm_shape *shape, vg_gemm **out);
void vg_gemm_free(vg_gemm *gemm);
/* Bytes of the work area that a product uses, and that any product may use. Products that run at
 * the same time must not share one. */
size_t vg_gemm_needs(const vg_gemm *gemm);
size_t vg_gemm_work_bytes(void);
/* `work` has what it needs. `c` is looked at where the shape adds, `bias` where its epilogue has
 * one. */
vg_status vg_gemm_issue(const vg_gemm *gemm, cudaStream_t stream, void *work, const void *a,
                        const void *b, const void *c, void *d, void *bias);

#endif
