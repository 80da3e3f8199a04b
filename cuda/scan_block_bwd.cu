/* Regime S backward: a block takes its batch rows through all steps, last to first; the picture is
 * that of scan_block_fwd.cu. */
#include "scan_unit_bwd.cuh"

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward_tile(const vg_scan_bwd_args &p, const block<W> &s, float *sums,
                             const float (&kept)[KEPT][WEIGHTS], uint32_t tile)
{
    cell_place at = place_of(tile, ROWS, p.units, p.batch);
    float *operand = s.v + at.row * s.v_ld + at.unit;
    const float *sum = sums + at.row * s.sums_ld + at.unit;
    const to_sums to = {sums + s.group * PIECE, s.sums_ld};
    bwd_unit<CELL, W> unit;
    if (at.active)
        unit_begin(p, at, unit);
    uint32_t steps = (uint32_t)(p.t1 - p.t0);
    for (uint32_t left = steps; left-- > 0;) {
        if (at.active)
            unit_step(p, at, left, left + 1 < steps ? *sum : 0.0f, operand, p.units, unit);
        sync_block();
        if (s.works)
            step_product<ROWS>(s, kept, to);
        sync_block();
    }
    if (at.active)
        unit_end(p, at, *sum, unit);
    /* The next tile's first step writes no sums: nothing to wait for. */
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward(const vg_scan_bwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    block<W> s = block_of<W>(p.units, cell_shape<CELL>::gates * p.units, p.slices, KEPT);
    float *sums = block_carve(s, shared, ROWS);
    float kept[KEPT][WEIGHTS];
    hold_weights<false>(s, p.weight_hh, all_rows{cell_shape<CELL>::gates * p.units}, p.tf32, kept);
    sync_block();
    uint32_t tiles = divide_up(p.batch, ROWS);
    for (uint32_t tile = block_index(); tile < tiles; tile += block_count())
        backward_tile<CELL, W, KEPT, ROWS>(p, s, sums, kept, tile);
}

#define BACKWARD(threads, pieces, rows, cell, type, name)                                          \
    VG_KERNEL(scan_block_bwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,             \
              vg_scan_bwd_args)                                                                    \
    {                                                                                              \
        backward<VG_##cell, type, pieces, rows>(p);                                                \
    }
#define ENTRY(threads, pieces, rows, cell, type, name)                                             \
    VG_KERNEL_ENTRY(scan_block_bwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,       \
                    vg_scan_bwd_args),
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    VG_SCAN_BLOCK_SHAPES(BACKWARD, id, float, fp32)                                                \
    VG_SCAN_BLOCK_SHAPES(BACKWARD, id, bf16, bf16)
#include "vg/cells.def"
#undef VG_CELL

extern "C" vg_kernel vg_scan_block_bwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape)
{
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    if (cell == VG_##id) {                                                                         \
        static const vg_kernel fp32[] = {VG_SCAN_BLOCK_SHAPES(ENTRY, id, float, fp32)};            \
        static const vg_kernel half[] = {VG_SCAN_BLOCK_SHAPES(ENTRY, id, bf16, bf16)};             \
        return w == VG_BF16 ? half[shape] : fp32[shape];                                           \
    }
#include "vg/cells.def"
#undef VG_CELL
    return vg_kernel{NULL, "", 0};
}
