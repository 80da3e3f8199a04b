/* The kernels of a recurrence. One pair of argument structs serves every regime:
 *   L  one launch a step after the step's product (scan_step.cu)
 *   M  one cooperative launch a scan, a block a slice of units (scan_persistent_{fwd,bwd}.cu)
 *   S  one launch a scan, a block some batch rows (scan_block_{fwd,bwd}.cu, scan_block.h)
 *   C  one launch a scan, a cluster some batch rows (scan_cluster_{fwd,bwd}.cu, scan_cluster.h)
 * Shapes and meaning as in vg_scan_fwd and vg_scan_bwd; W = storage's type (fp32 or bf16). */
#ifndef VG_CUDA_SCAN_KERNELS_H
#define VG_CUDA_SCAN_KERNELS_H

#include "kernel.h"

#include "vg/model.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* M: how a scan is shared out, made by scan_persistent_plan.c. The product of a step is [rows,
 * columns] = [rows, depth] × [depth, columns]: forward the columns are all gates of a block's units
 * and the depth is H; backward the columns are its units and the depth is G·H. */
typedef struct vg_persistent_tiles {
    uint32_t slices;      /* blocks that share the units; the grid is slices × groups of rows */
    uint32_t units, rows; /* of a block; the last slice and group may have fewer */
    /* Of 8 rows that are multiplied at once on tensor cores (1, 2 or 4); 0: by multiply-add. */
    uint32_t fragments;
    /* A block's warps: column_warps × depth_warps × row_warps, column_warps running fastest. */
    uint32_t column_warps, depth_warps, row_warps;
    uint32_t rounds; /* each of column_warps × the columns of a warp */
    uint32_t steps;  /* along the depth, each depth_warps × 128 deep (on tensor cores 64 bytes) */
    uint32_t held;   /* of which so many have their weights in registers; 0 with rounds > 1 */
    uint32_t chunk;  /* steps in a stage of the ring, a power of two; 0: there is no ring */
    uint32_t tile_rows; /* rows that the cell's step follows together: units × tile_rows threads */
    uint32_t stride;    /* floats of a row of partial sums */
    uint32_t ring_at, partial_at; /* bytes into shared memory; weights beyond `held` stand first */
} vg_persistent_tiles;

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
    bool tf32; /* operands of the recurrent product rounded to tf32 (M, S, C) */
    /* L: h_{t-1} W_hhᵀ, fp32 [B, G·H], without the bias; other regimes: absent. */
    vg_window product;
    /* M: a counter for each block, at VG_FLAG_OF, zeroed before the launch. */
    uint32_t *flags;
    vg_persistent_tiles tiles;
    uint32_t slices;      /* S, C: lanes that share a sum */
    uint32_t block_units; /* C: of a block, the last ones may have fewer; a multiple of 4 */
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
     * scratch of the scan. L always; M where a block's rows exceed one tile; else in registers. */
    vg_window carry[VG_MAX_STATES];
    uint32_t *flags;
    vg_persistent_tiles tiles;
    uint32_t slices, block_units;
} vg_scan_bwd_args;

/* Counters: eight side by side, so that a warp that looks at 32 asks L2 for four sectors; a line to
 * each eight, since every line is in one slice of L2 that all multiprocessors ask. */
enum { VG_FLAGS_A_LINE = 8, VG_FLAG_LINE = 32 };
#define VG_FLAG_OF(block)  ((block) / VG_FLAGS_A_LINE * VG_FLAG_LINE + (block) % VG_FLAGS_A_LINE)
#define VG_FLAG_COUNT(all) (((all) + VG_FLAGS_A_LINE - 1) / VG_FLAGS_A_LINE * VG_FLAG_LINE)

/* W: VG_FP32 or VG_BF16. The rnn's activation is an argument, not an instance. */
vg_kernel vg_scan_step_fwd_kernel(vg_model_kind cell, vg_dtype w);
vg_kernel vg_scan_step_bwd_kernel(vg_model_kind cell, vg_dtype w);
/* ring: of plans that have one (tiles.chunk > 0). */
vg_kernel vg_scan_persistent_fwd_kernel(vg_model_kind cell, vg_dtype w, bool ring);
vg_kernel vg_scan_persistent_bwd_kernel(vg_model_kind cell, vg_dtype w, bool ring);
/* The same on tensor cores; w: VG_TF32 or VG_BF16; fragments: the plan's, 1, 2 or 4. */
vg_kernel vg_scan_persistent_mma_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t fragments);
vg_kernel vg_scan_persistent_mma_bwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t fragments);

#ifdef __cplusplus
}
#endif
#endif
