/* Products of one thread, over register tiles, blocked for the caches. The bits of an element
 * depend on K alone: blocks of K are summed apart and added in order, and within a block there is
 * one chain of multiply-adds. How rows and columns are shared out changes nothing. */
#ifndef VG_GEMM_H
#define VG_GEMM_H

#include "gemm_kernels.h"
#include "sizes.h"

/* Longest block of K. */
enum { VG_K_BLOCK = 512 };

typedef void vg_product_done_fn(void *context, size_t row, size_t rows, size_t col, size_t cols);

/* C [m, n] = A B (+ C where `accumulate`). A[i, k] at a[i·a_row + k·a_k]; C[i, j] at c[i·c_row +
 * j]; B[k, j] stands in panels of `vectors` vectors: at b[p·b_panel + k·b_k + j - p·w] with w =
 * vectors · lanes, p = j / w. Not packed: b_panel = w, b_k the row length. Whole vectors of B are
 * read. block: rows that stay in cache while all columns pass (vg_product_block). k_block: the
 * longest block of K, 0 for VG_K_BLOCK. `done` is called after every window of C is final; may be
 * null. bias [n]: added to every row once it is summed; null: nothing is. prefetch_a, prefetch_b:
 * see vg_tile. stream: C is written past the caches, where one block of K is all there is
 * (gemm_kernels.h). strips: where blocks of A are copied to, in the order of their use
 * (vg_product_strips floats, 64-aligned), for an A that stays in no near cache; null: A is read
 * where it lies, else one of a_row, a_k is 1. ahead: the panel at that distance in floats from the
 * last is asked for, and every panel's successor; 0: none is. also: a product of the same blocks
 * of A with a B, a C and what concerns them of its own, done while these are at hand; null: none.
 */
typedef struct vg_product {
    const float *a, *b, *bias;
    float *c, *strips;
    size_t a_row, a_k, b_k, b_panel, c_row, m, n, k, block, k_block, prefetch_b;
    ptrdiff_t ahead;
    uint32_t vectors;
    bool accumulate, stream, prefetch_a;
    vg_product_done_fn *done;
    void *context;
    const struct vg_product *also;
} vg_product;

void vg_product_run(const vg_gemm_kernels *kernels, const vg_product *product);

/* The width of a panel, in vectors, for tiles of m rows. */
uint32_t vg_product_vectors(const vg_gemm_kernels *kernels, size_t m);

/* The block of rows for a product of these sizes and a second-level cache of so many bytes. */
size_t vg_product_block(const vg_gemm_kernels *kernels, uint32_t vectors, size_t m, size_t n,
                        size_t k, size_t cache_bytes);

/* The same of a product with strips, and the floats that these take. */
size_t vg_product_strips_block(const vg_gemm_kernels *kernels, uint32_t vectors,
                               size_t cache_bytes);
size_t vg_product_strips(const vg_gemm_kernels *kernels, uint32_t vectors, size_t cache_bytes);

/* `ahead` of a product that passes B again for every block of rows: its first panel after the last.
 */
static inline ptrdiff_t vg_product_round(const vg_product *p, uint32_t lanes)
{
    size_t width = (size_t)p->vectors * lanes, panels = vg_parts(p->n, width);
    return panels > 1 ? -(ptrdiff_t)((panels - 1) * p->b_panel) : 0;
}

/* Floats that the packed form of a B [k, n] takes. */
size_t vg_pack_size(const vg_gemm_kernels *kernels, uint32_t vectors, size_t k, size_t n);

/* Packs rows [k_first, + k_count) of columns [first, + count) of B [k, ·] into panels, each [k][w],
 * zeros beyond the last column; `first` is a multiple of w, and `to` is where panel 0 begins.
 * B[k, j] at from[k·row + j], or `transposed` at from[j·row + k]. */
void vg_pack(const vg_gemm_kernels *kernels, uint32_t vectors, float *to, const float *from,
             size_t row, bool transposed, size_t k, size_t k_first, size_t k_count, size_t first,
             size_t count);

#endif
