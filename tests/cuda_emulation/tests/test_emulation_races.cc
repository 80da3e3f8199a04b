/* Under ThreadSanitizer: what the host and two streams do to the same memory is a race, unless
 * events or waiting order it, whatever the schedule. Each case is a child that a report ends. */
#include "emulation.h"

#include "device.cuh"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
}

struct fill_args {
    float *at;
    uint64_t count;
};
VG_KERNEL(fill, 32, fill_args)
{
    for (uint64_t i = grid_index(); i < p.count; i += grid_threads())
        p.at[i] = (float)i;
}
static vg_kernel fill_kernel(void)
{
    return VG_KERNEL_ENTRY(fill, 32, fill_args);
}

namespace
{

enum { COUNT = 64, RACED = 66 };
const size_t BYTES = COUNT * sizeof(float);

struct machine {
    cudaStream_t a, b;
    cudaEvent_t event;
    float *device, *host;
};

void check(cudaError_t error)
{
    if (error)
        _Exit(3);
}

machine make_machine()
{
    machine m;
    check(cudaStreamCreateWithFlags(&m.a, cudaStreamNonBlocking));
    check(cudaStreamCreateWithFlags(&m.b, cudaStreamNonBlocking));
    check(cudaEventCreate(&m.event));
    check(cudaMalloc((void **)&m.device, BYTES));
    check(cudaMallocHost((void **)&m.host, BYTES));
    for (int i = 0; i < COUNT; i++)
        m.host[i] = 1;
    return m;
}

void launch(const machine &m, cudaStream_t stream)
{
    cudaLaunchConfig_t config = {};
    fill_args arguments = {m.device, COUNT};
    void *args[] = {&arguments};
    config.gridDim = dim3{1, 1, 1};
    config.blockDim = dim3{32, 1, 1};
    config.stream = stream;
    check(cudaLaunchKernelExC(&config, fill_kernel().function, args));
}

void up(const machine &m, cudaStream_t stream)
{
    check(cudaMemcpyAsync(m.device, m.host, BYTES, cudaMemcpyHostToDevice, stream));
}

void down(const machine &m, cudaStream_t stream)
{
    check(cudaMemcpyAsync(m.host, m.device, BYTES, cudaMemcpyDeviceToHost, stream));
}

void order(const machine &m, cudaStream_t first, cudaStream_t second)
{
    check(cudaEventRecord(m.event, first));
    check(cudaStreamWaitEvent(second, m.event, 0));
}

/* Two streams in a capture; `joined`: the second is before what the first does last. */
void graph(const machine &m, bool joined)
{
    cudaGraph_t captured;
    cudaGraphExec_t exec;
    check(cudaStreamBeginCapture(m.a, cudaStreamCaptureModeRelaxed));
    order(m, m.a, m.b);
    launch(m, m.b);
    if (joined)
        order(m, m.b, m.a);
    launch(m, m.a);
    if (!joined)
        order(m, m.b, m.a);
    check(cudaStreamEndCapture(m.a, &captured));
    check(cudaGraphInstantiate(&exec, captured, 0));
    check(cudaGraphLaunch(exec, m.a));
    check(cudaGraphLaunch(exec, m.a));
    check(cudaStreamSynchronize(m.a));
}

struct race {
    const char *name;
    bool raced;
    void (*body)(const machine &m);
};
const race races[] = {
    {"one stream", false,
     [](const machine &m) {
         up(m, m.a);
         launch(m, m.a);
         down(m, m.a);
         check(cudaStreamSynchronize(m.a));
         m.host[0] = 2;
     }},
    {"two streams and an event", false,
     [](const machine &m) {
         launch(m, m.a);
         order(m, m.a, m.b);
         launch(m, m.b);
         down(m, m.b);
         check(cudaEventRecord(m.event, m.b));
         check(cudaEventSynchronize(m.event));
         m.host[0] = 2;
     }},
    {"two streams and no event", true,
     [](const machine &m) {
         launch(m, m.a);
         launch(m, m.b);
         check(cudaDeviceSynchronize());
     }},
    {"an event that is recorded too early", true,
     [](const machine &m) {
         order(m, m.a, m.b);
         launch(m, m.a);
         launch(m, m.b);
         check(cudaDeviceSynchronize());
     }},
    {"the host writes what is being copied", true,
     [](const machine &m) {
         up(m, m.a);
         m.host[1] = 2;
         check(cudaStreamSynchronize(m.a));
     }},
    {"the host reads after waiting for another stream", true,
     [](const machine &m) {
         down(m, m.a);
         check(cudaStreamSynchronize(m.b));
         volatile float read = m.host[1];
         (void)read;
         check(cudaStreamSynchronize(m.a));
     }},
    {"a graph", false, [](const machine &m) { graph(m, true); }},
    {"a graph that joins too late", true, [](const machine &m) { graph(m, false); }},
};

/* What a child ends with. */
int run(const race &row, emu_policy policy)
{
    fflush(nullptr);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (!freopen("/dev/null", "w", stderr))
            _Exit(3);
        emu_settings settings = emu_defaults();
        settings.policy = policy;
        emu_reset(&settings);
        row.body(make_machine());
        _Exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void test_races(void **)
{
    for (const race &row : races)
        for (int policy = 0; policy < EMU_POLICY_COUNT; policy++) {
            int status = run(row, (emu_policy)policy);
            if (status != (row.raced ? RACED : 0))
                fail_msg("%s, policy %d: ended with %d", row.name, policy, status);
        }
}

} // namespace

#if defined(__SANITIZE_THREAD__)
/* ThreadSanitizer calls this after each report. */
extern "C" void __tsan_on_report(void *report);
extern "C" void __tsan_on_report(void *)
{
    _Exit(RACED);
}
#endif

int main(void)
{
    const CMUnitTest tests[] = {cmocka_unit_test(test_races)};
#if !defined(__SANITIZE_THREAD__)
    printf("races are what ThreadSanitizer sees: not in this build\n");
    (void)tests;
    return 77;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
