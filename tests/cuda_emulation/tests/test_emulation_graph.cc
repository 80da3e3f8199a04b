/* Captures and graphs of the emulated runtime, and launches, against what a GPU's runtime says. */
#include "emulation.h"

#include "device.cuh"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <vector>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
}

/* at[i] = at[i] · factor + add */
struct scale_args {
    float *at;
    uint64_t count;
    float factor, add;
};
VG_KERNEL(scale, 128, scale_args)
{
    for (uint64_t i = grid_index(); i < p.count; i += grid_threads())
        p.at[i] = p.at[i] * p.factor + p.add;
}
static vg_kernel scale_kernel(void)
{
    return VG_KERNEL_ENTRY(scale, 128, scale_args);
}

namespace
{

#define OK(call)      assert_int_equal((call), cudaSuccess)
#define LENGTH(table) (sizeof(table) / sizeof(table)[0])

enum { COUNT = 300 };
const size_t BYTES = COUNT * sizeof(float);
const emu_policy policies[] = {EMU_FIFO, EMU_RANDOM, EMU_LIFO, EMU_SKEWED};

void reset(emu_policy policy, uint64_t seed)
{
    emu_settings settings = emu_defaults();
    settings.policy = policy;
    settings.seed = seed;
    assert_int_equal(emu_reset(&settings), 0);
}

struct launch {
    cudaLaunchConfig_t config;
    cudaLaunchAttribute attributes[2];
    const void *function;
    scale_args args;
};

launch make_launch(float *at, cudaStream_t stream, float factor, float add)
{
    launch l = {};
    l.config.gridDim = dim3{2, 1, 1};
    l.config.blockDim = dim3{128, 1, 1};
    l.config.stream = stream;
    l.function = scale_kernel().function;
    l.args = {at, COUNT, factor, add};
    return l;
}

cudaError_t issue(launch *l)
{
    void *args[] = {&l->args};
    if (l->config.numAttrs)
        l->config.attrs = l->attributes;
    return cudaLaunchKernelExC(&l->config, l->function, args);
}

void scale(float *at, cudaStream_t stream, float factor, float add)
{
    launch l = make_launch(at, stream, factor, add);
    OK(issue(&l));
}

struct machine {
    cudaStream_t main, side;
    cudaEvent_t fork, join;
    float *a, *b, *c, *host;
};

machine make_machine()
{
    machine m;
    OK(cudaStreamCreateWithFlags(&m.main, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&m.side, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&m.fork, cudaEventDisableTiming));
    OK(cudaEventCreateWithFlags(&m.join, cudaEventDisableTiming));
    OK(cudaMalloc((void **)&m.a, BYTES));
    OK(cudaMalloc((void **)&m.b, BYTES));
    OK(cudaMalloc((void **)&m.c, BYTES));
    OK(cudaMallocHost((void **)&m.host, BYTES));
    return m;
}

void free_machine(const machine &m)
{
    OK(cudaStreamDestroy(m.main));
    OK(cudaStreamDestroy(m.side));
    OK(cudaEventDestroy(m.fork));
    OK(cudaEventDestroy(m.join));
    OK(cudaFree(m.a));
    OK(cudaFree(m.b));
    OK(cudaFree(m.c));
    OK(cudaFreeHost(m.host));
}

void fork(const machine &m)
{
    OK(cudaEventRecord(m.fork, m.main));
    OK(cudaStreamWaitEvent(m.side, m.fork, 0));
}

void join(const machine &m)
{
    OK(cudaEventRecord(m.join, m.side));
    OK(cudaStreamWaitEvent(m.main, m.join, 0));
}

/* a = 1; on the other side of a fork b = a · 7, on this one c = 1; joined, c · 8 and a = b + 1 = 8.
 */
void issue_diamond(const machine &m, bool joined)
{
    OK(cudaMemsetAsync(m.a, 0, BYTES, m.main));
    scale(m.a, m.main, 1, 1);
    fork(m);
    OK(cudaMemcpyAsync(m.b, m.a, BYTES, cudaMemcpyDeviceToDevice, m.side));
    scale(m.b, m.side, 7, 0);
    OK(cudaMemsetAsync(m.c, 0, BYTES, m.main));
    scale(m.c, m.main, 1, 1);
    if (joined)
        join(m);
    scale(m.c, m.main, 8, 0);
    OK(cudaMemcpyAsync(m.a, m.b, BYTES, cudaMemcpyDeviceToDevice, m.main));
    scale(m.a, m.main, 1, 1);
    OK(cudaMemcpyAsync(m.host, m.a, BYTES, cudaMemcpyDeviceToHost, m.main));
    OK(cudaMemcpyAsync(m.host, m.c, sizeof(float), cudaMemcpyDeviceToHost, m.main));
    if (!joined)
        join(m);
}

cudaGraphExec_t capture_diamond(const machine &m, bool joined)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    size_t count = 0;
    OK(cudaStreamBeginCapture(m.main, cudaStreamCaptureModeRelaxed));
    issue_diamond(m, joined);
    OK(cudaStreamEndCapture(m.main, &graph));
    OK(cudaGraphGetNodes(graph, nullptr, &count));
    assert_int_equal(count, 11);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphDestroy(graph));
    return exec;
}

