/* The kernels of a recurrence. One pair of argument structs serves every regime:
 *   L  one launch a step after the step's product (scan_step.cu)
 *   M  one cooperative launch a scan, a block a slice of units (scan_persistent_{fwd,bwd}.cu)
 *   S  one launch a scan, a block some batch rows (scan_block_{fwd,bwd}.cu, scan_block.h)
 * Shapes and meaning as in vg_scan_fwd and vg_scan_bwd; W = storage's type (fp32 or bf16). */
#ifndef VG_CUDA_SCAN_KERNELS_H
#define VG_CUDA_SCAN_KERNELS_H

#include "kernel.h"

#include "vg/model.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_scan_fwd_args {
    vg_window preact_x;              /* fp32 [T·B, G·H] */
    vg_window weight_hh;             /* W [G·H, H] */
    vg_window bias_hh;               /* fp32 [1, G·H] */
    vg_window state0[VG_MAX_STATES]; /* [0] W [B, H], right before y; others fp32 */
    vg_window y;                     /* W [T·B, H] */
    vg_window reserve;               /* W, or fp32 where the cell has two states */
    uint64_t t0, t1;                 /* L: the one step t0 */
    uint32_t batch, units;
    vg_activation activation;
    bool tf32; /* operands of the recurrent product rounded to tf32 (M, S) */
    /* L: h_{t-1} W_hhᵀ, fp32 [B, G·H], without the bias; other regimes: absent. */
    vg_window product;
    /* M: one counter for each block, zeroed before the launch, 32 uint32_t apart. */
    uint32_t *flags;
    /* M, S: this kernel's own plan, made by its host side. */
    uint32_t unit_tile, batch_tile, weights_in_registers;
    uint32_t slices; /* S: lanes that share a sum */
} vg_scan_fwd_args;

typedef struct vg_scan_bwd_args {
    vg_window reserve, y, state0[VG_MAX_STATES];
    vg_window dy;                     /* W or fp32 as dy_wide says; absent, [B, H] or [T·B, H] */
    vg_window dstateT[VG_MAX_STATES]; /* fp32; absent: zero */
    vg_window weight_hh;
    vg_window dgates_x, dgates_h;     /* W [T·B, G·H] */
    vg_window dstate0[VG_MAX_STATES]; /* fp32; may be dstateT */
    vg_window dh, dc;                 /* fp32 [T·B, H]; absent: not wanted */
    uint64_t t0, t1;                  /* all steps of the scan, also in L */
    uint64_t step;                    /* L: the one to take; t0 - 1: only dstate0 from `product` */
    uint32_t batch, units;
    vg_activation activation;
    bool tf32, dy_wide;
    /* L: dgates_h of step + 1 times W_hh, fp32 [B, H]; absent at the last step. */
    vg_window product;
    /* What comes back into the states apart from the product, between steps: fp32 [B, H] each,
     * scratch of the scan (L; other regimes keep it in registers or use it as they like). */
    vg_window carry[VG_MAX_STATES];
    uint32_t *flags;
    uint32_t unit_tile, batch_tile, weights_in_registers;
    uint32_t slices; /* S: lanes that share a sum */
} vg_scan_bwd_args;

/* W: VG_FP32 or VG_BF16. The rnn's activation is an argument, not an instance. */
vg_kernel vg_scan_step_fwd_kernel(vg_model_kind cell, vg_dtype w);
vg_kernel vg_scan_step_bwd_kernel(vg_model_kind cell, vg_dtype w);

#ifdef __cplusplus
}
#endif
#endif
