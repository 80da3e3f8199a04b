/* Words of device.cuh for clusters. */
#include "vocabulary.h"

#include "device.cuh"

enum { THREADS = 128 };

/* float [2, threads of the grid]: what the rank before has stored here, and what is loaded from the
 * rank after. */
VG_KERNEL(use_cluster, THREADS, vocabulary_args)
{
    VG_SHARED(float, given, THREADS);
    VG_SHARED(float, own, THREADS);
    float *out = (float *)p.out;
    uint32_t i = thread_index(), next = (cluster_rank() + 1) % cluster_blocks();
    sync_cluster();
    own[i] = 2 * p.in[grid_index()];
    remote_store(given + i, next, p.in[grid_index()]);
    cluster_arrive();
    cluster_wait();
    out[grid_index()] = given[i];
    out[grid_threads() + grid_index()] = remote_load(own + i, next);
    sync_cluster();
}

/* float [threads of the grid]: a block's values go round, a place a round. */
VG_KERNEL(use_mbar, THREADS, vocabulary_args)
{
    VG_SHARED(float, slots, THREADS);
    VG_SHARED(uint64_t, bars, 2);
    uint32_t i = thread_index(), n = block_threads();
    if (i == 0) {
        mbar_init(&bars[0], n);
        mbar_init(&bars[1], n);
        mbar_init_fence();
    }
    sync_block();
    float mine = p.in[grid_index()];
    for (uint32_t r = 0; r < p.rounds; r++) {
        slots[i] = mine;
        mbar_arrive(&bars[0]);
        mbar_wait(&bars[0], r % 2);
        mine = slots[(i + 1) % n];
        mbar_arrive(&bars[1]);
        mbar_wait(&bars[1], r % 2);
    }
    ((float *)p.out)[grid_index()] = mine;
}

/* float [threads of the grid]: of each cluster, in its rank 0, what all others stored there; the
 * other blocks write nothing. */
VG_KERNEL(use_mbar_remote, THREADS, vocabulary_args)
{
    VG_SHARED(float, slots, 16);
    VG_SHARED(uint64_t, bar, 1);
    uint32_t i = thread_index(), rank = cluster_rank();
    if (i == 0) {
        mbar_init(bar, cluster_blocks());
        mbar_init_fence();
    }
    sync_cluster();
    if (i == 0) {
        remote_store(slots + rank, 0, p.in[block_index()]);
        mbar_arrive_remote(bar, 0);
    }
    if (rank == 0) {
        mbar_wait(bar, 0);
        if (i < cluster_blocks())
            ((float *)p.out)[grid_index()] = slots[i];
    }
    sync_cluster();
}

/* float [threads of the grid]: each round a block's values go on to the next rank. */
VG_KERNEL(use_async, THREADS, vocabulary_args)
{
    VG_SHARED(float, slots, 2 * THREADS);
    VG_SHARED(uint64_t, bar, 2);
    uint32_t i = thread_index(), n = block_threads();
    uint32_t next = (cluster_rank() + 1) % cluster_blocks();
    if (i == 0) {
        mbar_init(&bar[0], 1);
        mbar_init(&bar[1], 1);
        mbar_init_fence();
    }
    sync_cluster();
    float mine = p.in[grid_index()];
    for (uint32_t r = 0; r < p.rounds; r++) {
        uint32_t half = r % 2, parity = r / 2 % 2;
        if (i == 0)
            mbar_arrive_expect(&bar[half], 4 * n);
        remote_store_async<1>(slots + half * n + i, &bar[half], next, &mine);
        mbar_wait(&bar[half], parity);
        mine = slots[half * n + i] + 1;
        sync_cluster();
    }
    ((float *)p.out)[grid_index()] = mine;
}

vg_kernel vocabulary_cluster(vocabulary_kernel which)
{
    switch (which) {
    case VOCABULARY_CLUSTER: return VG_KERNEL_ENTRY(use_cluster, THREADS, vocabulary_args);
    case VOCABULARY_MBAR: return VG_KERNEL_ENTRY(use_mbar, THREADS, vocabulary_args);
    case VOCABULARY_MBAR_REMOTE: return VG_KERNEL_ENTRY(use_mbar_remote, THREADS, vocabulary_args);
    default: return VG_KERNEL_ENTRY(use_async, THREADS, vocabulary_args);
    }
}
