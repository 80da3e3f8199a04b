/* Device `null`: takes every program, computes nothing, and answers with numbers that depend on the
 * program alone. What is left when it runs is the harness, so its files can be compared byte by
 * byte, and its failures can be ordered. */
#include "vg/device.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const vg_driver vg_null_driver;

/* The clock's own speed: a region lasts 1 µs and its FLOP at this rate. */
static const double flop_per_s = 1e9;

struct vg_device {
    vg_device_applied applied;
    char fail[16], at[16];
    uint64_t seed; /* fails with this seed only; 0: with every one */
    bool wanders;  /* its peaks do, from one measurement to the next */
    unsigned measured;
};

struct vg_exec {
    const vg_device *device;
    const vg_program *program;
};

static const vg_option options[] = {
    {"fail", "none|unsupported|memory|lost|crash|killed|exit|hang",
     "what goes wrong, to see what the harness makes of it"},
    {"at", "run|load|open|peaks", "where it goes wrong"},
    {"seed", "0|1..4294967295", "the seed whose cases fail; 0: every case"},
    {"peak", "steady|wanders", "wanders: by a tenth each time, as on a machine with other work"},
    {NULL, NULL, NULL}};

static vg_status list(vg_device_info *out, size_t capacity, size_t *count)
{
    if (capacity > 0)
        out[0] = (vg_device_info){.name = "null", .description = "computes nothing"};
    *count = 1;
    return VG_OK;
}

/* What --device-option=null.fail ordered, where `at` is this place. */
static vg_status fail_here(const vg_device *device, const char *at)
{
    const char *fail = device->fail;
    if (strcmp(device->at, at) != 0 || strcmp(fail, "none") == 0)
        return VG_OK;
    if (strcmp(fail, "unsupported") == 0)
        VG_FAIL(VG_UNSUPPORTED, "null.fail=unsupported");
    if (strcmp(fail, "memory") == 0)
        VG_FAIL(VG_NO_MEMORY, "null.fail=memory");
    if (strcmp(fail, "lost") == 0)
        VG_FAIL(VG_DEVICE_LOST, "null.fail=lost");
    if (strcmp(fail, "exit") == 0)
        _exit(9);
    if (strcmp(fail, "crash") == 0)
        abort();
    if (strcmp(fail, "killed") == 0)
        raise(SIGKILL);
    for (;;) /* hang */
        pause();
}

static vg_status fail_case(const vg_exec *exec, const char *at)
{
    uint64_t seed = exec->device->seed;
    return seed == 0 || seed == exec->program->model.seed ? fail_here(exec->device, at) : VG_OK;
}

static vg_status open_device(const vg_device_info *info, const vg_device_options *asked,
                             vg_device **out)
{
    (void)info;
    vg_device *device = calloc(1, sizeof *device);
    if (device == NULL)
        VG_FAIL(VG_NO_MEMORY, "null: no memory for a device");
    device->applied.threads = asked->threads > 0 ? asked->threads : 1;
    device->applied.bind = asked->bind;
    device->applied.denormals = asked->denormals;
    snprintf(device->applied.implementation, sizeof device->applied.implementation, "null 1");
    snprintf(device->fail, sizeof device->fail, "none");
    snprintf(device->at, sizeof device->at, "run");
    for (const vg_setting *s = asked->settings; s != NULL && s->name != NULL; s++) {
        if (strcmp(s->name, "fail") == 0)
            snprintf(device->fail, sizeof device->fail, "%s", s->value);
        else if (strcmp(s->name, "at") == 0)
            snprintf(device->at, sizeof device->at, "%s", s->value);
        else if (strcmp(s->name, "peak") == 0)
            device->wanders = strcmp(s->value, "wanders") == 0;
        else
            device->seed = strtoull(s->value, NULL, 10);
    }
    vg_status status = fail_here(device, "open");
    if (status != VG_OK) {
        free(device);
        return status;
    }
    *out = device;
    return VG_OK;
}

static void close_device(vg_device *device)
{
    free(device);
}

static void applied(vg_device *device, vg_device_applied *out)
{
    *out = device->applied;
}

static vg_status facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    (void)device;
    emit(context, "device", "null");
    return VG_OK;
}

static vg_status peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    (void)dtype;
    VG_TRY(fail_here(device, "peaks"));
    double wandered = device->wanders && device->measured++ % 2 ? 1.1 : 1;
    *out = (vg_peaks){.flop_per_s = wandered * flop_per_s, .levels = 1, .barrier_s = 1e-6};
    out->level[0] = (vg_level){.bytes_per_s = flop_per_s, .capacity_bytes = INFINITY};
    return VG_OK;
}

static vg_status telemetry(vg_device *device, vg_telemetry *out)
{
    (void)device;
    *out = (vg_telemetry){.clock_mhz = NAN, .power_w = NAN, .energy_j = NAN, .temperature_c = NAN};
    return VG_OK;
}

static vg_status load(vg_device *device, const vg_model *model, const vg_program *program,
                      vg_exec **out)
{
    (void)model;
    const vg_exec exec = {device, program};
    VG_TRY(fail_case(&exec, "load"));
    vg_exec *made = malloc(sizeof *made);
    if (made == NULL)
        VG_FAIL(VG_NO_MEMORY, "null: no memory for a program");
    *made = exec;
    *out = made;
    return VG_OK;
}

static void unload(vg_exec *exec)
{
    free(exec);
}

static vg_status choice(vg_exec *exec, char *out, size_t size)
{
    (void)exec;
    snprintf(out, size, "none");
    return VG_OK;
}

static vg_status write_window(vg_exec *exec, vg_mat to, const double *from)
{
    (void)exec;
    (void)to;
    (void)from;
    return VG_OK;
}

static vg_status read_window(vg_exec *exec, vg_mat from, double *to)
{
    (void)exec;
    memset(to, 0, (size_t)(from.rows * from.cols) * sizeof *to);
    return VG_OK;
}

static vg_status run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    VG_TRY(fail_case(exec, "run"));
    *seconds = times * (1e-6 + vg_program_flop(exec->program, passes) / flop_per_s);
    return VG_OK;
}

/* Slot i holds the square of a norm of 2^(-i/2), round and round over 512 of them. */
static vg_status slots(vg_exec *exec, vg_slot *out)
{
    for (uint32_t i = 0; i < exec->program->slot_count; i++)
        out[i] = (vg_slot){.sum_squares = ldexp(1, -(int)(i % 512)),
                           .max_abs = 1,
                           .elements = 1,
                           .mean_abs_derivative = 0.25};
    return VG_OK;
}

const vg_driver vg_null_driver = {
    .family = "null",
    .help = "computes nothing, in a time of its own: to test the harness and its files",
    .options = options,
    .hollow = true,
    .list = list,
    .open = open_device,
    .close = close_device,
    .applied = applied,
    .facts = facts,
    .peaks = peaks,
    .telemetry = telemetry,
    .load = load,
    .unload = unload,
    .choice = choice,
    .write = write_window,
    .read = read_window,
    .run = run,
    .slots = slots,
};