unsigned wrong(const machine &m)
{
    unsigned count = 0;
    for (int i = 0; i < COUNT; i++)
        count += m.host[i] != 8;
    return count;
}

void test_graph(void **)
{
    for (emu_policy policy : policies)
        for (uint64_t seed = 0; seed < 10; seed++) {
            reset(policy, seed);
            machine m = make_machine();
            cudaGraphExec_t exec = capture_diamond(m, true);
            for (int times = 0; times < 2; times++) {
                memset(m.host, 0, BYTES);
                OK(cudaGraphLaunch(exec, m.main));
                OK(cudaStreamSynchronize(m.main));
                assert_int_equal(wrong(m), 0);
            }
            OK(cudaGraphExecDestroy(exec));
            free_machine(m);
        }
    reset(EMU_FIFO, 0);
}

/* A join that comes too late is seen under some schedule, in a graph and without one. */
void test_late_join(void **)
{
#if defined(__SANITIZE_THREAD__)
    skip(); /* a race that it reports */
#endif
    unsigned in_graph = 0, in_streams = 0;
    for (emu_policy policy : policies)
        for (uint64_t seed = 0; seed < 10; seed++) {
            reset(policy, seed);
            machine m = make_machine();
            cudaGraphExec_t exec = capture_diamond(m, false);
            OK(cudaGraphLaunch(exec, m.main));
            OK(cudaStreamSynchronize(m.main));
            in_graph += wrong(m) != 0;
            OK(cudaMemsetAsync(m.b, 0, BYTES, m.main));
            OK(cudaDeviceSynchronize());
            issue_diamond(m, false);
            OK(cudaStreamSynchronize(m.main));
            in_streams += wrong(m) != 0;
            OK(cudaGraphExecDestroy(exec));
            free_machine(m);
        }
    assert_true(in_graph > 5);
    assert_true(in_streams > 5);
    reset(EMU_FIFO, 0);
}

