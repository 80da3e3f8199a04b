/* What both directions of the persistent recurrence share, however they multiply: who does what,
 * how blocks meet between steps, and the ring through which rows come in.
 *
 * A block owns units and keeps their weights for the whole scan. A product holds the weights and
 * multiplies a tile of rows with them (scan_persistent_fma.cuh, scan_persistent_mma.cuh):
 *
 *   P::of(tiles, here, shared)             made in the block's dynamic shared memory
 *   load_weights(&p, source, tf32)         once; a barrier must follow
 *   multiply_tile(p, operand)              all threads of the block; then a barrier, then
 *   sum_parts(p, row, column)              a sum of it, of column_of(p, gate, unit)
 *
 * The ring: stages in shared memory, filled by asynchronous copies two stages ahead. Some 30 bytes
 * a clock and multiprocessor arrive 600 clocks later, so about 18 KB must be on their way. */
#ifndef VG_SCAN_PERSISTENT_CUH
#define VG_SCAN_PERSISTENT_CUH

#include "scan_kernels.h"
#include "scan_persistent.h"

#include "rows.cuh"
#include "vf_cuda.cuh"

enum { RING = VG_PERSISTENT_RING };

/* What a thread is in its block, and a block in the grid. */
struct station {
    uint32_t lane, column_warp, depth_warp, row_warp;
    uint32_t slice, first_flag; /* of the blocks that share its rows */
    uint32_t unit, units;       /* the block's */
    uint32_t row, rows;
};

VG_DEVICE station station_of(const vg_persistent_tiles &tiles, uint32_t units, uint32_t batch)
{
    station s;
    uint32_t warp = warp_index(), group = block_index() / tiles.slices;
    s.lane = lane_index();
    s.column_warp = warp % tiles.column_warps;
    s.depth_warp = warp / tiles.column_warps % tiles.depth_warps;
    s.row_warp = warp / (tiles.column_warps * tiles.depth_warps);
    s.slice = block_index() % tiles.slices;
    s.first_flag = group * tiles.slices;
    s.unit = s.slice * tiles.units;
    s.units = (uint32_t)least(tiles.units, units - s.unit);
    s.row = group * tiles.rows;
    s.rows = (uint32_t)least(tiles.rows, batch - s.row);
    return s;
}

/* Until every block of these rows has published `step` steps, and its numbers can be read. */
VG_DEVICE void await_steps(const uint32_t *flags, const vg_persistent_tiles &tiles,
                           const station &here, uint32_t step)
{
    for (uint32_t i = thread_index(); i < tiles.slices; i += block_threads())
        wait_at_least(flags + VG_FLAG_OF(here.first_flag + i), step);
    sync_block();
}

/* What this block has written in its first `step` steps is there for all; also a barrier. */
VG_DEVICE void publish_steps(uint32_t *flags, const station &here, uint32_t step)
{
    sync_block();
    if (thread_index() == 0)
        store_release(flags + VG_FLAG_OF(here.first_flag + here.slice), step);
}

/* A step's operand: `rows` rows of `depth` numbers. */
template <typename W> struct operand {
    const W *at;
    uint32_t rows, depth, ld;
    bool whole; /* 16 bytes of a row can be touched at once */
    bool tf32;
};

template <typename W>
VG_DEVICE operand<W> operand_of(const vg_window &w, uint64_t row, uint32_t rows, bool tf32)
{
    operand<W> a;
    a.at = element<const W>(w, row, 0);
    a.rows = rows;
    a.depth = w.cols;
    a.ld = w.ld;
    a.whole = packs_fit<16 / sizeof(W), W>(w);
    a.tf32 = tf32;
    return a;
}

/* How many of n neighbours from `first` on there are. */
VG_DEVICE uint32_t count_from(uint32_t first, uint32_t all, uint32_t n)
{
    return first < all ? (uint32_t)least(all - first, n) : 0;
}

