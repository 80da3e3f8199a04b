/* A program loaded on a CPU device: the ops of its dtype, and its memory. */
#include "cpu_exec.h"
#include "sizes.h"

#include <stdlib.h>

/* Beyond the arena's end, so that whole vectors may be read; and between the parts of `extra`. */
enum { SLACK_BYTES = 4096, PART_BYTES = 4096 };

/* Dtypes. */

static size_t fp32_scratch(const vg_device *device, const vg_op *op, const vg_op *next)
{
    switch (op->kind) {
    case VG_DENSE_FWD: return vg_dense_fwd_scratch(device, op);
    case VG_DENSE_BWD_DATA: return vg_dense_bwd_data_scratch(device, op);
    case VG_DENSE_BWD_WEIGHTS: return vg_dense_bwd_weights_scratch(device, op, next);
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
    .joint = vg_dense_joint,
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

static uint64_t scan_weight(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD ? op->scan_fwd.weight_hh.at : op->scan_bwd.weight_hh.at;
}

vg_scan_pack *vg_scan_pack_find(const vg_exec *exec, const vg_op *op)
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
    return vg_round_up(vg_larger(floats, alone) * sizeof(float), PART_BYTES) + PART_BYTES;
}

static size_t scratch_of(const vg_device *device, const vg_ops *ops, const vg_program *program,
                         uint32_t index)
{
    const vg_op *op = &program->ops[index];
    if (vg_is_scan(op))
        return vg_scan_scratch(device, ops, op, vg_pool_threads(device->pool));
    bool joint = ops->joint && index + 1 < program->op_count && ops->joint(op, op + 1);
    return ops->scratch(device, op, joint ? op + 1 : NULL);
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
        scratch = vg_larger(scratch, scratch_of(device, ops, program, i));
        bool timed = (op->pass & VG_PASSES_TRAIN) != 0;
        if (vg_is_scan(op) && timed && !is_repeated(program, i)) {
            *pack_bytes += pack_bytes_of(device, ops, op);
            ++*packs;
        }
    }
    for (uint32_t i = 0; ops && i < program->op_count; i++) {
        vg_wave wave = vg_wave_find(device, ops, program, i);
        if (wave.layers == 0) {
            if (vg_beside_find(device, ops, program, i))
                scratch = vg_larger(scratch, vg_beside_scratch(device, ops, program, i));
            continue;
        }
        scratch = vg_larger(scratch, vg_wave_scratch(device, ops, program, i, &wave));
        i += 2 * wave.layers - 1;
    }
    return vg_round_up(scratch * sizeof(float), PART_BYTES) + PART_BYTES;
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
        if (!vg_is_scan(op) || !(op->pass & VG_PASSES_TRAIN) || vg_scan_pack_find(exec, op))
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
    vg_pool_share(vg_parts(exec->mapped_bytes, unit), thread, threads, &first, &last);
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
    uint64_t arena = vg_round_up(program->arena_bytes + SLACK_BYTES, PART_BYTES);
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