/* Arguments are copied when a node is captured. */
void test_arguments(void **)
{
    reset(EMU_LIFO, 0);
    machine m = make_machine();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    OK(cudaMemsetAsync(m.a, 0, BYTES, m.main));
    OK(cudaStreamBeginCapture(m.main, cudaStreamCaptureModeThreadLocal));
    for (int i = 1; i < 4; i++)
        scale(m.a, m.main, 2, (float)i);
    OK(cudaStreamEndCapture(m.main, &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphLaunch(exec, m.main));
    OK(cudaMemcpyAsync(m.host, m.a, BYTES, cudaMemcpyDeviceToHost, m.main));
    OK(cudaStreamSynchronize(m.main));
    assert_true(m.host[COUNT - 1] == 11);
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    free_machine(m);
    reset(EMU_FIFO, 0);
}

/* What goes wrong within a capture: the call that says so, and what its end says. */
struct misuse {
    const char *name;
    cudaError_t call, end;
    cudaError_t (*body)(const machine &m);
};

cudaError_t relaxed(const machine &m)
{
    return cudaStreamBeginCapture(m.main, cudaStreamCaptureModeRelaxed);
}

const misuse misuses[] = {
    {"synchronises", cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         OK(relaxed(m));
         return cudaStreamSynchronize(m.main);
     }},
    {"synchronises the device", cudaErrorStreamCaptureUnsupported,
     cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         OK(relaxed(m));
         return cudaDeviceSynchronize();
     }},
    {"asks a stream", cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         OK(relaxed(m));
         return cudaStreamQuery(m.main);
     }},
    {"waits for an event of it", cudaErrorCapturedEvent, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         OK(relaxed(m));
         OK(cudaEventRecord(m.fork, m.main));
         return cudaEventSynchronize(m.fork);
     }},
    {"allocates while strict", cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         void *at;
         OK(cudaStreamBeginCapture(m.main, cudaStreamCaptureModeGlobal));
         return cudaMalloc(&at, 100);
     }},
    {"allocates while relaxed", cudaSuccess, cudaSuccess,
     [](const machine &m) {
         void *at;
         OK(relaxed(m));
         OK(cudaMalloc(&at, 100));
         return cudaFree(at);
     }},
    {"comes after work outside", cudaErrorStreamCaptureIsolation, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         OK(cudaEventRecord(m.fork, m.side));
         OK(relaxed(m));
         return cudaStreamWaitEvent(m.main, m.fork, 0);
     }},
    {"forks and does not join", cudaSuccess, cudaErrorStreamCaptureUnjoined,
     [](const machine &m) {
         OK(relaxed(m));
         scale(m.a, m.main, 1, 1);
         fork(m);
         return cudaMemsetAsync(m.b, 0, BYTES, m.side);
     }},
    {"works after the join", cudaSuccess, cudaErrorStreamCaptureUnjoined,
     [](const machine &m) {
         OK(relaxed(m));
         scale(m.a, m.main, 1, 1);
         fork(m);
         scale(m.b, m.side, 1, 1);
         join(m);
         return cudaMemsetAsync(m.b, 0, BYTES, m.side);
     }},
    {"ends in the wrong stream", cudaErrorStreamCaptureUnmatched, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         cudaGraph_t graph;
         OK(relaxed(m));
         fork(m);
         return cudaStreamEndCapture(m.side, &graph);
     }},
    {"begins twice", cudaErrorIllegalState, cudaSuccess,
     [](const machine &m) {
         OK(relaxed(m));
         return relaxed(m);
     }},
    {"merges two", cudaErrorStreamCaptureMerge, cudaErrorStreamCaptureInvalidated,
     [](const machine &m) {
         cudaGraph_t graph;
         OK(relaxed(m));
         OK(cudaStreamBeginCapture(m.side, cudaStreamCaptureModeRelaxed));
         OK(cudaEventRecord(m.fork, m.side));
         cudaError_t error = cudaStreamWaitEvent(m.main, m.fork, 0);
         assert_int_equal(cudaStreamEndCapture(m.side, &graph), cudaErrorStreamCaptureInvalidated);
         return error;
     }},
    {"never began", cudaSuccess, cudaErrorIllegalState,
     [](const machine &) { return cudaSuccess; }},
};

