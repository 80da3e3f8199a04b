/* What there is: versions, devices, their attributes; the words for errors. */
#include "runtime.h"

#include <cstdio>
#include <cstring>

namespace
{

cudaError_t check_ordinal(int device)
{
    return device < 0 || (uint32_t)device >= emu_current()->devices ? cudaErrorInvalidDevice
                                                                    : cudaSuccess;
}

cudaDeviceProp properties(int device)
{
    const emu_settings &s = *emu_current();
    cudaDeviceProp p = {};
    snprintf(p.name, sizeof p.name, "Emulated GPU");
    for (int i = 0; i < 16; i++)
        p.uuid.bytes[i] = (char)(i == 15 ? device : 0x40 + i);
    p.totalGlobalMem = s.memory_bytes;
    p.sharedMemPerBlock = 49152;
    p.sharedMemPerBlockOptin = s.shared_bytes;
    p.sharedMemPerMultiprocessor = s.shared_bytes + 1024;
    p.reservedSharedMemPerBlock = 1024;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = 32;
    p.memPitch = 0x7fffffff;
    p.maxThreadsPerBlock = p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7fffffff;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 65536;
    p.major = (int)s.major;
    p.minor = (int)s.minor;
    p.textureAlignment = 512;
    p.multiProcessorCount = (int)s.multiprocessors;
    p.canMapHostMemory = p.unifiedAddressing = p.managedMemory = 1;
    p.concurrentKernels = 1;
    p.ECCEnabled = 1;
    p.pciBusID = 1 + device;
    p.asyncEngineCount = 2;
    p.memoryBusWidth = 5120;
    p.l2CacheSize = 50 << 20;
    p.maxThreadsPerMultiProcessor = 2048;
    p.maxBlocksPerMultiProcessor = 32;
    p.streamPrioritiesSupported = 1;
    p.cooperativeLaunch = 1;
    p.clusterLaunch = s.major >= 9;
    p.memoryPoolsSupported = 1;
    return p;
}

bool attribute(const cudaDeviceProp &p, cudaDeviceAttr which, int *value)
{
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; return true;
    case cudaDevAttrMaxBlockDimX: *value = p.maxThreadsDim[0]; return true;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; return true;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; return true;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)p.sharedMemPerBlockOptin;
        return true;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)p.sharedMemPerMultiprocessor;
        return true;
    case cudaDevAttrReservedSharedMemoryPerBlock:
        *value = (int)p.reservedSharedMemPerBlock;
        return true;
    case cudaDevAttrTotalConstantMemory: *value = (int)p.totalConstMem; return true;
    case cudaDevAttrWarpSize: *value = p.warpSize; return true;
    case cudaDevAttrMaxPitch: *value = (int)p.memPitch; return true;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; return true;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerMultiprocessor; return true;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = p.maxThreadsPerMultiProcessor;
        return true;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; return true;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; return true;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; return true;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; return true;
    case cudaDevAttrClockRate: *value = 1980000; return true;
    case cudaDevAttrMemoryClockRate: *value = 2619000; return true;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; return true;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; return true;
    case cudaDevAttrCooperativeLaunch: *value = p.cooperativeLaunch; return true;
    case cudaDevAttrClusterLaunch: *value = p.clusterLaunch; return true;
    case cudaDevAttrConcurrentKernels: *value = p.concurrentKernels; return true;
    case cudaDevAttrAsyncEngineCount: *value = p.asyncEngineCount; return true;
    case cudaDevAttrUnifiedAddressing: *value = p.unifiedAddressing; return true;
    case cudaDevAttrEccEnabled: *value = p.ECCEnabled; return true;
    case cudaDevAttrPciBusId: *value = p.pciBusID; return true;
    case cudaDevAttrPciDeviceId: *value = p.pciDeviceID; return true;
    case cudaDevAttrPciDomainId: *value = p.pciDomainID; return true;
    case cudaDevAttrIntegrated: *value = 0; return true;
    case cudaDevAttrComputeMode: *value = 0; return true;
    case cudaDevAttrKernelExecTimeout: *value = 0; return true;
    case cudaDevAttrMemoryPoolsSupported: *value = p.memoryPoolsSupported; return true;
    case cudaDevAttrHostNumaId: *value = -1; return true;
    default: return false;
    }
}

