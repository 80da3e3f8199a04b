/* Dense layers: a product of the library, and where its epilogue cannot say it all, a kernel of our
 * own before or after. */
#include "cuda_exec.h"
#include "dense_kernels.h"
#include "whole_numbers.h"

/* A scratch window's rows begin on 64 bytes. */
enum { ROW_FLOATS = 16 };

static vg_status launch(const vg_issue *issue, vg_kernel kernel, uint64_t items,
                        const void *arguments)
{
    vg_device *device = issue->exec->device;
    return vg_launch_kernel(device, issue->stream,
                            &(vg_launch){.kernel = kernel,
                                         .blocks = vg_blocks_for(device, items, kernel.threads),
                                         .threads = kernel.threads,
                                         .arguments = arguments});
}

/* Forward. */

static bool has_skip(const vg_op *op)
{
    return op->dense_fwd.skip.rows > 0;
}

/* Whether the product, in fp32, can be written where y stands. */
static bool in_place(const vg_op *op)
{
    return op->dense_fwd.y.dtype == VG_FP32 && op->pieces == 1;
}

static uint64_t z_ld(const vg_op *op)
{
    return in_place(op) ? op->dense_fwd.y.ld : vg_round_up(op->dense_fwd.weight.rows, ROW_FLOATS);
}

static vg_status fwd_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    const vg_mat *mats[] = {&d->x, &d->weight, &d->bias, in_place(op) ? &d->y : &d->x};
    vg_gemm_shape shape = {.m = d->x.rows,
                           .n = d->weight.rows,
                           .k = d->x.cols,
                           .lda = d->x.ld,
                           .ldb = d->weight.ld,
                           .ldd = z_ld(op),
                           .transpose_b = true,
                           .tf32 = exec->program->model.dtype == VG_TF32,
                           .ab = d->x.dtype,
                           .d = VG_FP32,
                           .alignment = vg_exec_alignment(mats, 4)};
    const bool relu = op->activation == VG_relu && exec->device->traits.relu_keeps_nan;
    out->kernel = false;
    if (in_place(op) && !has_skip(op) && (op->activation == VG_identity || relu)) {
        shape.epilogue = relu ? VG_GEMM_BIAS_RELU : VG_GEMM_BIAS;
        vg_status status = vg_exec_gemm(exec, &shape, &out->gemm);
        if (status != VG_UNSUPPORTED)
            return status;
        shape.epilogue = VG_GEMM_PLAIN;
    }
    out->kernel = true;
    return vg_exec_gemm(exec, &shape, &out->gemm);
}

static vg_status fwd_issue(const vg_issue *issue)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_dense_fwd *d = &op->dense_fwd;
    void *z = in_place(op) ? vg_exec_at(exec, d->y) : issue->scratch;
    VG_TRY(vg_gemm_issue(issue->prepared->gemm, issue->stream, issue->work, vg_exec_at(exec, d->x),
                         vg_exec_at(exec, d->weight), NULL, z, vg_exec_at(exec, d->bias)));
    if (!issue->prepared->kernel)
        return VG_OK;
    const vg_epilogue_args args = {
        .z = {z, d->x.rows, (uint32_t)d->weight.rows, (uint32_t)z_ld(op)},
        .bias = vg_exec_window(exec, d->bias),
        .skip = vg_exec_window(exec, d->skip),
        .a = vg_exec_window(exec, d->a),
        .y = vg_exec_window(exec, d->y),
        .winner = vg_exec_window(exec, d->winner),
        .activation = op->activation,
        .alpha = (float)op->alpha,
        .pieces = op->pieces,
    };
    return launch(issue, vg_epilogue_kernel(d->y.dtype), d->y.rows * d->y.cols, &args);
}

/* Backward by the data. */

static vg_status data_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out)
{
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    const vg_mat *mats[] = {&d->dz, &d->weight, &d->dx, &d->dy};
    const vg_gemm_shape shape = {.m = d->dz.rows,
                                 .n = d->weight.cols,
                                 .k = d->dz.cols,
                                 .lda = d->dz.ld,
                                 .ldb = d->weight.ld,
                                 .ldc = d->residual ? d->dy.ld : 0,
                                 .ldd = d->dx.ld,
                                 .adds = d->residual,
                                 .tf32 = exec->program->model.dtype == VG_TF32,
                                 .ab = d->dz.dtype,
                                 .c = d->dy.dtype,
                                 .d = d->dx.dtype,
                                 .alignment = vg_exec_alignment(mats, 4)};
    out->kernel = op->activation != VG_identity;
    return vg_exec_gemm(exec, &shape, &out->gemm);
}

