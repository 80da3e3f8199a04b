/* Which layers of a stack are one kernel, and their launch. */
#include "cuda_stack.h"

#include "cuda_exec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGISTERS = VG_STACK_THREADS * 255 };

/* Which ops follow each other. */

static const vg_mat *weight_of(const vg_op *op)
{
    return op->kind == VG_DENSE_FWD ? &op->dense_fwd.weight : &op->dense_bwd_data.weight;
}
static const vg_mat *in_of(const vg_op *op)
{
    return op->kind == VG_DENSE_FWD ? &op->dense_fwd.x : &op->dense_bwd_data.dy;
}
static const vg_mat *out_of(const vg_op *op)
{
    return op->kind == VG_DENSE_FWD ? &op->dense_fwd.y : &op->dense_bwd_data.dx;
}

static bool same_form(const vg_mat *a, const vg_mat *b)
{
    return a->rows == b->rows && a->cols == b->cols && a->ld == b->ld && a->dtype == b->dtype;
}

/* Why a layer cannot be in a run; null: it can. */
static const char *why_not(const vg_program *program, const vg_op *op)
{
    const vg_mat *weight = weight_of(op), *in = in_of(op), *out = out_of(op);
    if (program->model.dtype != VG_FP32)
        return "products in fp32 alone";
    if (op->pieces != 1)
        return "no maxout";
    if (weight->rows != weight->cols || in->rows > UINT32_MAX)
        return "layers as wide as their input alone";
    if (!same_form(in, out))
        return "layers whose windows are alike";
    if (op->kind == VG_DENSE_FWD && op->dense_fwd.skip.rows &&
        (!same_form(&op->dense_fwd.skip, in) || !same_form(&op->dense_fwd.a, in)))
        return "layers whose windows are alike";
    if (op->kind == VG_DENSE_BWD_DATA &&
        (!same_form(&op->dense_bwd_data.dz, in) || !same_form(&op->dense_bwd_data.a, in)))
        return "layers whose windows are alike";
    return NULL;
}

static bool follows(const vg_op *op, const vg_op *before)
{
    return op->kind == before->kind && op->pass == before->pass &&
           in_of(op)->at == out_of(before)->at && same_form(in_of(op), out_of(before)) &&
           same_form(weight_of(op), weight_of(before));
}

static bool may_begin(const vg_op *op)
{
    return (op->kind == VG_DENSE_FWD && op->pass == VG_PASS_FWD) ||
           (op->kind == VG_DENSE_BWD_DATA && op->pass == VG_PASS_BWD_DATA);
}

/* How many ops from `first` on are a run; 0, and the reason in *why, where that one cannot be. */
static uint32_t run_length(const vg_program *program, uint32_t first, const char **why)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < program->op_count && count < VG_STACK_LAYERS; i++, count++) {
        if (count && !follows(&program->ops[i], &program->ops[i - 1]))
            break;
        const char *reason = why_not(program, &program->ops[i]);
        if (reason && count == 0)
            *why = reason;
        if (reason)
            break;
    }
    return count;
}

/* Whether a run is one kernel. */

static vg_stack_shape shape_of(const vg_program *program, const vg_stack_run *run)
{
    const vg_op *op = &program->ops[run->first];
    return (vg_stack_shape){in_of(op)->cols, (uint32_t)in_of(op)->rows};
}

static vg_persistent_chip chip_of(const vg_device *device)
{
    return (vg_persistent_chip){device->chip.multiprocessors, device->chip.shared_bytes};
}

static vg_kernel kernel_of(const vg_stack_run *run)
{
    return run->backward ? vg_stack_bwd_kernel(run->plan.at_once)
                         : vg_stack_fwd_kernel(run->plan.at_once);
}

/* Whether the device, asked, has all blocks there at once; the reason is set where it has not. */
static vg_status launches(vg_device *device, const vg_stack_run *run, bool *out)
{
    const vg_kernel kernel = kernel_of(run);
    int each = 0;
    VG_TRY(vg_allow_shared(device, kernel));
    VG_CUDA(device, cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                        &each, kernel.function, (int)run->plan.threads, run->plan.shared_bytes));
    *out = (uint64_t)each * device->chip.multiprocessors >= run->plan.blocks;
    if (!*out)
        (void)vg_fail(VG_UNSUPPORTED,
                      "%s: cuda.stack=persistent: %u blocks of %s: only %llu can be there at once",
                      device->name, run->plan.blocks, kernel.name,
                      (unsigned long long)each * device->chip.multiprocessors);
    return VG_OK;
}

static vg_status can_run(vg_device *device, vg_stack_shape shape, vg_stack_run *run, bool *out)
{
    *out = false;
    if (!device->chip.cooperative || device->chip.registers < REGISTERS) {
        (void)vg_fail(VG_UNSUPPORTED,
                      "%s: cuda.stack=persistent needs cooperative kernels and %u registers a "
                      "multiprocessor",
                      device->name, (unsigned)REGISTERS);
        return VG_OK;
    }
    run->plan = vg_stack_plan_make(chip_of(device), shape);
    if (run->plan.blocks == 0) {
        (void)vg_fail(VG_UNSUPPORTED,
                      "%s: cuda.stack=persistent: too large: %u units of %u rows, with the weights "
                      "of two layers in %u multiprocessors of %llu KiB",
                      device->name, shape.units, shape.batch, device->chip.multiprocessors,
                      (unsigned long long)(device->chip.shared_bytes / 1024));
        return VG_OK;
    }
    return launches(device, run, out);
}

