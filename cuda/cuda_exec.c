/* A program loaded on a CUDA device: its memory, and its ops made ready. */
#include "cuda_exec.h"

#include "cuda_graph.h"
#include "whole_numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}

static bool is_dense(const vg_op *op)
{
    return op->kind == VG_DENSE_FWD || op->kind == VG_DENSE_BWD_DATA ||
           op->kind == VG_DENSE_BWD_WEIGHTS;
}

/* An op, whatever its kind. */

/* A piece of a recurrence runs as the whole of it would: the same bits. */
static vg_status pick(vg_device *device, const vg_program *program, const vg_op *op,
                      const vg_scan_regime **out)
{
    vg_op whole = *op;
    if (vg_pieces_cuts(program, op)) {
        whole.t0 = 0;
        whole.t1 = program->model.seq_len;
    }
    return vg_scan_pick(device, &whole, program->model.dtype, out);
}

/* *out: bytes of scratch. VG_UNSUPPORTED where a scan has no regime. */
static vg_status op_scratch(vg_device *device, const vg_program *program, const vg_op *op,
                            uint64_t *out)
{
    const vg_scan_regime *regime;
    if (is_dense(op)) {
        *out = vg_dense_scratch(op);
    } else if (is_scan(op)) {
        VG_TRY(pick(device, program, op, &regime));
        *out = regime->scratch ? regime->scratch(device, op, program->model.dtype) : 0;
    } else {
        *out = vg_signal_scratch(op);
    }
    return VG_OK;
}

static vg_status op_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out)
{
    out->run = vg_stack_of(exec, op);
    if (out->run)
        return VG_OK;
    if (is_dense(op))
        return vg_dense_prepare(exec, op, out);
    if (!is_scan(op))
        return VG_OK;
    VG_TRY(pick(exec->device, exec->program, op, &out->regime));
    return out->regime->make ? out->regime->make(exec, op, &out->plan) : VG_OK;
}

uint64_t vg_cuda_op_nodes(const vg_exec *exec, const vg_op *op)
{
    const vg_prepared *prepared = &exec->prepared[op - exec->program->ops];
    if (prepared->run)
        return vg_stack_nodes(exec, op, prepared->run);
    if (is_dense(op)) /* the library may split a product in two, and add it up */
        return prepared->kernel ? 4 : 2;
    if (!is_scan(op))
        return vg_signal_nodes(op);
    return prepared->regime->nodes ? prepared->regime->nodes(op) : 1;
}

vg_status vg_cuda_op_issue(const vg_issue *issue)
{
    if (issue->prepared->run)
        return vg_stack_issue(issue, issue->prepared->run);
    if (is_dense(issue->op))
        return vg_dense_issue(issue);
    if (is_scan(issue->op))
        return issue->prepared->regime->issue(issue, issue->prepared->plan);
    return vg_signal_issue(issue);
}

/* Products. */

static bool same_shape(const vg_gemm_shape *a, const vg_gemm_shape *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda && a->ldb == b->ldb &&
           a->ldc == b->ldc && a->ldd == b->ldd && a->transpose_a == b->transpose_a &&
           a->transpose_b == b->transpose_b && a->adds == b->adds && a->tf32 == b->tf32 &&
           a->ab == b->ab && a->c == b->c && a->d == b->d && a->epilogue == b->epilogue &&
           a->alignment == b->alignment;
}

static vg_shared_gemm *find_gemm(vg_exec *exec, const vg_gemm_shape *shape)
{
    for (uint32_t i = exec->gemm_count; i-- > 0;)
        if (same_shape(&exec->gemms[i].shape, shape))
            return &exec->gemms[i];
    return NULL;
}

