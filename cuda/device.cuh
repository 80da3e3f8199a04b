/* What kernels are written against: the CUDA execution model under names of our own. A kernel file
 * includes this, plain C headers and nothing else; it is compiled by nvcc (device_ptx.cuh) and, for
 * the tests, as C++17 against an emulation (device_emulated.cuh); both define the same names with
 * the same meaning. Grids, blocks and clusters are one-dimensional.
 *
 *   VG_KERNEL(name, threads, args)   declares a kernel of blocks of at most `threads` threads; its
 *                                    one parameter is `const args &p` by name `p`
 *   VG_KERNEL_ALONE(name, threads, args)   the same of one that shares its multiprocessor with no
 *                                    other block: registers are not spared for a second
 *   VG_KERNEL_ENTRY(name, threads, args)   the vg_kernel that the host launches
 *   VG_DEVICE                        in front of a device function
 *   VG_CONSTANT                      in front of a table in constant memory, with its initialiser
 *   VG_UNROLL                        in front of a loop that must be unrolled
 *   VG_ROLLED                        in front of one that must not
 *   VG_SHARED(type, name, count)     a static array in shared memory, uninitialised
 *   VG_DYNAMIC_SHARED(name)          `unsigned char *name`: the launch's dynamic shared memory,
 *                                    128-aligned; carved by hand, one use a kernel
 *
 * Indexes: thread_index() block_threads() block_index() block_count() lane_index() warp_index()
 *   cluster_rank() (of this block) cluster_blocks()
 *
 * Within a block (every thread of the block reaches each call):
 *   sync_block()
 *   sync_named(barrier, threads)     barrier 1..15, `threads` a multiple of 32 of them take part
 *   sync_warp(mask)   shuffle(mask, value, lane)   shuffle_xor(mask, value, bits)
 *   shuffle_down(mask, value, delta)   ballot(mask, bool); mask: exactly the lanes that take part;
 *   values are float, double, int32_t, uint32_t, int64_t or uint64_t
 *
 * Between blocks, in device memory; acquire and release at the device's scope. What a block wrote
 * before sync_block() and one thread's release is seen after another's acquire and sync_block():
 *   store_release(at, value)   load_acquire(at)   add_release(at, value)
 *   add_acq_rel(at, value)           returns what stood there; all on uint32_t
 *   wait_at_least(at, value)         until *at >= value, acquiring
 *
 * Within a cluster; a remote address is (own pointer, rank): the same place in that block's shared
 * memory:
 *   sync_cluster()   cluster_arrive()   cluster_wait()
 *   remote_store(own, rank, value)   remote_load(own, rank)      ordered by the cluster barrier
 *   mbar_init(bar, arrivals)         then mbar_init_fence() and a barrier before the first use
 *   mbar_arrive(bar)   mbar_arrive_remote(own bar, rank)
 *   mbar_arrive_expect(bar, bytes)   one arrival, and so many bytes more in this phase
 *   mbar_wait(bar, parity)           until the phase of that parity (0 first) is complete
 *   remote_store_async<n>(own, own bar, rank, values)   1, 2 or 4 floats, aligned to all of them;
 *                                    counts their bytes on the barrier of the same block when they
 *                                    are there
 *   VG_CLUSTER_BODY(statements)      of a kernel: nothing for architectures without clusters
 *
 * Asynchronous copies from device to shared memory, 16 bytes, both 16-aligned:
 *   copy_async(shared, global)   copy_async_commit()   copy_async_wait<n>()   all but n groups done
 *   (of this thread's; then a barrier for the others)
 *
 * Numbers: float_bits(f) bits_float(i)   round_tf32(f) to nearest   round_once(double) -> float
 *   fused multiply-add is fmaf() and fma(); nothing else is contracted. */
#ifndef VG_DEVICE_CUH
#define VG_DEVICE_CUH

#include "kernel.h"

#include <math.h>
#include <stdint.h>

#if defined(__CUDACC__)
#include "device_ptx.cuh"
#else
#include "device_emulated.cuh"
#endif

#if defined(__CUDACC__)
#define VG_ROLLED _Pragma("unroll 1")
#else
#define VG_ROLLED
#endif

enum { WARP = 32 };
#define ALL_LANES 0xffffffffu

/* A number as memory holds it in bf16: the upper half of a float. */
struct bf16 {
    uint16_t bits;
};

VG_DEVICE float to_float(float x)
{
    return x;
}
VG_DEVICE float to_float(bf16 x)
{
    return bits_float((int32_t)((uint32_t)x.bits << 16));
}

/* Rounded to nearest, ties to even; NaN stays a NaN. */
VG_DEVICE void from_float(float x, float *to)
{
    *to = x;
}
VG_DEVICE void from_float(float x, bf16 *to)
{
    uint32_t bits = (uint32_t)float_bits(x);
    bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    uint32_t up = is_nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    to->bits = (uint16_t)(up >> 16);
}

/* n numbers side by side, read or written in one access: `at` is aligned to all of them. */
template <typename T, int n> struct alignas(sizeof(T) * n) pack {
    T v[n];
};
template <int n, typename T> VG_DEVICE void load_pack(const T *at, float *to)
{
    pack<T, n> read = *(const pack<T, n> *)(const void *)at;
    VG_UNROLL
    for (int i = 0; i < n; i++)
        to[i] = to_float(read.v[i]);
}
template <int n, typename T> VG_DEVICE void store_pack(T *at, const float *from)
{
    pack<T, n> made;
    VG_UNROLL
    for (int i = 0; i < n; i++)
        from_float(from[i], &made.v[i]);
    *(pack<T, n> *)(void *)at = made;
}

VG_DEVICE uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* This thread's place in the whole grid, and the number of threads in it. */
VG_DEVICE uint64_t grid_index(void)
{
    return (uint64_t)block_index() * block_threads() + thread_index();
}
VG_DEVICE uint64_t grid_threads(void)
{
    return (uint64_t)block_count() * block_threads();
}

#endif
