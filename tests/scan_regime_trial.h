/* One recurrence on a device by itself: an arena of its windows with padding, random numbers in the
 * inputs and poison elsewhere, and the scans of regime S or C run on it. What they leave is judged
 * in scan_regime_check.h. Include after cmocka. */
#ifndef VG_TEST_SCAN_REGIME_TRIAL_H
#define VG_TEST_SCAN_REGIME_TRIAL_H

#include "cuda_exec.h"
#include "ref.h"
#include "scan_cluster_plan.h"
#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum trial_dy { TRIAL_DY_NONE, TRIAL_DY_LAST, TRIAL_DY_ALL } trial_dy;

typedef struct trial_cell {
    vg_model_kind kind;
    vg_activation activation;
} trial_cell;

/* steps: T, of which [t0, T) are run. */
typedef struct trial_shape {
    uint32_t units, batch;
    uint64_t steps, t0;
    trial_dy dy;
    bool dstateT;
} trial_shape;

/* A plan other than the cheapest. cluster 0: of regime S. clusters 0: as the plan says. */
typedef struct trial_force {
    uint32_t shape, slices, cluster, clusters;
} trial_force;

typedef struct trial {
    trial_cell cell;
    trial_shape shape;
    vg_dtype dtype;
    char name[160];
    const vg_scan_regime *regime; /* S unless a test says otherwise */
    vg_device device;
    vg_program program;
    vg_exec exec;
    vg_op forward, backward;
    uint64_t bytes, seed;
    unsigned char *arena;  /* as the device holds it after the last run */
    unsigned char *before; /* as it was before any */
    double **rows;         /* of the oracle, by byte offset / 2 */
} trial;

enum { TRIAL_POISON = 0xff, TRIAL_PAD = 16 };

static inline uint64_t trial_random(trial *t)
{
    uint64_t z = t->seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline bool trial_usable(void)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0)
        return true;
    print_message("skipped: no usable GPU: %s\n",
                  error == cudaSuccess ? "there is none" : cudaGetErrorString(error));
    return false;
}

static inline void trial_try(const trial *t, vg_status status)
{
    if (status != VG_OK)
        fail_msg("%s: %s: %s", t->name, vg_status_name(status), vg_reason());
}

static inline float *trial_floats(const trial *t, vg_mat m)
{
    return (float *)(void *)(t->arena + m.at);
}

static inline void trial_put(trial *t, vg_mat m, uint64_t row, uint32_t col, double value)
{
    unsigned char *at = t->arena + m.at + (row * m.ld + col) * vg_dtype_size(m.dtype);
    const float single = (float)vg_dtype_round(m.dtype, value);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    const uint16_t upper = (uint16_t)(bits >> 16);
    if (m.dtype == VG_BF16)
        memcpy(at, &upper, sizeof upper);
    else
        memcpy(at, &bits, sizeof bits);
}

static inline double trial_get(const trial *t, vg_mat m, uint64_t row, uint32_t col)
{
    const unsigned char *at = t->arena + m.at + (row * m.ld + col) * vg_dtype_size(m.dtype);
    uint32_t bits = 0;
    uint16_t upper;
    float single;
    if (m.dtype == VG_BF16) {
        memcpy(&upper, at, sizeof upper);
        bits = (uint32_t)upper << 16;
    } else {
        memcpy(&bits, at, sizeof bits);
    }
    memcpy(&single, &bits, sizeof single);
    return single;
}

/* A window at the arena's end; its last row is followed by more poison. */
static inline vg_mat trial_window(trial *t, uint64_t rows, uint32_t cols, vg_dtype dtype)
{
    if (rows == 0)
        return (vg_mat){0};
    const uint32_t each = 64 / (uint32_t)vg_dtype_size(dtype);
    vg_mat m = {t->bytes, rows, cols, (cols + TRIAL_PAD + each - 1) / each * each, dtype};
    t->bytes += rows * m.ld * vg_dtype_size(dtype);
    return m;
}

