/* One word or two of device.cuh a kernel. */
#include "vocabulary.h"

#include "device.cuh"

enum { THREADS = 128 };

/* uint32_t [threads of the grid, 8] */
VG_KERNEL(use_indexes, THREADS, vocabulary_args)
{
    uint32_t *out = (uint32_t *)p.out + 8 * grid_index();
    out[0] = thread_index();
    out[1] = block_threads();
    out[2] = block_index();
    out[3] = block_count();
    out[4] = lane_index();
    out[5] = warp_index();
    out[6] = cluster_rank();
    out[7] = cluster_blocks();
}

/* float [3, threads]: `in` turned round, moved on by one, and where the dynamic memory begins. */
VG_KERNEL(use_shared, THREADS, vocabulary_args)
{
    VG_SHARED(float, fixed, THREADS);
    VG_DYNAMIC_SHARED(raw);
    float *dynamic = (float *)(void *)raw, *out = (float *)p.out;
    uint32_t i = thread_index(), n = block_threads();
    fixed[i] = p.in[i];
    dynamic[i] = 2 * p.in[i];
    sync_block();
    out[i] = fixed[n - 1 - i];
    out[n + i] = dynamic[(i + 1) % n];
    out[2 * n + i] = (float)((uintptr_t)raw % 128);
}

/* float [threads]: two halves, each with a barrier of its own and its own number of rounds. */
VG_KERNEL(use_named, THREADS, vocabulary_args)
{
    VG_SHARED(float, slots, THREADS);
    uint32_t i = thread_index(), half = block_threads() / 2, part = i / half, base = part * half;
    float mine = p.in[i];
    for (uint32_t r = 0; r < p.rounds + 3 * part; r++) {
        slots[i] = mine;
        sync_named(1 + part, half);
        mine = slots[base + (i - base + 1) % half];
        sync_named(1 + part, half);
    }
    ((float *)p.out)[i] = mine;
}

/* What each type gives, as an integer. */
VG_DEVICE float value_of(uint32_t lane, float)
{
    return (float)lane + 0.5f;
}
VG_DEVICE double value_of(uint32_t lane, double)
{
    return lane + 0.5;
}
VG_DEVICE int32_t value_of(uint32_t lane, int32_t)
{
    return -(int32_t)lane;
}
VG_DEVICE uint32_t value_of(uint32_t lane, uint32_t)
{
    return 0xf0000000u + lane;
}
VG_DEVICE int64_t value_of(uint32_t lane, int64_t)
{
    return -((int64_t)1 << 40) - lane;
}
VG_DEVICE uint64_t value_of(uint32_t lane, uint64_t)
{
    return ((uint64_t)1 << 62) + lane;
}

template <typename T> VG_DEVICE void exchange(int64_t *out)
{
    uint32_t lane = lane_index();
    T mine = value_of(lane, T());
    T scale = (T)0.5f != (T)0 ? (T)2 : (T)1;
    out[lane] = (int64_t)(scale * shuffle(ALL_LANES, mine, (lane + 5) % 32));
    out[32 + lane] = (int64_t)(scale * shuffle_xor(ALL_LANES, mine, 25));
    out[64 + lane] = (int64_t)(scale * shuffle_down(ALL_LANES, mine, 7));
}

/* int64_t [6 types, 3 exchanges, 32] */
VG_KERNEL(use_warp, THREADS, vocabulary_args)
{
    int64_t *out = (int64_t *)p.out;
    exchange<float>(out);
    exchange<double>(out + 96);
    exchange<int32_t>(out + 2 * 96);
    exchange<uint32_t>(out + 3 * 96);
    exchange<int64_t>(out + 4 * 96);
    exchange<uint64_t>(out + 5 * 96);
}

/* uint32_t [5, 32]: the halves of a warp, each for itself; last a ballot of all. */
VG_KERNEL(use_masks, THREADS, vocabulary_args)
{
    VG_SHARED(uint32_t, slots, 32);
    uint32_t *out = (uint32_t *)p.out, lane = lane_index();
    uint32_t mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    if (lane < 16) {
        out[lane] = ballot(mask, lane % 3 == 0);
        out[32 + lane] = shuffle_xor(mask, lane * lane, 3);
    } else {
        out[lane] = ballot(mask, lane % 5 == 0);
        out[32 + lane] = shuffle_xor(mask, lane * lane, 6);
    }
    uint32_t below = shuffle_down(mask, lane + 100, 4);
    out[64 + lane] = lane % 16 < 12 ? below : 0;
    slots[lane] = lane + 7;
    sync_warp(mask);
    out[96 + lane] = slots[lane ^ 1];
    out[128 + lane] = ballot(ALL_LANES, lane % 7 == 1);
}

VG_CONSTANT float table[4] = {1, -2, 0.5f, 1e30f};

