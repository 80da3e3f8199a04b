/* The kernels of the latency probe: a synchronisation each, repeated. */
#include "device.cuh"
#include "probe.h"
#include "scan_kernels.h"

enum { MOST_THREADS = 1024 };

VG_KERNEL(probe_nothing, WARP, vg_probe_args)
{
}

VG_KERNEL(probe_block_barrier, MOST_THREADS, vg_probe_args)
{
    for (uint32_t i = 0; i < p.times; i++)
        sync_block();
}

VG_KERNEL(probe_grid_sync, MOST_THREADS, vg_probe_args)
{
    for (uint32_t i = 1; i <= p.times; i++) {
        sync_block();
        if (thread_index() == 0) {
            add_release(p.words, 1);
            wait_at_least(p.words, i * block_count());
        }
        sync_block();
    }
}

VG_KERNEL(probe_flag_exchange, MOST_THREADS, vg_probe_args)
{
    for (uint32_t i = 1; i <= p.times; i++) {
        sync_block();
        if (thread_index() == 0)
            store_release(p.words + VG_FLAG_OF(block_index()), i);
        for (uint32_t b = thread_index(); b < block_count(); b += block_threads())
            wait_at_least(p.words + VG_FLAG_OF(b), i);
        sync_block();
    }
}

VG_KERNEL(probe_counter_hop, WARP, vg_probe_args)
{
    uint32_t *forth = p.words, *back = p.words + VG_PROBE_STRIDE;
    if (thread_index() != 0)
        return;
    for (uint32_t i = 1; i <= p.times; i++) {
        if (block_index() == 0)
            add_release(forth, 1);
        wait_at_least(block_index() == 0 ? back : forth, i);
        if (block_index() == 1)
            add_release(back, 1);
    }
}

VG_KERNEL(probe_cluster_barrier, MOST_THREADS, vg_probe_args)
{
    for (uint32_t i = 0; i < p.times; i++)
        sync_cluster();
}

VG_KERNEL(probe_remote_push, WARP, vg_probe_args)
{
    VG_SHARED(float, slot, 1);
    VG_SHARED(uint64_t, bar, 1);
    if (thread_index() == 0) {
        mbar_init(bar, 1);
        mbar_init_fence();
        mbar_arrive_expect(bar, sizeof(float));
    }
    sync_cluster();
    if (thread_index() == 0)
        for (uint32_t i = 0; i < p.times; i++) {
            const float value = (float)i;
            if (cluster_rank() == 0)
                remote_store_async<1>(slot, bar, 1, &value);
            mbar_wait(bar, i & 1);
            if (i + 1 < p.times) /* before the other can send again */
                mbar_arrive_expect(bar, sizeof(float));
            if (cluster_rank() == 1)
                remote_store_async<1>(slot, bar, 0, &value);
        }
    sync_cluster();
}

#define ACCESSOR(name, threads)                                                                    \
    extern "C" vg_kernel vg_##name##_kernel(void)                                                  \
    {                                                                                              \
        return VG_KERNEL_ENTRY(name, threads, vg_probe_args);                                      \
    }
ACCESSOR(probe_nothing, WARP)
ACCESSOR(probe_block_barrier, MOST_THREADS)
ACCESSOR(probe_grid_sync, MOST_THREADS)
ACCESSOR(probe_flag_exchange, MOST_THREADS)
ACCESSOR(probe_counter_hop, WARP)
ACCESSOR(probe_cluster_barrier, MOST_THREADS)
ACCESSOR(probe_remote_push, WARP)
