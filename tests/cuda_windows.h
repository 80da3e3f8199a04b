/* Windows of device memory for tests of kernels, a kernel's launch, and the schedules to run it
 * under. C++. Include after cmocka. */
#ifndef VG_TESTS_CUDA_WINDOWS_H
#define VG_TESTS_CUDA_WINDOWS_H

#include "kernel.h"
#include "vg/dtype.h"

#include <cuda_runtime_api.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vector>

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

static inline void cuda_check(cudaError_t status, const char *what)
{
    if (status != cudaSuccess)
        fail_msg("%s: %s", what, cudaGetErrorString(status));
}

/* Uniform in [-range, range), by a hash of seed and index. */
static inline float draw(uint64_t seed, uint64_t index, float range)
{
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + index * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return range * ((float)(x >> 40) * 0x1p-23f - 1);
}

static inline float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* The same bits, NaN like NaN. */
static inline bool same(float a, float b)
{
    return (a != a && b != b) || bits_of(a) == bits_of(b);
}

/* As the window would hold it. */
static inline float stored(vg_dtype dtype, float value)
{
    return dtype == VG_BF16 ? (float)vg_dtype_round(VG_BF16, (double)value) : value;
}

/* rows × cols of a dtype, on the host and on the device; all that is no element is poison (NaN) on
 * both, some of it before the first row and after the last. */
struct window {
    enum { HEAD = 256, TAIL = 256 };
    vg_dtype dtype;
    uint64_t rows;
    uint32_t cols, ld, shift; /* shift: elements that the first row stands off its alignment */
    std::vector<unsigned char> host;
    unsigned char *device;

    window(vg_dtype dtype_, uint64_t rows_, uint32_t cols_, uint32_t pad = 0, uint32_t shift_ = 0)
        : dtype(dtype_), rows(rows_), cols(cols_), ld(cols_ + pad), shift(shift_),
          host(HEAD + (rows_ * (cols_ + pad) + shift_) * vg_dtype_size(dtype_) + TAIL),
          device(nullptr)
    {
        for (size_t i = 0; i < host.size(); i++)
            host[i] = poison(i);
        void *at;
        cuda_check(cudaMalloc(&at, host.size()), "cudaMalloc");
        device = (unsigned char *)at;
    }
    window(const window &) = delete;
    window &operator=(const window &) = delete;
    ~window()
    {
        cudaFree(device);
    }

    /* A NaN in every format (of bytes: 0xff or 0x7f). */
    static unsigned char poison(size_t byte)
    {
        return byte % 2 ? 0x7f : 0xff;
    }
    size_t offset(uint64_t r, uint32_t j) const
    {
        return HEAD + (r * ld + shift + j) * vg_dtype_size(dtype);
    }
    float get(uint64_t r, uint32_t j) const
    {
        const unsigned char *at = &host[offset(r, j)];
        uint16_t half;
        float f;
        if (dtype == VG_U8)
            return *at;
        if (dtype == VG_BF16) {
            memcpy(&half, at, sizeof half);
            return float_of((uint32_t)half << 16);
        }
        memcpy(&f, at, sizeof f);
        return f;
    }
    void set(uint64_t r, uint32_t j, float value)
    {
        unsigned char *at = &host[offset(r, j)];
        if (dtype == VG_U8) {
            *at = (unsigned char)value;
        } else if (dtype == VG_BF16) {
            uint16_t half = (uint16_t)(bits_of(stored(VG_BF16, value)) >> 16);
            memcpy(at, &half, sizeof half);
        } else {
            memcpy(at, &value, sizeof value);
        }
    }
    /* f(r, j) in every element. */
    template <typename F> void fill(F f)
    {
        for (uint64_t r = 0; r < rows; r++)
            for (uint32_t j = 0; j < cols; j++)
                set(r, j, f(r, j));
    }
    void fill_random(uint64_t seed, float range)
    {
        fill([&](uint64_t r, uint32_t j) { return draw(seed, r * cols + j, range); });
    }
    /* Numbers of every kind: zeros of both signs, subnormals, infinities, NaN, the largest. */
    void fill_strange(uint64_t seed)
    {
        static const uint32_t strange[] = {0,          0x80000000, 1,          0x807fffff,
                                           0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345,
                                           0x7f7fffff, 0x00800000, 0x00010000, 0x80400000};
        fill([&](uint64_t r, uint32_t j) {
            uint64_t index = r * cols + j;
            uint32_t kind = (bits_of(draw(seed + 77, index, 1)) >> 3) % 40;
            return kind < sizeof strange / sizeof *strange ? float_of(strange[kind])
                                                           : draw(seed, index, 2);
        });
    }
    void up() const
    {
        cuda_check(cudaMemcpy(device, host.data(), host.size(), cudaMemcpyHostToDevice), "copy");
    }
    /* Brings all back, and fails where anything but an element was written. */
    void down(const char *name)
    {
        std::vector<unsigned char> back(host.size());
        cuda_check(cudaMemcpy(back.data(), device, back.size(), cudaMemcpyDeviceToHost), "copy");
        host.swap(back);
        size_t size = vg_dtype_size(dtype);
        for (size_t i = 0; i < host.size(); i++) {
            size_t at = i - HEAD - shift * size;
            bool inside =
                i >= HEAD + shift * size && at / size < rows * ld && at / size % ld < cols;
            if (!inside && host[i] != poison(i))
                fail_msg("%s, %llu x %u (ld %u): byte %zd of the window was written", name,
                         (unsigned long long)rows, cols, ld, (ptrdiff_t)(i - HEAD));
        }
    }
    /* The window as a kernel gets it. */
    operator vg_window() const
    {
        return vg_window{rows && cols ? device + HEAD + shift * vg_dtype_size(dtype) : nullptr,
                         rows, cols, ld};
    }
};

