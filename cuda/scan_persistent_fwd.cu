/* Regime M forward by multiply-add. */
#include "scan_persistent.cuh"

#include "scan_persistent_fma.cuh"
#include "scan_persistent_fwd.cuh"

template <vg_model_kind kind, typename W>
VG_DEVICE void load_columns(const fwd_source<kind, W> &s, uint32_t number, uint32_t depth,
                            float (*to)[DEEP])
{
    typedef fwd_columns<kind> columns;
    VG_UNROLL
    for (uint32_t c = 0; c < columns::WIDTH; c++)
        load_column(s, c / columns::UNITS, number * columns::UNITS + c % columns::UNITS, depth,
                    to[c]);
}

#define SCAN(id, suffix, type, rows)                                                               \
    VG_KERNEL(id##_scan_persistent_fwd_##suffix, VG_PERSISTENT_THREADS, vg_scan_fwd_args)          \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        scan_fwd<VG_##id, type, product<type, fwd_columns<VG_##id>::WIDTH, rows>>(p, shared);      \
    }
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    SCAN(id, f32, float, 1)                                                                        \
    SCAN(id, f32_ring, float, VG_PERSISTENT_ROWS)                                                  \
    SCAN(id, bf16, bf16, 1)                                                                        \
    SCAN(id, bf16_ring, bf16, VG_PERSISTENT_ROWS)
#include "vg/cells.def"
#undef VG_CELL
#undef SCAN

#define ENTRY(id, suffix)                                                                          \
    VG_KERNEL_ENTRY(id##_scan_persistent_fwd_##suffix, VG_PERSISTENT_THREADS, vg_scan_fwd_args)
vg_kernel vg_scan_persistent_fwd_kernel(vg_model_kind cell, vg_dtype w, bool ring)
{
    switch (cell) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        return w == VG_BF16 ? (ring ? ENTRY(id, bf16_ring) : ENTRY(id, bf16))                      \
                            : (ring ? ENTRY(id, f32_ring) : ENTRY(id, f32));
#include "vg/cells.def"
#undef VG_CELL
    default: return vg_kernel{};
    }
}
