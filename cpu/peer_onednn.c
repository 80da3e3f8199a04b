/* The device family cpu.onednn: whole models handed to oneDNN, on the same cores, with the same
 * inputs and the same handling of subnormals as our own devices. Its inside cannot be read, so it
 * is verified as a whole, and it has no probe. */
#include "peer_onednn.h"

#include "cpu_device.h"
#include "denormals.h"
#include "topology.h"

#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const vg_option options[] = {
    {"product", "auto|packed|plain|matmul",
     "dense layers: inner products on packed or plain weights, matmuls, or whichever is fastest"},
    {NULL, NULL, NULL}};

struct vg_device {
    vg_device *own; /* our best device, whose peaks and facts are those of the machine */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    vg_topology topology;
    vg_device_applied applied;
    vg_onednn_form form;
};

/* Devices. */

static vg_status best_cpu(vg_device_info *out)
{
    vg_device_info infos[16];
    size_t count;
    bool found = false;
    VG_TRY(vg_cpu_driver.list(infos, 16, &count));
    for (size_t i = 0; i < count && i < 16; i++)
        if (!infos[i].absent[0] && (!found || infos[i].rank > out->rank)) {
            *out = infos[i];
            found = true;
        }
    if (!found)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: this build has no CPU device beside it");
    return VG_OK;
}

static vg_status onednn_list(vg_device_info *out, size_t capacity, size_t *count)
{
    vg_device_info best = {0};
    VG_TRY(best_cpu(&best));
    if (capacity) {
        out[0] = (vg_device_info){.name = "cpu.onednn"};
        memcpy(out[0].description, best.description, sizeof best.description);
        char *comma = strrchr(out[0].description, ','); /* the instruction set of our own */
        if (comma)
            *comma = '\0';
    }
    *count = 1;
    return VG_OK;
}

static void onednn_close(vg_device *device)
{
    if (!device)
        return;
    if (device->stream)
        dnnl_stream_destroy(device->stream);
    if (device->engine)
        dnnl_engine_destroy(device->engine);
    vg_topology_close(&device->topology);
    if (device->own)
        vg_cpu_driver.close(device->own);
    free(device);
}

static bool bind_thread(const vg_device *device, uint32_t thread)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(device->topology.cpus[thread], &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* What the calling thread was before it worked for the library. */
typedef struct caller {
    cpu_set_t set;
    uint64_t denormals;
} caller;

/* Settles OpenMP's threads, the caller among them: where they run, and what they make of
 * subnormals. They last; what is done again is cheap. */
static caller enter(vg_device *device)
{
    caller before;
    const bool bind = device->applied.bind == VG_BIND_CORE;
    const bool flush = device->applied.denormals == VG_DENORMALS_FLUSH;
    sched_getaffinity(0, sizeof before.set, &before.set);
    before.denormals = vg_denormals_word();
    omp_set_dynamic(0);
    omp_set_num_threads((int)device->applied.threads);
#pragma omp parallel
    {
        if (bind)
            (void)bind_thread(device, (uint32_t)omp_get_thread_num());
        else /* a device that was open before may have bound it */
            (void)sched_setaffinity(0, sizeof before.set, &before.set);
        (void)vg_denormals_set(flush);
    }
    return before;
}

static void leave(const caller *before)
{
    vg_denormals_restore(before->denormals);
    sched_setaffinity(0, sizeof before->set, &before->set);
}

static vg_onednn_form form_of(const vg_setting *settings)
{
    vg_onednn_form form = VG_ONEDNN_FORMS;
    for (const vg_setting *s = settings; s && s->name; s++)
        for (int f = 0; f < VG_ONEDNN_FORMS; f++)
            if (strcmp(s->name, "product") == 0 && strcmp(s->value, vg_onednn_form_names[f]) == 0)
                form = (vg_onednn_form)f;
    return form;
}

static vg_status open_all(vg_device *device, const vg_device_options *wanted)
{
    vg_device_info best = {0};
    vg_device_options plain = *wanted;
    plain.settings = NULL;
    device->form = form_of(wanted->settings);
    VG_TRY(best_cpu(&best));
    VG_TRY(vg_cpu_driver.open(&best, &plain, &device->own));
    vg_cpu_driver.applied(device->own, &device->applied);
    device->applied.flushing = 0; /* as the thread's mode says, in every product */
    const dnnl_version_t *version = dnnl_version();
    if (version->major != DNNL_VERSION_MAJOR)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN is version %d.%d here: expected %d, as built with",
                version->major, version->minor, DNNL_VERSION_MAJOR);
    snprintf(device->applied.implementation, sizeof device->applied.implementation,
             "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    VG_TRY(vg_topology_open(&device->topology));
    VG_ONEDNN(dnnl_engine_create(&device->engine, dnnl_cpu, 0));
    VG_ONEDNN(dnnl_stream_create(&device->stream, device->engine, dnnl_stream_default_flags));
    return VG_OK;
}

static vg_status onednn_open(const vg_device_info *info, const vg_device_options *wanted,
                             vg_device **out)
{
    (void)info;
    vg_device *device = calloc(1, sizeof *device);
    if (!device)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for the device");
    vg_status status = open_all(device, wanted);
    if (status != VG_OK) {
        onednn_close(device);
        return status;
    }
    *out = device;
    return VG_OK;
}

static void onednn_applied(vg_device *device, vg_device_applied *out)
{
    *out = device->applied;
}

static vg_status onednn_facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    emit(context, "onednn_version", strchr(device->applied.implementation, ' ') + 1);
    return vg_cpu_driver.facts(device->own, emit, context);
}