/* Device memory for a kernel's scratch: `bytes`, zeroed or as it comes. */
struct scratch {
    void *at;
    explicit scratch(size_t bytes)
    {
        cuda_check(cudaMalloc(&at, bytes ? bytes : 1), "cudaMalloc");
    }
    scratch(const scratch &) = delete;
    scratch &operator=(const scratch &) = delete;
    ~scratch()
    {
        cudaFree(at);
    }
};

/* Runs a kernel to its end: blocks of all its threads. */
template <typename A> static inline void launch(vg_kernel kernel, uint32_t blocks, const A &args)
{
    cudaLaunchConfig_t how = {};
    how.gridDim = dim3{blocks, 1, 1};
    how.blockDim = dim3{kernel.threads, 1, 1};
    void *arguments[] = {(void *)&args};
    cuda_check(cudaLaunchKernelExC(&how, kernel.function, arguments), kernel.name);
    cuda_check(cudaDeviceSynchronize(), kernel.name);
}

/* Whether a case of so many numbers is left out: under ThreadSanitizer, which is 200 times slower
 * and sees in one schedule what the others would show. */
#if defined(__SANITIZE_THREAD__)
enum { SCHEDULES = 1 };
static inline bool too_large(uint64_t elements)
{
    return elements > 500;
}
#else
enum { SCHEDULES = 4 };
static inline bool too_large(uint64_t)
{
    return false;
}
#endif

/* Runs `body` under every schedule of the emulation, with seeds from the clock or from VG_SEED; on
 * a GPU once. */
template <typename F> static inline void each_schedule(F body)
{
#if defined(VG_CUDA_EMULATED)
    static const char *const names[] = {"fifo", "random", "lifo", "skewed"};
    const char *asked = getenv("VG_SEED");
    uint64_t seed = asked ? strtoull(asked, nullptr, 0) : (uint64_t)time(nullptr);
    for (int policy = 0; policy < SCHEDULES; policy++) {
        emu_settings settings = emu_defaults();
        settings.policy = (emu_policy)policy;
        settings.seed = seed + (uint64_t)policy;
        print_message("policy=%s VG_SEED=%llu\n", names[policy], (unsigned long long)seed);
        assert_int_equal(emu_reset(&settings), 0);
        body();
    }
    emu_settings settings = emu_defaults();
    assert_int_equal(emu_reset(&settings), 0);
#else
    body();
#endif
}

/* In main(): exits 77 with the reason where no GPU can be used. */
static inline void need_gpu(void)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        printf("skipped: no usable GPU: %s\n",
               status == cudaSuccess ? "none is there" : cudaGetErrorString(status));
        exit(77);
    }
}

#endif
