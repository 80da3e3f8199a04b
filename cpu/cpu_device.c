/* The driver "cpu": which instruction sets there are, and a device of threads for one of them. */
#include "cpu_device.h"

#include "cpu_exec.h"
#include "cpu_features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const vg_option options[] = {
    {"scan", "auto|units|batch|layers|beside",
     "how threads share recurrent steps: by hidden units, batch rows, or layers as a wavefront; "
     "beside: by units, with the layer's dense product beside them (one batch row, AVX-512)"},
    {"bf16", "auto|amx|vdpbf16ps",
     "what products in bf16 are computed by: AMX tiles, AVX-512, or the first of them that is "
     "here"},
    {0},
};

static void description(char *out, size_t size, const char *isa)
{
    char model[64] = "CPU", line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon || colon[1] == '\0')
            continue;
        snprintf(model, sizeof model, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f)
        fclose(f);
    snprintf(out, size, "%s, %s", model, isa);
}

/* Where it computes in bf16: by what, and why not by AMX. */
static void note(char *out, size_t size, const vg_isa *isa)
{
    if (isa->amx)
        snprintf(out, size, "bf16 by AMX or vdpbf16ps");
    else if (isa->bf16)
        snprintf(out, size, "bf16 by vdpbf16ps, not by AMX: %s", isa->amx_absent);
}

static vg_status cpu_list(vg_device_info *out, size_t capacity, size_t *count)
{
    vg_isa isa[VG_ISA_COUNT];
    vg_isa_list(isa);
    *count = VG_ISA_COUNT;
    for (size_t i = 0; i < *count && i < capacity; i++) {
        vg_device_info info = {.rank = (uint32_t)i, .index = (uint32_t)i, .automatic = true};
        snprintf(info.name, sizeof info.name, "cpu.%s", isa[i].name);
        snprintf(info.absent, sizeof info.absent, "%s", isa[i].absent);
        description(info.description, sizeof info.description, isa[i].name);
        note(info.note, sizeof info.note, &isa[i]);
        out[i] = info;
    }
    return VG_OK;
}

static bool is_set(const vg_setting *settings, const char *name, const char *value)
{
    for (const vg_setting *s = settings; s && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return strcmp(s->value, value) == 0;
    return false;
}

static vg_scan_split split_of(const vg_setting *settings)
{
    return is_set(settings, "scan", "units")    ? VG_SCAN_UNITS
           : is_set(settings, "scan", "batch")  ? VG_SCAN_BATCH
           : is_set(settings, "scan", "layers") ? VG_SCAN_LAYERS
           : is_set(settings, "scan", "beside") ? VG_SCAN_BESIDE
                                                : VG_SCAN_AUTO;
}

static void bf16_choose(vg_device *device, const vg_isa *isa, const vg_setting *settings)
{
    bool amx = is_set(settings, "bf16", "amx");
    if (amx || (isa->amx && !is_set(settings, "bf16", "vdpbf16ps"))) {
        device->bf16 = isa->amx;
        device->bf16_absent = isa->amx_absent;
    } else {
        device->bf16 = isa->bf16;
        device->bf16_absent = isa->bf16_absent;
    }
}

static void warn(const vg_device_options *wanted, const char *format, uint32_t a, uint32_t b)
{
    char text[160];
    snprintf(text, sizeof text, format, a, b);
    if (wanted->warn)
        wanted->warn(wanted->warn_context, text);
}

/* Of the first and second cache what is a core's own: the whole, or its share where cores share it.
 * Of all cores, so that no plan depends on the number of threads. */
static uint64_t near_bytes(const vg_topology *topology)
{
    uint64_t near = topology->caches[0].bytes;
    for (uint32_t c = 0; c < topology->cache_count; c++)
        if (topology->caches[c].level <= 2)
            near = topology->caches[c].used_bytes / topology->cores;
    return near;
}

/* More threads on a core wait for each other at every barrier until a case's time is up. */
enum { MAX_SHARE = 16 };

/* Threads, each bound to its own core where that was asked for and is possible. */
static vg_status threads_start(vg_device *device, const vg_device_options *wanted)
{
    uint32_t cores = device->topology.cores;
    uint32_t threads = wanted->threads ? wanted->threads : cores;
    vg_bind bind = wanted->bind;
    if (threads > MAX_SHARE * cores)
        VG_FAIL(VG_UNSUPPORTED, "%u threads on %u core%s: expected 1..%u", threads, cores,
                cores == 1 ? "" : "s", MAX_SHARE * cores);
    if (threads > cores) {
        warn(wanted, "%u threads share %u cores: they are not bound, and barriers cost more",
             threads, cores);
        bind = VG_BIND_NONE;
    }
    bool flush = wanted->denormals == VG_DENORMALS_FLUSH, spin = threads <= cores;
    const uint32_t *cpus = bind == VG_BIND_CORE ? device->topology.cpus : NULL;
    vg_status status = vg_pool_open(threads, cpus, flush, spin, &device->pool);
    if (status == VG_UNSUPPORTED && cpus) {
        warn(wanted, "%u threads could not be bound to %u cores: not permitted here", threads,
             cores);
        bind = VG_BIND_NONE;
        status = vg_pool_open(threads, NULL, flush, spin, &device->pool);
    }
    VG_TRY(status);
    vg_topology_use(&device->topology, threads);
    device->applied = (vg_device_applied){.threads = threads,
                                          .bind = bind,
                                          .denormals = wanted->denormals,
                                          .flushing = device->bf16 ? 1u << VG_BF16 : 0};
    snprintf(device->applied.implementation, sizeof device->applied.implementation, "vgbench %s",
             VG_VERSION);
    return VG_OK;
}

static void cpu_close(vg_device *device)
{
    if (!device)
        return;
    vg_pool_close(device->pool);
    vg_topology_close(&device->topology);
    free(device->probe);
    free(device);
}

static vg_status cpu_open(const vg_device_info *info, const vg_device_options *wanted,
                          vg_device **out)
{
    vg_isa isa[VG_ISA_COUNT];
    vg_isa_list(isa);
    if (isa[info->index].absent[0])
        VG_FAIL(VG_UNSUPPORTED, "%s: %s", info->name, isa[info->index].absent);
    vg_device *device = calloc(1, sizeof *device);
    if (!device)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for the device", info->name);
    device->kernels = isa[info->index].kernels;
    bf16_choose(device, &isa[info->index], wanted->settings);
    device->scan_split = split_of(wanted->settings);
    vg_status status = vg_topology_open(&device->topology);
    if (status == VG_OK) {
        device->near_bytes = near_bytes(&device->topology);
        status = threads_start(device, wanted);
    }
    if (status != VG_OK) {
        cpu_close(device);
        return status;
    }
    *out = device;
    return VG_OK;
}

static void cpu_applied(vg_device *device, vg_device_applied *out)
{
    *out = device->applied;
}

const vg_driver vg_cpu_driver = {
    .family = "cpu",
    .help = "this project's own kernels, a device for every instruction set",
    .options = options,
    .list = cpu_list,
    .open = cpu_open,
    .close = cpu_close,
    .applied = cpu_applied,
    .facts = vg_cpu_facts,
    .peaks = vg_cpu_peaks,
    .telemetry = vg_cpu_telemetry,
    .extra_bytes = vg_exec_extra_bytes,
    .load = vg_exec_load,
    .unload = vg_exec_unload,
    .choice = vg_exec_choice,
    .write = vg_exec_write,
    .read = vg_exec_read,
    .run = vg_exec_run,
    .slots = vg_exec_slots,
};
