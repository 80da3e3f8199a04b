/* Inside the CUDA devices, host side, plain C: an opened device, and the rules of its calls. Every
 * call of the runtime is checked with VG_CUDA; after an error that stays, the device is lost. */
#ifndef VG_CUDA_DEVICE_H
#define VG_CUDA_DEVICE_H

#include "kernel.h"

#include "vg/device.h"

#include <cuda_runtime_api.h>

/* Clusters of blocks came with that architecture; those of 2, 4, 8 and 16 are used. */
enum { VG_CLUSTER_MAJOR = 9, VG_CLUSTER_SIZES = 4 };

/* What a kernel's plan looks at. Bytes and counts of one multiprocessor unless it says otherwise.
 */
typedef struct vg_chip {
    uint32_t multiprocessors, major, minor;
    uint64_t shared_bytes;       /* the most that a block may ask for */
    uint32_t registers, threads; /* a multiprocessor's */
    uint64_t l2_bytes, memory_bytes;
    uint32_t clusters[VG_CLUSTER_SIZES]; /* of the chip: how many of that size are resident at once
                                            where a block takes a whole multiprocessor */
    bool clusters_lost;                  /* the chip has them, the code that is loaded has not */
    bool cooperative;
} vg_chip;

/* What the products of this device's library do, found out once when it is opened. */
typedef struct vg_gemm_traits {
    bool tf32_rounds;      /* to nearest; else it truncates the operands */
    bool keeps_subnormals; /* in fp32 */
    bool relu_keeps_nan;   /* in the ReLU epilogue */
} vg_gemm_traits;

typedef enum vg_regime {
    VG_REGIME_AUTO,
    VG_REGIME_L,
    VG_REGIME_M,
    VG_REGIME_S,
    VG_REGIME_C
} vg_regime;

/* How a stack of dense layers runs: a launch or two a layer in a graph, or a run of equal layers in
 * one kernel. */
typedef enum vg_stack_form { VG_STACK_AUTO, VG_STACK_PERSISTENT, VG_STACK_GRAPH } vg_stack_form;

typedef struct vg_gemm_library vg_gemm_library; /* cuda_gemm.c */
typedef struct vg_nvml vg_nvml;                 /* nvml.c */

struct vg_device {
    int ordinal;
    char name[32]; /* "cuda:0" */
    vg_chip chip;
    vg_device_applied applied;
    vg_regime regime;
    uint32_t pieces; /* of a recurrence; 0: as the cost model finds */
    vg_stack_form stack;
    cudaStream_t stream, side; /* side: what may run beside the chain */
    cudaEvent_t start, stop;
    vg_gemm_library *gemm;
    vg_gemm_traits traits;
    vg_nvml *nvml; /* null: absent */
    void *peer;    /* what a peer's driver keeps with it; freed by that driver */
    bool lost;     /* an error stayed: nothing more is asked of it */
};

/* cuda_device.c: what the peers' drivers share. Their devices are named FAMILY:N; `info` needs its
 * name and index alone. */
vg_status vg_cuda_list(const char *family, vg_device_info *out, size_t capacity, size_t *count);
vg_status vg_cuda_open(const vg_device_info *info, const vg_device_options *options,
                       vg_device **out);
void vg_cuda_close(vg_device *device);
void vg_cuda_applied(vg_device *device, vg_device_applied *out);

/* Fails with the call's name and the runtime's words: VG_NO_MEMORY, VG_UNSUPPORTED, or, where the
 * error stays, VG_DEVICE_LOST. `device` may be null. */
vg_status vg_cuda_check(vg_device *device, cudaError_t error, const char *call);
#define VG_CUDA(device, call) VG_TRY(vg_cuda_check((device), (call), #call))

typedef enum vg_launch_kind { VG_LAUNCH_PLAIN, VG_LAUNCH_COOPERATIVE } vg_launch_kind;

/* A kernel's launch; `arguments` is its one struct. cluster 0: none. */
typedef struct vg_launch {
    vg_kernel kernel;
    uint64_t blocks; /* capped at 2^31 - 1: kernels stride */
    uint32_t threads, cluster;
    size_t shared_bytes;
    vg_launch_kind kind;
    const void *arguments;
} vg_launch;
/* VG_UNSUPPORTED where the chip has not the shared memory; no blocks: nothing is launched. What the
 * kernel does wrong is found by whoever waits for the stream. */
vg_status vg_launch_kernel(vg_device *device, cudaStream_t stream, const vg_launch *launch);

/* Lets a kernel without static shared memory have all that a block may, from now on: less would
 * also hold for its launches that were captured and have not been instantiated yet. */
vg_status vg_allow_shared(vg_device *device, vg_kernel kernel);
/* Whether the kernel can be launched in clusters: the chip has them, and the code that was loaded
 * is of an architecture that had them (a later chip translates an earlier one's). */
vg_status vg_has_clusters(vg_device *device, vg_kernel kernel, bool *out);

/* Blocks that cover `items` at `each` a block, at most what keeps the chip busy several times. */
uint64_t vg_blocks_for(const vg_device *device, uint64_t items, uint64_t each);

/* cuda_facts.c, cuda_peaks.c */
vg_status vg_cuda_facts(vg_device *device, vg_fact_fn *emit, void *context);
vg_status vg_cuda_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out);
vg_status vg_cuda_telemetry(vg_device *device, vg_telemetry *out);
/* Binds this process's threads to the cores near the device; false: unknown or not permitted. */
bool vg_cuda_bind_near(int ordinal);

#endif
