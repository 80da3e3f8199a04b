/* What a call's error makes of the device, and what a launch leaves behind for the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_exec.h"
#include "cuda_model.h"

static const struct {
    int error; /* numbers: older runtimes have no names for some */
    vg_status status;
} rows[] = {
    {cudaSuccess, VG_OK},
    {cudaErrorMemoryAllocation, VG_NO_MEMORY},
    {cudaErrorInvalidValue, VG_UNSUPPORTED},
    {cudaErrorLaunchOutOfResources, VG_UNSUPPORTED},
    {cudaErrorNotSupported, VG_UNSUPPORTED},
    {cudaErrorIllegalAddress, VG_DEVICE_LOST},
    {cudaErrorLaunchFailure, VG_DEVICE_LOST},
    {cudaErrorECCUncorrectable, VG_DEVICE_LOST},
    {226 /* contained */, VG_DEVICE_LOST},
    {721 /* tensor memory leak */, VG_DEVICE_LOST},
    {810 /* MPS client terminated */, VG_DEVICE_LOST},
    {911 /* external device */, VG_DEVICE_LOST},
    {cudaErrorUnknown, VG_DEVICE_LOST},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vg_device device = {.name = "cuda:0"};
        const vg_status status = vg_cuda_check(&device, (cudaError_t)rows[i].error, "call(x)");
        if (status != rows[i].status || device.lost != (status == VG_DEVICE_LOST))
            fail_msg("error %d: %s, expected %s", rows[i].error, vg_status_name(status),
                     vg_status_name(rows[i].status));
        if (status != VG_OK)
            assert_memory_equal(vg_reason(), "cuda:0: call: ", 14);
    }
}

/* What is captured runs later, after whatever else of the same kernel was launched. */
static void test_shared_memory_stays(void **state)
{
    (void)state;
    run_model run = {.name = "launches", .on = CUDA_DEVICE};
    run_open(&run, &(vg_device_options){.threads = 1, .bind = VG_BIND_NONE});
    vg_device *device = run.device;
    const vg_kernel kernel = vg_scan_persistent_fwd_kernel(VG_rnn, VG_FP32, false);
    const vg_scan_fwd_args arguments = {.batch = 1};
    const size_t bytes[] = {device->chip.shared_bytes, 1024};
    struct cudaFuncAttributes found;
    cudaGraph_t graph; /* never run */
    assert_int_equal(cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal),
                     cudaSuccess);
    for (int i = 0; i < 2; i++)
        run_try(&run, "launch",
                vg_launch_kernel(device, device->stream,
                                 &(vg_launch){.kernel = kernel,
                                              .blocks = 1,
                                              .threads = 32,
                                              .shared_bytes = bytes[i],
                                              .arguments = &arguments}));
    assert_int_equal(cudaStreamEndCapture(device->stream, &graph), cudaSuccess);
    assert_int_equal(cudaFuncGetAttributes(&found, kernel.function), cudaSuccess);
    assert_true((size_t)found.maxDynamicSharedSizeBytes >= bytes[0]);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    run.driver->close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_shared_memory_stays),
    };
    CUDA_TESTS(tests);
}
