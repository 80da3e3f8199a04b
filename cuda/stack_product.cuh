/* The product of a layer in a block: its rows [rows, W] times its slice of the weights, a warp
 * eight columns and a part of the depth. A lane has four neighbours of every piece of the depth and
 * all columns of its warp: rows come to its registers straight from the second level, each number
 * read by one lane for the warp's eight columns, a piece ahead of its use; weights come from shared
 * memory, where they have been put while other things were waited for.
 *
 * What another number format or tensor cores do differently is here: how a slice stands in shared
 * memory (ask_slice, take_weights) and how it is multiplied (multiply_slice). The sums end up in
 * `part`, [depth_warps][rows][stride].
 *
 * A sum's order: lanes' depths one after the other, then halves over the lanes, then the warps
 * along the depth. It depends on the plan alone, which follows from the shape and the chip. */
#ifndef VG_STACK_PRODUCT_CUH
#define VG_STACK_PRODUCT_CUH

#include "scan_persistent_fma.cuh"
#include "stack_kernels.h"

enum { WIDTH = VG_STACK_WIDTH, PIECE = VG_STACK_PIECE, PIECE_FLOATS = PIECE * WIDTH };

/* Where the weights of eight columns and one piece of the depth stand. Forward, where a column's
 * depth runs along a row of the matrix: [column][lane][4 of the depth]; backward, where columns do:
 * [4 of the depth][half of the columns][lane][4 columns]. Either way neighbouring lanes read and
 * write neighbouring 16 bytes. */
VG_DEVICE float *piece_at(const vg_persistent_tiles &t, float *stage, uint32_t column_warp,
                          uint32_t piece)
{
    return stage + ((uint64_t)column_warp * t.steps * t.depth_warps + piece) * PIECE_FLOATS;
}

/* Whether 16 bytes of every row can be touched at once. */
VG_DEVICE bool in_packs(const float *at, uint32_t ld)
{
    return (((uintptr_t)at | (uint64_t)ld * sizeof(float)) & 15) == 0;
}

/* Asks for four numbers; what is not whole is copied at once, with zeros beyond `count`. */
VG_DEVICE void ask_pack(float *to, const float *from, uint32_t count, bool whole)
{
    if (whole && count == 4) {
        copy_async(to, from);
        return;
    }
    VG_UNROLL
    for (uint32_t n = 0; n < 4; n++)
        to[n] = n < count ? from[n] : 0.0f;
}

/* The block asks for its slice of a layer; every thread commits. Columns that the block has not
 * stay as they are: nobody looks at their sums. */
template <bool backward>
VG_DEVICE void ask_slice(const vg_stack_args &p, const station &here, const float *weight,
                         float *stage)
{
    const vg_persistent_tiles &t = p.tiles;
    const uint32_t pieces = t.steps * t.depth_warps, lane = here.lane;
    const uint32_t warps = block_threads() / WARP;
    const bool whole = in_packs(weight, p.weight_ld);
    if constexpr (!backward) {
        for (uint32_t i = warp_index(); i < here.units * pieces; i += warps) {
            const uint32_t column = i / pieces, piece = i % pieces;
            const uint32_t k = piece * PIECE + lane * DEEP;
            float *to = piece_at(t, stage, column / WIDTH, piece);
            ask_pack(to + column % WIDTH * PIECE + lane * DEEP,
                     weight + (uint64_t)(here.unit + column) * p.weight_ld + k,
                     count_from(k, p.units, DEEP), whole);
        }
    } else {
        /* Two lanes to a sector of 32 bytes; eight times for a piece. */
        const uint32_t half = lane % 2, parts = 2 * DEEP;
        const uint32_t all = (here.units + WIDTH - 1) / WIDTH * pieces * parts;
        for (uint32_t i = warp_index(); i < all; i += warps) {
            const uint32_t part = i % parts, piece = i / parts % pieces, warp = i / parts / pieces;
            const uint32_t of_lane = lane / 2 + WARP / 2 * (part % 2), d = part / 2;
            const uint32_t k = piece * PIECE + of_lane * DEEP + d;
            const uint32_t column = warp * WIDTH + half * 4;
            float *to = piece_at(t, stage, warp, piece);
            ask_pack(to + ((d * 2 + half) * WARP + of_lane) * 4,
                     weight + (uint64_t)k * p.weight_ld + here.unit + column,
                     k < p.units ? count_from(column, here.units, 4) : 0, whole);
        }
    }
}

