/* Regime M's product by multiply-add, in any number format.
 *
 * The first steps of the depth have their weights in registers, the others in shared memory. A lane
 * has DEEP neighbours of every step's depth and all columns of its warp, so that a number of
 * h_{t-1} (or dgates) is multiplied by WIDTH weights that never move: one 16-byte read for
 * DEEP·WIDTH multiply-adds. An H200's multiprocessor reads 32 floats from shared memory and does
 * 128 multiply-adds a clock; with 8 columns the reads take half of the time of the products, where
 * weights read from shared memory would take four times theirs at one row. The sums over a warp's
 * lanes are exchanged by halves: 31 shuffles for 32 sums.
 *
 * Few rows (ROWS 1): every warp reads its part of the rows from L2 itself, no barrier in between.
 * More (ROWS 4): through the ring.
 *
 * A sum's order: lanes' depths one after the other, then halves over the lanes, then the warps
 * along the depth. It depends on the plan alone, which follows from the shape and the chip. */
#ifndef VG_SCAN_PERSISTENT_FMA_CUH
#define VG_SCAN_PERSISTENT_FMA_CUH

#include "scan_persistent.cuh"

enum { DEEP = VG_PERSISTENT_DEEP };

template <int n> VG_DEVICE void round_operand(bool tf32, float *v)
{
    if (!tf32)
        return;
    VG_UNROLL
    for (int i = 0; i < n; i++)
        v[i] = round_tf32(v[i]);
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
    typedef float sums[ROWS][WIDTH];
    float weights[HELD][WIDTH][DEEP];
    const vg_persistent_tiles &tiles;
    const station &here;
    W *more;     /* weights beyond those in registers */
    W *ring;     /* [RING][ROWS · row_warps][a chunk's depth] */
    float *part; /* [depth_warps][tile_rows][stride] */
    uint32_t sum;
    depths deep;

    VG_DEVICE product of(const vg_persistent_tiles &tiles, const station &here,
                         unsigned char *shared)
    {
        return product{{},
                       tiles,
                       here,
                       (W *)(void *)shared,
                       (W *)(void *)(shared + tiles.ring_at),
                       (float *)(void *)(shared + tiles.partial_at),
                       sum_of_lane<SUMS>(here.lane),
                       depths_of(tiles, WARP * DEEP)};
    }
};

/* The column of sums of a gate of the block's unit; Columns: those of a warp. */
template <typename Columns, typename W, int WIDTH, int ROWS>
VG_DEVICE uint32_t column_of(const product<W, WIDTH, ROWS> &, Columns, uint32_t gate, uint32_t unit)
{
    return unit / Columns::UNITS * WIDTH + gate * Columns::UNITS + unit % Columns::UNITS;
}

/* The depth of this lane's first number of a step. */
template <typename P> VG_DEVICE uint32_t lane_depth(const P &p, uint32_t step)
{
    return (step << p.deep.step_shift) + (p.here.depth_warp * WARP + p.here.lane) * DEEP;
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

/* More rows: a set is ROWS for each of row_warps, their packs one after the other. */
template <typename W, int WIDTH, int ROWS>
VG_DEVICE uint32_t set_rows(const product<W, WIDTH, ROWS> &p)
{
    return ROWS * p.tiles.row_warps;
}
template <typename W, int WIDTH, int ROWS>
VG_DEVICE uint32_t stage_pack(const product<W, WIDTH, ROWS> &, uint32_t, uint32_t pack)
{
    return pack;
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
        load_pack<DEEP>(from + ((uint64_t)r << p.deep.row_shift), v[r]);
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
    const W *from = stage + ((uint64_t)row << p.deep.row_shift) + lane_depth(p, 0);
    for (uint32_t step = at.step; step < end; step++, from += 1u << p.deep.step_shift)
        multiply_step(p, from, at.round, step, a.tf32, sums);
    if (end == p.tiles.steps)
        store_parts(p, at.round, at.row + row, a.rows, sums);
}

template <typename W, int WIDTH, int ROWS>
VG_DEVICE void multiply_tile(const product<W, WIDTH, ROWS> &p, const operand<W> &a)
{
    multiply_ring(p, a);
}

#endif
