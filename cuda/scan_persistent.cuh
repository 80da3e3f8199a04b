/* What both directions of the persistent recurrence share: how its blocks keep their weights, meet
 * between steps, and multiply.
 *
 * A block owns units and keeps their weights for the whole scan: the first steps of the depth in
 * registers, the others in shared memory. A lane has DEEP neighbours of every step's depth and all
 * columns of its warp, so that a number of h_{t-1} (or dgates) is multiplied by WIDTH weights that
 * never move: one 16-byte read for DEEP·WIDTH multiply-adds. An H200's multiprocessor reads 32
 * floats from shared memory and does 128 multiply-adds a clock; with 8 columns the reads take half
 * of the time of the products, where weights read from shared memory would take four times theirs
 * at one row. The sums over a warp's lanes are exchanged by halves: 31 shuffles for 32 sums.
 *
 * Few rows (ROWS 1): every warp reads its part of the rows from L2 itself, no barrier in between.
 * More (ROWS 4): a ring of stages in shared memory, filled by asynchronous copies two stages ahead:
 * 24 bytes a clock and multiprocessor arrive 600 clocks later, so about 15 KB must be on their way.
 *
 * A sum's order: lanes' depths one after the other, then halves over the lanes, then the warps
 * along the depth. It depends on the plan alone, which follows from the shape and the chip. */
#ifndef VG_SCAN_PERSISTENT_CUH
#define VG_SCAN_PERSISTENT_CUH

#include "scan_kernels.h"
#include "scan_persistent.h"

#include "rows.cuh"
#include "vf_cuda.cuh"

enum { THREADS = VG_PERSISTENT_THREADS, DEEP = VG_PERSISTENT_DEEP, RING = VG_PERSISTENT_RING };

/* Kept values are of the storage's type, but fp32 beside a second state. */
template <int states, typename W> struct reserve_type {
    typedef float type;
};
template <typename W> struct reserve_type<1, W> {
    typedef W type;
};

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

template <int n> VG_DEVICE void round_operand(bool tf32, float *v)
{
    if (!tf32)
        return;
    VG_UNROLL
    for (int i = 0; i < n; i++)
        v[i] = round_tf32(v[i]);
}

/* How many of n neighbours from `first` on there are. */
VG_DEVICE uint32_t count_from(uint32_t first, uint32_t all, uint32_t n)
{
    return first < all ? (uint32_t)least(all - first, n) : 0;
}

/* The lane of a warp that ends up with a sum: which of the n, or n where it has none. */
template <int n> VG_DEVICE uint32_t sum_of_lane(uint32_t lane)
{
    uint32_t width = n, left = n, index = 0;
    for (uint32_t bit = WARP / 2; bit > 0; bit /= 2) {
        uint32_t half = (width + 1) / 2;
        bool upper = (lane & bit) != 0;
        if (width == 1)
            left = upper ? 0 : left;
        else if (upper) {
            index += half;
            left = left > half ? left - half : 0;
        } else
            left = (uint32_t)least(left, half);
        width = half;
    }
    return left > 0 ? index : n;
}

/* n sums over the lanes of a warp, by halves: with every exchange a lane keeps half of the sums. In
 * the end v[0] is the one that sum_of_lane() tells. */
template <int n, int bit = WARP / 2> VG_DEVICE void sum_lanes(float *v, uint32_t lane)
{
    if constexpr (bit > 0) {
        enum { half = (n + 1) / 2 };
        bool upper = (lane & bit) != 0;
        VG_UNROLL
        for (int i = 0; i < half; i++) {
            float low = v[i], high = n == 1 ? v[i] : i + half < n ? v[i + half] : 0.0f;
            float other = shuffle_xor(ALL_LANES, upper ? low : high, bit);
            v[i] = (upper ? high : low) + other;
        }
        sum_lanes<half, bit / 2>(v, lane);
    }
}

/* The product of a block's weights with a tile of rows. WIDTH: columns of a warp; ROWS: at once;
 * HELD: most steps of the depth with weights in registers. */