/* This lane's weights of a piece. */
template <bool backward>
VG_DEVICE void take_weights(const float *piece, uint32_t lane, float (*w)[DEEP])
{
    if constexpr (!backward) {
        VG_UNROLL
        for (int c = 0; c < WIDTH; c++)
            load_pack<DEEP>(piece + c * PIECE + lane * DEEP, w[c]);
    } else {
        VG_UNROLL
        for (int d = 0; d < DEEP; d++) {
            float columns[WIDTH];
            VG_UNROLL
            for (int half = 0; half < 2; half++)
                load_pack<4>(piece + ((d * 2 + half) * WARP + lane) * 4, columns + half * 4);
            VG_UNROLL
            for (int c = 0; c < WIDTH; c++)
                w[c][d] = columns[c];
        }
    }
}

/* ROWS rows from `row` on; zeros beyond the last and beyond the depth. */
template <int ROWS>
VG_DEVICE void load_rows(const operand<float> &a, uint32_t row, uint32_t depth, float (*v)[DEEP])
{
    const uint32_t count = count_from(depth, a.depth, DEEP);
    VG_UNROLL
    for (uint32_t r = 0; r < ROWS; r++)
        load_some<DEEP>(a.at + (uint64_t)(row + r) * a.ld + depth, row + r < a.rows ? count : 0,
                        a.whole, v[r]);
}

/* This warp's sums of ROWS rows. */
template <bool backward, int ROWS>
VG_DEVICE void multiply_rows(const vg_persistent_tiles &t, const station &here,
                             const operand<float> &a, uint32_t row, float *stage,
                             float (*sums)[WIDTH])
{
    float v[ROWS][DEEP], ahead[ROWS][DEEP], w[WIDTH][DEEP];
    uint32_t piece = here.depth_warp;
    clear<ROWS, WIDTH>(sums);
    load_rows<ROWS>(a, row, piece * PIECE + here.lane * DEEP, ahead);
    VG_ROLLED
    for (uint32_t step = 0; step < t.steps; step++) {
        VG_UNROLL
        for (int i = 0; i < ROWS * DEEP; i++)
            v[i / DEEP][i % DEEP] = ahead[i / DEEP][i % DEEP];
        take_weights<backward>(piece_at(t, stage, here.column_warp, piece), here.lane, w);
        piece += t.depth_warps;
        if (step + 1 < t.steps)
            load_rows<ROWS>(a, row, piece * PIECE + here.lane * DEEP, ahead);
        multiply<ROWS, WIDTH>(v, w, sums);
    }
}

/* All rows of the block by its weights in `stage`; a barrier must follow. */
template <bool backward, int ROWS>
VG_DEVICE void multiply_slice(const vg_persistent_tiles &t, const station &here,
                              const operand<float> &a, float *stage, float *part)
{
    enum { SUMS = ROWS * WIDTH, EACH = SUMS > WARP ? SUMS / WARP : 1 };
    const uint32_t first = sum_of_lane<SUMS>(here.lane);
    float *to = part + (uint64_t)here.depth_warp * t.rows * t.stride + here.column_warp * WIDTH;
    for (uint32_t row = ROWS * here.row_warp; row < a.rows; row += ROWS * t.row_warps) {
        float sums[ROWS][WIDTH];
        multiply_rows<backward, ROWS>(t, here, a, row, stage, sums);
        sum_lanes<SUMS>(sums[0], here.lane);
        VG_UNROLL
        for (uint32_t i = 0; i < EACH; i++) {
            const uint32_t at = row + (first + i) / WIDTH;
            if (first < SUMS && at < a.rows)
                to[at * t.stride + (first + i) % WIDTH] = sums[0][i];
        }
    }
}

/* The product's element [row of the block, column]; a barrier stands between. */
VG_DEVICE float sum_slice(const vg_persistent_tiles &t, const float *part, uint32_t row,
                          uint32_t column)
{
    const float *at = part + row * t.stride + column;
    float sum = *at;
    for (uint32_t d = 1; d < t.depth_warps; d++)
        sum = sum + at[d * t.rows * t.stride];
    return sum;
}

#endif
