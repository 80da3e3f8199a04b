/* Regime M of a recurrence: one cooperative kernel a scan, its weights held by the whole chip. */
#include "cuda_exec.h"
#include "scan_persistent.h"
#include "scan_rates.h"

#include <stdio.h>
#include <stdlib.h>

/* A scratch window's rows begin on 64 bytes; flags count the steps. */
enum { ROW_FLOATS = 16, REGISTERS = VG_PERSISTENT_THREADS * 256 };
static const uint64_t most_steps = 1u << 24;

static vg_persistent_plan plan_of(const vg_device *device, const vg_op *op, vg_dtype dtype,
                                  uint64_t *needs)
{
    const vg_persistent_chip chip = {device->chip.multiprocessors, device->chip.shared_bytes};
    const vg_persistent_shape shape = {
        .cell = op->cell,
        .backward = !vg_scan_is_forward(op),
        .units = vg_scan_is_forward(op) ? op->scan_fwd.y.cols : op->scan_bwd.y.cols,
        .batch = op->batch,
        .dtype = dtype,
    };
    return vg_persistent_plan_make(chip, shape, needs);
}

static vg_kernel kernel_of(const vg_op *op, vg_dtype dtype, const vg_persistent_plan *plan)
{
    const uint32_t fragments = plan->tiles.fragments;
    const bool forward = vg_scan_is_forward(op), ring = plan->tiles.chunk > 0;
    if (fragments)
        return forward ? vg_scan_persistent_mma_fwd_kernel(op->cell, dtype, fragments)
                       : vg_scan_persistent_mma_bwd_kernel(op->cell, dtype, fragments);
    return forward ? vg_scan_persistent_fwd_kernel(op->cell, dtype, ring)
                   : vg_scan_persistent_bwd_kernel(op->cell, dtype, ring);
}

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    const vg_chip *chip = &device->chip;
    uint64_t needs;
    if (!chip->cooperative)
        VG_FAIL(VG_UNSUPPORTED, "%s: scan=M: the device launches no cooperative kernels",
                device->name);
    if (chip->registers < REGISTERS || chip->threads < VG_PERSISTENT_THREADS)
        VG_FAIL(VG_UNSUPPORTED, "%s: scan=M: needs %u registers a multiprocessor, of %u there",
                device->name, (unsigned)REGISTERS, chip->registers);
    if (op->t1 - op->t0 > most_steps)
        VG_FAIL(VG_UNSUPPORTED, "%s: scan=M: %llu steps: at most %llu", device->name,
                (unsigned long long)(op->t1 - op->t0), (unsigned long long)most_steps);
    if (plan_of(device, op, dtype, &needs).blocks == 0)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: scan=M: too wide: %llu KiB of weights a multiprocessor, which holds %u KiB in "
                "registers and less than %llu KiB in shared memory",
                device->name, (unsigned long long)(needs / 1024),
                (unsigned)(VG_PERSISTENT_THREADS * VG_PERSISTENT_HELD * VG_PERSISTENT_DEEP *
                           sizeof(float) / 1024),
                (unsigned long long)(chip->shared_bytes / 1024));
    return VG_OK;
}

/* Two nodes, the weights' way from device memory, and the steps. */
static double cost_s(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    const vg_mat w = vg_scan_is_forward(op) ? op->scan_fwd.weight_hh : op->scan_bwd.weight_hh;
    const double bytes = (double)w.rows * w.cols * (double)vg_dtype_size(dtype);
    return 2 * VG_GRAPH_NODE_S + bytes / (device->chip.multiprocessors * VG_MEMORY_BYTES_S) +
           (double)(op->t1 - op->t0) * plan_of(device, op, dtype, NULL).step_s;
}

static uint64_t flag_bytes(const vg_persistent_plan *plan)
{
    return (uint64_t)VG_FLAG_COUNT(plan->blocks) * sizeof(uint32_t);
}

static uint32_t carry_ld(const vg_op *op)
{
    return (op->scan_bwd.y.cols + ROW_FLOATS - 1) / ROW_FLOATS * ROW_FLOATS;
}

/* Carries of rows that do not stay in registers. */
static uint64_t carry_floats(const vg_op *op, const vg_persistent_plan *plan)
{
    bool kept = vg_scan_is_forward(op) || plan->tiles.rows <= plan->tiles.tile_rows;
    return kept ? 0 : (uint64_t)op->batch * carry_ld(op);
}

