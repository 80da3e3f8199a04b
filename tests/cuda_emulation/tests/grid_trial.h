/* One launch of a tiny kernel on the emulated GPU, with words and numbers in device memory. */
#ifndef VG_TEST_GRID_TRIAL_H
#define VG_TEST_GRID_TRIAL_H

#include "device.cuh"
#include "emulation.h"

#include <cuda_runtime_api.h>

#include <initializer_list>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
}

enum { TRIAL_WORDS = 1024 };

struct trial_args {
    uint32_t *words; /* [TRIAL_WORDS], zeroed */
    float *numbers;  /* [TRIAL_WORDS], zeroed */
};

/* The device's, made by trial_begin(). */
static cudaStream_t trial_stream;

struct trial_shape {
    uint32_t blocks, threads, cluster; /* cluster 0: none */
    size_t dynamic;
    bool cooperative;
};

/* Device memory of both, zeroed. */
static inline trial_args trial_begin(emu_policy policy, uint64_t seed)
{
    static const uint32_t zeros[TRIAL_WORDS] = {};
    emu_settings settings = emu_defaults();
    settings.policy = policy;
    settings.seed = seed;
    emu_reset(&settings);
    void *words = nullptr, *numbers = nullptr;
    assert_int_equal(cudaMalloc(&words, sizeof zeros), cudaSuccess);
    assert_int_equal(cudaMalloc(&numbers, sizeof zeros), cudaSuccess);
    for (void *at : {words, numbers})
        assert_int_equal(cudaMemcpy(at, zeros, sizeof zeros, cudaMemcpyHostToDevice), cudaSuccess);
    assert_int_equal(cudaStreamCreateWithFlags(&trial_stream, cudaStreamNonBlocking), cudaSuccess);
    return trial_args{(uint32_t *)words, (float *)numbers};
}

/* Launches, and waits. */
static inline void trial_launch(vg_kernel kernel, const trial_shape &shape, trial_args args)
{
    cudaLaunchAttribute attributes[2] = {};
    unsigned count = 0;
    if (shape.cooperative) {
        attributes[count].id = cudaLaunchAttributeCooperative;
        attributes[count++].val.cooperative = 1;
    }
    if (shape.cluster) {
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count++].val.clusterDim = {shape.cluster, 1, 1};
    }
    cudaLaunchConfig_t config = {};
    void *arguments[] = {&args};
    config.gridDim = dim3{shape.blocks, 1, 1};
    config.blockDim = dim3{shape.threads, 1, 1};
    config.dynamicSmemBytes = shape.dynamic;
    config.stream = trial_stream;
    config.attrs = attributes;
    config.numAttrs = count;
    assert_int_equal(cudaLaunchKernelExC(&config, kernel.function, arguments), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(trial_stream), cudaSuccess);
}

static inline void trial_read(const void *device, void *host)
{
    assert_int_equal(cudaMemcpy(host, device, TRIAL_WORDS * 4, cudaMemcpyDeviceToHost),
                     cudaSuccess);
}

/* Nothing but what trial_begin() made must be left. */
static inline void trial_end(const trial_args &args)
{
    assert_int_equal(cudaStreamDestroy(trial_stream), cudaSuccess);
    assert_int_equal(cudaFree(args.words), cudaSuccess);
    assert_int_equal(cudaFree(args.numbers), cudaSuccess);
    assert_int_equal(emu_reset(nullptr), 0);
}

#endif
