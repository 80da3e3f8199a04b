/* The vocabulary of device.cuh as g++ compiles it, for an emulated GPU: every thread of a grid is a
 * fiber, plain loads and stores are plain C++ (so that the sanitizers see them), and whatever waits
 * or reaches another block goes through the scheduler (grid.h). Each call that can wait or be wrong
 * knows its file and line. */
#ifndef VG_DEVICE_EMULATED_CUH
#define VG_DEVICE_EMULATED_CUH

#include "kernel.h"

#include <stddef.h>
#include <stdint.h>

#define VG_KERNEL(name, threads, args)       void name([[maybe_unused]] const args &p)
#define VG_KERNEL_ALONE(name, threads, args) VG_KERNEL(name, threads, args)
#define VG_KERNEL_ENTRY(name, threads, args)                                                       \
    emu_kernel_entry((void (*)(const args &))(name), #name, (threads))
#define VG_DEVICE   static inline
#define VG_CONSTANT static constexpr
#define VG_UNROLL
#define VG_CLUSTER_BODY(...) __VA_ARGS__

/* One array per declaration, template instance and block. */
#define VG_SHARED(type, name, count)                                                               \
    static char name##_declared;                                                                   \
    type(&name)[count] =                                                                           \
        *(type(*)[count])emu_shared(&name##_declared, sizeof(type[count]), alignof(type))
#define VG_DYNAMIC_SHARED(name) unsigned char *name = emu_dynamic_shared()

/* Where the running thread is. */
struct emu_position {
    uint32_t thread, block_threads, block, blocks, rank, cluster_blocks;
};
extern __thread const emu_position *emu_here;

/* The place of a call in a kernel: the default argument of what may be reported. */
struct emu_site {
    const char *file;
    int line;
};
#define EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMU_HERE (emu_site{file, line})

enum emu_kind {
    EMU_SYNC,
    EMU_SHUFFLE,
    EMU_SHUFFLE_XOR,
    EMU_SHUFFLE_DOWN,
    EMU_BALLOT,
    EMU_MMA_TF32,
    EMU_MMA_BF16
};

vg_kernel emu_kernel_register(const void *function, const char *name, uint32_t threads,
                              size_t args_bytes);
void *emu_shared(const void *declared, size_t bytes, size_t align);
unsigned char *emu_dynamic_shared(void);
void emu_sync_block(emu_site site);
void emu_sync_named(uint32_t barrier, uint32_t threads, emu_site site);
uint64_t emu_collective(emu_kind kind, uint32_t mask, uint64_t value, uint32_t argument,
                        emu_site site);
/* Checks a word that blocks synchronise by; a chance for others to run. */
void emu_word(const uint32_t *at, const char *what, emu_site site);
/* Wakes those for whom the word now is enough. */
void emu_word_written(const uint32_t *at);
void emu_word_wait(const uint32_t *at, uint32_t value, emu_site site);
void emu_cluster_arrive(emu_site site);
void emu_cluster_wait(emu_site site);
/* The twin of shared memory `own` in the block `rank` of this cluster. */
void *emu_remote(const void *own, uint32_t rank, const char *what, emu_site site);
void emu_mbar_init(uint64_t *bar, uint32_t arrivals, emu_site site);
void emu_mbar_init_fence(void);
void emu_mbar_arrive(uint64_t *own, uint32_t rank, uint32_t bytes, const char *what, emu_site site);
void emu_mbar_wait(uint64_t *bar, uint32_t parity, emu_site site);
void emu_store_async(float *target, uint64_t *own_bar, uint32_t rank, const float *values,
                     uint32_t count, emu_site site);
void emu_copy_async(void *shared, const void *global, emu_site site);
void emu_copy_commit(void);
void emu_copy_wait(uint32_t groups);

template <typename A>
static inline vg_kernel emu_kernel_entry(void (*function)(const A &), const char *name,
                                         uint32_t threads)
{
    static_assert(__is_trivially_copyable(A), "a kernel's arguments are copied as bytes");
    return emu_kernel_register((const void *)function, name, threads, sizeof(A));
}

VG_DEVICE uint32_t thread_index(void)
{
    return emu_here->thread;
}
VG_DEVICE uint32_t block_threads(void)
{
    return emu_here->block_threads;
}
VG_DEVICE uint32_t block_index(void)
{
    return emu_here->block;
}
VG_DEVICE uint32_t block_count(void)
{
    return emu_here->blocks;
}
VG_DEVICE uint32_t lane_index(void)
{
    return emu_here->thread % 32;
}
VG_DEVICE uint32_t warp_index(void)
{
    return emu_here->thread / 32;
}

VG_DEVICE void sync_block(EMU_SITE)
{
    emu_sync_block(EMU_HERE);
}
VG_DEVICE void sync_named(uint32_t barrier, uint32_t threads, EMU_SITE)
{
    emu_sync_named(barrier, threads, EMU_HERE);
}
VG_DEVICE void sync_warp(uint32_t mask, EMU_SITE)
{
    emu_collective(EMU_SYNC, mask, 0, 0, EMU_HERE);
}
template <typename T>
static inline T emu_exchange(emu_kind kind, uint32_t mask, T value, uint32_t argument,
                             emu_site site)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "float, double or an integer of that size");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = emu_collective(kind, mask, bits, argument, site);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}
