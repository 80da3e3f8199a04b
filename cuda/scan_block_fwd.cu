/* Regime S forward: a block takes its batch rows through all steps. Two barriers a step: one
 * before the cells, which few warps step while sums of lanes lie side by side, one after. (With the
 * cells where the sums are there is one barrier less, but all lanes of a group step the same unit:
 * 250 instructions of an LSTM, times the slices.) Pre-activations are asked for as soon as the last
 * ones are used, most of a step ahead. */
#include "scan_block.cuh"

/* One unit of one row: what it keeps between steps, and where it reads and writes. */
template <vg_model_kind CELL, typename W> struct fwd_unit {
    typedef typename reserve_of<(counts<CELL>::states > 1), W>::type kept_t;
    float bias[counts<CELL>::gates], state[counts<CELL>::states], x[counts<CELL>::gates];
    const float *from;
    W *y;
    kept_t *reserve;
    float *v;
    const float *sums;
};

template <vg_model_kind CELL, typename W>
VG_DEVICE void load_x(const vg_scan_fwd_args &p, fwd_unit<CELL, W> &u)
{
    VG_UNROLL
    for (uint32_t g = 0; g < counts<CELL>::gates; g++)
        u.x[g] = u.from[g * p.units];
    u.from += (uint64_t)p.batch * p.preact_x.ld;
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_begin(const vg_scan_fwd_args &p, const block<W> &s, const place &at,
                          fwd_unit<CELL, W> &u)
{
    typedef typename fwd_unit<CELL, W>::kept_t kept_t;
    int64_t row = (int64_t)(p.t0 * p.batch + at.b), before = row - p.batch;
    u.from = element<const float>(p.preact_x, row, at.unit);
    u.y = element<W>(p.y, row, at.unit);
    u.reserve = element<kept_t>(p.reserve, row, at.unit);
    u.v = s.v + at.row * s.v_ld + at.unit;
    u.sums = s.sums + at.row * s.sums_ld + at.unit;
    VG_UNROLL
    for (uint32_t g = 0; g < counts<CELL>::gates; g++)
        u.bias[g] = *element<const float>(p.bias_hh, 0, g * p.units + at.unit);
    u.state[0] = to_float(*element<const W>(p.y, before, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++) {
        uint32_t col = (counts<CELL>::kept + i - 1) * p.units + at.unit;
        u.state[i] = p.t0 ? to_float(*element<const kept_t>(p.reserve, before, col))
                          : *element<const float>(p.state0[i], (int64_t)at.b, at.unit);
    }
    *u.v = p.tf32 ? round_tf32(u.state[0]) : u.state[0];
    load_x(p, u);
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_step(const vg_scan_fwd_args &p, bool last, fwd_unit<CELL, W> &u)
{
    float x[VG_MAX_GATES], h[VG_MAX_GATES], after[VG_MAX_STATES], kept[VG_MAX_KEPT];
    VG_UNROLL
    for (uint32_t g = 0; g < counts<CELL>::gates; g++) {
        x[g] = u.x[g];
        h[g] = u.bias[g] + u.sums[g * p.units];
    }
    if (!last)
        load_x(p, u);
    vg_cell_fwd(CELL, p.activation, x, h, u.state, after, kept);
    u.state[0] = stored(after[0], u.y);
    *u.v = p.tf32 ? round_tf32(u.state[0]) : u.state[0];
    u.y += (uint64_t)p.batch * p.y.ld;
    VG_UNROLL
    for (int i = 0; i < counts<CELL>::kept; i++)
        from_float(kept[i], &u.reserve[(uint32_t)i * p.units]);
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++)
        u.state[i] = stored(after[i], &u.reserve[(counts<CELL>::kept + i - 1) * p.units]);
    u.reserve += (uint64_t)p.batch * p.reserve.ld;
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward_tile(const vg_scan_fwd_args &p, const block<W> &s,
                            const float (&kept)[KEPT][WEIGHTS], uint32_t tile)
{
    place at = place_of(tile, ROWS, p.units, p.batch);
    fwd_unit<CELL, W> unit;
    if (at.active)
        unit_begin(p, s, at, unit);
    sync_block();
    for (uint32_t left = (uint32_t)(p.t1 - p.t0); left > 0; left--) {
        if (s.works)
            step_product<W, KEPT, ROWS>(s, kept);
        sync_block();
        if (at.active)
            unit_step(p, left == 1, unit);
        sync_block();
    }
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward(const vg_scan_fwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    block<W> s =
        block_make<W>(shared, counts<CELL>::gates * p.units, p.units, p.slices, KEPT, ROWS);
    float kept[KEPT][WEIGHTS];
    hold_weights<true>(s, p.weight_hh, p.tf32, kept);
    sync_block();
    uint32_t tiles = divide_up(p.batch, ROWS);
    for (uint32_t tile = block_index(); tile < tiles; tile += block_count())
        forward_tile<CELL, W, KEPT, ROWS>(p, s, kept, tile);
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
