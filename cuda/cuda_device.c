/* The driver "cuda": which GPUs there are, why others are not, and a device opened on one of them.
 */
#include "cuda_exec.h"
#include "nvml.h"
#include "reduce_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Older chips lack the asynchronous copies and the tf32 rounding that the kernels use. */
enum { LEAST_ARCHITECTURE = 80 };

static const vg_option options[] = {
    {"scan", "auto|L|M|S|C",
     "how a recurrence runs: a launch a step, all blocks together, each block for itself, or "
     "clusters of blocks"},
    {"pieces", "auto|1|2|4|8|16|32",
     "into how many pieces of its steps a recurrence is cut, the layers' pieces running beside "
     "each other"},
    {"stack", "auto|persistent|graph",
     "how a stack of dense layers runs: equal layers in one kernel, or each layer's in a graph"},
    {0},
};

/* --- what is here --- */

/* The oldest driver for the runtime of this build, as NVIDIA names them. */
static int driver_needed(int runtime)
{
    return runtime >= 13000 ? 580 : 525;
}

static void no_device_text(vg_device_info *info)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible)
        snprintf(info->absent, sizeof info->absent,
                 "CUDA_VISIBLE_DEVICES=%.24s shows no GPU: unset it, or name one of nvidia-smi -L",
                 visible);
    else
        snprintf(info->absent, sizeof info->absent,
                 "the NVIDIA driver shows no GPU: see nvidia-smi -L; in a container, give it the "
                 "GPUs (docker: --gpus all)");
}

/* Why the runtime finds no device at all, and what to do about it. */
static void absent_text(cudaError_t error, int driver, vg_device_info *info)
{
    int runtime = CUDART_VERSION;
    (void)cudaRuntimeGetVersion(&runtime);
    if (error == cudaSuccess || error == cudaErrorNoDevice) {
        no_device_text(info);
    } else if (driver == 0) {
        snprintf(info->absent, sizeof info->absent,
                 "no NVIDIA driver: install version %d or newer; in a container, give it the GPUs "
                 "(docker: --gpus all)",
                 driver_needed(runtime));
    } else if (error == cudaErrorInsufficientDriver) {
        snprintf(info->absent, sizeof info->absent,
                 "the NVIDIA driver is for CUDA %d.%d, this build needs %d.%d: install driver %d "
                 "or newer, or build with a CUDA %d toolkit",
                 driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10,
                 driver_needed(runtime), driver / 1000);
    } else {
        snprintf(info->absent, sizeof info->absent, "the NVIDIA driver answers: %s (%s)",
                 cudaGetErrorString(error), cudaGetErrorName(error));
    }
}

/* Whether VG_CUDA_CODE ("sm_80 sm_90 compute_90") has code for a chip: machine code runs on later
 * chips of its generation (with a letter on no other), PTX on every later chip. */
static bool has_code(uint32_t major, uint32_t minor)
{
    const unsigned long chip = 10ul * major + minor;
    for (const char *at = VG_CUDA_CODE; *at; at += strspn(at, " ")) {
        const char *digits = at + strcspn(at, "_") + 1;
        char *end;
        unsigned long code = strtoul(digits, &end, 10);
        if (*end != ' ' && *end != '\0' ? code == chip
            : *at == 'c'                ? code <= chip
                                        : code <= chip && code / 10 == chip / 10)
            return true;
        at += strcspn(at, " ");
    }
    return false;
}

static void chip_text(uint32_t major, uint32_t minor, char *out, size_t size)
{
    if (10 * major + minor < LEAST_ARCHITECTURE)
        snprintf(out, size, "this GPU is sm_%u%u: sm_%d or newer is needed", major, minor,
                 LEAST_ARCHITECTURE);
    else
        snprintf(out, size,
                 "built for %s; this GPU is sm_%u%u: configure with -DVG_CUDA_ARCHITECTURES=%u%u",
                 VG_CUDA_CODE, major, minor, major, minor);
}

static vg_status attribute(int ordinal, enum cudaDeviceAttr which, uint32_t *out)
{
    int value = 0;
    VG_CUDA(NULL, cudaDeviceGetAttribute(&value, which, ordinal));
    *out = value > 0 ? (uint32_t)value : 0;
    return VG_OK;
}

