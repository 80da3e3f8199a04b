/* The ops that look at signals, as launches of the kernels of reduce.cu. */
#include "cuda_exec.h"
#include "reduce_kernels.h"

enum { WARP_THREADS = 32, SCALE_BYTES = 64 };

static uint64_t parts_each(uint64_t segment_rows, uint32_t cols)
{
    const uint64_t rows = vg_reduce_part_rows(segment_rows, cols);
    return (segment_rows + rows - 1) / rows;
}

static uint64_t segments_of(vg_mat m, uint64_t segment_rows)
{
    return (m.rows + segment_rows - 1) / segment_rows;
}

/* Bytes of so many partial results, the next thing aligned. */
static uint64_t parts_bytes(uint64_t parts)
{
    return (parts * vg_reduce_part_bytes() + 63) / 64 * 64;
}

static vg_status launch(const vg_issue *issue, vg_kernel kernel, uint64_t blocks,
                        const void *arguments)
{
    return vg_launch_kernel(
        issue->exec->device, issue->stream,
        &(vg_launch){
            .kernel = kernel, .blocks = blocks, .threads = kernel.threads, .arguments = arguments});
}

/* A warp takes a part. */
static vg_status launch_parts(const vg_issue *issue, vg_kernel kernel, uint64_t parts,
                              const void *arguments)
{
    const uint64_t blocks =
        vg_blocks_for(issue->exec->device, parts, kernel.threads / WARP_THREADS);
    return launch(issue, kernel, blocks, arguments);
}

/* A block joins a segment. */
static vg_status launch_join(const vg_issue *issue, vg_kernel kernel, uint64_t segments,
                             const void *arguments)
{
    return launch(issue, kernel, vg_blocks_for(issue->exec->device, segments, 1), arguments);
}

/* LOSS. */

static vg_status loss_issue(const vg_issue *issue)
{
    const vg_exec *exec = issue->exec;
    const vg_op *op = issue->op;
    const vg_loss_op *l = &op->loss;
    const vg_loss_args args = {.y = vg_exec_window(exec, l->y),
                               .target = vg_exec_window(exec, l->target),
                               .dy = vg_exec_window(exec, l->dy),
                               .loss = l->loss,
                               .divisor = l->divisor,
                               .parts_each = parts_each(l->y.rows, l->y.cols),
                               .parts = issue->scratch,
                               .slots = exec->slots,
                               .slot = op->slot};
    VG_TRY(launch_parts(issue, vg_loss_kernel(l->y.dtype), args.parts_each, &args));
    return op->slot == VG_NO_SLOT ? VG_OK : launch_join(issue, vg_loss_join_kernel(), 1, &args);
}

/* CLIP. */

static uint64_t clip_parts(const vg_clip *clip)
{
    uint64_t parts = 0;
    for (uint32_t i = 0; i < clip->count; i++)
        parts += parts_each(clip->grads[i].rows, clip->grads[i].cols);
    return parts;
}

/* One launch for every VG_CLIP_GRADS gradients. */
static vg_status clip_each(const vg_issue *issue, vg_kernel kernel, vg_clip_args *args)
{
    const vg_clip *clip = &issue->op->clip;
    uint64_t part = 0;
    for (uint32_t i = 0; i < clip->count; i += args->count) {
        const uint32_t left = clip->count - i;
        args->count = left < VG_CLIP_GRADS ? left : VG_CLIP_GRADS;
        for (uint32_t n = 0; n < args->count; n++) {
            const vg_mat grad = clip->grads[i + n];
            args->grads[n] = vg_exec_window(issue->exec, grad);
            args->first_part[n] = part;
            part += parts_each(grad.rows, grad.cols);
        }
        args->first_part[args->count] = part;
        VG_TRY(launch_parts(issue, kernel, part - args->first_part[0], args));
    }
    return VG_OK;
}

static vg_status clip_issue(const vg_issue *issue)
{
    const vg_clip *clip = &issue->op->clip;
    vg_clip_args args = {.parts_all = clip_parts(clip),
                         .max_norm = clip->max_norm,
                         .slots = issue->exec->slots,
                         .slot = issue->op->slot};
    args.parts = issue->scratch;
    args.scale = (float *)(void *)(issue->scratch + parts_bytes(args.parts_all));
    VG_TRY(clip_each(issue, vg_clip_squares_kernel(), &args));
    VG_TRY(launch_join(issue, vg_clip_join_kernel(), 1, &args));
    VG_TRY(clip_each(issue, vg_clip_scale_kernel(), &args));
    return launch_join(issue, vg_clip_join_after_kernel(), 1, &args);
}

/* MEASURE and CENSUS. */

static vg_reduce_args reduce_args(const vg_issue *issue, vg_mat m, uint64_t segment_rows)
{
    return (vg_reduce_args){.window = vg_exec_window(issue->exec, m),
                            .segment_rows = segment_rows,
                            .segments = segments_of(m, segment_rows),
                            .parts_each = parts_each(segment_rows, m.cols),
                            .parts = issue->scratch,
                            .slots = issue->exec->slots,
                            .slot = issue->op->slot};
}

