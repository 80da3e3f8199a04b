/* Regimes S and C on the host side: a recurrence whose weights some multiprocessors hold for
 * themselves, one launch a scan. They differ in what holds them. */
#ifndef VG_CUDA_SCAN_HELD_H
#define VG_CUDA_SCAN_HELD_H

#include "cuda_exec.h"
#include "scan_block_plan.h"

/* A launch, as either plan makes it. */
typedef struct vg_held_plan {
    uint32_t shape, threads, slices;
    uint32_t blocks, cluster, block_units; /* of the grid; of a cluster, 0: none; of a block */
    uint64_t shared_bytes;
    double start_s, step_s;
} vg_held_plan;

typedef struct vg_held {
    const char *name, *holder; /* "S", "one multiprocessor" */
    uint32_t far_too_many;     /* units that it never holds */
    bool (*plan)(const vg_chip *chip, const vg_scan_block_case *c, vg_held_plan *out);
    vg_kernel (*forward)(vg_model_kind cell, vg_dtype w, uint32_t shape);
    vg_kernel (*backward)(vg_model_kind cell, vg_dtype w, uint32_t shape);
} vg_held;

/* As the members of vg_scan_regime; fits: the reason names the most units that are held. */
vg_status vg_held_fits(const vg_held *held, const vg_device *device, const vg_op *op,
                       vg_dtype dtype);
double vg_held_cost_s(const vg_held *held, const vg_device *device, const vg_op *op,
                      vg_dtype dtype);
double vg_held_busy(const vg_held *held, const vg_device *device, const vg_op *op, vg_dtype dtype);
vg_status vg_held_issue(const vg_held *held, const vg_issue *issue);

vg_scan_block_case vg_held_case(const vg_op *op, vg_dtype dtype);

#endif
