/* Regime C backward. A block's gates stay with it: it multiplies them with its rows of weight_hh
 * and pushes what that adds to every unit to the block that has it, which adds up what all blocks
 * sent in the order of their ranks. Who pushes again to a buffer has waited for sums of its own
 * that the buffer's reader pushed after reading it, so two buffers are enough; and two operands, so
 * that the cells may write one while slower warps still multiply the other: the one barrier of a
 * step stands between the cells and the product. */
#include "scan_cluster.cuh"
#include "scan_unit_bwd.cuh"

/* This block's shared memory. */
template <typename W> struct backward_memory {
    block<W> s;    /* its v: of the step */
    float *v;      /* [2][ROWS, v_ld] */
    float *parts;  /* [2][blocks][ROWS, block_units] */
    uint32_t size; /* of one buffer of them */
};

template <typename W, int ROWS>
VG_DEVICE backward_memory<W> carve(const block<W> &s, const member &m, uint32_t block_units,
                                   unsigned char *shared)
{
    backward_memory<W> b = {s, (float *)(void *)(shared + VG_SCAN_CLUSTER_BARRIERS), NULL,
                            m.blocks * ROWS * block_units};
    b.parts = b.v + 2 * ROWS * s.v_ld;
    b.s.rest = (pack<W, 4> *)(void *)(b.parts + 2 * b.size);
    clear(b.v, 2 * ROWS * s.v_ld);
    return b;
}

/* Of this thread's four outputs: the place in the owner's buffer, as where it would be in this
 * block. */
struct to_owner {
    float *at;
    uint64_t *bar;
    uint32_t rank, ld;
    bool exists;
};
template <int n>
VG_DEVICE void put(const to_owner &to, uint32_t row, uint32_t first, const float *sums)
{
    if (to.exists)
        remote_store_async<n>(to.at + row * to.ld + first, to.bar, to.rank, sums);
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward_tile(const vg_scan_bwd_args &p, const member &m, backward_memory<W> &b,
                             const float (&kept)[KEPT][WEIGHTS], uint32_t tile, uint32_t *push)
{
    const cell_station here = station_of(m, p.block_units, tile, ROWS, p.batch);
    const uint32_t output = b.s.group * PIECE, owner = output / p.block_units;
    const uint32_t stride = ROWS * p.block_units, size = ROWS * b.s.v_ld;
    const float *parts = b.parts + here.at.row * p.block_units + here.unit;
    to_owner to = {NULL, NULL, owner, p.block_units, output < p.units};
    bwd_unit<CELL, W> unit;
    if (here.at.active)
        unit_begin(p, here.at, unit);
    const uint32_t steps = (uint32_t)(p.t1 - p.t0);
    for (uint32_t left = steps; left-- > 0; ++*push) {
        const bool product = left + 1 < steps;
        b.s.v = b.v + buffer_of(*push) * size;
        if (product && here.meets)
            await_push(m, *push - 1);
        if (here.at.active) {
            float into_h =
                product ? sum_parts(parts + buffer_of(*push - 1) * b.size, m.blocks, stride) : 0.0f;
            unit_step(p, here.at, left, into_h, b.s.v + here.at.row * b.s.v_ld + here.unit,
                      p.block_units, unit);
        }
        if (thread_index() == 0)
            expect_push(m, *push, m.blocks * ROWS * whole_packs(m.units));
        sync_block();
        to.at =
            b.parts + buffer_of(*push) * b.size + m.rank * stride + output - owner * p.block_units;
        to.bar = &m.bars[buffer_of(*push)];
        if (b.s.works)
            step_product<ROWS>(b.s, kept, to);
    }
    if (here.meets)
        await_push(m, *push - 1);
    if (here.at.active)
        unit_end(p, here.at, sum_parts(parts + buffer_of(*push - 1) * b.size, m.blocks, stride),
                 unit);
}

template <vg_model_kind CELL, typename W, int KEPT, int ROWS>
VG_DEVICE void backward(const vg_scan_bwd_args &p)
{
    VG_DYNAMIC_SHARED(shared);
    enum { GATES = cell_shape<CELL>::gates };
    const member m = member_of(shared, p.units, p.block_units);
    backward_memory<W> b = carve<W, ROWS>(
        block_of<W>(p.units, GATES * p.block_units, p.slices, KEPT), m, p.block_units, shared);
    float kept[KEPT][WEIGHTS];
    make_bars(m);
    hold_weights<false>(b.s, p.weight_hh,
                        unit_rows{GATES, p.units, p.block_units, m.first, m.units}, p.tf32, kept);
    sync_cluster();
    uint32_t tiles = m.units ? divide_up(p.batch, ROWS) : 0, push = 0;
    for (uint32_t tile = m.cluster; tile < tiles; tile += m.count)
        backward_tile<CELL, W, KEPT, ROWS>(p, m, b, kept, tile, &push);
}

#define BACKWARD(threads, pieces, rows, cell, type, name)                                          \
    VG_KERNEL(scan_cluster_bwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,           \
              vg_scan_bwd_args)                                                                    \
    {                                                                                              \
        VG_CLUSTER_BODY(backward<VG_##cell, type, pieces, rows>(p);)                               \
    }
#define ENTRY(threads, pieces, rows, cell, type, name)                                             \
    VG_KERNEL_ENTRY(scan_cluster_bwd_##cell##_##name##_##threads##_##pieces##_##rows, threads,     \
                    vg_scan_bwd_args),
#define VG_CELL(id, g, s, k, differ, takes, forget)                                                \
    VG_SCAN_CLUSTER_SHAPES(BACKWARD, id, float, fp32)                                              \
    VG_SCAN_CLUSTER_SHAPES(BACKWARD, id, bf16, bf16)
#include "vg/cells.def"
#undef VG_CELL

extern "C" vg_kernel vg_scan_cluster_bwd_kernel(vg_model_kind cell, vg_dtype w, uint32_t shape)
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