/* One GPU that the runtime counts; what is wrong with it becomes its reason. */
static vg_status gpu_row(int ordinal, vg_device_info *info)
{
    uint32_t major, minor, mode;
    struct cudaDeviceProp properties;
    VG_CUDA(NULL, cudaGetDeviceProperties(&properties, ordinal));
    VG_TRY(attribute(ordinal, cudaDevAttrComputeCapabilityMajor, &major));
    VG_TRY(attribute(ordinal, cudaDevAttrComputeCapabilityMinor, &minor));
    VG_TRY(attribute(ordinal, cudaDevAttrComputeMode, &mode));
    snprintf(info->description, sizeof info->description, "%.64s, %.0f GiB", properties.name,
             (double)properties.totalGlobalMem / (1 << 30));
    if (!has_code(major, minor))
        chip_text(major, minor, info->absent, sizeof info->absent);
    else if (mode == cudaComputeModeProhibited)
        snprintf(info->absent, sizeof info->absent,
                 "its compute mode is prohibited: an administrator can allow it, nvidia-smi -c 0");
    return VG_OK;
}

vg_status vg_cuda_list(const char *family, vg_device_info *out, size_t capacity, size_t *count)
{
    int gpus = 0, driver = -1;
    (void)cudaDriverGetVersion(&driver);
    cudaError_t error = cudaGetDeviceCount(&gpus);
    (void)cudaGetLastError();
    gpus = error == cudaSuccess ? gpus : 0;
    *count = gpus ? (size_t)gpus : 1;
    for (size_t i = 0; i < *count && i < capacity; i++) {
        vg_device_info info = {.index = (uint32_t)i, .automatic = true};
        snprintf(info.name, sizeof info.name, "%s:%zu", family, i);
        if (gpus == 0)
            absent_text(error, driver, &info);
        else if (gpu_row((int)i, &info) != VG_OK)
            snprintf(info.absent, sizeof info.absent, "%s", vg_reason());
        out[i] = info;
    }
    return VG_OK;
}

static vg_status cuda_list(vg_device_info *out, size_t capacity, size_t *count)
{
    return vg_cuda_list("cuda", out, capacity, count);
}

/* --- open and close --- */

static vg_status chip_look(int ordinal, vg_chip *out)
{
    uint32_t l2, cooperative;
    struct cudaDeviceProp properties;
    const struct {
        enum cudaDeviceAttr which;
        uint32_t *to;
    } rows[] = {
        {cudaDevAttrMultiProcessorCount, &out->multiprocessors},
        {cudaDevAttrComputeCapabilityMajor, &out->major},
        {cudaDevAttrComputeCapabilityMinor, &out->minor},
        {cudaDevAttrMaxRegistersPerMultiprocessor, &out->registers},
        {cudaDevAttrMaxThreadsPerMultiProcessor, &out->threads},
        {cudaDevAttrL2CacheSize, &l2},
        {cudaDevAttrCooperativeLaunch, &cooperative},
    };
    uint32_t shared;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        VG_TRY(attribute(ordinal, rows[i].which, rows[i].to));
    VG_TRY(attribute(ordinal, cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared));
    VG_CUDA(NULL, cudaGetDeviceProperties(&properties, ordinal));
    out->shared_bytes = shared;
    out->l2_bytes = l2;
    out->memory_bytes = properties.totalGlobalMem;
    out->cooperative = cooperative != 0;
    return VG_OK;
}

/* That a kernel of ours can be loaded: the one thing that only trying tells (a driver too old for
 * the PTX, no compiler in the driver). */
static vg_status kernels_check(vg_device *device)
{
    struct cudaFuncAttributes found;
    char words[128];
    cudaError_t error = cudaFuncGetAttributes(&found, vg_measure_kernel(VG_FP32).function);
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
        error == cudaErrorUnsupportedPtxVersion) {
        (void)cudaGetLastError();
        chip_text(device->chip.major, device->chip.minor, words, sizeof words);
        VG_FAIL(VG_UNSUPPORTED, "%s: %s (%s)", device->name, words, cudaGetErrorName(error));
    }
    return vg_cuda_check(device, error, "cudaFuncGetAttributes");
}

/* Which of `names`, which end with a null, the setting says; 0 where it is not there. */
static int setting_of(const vg_setting *settings, const char *name, const char *const *names)
{
    int found = 0;
    for (const vg_setting *s = settings; s && s->name; s++)
        for (int i = 0; strcmp(s->name, name) == 0 && names[i]; i++)
            if (strcmp(s->value, names[i]) == 0)
                found = i;
    return found;
}

