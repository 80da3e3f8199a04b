/* Regime L of a recurrence: the cell's step after the step's product, one launch a step. Memory
 * bound; every thread takes units of a row, four at a time where that still leaves some for every
 * thread of the grid. */
#include "scan_kernels.h"

#include "rows.cuh"
#include "vf_cuda.cuh"

#include <stdbool.h>

enum { THREADS = 256, WIDE = 4 };

/* n numbers from a row of a window, or zeros where it is absent or not wanted. */
template <int n, typename T>
VG_DEVICE void load_if(bool wanted, const vg_window &w, uint64_t row, uint32_t col, float *to)
{
    if (wanted && w.at) {
        load_wide<n>(element<const T>(w, row, col), to);
        return;
    }
    VG_UNROLL
    for (int v = 0; v < n; v++)
        to[v] = 0;
}

template <int n, typename T>
VG_DEVICE void store_if_wanted(const vg_window &w, uint64_t row, uint32_t col, const float *from)
{
    if (w.at)
        store_wide<n>(element<T>(w, row, col), from);
}

template <int n> VG_DEVICE void add(const float *more, float *to)
{
    VG_UNROLL
    for (int v = 0; v < n; v++)
        to[v] = to[v] + more[v];
}

/* The states before step t of units [unit, unit + n) of batch row `row`. */
template <vg_model_kind kind, typename W, int n>
VG_DEVICE void load_states(const vg_window &y, const vg_window &reserve, const vg_window *state0,
                           uint64_t t, uint32_t batch, uint32_t units, uint64_t row, uint32_t unit,
                           float (*s)[n])
{
    typedef typename reserve_type<cell_shape<kind>::states, W>::type R;
    typedef cell_shape<kind> cell;
    uint64_t before = t * batch + row - batch;
    load_wide<n>(element<const W>(y, before, unit), s[0]);
    VG_UNROLL
    for (int i = 1; i < cell::states; i++)
        if (t)
            load_wide<n>(
                element<const R>(reserve, before, (uint32_t)(cell::kept + i - 1) * units + unit),
                s[i]);
        else
            load_wide<n>(element<const float>(state0[i], row, unit), s[i]);
}

/* Forward. */

template <vg_model_kind kind, typename W, int n>
VG_DEVICE void step_fwd_at(const vg_scan_fwd_args &p, uint64_t row, uint32_t unit)
{
    typedef typename reserve_type<cell_shape<kind>::states, W>::type R;
    typedef cell_shape<kind> cell;
    float x[cell::gates][n], h[cell::gates][n], s[cell::states][n];
    float s1[cell::states][n], k[cell::kept + 1][n];
    uint64_t at = p.t0 * p.batch + row;
    VG_UNROLL
    for (int g = 0; g < cell::gates; g++) {
        float product[n];
        uint32_t col = (uint32_t)g * p.units + unit;
        load_wide<n>(element<const float>(p.preact_x, at, col), x[g]);
        load_wide<n>(element<const float>(p.bias_hh, 0, col), h[g]);
        load_wide<n>(element<const float>(p.product, row, col), product);
        add<n>(product, h[g]);
    }
    load_states<kind, W, n>(p.y, p.reserve, p.state0, p.t0, p.batch, p.units, row, unit, s);
    VG_UNROLL
    for (int v = 0; v < n; v++) {
        vf x1[cell::gates], h1[cell::gates], before[cell::states], after[cell::states];
        vf kept[cell::kept + 1];
        VG_UNROLL
        for (int g = 0; g < cell::gates; g++) {
            x1[g] = x[g][v];
            h1[g] = h[g][v];
        }
        VG_UNROLL
        for (int i = 0; i < cell::states; i++)
            before[i] = s[i][v];
        vg_cell_fwd(kind, p.activation, x1, h1, before, after, kept);
        VG_UNROLL
        for (int i = 0; i < cell::states; i++)
            s1[i][v] = after[i];
        VG_UNROLL
        for (int i = 0; i < cell::kept; i++)
            k[i][v] = kept[i];
    }
    store_wide<n>(element<W>(p.y, at, unit), s1[0]);
    VG_UNROLL
    for (int i = 1; i < cell::states; i++)
        store_wide<n>(element<R>(p.reserve, at, (uint32_t)(cell::kept + i - 1) * p.units + unit),
                      s1[i]);
    VG_UNROLL
    for (int i = 0; i < cell::kept; i++)
        store_wide<n>(element<R>(p.reserve, at, (uint32_t)i * p.units + unit), k[i]);
}

/* Whether n numbers of every window can be touched at once, and the grid has work then. */
template <int n> VG_DEVICE bool wide_enough(uint64_t rows, uint32_t units)
{
    return units % n == 0 && rows * (units / n) >= grid_threads();
}

