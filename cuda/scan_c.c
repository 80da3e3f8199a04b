/* Regime C of a recurrence: one launch a scan, a cluster some batch rows, the weights in its
 * multiprocessors. A step waits for one push through distributed shared memory; it ends where the
 * weights no longer fit a cluster. */
#include "scan_held.h"

#include "scan_cluster_plan.h"

#include <stdio.h>

static bool plan(const vg_chip *chip, const vg_scan_block_case *c, vg_held_plan *out)
{
    vg_scan_cluster_plan p;
    if (!vg_scan_cluster_plan_make(chip, c, &p))
        return false;
    *out = (vg_held_plan){.shape = p.shape,
                          .threads = p.threads,
                          .slices = p.slices,
                          .blocks = p.clusters * p.cluster,
                          .cluster = p.cluster,
                          .block_units = p.block_units,
                          .shared_bytes = p.shared_bytes,
                          .start_s = p.start_s,
                          .step_s = p.step_s};
    return true;
}

static const vg_held held = {
    .name = "C",
    .holder = "one cluster",
    .far_too_many = 8192,
    .plan = plan,
    .forward = vg_scan_cluster_fwd_kernel,
    .backward = vg_scan_cluster_bwd_kernel,
};

static bool has_clusters(const vg_chip *chip)
{
    for (int i = 0; i < VG_CLUSTER_SIZES; i++)
        if (chip->clusters[i])
            return true;
    return false;
}

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    const vg_chip *chip = &device->chip;
    if (chip->major < VG_CLUSTER_MAJOR)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuda.scan=C needs clusters of blocks, which came with sm_%d0: this is sm_%u%u",
                device->name, VG_CLUSTER_MAJOR, chip->major, chip->minor);
    if (chip->clusters_lost)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuda.scan=C: this build's code for sm_%u%u has no clusters: configure with "
                "-DVG_CUDA_ARCHITECTURES=%u%u",
                device->name, chip->major, chip->minor, chip->major, chip->minor);
    if (!has_clusters(chip))
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuda.scan=C: no cluster of whole multiprocessors can be launched here",
                device->name);
    return vg_held_fits(&held, device, op, dtype);
}

static double cost_s(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    return vg_held_cost_s(&held, device, op, dtype);
}

static double busy(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    return vg_held_busy(&held, device, op, dtype);
}

static vg_status issue_scan(const vg_issue *issue, void *unused)
{
    (void)unused;
    return vg_held_issue(&held, issue);
}

static void words(const vg_device *device, const vg_op *op, vg_dtype dtype, char *out, size_t size)
{
    vg_scan_cluster_plan p;
    const vg_scan_block_case c = vg_held_case(op, dtype);
    if (size)
        out[0] = 0;
    if (vg_scan_cluster_plan_make(&device->chip, &c, &p))
        snprintf(out, size, "cluster=%u clusters=%u rows=%u threads=%u slices=%u registers=%u/%u",
                 p.cluster, p.clusters, p.rows, p.threads, p.slices, p.kept, p.pieces);
}

/* Clusters of one size, a multiprocessor a block, that run at once. A chip, or a part of one, that
 * cannot have any says so in one way or another. */
static vg_status count_clusters(vg_device *device, vg_kernel kernel, uint32_t blocks, uint32_t *out)
{
    cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeClusterDimension,
                                     .val = {.clusterDim = {.x = blocks, .y = 1, .z = 1}}};
    const cudaLaunchConfig_t config = {.gridDim = {blocks, 1, 1},
                                       .blockDim = {kernel.threads, 1, 1},
                                       .dynamicSmemBytes = device->chip.shared_bytes,
                                       .attrs = &attribute,
                                       .numAttrs = 1};
    int count = 0;
    const cudaError_t error = cudaOccupancyMaxActiveClusters(&count, kernel.function, &config);
    switch (error) {
    case cudaErrorInvalidClusterSize:
    case cudaErrorInvalidConfiguration:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorNotSupported:
        (void)cudaGetLastError();
        *out = 0;
        return VG_OK;
    default: VG_TRY(vg_cuda_check(device, error, "cudaOccupancyMaxActiveClusters"));
    }
    *out = count > 0 ? (uint32_t)count : 0;
    return VG_OK;
}

vg_status vg_scan_clusters(vg_device *device)
{
    const vg_kernel kernel = vg_scan_cluster_fwd_kernel(VG_rnn, VG_FP32, 0);
    vg_chip *chip = &device->chip;
    bool there;
    VG_TRY(vg_has_clusters(device, kernel, &there));
    chip->clusters_lost = !there && chip->major >= VG_CLUSTER_MAJOR;
    if (!there)
        return VG_OK;
    VG_TRY(vg_allow_shared(device, kernel));
    VG_CUDA(device, cudaFuncSetAttribute(kernel.function,
                                         cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    for (uint32_t i = 0; i < VG_CLUSTER_SIZES; i++)
        VG_TRY(count_clusters(device, kernel, 2u << i, &chip->clusters[i]));
    return VG_OK;
}

const vg_scan_regime vg_scan_c = {
    .regime = VG_REGIME_C,
    .name = "C",
    .fits = fits,
    .cost_s = cost_s,
    .busy = busy,
    .issue = issue_scan,
    .words = words,
};