static vg_status add_gemm(vg_exec *exec, const vg_gemm_shape *shape, vg_shared_gemm **out)
{
    if (exec->gemm_count == exec->gemm_capacity) {
        const uint32_t capacity = exec->gemm_capacity ? 2 * exec->gemm_capacity : 16;
        vg_shared_gemm *grown = realloc(exec->gemms, capacity * sizeof *grown);
        if (!grown)
            VG_FAIL(VG_NO_MEMORY, "no memory for the products of a program");
        exec->gemms = grown;
        exec->gemm_capacity = capacity;
    }
    vg_shared_gemm made = {.shape = *shape};
    vg_status status = vg_gemm_make(exec->device, shape, &made.gemm);
    if (status != VG_OK && status != VG_UNSUPPORTED)
        return status;
    exec->gemms[exec->gemm_count] = made;
    *out = &exec->gemms[exec->gemm_count++];
    return VG_OK;
}

vg_status vg_exec_gemm(vg_exec *exec, const vg_gemm_shape *shape, const vg_gemm **out)
{
    vg_shared_gemm *found = find_gemm(exec, shape);
    if (!found)
        VG_TRY(add_gemm(exec, shape, &found));
    if (!found->gemm)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: cuBLASLt has no algorithm for a product of %llu x %llu x %llu in %s",
                exec->device->name, (unsigned long long)shape->m, (unsigned long long)shape->n,
                (unsigned long long)shape->k, vg_dtype_name(shape->ab));
    *out = found->gemm;
    return VG_OK;
}

uint32_t vg_exec_alignment(const vg_mat *const *mats, size_t count)
{
    uint64_t all = 256;
    for (size_t i = 0; i < count; i++) {
        const uint64_t row = mats[i]->ld * vg_dtype_size(mats[i]->dtype);
        if (mats[i]->rows)
            all |= mats[i]->at | (mats[i]->rows > 1 ? row : 0);
    }
    return (uint32_t)(all & (~all + 1));
}

/* Memory. */

typedef struct vg_needs {
    uint64_t scratch[VG_LANES], slots, table, total; /* bytes; scratch 0: no op is there */
} vg_needs;

/* Never 0, so that an address is there to be had. */
static uint64_t whole_lines(uint64_t bytes)
{
    return bytes / 256 * 256 + 256;
}

/* Whatever passes are run: a lane that an op may be on. */
static bool is_on(const vg_pieces *pieces, uint32_t op, int lane)
{
    const vg_pass pass = pieces->program.ops[op].pass;
    const int own = pieces->lanes ? pieces->lanes[op] : VG_LANE_MAIN;
    return lane == own || (lane == VG_LANE_SIDE && pass == VG_PASS_BWD_WEIGHTS);
}

static vg_status find_needs(vg_device *device, const vg_pieces *pieces, const vg_stack_runs *runs,
                            vg_needs *out)
{
    const vg_program *program = &pieces->program;
    vg_needs n = {.slots = whole_lines(program->slot_count * sizeof(vg_slot)),
                  .table = runs->table_bytes};
    n.scratch[VG_LANE_MAIN] = whole_lines(runs->scratch);
    n.scratch[VG_LANE_SIDE] = whole_lines(0);
    for (uint32_t i = 0; i < program->op_count; i++) {
        uint64_t bytes;
        VG_TRY(op_scratch(device, program, &program->ops[i], &bytes));
        for (int lane = 0; lane < VG_LANES; lane++)
            if (is_on(pieces, i, lane))
                n.scratch[lane] = vg_most(n.scratch[lane], whole_lines(bytes));
    }
    n.total = n.slots + n.table;
    for (int lane = 0; lane < VG_LANES; lane++)
        if (n.scratch[lane])
            n.total += n.scratch[lane] + vg_gemm_work_bytes();
    *out = n;
    return VG_OK;
}

uint64_t vg_cuda_extra_bytes(vg_device *device, const vg_program *program)
{
    vg_needs needs = {0};
    vg_pieces pieces;
    vg_stack_runs runs;
    if (vg_pieces_make(device, program, &pieces) != VG_OK)
        return 0;
    vg_status status = vg_stack_find(device, &pieces.program, &runs);
    if (status == VG_OK) {
        status = find_needs(device, &pieces, &runs, &needs);
        vg_stack_free(&runs);
    }
    vg_pieces_free(&pieces);
    return status == VG_OK ? needs.total : 0;
}