static inline void trial_fill(trial *t, vg_mat m, double range)
{
    for (uint64_t r = 0; r < m.rows; r++)
        for (uint32_t c = 0; c < m.cols; c++)
            trial_put(t, m, r, c, range * (2 * (double)(trial_random(t) >> 11) * 0x1p-53 - 1));
}

static inline void trial_lay_out(trial *t)
{
    const vg_cell_info *cell = vg_cell_find(t->cell.kind);
    const trial_shape *s = &t->shape;
    const vg_dtype w = t->program.storage, wide = cell->states > 1 ? VG_FP32 : w;
    const uint64_t rows = s->steps * s->batch;
    const uint32_t units = s->units, gates = cell->gates * units;
    vg_scan_fwd *f = &t->forward.scan_fwd;
    vg_scan_bwd *b = &t->backward.scan_bwd;
    f->preact_x = trial_window(t, rows, gates, VG_FP32);
    f->weight_hh = trial_window(t, gates, units, w);
    if (t->seed % 3 == 0) { /* columns of a larger window */
        f->weight_hh.at += vg_dtype_size(w);
    }
    f->bias_hh = trial_window(t, 1, gates, VG_FP32);
    vg_mat states = trial_window(t, s->batch + rows, units, w);
    f->state0[0] = vg_mat_rows(states, 0, s->batch);
    f->y = vg_mat_rows(states, s->batch, rows);
    if (cell->states > 1)
        f->state0[1] = trial_window(t, s->batch, units, VG_FP32);
    if (cell->kept)
        f->reserve = trial_window(t, rows, (cell->kept + cell->states - 1) * units, wide);
    *b = (vg_scan_bwd){.reserve = f->reserve,
                       .y = f->y,
                       .state0 = {f->state0[0], f->state0[1]},
                       .weight_hh = f->weight_hh};
    const vg_dtype dy = t->seed % 2 ? VG_FP32 : w;
    const uint64_t dy_rows = s->dy == TRIAL_DY_ALL ? rows : s->dy == TRIAL_DY_LAST ? s->batch : 0;
    b->dy = trial_window(t, dy_rows, units, dy);
    b->dgates_x = b->dgates_h = trial_window(t, rows, gates, w);
    if (cell->gates_differ)
        b->dgates_h = trial_window(t, rows, gates, w);
    b->dh = trial_window(t, rows, units, VG_FP32);
    for (uint32_t i = 0; i < cell->states; i++) {
        b->dstateT[i] = trial_window(t, s->dstateT ? s->batch : 0, units, VG_FP32);
        b->dstate0[i] = trial_window(t, s->batch, units, VG_FP32);
    }
    if (cell->states > 1)
        b->dc = trial_window(t, rows, units, VG_FP32);
    t->bytes += 64;
}

static inline void trial_fill_inputs(trial *t)
{
    const vg_scan_fwd *f = &t->forward.scan_fwd;
    const vg_scan_bwd *b = &t->backward.scan_bwd;
    trial_fill(t, f->preact_x, 2);
    trial_fill(t, f->weight_hh, 1.7 / sqrt(t->shape.units));
    trial_fill(t, f->bias_hh, 0.5);
    for (int i = 0; i < VG_MAX_STATES; i++) {
        trial_fill(t, f->state0[i], 1);
        trial_fill(t, b->dstateT[i], 1);
    }
    trial_fill(t, b->dy, 1);
    /* Steps before the first are given. */
    const uint64_t given = t->shape.t0 * t->shape.batch;
    if (given) {
        trial_fill(t, vg_mat_rows(f->y, 0, given), 1);
        if (f->reserve.rows)
            trial_fill(t, vg_mat_rows(f->reserve, 0, given), 1);
    }
}

static inline int trial_attribute(enum cudaDeviceAttr attribute)
{
    int value = 0;
    assert_int_equal(cudaDeviceGetAttribute(&value, attribute, 0), cudaSuccess);
    return value;
}