/* The product's element [row of the tile, column]; a barrier stands between. */
template <typename P> VG_DEVICE float sum_parts(const P &p, uint32_t row, uint32_t column)
{
    const float *at = p.part + row * p.tiles.stride + column;
    float sum = *at;
    for (uint32_t d = 1; d < p.tiles.depth_warps; d++)
        sum = sum + at[d * p.tiles.tile_rows * p.tiles.stride];
    return sum;
}

/* The least power of two that is not less, as its logarithm. */
VG_DEVICE uint32_t shift_of(uint32_t n)
{
    uint32_t shift = 0;
    while (1u << shift < n)
        shift++;
    return shift;
}

/* A step of the depth is P::STEP numbers for each of depth_warps; a chunk is a few steps, a power
 * of two. The logarithms of the depth of either. */
struct depths {
    uint32_t step_shift, row_shift;
};
VG_DEVICE depths depths_of(const vg_persistent_tiles &tiles, uint32_t step)
{
    uint32_t shift = shift_of(step * tiles.depth_warps);
    return depths{shift, shift + shift_of(tiles.chunk)};
}

/* Through the ring. A set is the rows that the block multiplies at once, set_rows(p); a chunk is a
 * set's next steps of the depth. */
struct cursor {
    uint32_t round, row, step; /* row: the set's first */
};

VG_DEVICE void cursor_on(const vg_persistent_tiles &tiles, uint32_t set, uint32_t rows, cursor *at)
{
    at->step += tiles.chunk;
    if (at->step < tiles.steps)
        return;
    at->step = 0;
    at->row += set;
    if (at->row < rows)
        return;
    at->row = 0;
    at->round++;
}

/* Asks for a chunk, each row's 16 bytes where stage_pack(p, row, their number) says; what is not in
 * whole packs is copied at once, with zeros beyond the depth. */
template <typename P, typename W>
VG_DEVICE void fill_stage(const P &p, const operand<W> &a, const cursor &at, W *stage)
{
    enum { PACK = 16 / sizeof(W), PACK_SHIFT = PACK == 4 ? 2 : 3 };
    uint32_t shift = p.deep.row_shift - PACK_SHIFT, mask = (1u << shift) - 1;
    uint32_t first = at.step << p.deep.step_shift, end = p.tiles.steps << p.deep.step_shift;
    uint32_t rows = (uint32_t)least(set_rows(p), a.rows - at.row);
    for (uint32_t i = thread_index(); i < rows << shift; i += block_threads()) {
        uint32_t row = i >> shift, depth = first + (i & mask) * PACK;
        const W *from = a.at + (uint64_t)(at.row + row) * a.ld + depth;
        W *to = stage + (uint64_t)((row << shift) + stage_pack(p, row, i & mask)) * PACK;
        uint32_t count = count_from(depth, a.depth, PACK);
        if (a.whole && count == PACK)
            copy_async(to, from);
        else if (depth < end) {
            VG_UNROLL
            for (uint32_t n = 0; n < PACK; n++)
                to[n] = n < count ? from[n] : W{};
        }
    }
}

/* multiply_chunk(p, operand, at, stage, sums) takes each. */
template <typename P, typename W> VG_DEVICE void multiply_ring(const P &p, const operand<W> &a)
{
    const vg_persistent_tiles &t = p.tiles;
    uint32_t set = set_rows(p), stage = set << p.deep.row_shift, filled = 0, used = 0;
    cursor asked = {0, 0, 0}, at = {0, 0, 0};
    typename P::sums sums;
    uint32_t ahead = RING - 1;
    while (at.round < t.rounds) {
        if (ahead == 0) {
            /* All but the last asked for are there, and nobody reads the one filled next. */
            copy_async_wait<RING - 2>();
            sync_block();
        }
        if (asked.round < t.rounds) {
            fill_stage(p, a, asked, p.ring + filled * stage);
            cursor_on(t, set, a.rows, &asked);
        }
        copy_async_commit();
        filled = filled + 1 < RING ? filled + 1 : 0;
        if (ahead > 0) {
            ahead--;
            continue;
        }
        multiply_chunk(p, a, at, p.ring + used * stage, sums);
        used = used + 1 < RING ? used + 1 : 0;
        cursor_on(t, set, a.rows, &at);
    }
}

#endif