template <typename T> VG_DEVICE T shuffle(uint32_t mask, T value, uint32_t lane, EMU_SITE)
{
    return emu_exchange(EMU_SHUFFLE, mask, value, lane, EMU_HERE);
}
template <typename T> VG_DEVICE T shuffle_xor(uint32_t mask, T value, uint32_t bits, EMU_SITE)
{
    return emu_exchange(EMU_SHUFFLE_XOR, mask, value, bits, EMU_HERE);
}
template <typename T> VG_DEVICE T shuffle_down(uint32_t mask, T value, uint32_t delta, EMU_SITE)
{
    return emu_exchange(EMU_SHUFFLE_DOWN, mask, value, delta, EMU_HERE);
}
VG_DEVICE uint32_t ballot(uint32_t mask, bool vote, EMU_SITE)
{
    return (uint32_t)emu_collective(EMU_BALLOT, mask, vote, 0, EMU_HERE);
}

/* The compiler's atomics, so that ThreadSanitizer knows what is released and acquired. */
VG_DEVICE void store_release(uint32_t *at, uint32_t value, EMU_SITE)
{
    emu_word(at, "store_release", EMU_HERE);
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
    emu_word_written(at);
}
VG_DEVICE uint32_t load_acquire(const uint32_t *at, EMU_SITE)
{
    emu_word(at, "load_acquire", EMU_HERE);
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
VG_DEVICE void add_release(uint32_t *at, uint32_t value, EMU_SITE)
{
    emu_word(at, "add_release", EMU_HERE);
    __atomic_fetch_add(at, value, __ATOMIC_RELEASE);
    emu_word_written(at);
}
VG_DEVICE uint32_t add_acq_rel(uint32_t *at, uint32_t value, EMU_SITE)
{
    emu_word(at, "add_acq_rel", EMU_HERE);
    uint32_t before = __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
    emu_word_written(at);
    return before;
}
VG_DEVICE void wait_at_least(const uint32_t *at, uint32_t value, EMU_SITE)
{
    emu_word(at, "wait_at_least", EMU_HERE);
    while (__atomic_load_n(at, __ATOMIC_ACQUIRE) < value)
        emu_word_wait(at, value, EMU_HERE);
}

VG_DEVICE uint32_t cluster_rank(void)
{
    return emu_here->rank;
}
VG_DEVICE uint32_t cluster_blocks(void)
{
    return emu_here->cluster_blocks;
}
VG_DEVICE void cluster_arrive(EMU_SITE)
{
    emu_cluster_arrive(EMU_HERE);
}
VG_DEVICE void cluster_wait(EMU_SITE)
{
    emu_cluster_wait(EMU_HERE);
}
VG_DEVICE void sync_cluster(EMU_SITE)
{
    emu_cluster_arrive(EMU_HERE);
    emu_cluster_wait(EMU_HERE);
}
VG_DEVICE void remote_store(float *own, uint32_t rank, float value, EMU_SITE)
{
    *(float *)emu_remote(own, rank, "remote_store", EMU_HERE) = value;
}
VG_DEVICE float remote_load(const float *own, uint32_t rank, EMU_SITE)
{
    return *(const float *)emu_remote(own, rank, "remote_load", EMU_HERE);
}
VG_DEVICE void mbar_init(uint64_t *bar, uint32_t arrivals, EMU_SITE)
{
    emu_mbar_init(bar, arrivals, EMU_HERE);
}
VG_DEVICE void mbar_init_fence(void)
{
    emu_mbar_init_fence();
}
VG_DEVICE void mbar_arrive(uint64_t *bar, EMU_SITE)
{
    emu_mbar_arrive(bar, emu_here->rank, 0, "mbar_arrive", EMU_HERE);
}
VG_DEVICE void mbar_arrive_remote(uint64_t *own, uint32_t rank, EMU_SITE)
{
    emu_mbar_arrive(own, rank, 0, "mbar_arrive_remote", EMU_HERE);
}
VG_DEVICE void mbar_arrive_expect(uint64_t *bar, uint32_t bytes, EMU_SITE)
{
    emu_mbar_arrive(bar, emu_here->rank, bytes, "mbar_arrive_expect", EMU_HERE);
}
VG_DEVICE void mbar_wait(uint64_t *bar, uint32_t parity, EMU_SITE)
{
    emu_mbar_wait(bar, parity, EMU_HERE);
}
template <int n>
VG_DEVICE void remote_store_async(float *own, uint64_t *own_bar, uint32_t rank, const float *values,
                                  EMU_SITE)
{
    static_assert(n == 1 || n == 2 || n == 4, "4, 8 or 16 bytes");
    float *target = (float *)emu_remote(own, rank, "remote_store_async", EMU_HERE), sent[n];
    /* The store lands later, from nowhere: to the sanitizers this thread writes, here. */
    for (int i = 0; i < n; i++) {
        *(volatile float *)(target + i) = *(volatile float *)(target + i);
        sent[i] = values[i];
    }
    emu_store_async(target, own_bar, rank, sent, n, EMU_HERE);
}

VG_DEVICE void copy_async(void *shared, const void *global, EMU_SITE)
{
    emu_copy_async(shared, global, EMU_HERE);
}
VG_DEVICE void copy_async_commit(void)
{
    emu_copy_commit();
}
template <int groups> VG_DEVICE void copy_async_wait(void)
{
    emu_copy_wait(groups);
}

VG_DEVICE int32_t float_bits(float x)
{
    int32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
VG_DEVICE float bits_float(int32_t x)
{
    float value;
    __builtin_memcpy(&value, &x, sizeof value);
    return value;
}
/* Ties away from zero, as the conversion instruction has it. */
VG_DEVICE float round_tf32(float x)
{
    uint32_t bits = (uint32_t)float_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return x;
    return bits_float((int32_t)((bits + 0x1000u) & ~0x1fffu));
}
VG_DEVICE float round_once(double x)
{
    return (float)x;
}

#endif
