/* Regime M's plan: how a scan is shared out to blocks and warps. Plain C, a pure function of the
 * chip and the shape, for the host side, its tests and its kernels. */
#ifndef VG_CUDA_SCAN_PERSISTENT_H
#define VG_CUDA_SCAN_PERSISTENT_H

#include "scan_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The most threads of a block; stages of the ring, and the most steps of the depth in one. */
enum { VG_PERSISTENT_THREADS = 256, VG_PERSISTENT_RING = 3, VG_PERSISTENT_MOST_CHUNK = 4 };

/* By multiply-add: k's that a lane takes side by side; floats of a lane's registers that hold
 * weights, by DEEP; rows that a warp multiplies at once with a ring. */
enum { VG_PERSISTENT_DEEP = 4, VG_PERSISTENT_HELD = 32, VG_PERSISTENT_ROWS = 4 };

/* On tensor cores: the most steps of a warp with weights in registers, of 8 words each; columns of
 * a warp, rows of a fragment, bytes of the depth of a step; the most fragments of rows at once. */
enum {
    VG_PERSISTENT_MMA_HELD = 16,
    VG_PERSISTENT_MMA_COLUMNS = 16,
    VG_PERSISTENT_MMA_ROWS = 8,
    VG_PERSISTENT_MMA_BYTES = 64,
    VG_PERSISTENT_MMA_FRAGMENTS = 4
};

/* Units that a warp's columns make: all gates of 2 units forward (the rnn's only gate of 8), 8
 * units backward. */
enum { VG_PERSISTENT_FWD_UNITS = 2, VG_PERSISTENT_RNN_UNITS = 8, VG_PERSISTENT_BWD_UNITS = 8 };

typedef struct vg_persistent_shape {
    vg_model_kind cell;
    bool backward;
    uint32_t units, batch;
    vg_dtype dtype; /* VG_FP32, VG_TF32 or VG_BF16 */
} vg_persistent_shape;

typedef struct vg_persistent_plan {
    vg_persistent_tiles tiles;
    uint32_t blocks, threads;
    uint64_t shared_bytes;
    double step_s; /* seconds of a step by the cost model */
} vg_persistent_plan;

/* What a plan looks at of a chip. */
typedef struct vg_persistent_chip {
    uint32_t multiprocessors;
    uint64_t shared_bytes; /* of a block */
} vg_persistent_chip;

/* How a plan may differ; the other tiles follow. chunk 0: no ring. held: steps of the depth with
 * weights in registers, at most VG_PERSISTENT_HELD / columns of a warp. mma: on tensor cores, of
 * tf32 or bf16, with a ring, row_warps 1 and held at most VG_PERSISTENT_MMA_HELD. */
typedef struct vg_persistent_choice {
    uint32_t units, rows, column_warps, depth_warps, row_warps, chunk, held;
    bool mma;
} vg_persistent_choice;

/* The plan of a choice; blocks == 0 where it does not fit. */
vg_persistent_plan vg_persistent_plan_with(vg_persistent_chip chip, vg_persistent_shape shape,
                                           vg_persistent_choice choice);

/* The cheapest plan that fits; blocks == 0 where none does. *needs (may be null): bytes of weights
 * that the least of blocks would have to hold. */
vg_persistent_plan vg_persistent_plan_make(vg_persistent_chip chip, vg_persistent_shape shape,
                                           uint64_t *needs);

#ifdef __cplusplus
}
#endif
#endif
