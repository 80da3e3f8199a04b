/* Regime S of a recurrence: one block takes some batch rows through the whole sequence and holds
 * all recurrent weights in its registers and shared memory. What the kernels (scan_block_*.cu) and
 * their host side (scan_s.c) agree on. Plain C.
 *
 * The product of a step is out[M] = A[M, K] v[K] for each row: forward A = weight_hh, M = G·H,
 * K = H; backward A = weight_hhᵀ, M = H, K = G·H. A thread sums pieces of 4 outputs by 4 products;
 * the `slices` lanes of a group have the same outputs and every slices-th piece of K. */
#ifndef VG_CUDA_SCAN_BLOCK_H
#define VG_CUDA_SCAN_BLOCK_H

#include "kernel.h"

#include "vg/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The instances of each kernel, X(most threads, pieces of weights in a thread's registers, batch
 * rows of a block): 16 numbers a piece beside some 50 registers of work, within the 65,536 of a
 * multiprocessor. */
#define VG_SCAN_BLOCK_SHAPES(X, ...)                                                               \
    X(640, 2, 1, __VA_ARGS__)                                                                      \
    X(512, 4, 1, __VA_ARGS__)                                                                      \
    X(384, 7, 1, __VA_ARGS__)                                                                      \
    X(256, 12, 1, __VA_ARGS__)                                                                     \
    X(512, 3, 2, __VA_ARGS__)                                                                      \
    X(384, 6, 2, __VA_ARGS__)                                                                      \
    X(512, 2, 4, __VA_ARGS__)

typedef struct vg_scan_block_shape {
    uint32_t threads, kept, rows;
} vg_scan_block_shape;

enum { VG_SCAN_BLOCK_PIECE = 4, VG_SCAN_BLOCK_SHAPE_COUNT = 7 };

/* w: VG_FP32 or VG_BF16. */
vg_kernel vg_scan_block_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape);
vg_kernel vg_scan_block_bwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape);

#ifdef __cplusplus
}
#endif
#endif
