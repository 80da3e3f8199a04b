/* Regime M backward: the chain from the last step to the first in one cooperative kernel. A block
 * owns units and holds the columns of weight_hh that lead to them, G·H deep; what blocks exchange
 * are a step's dgates_h, each in a row of its own of the output array. The carries stay in
 * registers where a block's rows are one tile. What the exchange does not need happens beside it:
 * the values kept for the next step are on their way to registers before the wait, and dgates_x, dh
 * and dc are written after the release. */
#ifndef VG_SCAN_PERSISTENT_BWD_CUH
#define VG_SCAN_PERSISTENT_BWD_CUH

#include "scan_persistent.cuh"

/* Columns of weight_hh [G·H, H]: a block's units. */
template <typename W> struct bwd_source {
    const vg_window &weight_hh;
    uint32_t depth, first, count; /* G·H; the block's units */
    bool whole;
};

/* n weights of the column of the block's unit. */
template <int n, typename W>
VG_DEVICE void load_column(const bwd_source<W> &s, uint32_t gate, uint32_t unit, uint32_t depth,
                           float (&to)[n])
{
    VG_UNROLL
    for (uint32_t i = 0; i < n; i++)
        to[i] = gate == 0 && unit < s.count && depth + i < s.depth
                    ? to_float(*element<const W>(s.weight_hh, depth + i, s.first + unit))
                    : 0.0f;
}

/* One unit of one row: what its step back reads, and what comes back into its states. */
template <vg_model_kind kind> struct bwd_cell {
    typedef cell_shape<kind> cell;
    float k[cell::kept + 1], s[cell::states], s1[cell::states], carry[cell::states], dy;
};

/* The states after step t - 1. */
template <vg_model_kind kind, typename W>
VG_DEVICE void load_states(const vg_scan_bwd_args &p, uint64_t t, uint32_t row, uint32_t unit,
                           float *s)
{
    typedef cell_shape<kind> cell;
    typedef typename reserve_type<cell::states, W>::type R;
    uint64_t before = t * p.batch - p.batch + row;
    s[0] = to_float(*element<const W>(p.y, before, unit));
    VG_UNROLL
    for (int i = 1; i < cell::states; i++) {
        uint32_t column = (uint32_t)(cell::kept + i - 1) * p.units + unit;
        s[i] = t ? to_float(*element<const R>(p.reserve, before, column))
                 : *element<const float>(p.state0[i], row, unit);
    }
}

template <typename W>
VG_DEVICE float load_dy(const vg_scan_bwd_args &p, uint64_t t, uint32_t row, uint32_t unit)
{
    bool each = p.dy.rows > p.batch;
    if (!p.dy.at || (!each && t + 1 < p.t1))
        return 0;
    uint64_t at = each ? t * p.batch + row : row;
    return p.dy_wide ? *element<const float>(p.dy, at, unit)
                     : to_float(*element<const W>(p.dy, at, unit));
}

VG_DEVICE float load_or_zero(const vg_window &w, uint32_t row, uint32_t unit)
{
    return w.at ? *element<const float>(w, row, unit) : 0.0f;
}

/* Which parts of what comes back into the states go around the product. */
template <vg_model_kind kind> VG_DEVICE bool carries(int state)
{
    return state > 0 || cell_shape<kind>::differ;
}

/* What step t reads. keeps: the carries and the states after it are in registers, but for the last
 * step's. */
template <vg_model_kind kind, typename W>
VG_DEVICE void load_inputs(const vg_scan_bwd_args &p, uint64_t t, uint32_t row, uint32_t unit,
                           bool keeps, bwd_cell<kind> *c)
{
    typedef cell_shape<kind> cell;
    typedef typename reserve_type<cell::states, W>::type R;
    const bool last = t + 1 == p.t1;
    VG_UNROLL
    for (int i = 0; i < cell::kept; i++)
        c->k[i] =
            to_float(*element<const R>(p.reserve, t * p.batch + row, (uint32_t)i * p.units + unit));
    if (last || !keeps)
        load_states<kind, W>(p, t + 1, row, unit, c->s1);
    load_states<kind, W>(p, t, row, unit, c->s);
    c->dy = load_dy<W>(p, t, row, unit);
    VG_UNROLL
    for (int i = 0; i < cell::states; i++) {
        if (last)
            c->carry[i] = load_or_zero(p.dstateT[i], row, unit);
        else if (!carries<kind>(i))
            c->carry[i] = 0;
        else if (!keeps)
            c->carry[i] = *element<const float>(p.carry[i], row, unit);
    }
}

/* The step back; `into_h`: what the product brings into h. */
template <vg_model_kind kind>
VG_DEVICE void step_cell(const vg_scan_bwd_args &p, float into_h, bwd_cell<kind> *c, float *dx,
                         float *dh, float *total)
{
    typedef cell_shape<kind> cell;
    float ds[cell::states];
    VG_UNROLL
    for (int i = 0; i < cell::states; i++)
        total[i] = c->carry[i];
    total[0] = total[0] + into_h + c->dy;
    vg_cell_bwd(kind, p.activation, c->k, c->s, c->s1, total, dx, dh, ds);
    VG_UNROLL
    for (int i = 0; i < cell::states; i++) {
        c->carry[i] = ds[i];
        c->s1[i] = c->s[i];
    }
}

