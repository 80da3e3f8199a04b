/* The kernels around a dense layer's products: dense.cu. Blocks have the kernel's `threads`; grids
 * are of any size: each kernel strides. */
#ifndef VG_CUDA_DENSE_KERNELS_H
#define VG_CUDA_DENSE_KERNELS_H

#include "kernel.h"

#include "vg/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* a = act(z + bias); y = a, or a + skip where there is a skip, and then `a` is written too, and
 * counts as it is written. z fp32 [R, pieces·O], piece-major; bias fp32 [1, pieces·O]; skip, a, y
 * [R, O] of the storage's type; winner u8 [R, O] (maxout: the lowest index on a tie, NaN wins). z
 * may be y where both are fp32 and pieces is 1. */
typedef struct vg_epilogue_args {
    vg_window z, bias, skip, a, y, winner;
    vg_activation activation;
    float alpha;
    uint32_t pieces;
} vg_epilogue_args;
/* y: the type of y, a and skip: VG_FP32 or VG_BF16. */
vg_kernel vg_epilogue_kernel(vg_dtype y);

/* dz = dy ∘ act'(a), or dy routed to the winner: dz [R, pieces·O], all of the storage's type. */
typedef struct vg_derivative_args {
    vg_window dy, a, winner, dz;
    vg_activation activation;
    float alpha;
    uint32_t pieces;
} vg_derivative_args;
vg_kernel vg_derivative_kernel(vg_dtype storage);

/* sums [1, O] fp32 = column sums of dz [R, O], in an order that depends on the shape alone: first
 * every vg_column_sums_rows(R) rows leave their sums in a row of `parts` fp32 (one row: straight in
 * sums), then the second kernel adds those. At most 512 rows of parts. */
typedef struct vg_column_sums_args {
    vg_window dz, parts, sums;
} vg_column_sums_args;
uint64_t vg_column_sums_rows(uint64_t rows);
vg_kernel vg_column_sums_kernel(vg_dtype storage);
vg_kernel vg_column_sums_add_kernel(void);

#ifdef __cplusplus
}
#endif
#endif