static vg_status measure_issue(const vg_issue *issue)
{
    const vg_measure *m = &issue->op->measure;
    const vg_reduce_args args = reduce_args(issue, m->window, m->segment_rows);
    VG_TRY(launch_parts(issue, vg_measure_kernel(m->window.dtype), args.segments * args.parts_each,
                        &args));
    return launch_join(issue, vg_measure_join_kernel(), args.segments, &args);
}

static vg_status census_issue(const vg_issue *issue)
{
    const vg_op *op = issue->op;
    const vg_census *c = &op->census;
    vg_reduce_args args = reduce_args(issue, c->a, c->segment_rows);
    const uint64_t parts = args.segments * args.parts_each;
    args.activation = op->activation;
    args.alpha = (float)op->alpha;
    args.bound = (float)(0.01 * vg_activation_find(op->activation)->bound);
    args.live = (uint32_t *)(void *)(issue->scratch + parts_bytes(parts));
    VG_CUDA(issue->exec->device,
            cudaMemsetAsync(args.live, 0, args.segments * c->a.cols * sizeof *args.live,
                            issue->stream));
    VG_TRY(launch_parts(issue, vg_census_kernel(c->a.dtype), parts, &args));
    return launch_join(issue, vg_census_join_kernel(), args.segments, &args);
}

/* RESCALE. */

static uint64_t rescale_rows(const vg_rescale *r, uint32_t signal)
{
    return r->segment_rows ? r->segment_rows : r->in[signal].rows;
}

static uint64_t rescale_parts(const vg_rescale *r, uint32_t signal)
{
    const uint64_t rows = rescale_rows(r, signal);
    return segments_of(r->in[signal], rows) * parts_each(rows, r->in[signal].cols);
}

static vg_status rescale_issue(const vg_issue *issue)
{
    const vg_rescale *r = &issue->op->rescale;
    vg_rescale_args args = {
        .parts = issue->scratch, .slots = issue->exec->slots, .slot = issue->op->slot};
    uint64_t elements = 0;
    uint32_t n = 0;
    for (; n < VG_MAX_SIGNALS && r->in[n].rows; n++) {
        args.in[n] = vg_exec_window(issue->exec, r->in[n]);
        args.out[n] = vg_exec_window(issue->exec, r->out[n]);
        args.exponent[n] = r->exponent[n];
        args.segment_rows[n] = rescale_rows(r, n);
        args.parts_each[n] = parts_each(args.segment_rows[n], r->in[n].cols);
        args.first_part[n + 1] = args.first_part[n] + rescale_parts(r, n);
        args.dtype[n] = r->in[n].dtype;
        elements += r->in[n].rows * r->in[n].cols;
    }
    args.signals = n;
    const vg_kernel write = vg_rescale_write_kernel();
    VG_TRY(launch_parts(issue, vg_rescale_look_kernel(), args.first_part[n], &args));
    VG_TRY(launch_join(issue, vg_rescale_join_kernel(), 1, &args));
    return launch(issue, write, vg_blocks_for(issue->exec->device, elements, write.threads), &args);
}

/* All five. */

uint64_t vg_signal_scratch(const vg_op *op)
{
    switch (op->kind) {
    case VG_LOSS_OP: return parts_bytes(parts_each(op->loss.y.rows, op->loss.y.cols));
    case VG_CLIP: return parts_bytes(clip_parts(&op->clip)) + SCALE_BYTES;
    case VG_MEASURE: {
        const vg_measure *m = &op->measure;
        return parts_bytes(segments_of(m->window, m->segment_rows) *
                           parts_each(m->segment_rows, m->window.cols));
    }
    case VG_CENSUS: {
        const vg_census *c = &op->census;
        const uint64_t segments = segments_of(c->a, c->segment_rows);
        return parts_bytes(segments * parts_each(c->segment_rows, c->a.cols)) +
               segments * c->a.cols * sizeof(uint32_t);
    }
    case VG_RESCALE: {
        uint64_t parts = 0;
        for (uint32_t n = 0; n < VG_MAX_SIGNALS && op->rescale.in[n].rows; n++)
            parts += rescale_parts(&op->rescale, n);
        return parts_bytes(parts);
    }
    default: return 0;
    }
}

uint64_t vg_signal_nodes(const vg_op *op)
{
    return op->kind == VG_CLIP ? 4 + 2 * (uint64_t)(op->clip.count / VG_CLIP_GRADS) : 3;
}

vg_status vg_signal_issue(const vg_issue *issue)
{
    switch (issue->op->kind) {
    case VG_LOSS_OP: return loss_issue(issue);
    case VG_CLIP: return clip_issue(issue);
    case VG_MEASURE: return measure_issue(issue);
    case VG_CENSUS: return census_issue(issue);
    default: return rescale_issue(issue);
    }
}
