/* What both directions of regimes S and C share: weights held in registers and shared memory, and
 * the product of a step with them (scan_block.h has the picture). */
#ifndef VG_SCAN_BLOCK_CUH
#define VG_SCAN_BLOCK_CUH

#include "rows.cuh"
#include "scan_block.h"
#include "scan_kernels.h"
#include "vf_cuda.cuh"

enum { PIECE = VG_SCAN_BLOCK_PIECE, WEIGHTS = PIECE * PIECE };

/* This thread's part of the product, and the block's shared memory. */
template <typename W> struct block {
    uint32_t slices, slice, group; /* group: outputs [4 group, 4 group + 4) */
    uint32_t pieces, workers;
    bool works;
    uint32_t v_ld;    /* of what the weights are multiplied with, [rows, v_ld]; 0 beyond K */
    uint32_t sums_ld; /* of the outputs, with those that pad them */
    float *v;
    pack<W, 4> *rest; /* [pieces - kept, 4, workers] weights; each thread reads its own alone */
};

VG_DEVICE uint32_t divide_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* All but where its memory stands. */
template <typename W>
VG_DEVICE block<W> block_of(uint32_t outputs, uint32_t products, uint32_t slices, uint32_t kept)
{
    block<W> s;
    s.slices = slices;
    s.slice = thread_index() % slices;
    s.group = thread_index() / slices;
    s.pieces = divide_up(products, PIECE * slices);
    if (s.pieces < kept) /* of zeros */
        s.pieces = kept;
    s.workers = divide_up(divide_up(outputs, PIECE) * slices, WARP) * WARP;
    s.works = thread_index() < s.workers;
    s.v_ld = s.pieces * slices * PIECE;
    s.sums_ld = s.workers / slices * PIECE;
    return s;
}

VG_DEVICE void clear(float *at, uint32_t count)
{
    for (uint32_t i = thread_index(); i < count; i += block_threads())
        at[i] = 0;
}

/* S: lays it out in shared memory and returns its sums, [rows, sums_ld]. */
template <typename W>
VG_DEVICE float *block_carve(block<W> &s, unsigned char *shared, uint32_t rows)
{
    s.v = (float *)(void *)shared;
    float *sums = s.v + rows * s.v_ld;
    s.rest = (pack<W, 4> *)(void *)(sums + rows * s.sums_ld);
    clear(s.v, rows * s.v_ld);
    return sums;
}

/* Elements [first, first + 4) of a row; 0 from `end` on. */
template <typename W>
VG_DEVICE void load_four(const W *row, uint32_t first, uint32_t end, bool aligned, float *to)
{
    if (aligned && first + 4 <= end) {
        load_pack<4>(row + first, to);
        return;
    }
    VG_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        to[i] = first + i < end ? to_float(row[first + i]) : 0.0f;
}

/* The rows of weight_hh that a piece's lines are: `count` of them from `first` on. */
struct lines {
    uint32_t first, count;
};

/* S: a block has all rows. lines_of(): those of PIECE outputs (forward) or products from `index`
 * on. */
struct all_rows {
    uint32_t rows;
};
VG_DEVICE lines lines_of(const all_rows &all, uint32_t index)
{
    return lines{index, index < all.rows ? (uint32_t)least(all.rows - index, PIECE) : 0};
}

/* Piece i of this thread, [output][product]. */
template <bool FORWARD, typename W, typename Rows>
VG_DEVICE void load_piece(const block<W> &s, const vg_window &weight, const Rows &rows, uint32_t i,
                          bool aligned, bool tf32, float *to)
{
    uint32_t output = s.group * PIECE, product = (i * s.slices + s.slice) * PIECE;
    uint32_t col = FORWARD ? product : output;
    lines there = lines_of(rows, FORWARD ? output : product);
    VG_UNROLL
    for (uint32_t line = 0; line < PIECE; line++) {
        float four[4] = {0, 0, 0, 0};
        if (line < there.count)
            load_four((const W *)weight.at + (uint64_t)(there.first + line) * weight.ld, col,
                      weight.cols, aligned, four);
        VG_UNROLL
        for (uint32_t j = 0; j < PIECE; j++)
            to[FORWARD ? line * PIECE + j : j * PIECE + line] =
                tf32 ? round_tf32(four[j]) : four[j];
    }
}

/* All weights of this thread: the first KEPT pieces into registers, the others to shared memory. */
template <bool FORWARD, typename W, typename Rows, int KEPT>
VG_DEVICE void hold_weights(const block<W> &s, const vg_window &weight, const Rows &rows, bool tf32,
                            float (&kept)[KEPT][WEIGHTS])
{
    bool aligned = (uintptr_t)weight.at % sizeof(pack<W, 4>) == 0 && weight.ld % 4 == 0;
    VG_UNROLL
    for (uint32_t i = 0; i < KEPT; i++)
        load_piece<FORWARD>(s, weight, rows, i, aligned, tf32, kept[i]);
    if (!s.works)
        return;
    for (uint32_t i = KEPT; i < s.pieces; i++) {
        float piece[WEIGHTS];
        load_piece<FORWARD>(s, weight, rows, i, aligned, tf32, piece);
        VG_UNROLL
        for (uint32_t o = 0; o < PIECE; o++)
            store_pack<4>(s.rest[((i - KEPT) * PIECE + o) * s.workers + thread_index()].v,
                          piece + o * PIECE);
    }
}

