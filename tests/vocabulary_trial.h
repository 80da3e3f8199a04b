/* The frame of the vocabulary's tests: a word's kernel launched once, its inputs, and what it left.
 */
#ifndef VG_VOCABULARY_TRIAL_H
#define VG_VOCABULARY_TRIAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_kernels/vocabulary.h"

#ifdef VG_CUDA_EMULATED
#include "emulation.h"
#endif

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 4096, OUT_BYTES = 65536, WORDS = 64 };

/* One launch and what it left. Threads and blocks; cluster 0: none. */
typedef struct trial {
    const char *name;
    vocabulary_kernel kernel;
    uint32_t blocks, threads, cluster, rounds;
    size_t dynamic;
    bool cooperative;
    void (*check)(const struct trial *trial, const float *in, const void *out,
                  const uint32_t *words);
} trial;

static void same(const trial *t, const char *what, uint64_t index, double got, double expected)
{
    if (got != expected && !(isnan(got) && isnan(expected)))
        fail_msg("%s: %s [%llu]: %.9g, expected %.9g", t->name, what, (unsigned long long)index,
                 got, expected);
}

/* Of any launch: blocks, threads, warps and the cluster's ranks as its threads see them. */
static void check_indexes(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)in, (void)words;
    const uint32_t *got = out, width = t->cluster ? t->cluster : 1;
    for (uint32_t b = 0; b < t->blocks; b++)
        for (uint32_t i = 0; i < t->threads; i++, got += 8) {
            const uint32_t expected[8] = {i,      t->threads, b,         t->blocks,
                                          i % 32, i / 32,     b % width, width};
            for (uint32_t k = 0; k < 8; k++)
                same(t, "index", k, got[k], expected[k]);
        }
}

static void ok(const trial *t, cudaError_t error, const char *call)
{
    if (error)
        fail_msg("%s: %s: %s", t->name, call, cudaGetErrorString(error));
}
#define OK(call) ok(t, (call), #call)

static void launch(const trial *t, cudaStream_t stream, vocabulary_args args)
{
    cudaLaunchAttribute attributes[2];
    memset(attributes, 0, sizeof attributes);
    unsigned count = 0;
    if (t->cooperative) {
        attributes[count].id = cudaLaunchAttributeCooperative;
        attributes[count++].val.cooperative = 1;
    }
    if (t->cluster) {
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count].val.clusterDim.x = t->cluster;
        attributes[count].val.clusterDim.y = 1;
        attributes[count++].val.clusterDim.z = 1;
    }
    const cudaLaunchConfig_t config = {.gridDim = {t->blocks, 1, 1},
                                       .blockDim = {t->threads, 1, 1},
                                       .dynamicSmemBytes = t->dynamic,
                                       .stream = stream,
                                       .attrs = attributes,
                                       .numAttrs = count};
    void *arguments[] = {&args};
    OK(cudaLaunchKernelExC(&config, vocabulary(t->kernel).function, arguments));
    OK(cudaStreamSynchronize(stream));
}

static void fill(float *in)
{
    static const float special[] = {0,
                                    -0.f,
                                    INFINITY,
                                    -INFINITY,
                                    NAN,
                                    0x1p-149f,
                                    -0x1.fffffep-127f,
                                    0x1.fffffep127f,
                                    0x1.000ffep0f,
                                    0x1.001p0f,
                                    -0x1.003p3f,
                                    0x1.018p0f,
                                    0x1.008p0f};
    for (uint32_t i = 0; i < INPUTS; i++)
        in[i] = (float)i * 0.37109375f - 700;
    memcpy(in, special, sizeof special);
}

static void run(const trial *t)
{
    static float in[INPUTS];
    static _Alignas(16) unsigned char out[OUT_BYTES];
    uint32_t words[WORDS] = {0};
    cudaStream_t stream;
    vocabulary_args args = {.rounds = t->rounds};
    void *device_in, *device_words;
    fill(in);
    memset(out, 0, sizeof out);
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&device_in, sizeof in));
    OK(cudaMalloc(&args.out, sizeof out));
    OK(cudaMalloc(&device_words, sizeof words));
    args.in = device_in;
    args.words = device_words;
    OK(cudaMemcpy(device_in, in, sizeof in, cudaMemcpyHostToDevice));
    OK(cudaMemcpy(args.out, out, sizeof out, cudaMemcpyHostToDevice));
    OK(cudaMemcpy(device_words, words, sizeof words, cudaMemcpyHostToDevice));
    OK(cudaDeviceSynchronize()); /* the stream does not wait for copies beside it */
    launch(t, stream, args);
    OK(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost));
    OK(cudaMemcpy(words, device_words, sizeof words, cudaMemcpyDeviceToHost));
    t->check(t, in, out, words);
    OK(cudaFree(device_in));
    OK(cudaFree(args.out));
    OK(cudaFree(device_words));
    OK(cudaStreamDestroy(stream));
}

static void trials_run(const trial *trials, size_t count)
{
    for (size_t i = 0; i < count; i++)
        run(&trials[i]);
}

/* Each trial in turn; in the emulation under every policy of the scheduler. */
static void trials_run_all(const trial *trials, size_t count)
{
#ifdef VG_CUDA_EMULATED
    for (int policy = 0; policy < EMU_POLICY_COUNT; policy++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            emu_settings settings = emu_defaults();
            settings.policy = (emu_policy)policy;
            settings.seed = seed;
            emu_reset(&settings);
            trials_run(trials, count);
        }
    assert_int_equal(emu_reset(NULL), 0);
#else
    trials_run(trials, count);
#endif
}

/* The test of a whole program: exits 77 where there is no device, or none with code for `major`. */
static int trials_main(CMUnitTestFunction test, int major)
{
    int devices = 0;
    struct cudaDeviceProp chip = {.major = 0};
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (!error && devices)
        error = cudaGetDeviceProperties(&chip, 0);
    if (error || !devices) {
        printf("skipped: no CUDA device: %s\n", cudaGetErrorString(error));
        return 77;
    }
    if (chip.major < major) {
        printf("skipped: sm_%d%d has no clusters\n", chip.major, chip.minor);
        return 77;
    }
    const struct CMUnitTest tests[] = {{"every_word", test, NULL, NULL, NULL}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