static vg_status check_room(vg_device *device, uint64_t bytes)
{
    size_t left, all;
    VG_CUDA(device, cudaMemGetInfo(&left, &all));
    if (bytes > left)
        VG_FAIL(VG_NO_MEMORY, "the case needs %.2f GB of %s's memory, and %.2f GB are free",
                (double)bytes / 1e9, device->name, (double)left / 1e9);
    return VG_OK;
}

/* Zeros on the device, once the stream has come so far. */
static vg_status allocate(vg_exec *exec, uint64_t bytes, void **out)
{
    vg_device *device = exec->device;
    VG_CUDA(device, cudaMalloc(out, bytes));
    VG_CUDA(device, cudaMemsetAsync(*out, 0, bytes, device->stream));
    return VG_OK;
}

static vg_status lane_open(vg_exec *exec, vg_lane *lane, uint64_t scratch_bytes)
{
    if (!lane->stream)
        VG_CUDA(exec->device, cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking));
    VG_CUDA(exec->device, cudaMalloc((void **)&lane->scratch, scratch_bytes));
    lane->scratch_bytes = scratch_bytes;
    return VG_OK;
}

static vg_status allocate_all(vg_exec *exec, const vg_needs *needs)
{
    vg_device *device = exec->device;
    const uint64_t arena = whole_lines(exec->program->arena_bytes);
    VG_TRY(check_room(device, arena + needs->total));
    VG_TRY(allocate(exec, arena, (void **)&exec->arena));
    VG_TRY(allocate(exec, needs->slots, (void **)&exec->slots));
    if (needs->table)
        VG_TRY(allocate(exec, needs->table, (void **)&exec->stack_table));
    VG_CUDA(device, cudaMallocHost((void **)&exec->staging, VG_STAGING_BYTES));
    exec->lanes[VG_LANE_MAIN].stream = device->stream;
    exec->lanes[VG_LANE_SIDE].stream = device->side;
    for (int i = 0; i < VG_LANES; i++)
        if (needs->scratch[i])
            VG_TRY(lane_open(exec, &exec->lanes[i], needs->scratch[i]));
    return VG_OK;
}

/* What the products need, now that they are there: at most what was counted. */
static vg_status allocate_work(vg_exec *exec)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < exec->gemm_count; i++)
        if (exec->gemms[i].gemm)
            bytes = vg_most(bytes, vg_gemm_needs(exec->gemms[i].gemm));
    if (bytes == 0)
        return VG_OK;
    for (int i = 0; i < VG_LANES; i++)
        if (exec->lanes[i].scratch)
            VG_CUDA(exec->device, cudaMalloc(&exec->lanes[i].work, bytes));
    return VG_OK;
}

/* Loading. */

static vg_status check_dtype(const vg_device *device, const vg_program *program)
{
    if (program->storage != VG_FP32 && program->storage != VG_BF16)
        VG_FAIL(VG_UNSUPPORTED, "%s computes in fp32, tf32 and bf16, not in %s", device->name,
                vg_dtype_name(program->model.dtype));
    return VG_OK;
}

static vg_status load(vg_exec *exec)
{
    const vg_program *program = exec->program;
    vg_needs needs;
    exec->prepared = calloc(program->op_count + 1u, sizeof *exec->prepared);
    if (!exec->prepared)
        VG_FAIL(VG_NO_MEMORY, "no memory for %u ops", program->op_count);
    VG_TRY(vg_stack_find(exec->device, program, &exec->runs));
    VG_TRY(find_needs(exec->device, &exec->pieces, &exec->runs, &needs));
    VG_TRY(allocate_all(exec, &needs));
    VG_TRY(vg_stack_load(exec));
    for (uint32_t i = 0; i < program->op_count; i++)
        VG_TRY(op_prepare(exec, &program->ops[i], &exec->prepared[i]));
    VG_TRY(allocate_work(exec));
    VG_CUDA(exec->device, cudaStreamSynchronize(exec->device->stream));
    return VG_OK;
}

