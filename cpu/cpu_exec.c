/* A loaded program as a CPU device runs it: its schedule, and the one region that runs that. */
#include "cpu_exec.h"

#include "denormals.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* How threads share the first scan of a kind; null where there is none. */
static const char *scan_choice(const vg_exec *exec, vg_op_kind kind)
{
    const vg_program *program = exec->program;
    uint32_t i = 0;
    while (i < program->op_count && program->ops[i].kind != kind)
        i++;
    if (i == program->op_count)
        return NULL;
    uint32_t pair = kind == VG_SCAN_FWD && i > 0 ? i - 1 : i;
    if (vg_wave_find(exec->device, exec->ops, program, pair).layers)
        return "layers";
    if (vg_beside_find(exec->device, exec->ops, program, pair))
        return "beside";
    return vg_scan_by_batch(exec->device, exec->ops, &program->ops[i]) ? "batch" : "units";
}

/* "scan=" and how forward scans are shared; "/" and backward ones, where that is another way. */
vg_status vg_exec_choice(vg_exec *exec, char *out, size_t size)
{
    const char *forward = scan_choice(exec, VG_SCAN_FWD);
    const char *backward = scan_choice(exec, VG_SCAN_BWD);
    const char *products = exec->ops == &vg_bf16_ops ? exec->device->bf16->name : NULL;
    bool differ = forward && backward && strcmp(forward, backward) != 0;
    snprintf(out, size, "%s%s%s%s%s%s%s", products ? "bf16=" : "", products ? products : "",
             products && forward ? " " : "", forward ? "scan=" : "", forward ? forward : "",
             differ ? "/" : "", differ ? backward : "");
    return VG_OK;
}

static void element_put(unsigned char *base, vg_dtype dtype, uint64_t at, double value)
{
    switch (dtype) {
    case VG_U8: base[at] = (unsigned char)value; break;
    case VG_BF16: ((uint16_t *)(void *)base)[at] = vg_bf16_of(value); break;
    default: ((float *)(void *)base)[at] = (float)value; break;
    }
}

static double element_get(const unsigned char *base, vg_dtype dtype, uint64_t at)
{
    switch (dtype) {
    case VG_U8: return base[at];
    case VG_BF16: return vg_bf16_value(((const uint16_t *)(const void *)base)[at]);
    default: return ((const float *)(const void *)base)[at];
    }
}

vg_status vg_exec_write(vg_exec *exec, vg_mat to, const double *from)
{
    for (uint64_t i = 0; i < to.rows; i++)
        for (uint32_t j = 0; j < to.cols; j++)
            element_put(vg_at(exec, to), to.dtype, i * to.ld + j, from[i * to.cols + j]);
    return VG_OK;
}

vg_status vg_exec_read(vg_exec *exec, vg_mat from, double *to)
{
    for (uint64_t i = 0; i < from.rows; i++)
        for (uint32_t j = 0; j < from.cols; j++)
            to[i * from.cols + j] = element_get(vg_at(exec, from), from.dtype, i * from.ld + j);
    return VG_OK;
}

/* Running. */

static void op_run(const vg_job *job)
{
    const vg_ops *ops = job->exec->ops;
    switch (job->op->kind) {
    case VG_DENSE_FWD: ops->dense_fwd(job); break;
    case VG_DENSE_BWD_DATA: ops->dense_bwd_data(job); break;
    case VG_DENSE_BWD_WEIGHTS: ops->dense_bwd_weights(job); break;
    case VG_SCAN_FWD:
    case VG_SCAN_BWD: vg_scan_run(job); break;
    case VG_LOSS_OP: vg_loss_run(job); break;
    case VG_CLIP: vg_clip_run(job); break;
    case VG_MEASURE: vg_measure_run(job); break;
    case VG_CENSUS: vg_census_run(job); break;
    case VG_RESCALE: vg_rescale_run(job); break;
    case VG_OP_COUNT: break;
    }
}

/* Every thread walks the same list. */
static void run_all(void *context, uint32_t thread, uint32_t threads)
{
    vg_exec *exec = context;
    vg_job job = {.exec = exec,
                  .device = exec->device,
                  .kernels = exec->device->kernels,
                  .scratch = (float *)(void *)exec->extra,
                  .thread = thread,
                  .threads = threads};
    uint64_t mode = vg_denormals_word();
    if (exec->ops->flushes)
        vg_denormals_set(true);
    if (exec->ops->enter)
        exec->ops->enter(exec->device);
    for (uint32_t n = 0; n < exec->times; n++)
        for (uint32_t i = 0; i < exec->scheduled_count; i++) {
            job.scheduled = &exec->scheduled[i];
            job.op = job.scheduled->op;
            if (job.scheduled->wave.layers) {
                vg_wave_run(&job);
                i += 2 * job.scheduled->wave.layers - 1;
                continue;
            }
            if (job.scheduled->beside) {
                vg_beside_run(&job);
                vg_job_barrier(&job);
                i++;
                continue;
            }
            op_run(&job);
            i += job.scheduled->joint;
            if (!exec->scheduled[i].apart)
                vg_job_barrier(&job);
        }
    if (exec->ops->leave)
        exec->ops->leave(exec->device);
    vg_denormals_restore(mode);
}

/* What is known of the op before `s` once that is. */
static void follow(const vg_exec *exec, vg_scheduled *s)
{
    const vg_ops *ops = exec->ops;
    bool taken = s > exec->scheduled + 1 && s[-2].joint;
    s[-1].apart = ops->apart && ops->apart(exec->device, s[-1].op, s->op);
    s[-1].joint = ops->joint && !taken && s->op == s[-1].op + 1 && ops->joint(s[-1].op, s->op);
}

/* The ops of a set of passes; the first scan that uses packed weights packs them. */
static void schedule(vg_exec *exec, unsigned passes)
{
    const vg_scheduled *wave_end = exec->scheduled; /* of the last one found */
    exec->scheduled_count = 0;
    for (uint32_t i = 0; i < exec->pack_count; i++)
        exec->packs[i].done = false;
    for (uint32_t i = 0; i < exec->program->op_count; i++) {
        const vg_op *op = &exec->program->ops[i];
        if (!(op->pass & passes))
            continue;
        vg_scheduled *s = &exec->scheduled[exec->scheduled_count++];
        *s = (vg_scheduled){.op = op};
        if (s >= wave_end) {
            s->wave = vg_wave_find(exec->device, exec->ops, exec->program, i);
            wave_end = s + 2 * s->wave.layers;
        } else {
            s->wave = s[-1].wave;
        }
        s->beside = s->wave.layers == 0 && !(s > exec->scheduled && s[-1].beside) &&
                    vg_beside_find(exec->device, exec->ops, exec->program, i);
        if (exec->scheduled_count > 1)
            follow(exec, s);
        if (vg_is_scan(op)) {
            vg_scan_pack *pack = vg_scan_pack_find(exec, op);
            s->pack = pack;
            bool alone = s < wave_end;
            s->packs = !pack->done || pack->alone != alone;
            pack->done = true;
            pack->alone = alone;
        }
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

vg_status vg_exec_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    schedule(exec, passes);
    exec->times = times;
    vg_pool_enter(exec->device->pool);
    double start = now_s();
    vg_pool_run(exec->device->pool, run_all, exec);
    *seconds = now_s() - start;
    vg_pool_leave(exec->device->pool);
    return VG_OK;
}

vg_status vg_exec_slots(vg_exec *exec, vg_slot *out)
{
    memcpy(out, exec->slots, exec->program->slot_count * sizeof *out);
    return VG_OK;
}