/* uint32_t [8, threads] of in[thread] */
VG_KERNEL(use_numbers, THREADS, vocabulary_args)
{
    uint32_t *out = (uint32_t *)p.out, i = thread_index(), n = block_threads();
    float x = p.in[i];
    bf16 narrow;
    from_float(x, &narrow);
    out[i] = (uint32_t)float_bits(x);
    out[n + i] = (uint32_t)float_bits(bits_float(float_bits(x) ^ (int32_t)0x80000000u));
    out[2 * n + i] = (uint32_t)float_bits(round_tf32(x));
    out[3 * n + i] = (uint32_t)float_bits(round_once((double)x * (1 + 0x1p-30)));
    out[4 * n + i] = narrow.bits;
    out[5 * n + i] = (uint32_t)float_bits(to_float(narrow));
    out[6 * n + i] = (uint32_t)float_bits(fmaf(x, x, -0.7f));
    out[7 * n + i] = (uint32_t)float_bits(x * x + table[i % 4]);
}

/* bf16 [4 a thread], then float [4 a thread] that have been through bf16 */
VG_KERNEL(use_packs, THREADS, vocabulary_args)
{
    uint32_t i = thread_index(), n = block_threads();
    bf16 *narrow = (bf16 *)p.out;
    float *wide = (float *)p.out + 2 * n, values[4], again[4];
    load_pack<4>(p.in + 4 * i, values);
    store_pack<4>(narrow + 4 * i, values);
    load_pack<4>((const bf16 *)narrow + 4 * i, again);
    store_pack<4>(wide + 4 * i, again);
}

/* float [2, threads]: block 0 writes, block 1 reads it once the flag is up. */
VG_KERNEL(use_flag, THREADS, vocabulary_args)
{
    float *out = (float *)p.out;
    uint32_t i = thread_index(), n = block_threads();
    if (block_index() == 0) {
        out[i] = 3 * p.in[i];
        sync_block();
        if (i == 0)
            store_release(p.words, 5);
        return;
    }
    if (i == 0) {
        wait_at_least(p.words, 5);
        p.words[1] = load_acquire(p.words);
    }
    sync_block();
    out[n + i] = out[(i + 1) % n];
}

/* float [2, threads of the grid]: each round a block takes what its neighbour had. The result is
 * in the half that the last round wrote. */
VG_KERNEL(use_grid_barrier, THREADS, vocabulary_args)
{
    float *out = (float *)p.out;
    uint64_t n = grid_threads(), i = grid_index(), from = (i + block_threads()) % n;
    out[i] = p.in[i];
    for (uint32_t r = 1; r <= p.rounds; r++) {
        sync_block();
        if (thread_index() == 0) {
            add_release(p.words, 1);
            wait_at_least(p.words, r * block_count());
        }
        sync_block();
        out[r % 2 * n + i] = out[(r + 1) % 2 * n + from];
    }
}

/* uint32_t [threads of the grid]: what stood there before. */
VG_KERNEL(use_add, THREADS, vocabulary_args)
{
    ((uint32_t *)p.out)[grid_index()] = add_acq_rel(p.words, 3);
}

typedef pack<float, 4> float4_pack;

/* float [4 a thread, 2]: two groups of 16 bytes a thread, then read by another thread. */
VG_KERNEL(use_copy, THREADS, vocabulary_args)
{
    VG_SHARED(float4_pack, slots, 2 * THREADS);
    uint32_t i = thread_index(), n = block_threads();
    copy_async(&slots[i], p.in + 4 * i);
    copy_async_commit();
    copy_async(&slots[n + i], p.in + 4 * (n + i));
    copy_async_commit();
    float4_pack *out = (float4_pack *)p.out;
    copy_async_wait<1>();
    sync_block();
    out[i] = slots[n - 1 - i];
    copy_async_wait<0>();
    sync_block();
    out[n + i] = slots[2 * n - 1 - i];
}

vg_kernel vocabulary(vocabulary_kernel which)
{
    switch (which) {
    case VOCABULARY_INDEXES: return VG_KERNEL_ENTRY(use_indexes, THREADS, vocabulary_args);
    case VOCABULARY_SHARED: return VG_KERNEL_ENTRY(use_shared, THREADS, vocabulary_args);
    case VOCABULARY_NAMED: return VG_KERNEL_ENTRY(use_named, THREADS, vocabulary_args);
    case VOCABULARY_WARP: return VG_KERNEL_ENTRY(use_warp, THREADS, vocabulary_args);
    case VOCABULARY_MASKS: return VG_KERNEL_ENTRY(use_masks, THREADS, vocabulary_args);
    case VOCABULARY_NUMBERS: return VG_KERNEL_ENTRY(use_numbers, THREADS, vocabulary_args);
    case VOCABULARY_PACKS: return VG_KERNEL_ENTRY(use_packs, THREADS, vocabulary_args);
    case VOCABULARY_FLAG: return VG_KERNEL_ENTRY(use_flag, THREADS, vocabulary_args);
    case VOCABULARY_GRID_BARRIER:
        return VG_KERNEL_ENTRY(use_grid_barrier, THREADS, vocabulary_args);
    case VOCABULARY_ADD: return VG_KERNEL_ENTRY(use_add, THREADS, vocabulary_args);
    case VOCABULARY_COPY: return VG_KERNEL_ENTRY(use_copy, THREADS, vocabulary_args);
    case VOCABULARY_MMA: return vocabulary_mma();
    default: return vocabulary_cluster(which);
    }
}
