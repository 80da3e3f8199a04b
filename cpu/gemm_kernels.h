/* What the products need of an instruction set: register tiles, a transposing copy, and two loops
 * that measure the limits. gemm.inc fills one table for every instruction set; it is a member of
 * vg_kernels. */
#ifndef VG_GEMM_KERNELS_H
#define VG_GEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VG_TILE_ROWS = 14,   /* in vectors */
    VG_MATRIX_ROWS = 32, /* where registers hold several rows */
    VG_TILE_VECTORS = 8,
    VG_TILE_LINE = 16 /* floats a cache line */
};

/* What the tiles of a panel share. C[i, j] = Σ_k A[i, k] B[k, j] for `rows` rows and n columns, in
 * fp32, every element by one chain of fused multiply-adds from k = 0 on, whatever the tile's shape.
 * A[i, k] at a[i·a_row + k·a_k]; B[k, j] at b[k·b_k + j]; C[i, j] at c[i·c_row + j].
 * n is at most the tile's vectors times the lanes and less than one vector fewer. Whole vectors of
 * B are read (the lanes beyond n never reach a result); exactly n columns of C are written.
 * accumulate: the sum is added to C. stream (not while accumulating; C and its rows aligned to
 * whole vectors): C goes past the caches; other threads see it after the next barrier. prefetch_a
 * (where a_k = 1): as many rows of A after the tile's are asked for. prefetch_b (where a_k = 1; 0 =
 * none): the lines at that distance in elements from those of B in use are. prefetch_c (where a_row
 * = 1): those of C are, before the sums. bias: added to the sums of every row in the end, as many
 * as there are columns; null: nothing is. ahead (where a_row or a_k = 1; null: nothing): from there
 * on half a tile's B is asked for, for the second level. */
typedef struct vg_tile {
    size_t a_row, a_k, b_k, c_row, k, prefetch_b;
    const float *ahead, *bias;
    uint32_t n;
    bool accumulate, stream, prefetch_a, prefetch_c;
} vg_tile;

/* What differs from tile to tile comes in registers: through memory it would wait for the sums of
 * the tile before. */
typedef void vg_tile_fn(const vg_tile *tile, const float *a, const float *b, float *c);

/* C[i, o] = Σ_k X[i, k] W[o, k], both read along their rows: for few rows of X. A sum's order
 * depends on k alone, and is another than a tile's. X[i, k] at x[i·x_row + k], W[o, k] at w[o·w_row
 * + k], C[i, o] at c[i·c_row + o]. Best where rows is at most vg_gemm_kernels.dot_rows. */
typedef struct vg_dot {
    const float *x, *w;
    float *c;
    size_t x_row, w_row, c_row, rows, outs, k;
} vg_dot;

/* Copies columns into strips of `wide` of them: to[j / wide · strip + i·row + j % wide] = from[i ·
 * from_row + j] for i < k, j < cols. row: whole vectors, wide at least; the floats beyond a strip's
 * columns become anything. */
typedef struct vg_strips {
    float *to;
    const float *from;
    size_t strip, row, from_row, wide, cols, k;
} vg_strips;

/* Steps of two products, the sums kept in memory between calls. One row's over a panel: c[j] =
 * (what it was, where it resumes, else 0) + Σ_{i < k} a[i] b[i·w + j] for whole vectors, w =
 * vectors · lanes. And of a tile of another, `beside_rows` rows high and 2 vectors wide:
 * side_c[r·2·lanes + j] likewise, from side_a[r·side_row + i] and side_b[i·2·lanes + j] for i <
 * side_k. k is at least side_k times the ratio of the two. Each sum is a chain as a tile's is. */
typedef struct vg_beside {
    const float *a, *b, *side_a, *side_b;
    float *c, *side_c;
    size_t k, side_k, side_row;
    bool resumes, side_resumes;
} vg_beside;

typedef struct vg_gemm_kernels {
    uint32_t lanes;
    uint32_t max_rows[VG_TILE_VECTORS + 1]; /* of a tile so many vectors wide; 0: no such width */
    vg_tile_fn *tile[VG_TILE_VECTORS + 1][VG_MATRIX_ROWS + 1]; /* by vectors and rows, from 1 */
    uint32_t row_bits; /* tiles are best a multiple of 2^row_bits rows high */
    void (*dot)(const vg_dot *dot);
    uint32_t dot_rows; /* up to so many rows `dot` beats a tile; 0: never */
    /* By the row's vectors; ratio: of its steps to the other tile's. 0: the tile alone, of a row of
     * no steps. Null: no such kernel. */
    struct {
        void (*run)(const vg_beside *beside);
        uint32_t ratio;
    } beside[VG_TILE_VECTORS + 1];
    uint32_t beside_rows; /* of the other tile; 0: no kernel at all */
    /* to[j·to_row + i] = from[i·from_row + j] for i < rows, j < cols; nothing else is touched. */
    void (*transpose)(float *to, size_t to_row, const float *from, size_t from_row, size_t rows,
                      size_t cols);
    void (*strips)(const vg_strips *strips);
    /* `rounds` rounds of independent fused multiply-adds in registers; returns the FLOP done. */
    double (*fma_burst)(uint64_t rounds, float *sink);
    /* Reads n floats, a multiple of 256, once. */
    void (*read_burst)(const float *from, size_t n, float *sink);
} vg_gemm_kernels;

#endif
