/* Regime L of a recurrence: a product of the library and one kernel a step. It takes any size, and
 * wins where a step's product is large enough to hide two launches. */
#include "cuda_exec.h"
#include "scan_rates.h"
#include "whole_numbers.h"

#include <stdlib.h>

/* A scratch window's rows begin on 64 bytes. */
enum { ROW_FLOATS = 16 };

/* Columns of a step's product: [B, G·H] forward, [B, H] back. */
static uint64_t product_cols(const vg_op *op)
{
    return vg_scan_is_forward(op) ? vg_scan_weight(op).rows : vg_scan_weight(op).cols;
}

static uint64_t steps_of(const vg_op *op)
{
    return op->t1 - op->t0;
}

static vg_status fits(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    (void)device, (void)op, (void)dtype;
    return VG_OK;
}

/* Two nodes of a graph, and as much as one again until a product's first tile is loaded; and the
 * weights from the second level of cache, or the multiply-adds. */
static double cost_s(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    const double chip = device->chip.multiprocessors;
    const double weights = (double)vg_scan_weight(op).rows * vg_scan_weight(op).cols;
    const double bytes_s = weights * (double)vg_dtype_size(dtype) / (chip * VG_LOAD_BYTES_S);
    const double flop_s = weights * op->batch / (chip * vg_product_rate(dtype));
    return (double)steps_of(op) * (3 * VG_GRAPH_NODE_S + (bytes_s > flop_s ? bytes_s : flop_s));
}

/* The product, and backward what comes back into the states. */
static uint64_t product_floats(const vg_op *op)
{
    return op->batch * vg_round_up(product_cols(op), ROW_FLOATS);
}

static uint64_t carry_floats(const vg_op *op)
{
    return op->batch * vg_round_up(vg_scan_weight(op).cols, ROW_FLOATS);
}

static uint64_t scratch(const vg_device *device, const vg_op *op, vg_dtype dtype)
{
    (void)device, (void)dtype;
    const uint64_t carries = vg_scan_is_forward(op) ? 0 : VG_MAX_STATES * carry_floats(op);
    return (product_floats(op) + carries) * sizeof(float);
}

/* The plan is the product that all steps share. */
static vg_status make(vg_exec *exec, const vg_op *op, void **plan)
{
    const vg_mat weight = vg_scan_weight(op);
    const vg_mat from = vg_scan_is_forward(op) ? op->scan_fwd.y : op->scan_bwd.dgates_h;
    const vg_mat step = vg_mat_rows(from, op->batch, 2); /* a step's rows begin where these do */
    const vg_mat *mats[] = {&from, &step, &weight};
    const vg_gemm_shape shape = {.m = op->batch,
                                 .n = product_cols(op),
                                 .k = vg_scan_is_forward(op) ? weight.cols : weight.rows,
                                 .lda = from.ld,
                                 .ldb = weight.ld,
                                 .ldd = vg_round_up(product_cols(op), ROW_FLOATS),
                                 .transpose_b = vg_scan_is_forward(op),
                                 .tf32 = exec->program->model.dtype == VG_TF32,
                                 .ab = weight.dtype,
                                 .d = VG_FP32,
                                 .alignment = vg_exec_alignment(mats, 3)};
    const vg_gemm *gemm;
    const vg_gemm **made = malloc(sizeof *made);
    if (!made)
        VG_FAIL(VG_NO_MEMORY, "no memory for the plan of a scan");
    vg_status status = vg_exec_gemm(exec, &shape, &gemm);
    if (status != VG_OK) {
        free(made);
        return status;
    }
    *made = gemm;
    *plan = made;
    return VG_OK;
}

static vg_window product_window(const vg_issue *issue)
{
    const uint64_t cols = product_cols(issue->op);
    return (vg_window){issue->scratch, issue->op->batch, (uint32_t)cols,
                       (uint32_t)vg_round_up(cols, ROW_FLOATS)};
}