static vg_status onednn_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    return vg_cpu_driver.peaks(device->own, dtype, out);
}

static vg_status onednn_telemetry(vg_device *device, vg_telemetry *out)
{
    return vg_cpu_driver.telemetry(device->own, out);
}

/* Programs. */

static void onednn_unload(vg_exec *exec)
{
    if (!exec)
        return;
    vg_onednn_net_free(exec);
    free(exec);
}

static vg_status build(vg_exec *exec, const vg_model *model)
{
    if (model->dtype != VG_FP32)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN is compared in fp32 only, not in %s",
                vg_dtype_name(model->dtype));
    if (model->clip_norm > 0)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN has no clipping");
    for (uint32_t i = 0; i < exec->program->op_count; i++)
        if (exec->program->ops[i].kind == VG_LOSS_OP)
            exec->loss = &exec->program->ops[i];
    VG_TRY(model->kind == VG_stack ? vg_onednn_stack(exec, model)
                                   : vg_onednn_recurrent(exec, model));
    if (exec->loss && exec->loss->loss.target.rows) {
        const vg_mat target = exec->loss->loss.target;
        float *at;
        VG_TRY(vg_onednn_floats(exec, target.rows * target.cols, &at));
        VG_TRY(vg_onednn_place(exec, at, NULL, 0, "target"));
    }
    return VG_OK;
}

static vg_status onednn_load(vg_device *device, const vg_model *model, const vg_program *program,
                             vg_exec **out)
{
    vg_exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for a program");
    exec->device = device;
    exec->program = program;
    exec->engine = device->engine;
    exec->form = device->form;
    /* The library looks at the number of threads when it chooses. */
    const caller before = enter(device);
    vg_status status = build(exec, model);
    leave(&before);
    if (status != VG_OK) {
        onednn_unload(exec);
        return status;
    }
    *out = exec;
    return VG_OK;
}

static vg_status onednn_choice(vg_exec *exec, char *out, size_t size)
{
    snprintf(out, size, "%s", exec->algorithm);
    return VG_OK;
}

/* Passes. */

static vg_status run_steps(vg_exec *exec, unsigned passes)
{
    for (size_t i = 0; i < exec->step_count; i++) {
        const vg_onednn_step *step = &exec->steps[i];
        if (!(step->pass & passes))
            continue;
        if (step->loop)
            step->loop(step);
        else
            VG_ONEDNN(dnnl_primitive_execute(step->primitive, exec->device->stream, step->arg_count,
                                             step->args));
    }
    VG_ONEDNN(dnnl_stream_wait(exec->device->stream));
    return VG_OK;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

vg_status vg_onednn_time(vg_exec *exec, vg_pass pass, double *seconds)
{
    enum { FEWEST = 2 };
    const double enough_s = 0.02;
    double spent = 0;
    VG_TRY(run_steps(exec, pass));
    *seconds = (double)INFINITY;
    for (int runs = 0; runs < FEWEST || spent < enough_s; runs++) {
        const double start = now_s();
        VG_TRY(run_steps(exec, pass));
        const double took = now_s() - start;
        spent += took;
        *seconds = fmin(*seconds, took);
    }
    return VG_OK;
}

static vg_status onednn_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    const unsigned back = passes & VG_PASSES_BWD;
    if (passes & (VG_PASS_PROBE | VG_PASS_EXACT))
        VG_FAIL(VG_UNSUPPORTED, "oneDNN shows no gradient inside its layers");
    if (exec->whole_backward && back && back != VG_PASSES_BWD)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: backward is one primitive");
    *seconds = 0;
    if (passes == VG_PASS_LOSS)
        return vg_onednn_loss(exec);
    if (passes & VG_PASS_LOSS)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: the loss is a pass of its own");
    const caller before = enter(exec->device);
    const double start = now_s();
    vg_status status = VG_OK;
    for (uint32_t n = 0; n < times && status == VG_OK; n++)
        status = run_steps(exec, passes);
    *seconds = now_s() - start;
    leave(&before);
    return status;
}

static vg_status onednn_slots(vg_exec *exec, vg_slot *out)
{
    memset(out, 0, exec->program->slot_count * sizeof *out);
    if (exec->loss)
        out[exec->loss->slot].sum_squares = exec->loss_value;
    return VG_OK;
}

const vg_driver vg_onednn_driver = {
    .family = "cpu.onednn",
    .help = "oneDNN's primitives, on the same cores and data",
    .options = options,
    .opaque = true,
    .list = onednn_list,
    .open = onednn_open,
    .close = onednn_close,
    .applied = onednn_applied,
    .facts = onednn_facts,
    .peaks = onednn_peaks,
    .telemetry = onednn_telemetry,
    .load = onednn_load,
    .unload = onednn_unload,
    .choice = onednn_choice,
    .write = vg_onednn_write,
    .read = vg_onednn_read,
    .run = onednn_run,
    .slots = onednn_slots,
};
