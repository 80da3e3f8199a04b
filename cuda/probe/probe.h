/* How long a GPU takes to synchronise: what a kernel that runs a whole sequence pays a step. */
#ifndef VG_CUDA_PROBE_H
#define VG_CUDA_PROBE_H

#include "kernel.h"

#include "vg/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* words: uint32_t, zeroed, VG_PROBE_STRIDE apart. times: how often the step is repeated. */
enum { VG_PROBE_STRIDE = 32 };
typedef struct vg_probe_args {
    uint32_t *words;
    uint32_t times;
} vg_probe_args;

vg_kernel vg_probe_nothing_kernel(void);
vg_kernel vg_probe_block_barrier_kernel(void);
/* All blocks add to one counter and wait for each other. Cooperative. */
vg_kernel vg_probe_grid_sync_kernel(void);
/* Every block sets its own flag and waits for all the others', which lie as those of a recurrence
 * shared out over the chip do. Cooperative. */
vg_kernel vg_probe_flag_exchange_kernel(void);
/* Two blocks, forth and back by a counter each: two hops a repetition. Cooperative. */
vg_kernel vg_probe_counter_hop_kernel(void);
vg_kernel vg_probe_cluster_barrier_kernel(void);
/* A cluster of two, forth and back: a float into the other's shared memory that completes an
 * mbarrier there; two hops a repetition. */
vg_kernel vg_probe_remote_push_kernel(void);

/* One measured latency: median and quartiles of the samples, in microseconds. */
typedef struct vg_latency {
    const char *what;
    uint32_t blocks, threads; /* threads: of a block */
    double microseconds, lower, upper;
} vg_latency;

typedef struct vg_probe_how {
    int ordinal;
    uint32_t times, samples; /* repetitions within a launch; launches */
} vg_probe_how;

/* Measures everything that the GPU has and calls `row` for each. Fails as the runtime does. */
typedef void vg_latency_fn(void *context, const vg_latency *latency);
vg_status vg_probe_run(const vg_probe_how *how, vg_latency_fn *row, void *context);

#ifdef __cplusplus
}
#endif
#endif