vg_status vg_cuda_load(vg_device *device, const vg_model *model, const vg_program *program,
                       vg_exec **out)
{
    (void)model;
    if (device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", device->name);
    VG_TRY(check_dtype(device, program));
    vg_exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        VG_FAIL(VG_NO_MEMORY, "no memory for a loaded program");
    exec->device = device;
    exec->program = &exec->pieces.program;
    vg_status status = vg_pieces_make(device, program, &exec->pieces);
    if (status == VG_OK)
        status = load(exec);
    if (status != VG_OK) {
        vg_cuda_unload(exec);
        return status;
    }
    *out = exec;
    return VG_OK;
}

/* What fails here fails because the device is lost, and then nothing is left to be freed. */
static void free_device_memory(vg_exec *exec)
{
    (void)cudaStreamSynchronize(exec->device->stream);
    for (int i = 0; i < VG_LANES; i++) {
        vg_lane *lane = &exec->lanes[i];
        if (lane->stream)
            (void)cudaStreamSynchronize(lane->stream);
        if (lane->scratch)
            (void)cudaFree(lane->scratch);
        if (lane->work)
            (void)cudaFree(lane->work);
        if (lane->stream && i >= VG_LANE_LAYERS)
            (void)cudaStreamDestroy(lane->stream);
    }
    for (uint32_t i = 0; i < exec->event_count; i++)
        (void)cudaEventDestroy(exec->events[i]);
    void *const there[] = {exec->arena, exec->slots, exec->stack_table};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (there[i])
            (void)cudaFree(there[i]);
    if (exec->staging)
        (void)cudaFreeHost(exec->staging);
    (void)cudaGetLastError();
}

void vg_cuda_unload(vg_exec *exec)
{
    if (!exec)
        return;
    vg_graphs_free(exec);
    for (uint32_t i = 0; exec->prepared && i < exec->program->op_count; i++)
        if (exec->prepared[i].plan && exec->prepared[i].regime->release)
            exec->prepared[i].regime->release(exec->prepared[i].plan);
    for (uint32_t i = 0; i < exec->gemm_count; i++)
        vg_gemm_free(exec->gemms[i].gemm);
    free_device_memory(exec);
    vg_stack_free(&exec->runs);
    free(exec->gemms);
    free(exec->events);
    free(exec->prepared);
    vg_pieces_free(&exec->pieces);
    free(exec);
}

/* What was chosen, in words. */

static const vg_op *first_of(const vg_program *program, vg_op_kind kind)
{
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == kind)
            return &program->ops[i];
    return NULL;
}

/* "M units=8 blocks=64" of the first scan of that kind; "" where there is none. */
static void scan_words(const vg_exec *exec, vg_op_kind kind, char *out, size_t size)
{
    const vg_op *op = first_of(exec->program, kind);
    char words[96] = "";
    out[0] = 0;
    if (!op)
        return;
    const vg_scan_regime *regime = exec->prepared[op - exec->program->ops].regime;
    regime->words(exec->device, op, exec->program->model.dtype, words, sizeof words);
    snprintf(out, size, "%s%s%s", regime->name, words[0] ? " " : "", words);
}

vg_status vg_cuda_choice(vg_exec *exec, char *out, size_t size)
{
    char forward[112], backward[112], stack[176], rounding[24] = "", pieces[24] = "";
    scan_words(exec, VG_SCAN_FWD, forward, sizeof forward);
    scan_words(exec, VG_SCAN_BWD, backward, sizeof backward);
    const bool differ = strcmp(forward, backward) != 0;
    if (exec->program->model.dtype == VG_TF32)
        snprintf(rounding, sizeof rounding, " tf32=%s",
                 exec->device->traits.tf32_rounds ? "nearest" : "truncated");
    if (exec->pieces.count > 1)
        snprintf(pieces, sizeof pieces, " pieces=%u", exec->pieces.count);
    vg_stack_words(exec, stack, sizeof stack);
    snprintf(out, size, "gemm=cublasLt%s%s%s%s%s%s%s", forward[0] ? " scan=" : "", forward,
             differ ? " back=" : "", differ ? backward : "", stack, pieces, rounding);
    return VG_OK;
}
