/* Regime S backward: a block takes its batch rows through all steps, last to first; the picture is
 * that of scan_block_fwd.cu. What a step reads is asked for when the step before is done. */
#include "scan_block.cuh"

/* One unit of one row: what comes back from the step after, what this step reads, and where. */
template <vg_model_kind CELL, typename W> struct bwd_unit {
    typedef typename reserve_of<(counts<CELL>::states > 1), W>::type kept_t;
    float back[counts<CELL>::states];
    float kept[VG_MAX_KEPT], before[counts<CELL>::states], after[counts<CELL>::states], dy;
    int64_t row; /* of the windows of all steps */
    float *v;
    const float *sums;
};

VG_DEVICE float load_back(const vg_window &dstate, const place &at)
{
    return dstate.at ? *element<const float>(dstate, (int64_t)at.b, at.unit) : 0.0f;
}

template <typename W>
VG_DEVICE float load_dy(const vg_scan_bwd_args &p, const place &at, int64_t row, bool last)
{
    bool all = p.dy.rows > p.batch;
    if (!p.dy.at || (!all && !last))
        return 0;
    int64_t from = all ? row : (int64_t)at.b;
    return p.dy_wide ? *element<const float>(p.dy, from, at.unit)
                     : to_float(*element<const W>(p.dy, from, at.unit));
}

/* What the step of row u.row reads; its states after were those before the step after. first: of
 * the sequence. */
template <vg_model_kind CELL, typename W>
VG_DEVICE void load_step(const vg_scan_bwd_args &p, const place &at, bool first, bool last,
                         bwd_unit<CELL, W> &u)
{
    typedef typename bwd_unit<CELL, W>::kept_t kept_t;
    int64_t row = u.row, before = row - p.batch;
    VG_UNROLL
    for (int i = 0; i < counts<CELL>::kept; i++)
        u.kept[i] =
            to_float(*element<const kept_t>(p.reserve, row, (uint32_t)i * p.units + at.unit));
    u.before[0] = to_float(*element<const W>(p.y, before, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++) {
        uint32_t col = (counts<CELL>::kept + i - 1) * p.units + at.unit;
        u.before[i] = first ? *element<const float>(p.state0[i], (int64_t)at.b, at.unit)
                            : to_float(*element<const kept_t>(p.reserve, before, col));
    }
    u.dy = load_dy<W>(p, at, u.row, last);
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_begin(const vg_scan_bwd_args &p, const block<W> &s, const place &at,
                          bwd_unit<CELL, W> &u)
{
    typedef typename bwd_unit<CELL, W>::kept_t kept_t;
    u.row = (int64_t)((p.t1 - 1) * p.batch + at.b);
    u.v = s.v + at.row * s.v_ld + at.unit;
    u.sums = s.sums + at.row * s.sums_ld + at.unit;
    u.back[0] = 0;
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++)
        u.back[i] = load_back(p.dstateT[i], at);
    u.after[0] = to_float(*element<const W>(p.y, u.row, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++)
        u.after[i] = to_float(*element<const kept_t>(
            p.reserve, u.row, (counts<CELL>::kept + i - 1) * p.units + at.unit));
    load_step(p, at, p.t1 == 1, true, u);
    u.dy += load_back(p.dstateT[0], at); /* one register less than in back[0] */
}

/* A unit's step, `left` more to come. product: its sums hold what comes back through weight_hh. */
template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_step(const vg_scan_bwd_args &p, const place &at, uint32_t left, bool product,
                         bwd_unit<CELL, W> &u)
{
    float dx[VG_MAX_GATES], dh[VG_MAX_GATES], back[VG_MAX_STATES];
    int64_t row = u.row;
    u.back[0] = u.back[0] + (product ? *u.sums : 0.0f) + u.dy;
    vg_cell_bwd(CELL, p.activation, u.kept, u.before, u.after, u.back, dx, dh, back);
    VG_UNROLL
    for (uint32_t g = 0; g < counts<CELL>::gates; g++) {
        uint32_t col = g * p.units + at.unit;
        float gate = stored(dx[g], element<W>(p.dgates_x, row, col));
        if (counts<CELL>::gates_differ)
            gate = stored(dh[g], element<W>(p.dgates_h, row, col));
        u.v[g * p.units] = p.tf32 ? round_tf32(gate) : gate;
    }
    if (p.dh.at)
        *element<float>(p.dh, row, at.unit) = u.back[0];
    if (counts<CELL>::states > 1 && p.dc.at)
        *element<float>(p.dc, row, at.unit) = u.back[counts<CELL>::states - 1];
    VG_UNROLL
    for (uint32_t i = 0; i < counts<CELL>::states; i++) {
        u.back[i] = back[i];
        u.after[i] = u.before[i];
    }
    if (left == 0)
        return;
    u.row -= p.batch;
    load_step(p, at, left == 1 && p.t0 == 0, false, u);
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_end(const vg_scan_bwd_args &p, const place &at, const bwd_unit<CELL, W> &u)
{
    if (p.dstate0[0].at)
        *element<float>(p.dstate0[0], (int64_t)at.b, at.unit) = u.back[0] + *u.sums;
    VG_UNROLL
    for (uint32_t i = 1; i < counts<CELL>::states; i++) {
        if (p.dstate0[i].at)
            *element<float>(p.dstate0[i], (int64_t)at.b, at.unit) = u.back[i];
    }
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward_tile(const vg_scan_bwd_args &p, const block<W> &s,
                             const float (&kept)[KEPT][WEIGHTS], uint32_t tile)
{
    place at = place_of(tile, ROWS, p.units, p.batch);
    bwd_unit<CELL, W> unit;
    if (at.active)
        unit_begin(p, s, at, unit);
    uint32_t steps = (uint32_t)(p.t1 - p.t0);
    for (uint32_t left = steps; left-- > 0;) {
        if (at.active)
            unit_step(p, at, left, left + 1 < steps, unit);
        sync_block();
        if (s.works)
            step_product<W, KEPT, ROWS>(s, kept);
        sync_block();
    }
    if (at.active)
        unit_end(p, at, unit);
    /* The next tile's first step writes no sums: nothing to wait for. */
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward(const vg_scan_bwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    block<W> s =
        block_make<W>(shared, p.units, counts<CELL>::gates * p.units, p.slices, KEPT, ROWS);
    float kept[KEPT][WEIGHTS];
    hold_weights<false>(s, p.weight_hh, p.tf32, kept);
    sync_block();
    uint32_t tiles = divide_up(p.batch, ROWS);
    for (uint32_t tile = block_index(); tile < tiles; tile += block_count())
        backward_tile<CELL, W, KEPT, ROWS>(p, s, kept, tile);
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
