/* Failures that are asked for: every call of a small program once, a lost device, no driver; and
 * memory that is closed to the host. */
#include "emulation.h"

#include "device.cuh"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
}

struct add_args {
    float *at;
    uint64_t count;
    float add;
};
VG_KERNEL(add_all, 64, add_args)
{
    for (uint64_t i = grid_index(); i < p.count; i += grid_threads())
        p.at[i] += p.add;
}
static vg_kernel add_kernel(void)
{
    return VG_KERNEL_ENTRY(add_all, 64, add_args);
}

namespace
{

#define LENGTH(table) (sizeof(table) / sizeof(table)[0])

enum { COUNT = 64, WORK = 1 << 16 };
const size_t BYTES = COUNT * sizeof(float);

/* As host code is: every call checked, everything released, the first failure kept. */
struct program {
    cudaStream_t main = nullptr, side = nullptr;
    cudaEvent_t fork = nullptr, join = nullptr;
    float *device = nullptr, *other = nullptr, *host = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t layout = nullptr;
    cublasLtMatmulPreference_t wish = nullptr;
    int failed = 0; /* of the first call that failed */
    float result = 0;

    bool check(int status)
    {
        if (status && !failed)
            failed = status;
        return !status;
    }
};

bool launch(program *p, float *at, cudaStream_t stream)
{
    cudaLaunchConfig_t config = {};
    add_args arguments = {at, COUNT, 1};
    void *args[] = {&arguments};
    config.gridDim = dim3{1, 1, 1};
    config.blockDim = dim3{64, 1, 1};
    config.stream = stream;
    return p->check(cudaLaunchKernelExC(&config, add_kernel().function, args));
}

bool make(program *p)
{
    int count = 0, value = 0;
    size_t left, all;
    cudaDeviceProp properties;
    return p->check(cudaGetDeviceCount(&count)) && p->check(cudaSetDevice(0)) &&
           p->check(cudaGetDeviceProperties(&properties, 0)) &&
           p->check(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 0)) &&
           p->check(cudaMemGetInfo(&left, &all)) &&
           p->check(cudaStreamCreateWithFlags(&p->main, cudaStreamNonBlocking)) &&
           p->check(cudaStreamCreateWithFlags(&p->side, cudaStreamNonBlocking)) &&
           p->check(cudaEventCreate(&p->fork)) && p->check(cudaEventCreate(&p->join)) &&
           p->check(cudaMalloc((void **)&p->device, BYTES + WORK)) &&
           p->check(cudaMalloc((void **)&p->other, BYTES)) &&
           p->check(cudaMallocHost((void **)&p->host, BYTES));
}