template <typename W, int WIDTH, int ROWS> struct product {
    enum { HELD = VG_PERSISTENT_HELD / WIDTH, SUMS = ROWS * WIDTH };
    float weights[HELD][WIDTH][DEEP];
    const vg_persistent_tiles &tiles;
    const station &here;
    W *more;     /* weights beyond those in registers */
    W *ring;     /* [RING][ROWS · row_warps][a chunk's depth] */
    float *part; /* [depth_warps][tile_rows][stride] */
    uint32_t sum;
    uint32_t step_shift, row_shift; /* log2 of the depth of a step and of a chunk */
};

template <typename W, int WIDTH, int ROWS>
VG_DEVICE product<W, WIDTH, ROWS> product_of(const vg_persistent_tiles &tiles, const station &here,
                                             unsigned char *shared)
{
    typedef product<W, WIDTH, ROWS> P;
    uint32_t step_shift = 7, row_shift;
    while (1u << step_shift < WARP * DEEP * tiles.depth_warps)
        step_shift++;
    row_shift = step_shift;
    while (1u << row_shift < tiles.chunk << step_shift)
        row_shift++;
    return P{{},
             tiles,
             here,
             (W *)(void *)shared,
             (W *)(void *)(shared + tiles.ring_at),
             (float *)(void *)(shared + tiles.partial_at),
             sum_of_lane<P::SUMS>(here.lane),
             step_shift,
             row_shift};
}

/* The depth of this lane's first number of a step. */
template <typename P> VG_DEVICE uint32_t lane_depth(const P &p, uint32_t step)
{
    return (step << p.step_shift) + (p.here.depth_warp * WARP + p.here.lane) * DEEP;
}

/* This lane's weights in shared memory, of column 0; WARP·DEEP from one column to the next. */
template <typename W, int WIDTH, int ROWS>
VG_DEVICE W *more_weights(const product<W, WIDTH, ROWS> &p, uint32_t round, uint32_t step)
{
    const vg_persistent_tiles &t = p.tiles;
    uint32_t at = round * (t.steps - t.held) + step - t.held;
    at = (at * t.column_warps + p.here.column_warp) * t.depth_warps + p.here.depth_warp;
    return p.more + ((uint64_t)at * WIDTH * WARP + p.here.lane) * DEEP;
}

/* Loads the block's weights. load_columns(source, their number, depth, w): DEEP weights from
 * `depth` on of WIDTH columns, zero where there are none. A barrier must follow. */
template <typename W, int WIDTH, int ROWS, typename Source>
VG_DEVICE void load_weights(product<W, WIDTH, ROWS> *p, const Source &source, bool tf32)
{
    typedef product<W, WIDTH, ROWS> P;
    const vg_persistent_tiles &t = p->tiles;
    VG_UNROLL
    for (uint32_t j = 0; j < P::HELD; j++)
        if (j < t.held) {
            load_columns(source, p->here.column_warp, lane_depth(*p, j), p->weights[j]);
            round_operand<WIDTH * DEEP>(tf32, p->weights[j][0]);
        }
    if (p->here.row_warp > 0)
        return;
    for (uint32_t round = 0; round < t.rounds; round++)
        for (uint32_t j = t.held; j < t.steps; j++) {
            float w[WIDTH][DEEP];
            W *to = more_weights(*p, round, j);
            load_columns(source, round * t.column_warps + p->here.column_warp, lane_depth(*p, j),
                         w);
            round_operand<WIDTH * DEEP>(tf32, w[0]);
            VG_UNROLL
            for (int c = 0; c < WIDTH; c++)
                store_pack<DEEP>(to + c * WARP * DEEP, w[c]);
        }
}

template <int ROWS, int WIDTH>
VG_DEVICE void multiply(const float (*a)[DEEP], const float (*w)[DEEP], float (*sums)[WIDTH])
{
    VG_UNROLL
    for (int i = 0; i < DEEP; i++) {
        VG_UNROLL
        for (int r = 0; r < ROWS; r++) {
            VG_UNROLL
            for (int c = 0; c < WIDTH; c++)
                sums[r][c] = fmaf(a[r][i], w[c][i], sums[r][c]);
        }
    }
}