/* In a graph the weights' gradients run beside the chain; after a kernel that takes the whole chip
 * they come by themselves, a product each. */
static bool is_faster(const vg_device *device, const vg_program *program, vg_stack_shape shape,
                      const vg_stack_run *run)
{
    const vg_activation activation = program->ops[run->first].activation;
    const bool plain = activation == VG_identity || (!run->backward && activation == VG_relu);
    const double kernel = vg_stack_kernel_s(&run->plan, run->count);
    const double chain = vg_stack_graph_s(chip_of(device), shape, run->count, plain ? 0 : 1);
    const double weights =
        run->backward ? vg_stack_graph_s(chip_of(device), shape, run->count, 0) : 0;
    return kernel + weights < (chain > weights ? chain : weights);
}

static vg_status choose(vg_device *device, const vg_program *program, vg_stack_run *run)
{
    const vg_stack_shape shape = shape_of(program, run);
    bool can = false;
    if (device->stack == VG_STACK_GRAPH)
        return VG_OK;
    VG_TRY(can_run(device, shape, run, &can));
    if (device->stack == VG_STACK_PERSISTENT && !can)
        return VG_UNSUPPORTED;
    run->fused = can && (device->stack == VG_STACK_PERSISTENT ||
                         (run->count > 1 && is_faster(device, program, shape, run)));
    return VG_OK;
}

/* All of them. */

static uint64_t flag_bytes(const vg_stack_run *run)
{
    return (uint64_t)VG_FLAG_COUNT(run->plan.blocks) * sizeof(uint32_t);
}

/* Backward one more stands before the layers. */
static uint32_t record_count(const vg_stack_run *run)
{
    return run->count + run->backward;
}

static vg_status add_run(vg_device *device, const vg_program *program, vg_stack_run run,
                         vg_stack_runs *runs)
{
    VG_TRY(choose(device, program, &run));
    if (run.fused) {
        run.records_at = runs->table_bytes;
        runs->table_bytes += record_count(&run) * sizeof(vg_stack_layer);
        if (flag_bytes(&run) > runs->scratch)
            runs->scratch = flag_bytes(&run);
    }
    vg_stack_run *grown = realloc(runs->at, (runs->count + 1u) * sizeof *grown);
    if (!grown)
        VG_FAIL(VG_NO_MEMORY, "no memory for the runs of a stack");
    runs->at = grown;
    runs->at[runs->count++] = run;
    return VG_OK;
}

static vg_status find_runs(vg_device *device, const vg_program *program, vg_stack_runs *runs)
{
    const char *why = "a stack alone";
    for (uint32_t i = 0; program->model.kind == VG_stack && i < program->op_count;) {
        const uint32_t count = may_begin(&program->ops[i]) ? run_length(program, i, &why) : 0;
        if (count)
            VG_TRY(add_run(device, program,
                           (vg_stack_run){.first = i,
                                          .count = count,
                                          .backward = program->ops[i].kind == VG_DENSE_BWD_DATA},
                           runs));
        i += count ? count : 1;
    }
    if (device->stack == VG_STACK_PERSISTENT && program->model.kind == VG_stack && !runs->count)
        VG_FAIL(VG_UNSUPPORTED, "%s: cuda.stack=persistent takes %s", device->name, why);
    return VG_OK;
}

vg_status vg_stack_find(vg_device *device, const vg_program *program, vg_stack_runs *out)
{
    *out = (vg_stack_runs){0};
    vg_status status = find_runs(device, program, out);
    if (status != VG_OK)
        vg_stack_free(out);
    return status;
}

void vg_stack_free(vg_stack_runs *runs)
{
    free(runs->at);
    *runs = (vg_stack_runs){0};
}

/* The records. */

static vg_stack_layer forward_layer(const vg_exec *exec, const vg_op *op)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    return (vg_stack_layer){.weight = vg_exec_at(exec, d->weight),
                            .bias = vg_exec_at(exec, d->bias),
                            .operand = vg_exec_at(exec, d->x),
                            .skip = vg_exec_at(exec, d->skip),
                            .out = vg_exec_at(exec, d->y),
                            .a = vg_exec_at(exec, d->a),
                            .activation = op->activation,
                            .alpha = (float)op->alpha};
}

