/* Regime M forward on tensor cores. */
#include "scan_persistent_fwd.cuh"
#include "scan_persistent_mma.cuh"

#define SCAN(id, suffix, type, fragments)                                                          \
    VG_KERNEL(id##_scan_persistent_mma_fwd_##suffix##fragments, VG_PERSISTENT_THREADS,             \
              vg_scan_fwd_args)                                                                    \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        scan_fwd<VG_##id, type, mma_product<type, fragments>>(p, shared);                          \
    }
#define ENTRY(id, suffix, fragments)                                                               \
    VG_KERNEL_ENTRY(id##_scan_persistent_mma_fwd_##suffix##fragments, VG_PERSISTENT_THREADS,       \
                    vg_scan_fwd_args)
#define SCANS(id, suffix, type)                                                                    \
    SCAN(id, suffix, type, 1)                                                                      \
    SCAN(id, suffix, type, 2)                                                                      \
    SCAN(id, suffix, type, 4)                                                                      \
    static vg_kernel id##_##suffix(uint32_t fragments)                                             \
    {                                                                                              \
        return fragments == 1   ? ENTRY(id, suffix, 1)                                             \
               : fragments == 2 ? ENTRY(id, suffix, 2)                                             \
                                : ENTRY(id, suffix, 4);                                            \
    }
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    SCANS(id, tf32_, float)                                                                        \
    SCANS(id, bf16_, bf16)
#include "vg/cells.def"
#undef VG_CELL

vg_kernel vg_scan_persistent_mma_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t fragments)
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
