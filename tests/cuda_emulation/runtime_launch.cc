/* Launches, and what the runtime says about a kernel: its attributes, how many blocks fit. */
#include "runtime.h"

#include <cstring>

namespace
{

enum {
    MAX_THREADS = 1024,
    SM_THREADS = 2048,
    SM_BLOCKS = 32,
    SM_REGISTERS = 65536,
    KERNEL_REGISTERS = 64, /* a thread's, whatever the kernel */
    RESERVED_SHARED = 1024,
    DEFAULT_SHARED = 49152,
    PORTABLE_CLUSTER = 8,
    WIDEST_CLUSTER = 16,
    OLDEST_IMAGE = 75 /* what the kernels are built for */
};

cudaError_t kernel_of(const void *function, const emu_kernel **out)
{
    const emu_settings *s = emu_current();
    *out = emu_kernel_find(function);
    if (!*out)
        return cudaErrorInvalidDeviceFunction;
    return s->major * 10 + s->minor < OLDEST_IMAGE ? cudaErrorNoKernelImageForDevice : cudaSuccess;
}

size_t dynamic_limit(const void *function)
{
    const std::map<const void *, size_t> &raised = emu::the_machine().dynamic_shared;
    auto found = raised.find(function);
    size_t limit = found == raised.end() ? (size_t)DEFAULT_SHARED : found->second;
    return limit < emu_current()->shared_bytes ? limit : emu_current()->shared_bytes;
}

/* Blocks of a kernel that a multiprocessor holds. */
uint32_t resident(uint32_t threads, size_t dynamic_shared)
{
    uint32_t warps = (threads + 31) / 32;
    size_t all_shared = emu_current()->shared_bytes + RESERVED_SHARED;
    uint32_t blocks = SM_THREADS / (warps * 32);
    uint32_t by_registers = SM_REGISTERS / (warps * 32 * KERNEL_REGISTERS);
    size_t by_shared = all_shared / (dynamic_shared + RESERVED_SHARED);
    blocks = blocks < by_registers ? blocks : by_registers;
    blocks = blocks < SM_BLOCKS ? blocks : (uint32_t)SM_BLOCKS;
    return by_shared < blocks ? (uint32_t)by_shared : blocks;
}

cudaError_t read_attributes(const cudaLaunchConfig_t *config, emu_launch *launch)
{
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const cudaLaunchAttribute &a = config->attrs[i];
        if (a.id == cudaLaunchAttributeCooperative)
            launch->cooperative = a.val.cooperative != 0;
        else if (a.id == cudaLaunchAttributeClusterDimension) {
            if (a.val.clusterDim.y != 1 || a.val.clusterDim.z != 1 || !a.val.clusterDim.x)
                return cudaErrorInvalidClusterSize;
            launch->cluster = a.val.clusterDim.x;
        } else if (a.id != cudaLaunchAttributeIgnore && a.id != cudaLaunchAttributePriority)
            emu_report("cudaLaunchKernelExC: attribute %d is not emulated", (int)a.id);
    }
    return cudaSuccess;
}

cudaError_t check_cluster(const emu_launch &launch)
{
    if (!launch.cluster)
        return cudaSuccess;
    if (emu_current()->major < 9)
        return cudaErrorNotSupported;
    bool wide = emu::the_machine().wide_clusters.count(launch.kernel->function) != 0;
    if (launch.cluster > (wide ? (uint32_t)WIDEST_CLUSTER : (uint32_t)PORTABLE_CLUSTER) ||
        launch.blocks % launch.cluster)
        return cudaErrorInvalidClusterSize;
    return cudaSuccess;
}

