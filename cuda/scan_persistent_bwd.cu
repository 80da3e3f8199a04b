/* Regime M backward by multiply-add. */
#include "scan_persistent.cuh"

#include "scan_persistent_bwd.cuh"
#include "scan_persistent_fma.cuh"

enum { WIDTH = VG_PERSISTENT_BWD_UNITS };

template <typename W>
VG_DEVICE void load_columns(const bwd_source<W> &s, uint32_t number, uint32_t depth,
                            float (*to)[DEEP])
{
    uint32_t unit = number * WIDTH, units = count_from(unit, s.count, WIDTH);
    VG_UNROLL
    for (uint32_t i = 0; i < DEEP; i++) {
        float row[WIDTH];
        load_some<WIDTH>(element<const W>(s.weight_hh, depth + i, s.first + unit),
                         depth + i < s.depth ? units : 0, s.whole, row);
        VG_UNROLL
        for (int c = 0; c < WIDTH; c++)
            to[c][i] = row[c];
    }
}

#define SCAN(id, suffix, type, rows)                                                               \
    VG_KERNEL(id##_scan_persistent_bwd_##suffix, VG_PERSISTENT_THREADS, vg_scan_bwd_args)          \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        scan_bwd<VG_##id, type, product<type, WIDTH, rows>>(p, shared);                            \
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
    VG_KERNEL_ENTRY(id##_scan_persistent_bwd_##suffix, VG_PERSISTENT_THREADS, vg_scan_bwd_args)
vg_kernel vg_scan_persistent_bwd_kernel(vg_model_kind cell, vg_dtype w, bool ring)
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
