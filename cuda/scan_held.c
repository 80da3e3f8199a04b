/* Whether either regime's plan fits, what it costs, and its launch. */
#include "scan_held.h"

#include <math.h>

vg_scan_block_case vg_held_case(const vg_op *op, vg_dtype dtype)
{
    return (vg_scan_block_case){.cell = op->cell,
                                .forward = vg_scan_is_forward(op),
                                .w = dtype,
                                .units = vg_scan_weight(op).cols,
                                .batch = op->batch};
}

static bool plan_of(const vg_held *held, const vg_device *device, const vg_op *op, vg_dtype dtype,
                    vg_held_plan *out)
{
    const vg_scan_block_case c = vg_held_case(op, dtype);
    return held->plan(&device->chip, &c, out);
}

/* The most units, below those of the scan, that its chip holds so. */
static uint32_t most_units(const vg_held *held, const vg_device *device, const vg_op *op,
                           vg_dtype dtype)
{
    vg_held_plan plan;
    vg_scan_block_case c = vg_held_case(op, dtype);
    c.units = c.units < held->far_too_many ? c.units : held->far_too_many;
    while (--c.units > 0 && !held->plan(&device->chip, &c, &plan)) {
    }
    return c.units;
}

vg_status vg_held_fits(const vg_held *held, const vg_device *device, const vg_op *op,
                       vg_dtype dtype)
{
    vg_held_plan plan;
    const vg_mat weight = vg_scan_weight(op);
    if (plan_of(held, device, op, dtype, &plan))
        return VG_OK;
    VG_FAIL(VG_UNSUPPORTED,
            "%s: cuda.scan=%s holds weight_hh in %s: that of %s with %u units takes %.0f KiB, %u "
            "units are the most here",
            device->name, held->name, held->holder, vg_cell_find(op->cell)->name, weight.cols,
            (double)weight.rows * weight.cols * (double)vg_dtype_size(dtype) / 1024,
            most_units(held, device, op, dtype));
}

double vg_held_cost_s(const vg_held *held, const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    vg_held_plan plan;
    if (!plan_of(held, device, op, dtype, &plan))
        return INFINITY;
    return plan.start_s + (double)(op->t1 - op->t0) * plan.step_s;
}

/* A block, or several that fit, a multiprocessor. */
double vg_held_busy(const vg_held *held, const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    vg_held_plan plan;
    const double chip = device->chip.multiprocessors;
    return plan_of(held, device, op, dtype, &plan) && plan.blocks < chip ? plan.blocks : chip;
}

vg_status vg_held_issue(const vg_held *held, const vg_issue *issue)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_dtype dtype = exec->program->model.dtype, storage = exec->program->storage;
    vg_held_plan plan;
    vg_scan_fwd_args forward;
    vg_scan_bwd_args backward;
    if (!plan_of(held, exec->device, op, dtype, &plan))
        return vg_held_fits(held, exec->device, op, dtype);
    vg_launch launch = {.blocks = plan.blocks,
                        .threads = plan.threads,
                        .cluster = plan.cluster,
                        .shared_bytes = plan.shared_bytes};
    if (vg_scan_is_forward(op)) {
        vg_scan_fwd_arguments(exec, op, &forward);
        forward.slices = plan.slices;
        forward.block_units = plan.block_units;
        launch.kernel = held->forward(op->cell, storage, plan.shape);
        launch.arguments = &forward;
    } else {
        vg_scan_bwd_arguments(exec, op, &backward);
        backward.slices = plan.slices;
        backward.block_units = plan.block_units;
        launch.kernel = held->backward(op->cell, storage, plan.shape);
        launch.arguments = &backward;
    }
    return vg_launch_kernel(exec->device, issue->stream, &launch);
}