template <typename W, int gates>
VG_DEVICE void store_gates(const vg_window &w, uint64_t at, uint32_t units, uint32_t unit,
                           const float *from)
{
    VG_UNROLL
    for (int g = 0; g < gates; g++)
        from_float(from[g], element<W>(w, at, (uint32_t)g * units + unit));
}

/* What is left of a step once its dgates_h is published. */
template <vg_model_kind kind, typename W>
VG_DEVICE void store_rest(const vg_scan_bwd_args &p, uint64_t at, uint32_t row, uint32_t unit,
                          bool keeps, const bwd_cell<kind> &c, const float *dx, const float *total)
{
    typedef cell_shape<kind> cell;
    if (cell::differ)
        store_gates<W, cell::gates>(p.dgates_x, at, p.units, unit, dx);
    if (p.dh.at)
        *element<float>(p.dh, at, unit) = total[0];
    if (cell::states > 1 && p.dc.at)
        *element<float>(p.dc, at, unit) = total[cell::states - 1];
    VG_UNROLL
    for (int i = 0; i < cell::states; i++)
        if (!keeps && carries<kind>(i))
            *element<float>(p.carry[i], row, unit) = c.carry[i];
}

/* The derivatives by the states before the first step. */
template <vg_model_kind kind>
VG_DEVICE void store_dstate0(const vg_scan_bwd_args &p, uint32_t row, uint32_t unit, bool keeps,
                             float into_h, const bwd_cell<kind> &c)
{
    typedef cell_shape<kind> cell;
    VG_UNROLL
    for (int i = 0; i < cell::states; i++) {
        float d = i == 0 ? into_h : 0;
        if (carries<kind>(i))
            d = d + (keeps ? c.carry[i] : *element<const float>(p.carry[i], row, unit));
        if (p.dstate0[i].at)
            *element<float>(p.dstate0[i], row, unit) = d;
    }
}

template <vg_model_kind kind, typename W, typename P>
VG_DEVICE void scan_bwd(const vg_scan_bwd_args &p, unsigned char *shared)
{
    typedef cell_shape<kind> cell;
    const station here = station_of(p.tiles, p.units, p.batch);
    P product = P::of(p.tiles, here, shared);
    const bwd_source<W> source = {p.weight_hh, (uint32_t)cell::gates * p.units, here.unit,
                                  here.units, packs_fit<16 / sizeof(W), W>(p.weight_hh)};
    load_weights(&product, source, p.tf32);
    const uint32_t tile_row = thread_index() / p.tiles.units;
    const uint32_t block_unit = thread_index() % p.tiles.units, unit = here.unit + block_unit;
    const bool stepping = block_unit < here.units && tile_row < p.tiles.tile_rows;
    const bool keeps = here.rows <= p.tiles.tile_rows;
    bwd_cell<kind> c;
    float dx[cell::gates], dh[cell::gates], total[cell::states];
    /* At t = t0 - 1 only dstate0 is left to do. The last step has no product: what publishes it is
     * the barrier after the weights. */
    for (uint64_t t = p.t1; t-- + 1 > p.t0;) {
        const uint32_t step = (uint32_t)(p.t1 - 1 - t);
        const bool over = t + 1 == p.t0;
        for (uint32_t first = 0; first < here.rows; first += p.tiles.tile_rows) {
            const uint32_t row = here.row + first + tile_row;
            const uint32_t rows = (uint32_t)least(p.tiles.tile_rows, here.rows - first);
            const bool live = stepping && tile_row < rows;
            const uint64_t at = t * p.batch + row;
            float into_h = 0;
            if (live && !over)
                load_inputs<kind, W>(p, t, row, unit, keeps, &c);
            if (first == 0 && step > 0)
                await_steps(p.flags, p.tiles, here, step);
            if (step > 0) {
                multiply_tile(
                    product,
                    operand_of<W>(p.dgates_h, (t + 1) * p.batch + here.row + first, rows, p.tf32));
                sync_block();
                if (live)
                    into_h = sum_parts(product, tile_row, block_unit);
            }
            if (over) {
                if (live)
                    store_dstate0<kind>(p, row, unit, keeps, into_h, c);
                sync_block();
                continue;
            }
            if (live) {
                step_cell<kind>(p, into_h, &c, dx, dh, total);
                store_gates<W, cell::gates>(p.dgates_h, at, p.units, unit, cell::differ ? dh : dx);
            }
            if (first + rows == here.rows)
                publish_steps(p.flags, here, step + 1);
            else
                sync_block();
            if (live)
                store_rest<kind, W>(p, at, row, unit, keeps, c, dx, total);
        }
    }
}

#endif
