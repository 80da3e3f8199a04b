/* What NVML says of a GPU. Prototypes and constants are those of NVIDIA's "NVML API Reference
 * Guide"; its header is not needed. A function that a driver does not have, or that this user may
 * not ask, leaves its value unknown. */
#include "nvml.h"

#include "library.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct nvmlDevice_st *handle; /* nvmlDevice_t */

/* nvmlClockType_t, nvmlTemperatureSensors_t, nvmlReturn_t */
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, TEMPERATURE_GPU = 0, SUCCESS = 0, TEXT = 96 };

struct vg_nvml {
    handle gpu;
    int (*init)(void);
    int (*shutdown)(void);
    int (*find)(const char *bus_id, handle *);
    int (*driver)(char *, unsigned length);
    int (*clock)(handle, int type, unsigned *mhz);
    int (*clock_max)(handle, int type, unsigned *mhz);
    int (*clock_set)(handle, int type, unsigned *mhz);
    int (*temperature)(handle, int sensor, unsigned *celsius);
    int (*power)(handle, unsigned *mw);
    int (*power_limit)(handle, unsigned *mw);
    int (*power_default)(handle, unsigned *mw);
    int (*energy)(handle, unsigned long long *mj);
    int (*reasons)(handle, unsigned long long *bits);
    int (*ecc)(handle, int *now, int *next);
    int (*persistence)(handle, int *mode);
    int (*mig)(handle, unsigned *now, unsigned *next);
    int (*link_generation)(handle, unsigned *), (*link_width)(handle, unsigned *);
    int (*link_generation_max)(handle, unsigned *), (*link_width_max)(handle, unsigned *);
};

/* Opens what there is; false: not even the library and this GPU. */
static bool functions_find(vg_nvml *n)
{
    static const char *const files[] = {"libnvidia-ml.so.1", NULL};
    const vg_symbol needed[] = {{"nvmlInit_v2", (void **)&n->init},
                                {"nvmlShutdown", (void **)&n->shutdown},
                                {"nvmlDeviceGetHandleByPciBusId_v2", (void **)&n->find},
                                {NULL, NULL}};
    const vg_symbol wanted[] = {
        {"nvmlSystemGetDriverVersion", (void **)&n->driver},
        {"nvmlDeviceGetClockInfo", (void **)&n->clock},
        {"nvmlDeviceGetMaxClockInfo", (void **)&n->clock_max},
        {"nvmlDeviceGetApplicationsClock", (void **)&n->clock_set},
        {"nvmlDeviceGetTemperature", (void **)&n->temperature},
        {"nvmlDeviceGetPowerUsage", (void **)&n->power},
        {"nvmlDeviceGetEnforcedPowerLimit", (void **)&n->power_limit},
        {"nvmlDeviceGetPowerManagementDefaultLimit", (void **)&n->power_default},
        {"nvmlDeviceGetTotalEnergyConsumption", (void **)&n->energy},
        /* The older name is that of drivers before 535. */
        {"nvmlDeviceGetCurrentClocksThrottleReasons", (void **)&n->reasons},
        {"nvmlDeviceGetCurrentClocksEventReasons", (void **)&n->reasons},
        {"nvmlDeviceGetEccMode", (void **)&n->ecc},
        {"nvmlDeviceGetPersistenceMode", (void **)&n->persistence},
        {"nvmlDeviceGetMigMode", (void **)&n->mig},
        {"nvmlDeviceGetCurrPcieLinkGeneration", (void **)&n->link_generation},
        {"nvmlDeviceGetCurrPcieLinkWidth", (void **)&n->link_width},
        {"nvmlDeviceGetMaxPcieLinkGeneration", (void **)&n->link_generation_max},
        {"nvmlDeviceGetMaxPcieLinkWidth", (void **)&n->link_width_max},
    };
    if (vg_library_open(files, needed) != VG_OK)
        return false;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const vg_symbol one[] = {wanted[i], {NULL, NULL}};
        (void)vg_library_open(files, one);
    }
    return true;
}

vg_nvml *vg_nvml_open(int ordinal)
{
    char bus_id[32];
    if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, ordinal) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    vg_nvml *nvml = calloc(1, sizeof *nvml);
    if (!nvml || !functions_find(nvml) || nvml->init() != SUCCESS) {
        free(nvml);
        return NULL;
    }
    if (nvml->find(bus_id, &nvml->gpu) != SUCCESS) {
        vg_nvml_close(nvml);
        return NULL;
    }
    return nvml;
}

void vg_nvml_close(vg_nvml *nvml)
{
    if (nvml)
        (void)nvml->shutdown();
    free(nvml);
}