template <vg_model_kind kind, typename W> VG_DEVICE void step_fwd(const vg_scan_fwd_args &p)
{
    typedef typename reserve_type<cell_shape<kind>::states, W>::type R;
    bool wide = wide_enough<WIDE>(p.batch, p.units) && packs_fit<WIDE, float>(p.preact_x) &&
                packs_fit<WIDE, float>(p.product) && packs_fit<WIDE, float>(p.bias_hh) &&
                packs_fit<WIDE, W>(p.y) && packs_fit<WIDE, R>(p.reserve) &&
                packs_fit<WIDE, float>(p.state0[1]);
    if (wide)
        for (walk w = walk_grid(p.batch, p.units / WIDE); w.row < w.rows; walk_on(&w))
            step_fwd_at<kind, W, WIDE>(p, w.row, w.col * WIDE);
    else
        for (walk w = walk_grid(p.batch, p.units); w.row < w.rows; walk_on(&w))
            step_fwd_at<kind, W, 1>(p, w.row, w.col);
}

/* Backward. */

/* What comes back into the states after the step: into h from the step after (its product and, at
 * the last step or where the cell's gates differ, apart from it) and from above. */
template <vg_model_kind kind, typename W, int n>
VG_DEVICE void load_incoming(const vg_scan_bwd_args &p, uint64_t at, uint64_t row, uint32_t unit,
                             float (*ds1)[n])
{
    typedef cell_shape<kind> cell;
    bool last = p.step + 1 == p.t1, dy_each = p.dy.rows > p.batch;
    VG_UNROLL
    for (int i = 0; i < cell::states; i++)
        if (last)
            load_if<n, float>(true, p.dstateT[i], row, unit, ds1[i]);
        else
            load_if<n, float>(i > 0 || cell::differ, p.carry[i], row, unit, ds1[i]);
    float more[n];
    load_if<n, float>(true, p.product, row, unit, more);
    add<n>(more, ds1[0]);
    if (p.dy_wide)
        load_if<n, float>(dy_each || last, p.dy, dy_each ? at : row, unit, more);
    else
        load_if<n, W>(dy_each || last, p.dy, dy_each ? at : row, unit, more);
    add<n>(more, ds1[0]);
}

template <vg_model_kind kind, typename W, int n>
VG_DEVICE void store_outgoing(const vg_scan_bwd_args &p, uint64_t at, uint64_t row, uint32_t unit,
                              const float (*dx)[n], const float (*dh)[n], const float (*ds)[n],
                              const float (*ds1)[n])
{
    typedef cell_shape<kind> cell;
    VG_UNROLL
    for (int g = 0; g < cell::gates; g++) {
        store_wide<n>(element<W>(p.dgates_x, at, (uint32_t)g * p.units + unit), dx[g]);
        if (cell::differ)
            store_wide<n>(element<W>(p.dgates_h, at, (uint32_t)g * p.units + unit), dh[g]);
    }
    if (cell::differ)
        store_wide<n>(element<float>(p.carry[0], row, unit), ds[0]);
    VG_UNROLL
    for (int i = 1; i < cell::states; i++)
        if (p.step == p.t0)
            store_if_wanted<n, float>(p.dstate0[i], row, unit, ds[i]);
        else
            store_if_wanted<n, float>(p.carry[i], row, unit, ds[i]);
    store_if_wanted<n, float>(p.dh, at, unit, ds1[0]);
    if (cell::states > 1)
        store_if_wanted<n, float>(p.dc, at, unit, ds1[cell::states - 1]);
}

template <vg_model_kind kind, typename W, int n>
VG_DEVICE void step_bwd_at(const vg_scan_bwd_args &p, uint64_t row, uint32_t unit)
{
    typedef typename reserve_type<cell_shape<kind>::states, W>::type R;
    typedef cell_shape<kind> cell;
    float k[cell::kept + 1][n], s[cell::states][n], s1[cell::states][n], ds1[cell::states][n];
    float dx[cell::gates][n], dh[cell::gates][n], ds[cell::states][n];
    uint64_t at = p.step * p.batch + row;
    VG_UNROLL
    for (int i = 0; i < cell::kept; i++)
        load_wide<n>(element<const R>(p.reserve, at, (uint32_t)i * p.units + unit), k[i]);
    load_states<kind, W, n>(p.y, p.reserve, p.state0, p.step, p.batch, p.units, row, unit, s);
    load_states<kind, W, n>(p.y, p.reserve, p.state0, p.step + 1, p.batch, p.units, row, unit, s1);
    load_incoming<kind, W, n>(p, at, row, unit, ds1);
    VG_UNROLL
    for (int v = 0; v < n; v++) {
        vf kept[cell::kept + 1], before[cell::states], after[cell::states], total[cell::states];
        vf dx1[cell::gates], dh1[cell::gates], ds0[cell::states];
        VG_UNROLL
        for (int i = 0; i < cell::kept; i++)
            kept[i] = k[i][v];
        VG_UNROLL
        for (int i = 0; i < cell::states; i++) {
            before[i] = s[i][v];
            after[i] = s1[i][v];
            total[i] = ds1[i][v];
        }
        vg_cell_bwd(kind, p.activation, kept, before, after, total, dx1, dh1, ds0);
        VG_UNROLL
        for (int g = 0; g < cell::gates; g++) {
            dx[g][v] = dx1[g];
            if (cell::differ)
                dh[g][v] = dh1[g];
        }
        VG_UNROLL
        for (int i = 0; i < cell::states; i++) {
            ds[i][v] = ds0[i];
            ds1[i][v] = total[i];
        }
    }
    store_outgoing<kind, W, n>(p, at, row, unit, dx, dh, ds, ds1);
}

