/* What the cost models of the recurrence's regimes go by, in one place: latencies as the probe
 * (cuda/probe) names them and rates of one multiprocessor. Those of an H100 as others have
 * published them; vg_latency measures the card that is there. */
#ifndef VG_CUDA_SCAN_RATES_H
#define VG_CUDA_SCAN_RATES_H

/* The probe's, in seconds. */
#define VG_KERNEL_LAUNCH_S   4e-6
#define VG_GRAPH_NODE_S      1.3e-6
#define VG_COUNTER_HOP_S     0.65e-6 /* through the second level of cache */
#define VG_CLUSTER_BARRIER_S 0.55e-6
#define VG_REMOTE_PUSH_S     0.25e-6 /* through distributed shared memory, to a barrier's waiter */

/* In cycles. */
#define VG_CLOCK_HZ             1.6e9
#define VG_BLOCK_BARRIER_CYCLES 40.0

/* Bytes a cycle: from the own shared memory, and from and to that of the cluster's other blocks. */
#define VG_SHARED_BYTES_A_CYCLE 128.0
#define VG_REMOTE_BYTES_A_CYCLE 12.0
/* Predictions, not measured by anybody on these kernels: of one scheduler's tensor core, a product
 * m16n8k8 of tf32 or m16n8k16 of bf16 by mma.sync, at half the published rate; until its sums can
 * be added to; and rounding 32 numbers to tf32. */
#define VG_PREDICTED_MMA_CYCLES      8.0
#define VG_PREDICTED_MMA_WAIT_CYCLES 32.0
#define VG_PREDICTED_TF32_CYCLES     2.0

/* Bytes a second into one multiprocessor while all load. */
#define VG_LOAD_BYTES_S 50e9

#endif
