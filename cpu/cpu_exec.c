/* A program loaded on a CPU device: its memory, its schedule, and the one region that runs it. */
#include "cpu_exec.h"

#include "denormals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Beyond the arena's end, so that whole vectors may be read; and between the parts of `extra`. */
enum { SLACK_BYTES = 4096, PART_BYTES = 4096 };

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Dtypes. */

static size_t fp32_scratch(const vg_device *device, const vg_op *op)
{
    switch (op->kind) {
    case VG_DENSE_FWD: return vg_dense_fwd_scratch(device, op);
    case VG_DENSE_BWD_DATA:
    case VG_DENSE_BWD_WEIGHTS: return vg_dense_bwd_scratch(device, op);
    case VG_CLIP: return vg_clip_scratch(op);
    default: return 0;
    }
}

static const vg_ops fp32_ops = {
    .storage = VG_FP32,
    .signals = &vg_signals_fp32,
    .dense_fwd = vg_dense_fwd_run,
    .dense_bwd_data = vg_dense_bwd_data_run,
    .dense_bwd_weights = vg_dense_bwd_weights_run,
    .scan = &vg_scan_fp32,
    .apart = vg_dense_apart,
    .scratch = fp32_scratch,
};

/* Null where this device does not compute in the program's dtype. */
static const vg_ops *ops_find(const vg_device *device, const vg_program *program)
{
    if (program->model.dtype == VG_BF16 && program->storage == VG_BF16 && device->bf16)
        return &vg_bf16_ops;
    return program->model.dtype == VG_FP32 && program->storage == VG_FP32 ? &fp32_ops : NULL;
}

static vg_status ops_check(const vg_device *device, const vg_program *program)
{
    if (ops_find(device, program))
        return VG_OK;
    if (program->model.dtype == VG_BF16)
        VG_FAIL(VG_UNSUPPORTED, "bf16: %s", device->bf16_absent);
    VG_FAIL(VG_UNSUPPORTED, "the CPU devices compute in fp32 and bf16, not in %s",
            vg_dtype_name(program->model.dtype));
}

/* Memory. */

static bool is_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}

static uint64_t scan_weight(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD ? op->scan_fwd.weight_hh.at : op->scan_bwd.weight_hh.at;
}

static vg_scan_pack *pack_find(const vg_exec *exec, const vg_op *op)
{
    for (uint32_t i = 0; i < exec->pack_count; i++)
        if (exec->packs[i].weight_at == scan_weight(op) &&
            exec->packs[i].backward == (op->kind == VG_SCAN_BWD))
            return &exec->packs[i];
    return NULL;
}

/* Whether an earlier op has packed the same weights for the same direction. */
static bool is_repeated(const vg_program *program, uint32_t index)
{
    const vg_op *op = &program->ops[index];
    for (uint32_t i = 0; i < index; i++) {
        const vg_op *earlier = &program->ops[i];
        if (earlier->kind == op->kind && scan_weight(earlier) == scan_weight(op))
            return true;
    }
    return false;
}

/* Bytes from the packed weights of one scan to those of the next. */
static uint64_t pack_bytes_of(const vg_device *device, const vg_ops *ops, const vg_op *op)
{
    size_t floats = vg_scan_pack_size(device, ops, op, vg_pool_threads(device->pool));
    size_t alone = vg_scan_pack_size(device, ops, op, 1);
    floats = alone > floats ? alone : floats;
    return round_up(floats * sizeof(float), PART_BYTES) + PART_BYTES;
}

static size_t scratch_of(const vg_device *device, const vg_ops *ops, const vg_op *op)
{
    return is_scan(op) ? vg_scan_scratch(device, ops, op, vg_pool_threads(device->pool))
                       : ops->scratch(device, op);
}

/* Bytes of scratch; *pack_bytes: of all packed weights, *packs: how many there are. Every layer has
 * its scans in FWD and BWD_DATA, so the pieces of other passes add nothing. */
static uint64_t extra_sizes(const vg_device *device, const vg_program *program,
                            uint64_t *pack_bytes, uint32_t *packs)
{
    const vg_ops *ops = ops_find(device, program);
    size_t scratch = 0;
    *pack_bytes = 0;
    *packs = 0;
    for (uint32_t i = 0; ops && i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        size_t needs = scratch_of(device, ops, op);
        scratch = needs > scratch ? needs : scratch;
        bool timed = (op->pass & VG_PASSES_TRAIN) != 0;
        if (is_scan(op) && timed && !is_repeated(program, i)) {
            *pack_bytes += pack_bytes_of(device, ops, op);
            ++*packs;
        }
    }
    for (uint32_t i = 0; ops && i < program->op_count; i++) {
        vg_wave wave = vg_wave_find(device, ops, program, i);
        if (wave.layers == 0)
            continue;
        size_t needs = vg_wave_scratch(device, ops, program, i, &wave);
        scratch = needs > scratch ? needs : scratch;
        i += 2 * wave.layers - 1;
    }
    return round_up(scratch * sizeof(float), PART_BYTES) + PART_BYTES;
}