bool make_library(program *p)
{
    return p->check(cublasLtCreate(&p->handle)) &&
           p->check(cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
           p->check(cublasLtMatrixLayoutCreate(&p->layout, CUDA_R_32F, 8, 8, 8)) &&
           p->check(cublasLtMatmulPreferenceCreate(&p->wish));
}

bool product(program *p)
{
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    float one = 1, zero = 0;
    return p->check(cublasLtMatmulAlgoGetHeuristic(p->handle, p->desc, p->layout, p->layout,
                                                   p->layout, p->layout, p->wish, 1, &found,
                                                   &count)) &&
           p->check(cublasLtMatmul(p->handle, p->desc, &one, p->device, p->layout, p->device,
                                   p->layout, &zero, p->other, p->layout, p->other, p->layout,
                                   &found.algo, nullptr, 0, p->main));
}

bool issue(program *p)
{
    return p->check(cudaMemsetAsync(p->device, 0, BYTES, p->main)) &&
           launch(p, p->device, p->main) && p->check(cudaEventRecord(p->fork, p->main)) &&
           p->check(cudaStreamWaitEvent(p->side, p->fork, 0)) && launch(p, p->device, p->side) &&
           p->check(cudaEventRecord(p->join, p->side)) &&
           p->check(cudaStreamWaitEvent(p->main, p->join, 0)) && product(p) &&
           p->check(cudaMemcpyAsync(p->host, p->other, BYTES, cudaMemcpyDeviceToHost, p->main));
}

/* An 8 x 8 matrix of twos squared: 32. */
bool run(program *p)
{
    if (!p->check(cudaStreamBeginCapture(p->main, cudaStreamCaptureModeRelaxed)))
        return false;
    bool issued = issue(p);
    if (!p->check(cudaStreamEndCapture(p->main, &p->graph)) || !issued)
        return false;
    if (!p->check(cudaGraphInstantiate(&p->exec, p->graph, 0)) ||
        !p->check(cudaGraphLaunch(p->exec, p->main)) || !p->check(cudaStreamSynchronize(p->main)))
        return false;
    p->result = p->host[COUNT - 1];
    return true;
}

void release(program *p)
{
    if (p->exec)
        p->check(cudaGraphExecDestroy(p->exec));
    if (p->graph)
        p->check(cudaGraphDestroy(p->graph));
    p->check(cublasLtMatmulPreferenceDestroy(p->wish));
    p->check(cublasLtMatrixLayoutDestroy(p->layout));
    p->check(cublasLtMatmulDescDestroy(p->desc));
    p->check(cublasLtDestroy(p->handle));
    p->check(cudaFree(p->device));
    p->check(cudaFree(p->other));
    p->check(cudaFreeHost(p->host));
    for (cudaStream_t stream : {p->main, p->side})
        if (stream)
            p->check(cudaStreamDestroy(stream));
    for (cudaEvent_t event : {p->fork, p->join})
        if (event)
            p->check(cudaEventDestroy(event));
}

program whole(const emu_settings &settings)
{
    program p;
    assert_int_equal(emu_reset(&settings), 0);
    if (make(&p) && make_library(&p))
        (void)run(&p);
    release(&p);
    return p;
}

/* fail_with: 0: what that call would give; an illegal address, which stays; no memory. */
const int errors[] = {0, cudaErrorIllegalAddress, cudaErrorMemoryAllocation};

void test_every_call(void **)
{
    emu_settings settings = emu_defaults();
    program sound = whole(settings);
    uint64_t calls = emu_calls();
    assert_int_equal(sound.failed, 0);
    assert_true(sound.result == 32);
    assert_true(calls > 40);
    for (int error : errors)
        for (uint64_t seed = 0; seed < 2; seed++)
            for (uint64_t n = 1; n <= calls; n++) {
                settings.fail_at = n;
                settings.fail_with = error;
                settings.seed = seed;
                settings.policy = seed ? EMU_RANDOM : EMU_FIFO;
                program p = whole(settings);
                if (!p.failed)
                    fail_msg("call %d of %d with %d, seed %d: nothing failed", (int)n, (int)calls,
                             error, (int)seed);
            }
    assert_int_equal(emu_reset(nullptr), 0);
}

/* After a fault every call says so, also those that come before it is waited for at the latest. */
void test_late(void **)
{
    emu_settings settings = emu_defaults();
    assert_int_equal(emu_reset(&settings), 0);
    program p;
    assert_true(make(&p));
    settings.fail_at = emu_calls() + 1;
    settings.fail_with = cudaErrorIllegalAddress;
    release(&p);
    assert_int_equal(emu_reset(&settings), 0);
    p = program();
    assert_true(make(&p));
    assert_true(launch(&p, p.device, p.main)); /* the call that fails */
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(p.main), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    void *at = nullptr;
    assert_int_equal(cudaMalloc(&at, 1), cudaErrorIllegalAddress);
    assert_int_equal(cudaFree(p.device), cudaErrorIllegalAddress);
    int count = 0;
    assert_int_equal(cudaGetDeviceCount(&count), cudaSuccess);
    /* Nobody could have released the rest. */
    assert_int_equal(emu_reset(nullptr), 0);
}

void test_lost(void **)
{
    emu_settings settings = emu_defaults();
    program sound = whole(settings);
    uint64_t calls = emu_calls();
    for (uint64_t n = 1; n < calls; n += 3) {
        settings.lose_at = n;
        program p = whole(settings);
        if (!p.failed)
            fail_msg("lost at call %d: nothing failed", (int)n);
        cudaStream_t stream;
        assert_int_equal(cudaStreamCreateWithFlags(&stream, 0), cudaErrorUnknown);
    }
    (void)sound;
    assert_int_equal(emu_reset(nullptr), 0);
}

struct absence {
    const char *name;
    int driver;
    uint32_t devices, major, minor;
    cudaError_t count, launch;
};
const absence absences[] = {
    {"no driver", 0, 1, 9, 0, cudaErrorInsufficientDriver, cudaErrorInsufficientDriver},
    {"an old driver", 12080, 1, 9, 0, cudaErrorInsufficientDriver, cudaErrorInsufficientDriver},
    {"no device", CUDART_VERSION, 0, 9, 0, cudaErrorNoDevice, cudaErrorNoDevice},
    {"an old device", CUDART_VERSION, 1, 7, 0, cudaSuccess, cudaErrorNoKernelImageForDevice},
    {"four devices", CUDART_VERSION, 4, 9, 0, cudaSuccess, cudaSuccess},
};

void test_absent(void **)
{
    for (const absence &row : absences) {
        emu_settings settings = emu_defaults();
        settings.driver_version = row.driver;
        settings.devices = row.devices;
        settings.major = row.major;
        settings.minor = row.minor;
        assert_int_equal(emu_reset(&settings), 0);
        int count = -1, version = -1;
        cudaFuncAttributes attributes;
        cudaError_t error = cudaGetDeviceCount(&count);
        cudaError_t launched = cudaFuncGetAttributes(&attributes, add_kernel().function);
        if (error != row.count || launched != row.launch)
            fail_msg("%s: %s and %s", row.name, cudaGetErrorName(error),
                     cudaGetErrorName(launched));
        assert_int_equal(count, error ? 0 : (int)row.devices);
        assert_int_equal(cudaDriverGetVersion(&version), cudaSuccess);
        assert_int_equal(version, row.driver);
    }
    assert_int_equal(emu_reset(nullptr), 0);
}

/* A stream and memory of one device are not another's. */
void test_devices(void **)
{
    emu_settings settings = emu_defaults();
    settings.devices = 2;
    assert_int_equal(emu_reset(&settings), 0);
    program p;
    assert_true(make(&p));
    char first[16], second[16];
    size_t left, all;
    assert_int_equal(cudaDeviceGetPCIBusId(first, sizeof first, 0), cudaSuccess);
    assert_int_equal(cudaDeviceGetPCIBusId(second, sizeof second, 1), cudaSuccess);
    assert_string_not_equal(first, second);
    assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
    assert_int_equal(cudaSetDevice(1), cudaSuccess);
    assert_int_equal(cudaMemGetInfo(&left, &all), cudaSuccess);
    assert_int_equal(left, all);
    assert_false(launch(&p, p.device, p.main));
    assert_int_equal(p.failed, cudaErrorInvalidResourceHandle);
    release(&p);
    assert_int_equal(emu_reset(nullptr), 0);
}

#if defined(__SANITIZE_ADDRESS__)

/* What the host must not touch, touched in a child that should not survive it. */
struct touch {
    const char *name;
    bool dies;
    float (*body)(program *p);
};
const touch touches[] = {
    {"nothing", false, [](program *p) { return p->host[0]; }},
    {"reads device memory", true, [](program *p) { return p->device[1]; }},
    {"writes device memory", true, [](program *p) { return p->other[COUNT - 1] = 1; }},
    {"reads pinned memory before its copy is waited for", true,
     [](program *p) {
         (void)cudaMemcpyAsync(p->host, p->other, BYTES, cudaMemcpyDeviceToHost, p->main);
         return p->host[3];
     }},
    {"reads it after", false,
     [](program *p) {
         (void)cudaMemcpyAsync(p->host, p->other, BYTES, cudaMemcpyDeviceToHost, p->main);
         (void)cudaStreamSynchronize(p->main);
         return p->host[3];
     }},
    {"a kernel writes beyond the end", true,
     [](program *p) {
         (void)launch(p, p->other + 1, p->main);
         (void)cudaStreamSynchronize(p->main);
         return 0.0f;
     }},
    {"a kernel uses what is freed", true,
     [](program *p) {
         cudaGraph_t graph;
         cudaGraphExec_t exec;
         (void)cudaStreamBeginCapture(p->main, cudaStreamCaptureModeRelaxed);
         (void)launch(p, p->other, p->main);
         (void)cudaStreamEndCapture(p->main, &graph);
         (void)cudaGraphInstantiate(&exec, graph, 0);
         (void)cudaFree(p->other);
         (void)cudaGraphLaunch(exec, p->main);
         (void)cudaStreamSynchronize(p->main);
         return 0.0f;
     }},
};

void test_touches(void **)
{
    for (const touch &row : touches) {
        assert_int_equal(emu_reset(nullptr), 0);
        program p;
        assert_true(make(&p));
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            if (!freopen("/dev/null", "w", stderr))
                _exit(3);
            volatile float read = row.body(&p);
            (void)read;
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if ((status != 0) != row.dies)
            fail_msg("%s: status %d", row.name, status);
        release(&p);
    }
    assert_int_equal(emu_reset(nullptr), 0);
}

#else

void test_touches(void **)
{
    skip(); /* AddressSanitizer sees it */
}

#endif

void test_settings(void **)
{
    setenv("VG_EMULATION", "policy=skewed,seed=7,cc=80,memory=4096,fail=12,with=2,plain=1", 1);
    emu_settings s = emu_defaults();
    unsetenv("VG_EMULATION");
    assert_int_equal(s.policy, EMU_SKEWED);
    assert_int_equal(s.seed, 7);
    assert_int_equal(s.major * 10 + s.minor, 80);
    assert_int_equal(s.memory_bytes, 4096);
    assert_int_equal(s.fail_at, 12);
    assert_int_equal(s.fail_with, 2);
    assert_true(s.plain_library && !s.no_nvml);
    static const char *const wrong[] = {"policy=best", "seed=x", "speed=9"};
    for (const char *text : wrong) {
        char report[256];
        setenv("VG_EMULATION", text, 1);
        bool reported =
            emu_expect([](void *) { (void)emu_defaults(); }, nullptr, report, sizeof report);
        unsetenv("VG_EMULATION");
        assert_true(reported && strstr(report, "VG_EMULATION"));
    }
}

} // namespace

int main(void)
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call), cmocka_unit_test(test_late),
        cmocka_unit_test(test_lost),       cmocka_unit_test(test_absent),
        cmocka_unit_test(test_devices),    cmocka_unit_test(test_touches),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
