/* Regimes S and C backward: what a thread does for one unit of one batch row, last step to first.
 * What a step reads is asked for when the step after it is done. */
#ifndef VG_SCAN_UNIT_BWD_CUH
#define VG_SCAN_UNIT_BWD_CUH

#include "scan_block.cuh"

/* What comes back from the step after, and what this step reads. */
template <vg_model_kind CELL, typename W> struct bwd_unit {
    typedef typename reserve_type<cell_shape<CELL>::states, W>::type kept_t;
    float back[cell_shape<CELL>::states];
    float kept[VG_MAX_KEPT], before[cell_shape<CELL>::states], after[cell_shape<CELL>::states], dy;
    int64_t row; /* of the windows of all steps */
};

VG_DEVICE float load_back(const vg_window &dstate, const cell_place &at)
{
    return dstate.at ? *element<const float>(dstate, (int64_t)at.b, at.unit) : 0.0f;
}

template <typename W>
VG_DEVICE float load_dy(const vg_scan_bwd_args &p, const cell_place &at, int64_t row, bool last)
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
VG_DEVICE void load_step(const vg_scan_bwd_args &p, const cell_place &at, bool first, bool last,
                         bwd_unit<CELL, W> &u)
{
    typedef typename bwd_unit<CELL, W>::kept_t kept_t;
    int64_t row = u.row, before = row - p.batch;
    VG_UNROLL
    for (int i = 0; i < cell_shape<CELL>::kept; i++)
        u.kept[i] =
            to_float(*element<const kept_t>(p.reserve, row, (uint32_t)i * p.units + at.unit));
    u.before[0] = to_float(*element<const W>(p.y, before, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++) {
        uint32_t col = (cell_shape<CELL>::kept + i - 1) * p.units + at.unit;
        u.before[i] = first ? *element<const float>(p.state0[i], (int64_t)at.b, at.unit)
                            : to_float(*element<const kept_t>(p.reserve, before, col));
    }
    u.dy = load_dy<W>(p, at, u.row, last);
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_begin(const vg_scan_bwd_args &p, const cell_place &at, bwd_unit<CELL, W> &u)
{
    typedef typename bwd_unit<CELL, W>::kept_t kept_t;
    u.row = (int64_t)((p.t1 - 1) * p.batch + at.b);
    u.back[0] = 0;
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++)
        u.back[i] = load_back(p.dstateT[i], at);
    u.after[0] = to_float(*element<const W>(p.y, u.row, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++)
        u.after[i] = to_float(*element<const kept_t>(
            p.reserve, u.row, (cell_shape<CELL>::kept + i - 1) * p.units + at.unit));
    load_step(p, at, p.t1 == 1, true, u);
    u.dy += load_back(p.dstateT[0], at); /* one register less than in back[0] */
}

/* A step, `left` more to come. into_h: what comes back through weight_hh. operand: this unit of the
 * next product's operand, `stride` from one gate to the next. */
template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_step(const vg_scan_bwd_args &p, const cell_place &at, uint32_t left,
                         float into_h, float *operand, uint32_t stride, bwd_unit<CELL, W> &u)
{
    float dx[VG_MAX_GATES], dh[VG_MAX_GATES], back[VG_MAX_STATES];
    int64_t row = u.row;
    u.back[0] = u.back[0] + into_h + u.dy;
    vg_cell_bwd(CELL, p.activation, u.kept, u.before, u.after, u.back, dx, dh, back);
    VG_UNROLL
    for (uint32_t g = 0; g < cell_shape<CELL>::gates; g++) {
        uint32_t col = g * p.units + at.unit;
        float gate = stored(dx[g], element<W>(p.dgates_x, row, col));
        if (cell_shape<CELL>::differ)
            gate = stored(dh[g], element<W>(p.dgates_h, row, col));
        operand[g * stride] = operand_of(p.tf32, gate);
    }
    if (p.dh.at)
        *element<float>(p.dh, row, at.unit) = u.back[0];
    if (cell_shape<CELL>::states > 1 && p.dc.at)
        *element<float>(p.dc, row, at.unit) = u.back[cell_shape<CELL>::states - 1];
    VG_UNROLL
    for (uint32_t i = 0; i < cell_shape<CELL>::states; i++) {
        u.back[i] = back[i];
        u.after[i] = u.before[i];
    }
    if (left == 0)
        return;
    u.row -= p.batch;
    load_step(p, at, left == 1 && p.t0 == 0, false, u);
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_end(const vg_scan_bwd_args &p, const cell_place &at, float into_h,
                        const bwd_unit<CELL, W> &u)
{
    if (p.dstate0[0].at)
        *element<float>(p.dstate0[0], (int64_t)at.b, at.unit) = u.back[0] + into_h;
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++) {
        if (p.dstate0[i].at)
            *element<float>(p.dstate0[i], (int64_t)at.b, at.unit) = u.back[i];
    }
}

#endif
