/* A run of equal dense layers in one cooperative kernel: stack_fwd.cu, stack_bwd.cu, and how they
 * are shared out to blocks and warps (stack_plan.c). Layers are [W, W] in fp32, without pieces; W
 * units, B rows. Plain C. */
#ifndef VG_CUDA_STACK_KERNELS_H
#define VG_CUDA_STACK_KERNELS_H

#include "scan_kernels.h"
#include "scan_persistent.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Columns of a warp; rows of the depth that its lanes take side by side, 4 each; threads of a
 * block, stages of weights and layers of one launch, at most. */
enum {
    VG_STACK_WIDTH = 8,
    VG_STACK_PIECE = 128,
    VG_STACK_THREADS = 256,
    VG_STACK_STAGES = 3,
    VG_STACK_LAYERS = 8192
};

/* One layer as the kernel reads it, from device memory: where its windows begin, null where one is
 * absent. Forward: out = act(operand weightᵀ + bias), and + skip where there is one: then the
 * activation's output is written to `a` too. Backward: out = operand weight, plus skip where there
 * is one; then dz = out ∘ act'(a), what the next one has as its operand, where dz is present. */
typedef struct vg_stack_layer {
    const float *weight;      /* [W, W] */
    const float *bias;        /* forward: [1, W] */
    const float *operand;     /* x; backward: dz [B, W] */
    const float *skip;        /* x; backward: dy [B, W] */
    float *out;               /* y; backward: dx [B, W] */
    float *a, *dz;            /* backward: both of the op that comes next; `a` is only read */
    vg_activation activation; /* that of `a` */
    float alpha;
} vg_stack_layer;

typedef struct vg_stack_args {
    /* [count] in the order in which they run; backward one more stands before them, whose `out` is
     * the dy that comes in: of it, nothing but dz is made. */
    const vg_stack_layer *layers;
    uint32_t count, batch, units;
    uint32_t ld, weight_ld; /* of all windows [B, W], and of the weights */
    uint32_t stages;        /* weights of so many layers are kept or on their way */
    uint32_t *flags;        /* a counter for each block, at VG_FLAG_OF, zeroed before the launch */
    /* As in regime M of a recurrence; rounds 1, nothing held, no ring. The weights' stages stand
     * first in shared memory, then the partial sums. */
    vg_persistent_tiles tiles;
} vg_stack_args;

/* rows: that a warp multiplies at once, 1, 4 or 8. */
vg_kernel vg_stack_fwd_kernel(uint32_t rows);
vg_kernel vg_stack_bwd_kernel(uint32_t rows);

typedef struct vg_stack_shape {
    uint32_t units, batch;
} vg_stack_shape;

typedef struct vg_stack_plan {
    vg_persistent_tiles tiles;
    uint32_t at_once; /* rows that a warp multiplies at once */
    uint32_t stages, blocks, threads;
    uint64_t shared_bytes;
    double layer_s; /* seconds of a layer by the cost model */
} vg_stack_plan;

/* How a plan may differ; the other tiles follow. */
typedef struct vg_stack_choice {
    uint32_t units, rows, depth_warps, row_warps, at_once, stages;
} vg_stack_choice;

/* The plan of a choice; blocks == 0 where it does not fit. */
vg_stack_plan vg_stack_plan_with(vg_persistent_chip chip, vg_stack_shape shape,
                                 vg_stack_choice choice);
/* The cheapest plan that fits; blocks == 0 where none does. */
vg_stack_plan vg_stack_plan_make(vg_persistent_chip chip, vg_stack_shape shape);

/* Seconds by the cost model. The kernel, from its launch to its end. */
double vg_stack_kernel_s(const vg_stack_plan *plan, uint32_t layers);
/* The same layers in a graph, a product and `kernels` kernels each. */
double vg_stack_graph_s(vg_persistent_chip chip, vg_stack_shape shape, uint32_t layers,
                        uint32_t kernels);

#ifdef __cplusplus
}
#endif
#endif