cudaError_t check_launch(const cudaLaunchConfig_t *config, const void *function, emu_launch *launch)
{
    if (!config || config->blockDim.y != 1 || config->blockDim.z != 1 || config->gridDim.y != 1 ||
        config->gridDim.z != 1)
        emu_report("cudaLaunchKernelExC: grids and blocks are one-dimensional");
    cudaError_t error = kernel_of(function, &launch->kernel);
    if (error)
        return error;
    launch->blocks = config->gridDim.x;
    launch->threads = config->blockDim.x;
    launch->dynamic_shared = config->dynamicSmemBytes;
    if (!launch->blocks || launch->blocks > INT32_MAX || !launch->threads ||
        launch->threads > MAX_THREADS)
        return cudaErrorInvalidConfiguration;
    if (launch->threads > launch->kernel->threads ||
        launch->dynamic_shared > dynamic_limit(function))
        return cudaErrorInvalidValue;
    error = read_attributes(config, launch);
    if (!error)
        error = check_cluster(*launch);
    uint64_t fits = (uint64_t)resident(launch->threads, launch->dynamic_shared) *
                    emu_current()->multiprocessors;
    if (!error && !fits)
        error = cudaErrorLaunchOutOfResources;
    if (!error && launch->cooperative && launch->blocks > fits)
        error = cudaErrorCooperativeLaunchTooLarge;
    return error;
}

} // namespace

extern "C" {

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **args)
{
    EMU_CALL(cudaErrorLaunchOutOfResources, emu::MAY_BE_LATE);
    emu_launch launch = {};
    cudaError_t error = check_launch(config, function, &launch);
    if (error)
        return call_.done(error);
    if (!args || !args[0])
        return call_.done(cudaErrorInvalidValue);
    if (emu::stream_of(config->stream, __func__)->device != emu::current_device())
        return call_.done(cudaErrorInvalidResourceHandle);
    const unsigned char *bytes = (const unsigned char *)args[0];
    std::vector<unsigned char> copied(bytes, bytes + launch.kernel->args_bytes);
    return call_.done(emu::issue(config->stream, call_, [launch, copied = std::move(copied)]() {
        emu_launch now = launch;
        now.args = copied.data();
        emu_run(&now);
    }));
}

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value)
{
    EMU_CALL(cudaErrorInvalidValue);
    const emu_kernel *kernel;
    cudaError_t error = kernel_of(function, &kernel);
    if (error)
        return call_.done(error);
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || (size_t)value > emu_current()->shared_bytes)
            return call_.done(cudaErrorInvalidValue);
        emu::the_machine().dynamic_shared[function] = (size_t)value;
    } else if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed) {
        if (value)
            emu::the_machine().wide_clusters.insert(function);
        else
            emu::the_machine().wide_clusters.erase(function);
    } else if (attribute != cudaFuncAttributePreferredSharedMemoryCarveout)
        return call_.done(cudaErrorInvalidValue);
    return call_.done(cudaSuccess);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, const void *function)
{
    EMU_CALL(cudaErrorInitializationError);
    const emu_kernel *kernel;
    cudaError_t error = kernel_of(function, &kernel);
    if (error)
        return call_.done(error);
    *out = cudaFuncAttributes();
    out->maxThreadsPerBlock = (int)kernel->threads;
    out->numRegs = KERNEL_REGISTERS;
    out->binaryVersion = (int)(emu_current()->major * 10 + emu_current()->minor);
    out->ptxVersion = emu_current()->ptx ? (int)emu_current()->ptx : out->binaryVersion;
    out->maxDynamicSharedSizeBytes = (int)dynamic_limit(function);
    out->nonPortableClusterSizeAllowed = emu::the_machine().wide_clusters.count(function) != 0;
    return call_.done(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int threads, size_t dynamic_shared)
{
    EMU_CALL(cudaErrorInitializationError);
    const emu_kernel *kernel;
    cudaError_t error = kernel_of(function, &kernel);
    if (!error && (!blocks || threads < 1))
        error = cudaErrorInvalidValue;
    if (error)
        return call_.done(error);
    bool fits = (uint32_t)threads <= kernel->threads && dynamic_shared <= dynamic_limit(function) &&
                !emu_current()->occupied;
    *blocks = fits ? (int)resident((uint32_t)threads, dynamic_shared) : 0;
    return call_.done(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *function,
                                           const cudaLaunchConfig_t *config)
{
    EMU_CALL(cudaErrorInitializationError);
    emu_launch launch = {};
    cudaError_t error = clusters ? check_launch(config, function, &launch) : cudaErrorInvalidValue;
    if (error)
        return call_.done(error);
    uint32_t blocks = emu_current()->occupied ? 0 : resident(launch.threads, launch.dynamic_shared);
    *clusters =
        (int)(blocks * emu_current()->multiprocessors / (launch.cluster ? launch.cluster : 1));
    return call_.done(cudaSuccess);
}

} /* extern "C" */
