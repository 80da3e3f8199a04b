/* What both directions of regime C share (scan_cluster.h has the picture): a block's place in its
 * cluster, and the exchange. There are two buffers to push to, used in turn, with a barrier each
 * that counts bytes: one hop a step and nothing that answers. Who pushes into a buffer again has
 * seen all that its reader pushed after reading it: see the two kernels. */
#ifndef VG_SCAN_CLUSTER_CUH
#define VG_SCAN_CLUSTER_CUH

#include "scan_block.cuh"
#include "scan_cluster.h"

struct member {
    uint32_t blocks;         /* of the cluster that have units: the first ranks */
    uint32_t rank;           /* this block's */
    uint32_t first, units;   /* its units */
    uint32_t cluster, count; /* of all clusters */
    uint64_t *bars;          /* one a buffer */
};

VG_DEVICE member member_of(unsigned char *shared, uint32_t units, uint32_t block_units)
{
    member m;
    m.blocks = divide_up(units, block_units);
    m.rank = cluster_rank();
    m.first = m.rank * block_units;
    m.units = m.first < units ? (uint32_t)least(units - m.first, block_units) : 0;
    m.cluster = block_index() / cluster_blocks();
    m.count = block_count() / cluster_blocks();
    m.bars = (uint64_t *)(void *)shared;
    return m;
}

/* A barrier of all the cluster must follow. */
VG_DEVICE void make_bars(const member &m)
{
    if (thread_index() > 0)
        return;
    mbar_init(&m.bars[0], 1);
    mbar_init(&m.bars[1], 1);
    mbar_init_fence();
}

/* The buffer of the n-th push, and its barrier. */
VG_DEVICE uint32_t buffer_of(uint32_t push)
{
    return push & 1;
}

/* One thread, once it has waited for push - 2. */
VG_DEVICE void expect_push(const member &m, uint32_t push, uint32_t floats)
{
    mbar_arrive_expect(&m.bars[buffer_of(push)], floats * (uint32_t)sizeof(float));
}

VG_DEVICE void await_push(const member &m, uint32_t push)
{
    mbar_wait(&m.bars[buffer_of(push)], (push >> 1) & 1);
}

/* With the packs that pad a block's last units. */
VG_DEVICE uint32_t whole_packs(uint32_t units)
{
    return divide_up(units, PIECE) * PIECE;
}

/* Rows of weight_hh: all gates of a block's units, [gate][block_units]. */
struct unit_rows {
    uint32_t gates, all, block_units, first, units;
};
VG_DEVICE lines lines_of(const unit_rows &r, uint32_t index)
{
    uint32_t gate = index / r.block_units, unit = index - gate * r.block_units;
    if (gate >= r.gates || unit >= r.units)
        return lines{0, 0};
    return lines{gate * r.all + r.first + unit, (uint32_t)least(r.units - unit, PIECE)};
}

/* The row and unit that this thread steps. */
struct cell_station {
    cell_place at;
    uint32_t unit; /* of the block */
    bool meets;    /* its warp steps some */
};
VG_DEVICE cell_station station_of(const member &m, uint32_t block_units, uint32_t tile,
                                  uint32_t rows, uint32_t batch)
{
    cell_station s;
    s.at = place_of(tile, rows, block_units, batch);
    s.unit = s.at.unit;
    s.at.unit = m.first + s.unit;
    s.at.active = s.at.active && s.unit < m.units;
    s.meets = warp_index() * WARP < rows * block_units;
    return s;
}

/* Forward. Whole warps call it. Four neighbours' units go together, and each of the four threads
 * sends them to every fourth block. */
VG_DEVICE void push_state(const member &m, const cell_station &here, bool pushes, uint32_t push,
                          float state, float *row)
{
    uint32_t lane = lane_index() % PIECE, first = lane_index() - lane;
    float four[PIECE];
    sync_warp(ALL_LANES);
    VG_UNROLL
    for (uint32_t i = 0; i < PIECE; i++)
        four[i] = shuffle(ALL_LANES, state, first + i);
    if (!pushes)
        return;
    for (uint32_t rank = lane; rank < m.blocks; rank += PIECE)
        remote_store_async<PIECE>(row + here.at.unit - lane, &m.bars[buffer_of(push)], rank, four);
}

/* Backward: what all blocks have sent for a unit, in the order of their ranks. */
VG_DEVICE float sum_parts(const float *at, uint32_t blocks, uint32_t stride)
{
    float sum = at[0];
    for (uint32_t i = 1; i < blocks; i++)
        sum = sum + at[i * stride];
    return sum;
}

#endif
