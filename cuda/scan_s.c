/* Regime S of a recurrence: one launch a scan, a block some batch rows, the weights in its
 * multiprocessor. Nothing is waited for but the block itself, so a step takes as long as the
 * product from registers and shared memory; it ends where the weights no longer fit. */
#include "cuda_exec.h"
#include "scan_block_plan.h"

#include <math.h>
#include <stdio.h>

/* Units that no multiprocessor holds. */
enum { FAR_TOO_MANY = 1024 };

static vg_scan_block_case case_of(const vg_op *op, vg_dtype storage)
{
    return (vg_scan_block_case){.cell = op->cell,
                                .forward = vg_scan_is_forward(op),
                                .w = storage,
                                .units = vg_scan_weight(op).cols,
                                .batch = op->batch};
}

static bool plan_of(const vg_device *device, const vg_op *op, vg_dtype storage,
                    vg_scan_block_plan *out)
{
    const vg_scan_block_case c = case_of(op, storage);
    return vg_scan_block_plan_make(&device->chip, &c, out);
}

/* The most units, below those of the scan, that its chip's multiprocessor holds. */
static uint32_t most_units(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_block_plan plan;
    vg_scan_block_case c = case_of(op, storage);
    c.units = c.units < FAR_TOO_MANY ? c.units : FAR_TOO_MANY;
    while (--c.units > 0 && !vg_scan_block_plan_make(&device->chip, &c, &plan)) {
    }
    return c.units;
}

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_block_plan plan;
    vg_mat weight = vg_scan_weight(op);
    if (plan_of(device, op, storage, &plan))
        return VG_OK;
    VG_FAIL(VG_UNSUPPORTED,
            "%s: cuda.scan=S holds weight_hh in one multiprocessor: that of %s with %u units takes "
            "%.0f KiB, %u units are the most here",
            device->name, vg_cell_find(op->cell)->name, weight.cols,
            (double)weight.rows * weight.cols * (double)vg_dtype_size(storage) / 1024,
            most_units(device, op, storage));
}

static double cost_s(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    vg_scan_block_plan plan;
    if (!plan_of(device, op, storage, &plan))
        return INFINITY;
    return plan.start_s + (double)(op->t1 - op->t0) * plan.step_s;
}

static uint64_t scratch(const vg_device *device, const vg_op *op, vg_dtype storage)
{
    (void)device, (void)op, (void)storage;
    return 0;
}

static vg_status launch(const vg_issue *issue, const vg_scan_block_plan *plan, vg_kernel kernel,
                        const void *arguments)
{
    return vg_launch_kernel(issue->exec->device, issue->stream,
                            &(vg_launch){.kernel = kernel,
                                         .blocks = plan->blocks,
                                         .threads = plan->threads,
                                         .shared_bytes = plan->shared_bytes,
                                         .arguments = arguments});
}

static vg_status issue_scan(const vg_issue *issue, void *unused)
{
    const vg_op *op = issue->op;
    vg_dtype storage = issue->exec->program->storage;
    vg_scan_block_plan plan;
    (void)unused;
    if (!plan_of(issue->exec->device, op, storage, &plan))
        return fits(issue->exec->device, op, storage);
    if (vg_scan_is_forward(op)) {
        vg_scan_fwd_args args;
        vg_scan_fwd_arguments(issue->exec, op, &args);
        args.slices = plan.slices;
        return launch(issue, &plan, vg_scan_block_fwd_kernel(op->cell, storage, plan.shape), &args);
    }
    vg_scan_bwd_args args;
    vg_scan_bwd_arguments(issue->exec, op, &args);
    args.slices = plan.slices;
    return launch(issue, &plan, vg_scan_block_bwd_kernel(op->cell, storage, plan.shape), &args);
}

static uint64_t nodes(const vg_op *op)
{
    (void)op;
    return 1;
}

static void words(const vg_device *device, const vg_op *op, vg_dtype storage, char *out,
                  size_t size)
{
    vg_scan_block_plan p;
    if (size)
        out[0] = 0;
    if (plan_of(device, op, storage, &p))
        snprintf(out, size, "threads=%u slices=%u rows=%u registers=%u/%u", p.threads, p.slices,
                 p.rows, p.kept, p.pieces);
}

const vg_scan_regime vg_scan_s = {
    .regime = VG_REGIME_S,
    .name = "S",
    .fits = fits,
    .cost_s = cost_s,
    .scratch = scratch,
    .issue = issue_scan,
    .nodes = nodes,
    .words = words,
};