/* 0: auto. */
static uint32_t pieces_of(const vg_setting *settings)
{
    uint32_t pieces = 0;
    for (const vg_setting *s = settings; s && s->name; s++)
        if (strcmp(s->name, "pieces") == 0)
            pieces = (uint32_t)strtoul(s->value, NULL, 10);
    return pieces;
}

static vg_status device_start(vg_device *device, const vg_device_options *wanted)
{
    VG_CUDA(device, cudaSetDevice(device->ordinal));
    VG_TRY(chip_look(device->ordinal, &device->chip));
    VG_TRY(kernels_check(device));
    VG_TRY(vg_scan_clusters(device));
    VG_CUDA(device, cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking));
    VG_CUDA(device, cudaStreamCreateWithFlags(&device->side, cudaStreamNonBlocking));
    VG_CUDA(device, cudaEventCreate(&device->start));
    VG_CUDA(device, cudaEventCreate(&device->stop));
    VG_TRY(vg_gemm_open(device));
    VG_TRY(vg_gemm_learn(device));
    device->nvml = vg_nvml_open(device->ordinal);
    bool bound = wanted->bind == VG_BIND_CORE && vg_cuda_bind_near(device->ordinal);
    device->applied = (vg_device_applied){
        .threads = 1,
        .bind = bound ? VG_BIND_CORE : VG_BIND_NONE,
        .denormals = device->traits.keeps_subnormals ? VG_DENORMALS_KEEP : VG_DENORMALS_FLUSH};
    snprintf(device->applied.implementation, sizeof device->applied.implementation,
             "vgbench %s, %s", VG_VERSION, vg_gemm_version(device));
    return VG_OK;
}

vg_status vg_cuda_open(const vg_device_info *info, const vg_device_options *wanted, vg_device **out)
{
    static const char *const regimes[] = {"auto", "L", "M", "S", "C", NULL};
    static const char *const forms[] = {"auto", "persistent", "graph", NULL};
    if (wanted->denormals == VG_DENORMALS_FLUSH)
        VG_FAIL(VG_UNSUPPORTED,
                "%s: --denormals=flush: cuBLASLt's products cannot be told to flush", info->name);
    vg_device *device = calloc(1, sizeof *device);
    if (!device)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for the device", info->name);
    device->ordinal = (int)info->index;
    device->regime = (vg_regime)setting_of(wanted->settings, "scan", regimes);
    device->pieces = pieces_of(wanted->settings);
    device->stack = (vg_stack_form)setting_of(wanted->settings, "stack", forms);
    snprintf(device->name, sizeof device->name, "%s", info->name);
    vg_status status = device_start(device, wanted);
    if (status != VG_OK) {
        vg_cuda_close(device);
        return status;
    }
    *out = device;
    return VG_OK;
}

/* What cannot be given back to a lost device is left to the end of the process. */
void vg_cuda_close(vg_device *device)
{
    if (!device)
        return;
    if (device->gemm)
        vg_gemm_close(device);
    if (device->start)
        (void)cudaEventDestroy(device->start);
    if (device->stop)
        (void)cudaEventDestroy(device->stop);
    if (device->stream)
        (void)cudaStreamDestroy(device->stream);
    if (device->side)
        (void)cudaStreamDestroy(device->side);
    vg_nvml_close(device->nvml);
    free(device);
}

void vg_cuda_applied(vg_device *device, vg_device_applied *out)
{
    *out = device->applied;
}

const vg_driver vg_cuda_driver = {
    .family = "cuda",
    .help = "this project's own kernels on NVIDIA's GPUs, products through cuBLASLt",
    .options = options,
    .own_memory = true,
    .list = cuda_list,
    .open = vg_cuda_open,
    .close = vg_cuda_close,
    .applied = vg_cuda_applied,
    .facts = vg_cuda_facts,
    .peaks = vg_cuda_peaks,
    .telemetry = vg_cuda_telemetry,
    .extra_bytes = vg_cuda_extra_bytes,
    .load = vg_cuda_load,
    .unload = vg_cuda_unload,
    .choice = vg_cuda_choice,
    .write = vg_cuda_write,
    .read = vg_cuda_read,
    .run = vg_cuda_run,
    .slots = vg_cuda_slots,
};
