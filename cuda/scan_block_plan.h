/* How regime S lays a recurrence out on a multiprocessor: a pure function of the chip and the
 * shape. */
#ifndef VG_CUDA_SCAN_BLOCK_PLAN_H
#define VG_CUDA_SCAN_BLOCK_PLAN_H

#include "cuda_device.h"
#include "scan_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_scan_block_case {
    vg_model_kind cell;
    bool forward;
    vg_dtype w; /* the model's: the weights are held in fp32 or bf16 */
    uint32_t units, batch;
} vg_scan_block_case;

typedef struct vg_scan_block_plan {
    uint32_t shape;            /* number in VG_SCAN_BLOCK_SHAPES */
    uint32_t kept, rows;       /* the shape's */
    uint32_t threads, workers; /* of a block; workers: those that multiply, the first ones */
    uint32_t slices, pieces;   /* pieces: of K that a thread sums, the kept ones among them */
    uint32_t blocks;           /* of the grid: each takes every blocks-th tile of rows */
    uint64_t shared_bytes;     /* dynamic, of a block */
    double start_s, step_s;    /* of the cost model: before the first step; a step of all rows */
} vg_scan_block_plan;

/* A step of one block, as the cost model sees it; units: those whose cells it steps. */
typedef struct vg_scan_block_work {
    vg_model_kind cell;
    vg_dtype w;
    uint32_t units, rows, workers, pieces, kept;
} vg_scan_block_work;

/* Cycles of a step's product and cells, without what is between them, of `blocks` blocks that share
 * a multiprocessor. */
double vg_scan_block_cycles(const vg_scan_block_work *work, double blocks);

/* The cheapest plan; false: no block of this chip holds the weights. */
bool vg_scan_block_plan_make(const vg_chip *chip, const vg_scan_block_case *c,
                             vg_scan_block_plan *out);

/* The plan with one instance and one number of slices (a power of two up to 32); false: it does not
 * fit. */
bool vg_scan_block_lay_out(const vg_chip *chip, const vg_scan_block_case *c, uint32_t shape,
                           uint32_t slices, vg_scan_block_plan *out);

#ifdef __cplusplus
}
#endif
#endif