void test_misuse(void **)
{
    for (const misuse &row : misuses) {
        reset(EMU_FIFO, 0);
        machine m = make_machine();
        cudaGraph_t graph = nullptr;
        cudaError_t call = row.body(m), end = cudaStreamEndCapture(m.main, &graph);
        if (call != row.call || end != row.end)
            fail_msg("%s: %s and %s, expected %s and %s", row.name, cudaGetErrorName(call),
                     cudaGetErrorName(end), cudaGetErrorName(row.call), cudaGetErrorName(row.end));
        assert_true((graph != nullptr) == (end == cudaSuccess));
        if (graph)
            OK(cudaGraphDestroy(graph));
        /* The streams are as they were. */
        scale(m.a, m.side, 0, 1);
        OK(cudaDeviceSynchronize());
        free_machine(m);
    }
    reset(EMU_FIFO, 0);
}

/* One wrong thing of a launch each. */
struct wrong_launch {
    const char *name;
    cudaError_t error;
    void (*spoil)(launch *l);
};

const wrong_launch wrong_launches[] = {
    {"nothing", cudaSuccess, [](launch *) {}},
    {"no block", cudaErrorInvalidConfiguration, [](launch *l) { l->config.gridDim.x = 0; }},
    {"2^31 blocks", cudaErrorInvalidConfiguration,
     [](launch *l) { l->config.gridDim.x = 1u << 31; }},
    {"no thread", cudaErrorInvalidConfiguration, [](launch *l) { l->config.blockDim.x = 0; }},
    {"1025 threads", cudaErrorInvalidConfiguration, [](launch *l) { l->config.blockDim.x = 1025; }},
    {"beyond its bounds", cudaErrorInvalidValue, [](launch *l) { l->config.blockDim.x = 129; }},
    {"too much shared memory", cudaErrorInvalidValue,
     [](launch *l) { l->config.dynamicSmemBytes = 50000; }},
    {"no kernel", cudaErrorInvalidDeviceFunction, [](launch *l) { l->function = "text"; }},
    {"too large for a cooperative grid", cudaErrorCooperativeLaunchTooLarge,
     [](launch *l) {
         l->config.gridDim.x = 1000;
         l->config.numAttrs = 1;
         l->attributes[0].id = cudaLaunchAttributeCooperative;
         l->attributes[0].val.cooperative = 1;
     }},
    {"clusters of 16", cudaErrorInvalidClusterSize,
     [](launch *l) {
         l->config.gridDim.x = 16;
         l->config.numAttrs = 1;
         l->attributes[0].id = cudaLaunchAttributeClusterDimension;
         l->attributes[0].val.clusterDim = {16, 1, 1};
     }},
    {"a grid of 1.5 clusters", cudaErrorInvalidClusterSize,
     [](launch *l) {
         l->config.gridDim.x = 3;
         l->config.numAttrs = 1;
         l->attributes[0].id = cudaLaunchAttributeClusterDimension;
         l->attributes[0].val.clusterDim = {2, 1, 1};
     }},
};

void test_launches(void **)
{
    reset(EMU_FIFO, 0);
    machine m = make_machine();
    for (const wrong_launch &row : wrong_launches) {
        launch l = make_launch(m.a, m.main, 0, 1);
        row.spoil(&l);
        cudaError_t error = issue(&l);
        if (error != row.error)
            fail_msg("%s: %s, expected %s", row.name, cudaGetErrorName(error),
                     cudaGetErrorName(row.error));
        assert_int_equal(cudaGetLastError(), error);
    }
    launch l = make_launch(m.a, m.main, 0, 1);
    l.config.dynamicSmemBytes = 50000;
    OK(cudaFuncSetAttribute(l.function, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
    OK(issue(&l));
    assert_int_equal(
        cudaFuncSetAttribute(l.function, cudaFuncAttributeMaxDynamicSharedMemorySize, 232449),
        cudaErrorInvalidValue);
    int blocks = 0;
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, l.function, 128, 0));
    assert_int_equal(blocks, 8);
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, l.function, 128, 60000));
    assert_int_equal(blocks, 3);
    free_machine(m);
    reset(EMU_FIFO, 0);
}

} // namespace

int main(void)
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_graph),     cmocka_unit_test(test_late_join),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_launches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