static vg_status data_issue(const vg_issue *issue)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    if (issue->prepared->kernel) {
        const vg_derivative_args args = {
            .dy = vg_exec_window(exec, d->dy),
            .a = vg_exec_window(exec, d->a),
            .winner = vg_exec_window(exec, d->winner),
            .dz = vg_exec_window(exec, d->dz),
            .activation = op->activation,
            .alpha = (float)op->alpha,
            .pieces = op->pieces,
        };
        VG_TRY(launch(issue, vg_derivative_kernel(d->dz.dtype), d->dy.rows * d->dy.cols, &args));
    }
    return vg_gemm_issue(issue->prepared->gemm, issue->stream, issue->work, vg_exec_at(exec, d->dz),
                         vg_exec_at(exec, d->weight), vg_exec_at(exec, d->dy),
                         vg_exec_at(exec, d->dx), NULL);
}

/* Backward by the weights. */

static uint64_t sum_parts(const vg_op *op)
{
    const uint64_t rows = op->dense_bwd_weights.dz.rows, each = vg_column_sums_rows(rows);
    return (rows + each - 1) / each;
}

static uint64_t sum_ld(const vg_op *op)
{
    return vg_round_up(op->dense_bwd_weights.dz.cols, ROW_FLOATS);
}

static vg_status weights_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out)
{
    const vg_dense_bwd_weights *d = &op->dense_bwd_weights;
    const vg_mat *mats[] = {&d->dz, &d->x, &d->dweight, &d->dbias};
    vg_gemm_shape shape = {.m = d->dz.cols,
                           .n = d->x.cols,
                           .k = d->dz.rows,
                           .lda = d->dz.ld,
                           .ldb = d->x.ld,
                           .ldd = d->dweight.ld,
                           .transpose_a = true,
                           .tf32 = exec->program->model.dtype == VG_TF32,
                           .ab = d->dz.dtype,
                           .d = d->dweight.dtype,
                           .epilogue = VG_GEMM_SUM_A,
                           .alignment = vg_exec_alignment(mats, 4)};
    out->kernel = false;
    /* With tf32 the library's sums would be of rounded numbers. */
    if (!shape.tf32) {
        vg_status status = vg_exec_gemm(exec, &shape, &out->gemm);
        if (status != VG_UNSUPPORTED)
            return status;
    }
    shape.epilogue = VG_GEMM_PLAIN;
    out->kernel = true;
    return vg_exec_gemm(exec, &shape, &out->gemm);
}

static vg_status weights_issue(const vg_issue *issue)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_dense_bwd_weights *d = &op->dense_bwd_weights;
    VG_TRY(vg_gemm_issue(issue->prepared->gemm, issue->stream, issue->work, vg_exec_at(exec, d->dz),
                         vg_exec_at(exec, d->x), NULL, vg_exec_at(exec, d->dweight),
                         vg_exec_at(exec, d->dbias)));
    if (!issue->prepared->kernel)
        return VG_OK;
    vg_column_sums_args args = {.dz = vg_exec_window(exec, d->dz),
                                .sums = vg_exec_window(exec, d->dbias)};
    const uint64_t parts = sum_parts(op);
    if (parts > 1)
        args.parts = (vg_window){issue->scratch, parts, d->dz.cols, (uint32_t)sum_ld(op)};
    const vg_kernel sum = vg_column_sums_kernel(d->dz.dtype), add = vg_column_sums_add_kernel();
    VG_TRY(launch(issue, sum, parts * d->dz.cols, &args));
    return parts > 1 ? launch(issue, add, d->dz.cols, &args) : VG_OK;
}

/* All three. */

uint64_t vg_dense_scratch(const vg_op *op)
{
    switch (op->kind) {
    case VG_DENSE_FWD: return in_place(op) ? 0 : op->dense_fwd.x.rows * z_ld(op) * sizeof(float);
    case VG_DENSE_BWD_WEIGHTS:
        return sum_parts(op) > 1 ? sum_parts(op) * sum_ld(op) * sizeof(float) : 0;
    default: return 0;
    }
}

vg_status vg_dense_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out)
{
    switch (op->kind) {
    case VG_DENSE_FWD: return fwd_prepare(exec, op, out);
    case VG_DENSE_BWD_DATA: return data_prepare(exec, op, out);
    default: return weights_prepare(exec, op, out);
    }
}

vg_status vg_dense_issue(const vg_issue *issue)
{
    switch (issue->op->kind) {
    case VG_DENSE_FWD: return fwd_issue(issue);
    case VG_DENSE_BWD_DATA: return data_issue(issue);
    default: return weights_issue(issue);
    }
}
