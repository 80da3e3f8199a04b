/* Regime C of a recurrence: a cluster of blocks takes some batch rows through the whole sequence
 * and holds all recurrent weights in its multiprocessors' registers and shared memory, a slice of
 * the units a block. What the kernels (scan_cluster_*.cu) and their host side (scan_c.c) agree on.
 * Plain C.
 *
 * The product of a step is a block's part of scan_block.h's: forward A = the gates' rows of its
 * units, M = G·block_units, K = H, and what is pushed to every block are the units' states, H
 * numbers a row; backward the same rows' transpose, M = H, K = G·block_units, and what is pushed,
 * each to the block that has the unit, are partial sums, H numbers a row again (the gates would be
 * G·H). Clusters know nothing of each other. */
#ifndef VG_CUDA_SCAN_CLUSTER_H
#define VG_CUDA_SCAN_CLUSTER_H

#include "kernel.h"

#include "vg/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The instances of each kernel, X(most threads, pieces of weights in a thread's registers, batch
 * rows of a cluster), as VG_SCAN_BLOCK_SHAPES. */
#define VG_SCAN_CLUSTER_SHAPES(X, ...)                                                             \
    X(512, 3, 1, __VA_ARGS__)                                                                      \
    X(384, 6, 1, __VA_ARGS__)                                                                      \
    X(256, 11, 1, __VA_ARGS__)                                                                     \
    X(256, 10, 2, __VA_ARGS__)                                                                     \
    X(256, 9, 4, __VA_ARGS__)

/* Bytes of its two barriers, at the beginning of a block's shared memory. */
enum { VG_SCAN_CLUSTER_SHAPE_COUNT = 5, VG_SCAN_CLUSTER_BARRIERS = 16 };

/* w: VG_FP32 or VG_BF16. Launched in clusters. */
vg_kernel vg_scan_cluster_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape);
vg_kernel vg_scan_cluster_bwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape);

#ifdef __cplusplus
}
#endif
#endif
