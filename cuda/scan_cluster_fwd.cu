/* Regime C forward. Every block has all states of a step in the buffer that was pushed to, sums the
 * gates of its units, steps them and pushes their states to all blocks, itself among them. A block
 * steps only when all of it has read the states before, and nobody gets further than one push
 * without this block's: two buffers are enough. The sums are written again only when this block's
 * own states have come, that is after they were read: a warp's threads have all read theirs before
 * any of them pushes. */
#include "scan_cluster.cuh"
#include "scan_unit_fwd.cuh"

/* This block's shared memory. */
template <typename W> struct forward_memory {
    block<W> s; /* its v: of the step */
    float *v;   /* [2][ROWS, v_ld] */
    float *sums;
};

template <typename W, int ROWS>
VG_DEVICE forward_memory<W> carve(const block<W> &s, unsigned char *shared)
{
    forward_memory<W> f = {s, (float *)(void *)(shared + VG_SCAN_CLUSTER_BARRIERS), NULL};
    f.sums = f.v + 2 * ROWS * s.v_ld;
    f.s.rest = (pack<W, 4> *)(void *)(f.sums + ROWS * s.sums_ld);
    clear(f.v, 2 * ROWS * s.v_ld);
    return f;
}

/* The states before the first step, of all units; zeros for rows beyond the batch. */
template <typename W, int ROWS>
VG_DEVICE void load_states(const vg_scan_fwd_args &p, uint32_t tile, float *v, uint32_t v_ld)
{
    for (uint32_t i = thread_index(); i < ROWS * p.units; i += block_threads()) {
        uint32_t row = i / p.units, unit = i - row * p.units, b = tile * ROWS + row;
        int64_t before = (int64_t)(p.t0 * p.batch + b) - p.batch;
        v[row * v_ld + unit] =
            b < p.batch ? operand_of(p.tf32, to_float(*element<const W>(p.y, before, unit))) : 0;
    }
}

/* push: the number of the next push, of all tiles. */
template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward_tile(const vg_scan_fwd_args &p, const member &m, forward_memory<W> &f,
                            const float (&kept)[KEPT][WEIGHTS], uint32_t tile, uint32_t *push)
{
    const cell_station here = station_of(m, p.block_units, tile, ROWS, p.batch);
    const bool pushes = here.at.row < ROWS && here.unit < whole_packs(m.units);
    const uint32_t size = ROWS * f.s.v_ld, steps = (uint32_t)(p.t1 - p.t0);
    const float *sums = f.sums + here.at.row * f.s.sums_ld + here.unit;
    const to_sums to = {f.sums + f.s.group * PIECE, f.s.sums_ld};
    fwd_unit<CELL, W> unit;
    load_states<W, ROWS>(p, tile, f.v + buffer_of(*push - 1) * size, f.s.v_ld);
    if (here.at.active)
        unit_begin(p, here.at, unit);
    sync_block();
    for (uint32_t left = steps; left > 0; left--) {
        const bool last = left == 1;
        if (left < steps)
            await_push(m, *push - 1);
        if (!last && thread_index() == 0)
            expect_push(m, *push, ROWS * whole_packs(p.units));
        f.s.v = f.v + buffer_of(*push - 1) * size;
        if (f.s.works)
            step_product<ROWS>(f.s, kept, to);
        sync_block();
        float keep[VG_MAX_KEPT], state = 0;
        if (here.at.active) {
            unit_step(p, sums, p.block_units, last, unit, keep);
            state = operand_of(p.tf32, unit.state[0]);
        }
        if (!last && here.meets)
            push_state(m, here, pushes, *push, state,
                       f.v + buffer_of(*push) * size + here.at.row * f.s.v_ld);
        if (here.at.active)
            unit_store(p, unit, keep);
        *push += !last;
    }
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void forward(const vg_scan_fwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    enum { GATES = cell_shape<CELL>::gates };
    const member m = member_of(shared, p.units, p.block_units);
    forward_memory<W> f =
        carve<W, ROWS>(block_of<W>(GATES * p.block_units, p.units, p.slices, KEPT), shared);
    float kept[KEPT][WEIGHTS];
    make_bars(m);
    hold_weights<true>(f.s, p.weight_hh, unit_rows{GATES, p.units, p.block_units, m.first, m.units},
                       p.tf32, kept);
    sync_cluster();
    uint32_t tiles = m.units ? divide_up(p.batch, ROWS) : 0, push = 0;
    for (uint32_t tile = m.cluster; tile < tiles; tile += m.count)
        forward_tile<CELL, W, KEPT, ROWS>(p, m, f, kept, tile, &push);
}

#define FORWARD(threads, pieces, rows, cell, type, name)                                           \
    VG_KERNEL(scan_cluster_fwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,           \
              vg_scan_fwd_args)                                                                    \
    {                                                                                              \
        VG_CLUSTER_BODY(forward<VG_##cell, type, pieces, rows>(p);)                                \
    }
#define ENTRY(threads, pieces, rows, cell, type, name)                                             \
    VG_KERNEL_ENTRY(scan_cluster_fwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,     \
                    vg_scan_fwd_args),
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    VG_SCAN_CLUSTER_SHAPES(FORWARD, id, float, fp32)                                               \
    VG_SCAN_CLUSTER_SHAPES(FORWARD, id, bf16, bf16)
#include "vg/cells.def"
#undef VG_CELL

extern "C" vg_kernel vg_scan_cluster_fwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape)
{
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    if (cell == VG_##id) {                                                                         \
        static const vg_kernel fp32[] = {VG_SCAN_CLUSTER_SHAPES(ENTRY, id, float, fp32)};          \
        static const vg_kernel half[] = {VG_SCAN_CLUSTER_SHAPES(ENTRY, id, bf16, bf16)};           \
        return w == VG_BF16 ? half[shape] : fp32[shape];                                           \
    }
#include "vg/cells.def"
#undef VG_CELL
    return vg_kernel{NULL, "", 0};
}