struct words {
    cudaError_t error;
    const char *name, *text;
};
#define WORDS(id, text)                                                                            \
    {                                                                                              \
        id, #id, text                                                                              \
    }
const words error_words[] = {
    WORDS(cudaSuccess, "no error"),
    WORDS(cudaErrorInvalidValue, "invalid argument"),
    WORDS(cudaErrorMemoryAllocation, "out of memory"),
    WORDS(cudaErrorInitializationError, "initialization error"),
    WORDS(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    WORDS(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    WORDS(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    WORDS(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    WORDS(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    WORDS(cudaErrorInvalidDeviceFunction, "invalid device function"),
    WORDS(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    WORDS(cudaErrorInvalidDevice, "invalid device ordinal"),
    WORDS(cudaErrorNoKernelImageForDevice,
          "no kernel image is available for execution on the device"),
    WORDS(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    WORDS(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    WORDS(cudaErrorNotReady, "device not ready"),
    WORDS(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    WORDS(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    WORDS(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    WORDS(cudaErrorAssert, "device-side assert triggered"),
    WORDS(cudaErrorHardwareStackError, "hardware stack error"),
    WORDS(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    WORDS(cudaErrorMisalignedAddress, "misaligned address"),
    WORDS(cudaErrorLaunchFailure, "unspecified launch failure"),
    WORDS(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    WORDS(cudaErrorNotPermitted, "operation not permitted"),
    WORDS(cudaErrorNotSupported, "operation not supported"),
    WORDS(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    WORDS(cudaErrorStreamCaptureInvalidated,
          "operation failed due to a previous error during capture"),
    WORDS(cudaErrorStreamCaptureMerge,
          "operation would result in a merge of separate capture sequences"),
    WORDS(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    WORDS(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    WORDS(cudaErrorStreamCaptureIsolation,
          "dependency created on uncaptured work in another stream"),
    WORDS(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream depend on a capturing blocking stream"),
    WORDS(cudaErrorCapturedEvent,
          "operation not permitted on an event last recorded in a capturing stream"),
    WORDS(cudaErrorStreamCaptureWrongThread,
          "attempt to terminate a thread-local capture sequence from another thread"),
    WORDS(cudaErrorInvalidClusterSize, "cluster misconfiguration"),
    WORDS(cudaErrorUnknown, "unknown error"),
};
#undef WORDS

const words *words_of(cudaError_t error)
{
    for (const words &w : error_words)
        if (w.error == error)
            return &w;
    return nullptr;
}

} // namespace

extern "C" {

const char *cudaGetErrorName(cudaError_t error)
{
    const words *w = words_of(error);
    return w ? w->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    const words *w = words_of(error);
    return w ? w->text : "unrecognized error code";
}

cudaError_t cudaDriverGetVersion(int *version)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_DEVICE | emu::NO_CONTEXT);
    *version = emu_current()->driver_version;
    return call_.done(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_DEVICE | emu::NO_CONTEXT);
    *version = CUDART_VERSION;
    return call_.done(cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    EMU_CALL(cudaErrorInitializationError, emu::NO_CONTEXT);
    *count = (int)emu_current()->devices;
    return call_.done(cudaSuccess);
}

cudaError_t cudaSetDevice(int device)
{
    EMU_CALL(cudaErrorDevicesUnavailable);
    cudaError_t error = check_ordinal(device);
    if (error)
        return call_.done(error);
    emu::current_device() = device;
    return call_.done(cudaSuccess);
}

cudaError_t cudaGetDevice(int *device)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_CONTEXT);
    *device = emu::current_device();
    return call_.done(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int device)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_CONTEXT);
    cudaError_t error = check_ordinal(device);
    if (!error && !attribute(properties(device), which, value))
        emu_report("cudaDeviceGetAttribute: attribute %d is not emulated", (int)which);
    return call_.done(error);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_CONTEXT);
    cudaError_t error = check_ordinal(device);
    if (!error)
        *out = properties(device);
    return call_.done(error);
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int device)
{
    EMU_CALL(cudaErrorInitializationError, emu::NO_CONTEXT);
    cudaError_t error = check_ordinal(device);
    if (!error && (!out || size < 13))
        error = cudaErrorInvalidValue;
    if (!error)
        snprintf(out, (size_t)size, "0000:%02X:00.0", 1 + device);
    return call_.done(error);
}

} /* extern "C" */