static vg_status product(const vg_issue *issue, const vg_gemm *gemm, const void *rows)
{
    return vg_gemm_issue(gemm, issue->stream, issue->work, rows,
                         vg_exec_at(issue->exec, vg_scan_weight(issue->op)), NULL, issue->scratch,
                         NULL);
}

static vg_status launch(const vg_issue *issue, vg_kernel kernel, const void *arguments)
{
    vg_device *device = issue->exec->device;
    const uint64_t items = (uint64_t)issue->op->batch * vg_scan_weight(issue->op).cols;
    return vg_launch_kernel(device, issue->stream,
                            &(vg_launch){.kernel = kernel,
                                         .blocks = vg_blocks_for(device, items, kernel.threads),
                                         .threads = kernel.threads,
                                         .arguments = arguments});
}

/* Row t·B + b of a window of all steps; -1 of y: the initial state. */
static const unsigned char *step_rows(const vg_exec *exec, vg_mat m, uint64_t t, uint32_t batch)
{
    return (const unsigned char *)vg_exec_at(exec, m) + t * batch * m.ld * vg_dtype_size(m.dtype);
}

static vg_status forward(const vg_issue *issue, const vg_gemm *gemm)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_mat y = op->scan_fwd.y;
    const vg_kernel kernel = vg_scan_step_fwd_kernel(op->cell, exec->program->storage);
    vg_scan_fwd_args args;
    vg_scan_fwd_arguments(exec, op, &args);
    args.product = product_window(issue);
    const uint64_t step_bytes = op->batch * y.ld * vg_dtype_size(y.dtype);
    for (uint64_t t = op->t0; t < op->t1; t++) {
        args.t0 = t;
        VG_TRY(product(issue, gemm, step_rows(exec, y, t, op->batch) - step_bytes));
        VG_TRY(launch(issue, kernel, &args));
    }
    return VG_OK;
}

static vg_status backward(const vg_issue *issue, const vg_gemm *gemm)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_kernel kernel = vg_scan_step_bwd_kernel(op->cell, exec->program->storage);
    const uint32_t units = vg_scan_weight(op).cols, ld = (uint32_t)vg_round_up(units, ROW_FLOATS);
    vg_scan_bwd_args args;
    vg_scan_bwd_arguments(exec, op, &args);
    float *carry = (float *)(void *)issue->scratch + product_floats(op);
    for (int i = 0; i < VG_MAX_STATES; i++, carry += carry_floats(op))
        args.carry[i] = (vg_window){carry, op->batch, units, ld};
    for (uint64_t t = op->t1; t > op->t0; t--) {
        args.step = t - 1;
        VG_TRY(launch(issue, kernel, &args));
        VG_TRY(product(issue, gemm, step_rows(exec, op->scan_bwd.dgates_h, t - 1, op->batch)));
        args.product = product_window(issue);
    }
    args.step = op->t0 - 1;
    return launch(issue, kernel, &args);
}

static vg_status issue_scan(const vg_issue *issue, void *plan)
{
    const vg_gemm *gemm = *(const vg_gemm **)plan;
    return vg_scan_is_forward(issue->op) ? forward(issue, gemm) : backward(issue, gemm);
}

/* The library may split a product in two, and add it up. */
static uint64_t nodes(const vg_op *op)
{
    return 3 * steps_of(op) + 1;
}

static void words(const vg_device *device, const vg_op *op, vg_dtype dtype, char *out, size_t size)
{
    (void)device, (void)op, (void)dtype;
    if (size)
        out[0] = 0;
}

const vg_scan_regime vg_scan_l = {
    .regime = VG_REGIME_L,
    .name = "L",
    .fits = fits,
    .cost_s = cost_s,
    .scratch = scratch,
    .make = make,
    .release = free,
    .issue = issue_scan,
    .nodes = nodes,
    .words = words,
};