template <typename W, int ROWS>
VG_DEVICE void multiply(const block<W> &s, uint32_t i, const float *piece, float (&sum)[ROWS][4])
{
    VG_UNROLL
    for (int r = 0; r < ROWS; r++) {
        float v[4];
        load_pack<4>(s.v + (uint32_t)r * s.v_ld + (i * s.slices + s.slice) * PIECE, v);
        VG_UNROLL
        for (int k = 0; k < PIECE; k++) {
            VG_UNROLL
            for (int o = 0; o < PIECE; o++)
                sum[r][o] = fmaf(piece[o * PIECE + k], v[k], sum[r][o]);
        }
    }
}

/* Where a thread's sums go: put<n>(to, row, first, sums) gets n of the group's four outputs from
 * `first` on. Here to the block's own shared memory. */
struct to_sums {
    float *at; /* of the group */
    uint32_t ld;
};
template <int n>
VG_DEVICE void put(const to_sums &to, uint32_t row, uint32_t first, const float *sums)
{
    store_pack<n>(to.at + row * to.ld + first, sums);
}

/* Adds the lanes of a group and puts the four outputs: at each of the first two exchanges a lane
 * gives away half of what it has. */
template <typename To>
VG_DEVICE void join(uint32_t slices, uint32_t slice, uint32_t row, const float *sum, const To &to)
{
    if (slices == 1) {
        put<4>(to, row, 0, sum);
        return;
    }
    bool odd = slice & 1, upper = slice & 2;
    float two[2];
    two[0] = (odd ? sum[2] : sum[0]) + shuffle_xor(ALL_LANES, odd ? sum[0] : sum[2], 1u);
    two[1] = (odd ? sum[3] : sum[1]) + shuffle_xor(ALL_LANES, odd ? sum[1] : sum[3], 1u);
    if (slices == 2) {
        put<2>(to, row, odd ? 2 : 0, two);
        return;
    }
    float one = (upper ? two[1] : two[0]) + shuffle_xor(ALL_LANES, upper ? two[0] : two[1], 2u);
    for (uint32_t bit = 4; bit < slices; bit *= 2)
        one += shuffle_xor(ALL_LANES, one, bit);
    if (slice < 4)
        put<1>(to, row, (odd ? 2 : 0) + (upper ? 1 : 0), &one);
}

/* A v for every row; whole warps call it. Rolled: what the next piece's weights would take of
 * registers is spilled, and shared memory is busy as it is. */
template <int ROWS, typename W, int KEPT, typename To>
VG_DEVICE void step_product(const block<W> &s, const float (&kept)[KEPT][WEIGHTS], const To &to)
{
    float sum[ROWS][4];
    VG_UNROLL
    for (int r = 0; r < ROWS; r++) {
        VG_UNROLL
        for (int o = 0; o < 4; o++)
            sum[r][o] = 0;
    }
    VG_UNROLL
    for (uint32_t i = 0; i < KEPT; i++)
        multiply<W, ROWS>(s, i, kept[i], sum);
    const pack<W, 4> *rest = s.rest + thread_index();
    VG_ROLLED
    for (uint32_t i = KEPT; i < s.pieces; i++, rest += PIECE * s.workers) {
        float piece[WEIGHTS];
        VG_UNROLL
        for (uint32_t o = 0; o < PIECE; o++)
            load_pack<4>(rest[o * s.workers].v, piece + o * PIECE);
        multiply<W, ROWS>(s, i, piece, sum);
    }
    VG_UNROLL
    for (int r = 0; r < ROWS; r++)
        join(s.slices, s.slice, (uint32_t)r, sum[r], to);
}

/* The batch row and unit whose cell this thread steps. */
struct cell_place {
    uint32_t row, unit; /* row: of the tile */
    uint32_t b;         /* of the batch */
    bool active;
};

VG_DEVICE cell_place place_of(uint32_t tile, uint32_t rows, uint32_t units, uint32_t batch)
{
    cell_place at;
    at.row = thread_index() / units;
    at.unit = thread_index() - at.row * units;
    at.b = tile * rows + at.row;
    at.active = at.row < rows && at.b < batch;
    return at;
}

/* Rounded as memory holds it. */
template <typename W> VG_DEVICE float stored(float x, W *to)
{
    W w;
    from_float(x, &w);
    *to = w;
    return to_float(w);
}
template <typename W> VG_DEVICE float rounded(float x)
{
    W w;
    return stored(x, &w);
}

VG_DEVICE float operand_of(bool tf32, float state)
{
    return tf32 ? round_tf32(state) : state;
}

#endif