template <typename W, int WIDTH, int ROWS>
VG_DEVICE void multiply_more(const product<W, WIDTH, ROWS> &p, uint32_t round, uint32_t step,
                             const float (*a)[DEEP], float (*sums)[WIDTH])
{
    const W *from = more_weights(p, round, step);
    float w[WIDTH][DEEP];
    VG_UNROLL
    for (int c = 0; c < WIDTH; c++)
        load_pack<DEEP>(from + c * WARP * DEEP, w[c]);
    multiply<ROWS, WIDTH>(a, w, sums);
}

template <int ROWS, int WIDTH> VG_DEVICE void clear(float (*sums)[WIDTH])
{
    VG_UNROLL
    for (int r = 0; r < ROWS; r++) {
        VG_UNROLL
        for (int c = 0; c < WIDTH; c++)
            sums[r][c] = 0;
    }
}

/* This warp's sums of rows [row, row + ROWS) of the tile, to where sum_parts() finds them. */
template <typename W, int WIDTH, int ROWS>
VG_DEVICE void store_parts(const product<W, WIDTH, ROWS> &p, uint32_t round, uint32_t row,
                           uint32_t rows, float (*sums)[WIDTH])
{
    typedef product<W, WIDTH, ROWS> P;
    sum_lanes<P::SUMS>(sums[0], p.here.lane);
    uint32_t at = row + p.sum / WIDTH, column = round * p.tiles.column_warps + p.here.column_warp;
    if (p.sum < P::SUMS && at < rows)
        p.part[(p.here.depth_warp * p.tiles.tile_rows + at) * p.tiles.stride + column * WIDTH +
               p.sum % WIDTH] = sums[0][0];
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

/* Few rows. */

template <typename W>
VG_DEVICE void load_operand(const operand<W> &a, uint32_t row, uint32_t depth, float *to)
{
    load_some<DEEP>(a.at + (uint64_t)row * a.ld + depth, count_from(depth, a.depth, DEEP), a.whole,
                    to);
    round_operand<DEEP>(a.tf32, to);
}

template <typename W, int WIDTH>
VG_DEVICE void multiply_row(const product<W, WIDTH, 1> &p, const operand<W> &a, uint32_t round,
                            uint32_t row)
{
    typedef product<W, WIDTH, 1> P;
    float sums[1][WIDTH], v[P::HELD][1][DEEP];
    clear<1, WIDTH>(sums);
    VG_UNROLL
    for (uint32_t j = 0; j < P::HELD; j++)
        if (j < p.tiles.held)
            load_operand(a, row, lane_depth(p, j), v[j][0]);
    VG_UNROLL
    for (uint32_t j = 0; j < P::HELD; j++)
        if (j < p.tiles.held)
            multiply<1, WIDTH>(v[j], p.weights[j], sums);
    for (uint32_t j = p.tiles.held; j < p.tiles.steps; j++) {
        float more[1][DEEP];
        load_operand(a, row, lane_depth(p, j), more[0]);
        multiply_more(p, round, j, more, sums);
    }
    store_parts(p, round, row, a.rows, sums);
}

template <typename W, int WIDTH>
VG_DEVICE void multiply_tile(const product<W, WIDTH, 1> &p, const operand<W> &a)
{
    for (uint32_t round = 0; round < p.tiles.rounds; round++)
        for (uint32_t row = p.here.row_warp; row < a.rows; row += p.tiles.row_warps)
            multiply_row(p, a, round, row);
}

/* More rows, through the ring. A set is ROWS rows for each of row_warps; a chunk is a set's next
 * steps of the depth. */
struct cursor {
    uint32_t round, row, step; /* row: the set's first */
};

template <int ROWS>
VG_DEVICE void cursor_on(const vg_persistent_tiles &tiles, uint32_t rows, cursor *at)
{
    at->step += tiles.chunk;
    if (at->step < tiles.steps)
        return;
    at->step = 0;
    at->row += ROWS * tiles.row_warps;
    if (at->row < rows)
        return;
    at->row = 0;
    at->round++;
}

/* Asks for a chunk; what is not in whole packs is copied at once, with zeros beyond the depth. */
template <typename W, int WIDTH, int ROWS>
VG_DEVICE void fill_stage(const product<W, WIDTH, ROWS> &p, const operand<W> &a, const cursor &at,
                          W *stage)
{
    enum { PACK = 16 / sizeof(W), PACK_SHIFT = PACK == 4 ? 2 : 3 };
    uint32_t shift = p.row_shift - PACK_SHIFT, mask = (1u << shift) - 1;
    uint32_t first = at.step << p.step_shift, end = p.tiles.steps << p.step_shift;
    uint32_t rows = (uint32_t)least(ROWS * p.tiles.row_warps, a.rows - at.row);
    for (uint32_t i = thread_index(); i < rows << shift; i += block_threads()) {
        uint32_t row = i >> shift, depth = first + (i & mask) * PACK;
        const W *from = a.at + (uint64_t)(at.row + row) * a.ld + depth;
        W *to = stage + (uint64_t)i * PACK;
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

/* One step of the depth for this warp's rows of a stage. */
template <typename W, int WIDTH, int ROWS>
VG_DEVICE void multiply_step(const product<W, WIDTH, ROWS> &p, const W *from, uint32_t round,
                             uint32_t step, bool tf32, float (*sums)[WIDTH])
{
    typedef product<W, WIDTH, ROWS> P;
    float v[ROWS][DEEP];
    VG_UNROLL
    for (int r = 0; r < ROWS; r++)
        load_pack<DEEP>(from + ((uint64_t)r << p.row_shift), v[r]);
    round_operand<ROWS * DEEP>(tf32, v[0]);
    VG_UNROLL
    for (uint32_t j = 0; j < P::HELD; j++)
        if (j == step && j < p.tiles.held)
            multiply<ROWS, WIDTH>(v, p.weights[j], sums);
    if (step >= p.tiles.held)
        multiply_more(p, round, step, v, sums);
}

template <typename W, int WIDTH, int ROWS>
VG_DEVICE void multiply_chunk(const product<W, WIDTH, ROWS> &p, const operand<W> &a,
                              const cursor &at, const W *stage, float (*sums)[WIDTH])
{
    uint32_t row = ROWS * p.here.row_warp;
    if (at.row + row >= a.rows)
        return;
    if (at.step == 0)
        clear<ROWS, WIDTH>(sums);
    uint32_t end = (uint32_t)least(at.step + p.tiles.chunk, p.tiles.steps);
    const W *from = stage + ((uint64_t)row << p.row_shift) + lane_depth(p, 0);
    for (uint32_t step = at.step; step < end; step++, from += 1u << p.step_shift)
        multiply_step(p, from, at.round, step, a.tf32, sums);
    if (end == p.tiles.steps)
        store_parts(p, at.round, at.row + row, a.rows, sums);
}

template <typename W, int WIDTH, int ROWS>
VG_DEVICE void multiply_tile(const product<W, WIDTH, ROWS> &p, const operand<W> &a)
{
    const vg_persistent_tiles &t = p.tiles;
    uint32_t stage = (ROWS * t.row_warps) << p.row_shift, filled = 0, used = 0;
    cursor asked = {0, 0, 0}, at = {0, 0, 0};
    float sums[ROWS][WIDTH];
    uint32_t ahead = RING - 1;
    while (at.round < t.rounds) {
        if (ahead == 0) {
            /* All but the last asked for are there, and nobody reads the one filled next. */
            copy_async_wait<RING - 2>();
            sync_block();
        }
        if (asked.round < t.rounds) {
            fill_stage(p, a, asked, p.ring + filled * stage);
            cursor_on<ROWS>(t, a.rows, &asked);
        }
        copy_async_commit();
        filled = filled + 1 < RING ? filled + 1 : 0;
        if (ahead > 0) {
            ahead--;
            continue;
        }
        multiply_chunk(p, a, at, p.ring + used * stage, sums);
        used = used + 1 < RING ? used + 1 : 0;
        cursor_on<ROWS>(t, a.rows, &at);
    }
}

#endif
