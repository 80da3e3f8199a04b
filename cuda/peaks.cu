/* A copy that measures memory. */
#include "device.cuh"
#include "peak_kernels.h"

enum { THREADS = 256, WIDE = 4, EACH = VG_COPY_CHUNK / (THREADS * WIDE * (int)sizeof(float)) };

VG_KERNEL(copy_chunks, THREADS, vg_copy_args)
{
    const uint64_t floats = VG_COPY_CHUNK / sizeof(float);
    const float *from = (const float *)p.from;
    float *to = (float *)p.to + block_index() * floats + thread_index() * WIDE;
    uint32_t chunk = block_index();
    for (uint64_t round = 0; round < p.rounds; round++) {
        const float *at = from + chunk * floats + thread_index() * WIDE;
        float held[EACH][WIDE];
        VG_UNROLL
        for (int i = 0; i < EACH; i++)
            load_pack<WIDE>(at + i * THREADS * WIDE, held[i]);
        VG_UNROLL
        for (int i = 0; i < EACH; i++)
            store_pack<WIDE>(to + i * THREADS * WIDE, held[i]);
        chunk = chunk + 1 < block_count() ? chunk + 1 : 0;
    }
}

vg_kernel vg_copy_kernel(void)
{
    return VG_KERNEL_ENTRY(copy_chunks, THREADS, vg_copy_args);
}