static uint64_t scratch(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    const vg_persistent_plan plan = plan_of(device, op, dtype, NULL);
    return flag_bytes(&plan) + VG_MAX_STATES * carry_floats(op, &plan) * sizeof(float);
}

/* All blocks must be there at once. */
static vg_status launches(vg_device *device, const vg_op *op, vg_dtype dtype, bool *out)
{
    const vg_persistent_plan plan = plan_of(device, op, dtype, NULL);
    const vg_kernel kernel = kernel_of(op, dtype, &plan);
    int each = 0;
    VG_TRY(vg_allow_shared(device, kernel));
    VG_CUDA(device, cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                        &each, kernel.function, (int)plan.threads, plan.shared_bytes));
    *out = (uint64_t)each * device->chip.multiprocessors >= plan.blocks;
    if (!*out)
        (void)vg_fail(VG_UNSUPPORTED, "%s: scan=M: %u blocks of %s: only %llu can be there at once",
                      device->name, plan.blocks, kernel.name,
                      (unsigned long long)each * device->chip.multiprocessors);
    return VG_OK;
}

static vg_status make(vg_exec *exec, const vg_op *op, void **plan)
{
    vg_persistent_plan *made = malloc(sizeof *made);
    if (!made)
        VG_FAIL(VG_NO_MEMORY, "no memory for the plan of a scan");
    *made = plan_of(exec->device, op, exec->program->model.dtype, NULL);
    *plan = made;
    return VG_OK;
}

static vg_status launch(const vg_issue *issue, const vg_persistent_plan *plan,
                        const void *arguments)
{
    vg_exec *exec = issue->exec;
    const vg_launch launch = {.kernel = kernel_of(issue->op, exec->program->model.dtype, plan),
                              .blocks = plan->blocks,
                              .threads = plan->threads,
                              .shared_bytes = plan->shared_bytes,
                              .kind = VG_LAUNCH_COOPERATIVE,
                              .arguments = arguments};
    return vg_launch_kernel(exec->device, issue->stream, &launch);
}

static vg_status issue_scan(const vg_issue *issue, void *made)
{
    const vg_persistent_plan *plan = made;
    const vg_op *op = issue->op;
    uint32_t *flags = (uint32_t *)(void *)issue->scratch;
    VG_CUDA(issue->exec->device, cudaMemsetAsync(flags, 0, flag_bytes(plan), issue->stream));
    if (vg_scan_is_forward(op)) {
        vg_scan_fwd_args args;
        vg_scan_fwd_arguments(issue->exec, op, &args);
        args.flags = flags;
        args.tiles = plan->tiles;
        return launch(issue, plan, &args);
    }
    vg_scan_bwd_args args;
    vg_scan_bwd_arguments(issue->exec, op, &args);
    args.flags = flags;
    args.tiles = plan->tiles;
    const uint64_t floats = carry_floats(op, plan);
    float *carry = (float *)(void *)(issue->scratch + flag_bytes(plan));
    for (int i = 0; floats && i < VG_MAX_STATES; i++, carry += floats)
        args.carry[i] = (vg_window){carry, op->batch, op->scan_bwd.y.cols, carry_ld(op)};
    return launch(issue, plan, &args);
}

/* The flags' zeros, and the kernel. */
static uint64_t nodes(const vg_op *op)
{
    (void)op;
    return 2;
}

static void words(const vg_device *device, const vg_op *op, vg_dtype dtype, char *out, size_t size)
{
    const vg_persistent_plan plan = plan_of(device, op, dtype, NULL);
    const vg_persistent_tiles *t = &plan.tiles;
    const char *weights = t->held == t->steps ? "registers"
                          : t->held           ? "registers+shared"
                                              : "shared";
    snprintf(out, size, "%sblocks=%u units=%u rows=%u weights=%s",
             t->fragments ? "product=mma " : "", plan.blocks, t->units, t->rows, weights);
}

const vg_scan_regime vg_scan_m = {
    .regime = VG_REGIME_M,
    .name = "M",
    .fits = fits,
    .launches = launches,
    .cost_s = cost_s,
    .scratch = scratch,
    .make = make,
    .release = free,
    .issue = issue_scan,
    .nodes = nodes,
    .words = words,
};
