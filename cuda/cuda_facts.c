/* What must be known of a GPU to compare its figures, and its state while it works. No serial
 * number, no UUID. */
#include "nvml.h"

#include "cuda_gemm.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct emitter {
    vg_fact_fn *emit;
    void *context;
} emitter;

static void fact_number(const emitter *e, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    e->emit(e->context, key, text);
}

/* 13000 -> "13.0" */
static void fact_version(const emitter *e, const char *key, int version)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    e->emit(e->context, key, text);
}

static vg_status fact_attribute(vg_device *device, const emitter *e, const char *key,
                                enum cudaDeviceAttr which)
{
    int value = 0;
    VG_CUDA(device, cudaDeviceGetAttribute(&value, which, device->ordinal));
    if (value > 0)
        fact_number(e, key, (uint64_t)value);
    return VG_OK;
}

static vg_status versions(vg_device *device, const emitter *e)
{
    int driver = 0, runtime = 0;
    VG_CUDA(device, cudaDriverGetVersion(&driver));
    VG_CUDA(device, cudaRuntimeGetVersion(&runtime));
    fact_version(e, "cuda.driver", driver);
    fact_version(e, "cuda.runtime", runtime);
    e->emit(e->context, "cuda.products", vg_gemm_version(device));
    e->emit(e->context, "cuda.code", VG_CUDA_CODE);
    return VG_OK;
}

/* "66,32,15,7": how many clusters of 2, 4, 8 and 16 blocks of a multiprocessor each run at once. */
static void fact_clusters(const emitter *e, const vg_chip *chip)
{
    char text[64] = "";
    size_t length = 0;
    for (int i = 0; i < VG_CLUSTER_SIZES; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%u", i ? "," : "",
                                   chip->clusters[i]);
    e->emit(e->context, "gpu.clusters", text);
}

vg_status vg_cuda_facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    const emitter e = {emit, context};
    const vg_chip *chip = &device->chip;
    struct cudaDeviceProp properties;
    char capability[16];
    VG_CUDA(device, cudaGetDeviceProperties(&properties, device->ordinal));
    snprintf(capability, sizeof capability, "%u.%u", chip->major, chip->minor);
    emit(context, "gpu.name", properties.name);
    emit(context, "gpu.compute_capability", capability);
    fact_number(&e, "gpu.multiprocessors", chip->multiprocessors);
    fact_number(&e, "gpu.memory_bytes", chip->memory_bytes);
    fact_number(&e, "gpu.l2_bytes", chip->l2_bytes);
    fact_number(&e, "gpu.shared_bytes_a_block", chip->shared_bytes);
    fact_number(&e, "gpu.registers_a_multiprocessor", chip->registers);
    fact_clusters(&e, chip);
    VG_TRY(fact_attribute(device, &e, "gpu.memory_bus_bits", cudaDevAttrGlobalMemoryBusWidth));
    VG_TRY(versions(device, &e));
    vg_nvml_facts(device->nvml, emit, context);
    return VG_OK;
}

vg_status vg_cuda_telemetry(vg_device *device, vg_telemetry *out)
{
    vg_nvml_telemetry(device->nvml, out);
    return VG_OK;
}
