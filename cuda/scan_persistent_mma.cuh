/* Regime M's product on tensor cores, of tf32 and bf16: the block's gates are the columns of
 * mma.cuh, [gate][unit] with nothing in between, padded to 16; the batch rows are its rows, padded
 * to 8.
 *
 * A warp owns 16 columns (in every round others) and its part of the depth. The first steps of the
 * depth have their weights in registers, the others in shared memory, as fragments in either: 16
 * bytes of a lane's own for half a step. Rows come through the ring, FRAGMENTS times 8 at once, and
 * are rounded to tf32 as they are read; 8 rows of 64 bytes would be read from half of the banks, so
 * every other row has its 64 bytes changed over in pairs. What stands in a stage instead of rows
 * that are not there only reaches sums that nobody asks for.
 *
 * A sum's order: a fragment's as the hardware has it, the steps one after the other, their halves
 * apart where there is one fragment, then the warps along the depth. It depends on the plan alone.
 */
#ifndef VG_SCAN_PERSISTENT_MMA_CUH
#define VG_SCAN_PERSISTENT_MMA_CUH

#include "mma.cuh"
#include "scan_persistent.cuh"

/* FRAGMENTS: of 8 rows, at once. One chain of sums would be waited for at every link: one fragment
 * has two. */
template <typename W, int FRAGMENTS> struct mma_product {
    enum {
        HELD = VG_PERSISTENT_MMA_HELD,
        SETS = FRAGMENTS == 1 ? 2 : 1,
        LANE = mma_depth<W>::lane
    };
    typedef float sums[FRAGMENTS][SETS][4];
    mma_weights weights[HELD];
    const vg_persistent_tiles &tiles;
    const station &here;
    mma_weights *more; /* [rounds][steps beyond][column_warps][depth_warps], see more_weights() */
    W *ring;           /* [RING][8 · FRAGMENTS][a chunk's depth] */
    float *part;       /* [depth_warps][tile_rows][stride] */
    uint32_t group, quad;
    depths deep;

    VG_DEVICE mma_product of(const vg_persistent_tiles &tiles, const station &here,
                             unsigned char *shared)
    {
        return mma_product{{},
                           tiles,
                           here,
                           (mma_weights *)(void *)shared,
                           (W *)(void *)(shared + tiles.ring_at),
                           (float *)(void *)(shared + tiles.partial_at),
                           mma_group(here.lane),
                           mma_quad(here.lane),
                           depths_of(tiles, mma_depth<W>::step)};
    }
};

/* The column of sums of a gate of the block's unit. */
template <typename Columns, typename W, int FRAGMENTS>
VG_DEVICE uint32_t column_of(const mma_product<W, FRAGMENTS> &p, Columns, uint32_t gate,
                             uint32_t unit)
{
    return gate * p.tiles.units + unit;
}

/* The first of this warp's columns in a round. */
template <typename P> VG_DEVICE uint32_t first_column(const P &p, uint32_t round)
{
    return (round * p.tiles.column_warps + p.here.column_warp) * MMA_COLUMNS;
}

/* A step's weights from device memory. load_column(source, gate, unit, depth, w): of that gate of
 * the block's unit, LANE weights from `depth` on; zero where there are none. */
template <typename W, int FRAGMENTS, typename Source>
VG_DEVICE mma_weights load_fragments(const mma_product<W, FRAGMENTS> &p, const Source &source,
                                     uint32_t round, uint32_t step)
{
    enum { LANE = mma_product<W, FRAGMENTS>::LANE };
    uint32_t depth = (step << p.deep.step_shift) + (p.here.depth_warp * 4 + p.quad) * LANE;
    uint32_t words[2][4];
    VG_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t column = first_column(p, round) + p.group + half * (MMA_COLUMNS / 2);
        float w[LANE];
        load_column(source, column / p.tiles.units, column % p.tiles.units, depth, w);
        mma_pack<W>(w, words[half]);
    }
    return mma_weights_of(words[0], words[1]);
}

/* This warp's weights in shared memory: those of each half of a step of all lanes, side by side. */
template <typename P>
VG_DEVICE pack<uint32_t, 4> *more_weights(const P &p, uint32_t round, uint32_t step)
{
    const vg_persistent_tiles &t = p.tiles;
    uint32_t at = round * (t.steps - t.held) + step - t.held;
    at = (at * t.column_warps + p.here.column_warp) * t.depth_warps + p.here.depth_warp;
    return (pack<uint32_t, 4> *)(void *)(p.more + (uint64_t)at * WARP) + p.here.lane;
}

/* Loads the block's weights, rounded to the format. A barrier must follow. */
template <typename W, int FRAGMENTS, typename Source>
VG_DEVICE void load_weights(mma_product<W, FRAGMENTS> *p, const Source &source, bool)
{
    enum { HELD = mma_product<W, FRAGMENTS>::HELD, ONCE = 16 / mma_product<W, FRAGMENTS>::LANE };
    const vg_persistent_tiles &t = p->tiles;
    /* Registers have no index: each step's are looked for. A few at once are on their way. */
    VG_ROLLED
    for (uint32_t first = 0; first < t.held; first += ONCE) {
        mma_weights w[ONCE];
        VG_UNROLL
        for (uint32_t j = 0; j < ONCE; j++)
            w[j] = load_fragments(*p, source, 0, first + j);
        VG_UNROLL
        for (uint32_t j = 0; j < HELD; j++)
            if (j >= first && j < first + ONCE)
                p->weights[j] = w[j % ONCE];
    }
    for (uint32_t round = 0; round < t.rounds; round++)
        for (uint32_t j = t.held; j < t.steps; j++) {
            const mma_weights w = load_fragments(*p, source, round, j);
            pack<uint32_t, 4> *to = more_weights(*p, round, j);
            VG_UNROLL
            for (int i = 0; i < 2; i++)
                to[i * WARP] = pack<uint32_t, 4>{{w.a[i][0], w.a[i][1], w.a[i][2], w.a[i][3]}};
        }
}

