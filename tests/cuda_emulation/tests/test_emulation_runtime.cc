/* The emulated runtime: memory, copies, streams and events, and its objections. */
#include "emulation.h"

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

namespace
{

#define OK(call)      assert_int_equal((call), cudaSuccess)
#define LENGTH(table) (sizeof(table) / sizeof(table)[0])

const emu_policy policies[] = {EMU_FIFO, EMU_RANDOM, EMU_LIFO, EMU_SKEWED};

void reset(emu_policy policy, uint64_t seed)
{
    emu_settings settings = emu_defaults();
    settings.policy = policy;
    settings.seed = seed;
    assert_int_equal(emu_reset(&settings), 0);
}

/* Two streams, pinned memory with 1, 2, 3 ... and as much device memory. */
enum { COUNT = 1000 };
struct machine {
    cudaStream_t a, b;
    cudaEvent_t event;
    float *pinned, *back, *device, *other;
};

machine make_machine()
{
    machine m;
    OK(cudaStreamCreateWithFlags(&m.a, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&m.b, cudaStreamNonBlocking));
    OK(cudaEventCreate(&m.event));
    OK(cudaMallocHost((void **)&m.pinned, COUNT * sizeof(float)));
    OK(cudaMallocHost((void **)&m.back, COUNT * sizeof(float)));
    OK(cudaMalloc((void **)&m.device, COUNT * sizeof(float)));
    OK(cudaMalloc((void **)&m.other, COUNT * sizeof(float)));
    for (int i = 0; i < COUNT; i++)
        m.pinned[i] = (float)i + 1;
    return m;
}

void free_machine(const machine &m)
{
    OK(cudaStreamDestroy(m.a));
    OK(cudaStreamDestroy(m.b));
    OK(cudaEventDestroy(m.event));
    OK(cudaFreeHost(m.pinned));
    OK(cudaFreeHost(m.back));
    OK(cudaFree(m.device));
    OK(cudaFree(m.other));
}

const size_t BYTES = COUNT * sizeof(float);

void copy(void *to, const void *from, cudaMemcpyKind kind, cudaStream_t stream)
{
    OK(cudaMemcpyAsync(to, from, BYTES, kind, stream));
}

/* Host to device in one stream, device to device and back in another, joined by an event. */
void test_streams_joined(void **)
{
    for (emu_policy policy : policies)
        for (uint64_t seed = 0; seed < 20; seed++) {
            reset(policy, seed);
            machine m = make_machine();
            copy(m.device, m.pinned, cudaMemcpyHostToDevice, m.a);
            OK(cudaEventRecord(m.event, m.a));
            OK(cudaStreamWaitEvent(m.b, m.event, 0));
            copy(m.other, m.device, cudaMemcpyDeviceToDevice, m.b);
            copy(m.back, m.other, cudaMemcpyDeviceToHost, m.b);
            OK(cudaStreamSynchronize(m.b));
            assert_memory_equal(m.back, m.pinned, BYTES);
            free_machine(m);
        }
    reset(EMU_FIFO, 0);
}

/* Without the event some schedule shows it. */
void test_streams_not_joined(void **)
{
    unsigned wrong = 0;
    for (emu_policy policy : policies)
        for (uint64_t seed = 0; seed < 20; seed++) {
            reset(policy, seed);
            machine m = make_machine();
            copy(m.device, m.pinned, cudaMemcpyHostToDevice, m.a);
            copy(m.other, m.device, cudaMemcpyDeviceToDevice, m.b);
            copy(m.back, m.other, cudaMemcpyDeviceToHost, m.b);
            OK(cudaStreamSynchronize(m.b));
            wrong += memcmp(m.back, m.pinned, BYTES) != 0;
            free_machine(m);
        }
    assert_true(wrong > 20);
    reset(EMU_FIFO, 0);
}

void test_events(void **)
{
    reset(EMU_LIFO, 0);
    machine m = make_machine();
    cudaEvent_t after;
    float ms = -1;
    OK(cudaEventCreate(&after));
    assert_int_equal(cudaEventElapsedTime(&ms, m.event, after), cudaErrorInvalidResourceHandle);
    OK(cudaEventRecord(m.event, m.a));
    copy(m.device, m.pinned, cudaMemcpyHostToDevice, m.a);
    OK(cudaEventRecord(after, m.a));
    assert_int_equal(cudaEventElapsedTime(&ms, m.event, after), cudaErrorNotReady);
    assert_int_equal(cudaEventQuery(after), cudaErrorNotReady);
    OK(cudaEventSynchronize(after));
    OK(cudaEventQuery(after));
    OK(cudaEventElapsedTime(&ms, m.event, after));
    assert_true(ms >= 0);
    OK(cudaEventDestroy(after));
    free_machine(m);
    reset(EMU_FIFO, 0);
}

void test_rows(void **)
{
    reset(EMU_RANDOM, 3);
    machine m = make_machine();
    /* 10 rows of 7 of 20 to rows of 9. */
    OK(cudaMemsetAsync(m.device, 0, BYTES, m.a));
    OK(cudaMemcpy2DAsync(m.device, 36, m.pinned, 80, 28, 10, cudaMemcpyHostToDevice, m.a));
    copy(m.back, m.device, cudaMemcpyDeviceToHost, m.a);
    OK(cudaStreamSynchronize(m.a));
    for (int i = 0; i < 90; i++)
        assert_true(m.back[i] == (i % 9 < 7 ? m.pinned[i / 9 * 20 + i % 9] : 0));
    assert_int_equal(
        cudaMemcpy2DAsync(m.device, 24, m.pinned, 80, 28, 10, cudaMemcpyHostToDevice, m.a),
        cudaErrorInvalidPitchValue);
    assert_int_equal(cudaMemcpy2DAsync(m.device, (size_t)1 << 31, m.pinned, 80, 28, 1,
                                       cudaMemcpyHostToDevice, m.a),
                     cudaErrorInvalidPitchValue);
    free_machine(m);
    reset(EMU_FIFO, 0);
}

void test_memory(void **)
{
    emu_settings small = emu_defaults();
    small.memory_bytes = 1 << 20;
    assert_int_equal(emu_reset(&small), 0);
    size_t left, all;
    void *at[3];
    OK(cudaMemGetInfo(&left, &all));
    assert_int_equal(left, 1 << 20);
    OK(cudaMalloc(&at[0], 700000));
    assert_int_equal(cudaMalloc(&at[1], 400000), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    OK(cudaGetLastError());
    OK(cudaMemGetInfo(&left, &all));
    assert_true(left < all - 700000 && left > all - 701000);
    assert_int_equal(cudaFreeHost(at[0]), cudaErrorInvalidValue);
    OK(cudaFree(at[0]));
    assert_int_equal(cudaFree(at[0]), cudaErrorInvalidValue);
    OK(cudaFree(nullptr));
    OK(cudaMalloc(&at[0], 1 << 20));
    assert_int_equal(emu_reset(nullptr), 1);
}

/* What cannot be seen on a GPU until it goes wrong is reported. */
struct bad {
    machine m;
    int which;
};
void do_bad(void *context)
{
    const bad &b = *(const bad *)context;
    float pageable[COUNT];
    switch (b.which) {
    case 0:
        (void)cudaMemcpyAsync(pageable, b.m.device, BYTES, cudaMemcpyDeviceToHost, b.m.a);
        break;
    case 1: (void)cudaMemcpyAsync(b.m.device, b.m.pinned, BYTES, cudaMemcpyDefault, b.m.a); break;
    case 2:
        (void)cudaMemcpyAsync(b.m.device + 10, b.m.device, BYTES / 2, cudaMemcpyDeviceToDevice,
                              b.m.a);
        break;
    default: (void)cudaStreamSynchronize((cudaStream_t)b.m.device); break;
    }
}

void test_reports(void **)
{
    static const char *const expected[] = {"no pinned memory", "cudaMemcpyDefault", "overlap",
                                           "no stream"};
    char report[512];
    for (int i = 0; i < (int)LENGTH(expected); i++) {
        reset(EMU_FIFO, 0);
        bad b = {make_machine(), i};
        assert_true(emu_expect(do_bad, &b, report, sizeof report));
        if (!strstr(report, expected[i]))
            fail_msg("report %d: \"%s\", expected \"%s\"", i, report, expected[i]);
        free_machine(b.m);
    }
    reset(EMU_FIFO, 0);
}

} // namespace

int main(void)
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_joined), cmocka_unit_test(test_streams_not_joined),
        cmocka_unit_test(test_events),         cmocka_unit_test(test_rows),
        cmocka_unit_test(test_memory),         cmocka_unit_test(test_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