/* Before the first step: what its product and, where the gates differ, the step itself left. */
template <vg_model_kind kind, int n>
VG_DEVICE void first_state_at(const vg_scan_bwd_args &p, uint64_t row, uint32_t unit)
{
    float ds[n], more[n];
    load_wide<n>(element<const float>(p.product, row, unit), ds);
    if (cell_shape<kind>::differ) {
        load_wide<n>(element<const float>(p.carry[0], row, unit), more);
        add<n>(more, ds);
    }
    store_if_wanted<n, float>(p.dstate0[0], row, unit, ds);
}

template <vg_model_kind kind, typename W, int n> VG_DEVICE void step_bwd(const vg_scan_bwd_args &p)
{
    walk w = walk_grid(p.batch, p.units / n);
    if (p.step + 1 == p.t0)
        for (; w.row < w.rows; walk_on(&w))
            first_state_at<kind, n>(p, w.row, w.col * n);
    else
        for (; w.row < w.rows; walk_on(&w))
            step_bwd_at<kind, W, n>(p, w.row, w.col * n);
}

template <vg_model_kind kind, typename W> VG_DEVICE void step_bwd(const vg_scan_bwd_args &p)
{
    typedef typename reserve_type<cell_shape<kind>::states, W>::type R;
    bool wide = wide_enough<WIDE>(p.batch, p.units) && packs_fit<WIDE, R>(p.reserve) &&
                packs_fit<WIDE, W>(p.y) && packs_fit<WIDE, W>(p.dgates_x) &&
                packs_fit<WIDE, W>(p.dgates_h) && packs_fit<WIDE, float>(p.product) &&
                packs_fit<WIDE, float>(p.dh) && packs_fit<WIDE, float>(p.dc) &&
                (p.dy_wide ? packs_fit<WIDE, float>(p.dy) : packs_fit<WIDE, W>(p.dy));
    VG_UNROLL
    for (int i = 0; i < cell_shape<kind>::states; i++)
        wide = wide && packs_fit<WIDE, float>(p.dstateT[i]) &&
               packs_fit<WIDE, float>(p.dstate0[i]) && packs_fit<WIDE, float>(p.carry[i]) &&
               (i == 0 || packs_fit<WIDE, float>(p.state0[i]));
    if (wide)
        step_bwd<kind, W, WIDE>(p);
    else
        step_bwd<kind, W, 1>(p);
}

#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    VG_KERNEL(id##_scan_step_fwd_f32, THREADS, vg_scan_fwd_args)                                   \
    {                                                                                              \
        step_fwd<VG_##id, float>(p);                                                               \
    }                                                                                              \
    VG_KERNEL(id##_scan_step_fwd_bf16, THREADS, vg_scan_fwd_args)                                  \
    {                                                                                              \
        step_fwd<VG_##id, bf16>(p);                                                                \
    }                                                                                              \
    VG_KERNEL(id##_scan_step_bwd_f32, THREADS, vg_scan_bwd_args)                                   \
    {                                                                                              \
        step_bwd<VG_##id, float>(p);                                                               \
    }                                                                                              \
    VG_KERNEL(id##_scan_step_bwd_bf16, THREADS, vg_scan_bwd_args)                                  \
    {                                                                                              \
        step_bwd<VG_##id, bf16>(p);                                                                \
    }
#include "vg/cells.def"
#undef VG_CELL

vg_kernel vg_scan_step_fwd_kernel(vg_model_kind cell, vg_dtype w)
{
    switch (cell) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        return w == VG_BF16 ? VG_KERNEL_ENTRY(id##_scan_step_fwd_bf16, THREADS, vg_scan_fwd_args)  \
                            : VG_KERNEL_ENTRY(id##_scan_step_fwd_f32, THREADS, vg_scan_fwd_args);
#include "vg/cells.def"
#undef VG_CELL
    default: return vg_kernel{};
    }
}

vg_kernel vg_scan_step_bwd_kernel(vg_model_kind cell, vg_dtype w)
{
    switch (cell) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        return w == VG_BF16 ? VG_KERNEL_ENTRY(id##_scan_step_bwd_bf16, THREADS, vg_scan_bwd_args)  \
                            : VG_KERNEL_ENTRY(id##_scan_step_bwd_f32, THREADS, vg_scan_bwd_args);
#include "vg/cells.def"
#undef VG_CELL
    default: return vg_kernel{};
    }
}
