/* How regime C lays a recurrence out on clusters of multiprocessors: a pure function of the chip
 * and the shape. */
#ifndef VG_CUDA_SCAN_CLUSTER_PLAN_H
#define VG_CUDA_SCAN_CLUSTER_PLAN_H

#include "scan_block_plan.h"
#include "scan_cluster.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_scan_cluster_plan {
    uint32_t shape;      /* number in VG_SCAN_CLUSTER_SHAPES */
    uint32_t kept, rows; /* the shape's */
    uint32_t cluster,
        clusters;         /* blocks of a cluster; clusters: each takes every clusters-th tile */
    uint32_t block_units; /* of a block, a multiple of 4 */
    uint32_t threads, workers; /* of a block; workers: those that multiply, the first ones */
    uint32_t slices, pieces;   /* pieces: of K that a thread sums, the kept ones among them */
    uint64_t shared_bytes;     /* dynamic, of a block */
    double start_s, step_s;    /* of the cost model: before the first step; a step of all rows */
} vg_scan_cluster_plan;

/* How a plan may differ. cluster and slices: powers of two, up to 16 and 32. */
typedef struct vg_scan_cluster_choice {
    uint32_t shape, cluster, slices;
} vg_scan_cluster_choice;

/* The cheapest plan; false: no cluster of this chip holds the weights, or it has none. */
bool vg_scan_cluster_plan_make(const vg_chip *chip, const vg_scan_block_case *c,
                               vg_scan_cluster_plan *out);

/* The plan of a choice; false: it does not fit. */
bool vg_scan_cluster_lay_out(const vg_chip *chip, const vg_scan_block_case *c,
                             vg_scan_cluster_choice choice, vg_scan_cluster_plan *out);

#ifdef __cplusplus
}
#endif
#endif
