/* cuDNN opened at run time, and what its answers mean. */
#include "peer_cudnn.h"

#include "library.h"

enum { CATEGORY = 1000, WORDS = 256 };

vg_status vg_cudnn_api_open(vg_cudnn_api *out)
{
    static const char *const files[] = {"libcudnn.so.9", NULL};
#define SYMBOL(name) {#name, (void **)(void *)&out->name},
    const vg_symbol symbols[] = {VG_CUDNN_FUNCTIONS(SYMBOL){NULL, NULL}};
#undef SYMBOL
    return vg_library_open(files, symbols);
}

/* An error that stays with the runtime is the cause of cuDNN's; any other is taken away, so that
 * the next call does not find it. */
static vg_status check_runtime(vg_device *device, const char *call)
{
    vg_status status = vg_cuda_check(device, cudaGetLastError(), call);
    return status == VG_DEVICE_LOST ? status : VG_OK;
}

vg_status vg_cudnn_check(vg_device *device, cudnnStatus_t status, const char *call)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return VG_OK;
    const vg_cudnn *cudnn = vg_cudnn_of(device);
    char words[WORDS] = "";
    cudnn->api.cudnnGetLastErrorString(words, sizeof words);
    words[sizeof words - 1] = 0;
    for (char *at = words; *at; at++)
        *at = *at == '\n' || *at == '\r' ? ' ' : *at;
    VG_TRY(check_runtime(device, call));
    const bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    VG_FAIL(memory ? VG_NO_MEMORY : VG_UNSUPPORTED, "%s: %s: %s%s%s", device->name, call,
            cudnn->api.cudnnGetErrorString(status), words[0] ? ": " : "", words);
}
