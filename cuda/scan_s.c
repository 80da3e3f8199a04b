/* Regime S of a recurrence: one launch a scan, a block some batch rows, the weights in its
 * multiprocessor. Nothing is waited for but the block itself, so a step takes as long as the
 * product from registers and shared memory; it ends where the weights no longer fit. */
#include "scan_held.h"

#include <stdio.h>

static bool plan(const vg_chip *chip, const vg_scan_block_case *c, vg_held_plan *out)
{
    vg_scan_block_plan p;
    if (!vg_scan_block_plan_make(chip, c, &p))
        return false;
    *out = (vg_held_plan){.shape = p.shape,
                          .threads = p.threads,
                          .slices = p.slices,
                          .blocks = p.blocks,
                          .shared_bytes = p.shared_bytes,
                          .start_s = p.start_s,
                          .step_s = p.step_s};
    return true;
}

static const vg_held held = {
    .name = "S",
    .holder = "one multiprocessor",
    .far_too_many = 1024,
    .plan = plan,
    .forward = vg_scan_block_fwd_kernel,
    .backward = vg_scan_block_bwd_kernel,
};

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
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
    vg_scan_block_plan p;
    const vg_scan_block_case c = vg_held_case(op, dtype);
    if (size)
        out[0] = 0;
    if (vg_scan_block_plan_make(&device->chip, &c, &p))
        snprintf(out, size, "threads=%u slices=%u rows=%u registers=%u/%u", p.threads, p.slices,
                 p.rows, p.kept, p.pieces);
}

const vg_scan_regime vg_scan_s = {
    .regime = VG_REGIME_S,
    .name = "S",
    .fits = fits,
    .cost_s = cost_s,
    .busy = busy,
    .issue = issue_scan,
    .words = words,
};