static inline vg_chip trial_chip(void)
{
    return (vg_chip){
        .multiprocessors = (uint32_t)trial_attribute(cudaDevAttrMultiProcessorCount),
        .shared_bytes = (uint64_t)trial_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
        .registers = (uint32_t)trial_attribute(cudaDevAttrMaxRegistersPerMultiprocessor),
        .threads = (uint32_t)trial_attribute(cudaDevAttrMaxThreadsPerMultiProcessor),
        .major = (uint32_t)trial_attribute(cudaDevAttrComputeCapabilityMajor),
    };
}

/* The emulated GPU has so many multiprocessors from here on; another has what it has. */
static inline void trial_machine(uint32_t multiprocessors)
{
#if defined(VG_CUDA_EMULATED)
    emu_settings settings = emu_defaults();
    settings.multiprocessors = multiprocessors;
    assert_int_equal(emu_reset(&settings), 0);
#else
    (void)multiprocessors;
#endif
}

static inline trial *trial_new(trial_cell cell, vg_dtype dtype, trial_shape shape, uint64_t seed)
{
    trial *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->cell = cell;
    t->dtype = dtype;
    t->shape = shape;
    t->seed = seed;
    snprintf(t->name, sizeof t->name, "%s-%s %s H=%u B=%u T=%llu from %llu dy=%d seed %llu",
             vg_cell_find(cell.kind)->name, vg_activation_find(cell.activation)->name,
             vg_dtype_name(dtype), shape.units, shape.batch, (unsigned long long)shape.steps,
             (unsigned long long)shape.t0, (int)shape.dy, (unsigned long long)seed);
    t->program.storage = dtype == VG_BF16 ? VG_BF16 : VG_FP32;
    t->program.model.dtype = dtype;
    snprintf(t->device.name, sizeof t->device.name, "cuda:0");
    t->device.chip = trial_chip();
    t->regime = &vg_scan_s;
    trial_try(t, vg_scan_clusters(&t->device));
    t->exec.device = &t->device;
    t->exec.program = &t->program;
    t->forward = (vg_op){.kind = VG_SCAN_FWD, .cell = cell.kind, .activation = cell.activation};
    t->backward = (vg_op){.kind = VG_SCAN_BWD, .cell = cell.kind, .activation = cell.activation};
    t->forward.batch = t->backward.batch = shape.batch;
    t->forward.t0 = t->backward.t0 = shape.t0;
    t->forward.t1 = t->backward.t1 = shape.steps;
    trial_lay_out(t);
    t->arena = malloc(t->bytes);
    t->before = malloc(t->bytes);
    t->rows = calloc(t->bytes / 2, sizeof *t->rows);
    assert_true(t->arena && t->before && t->rows);
    memset(t->arena, TRIAL_POISON, t->bytes);
    trial_fill_inputs(t);
    memcpy(t->before, t->arena, t->bytes);
    return t;
}

static inline void trial_free(trial *t)
{
    for (uint64_t i = 0; i < t->bytes / 2; i++)
        free(t->rows[i]);
    free(t->rows);
    free(t->before);
    free(t->arena);
    free(t);
}

/* Policy and seed of the emulated schedule; on a GPU nothing. */
static inline void trial_schedule(trial *t, uint64_t seed)
{
#if defined(VG_CUDA_EMULATED)
    emu_settings settings = emu_defaults();
    settings.policy = (emu_policy)(seed % EMU_POLICY_COUNT);
    settings.seed = seed;
    settings.multiprocessors = t->device.chip.multiprocessors;
    assert_int_equal(emu_reset(&settings), 0);
    const size_t length = strlen(t->name);
    snprintf(t->name + length, sizeof t->name - length, " policy %d seed %llu",
             (int)settings.policy, (unsigned long long)seed);
#else
    (void)t, (void)seed;
#endif
}

static inline void trial_steps(trial *t, uint64_t t0, uint64_t t1)
{
    t->forward.t0 = t->backward.t0 = t0;
    t->forward.t1 = t->backward.t1 = t1;
}

static inline void trial_cuda(const trial *t, cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s: %s", t->name, cudaGetErrorString(error));
}

