/* Regime M forward: the whole recurrence in one cooperative kernel, a block a multiprocessor, a
 * slice of the units each. Every h_t goes to a row of its own, so that one exchange of flags is all
 * that a step waits for. What the exchange does not need happens beside it: preact_x of the next
 * step is on its way to registers before the wait, and the reserve is written after the release. */
#ifndef VG_SCAN_PERSISTENT_FWD_CUH
#define VG_SCAN_PERSISTENT_FWD_CUH

#include "scan_persistent.cuh"

template <vg_model_kind kind> struct fwd_columns {
    typedef cell_shape<kind> cell;
    enum {
        UNITS = (int)cell::gates == 1 ? VG_PERSISTENT_RNN_UNITS : VG_PERSISTENT_FWD_UNITS,
        WIDTH = UNITS * cell::gates /* [gate][unit] */
    };
};

/* Rows of weight_hh: the gates of a block's units. */
template <vg_model_kind kind, typename W> struct fwd_source {
    const vg_window &weight_hh;
    uint32_t units, first, count; /* H; the block's */
    bool whole;
};

/* n weights of a gate of the block's unit. */
template <int n, vg_model_kind kind, typename W>
VG_DEVICE void load_column(const fwd_source<kind, W> &s, uint32_t gate, uint32_t unit,
                           uint32_t depth, float (&to)[n])
{
    bool there = unit < s.count && gate < cell_shape<kind>::gates;
    uint64_t row = (uint64_t)gate * s.units + s.first + unit;
    load_some<n>(element<const W>(s.weight_hh, row, depth),
                 there ? count_from(depth, s.units, n) : 0, s.whole, to);
}

/* One unit of one row: what its step reads, and its states between steps. */
template <vg_model_kind kind> struct fwd_cell {
    enum { GATES = cell_shape<kind>::gates, STATES = cell_shape<kind>::states };
    float bias[GATES], x[GATES], s[STATES];
};

/* The inputs of step t; the states before it too where they are not in registers. */
template <vg_model_kind kind, typename W>
VG_DEVICE void load_inputs(const vg_scan_fwd_args &p, uint64_t t, uint32_t row, uint32_t unit,
                           bool states, fwd_cell<kind> *c)
{
    typedef cell_shape<kind> cell;
    typedef typename reserve_type<cell::states, W>::type R;
    uint64_t at = t * p.batch + row, before = at - p.batch;
    VG_UNROLL
    for (int g = 0; g < cell::gates; g++)
        c->x[g] = *element<const float>(p.preact_x, at, (uint32_t)g * p.units + unit);
    if (!states)
        return;
    c->s[0] = to_float(*element<const W>(p.y, before, unit));
    VG_UNROLL
    for (int i = 1; i < cell::states; i++) {
        uint32_t column = (uint32_t)(cell::kept + i - 1) * p.units + unit;
        c->s[i] = t ? to_float(*element<const R>(p.reserve, before, column))
                    : *element<const float>(p.state0[i], row, unit);
    }
}

/* What is left of a step once its h is published. */
template <vg_model_kind kind, typename W>
VG_DEVICE void store_reserve(const vg_scan_fwd_args &p, uint64_t at, uint32_t unit,
                             const fwd_cell<kind> &c, const float *kept)
{
    typedef cell_shape<kind> cell;
    typedef typename reserve_type<cell::states, W>::type R;
    VG_UNROLL
    for (int i = 0; i < cell::kept; i++)
        from_float(kept[i], element<R>(p.reserve, at, (uint32_t)i * p.units + unit));
    VG_UNROLL
    for (int i = 1; i < cell::states; i++)
        from_float(c.s[i],
                   element<R>(p.reserve, at, (uint32_t)(cell::kept + i - 1) * p.units + unit));
}

/* The cell's step after the product; h goes to its row of y, rounded as it is stored. */
template <vg_model_kind kind, typename W, typename P>
VG_DEVICE void step_cell(const vg_scan_fwd_args &p, const P &product, uint64_t at,
                         uint32_t tile_row, uint32_t block_unit, fwd_cell<kind> *c, float *kept)
{
    typedef cell_shape<kind> cell;
    typedef fwd_columns<kind> columns;
    float h[cell::gates], s1[cell::states];
    VG_UNROLL
    for (int g = 0; g < cell::gates; g++)
        h[g] = c->bias[g] +
               sum_parts(product, tile_row, column_of(product, columns(), (uint32_t)g, block_unit));
    vg_cell_fwd(kind, p.activation, c->x, h, c->s, s1, kept);
    W stored;
    from_float(s1[0], &stored);
    *element<W>(p.y, at, product.here.unit + block_unit) = stored;
    c->s[0] = to_float(stored);
    VG_UNROLL
    for (int i = 1; i < cell::states; i++)
        c->s[i] = s1[i];
}

template <vg_model_kind kind, typename W, typename P>
VG_DEVICE void scan_fwd(const vg_scan_fwd_args &p, unsigned char *shared)
{
    typedef cell_shape<kind> cell;
    const station here = station_of(p.tiles, p.units, p.batch);
    P product = P::of(p.tiles, here, shared);
    const fwd_source<kind, W> source = {p.weight_hh, p.units, here.unit, here.units,
                                        packs_fit<16 / sizeof(W), W>(p.weight_hh)};
    load_weights(&product, source, p.tf32);
    const uint32_t tile_row = thread_index() / p.tiles.units;
    const uint32_t block_unit = thread_index() % p.tiles.units, unit = here.unit + block_unit;
    const bool stepping = block_unit < here.units && tile_row < p.tiles.tile_rows;
    const bool keeps = here.rows <= p.tiles.tile_rows; /* states between steps */
    fwd_cell<kind> c;
    float kept[cell::kept + 1];
    VG_UNROLL
    for (int g = 0; stepping && g < cell::gates; g++)
        c.bias[g] = *element<const float>(p.bias_hh, 0, (uint32_t)g * p.units + unit);
    sync_block();
    for (uint64_t t = p.t0; t < p.t1; t++)
        for (uint32_t first = 0; first < here.rows; first += p.tiles.tile_rows) {
            const uint32_t step = (uint32_t)(t - p.t0), row = here.row + first + tile_row;
            const uint32_t rows = (uint32_t)least(p.tiles.tile_rows, here.rows - first);
            const bool live = stepping && tile_row < rows;
            const uint64_t at = t * p.batch + row;
            if (live)
                load_inputs<kind, W>(p, t, row, unit, !keeps || step == 0, &c);
            if (first == 0 && step > 0)
                await_steps(p.flags, p.tiles, here, step);
            multiply_tile(product, operand_of<W>(p.y, t * p.batch - p.batch + here.row + first,
                                                 rows, p.tf32));
            sync_block();
            if (live)
                step_cell<kind, W>(p, product, at, tile_row, block_unit, &c, kept);
            if (first + rows == here.rows)
                publish_steps(p.flags, here, step + 1);
            else
                sync_block();
            if (live)
                store_reserve<kind, W>(p, at, unit, c, kept);
        }
}

#endif
