/* The device `ref`: any program in double, with plain loops. It times itself like every other
 * device, but it is there to be right, not fast. */
#include "ref.h"

#include "ref_machine.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct vg_device {
    vg_pool *pool; /* null: one thread */
};

struct vg_exec {
    const vg_program *program;
    vg_ref_machine machine;
};

static vg_status ref_list(vg_device_info *out, size_t capacity, size_t *count)
{
    if (capacity)
        out[0] = (vg_device_info){.name = "ref", .description = "double precision, plain loops"};
    *count = 1;
    return VG_OK;
}

/* Processors that this process may use. */
static uint32_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

static vg_status ref_open(const vg_device_info *info, const vg_device_options *options,
                          vg_device **out)
{
    (void)info;
    vg_device *device = calloc(1, sizeof *device);
    if (!device)
        VG_FAIL(VG_NO_MEMORY, "ref: no memory for the device");
    const uint32_t cores = processors(), threads = options->threads ? options->threads : cores;
    if (threads > 1) {
        const vg_status status =
            vg_pool_open(threads, NULL, false, threads <= cores, &device->pool);
        if (status != VG_OK) {
            free(device);
            return status;
        }
    }
    *out = device;
    return VG_OK;
}

static void ref_close(vg_device *device)
{
    if (device)
        vg_pool_close(device->pool);
    free(device);
}

static void ref_applied(vg_device *device, vg_device_applied *out)
{
    const uint32_t threads = device->pool ? vg_pool_threads(device->pool) : 1;
    *out = (vg_device_applied){
        .threads = threads, .bind = VG_BIND_NONE, .denormals = VG_DENORMALS_KEEP};
    snprintf(out->implementation, sizeof out->implementation, "vgbench 0.1.0");
}

static vg_status ref_facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    (void)device;
    (void)emit;
    (void)context;
    return VG_OK;
}

static vg_status ref_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    (void)device;
    (void)dtype;
    *out = (vg_peaks){.flop_per_s = NAN, .barrier_s = NAN};
    return VG_OK;
}

static vg_status ref_telemetry(vg_device *device, vg_telemetry *out)
{
    (void)device;
    *out = (vg_telemetry){NAN, NAN, NAN, NAN, ""};
    return VG_OK;
}

static uint64_t scratch_of(const vg_program *program)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        uint64_t need = vg_ref_scratch(&program->ops[i]);
        most = need > most ? need : most;
    }
    return most;
}

static uint64_t ref_extra_bytes(vg_device *device, const vg_program *program)
{
    (void)device;
    return scratch_of(program) * sizeof(double);
}

static void ref_unload(vg_exec *exec)
{
    if (!exec)
        return;
    free(exec->machine.arena);
    free(exec->machine.slots);
    free(exec->machine.scratch);
    free(exec);
}

/* Zeros, aligned to a cache line; null where there is no room. */
static void *zeros(uint64_t bytes)
{
    if (bytes > SIZE_MAX - 64)
        return NULL;
    void *out = NULL;
    if (posix_memalign(&out, 64, (size_t)bytes + 64))
        return NULL;
    return memset(out, 0, (size_t)bytes + 64);
}

static vg_status ref_load(vg_device *device, const vg_model *model, const vg_program *program,
                          vg_exec **out)
{
    (void)model;
    VG_TRY(vg_program_check(program));
    vg_exec *exec = calloc(1, sizeof *exec);
    if (exec) {
        vg_ref_machine *machine = &exec->machine;
        exec->program = program;
        machine->pool = device->pool;
        machine->scratch_size = scratch_of(program);
        machine->arena = zeros(program->arena_bytes);
        machine->slots = calloc((size_t)program->slot_count + 1, sizeof *machine->slots);
        machine->scratch = zeros(machine->scratch_size * sizeof(double));
        if (machine->arena && machine->slots && machine->scratch) {
            *out = exec;
            return VG_OK;
        }
    }
    ref_unload(exec);
    VG_FAIL(VG_NO_MEMORY, "ref: no %.3g GB for the arena and scratch",
            (double)(program->arena_bytes + scratch_of(program) * sizeof(double)) / 1e9);
}

static vg_status ref_choice(vg_exec *exec, char *out, size_t size)
{
    (void)exec;
    snprintf(out, size, "loops");
    return VG_OK;
}

static vg_status ref_write(vg_exec *exec, vg_mat to, const double *from)
{
    for (uint64_t r = 0; r < to.rows; r++)
        vg_ref_put_row(&exec->machine, &to, r, from + r * to.cols);
    return VG_OK;
}

static vg_status ref_read(vg_exec *exec, vg_mat from, double *to)
{
    for (uint64_t r = 0; r < from.rows; r++)
        vg_ref_get_row(&exec->machine, &from, r, to + r * from.cols);
    return VG_OK;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static vg_status ref_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    vg_pool *pool = exec->machine.pool;
    if (pool)
        vg_pool_enter(pool);
    const double start = now();
    for (uint32_t n = 0; n < times; n++)
        for (uint32_t i = 0; i < exec->program->op_count; i++)
            if (exec->program->ops[i].pass & passes)
                vg_ref_run(&exec->machine, &exec->program->ops[i]);
    *seconds = now() - start;
    if (pool)
        vg_pool_leave(pool);
    return VG_OK;
}

static vg_status ref_slots(vg_exec *exec, vg_slot *out)
{
    memcpy(out, exec->machine.slots, exec->program->slot_count * sizeof *out);
    return VG_OK;
}

const vg_driver vg_ref_driver = {.family = "ref",
                                 .help = "the oracle: double precision, plain loops",
                                 .oracle = true,
                                 .list = ref_list,
                                 .open = ref_open,
                                 .close = ref_close,
                                 .applied = ref_applied,
                                 .facts = ref_facts,
                                 .peaks = ref_peaks,
                                 .telemetry = ref_telemetry,
                                 .extra_bytes = ref_extra_bytes,
                                 .load = ref_load,
                                 .unload = ref_unload,
                                 .choice = ref_choice,
                                 .write = ref_write,
                                 .read = ref_read,
                                 .run = ref_run,
                                 .slots = ref_slots};