/* --- telemetry --- */

static double clock_of(int (*ask)(handle, int, unsigned *), handle gpu, int type)
{
    unsigned mhz;
    return ask && ask(gpu, type, &mhz) == SUCCESS ? (double)mhz : NAN;
}

static double number_of(int (*ask)(handle, unsigned *), handle gpu)
{
    unsigned value;
    return ask && ask(gpu, &value) == SUCCESS ? (double)value : NAN;
}

/* nvmlClocksEventReasons as words. An idle GPU is not slowed down by anything. */
static void reasons_text(unsigned long long bits, char *out, size_t size)
{
    static const struct {
        unsigned bit;
        const char *word;
    } rows[] = {
        {0x2, "clocks_set"},   {0x4, "power_cap"},       {0x8, "hardware"},
        {0x10, "sync_boost"},  {0x20, "thermal"},        {0x40, "hardware_thermal"},
        {0x80, "power_brake"}, {0x100, "display_clock"},
    };
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && used < size; i++)
        if (bits & rows[i].bit)
            used +=
                (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", rows[i].word);
}

void vg_nvml_telemetry(const vg_nvml *nvml, vg_telemetry *out)
{
    unsigned long long bits, millijoules;
    unsigned celsius;
    *out = (vg_telemetry){NAN, NAN, NAN, NAN, ""};
    if (!nvml)
        return;
    out->clock_mhz = clock_of(nvml->clock, nvml->gpu, CLOCK_SM);
    out->power_w = number_of(nvml->power, nvml->gpu) / 1000;
    if (nvml->energy && nvml->energy(nvml->gpu, &millijoules) == SUCCESS)
        out->energy_j = (double)millijoules / 1000;
    if (nvml->temperature && nvml->temperature(nvml->gpu, TEMPERATURE_GPU, &celsius) == SUCCESS)
        out->temperature_c = celsius;
    if (nvml->reasons && nvml->reasons(nvml->gpu, &bits) == SUCCESS)
        reasons_text(bits, out->throttle, sizeof out->throttle);
}

/* --- facts --- */

static void emit_number(vg_fact_fn *emit, void *context, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    if (!isnan(value))
        emit(context, key, text);
}

static void emit_link(vg_fact_fn *emit, void *context, const char *key, double generation,
                      double width)
{
    char text[TEXT];
    snprintf(text, sizeof text, "generation %.0f, %.0f lanes", generation, width);
    if (!isnan(generation) && !isnan(width))
        emit(context, key, text);
}

static void emit_switches(const vg_nvml *n, vg_fact_fn *emit, void *context)
{
    int now, next;
    unsigned mig, mig_next;
    if (n->ecc && n->ecc(n->gpu, &now, &next) == SUCCESS)
        emit(context, "gpu.ecc", now ? "on" : "off");
    if (n->persistence && n->persistence(n->gpu, &now) == SUCCESS)
        emit(context, "gpu.persistence", now ? "on" : "off");
    if (n->mig && n->mig(n->gpu, &mig, &mig_next) == SUCCESS)
        emit(context, "gpu.mig", mig ? "on" : "off");
}

void vg_nvml_facts(const vg_nvml *n, vg_fact_fn *emit, void *context)
{
    char version[TEXT] = "";
    if (!n)
        return;
    if (n->driver && n->driver(version, sizeof version) == SUCCESS)
        emit(context, "gpu.driver", version);
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"gpu.sm_clock_mhz", clock_of(n->clock, n->gpu, CLOCK_SM)},
        {"gpu.sm_clock_max_mhz", clock_of(n->clock_max, n->gpu, CLOCK_SM)},
        {"gpu.sm_clock_set_mhz", clock_of(n->clock_set, n->gpu, CLOCK_SM)},
        {"gpu.memory_clock_mhz", clock_of(n->clock, n->gpu, CLOCK_MEMORY)},
        {"gpu.memory_clock_max_mhz", clock_of(n->clock_max, n->gpu, CLOCK_MEMORY)},
        {"gpu.power_limit_w", number_of(n->power_limit, n->gpu) / 1000},
        {"gpu.power_limit_default_w", number_of(n->power_default, n->gpu) / 1000},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        emit_number(emit, context, numbers[i].key, numbers[i].value);
    emit_switches(n, emit, context);
    emit_link(emit, context, "gpu.pci_link", number_of(n->link_generation, n->gpu),
              number_of(n->link_width, n->gpu));
    emit_link(emit, context, "gpu.pci_link_max", number_of(n->link_generation_max, n->gpu),
              number_of(n->link_width_max, n->gpu));
}
