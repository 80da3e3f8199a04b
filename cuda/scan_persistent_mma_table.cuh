/* Regime M's kernels of one direction on tensor cores, and which of them a plan takes. Included
 * where WAY is fwd or bwd, after scan_persistent_WAY.cuh and scan_persistent_mma.cuh; hence no
 * include guard. */

#define SCAN(way, id, suffix, type, fragments)                                                     \
    VG_KERNEL(id##_scan_persistent_mma_##way##_##suffix##fragments, VG_PERSISTENT_THREADS,         \
              vg_scan_##way##_args)                                                                \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        scan_##way<VG_##id, type, mma_product<type, fragments>>(p, shared);                        \
    }
#define ENTRY(way, id, suffix, fragments)                                                          \
    VG_KERNEL_ENTRY(id##_scan_persistent_mma_##way##_##suffix##fragments, VG_PERSISTENT_THREADS,   \
                    vg_scan_##way##_args)
#define SCANS(way, id, suffix, type)                                                               \
    SCAN(way, id, suffix, type, 1)                                                                 \
    SCAN(way, id, suffix, type, 2)                                                                 \
    SCAN(way, id, suffix, type, 4)                                                                 \
    static vg_kernel id##_##suffix(uint32_t fragments)                                             \
    {                                                                                              \
        return fragments == 1   ? ENTRY(way, id, suffix, 1)                                        \
               : fragments == 2 ? ENTRY(way, id, suffix, 2)                                        \
                                : ENTRY(way, id, suffix, 4);                                       \
    }
#define SCANS_OF(way, id, suffix, type) SCANS(way, id, suffix, type)
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    SCANS_OF(WAY, id, tf32_, float)                                                                \
    SCANS_OF(WAY, id, bf16_, bf16)
#include "vg/cells.def"
#undef VG_CELL

#define KERNEL(way)    vg_scan_persistent_mma_##way##_kernel
#define KERNEL_OF(way) KERNEL(way)
vg_kernel KERNEL_OF(WAY)(vg_model_kind cell, vg_dtype w, uint32_t fragments)
{
    switch (cell) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        return w == VG_BF16 ? id##_bf16_(fragments) : id##_tf32_(fragments);
#include "vg/cells.def"
#undef VG_CELL
    default: return vg_kernel{};
    }
}