/* The launch of a forced plan, but for its arguments; false where it does not fit. */
static inline bool trial_plan(const trial *t, const vg_op *op, const trial_force *force,
                              vg_launch *out, uint32_t *block_units)
{
    const bool forward = op->kind == VG_SCAN_FWD;
    const vg_dtype w = t->program.storage;
    const vg_scan_block_case c = {op->cell, forward, w, t->shape.units, t->shape.batch};
    const vg_scan_cluster_choice choice = {force->shape, force->cluster, force->slices};
    vg_scan_block_plan s;
    vg_scan_cluster_plan p;
    if (!force->cluster) {
        if (!vg_scan_block_lay_out(&t->device.chip, &c, force->shape, force->slices, &s))
            return false;
        *out =
            (vg_launch){.blocks = s.blocks, .threads = s.threads, .shared_bytes = s.shared_bytes};
        out->kernel = forward ? vg_scan_block_fwd_kernel(op->cell, w, s.shape)
                              : vg_scan_block_bwd_kernel(op->cell, w, s.shape);
        return true;
    }
    if (!vg_scan_cluster_lay_out(&t->device.chip, &c, choice, &p))
        return false;
    *out = (vg_launch){.blocks = p.cluster * (force->clusters ? force->clusters : p.clusters),
                       .threads = p.threads,
                       .cluster = p.cluster,
                       .shared_bytes = p.shared_bytes};
    out->kernel = forward ? vg_scan_cluster_fwd_kernel(op->cell, w, p.shape)
                          : vg_scan_cluster_bwd_kernel(op->cell, w, p.shape);
    *block_units = p.block_units;
    return true;
}

/* With the plan that the row makes, or a forced one: false where that does not fit. */
static inline bool trial_launch(trial *t, const vg_op *op, const trial_force *force)
{
    const bool forward = op->kind == VG_SCAN_FWD;
    const vg_issue issue = {.exec = &t->exec, .op = op, .stream = t->device.stream};
    if (!force) {
        trial_try(t, t->regime->fits(&t->device, op, t->program.storage));
        trial_try(t, t->regime->issue(&issue, NULL));
        return true;
    }
    vg_scan_fwd_args fwd;
    vg_scan_bwd_args bwd;
    vg_launch launch;
    uint32_t block_units = 0;
    if (!trial_plan(t, op, force, &launch, &block_units))
        return false;
    if (forward) {
        vg_scan_fwd_arguments(&t->exec, op, &fwd);
        fwd.slices = force->slices;
        fwd.block_units = block_units;
        launch.arguments = &fwd;
    } else {
        vg_scan_bwd_arguments(&t->exec, op, &bwd);
        bwd.slices = force->slices;
        bwd.block_units = block_units;
        launch.arguments = &bwd;
    }
    trial_try(t, vg_launch_kernel(&t->device, t->device.stream, &launch));
    return true;
}

static inline bool trial_run(trial *t, const vg_op *op, const trial_force *force)
{
    void *memory = NULL;
    trial_cuda(t, cudaStreamCreateWithFlags(&t->device.stream, cudaStreamNonBlocking));
    trial_cuda(t, cudaMalloc(&memory, t->bytes));
    t->exec.arena = memory;
    trial_cuda(t, cudaMemcpy(memory, t->arena, t->bytes, cudaMemcpyHostToDevice));
    const bool ran = trial_launch(t, op, force);
    trial_cuda(t, cudaStreamSynchronize(t->device.stream));
    trial_cuda(t, cudaMemcpy(t->arena, memory, t->bytes, cudaMemcpyDeviceToHost));
    trial_cuda(t, cudaFree(memory));
    trial_cuda(t, cudaStreamDestroy(t->device.stream));
    return ran;
}

static inline bool trial_forward(trial *t, const trial_force *force)
{
    return trial_run(t, &t->forward, force);
}
static inline bool trial_backward(trial *t, const trial_force *force)
{
    return trial_run(t, &t->backward, force);
}

#endif