template <typename P> VG_DEVICE mma_weights load_more(const P &p, uint32_t round, uint32_t step)
{
    const pack<uint32_t, 4> *from = more_weights(p, round, step);
    mma_weights w;
    VG_UNROLL
    for (int i = 0; i < 2; i++) {
        const pack<uint32_t, 4> read = from[i * WARP];
        VG_UNROLL
        for (int n = 0; n < 4; n++)
            w.a[i][n] = read.v[n];
    }
    return w;
}

template <typename W, int FRAGMENTS> VG_DEVICE uint32_t set_rows(const mma_product<W, FRAGMENTS> &)
{
    return FRAGMENTS * MMA_ROWS;
}
template <typename W, int FRAGMENTS>
VG_DEVICE uint32_t stage_pack(const mma_product<W, FRAGMENTS> &p, uint32_t row, uint32_t pack)
{
    /* Rows of 64 bytes begin in either half by themselves. */
    return p.tiles.chunk * p.tiles.depth_warps > 1 ? pack ^ (row & 1) * 4 : pack;
}

/* One step: the `step`th of its chunk. */
template <typename W, int FRAGMENTS>
VG_DEVICE void multiply_step(const mma_product<W, FRAGMENTS> &p, const W *stage, uint32_t step,
                             const mma_weights &w, typename mma_product<W, FRAGMENTS>::sums &c)
{
    typedef mma_product<W, FRAGMENTS> P;
    uint32_t number = (step * p.tiles.depth_warps + p.here.depth_warp) * 4 + p.quad;
    const W *from =
        stage + ((uint64_t)p.group << p.deep.row_shift) + stage_pack(p, p.group, number) * P::LANE;
    VG_UNROLL
    for (uint32_t n = 0; n < FRAGMENTS; n++) {
        uint32_t words[4];
        mma_load(from + ((uint64_t)(n * MMA_ROWS) << p.deep.row_shift), words);
        mma_step<W, P::SETS>(w, words, c[n]);
    }
}

/* This warp's sums of the set from row `first` of the tile on, to where sum_parts() finds them. */
template <typename W, int FRAGMENTS>
VG_DEVICE void store_parts(const mma_product<W, FRAGMENTS> &p, uint32_t round, uint32_t first,
                           uint32_t rows, const typename mma_product<W, FRAGMENTS>::sums &c)
{
    typedef mma_product<W, FRAGMENTS> P;
    VG_UNROLL
    for (uint32_t n = 0; n < FRAGMENTS; n++) {
        VG_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = first + n * MMA_ROWS + 2 * p.quad + i % 2;
            uint32_t column = first_column(p, round) + p.group + i / 2 * (MMA_COLUMNS / 2);
            if (row < rows)
                p.part[(p.here.depth_warp * p.tiles.tile_rows + row) * p.tiles.stride + column] =
                    P::SETS == 1 ? c[n][0][i] : c[n][0][i] + c[n][P::SETS - 1][i];
        }
    }
}

template <typename W, int FRAGMENTS>
VG_DEVICE void clear(typename mma_product<W, FRAGMENTS>::sums &c)
{
    VG_UNROLL
    for (int n = 0; n < FRAGMENTS; n++) {
        VG_UNROLL
        for (int i = 0; i < 4 * mma_product<W, FRAGMENTS>::SETS; i++)
            c[n][i / 4][i % 4] = 0;
    }
}

template <typename W, int FRAGMENTS>
VG_DEVICE void multiply_chunk(const mma_product<W, FRAGMENTS> &p, const operand<W> &a,
                              const cursor &at, const W *stage,
                              typename mma_product<W, FRAGMENTS>::sums &c)
{
    enum { HELD = mma_product<W, FRAGMENTS>::HELD };
    if (at.step == 0)
        clear<W, FRAGMENTS>(c);
    const uint32_t end = (uint32_t)least(at.step + p.tiles.chunk, p.tiles.steps);
    const uint32_t held = (uint32_t)least(end, p.tiles.held);
    /* Registers have no index: each step asks whether it is meant. Asked by equality, the compiler
     * makes one of the questions, and memory of the registers. */
    VG_UNROLL
    for (uint32_t j = 0; j < HELD; j++)
        if (j >= at.step && j < held)
            multiply_step(p, stage, j - at.step, p.weights[j], c);
    for (uint32_t j = at.step > held ? at.step : held; j < end; j++)
        multiply_step(p, stage, j - at.step, load_more(p, at.round, j), c);
    if (end == p.tiles.steps)
        store_parts(p, at.round, at.row, a.rows, c);
}

template <typename W, int FRAGMENTS>
VG_DEVICE void multiply_tile(const mma_product<W, FRAGMENTS> &p, const operand<W> &a)
{
    multiply_ring(p, a);
}

#endif
