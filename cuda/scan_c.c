/* Regime C of a recurrence: one launch a scan, a cluster some batch rows, the weights in its
 * multiprocessors. A step waits for one push through distributed shared memory; it ends where the
 * weights no longer fit a cluster. */
#include "cuda_exec.h"
#include "scan_cluster_plan.h"

#include <math.h>
#include <stdio.h>

/* Units that no cluster holds. */
enum { FAR_TOO_MANY = 8192 };

static vg_scan_block_case case_of(const vg_op *op, vg_dtype storage)
{
    return (vg_scan_block_case){.cell = op->cell,
                                .forward = vg_scan_is_forward(op),
                                .w = storage,
                                .units = vg_scan_weight(op).cols,
                                .batch = op->batch};
}

static bool plan_of(const vg_device *device, const vg_op *op, vg_dtype storage,
                    vg_scan_cluster_plan *out)
{
    const vg_scan_block_case c = case_of(op, storage);
    return vg_scan_cluster_plan_make(&device->chip, &c, out);
}

/* The most units, below those of the scan, that a cluster of its chip holds. */
static uint32_t most_units(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_cluster_plan plan;
    vg_scan_block_case c = case_of(op, storage);
    c.units = c.units < FAR_TOO_MANY ? c.units : FAR_TOO_MANY;
    while (--c.units > 0 && !vg_scan_cluster_plan_make(&device->chip, &c, &plan)) {
    }
    return c.units;
}

static bool has_clusters(const vg_chip *chip)
{
    for (int i = 0; i < VG_CLUSTER_SIZES; i++)
        if (chip->clusters[i])
            return true;
    return false;
}

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_cluster_plan plan;
    const vg_chip *chip = &device->chip;
    const vg_mat weight = vg_scan_weight(op);
    if (chip->major < VG_CLUSTER_MAJOR)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuda.scan=C needs clusters of blocks, which came with sm_%d0: this is sm_%u%u",
                device->name, VG_CLUSTER_MAJOR, chip->major, chip->minor);
    if (!has_clusters(chip))
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuda.scan=C: no cluster of whole multiprocessors can be launched here",
                device->name);
    if (plan_of(device, op, storage, &plan))
        return VG_OK;
    VG_FAIL(VG_UNSUPPORTED,
            "%s: cuda.scan=C holds weight_hh in one cluster: that of %s with %u units takes %.0f "
            "KiB, %u units are the most here",
            device->name, vg_cell_find(op->cell)->name, weight.cols,
            (double)weight.rows * weight.cols * (double)vg_dtype_size(storage) / 1024,
            most_units(device, op, storage));
}

static double cost_s(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_cluster_plan plan;
    if (!plan_of(device, op, storage, &plan))
        return INFINITY;
    return plan.start_s + (double)(op->t1 - op->t0) * plan.step_s;
}

static uint64_t scratch(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    (void)device, (void)op, (void)storage;
    return 0;
}

static vg_status launch(const vg_issue *issue, const vg_scan_cluster_plan *plan, vg_kernel kernel,
                        const void *arguments)
{
    return vg_launch_kernel(issue->exec->device, issue->stream,
                            &(vg_launch){.kernel = kernel,
                                         .blocks = plan->clusters * plan->cluster,
                                         .threads = plan->threads,
                                         .cluster = plan->cluster,
                                         .shared_bytes = plan->shared_bytes,
                                         .arguments = arguments});
}

static vg_status issue_scan(const vg_issue *issue, void *unused)
{
    const vg_op *op = issue->op;
    const vg_dtype storage = issue->exec->program->storage;
    vg_scan_cluster_plan plan;
    (void)unused;
    if (!plan_of(issue->exec->device, op, storage, &plan))
        return fits(issue->exec->device, op, storage);
    if (vg_scan_is_forward(op)) {
        vg_scan_fwd_args args;
        vg_scan_fwd_arguments(issue->exec, op, &args);
        args.slices = plan.slices;
        args.block_units = plan.block_units;
        return launch(issue, &plan, vg_scan_cluster_fwd_kernel(op->cell, storage, plan.shape),
                      &args);
    }
    vg_scan_bwd_args args;
    vg_scan_bwd_arguments(issue->exec, op, &args);
    args.slices = plan.slices;
    args.block_units = plan.block_units;
    return launch(issue, &plan, vg_scan_cluster_bwd_kernel(op->cell, storage, plan.shape), &args);
}

static uint64_t nodes(const vg_op *op)
{
    (void)op;
    return 1;
}

static void words(const vg_device *device, const vg_op *op, vg_dtype storage, char *out,
                  size_t size)
{
    vg_scan_cluster_plan p;
    if (size)
        out[0] = 0;
    if (plan_of(device, op, storage, &p))
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

vg_status vg_scan_clusters(vg_device *device, uint32_t *out)
{
    const vg_kernel kernel = vg_scan_cluster_fwd_kernel(VG_rnn, VG_FP32, 0);
    if (device->chip.major < VG_CLUSTER_MAJOR)
        return VG_OK;
    VG_CUDA(device,
            cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)device->chip.shared_bytes));
    VG_CUDA(device, cudaFuncSetAttribute(kernel.function,
                                         cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    for (uint32_t i = 0; i < VG_CLUSTER_SIZES; i++)
        VG_TRY(count_clusters(device, kernel, 2u << i, &out[i]));
    return VG_OK;
}

const vg_scan_regime vg_scan_c = {
    .regime = VG_REGIME_C,
    .name = "C",
    .fits = fits,
    .cost_s = cost_s,
    .scratch = scratch,
    .issue = issue_scan,
    .nodes = nodes,
    .words = words,
};
