/* A small emulated NVML with plausible values. Its header is not part of every toolkit: prototypes
 * as in NVIDIA's "NVML API Reference Guide". */
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

struct nvmlDevice_st {
    int ordinal;
};

namespace
{

using handle = nvmlDevice_st *;

/* nvmlReturn_t */
enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
    UNKNOWN = 999
};

int started;
nvmlDevice_st gpus[64];

/* Counted as every call is; a lost device answers nothing. */
struct nvml_call : emu::call {
    nvml_call(const char *function, bool needs_start)
        : emu::call(function, cudaErrorNotSupported, emu::NO_DEVICE | emu::NO_CONTEXT)
    {
        if (emu_current()->driver_version == 0)
            status = DRIVER_NOT_LOADED;
        else if (needs_start && !started)
            status = UNINITIALIZED;
        else if (emu::the_machine().lost)
            status = GPU_IS_LOST;
        else if (error)
            status = error == cudaErrorNotSupported   ? NOT_SUPPORTED
                     : error == cudaErrorNotPermitted ? NO_PERMISSION
                                                      : UNKNOWN;
    }
    int status = SUCCESS;
};
#define NVML_CALL(...)                                                                             \
    nvml_call call_(__func__, __VA_ARGS__);                                                        \
    if (call_.status)                                                                              \
    return call_.status

template <typename T> int give(T *to, T value)
{
    if (!to)
        return INVALID_ARGUMENT;
    *to = value;
    return SUCCESS;
}

int text(char *to, unsigned size, const char *value)
{
    if (!to || size < strlen(value) + 1)
        return INSUFFICIENT_SIZE;
    memcpy(to, value, strlen(value) + 1);
    return SUCCESS;
}

int nvmlInit_v2()
{
    NVML_CALL(false);
    started++;
    return SUCCESS;
}

int nvmlShutdown()
{
    nvml_call call_(__func__, true);
    if (call_.status == UNINITIALIZED)
        return call_.status;
    if (started)
        started--;
    return call_.status;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, handle *out)
{
    NVML_CALL(true);
    unsigned domain, bus, slot, function;
    if (!bus_id || !out || sscanf(bus_id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
        return INVALID_ARGUMENT;
    if (domain || slot || function || bus < 1 || bus > emu_current()->devices || bus > 64)
        return NOT_FOUND;
    gpus[bus - 1].ordinal = (int)bus - 1;
    *out = &gpus[bus - 1];
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    NVML_CALL(true);
    return text(out, size, "580.65.06");
}

int nvmlDeviceGetName(handle, char *out, unsigned size)
{
    NVML_CALL(true);
    return text(out, size, "Emulated GPU");
}

/* MHz of graphics, multiprocessors, memory, video. */
int clock(int type, unsigned *out)
{
    static const unsigned mhz[] = {1755, 1755, 2619, 1530};
    return type < 0 || type > 3 ? (int)INVALID_ARGUMENT : give(out, mhz[type]);
}

int nvmlDeviceGetClockInfo(handle, int type, unsigned *out)
{
    NVML_CALL(true);
    return clock(type, out);
}

int nvmlDeviceGetMaxClockInfo(handle, int type, unsigned *out)
{
    NVML_CALL(true);
    int status = clock(type, out);
    if (status == SUCCESS && type < 2)
        *out = 1980;
    return status;
}

int nvmlDeviceGetApplicationsClock(handle, int type, unsigned *out)
{
    NVML_CALL(true);
    return clock(type, out);
}

int nvmlDeviceGetTemperature(handle, int sensor, unsigned *out)
{
    NVML_CALL(true);
    return sensor ? (int)INVALID_ARGUMENT : give(out, 41u);
}

int nvmlDeviceGetPowerUsage(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 289000u + (unsigned)(emu_calls() % 1000));
}

int nvmlDeviceGetEnforcedPowerLimit(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 700000u);
}

int nvmlDeviceGetPowerManagementDefaultLimit(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 700000u);
}

/* It grows from call to call. */
int nvmlDeviceGetTotalEnergyConsumption(handle, unsigned long long *out)
{
    NVML_CALL(true);
    return give(out, 5000000ull + 13 * (unsigned long long)emu_calls());
}

int nvmlDeviceGetCurrentClocksEventReasons(handle, unsigned long long *out)
{
    NVML_CALL(true);
    return give(out, 4ull);
}

int nvmlDeviceGetEccMode(handle, int *now, int *next)
{
    NVML_CALL(true);
    int status = give(now, 1);
    return status ? status : give(next, 1);
}

int nvmlDeviceGetPersistenceMode(handle, int *out)
{
    NVML_CALL(true);
    return give(out, 1);
}

int nvmlDeviceGetMigMode(handle, unsigned *now, unsigned *next)
{
    NVML_CALL(true);
    int status = give(now, 0u);
    return status ? status : give(next, 0u);
}

int nvmlDeviceGetCurrPcieLinkGeneration(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 4u);
}

int nvmlDeviceGetMaxPcieLinkGeneration(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 5u);
}

int nvmlDeviceGetCurrPcieLinkWidth(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 16u);
}

int nvmlDeviceGetMaxPcieLinkWidth(handle, unsigned *out)
{
    NVML_CALL(true);
    return give(out, 16u);
}

} // namespace

#define FUNCTION(name)                                                                             \
    {                                                                                              \
#name, (void *)&name                                                                       \
    }
const emu_function *emu_nvml_functions()
{
    static const emu_function functions[] = {
        FUNCTION(nvmlInit_v2),
        FUNCTION(nvmlShutdown),
        FUNCTION(nvmlDeviceGetHandleByPciBusId_v2),
        FUNCTION(nvmlSystemGetDriverVersion),
        FUNCTION(nvmlDeviceGetName),
        FUNCTION(nvmlDeviceGetClockInfo),
        FUNCTION(nvmlDeviceGetMaxClockInfo),
        FUNCTION(nvmlDeviceGetApplicationsClock),
        FUNCTION(nvmlDeviceGetTemperature),
        FUNCTION(nvmlDeviceGetPowerUsage),
        FUNCTION(nvmlDeviceGetEnforcedPowerLimit),
        FUNCTION(nvmlDeviceGetPowerManagementDefaultLimit),
        FUNCTION(nvmlDeviceGetTotalEnergyConsumption),
        FUNCTION(nvmlDeviceGetCurrentClocksEventReasons),
        FUNCTION(nvmlDeviceGetEccMode),
        FUNCTION(nvmlDeviceGetPersistenceMode),
        FUNCTION(nvmlDeviceGetMigMode),
        FUNCTION(nvmlDeviceGetCurrPcieLinkGeneration),
        FUNCTION(nvmlDeviceGetMaxPcieLinkGeneration),
        FUNCTION(nvmlDeviceGetCurrPcieLinkWidth),
        FUNCTION(nvmlDeviceGetMaxPcieLinkWidth),
        {nullptr, nullptr},
    };
    return emu_current()->no_nvml ? nullptr : functions;
}
