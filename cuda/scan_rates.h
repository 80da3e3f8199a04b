/* What the cost models of a recurrence's regimes, of its pieces and of a stack's kernel go by, in
 * one place, for they compete: one clock, one price of a launch, one of a byte. Latencies as the
 * probe (cuda/probe) names them; a multiprocessor's rates. Those of an H100 and an H200 as they
 * were published or as others have measured them; vg_latency measures the card that is there. */
#ifndef VG_CUDA_SCAN_RATES_H
#define VG_CUDA_SCAN_RATES_H

#include "vg/dtype.h"

/* The probe's, in seconds. Whatever is timed runs in a graph, where a launch is a node. */
#define VG_GRAPH_NODE_S      1.3e-6
#define VG_COUNTER_HOP_S     0.65e-6 /* through the second level of cache */
#define VG_COUNTER_EACH_S    0.5e-9  /* of each further one that is looked at */
#define VG_CLUSTER_BARRIER_S 0.55e-6
#define VG_REMOTE_PUSH_S     0.25e-6 /* through distributed shared memory, to a barrier's waiter */

/* In cycles. */
#define VG_CLOCK_HZ             1.6e9
#define VG_BLOCK_BARRIER_CYCLES 40.0
#define VG_L2_WAIT_CYCLES       600.0 /* for what comes from the second level of cache */

/* Lanes that multiply-add, a cycle each; schedulers that issue an instruction a cycle each. */
#define VG_LANES      128.0
#define VG_SCHEDULERS 4.0

/* Bytes a cycle: from the own shared memory, from and to that of the cluster's other blocks, and
 * from the second level of cache to a multiprocessor that has it to itself. */
#define VG_SHARED_BYTES_A_CYCLE 128.0
#define VG_REMOTE_BYTES_A_CYCLE 12.0
#define VG_L2_BYTES_A_CYCLE     64.0
/* Predictions, not measured by anybody on these kernels: of one scheduler's tensor core, a product
 * m16n8k8 of tf32 or m16n8k16 of bf16 by mma.sync, at half the published rate; until its sums can
 * be added to; and rounding 32 numbers to tf32. */
#define VG_PREDICTED_MMA_CYCLES      8.0
#define VG_PREDICTED_MMA_WAIT_CYCLES 32.0
#define VG_PREDICTED_TF32_CYCLES     2.0

/* Bytes a second into one multiprocessor while all load: from the second level of cache, and its
 * share of the memory's 4.8 TB/s. */
#define VG_LOAD_BYTES_S   50e9
#define VG_MEMORY_BYTES_S 36e9

/* Multiply-adds a second of one multiprocessor in a product of the library: two thirds of its
 * lanes', or of its tensor cores', which have 8 times as many in tf32 and 16 times in bf16. dtype:
 * the model's. */
static inline double vg_product_rate(vg_dtype dtype)
{
    const double faster = dtype == VG_BF16 ? 16 : dtype == VG_TF32 ? 8 : 1;
    return VG_LANES * VG_CLOCK_HZ * 2 / 3 * faster;
}

#endif