uint64_t vg_exec_extra_bytes(vg_device *device, const vg_program *program)
{
    uint64_t pack_bytes;
    uint32_t packs;
    uint64_t scratch = extra_sizes(device, program, &pack_bytes, &packs);
    return scratch + pack_bytes + SLACK_BYTES + program->slot_count * sizeof(vg_slot);
}

/* Loading. */

/* Whether a pass's weight gradients are a good part of the last cache, or more. */
static bool gradients_stream(const vg_device *device, const vg_program *program)
{
    const vg_topology *t = &device->topology;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (op->kind == VG_DENSE_BWD_WEIGHTS && op->pass == VG_PASS_BWD_WEIGHTS)
            bytes += op->dense_bwd_weights.dweight.rows * op->dense_bwd_weights.dweight.ld * 4;
    }
    return bytes > t->caches[t->cache_count - 1].bytes / 4;
}

static void packs_place(vg_exec *exec)
{
    const vg_program *program = exec->program;
    uint64_t at = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (!is_scan(op) || !(op->pass & VG_PASSES_TRAIN) || pack_find(exec, op))
            continue;
        exec->packs[exec->pack_count++] =
            (vg_scan_pack){.weight_at = scan_weight(op),
                           .backward = op->kind == VG_SCAN_BWD,
                           .at = (float *)(void *)(exec->extra + exec->scratch_bytes + at)};
        at += pack_bytes_of(exec->device, exec->ops, op);
    }
}

static void touch(void *context, uint32_t thread, uint32_t threads)
{
    vg_exec *exec = context;
    uint64_t first, last, unit = UINT64_C(1) << 21;
    vg_pool_share((exec->mapped_bytes + unit - 1) / unit, thread, threads, &first, &last);
    for (uint64_t at = first * unit; at < last * unit && at < exec->mapped_bytes; at += 4096)
        exec->arena[at] = 0;
}

vg_status vg_exec_load(vg_device *device, const vg_model *model, const vg_program *program,
                       vg_exec **out)
{
    (void)model;
    VG_TRY(ops_check(device, program));
    uint64_t pack_bytes;
    uint32_t packs;
    uint64_t scratch = extra_sizes(device, program, &pack_bytes, &packs);
    uint64_t arena = round_up(program->arena_bytes + SLACK_BYTES, PART_BYTES);
    vg_exec *exec = calloc(1, sizeof *exec);
    vg_status status = VG_NO_MEMORY;
    if (!exec)
        VG_FAIL(VG_NO_MEMORY, "no memory for a loaded program");
    *exec = (vg_exec){.device = device,
                      .program = program,
                      .ops = ops_find(device, program),
                      .scratch_bytes = scratch,
                      .mapped_bytes = arena + scratch + pack_bytes};
    exec->slots = calloc(program->slot_count + 1u, sizeof *exec->slots);
    exec->packs = calloc(packs + 1u, sizeof *exec->packs);
    exec->scheduled = calloc(program->op_count + 1u, sizeof *exec->scheduled);
    if (!exec->slots || !exec->packs || !exec->scheduled)
        status = vg_fail(VG_NO_MEMORY, "no memory for the lists of a program");
    else
        status = vg_memory_map(exec->mapped_bytes, &exec->arena);
    if (status != VG_OK) {
        vg_exec_unload(exec);
        return status;
    }
    exec->extra = exec->arena + arena;
    exec->stream_weights = gradients_stream(device, program);
    packs_place(exec);
    vg_pool_enter(device->pool);
    vg_pool_run(device->pool, touch, exec);
    vg_pool_leave(device->pool);
    *out = exec;
    return VG_OK;
}

void vg_exec_unload(vg_exec *exec)
{
    if (!exec)
        return;
    if (exec->arena)
        vg_memory_unmap(exec->arena, exec->mapped_bytes);
    free(exec->slots);
    free(exec->packs);
    free(exec->scheduled);
    free(exec);
}

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
            op_run(&job);
            if (!job.scheduled->apart)
                vg_job_barrier(&job);
        }
    if (exec->ops->leave)
        exec->ops->leave(exec->device);
    vg_denormals_restore(mode);
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
        if (exec->scheduled_count > 1 && exec->ops->apart)
            s[-1].apart = exec->ops->apart(exec->device, s[-1].op, op);
        if (is_scan(op)) {
            vg_scan_pack *pack = pack_find(exec, op);
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
