/* Regimes S and C forward: what a thread does for one unit of one batch row, step after step. It
 * keeps the states in registers; pre-activations are asked for as soon as the last ones are used,
 * most of a step ahead. */
#ifndef VG_SCAN_UNIT_FWD_CUH
#define VG_SCAN_UNIT_FWD_CUH

#include "scan_block.cuh"

template <vg_model_kind CELL, typename W> struct fwd_unit {
    typedef typename reserve_type<cell_shape<CELL>::states, W>::type kept_t;
    float bias[cell_shape<CELL>::gates], state[cell_shape<CELL>::states],
        x[cell_shape<CELL>::gates];
    const float *from;
    W *y;
    kept_t *reserve;
};

template <vg_model_kind CELL, typename W>
VG_DEVICE void load_x(const vg_scan_fwd_args &p, fwd_unit<CELL, W> &u)
{
    VG_UNROLL
    for (uint32_t g = 0; g < cell_shape<CELL>::gates; g++)
        u.x[g] = u.from[g * p.units];
    u.from += (uint64_t)p.batch * p.preact_x.ld;
}

template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_begin(const vg_scan_fwd_args &p, const cell_place &at, fwd_unit<CELL, W> &u)
{
    typedef typename fwd_unit<CELL, W>::kept_t kept_t;
    int64_t row = (int64_t)(p.t0 * p.batch + at.b), before = row - p.batch;
    u.from = element<const float>(p.preact_x, row, at.unit);
    u.y = element<W>(p.y, row, at.unit);
    u.reserve = element<kept_t>(p.reserve, row, at.unit);
    VG_UNROLL
    for (uint32_t g = 0; g < cell_shape<CELL>::gates; g++)
        u.bias[g] = *element<const float>(p.bias_hh, 0, g * p.units + at.unit);
    u.state[0] = to_float(*element<const W>(p.y, before, at.unit));
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++) {
        uint32_t col = (cell_shape<CELL>::kept + i - 1) * p.units + at.unit;
        u.state[i] = p.t0 ? to_float(*element<const kept_t>(p.reserve, before, col))
                          : *element<const float>(p.state0[i], (int64_t)at.b, at.unit);
    }
    load_x(p, u);
}

/* A step of the cell: the states after it, as memory holds them. sums: of this unit, `stride` from
 * one gate to the next. kept: for unit_store(). */
template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_step(const vg_scan_fwd_args &p, const float *sums, uint32_t stride, bool last,
                         fwd_unit<CELL, W> &u, float *kept)
{
    typedef typename fwd_unit<CELL, W>::kept_t kept_t;
    float x[VG_MAX_GATES], h[VG_MAX_GATES], after[VG_MAX_STATES];
    VG_UNROLL
    for (uint32_t g = 0; g < cell_shape<CELL>::gates; g++) {
        x[g] = u.x[g];
        h[g] = u.bias[g] + sums[g * stride];
    }
    if (!last)
        load_x(p, u);
    vg_cell_fwd(CELL, p.activation, x, h, u.state, after, kept);
    u.state[0] = rounded<W>(after[0]);
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++)
        u.state[i] = rounded<kept_t>(after[i]);
}

/* What a step leaves in device memory. */
template <vg_model_kind CELL, typename W>
VG_DEVICE void unit_store(const vg_scan_fwd_args &p, fwd_unit<CELL, W> &u, const float *kept)
{
    from_float(u.state[0], u.y);
    u.y += (uint64_t)p.batch * p.y.ld;
    VG_UNROLL
    for (int i = 0; i < cell_shape<CELL>::kept; i++)
        from_float(kept[i], &u.reserve[(uint32_t)i * p.units]);
    VG_UNROLL
    for (uint32_t i = 1; i < cell_shape<CELL>::states; i++)
        from_float(u.state[i], &u.reserve[(cell_shape<CELL>::kept + i - 1) * p.units]);
    u.reserve += (uint64_t)p.batch * p.reserve.ld;
}

#endif
