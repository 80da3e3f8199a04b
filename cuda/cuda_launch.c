/* Every call of the runtime is checked here, and every kernel is launched from here. */
#include "cuda_device.h"

#include <assert.h>
#include <string.h>

enum { MOST_BLOCKS = 2147483647, PORTABLE_CLUSTER = 8, BLOCKS_EACH = 32 };

/* Of errors that older runtimes have no names for. */
enum {
    CONTAINED = 226,
    TENSOR_MEMORY_LEAK = 721,
    MPS_CLIENT_TERMINATED = 810,
    EXTERNAL_DEVICE = 911
};

/* Errors after which every further call of this process fails alike, or the device is gone. */
static bool stays(cudaError_t error)
{
    switch ((int)error) {
    case CONTAINED:
    case TENSOR_MEMORY_LEAK:
    case MPS_CLIENT_TERMINATED:
    case EXTERNAL_DEVICE:
    case cudaErrorInitializationError:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoDevice:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorOperatingSystem:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorSystemNotReady:
    case cudaErrorMpsConnectionFailed:
    case cudaErrorMpsRpcFailure:
    case cudaErrorMpsServerNotReady:
    case cudaErrorUnknown: return true;
    default: return false;
    }
}

vg_status vg_cuda_check(vg_device *device, cudaError_t error, const char *call)
{
    if (error == cudaSuccess)
        return VG_OK;
    /* An error that does not stay would be found again by the next launch's check. */
    (void)cudaGetLastError();
    int name = (int)strcspn(call, "(");
    const char *where = device ? device->name : "cuda", *words = cudaGetErrorString(error);
    if (error == cudaErrorMemoryAllocation)
        VG_FAIL(VG_NO_MEMORY, "%s: %.*s: %s", where, name, call, words);
    if (!stays(error))
        VG_FAIL(VG_UNSUPPORTED, "%s: %.*s: %s (%s)", where, name, call, words,
                cudaGetErrorName(error));
    if (device)
        device->lost = true;
    VG_FAIL(VG_DEVICE_LOST, "%s: %.*s: %s (%s)", where, name, call, words, cudaGetErrorName(error));
}

vg_status vg_allow_shared(vg_device *device, vg_kernel kernel)
{
    VG_CUDA(device,
            cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)device->chip.shared_bytes));
    return VG_OK;
}

vg_status vg_has_clusters(vg_device *device, vg_kernel kernel, bool *out)
{
    struct cudaFuncAttributes found;
    *out = false;
    if (device->chip.major < VG_CLUSTER_MAJOR)
        return VG_OK;
    VG_CUDA(device, cudaFuncGetAttributes(&found, kernel.function));
    *out = found.ptxVersion >= 10 * VG_CLUSTER_MAJOR;
    return VG_OK;
}

/* Leave to use more shared memory or larger clusters than every chip has. */
static vg_status permit(vg_device *device, const vg_launch *launch)
{
    if (launch->shared_bytes > device->chip.shared_bytes)
        VG_FAIL(VG_UNSUPPORTED, "%s: %s needs %zu bytes of shared memory a block, of %llu there",
                device->name, launch->kernel.name, launch->shared_bytes,
                (unsigned long long)device->chip.shared_bytes);
    if (launch->shared_bytes > 0)
        VG_TRY(vg_allow_shared(device, launch->kernel));
    if (launch->cluster > PORTABLE_CLUSTER)
        VG_CUDA(device, cudaFuncSetAttribute(launch->kernel.function,
                                             cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    return VG_OK;
}

vg_status vg_launch_kernel(vg_device *device, cudaStream_t stream, const vg_launch *launch)
{
    uint64_t blocks = launch->blocks < MOST_BLOCKS ? launch->blocks : MOST_BLOCKS;
    uint32_t cluster = launch->cluster ? launch->cluster : 1;
    assert(launch->kernel.function && launch->threads && launch->threads <= launch->kernel.threads);
    assert(launch->blocks % cluster == 0);
    if (device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", device->name);
    if (blocks == 0)
        return VG_OK;
    VG_TRY(permit(device, launch));
    cudaLaunchAttribute attributes[2];
    memset(attributes, 0, sizeof attributes);
    unsigned count = 0;
    if (launch->kind == VG_LAUNCH_COOPERATIVE) {
        attributes[count].id = cudaLaunchAttributeCooperative;
        attributes[count++].val.cooperative = 1;
    }
    if (launch->cluster) {
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count].val.clusterDim.x = cluster;
        attributes[count].val.clusterDim.y = attributes[count].val.clusterDim.z = 1;
        count++;
    }
    const cudaLaunchConfig_t config = {
        .gridDim = {(unsigned)(blocks - blocks % cluster), 1, 1},
        .blockDim = {launch->threads, 1, 1},
        .dynamicSmemBytes = launch->shared_bytes,
        .stream = stream,
        .attrs = attributes,
        .numAttrs = count,
    };
    /* The runtime copies the struct and writes nothing through it; its type is older than const. */
    void *arguments[] = {(void *)(uintptr_t)launch->arguments};
    return vg_cuda_check(device, cudaLaunchKernelExC(&config, launch->kernel.function, arguments),
                         launch->kernel.name);
}

uint64_t vg_blocks_for(const vg_device *device, uint64_t items, uint64_t each)
{
    assert(each > 0);
    uint64_t blocks = items / each + (items % each != 0);
    uint64_t most = (uint64_t)device->chip.multiprocessors * BLOCKS_EACH;
    return blocks < most ? blocks : most;
}
