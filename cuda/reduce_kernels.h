/* The kernels that look at signals: reduce.cu and reduce_signals.cu. Sums in double, in an order
 * that depends on the shape alone. Blocks have the kernel's `threads`, grids any size. Slots are an
 * array in device memory, all of the program's; `slot` numbers into it. */
#ifndef VG_CUDA_REDUCE_KERNELS_H
#define VG_CUDA_REDUCE_KERNELS_H

#include "kernel.h"

#include "vg/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A reduction is two kernels: the first leaves a partial result for each part of a segment in
 * `parts`, the second joins a segment's. A part is vg_reduce_part_rows() rows; the last of a
 * segment may be shorter or, in a last segment that is shorter, empty. A warp takes a part, a block
 * joins a segment; grids may be of any size. */
uint64_t vg_reduce_part_rows(uint64_t segment_rows, uint32_t cols);
/* Bytes of one partial result, of whatever reduction; `parts` is aligned to 16. */
uint64_t vg_reduce_part_bytes(void);

/* VG_MEASURE: window of the storage's type or fp32; a slot for each segment_rows rows from `slot`
 * on. sum_squares, max_abs and the counts are overwritten, the other fields are left. VG_CENSUS
 * likewise: mean_abs_derivative, saturated, dead. */
typedef struct vg_reduce_args {
    vg_window window;
    uint64_t segment_rows, segments, parts_each; /* parts_each: parts of a whole segment */
    void *parts;                                 /* [segments, parts_each] */
    vg_slot *slots;
    uint32_t slot;
    vg_activation activation; /* of the census */
    float alpha, bound;       /* |f'| below the bound is saturated */
    /* The census counts dead columns: uint32_t [segments, cols], zeroed by the first kernel's
     * caller; a live column gets 1. */
    uint32_t *live;
} vg_reduce_args;
vg_kernel vg_measure_kernel(vg_dtype window);
vg_kernel vg_measure_join_kernel(void);
vg_kernel vg_census_kernel(vg_dtype window);
vg_kernel vg_census_join_kernel(void);

/* VG_LOSS_OP: dy is written by the first kernel; the loss goes to sum_squares of `slot` by the
 * join, which is not launched where there is no slot. One segment. y and dy of the storage's type,
 * target fp32; absent for ones. */
typedef struct vg_loss_args {
    vg_window y, target, dy;
    vg_loss loss;
    double divisor;
    uint64_t parts_each;
    void *parts;
    vg_slot *slots;
    uint32_t slot;
} vg_loss_args;
vg_kernel vg_loss_kernel(vg_dtype storage);
vg_kernel vg_loss_join_kernel(void);

/* VG_CLIP over windows of fp32, VG_CLIP_GRADS a launch: squares of the gradients, join (norm before
 * to `slot`, and max_norm / norm or 1 to *scale), scale and squares again, join_after (norm after
 * to slot + 1). Parts are numbered through all gradients of the op: those of grads[i] of a launch
 * from first_part[i] up to first_part[i + 1], parts of vg_reduce_part_rows(rows, cols) rows. */
enum { VG_CLIP_GRADS = 64 };
typedef struct vg_clip_args {
    vg_window grads[VG_CLIP_GRADS];
    uint64_t first_part[VG_CLIP_GRADS + 1];
    uint32_t count;     /* of grads of this launch */
    uint64_t parts_all; /* of all gradients: for the joins */
    void *parts;
    double max_norm;
    float *scale;
    vg_slot *slots;
    uint32_t slot; /* or VG_NO_SLOT */
} vg_clip_args;
vg_kernel vg_clip_squares_kernel(void);
vg_kernel vg_clip_join_kernel(void);
vg_kernel vg_clip_scale_kernel(void); /* multiplies and squares as the first; where *scale is 1,
                                         nothing */
vg_kernel vg_clip_join_after_kernel(void);

/* VG_RESCALE, as program.h says; exponents are read from slots. Three kernels: the first looks at
 * every segment of every signal (parts of signal n from first_part[n] on, parts_each[n] a segment),
 * the second finds the common exponent and writes the slot, the third writes the signals. The slot
 * may be one that an exponent is read from. */
typedef struct vg_rescale_args {
    vg_window in[VG_MAX_SIGNALS], out[VG_MAX_SIGNALS];
    uint32_t exponent[VG_MAX_SIGNALS], signals;
    uint64_t segment_rows[VG_MAX_SIGNALS]; /* never 0 */
    uint64_t first_part[VG_MAX_SIGNALS + 1];
    uint64_t parts_each[VG_MAX_SIGNALS];
    void *parts;
    vg_slot *slots;
    uint32_t slot;
    vg_dtype dtype[VG_MAX_SIGNALS]; /* of in and out: fp32 or bf16 */
} vg_rescale_args;
vg_kernel vg_rescale_look_kernel(void);
vg_kernel vg_rescale_join_kernel(void);
vg_kernel vg_rescale_write_kernel(void);

#ifdef __cplusplus
}
#endif
#endif