/* What comes out of one op (null: of the loss) is the dy of `next` (null: the last). */
static vg_stack_layer backward_layer(const vg_exec *exec, const vg_op *op, const vg_op *next)
{
    vg_stack_layer layer = {.activation = VG_identity};
    if (op) {
        const vg_dense_bwd_data *d = &op->dense_bwd_data;
        layer.weight = vg_exec_at(exec, d->weight);
        layer.operand = vg_exec_at(exec, d->dz);
        layer.skip = d->residual ? vg_exec_at(exec, d->dy) : NULL;
        layer.out = vg_exec_at(exec, d->dx);
    }
    if (!next)
        return layer;
    const vg_dense_bwd_data *n = &next->dense_bwd_data;
    layer.out = vg_exec_at(exec, n->dy);
    if (n->dz.at == n->dy.at)
        return layer;
    layer.a = vg_exec_at(exec, n->a);
    layer.dz = vg_exec_at(exec, n->dz);
    layer.activation = next->activation;
    layer.alpha = (float)next->alpha;
    return layer;
}

static void fill_records(const vg_exec *exec, const vg_stack_run *run, vg_stack_layer *out)
{
    const vg_op *ops = &exec->program->ops[run->first];
    if (run->backward)
        *out++ = backward_layer(exec, NULL, ops);
    for (uint32_t i = 0; i < run->count; i++)
        out[i] = run->backward
                     ? backward_layer(exec, &ops[i], i + 1 < run->count ? &ops[i + 1] : NULL)
                     : forward_layer(exec, &ops[i]);
}

vg_status vg_stack_load(vg_exec *exec)
{
    static_assert((VG_STACK_LAYERS + 1) * sizeof(vg_stack_layer) <= VG_STAGING_BYTES, "a run's");
    vg_device *device = exec->device;
    for (uint32_t i = 0; i < exec->runs.count; i++) {
        const vg_stack_run *run = &exec->runs.at[i];
        if (!run->fused)
            continue;
        fill_records(exec, run, (vg_stack_layer *)(void *)exec->staging);
        VG_CUDA(device, cudaMemcpyAsync(exec->stack_table + run->records_at, exec->staging,
                                        record_count(run) * sizeof(vg_stack_layer),
                                        cudaMemcpyHostToDevice, device->stream));
        VG_CUDA(device, cudaStreamSynchronize(device->stream));
    }
    return VG_OK;
}

/* Running. */

const vg_stack_run *vg_stack_of(const vg_exec *exec, const vg_op *op)
{
    const uint32_t number = (uint32_t)(op - exec->program->ops);
    for (uint32_t i = 0; i < exec->runs.count; i++) {
        const vg_stack_run *run = &exec->runs.at[i];
        if (run->fused && number >= run->first && number - run->first < run->count)
            return run;
    }
    return NULL;
}

static bool is_first(const vg_exec *exec, const vg_op *op, const vg_stack_run *run)
{
    return op == &exec->program->ops[run->first];
}

vg_status vg_stack_issue(const struct vg_issue *issue, const vg_stack_run *run)
{
    const vg_exec *exec = issue->exec;
    if (!is_first(exec, issue->op, run))
        return VG_OK;
    const vg_stack_shape shape = shape_of(exec->program, run);
    const vg_stack_args args = {
        .layers = (const vg_stack_layer *)(const void *)(exec->stack_table + run->records_at),
        .count = run->count,
        .batch = shape.batch,
        .units = shape.units,
        .ld = in_of(issue->op)->ld,
        .weight_ld = weight_of(issue->op)->ld,
        .stages = run->plan.stages,
        .flags = (uint32_t *)(void *)issue->scratch,
        .tiles = run->plan.tiles,
    };
    VG_CUDA(exec->device, cudaMemsetAsync(args.flags, 0, flag_bytes(run), issue->stream));
    return vg_launch_kernel(exec->device, issue->stream,
                            &(vg_launch){.kernel = kernel_of(run),
                                         .blocks = run->plan.blocks,
                                         .threads = run->plan.threads,
                                         .shared_bytes = run->plan.shared_bytes,
                                         .kind = VG_LAUNCH_COOPERATIVE,
                                         .arguments = &args});
}

uint64_t vg_stack_nodes(const vg_exec *exec, const vg_op *op, const vg_stack_run *run)
{
    return is_first(exec, op, run) ? 2 : 0; /* the flags' zeros, and the kernel */
}

/* In words. */

static void run_words(const vg_exec *exec, bool backward, char *out, size_t size)
{
    const vg_stack_run *longest = NULL;
    for (uint32_t i = 0; i < exec->runs.count; i++) {
        const vg_stack_run *run = &exec->runs.at[i];
        if (run->backward == backward && (!longest || run->count > longest->count))
            longest = run;
    }
    if (!longest)
        snprintf(out, size, "none");
    else if (!longest->fused)
        snprintf(out, size, "graph");
    else
        snprintf(out, size, "persistent blocks=%u units=%u rows=%u", longest->plan.blocks,
                 longest->plan.tiles.units, longest->plan.tiles.rows);
}

void vg_stack_words(const vg_exec *exec, char *out, size_t size)
{
    char forward[80], backward[80];
    out[0] = 0;
    if (exec->runs.count == 0)
        return;
    run_words(exec, false, forward, sizeof forward);
    run_words(exec, true, backward, sizeof backward);
    const bool differ = strcmp(forward, backward) != 0;
    snprintf(out, size, " stack=%s%s%s", forward, differ ? " back=" : "", differ ? backward : "");
}
