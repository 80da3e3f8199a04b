/* Regime S forward: a block takes its batch rows through all steps. Two barriers a step: one
 * before the cells, which few warps step while sums of lanes lie side by side, one after. (With the
 * cells where the sums are there is one barrier less, but all lanes of a group step the same unit:
 * 250 instructions of an LSTM, times the slices.) */
#include "scan_unit_fwd.cuh"

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward_tile(const vg_scan_fwd_args &p, const block<W> &s, float *sums,
                            const float (&kept)[KEPT][WEIGHTS], uint32_t tile)
{
    cell_place at = place_of(tile, ROWS, p.units, p.batch);
    float *operand = s.v + at.row * s.v_ld + at.unit;
    const to_sums to = {sums + s.group * PIECE, s.sums_ld};
    fwd_unit<CELL, W> unit;
    if (at.active) {
        unit_begin(p, at, unit);
        *operand = operand_of(p.tf32, unit.state[0]);
    }
    sync_block();
    for (uint32_t left = (uint32_t)(p.t1 - p.t0); left > 0; left--) {
        if (s.works)
            step_product<ROWS>(s, kept, to);
        sync_block();
        if (at.active) {
            float keep[VG_MAX_KEPT];
            unit_step(p, sums + at.row * s.sums_ld + at.unit, p.units, left == 1, unit, keep);
            *operand = operand_of(p.tf32, unit.state[0]);
            unit_store(p, unit, keep);
        }
        sync_block();
    }
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward(const vg_scan_fwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    block<W> s = block_of<W>(cell_shape<CELL>::gates * p.units, p.units, p.slices, KEPT);
    float *sums = block_carve(s, shared, ROWS);
    float kept[KEPT][WEIGHTS];
    hold_weights<true>(s, p.weight_hh, all_rows{cell_shape<CELL>::gates * p.units}, p.tf32, kept);
    sync_block();
    uint32_t tiles = divide_up(p.batch, ROWS);
    for (uint32_t tile = block_index(); tile < tiles; tile += block_count())
        forward_tile<CELL, W, KEPT, ROWS>(p, s, sums, kept, tile);
}

#define FORWARD(threads, pieces, rows, cell, type, name)                                           \
    VG_KERNEL(scan_block_fwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,             \
              vg_scan_fwd_args)                                                                    \
    {                                                                                              \
        forward<VG_##cell, type, pieces, rows>(p);                                                 \
    }
#define ENTRY(threads, pieces, rows, cell, type, name)                                             \
    VG_KERNEL_ENTRY(scan_block_fwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,       \
                    vg_scan_fwd_args),
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    VG_SCAN_BLOCK_SHAPES(FORWARD, id, float, fp32)                                                 \
    VG_SCAN_BLOCK_SHAPES(FORWARD, id, bf16, bf16)
#include "vg/cells.def"
#undef VG_CELL

extern "C" vg_kernel vg_scan_block_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape)
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
