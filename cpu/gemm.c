/* Blocking and packing around the register tiles. */
#include "gemm.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts(size_t count, size_t most)
{
    return (count + most - 1) / most;
}

/* So many rows of a panel `vectors` wide, in tiles as even as can be, the higher ones first, and
 * all but the last a multiple of 2^row_bits. */
static void panel_rows(const vg_gemm_kernels *kernels, const vg_tile *tile, uint32_t vectors,
                       const float *a, const float *b, float *c, size_t rows)
{
    size_t tiles = parts(rows, kernels->max_rows[vectors]);
    if (tiles == 0)
        return;
    uint32_t bits = kernels->row_bits;
    size_t units = (rows + ((size_t)1 << bits) - 1) >> bits;
    size_t low = units / tiles, higher = units % tiles;
    for (size_t i = 0; i < tiles; i++) {
        size_t n = least((low + (i < higher)) << bits, rows);
        kernels->tile[vectors][n](tile, a, b, c);
        a += n * tile->a_row;
        c += n * tile->c_row;
        rows -= n;
    }
}

/* The widest tile that is not wider than so many vectors. */
static uint32_t width_at_most(const vg_gemm_kernels *kernels, uint32_t vectors)
{
    while (kernels->max_rows[vectors] == 0)
        vectors--;
    return vectors;
}

/* Columns [col, col + n) of block [k0, k0 + k) for rows [first, last). */
static void panel(const vg_gemm_kernels *kernels, const vg_product *p, size_t index, size_t k0,
                  size_t k, size_t first, size_t last)
{
    size_t width = (size_t)p->vectors * kernels->lanes, col = index * width;
    size_t left = least(width, p->n - col);
    const float *b = p->b + index * p->b_panel + k0 * p->b_k;
    while (left > 0) {
        uint32_t vectors = width_at_most(kernels, (uint32_t)parts(left, kernels->lanes));
        uint32_t n = (uint32_t)least(left, (size_t)vectors * kernels->lanes);
        vg_tile tile = {.a_row = p->a_row,
                        .a_k = p->a_k,
                        .b_k = p->b_k,
                        .c_row = p->c_row,
                        .k = k,
                        .prefetch_a = p->prefetch_a,
                        .prefetch_b = p->prefetch_b,
                        .n = n,
                        .accumulate = p->accumulate || k0 > 0,
                        .stream = p->stream && k == p->k};
        panel_rows(kernels, &tile, vectors, p->a + first * p->a_row + k0 * p->a_k, b,
                   p->c + first * p->c_row + col, last - first);
        b += n;
        col += n;
        left -= n;
    }
}

void vg_product_run(const vg_gemm_kernels *kernels, const vg_product *p)
{
    size_t width = (size_t)p->vectors * kernels->lanes;
    size_t panels = parts(p->n, width), row_blocks = parts(p->m, p->block);
    size_t k_blocks = p->k ? parts(p->k, p->k_block ? p->k_block : VG_K_BLOCK) : 1;
    for (size_t r = 0; r < row_blocks; r++) {
        size_t first = p->m * r / row_blocks, last = p->m * (r + 1) / row_blocks;
        for (size_t q = 0; q < k_blocks; q++) {
            size_t k0 = p->k * q / k_blocks, k1 = p->k * (q + 1) / k_blocks;
            for (size_t j = 0; j < panels; j++)
                panel(kernels, p, j, k0, k1 - k0, first, last);
        }
        if (p->done)
            p->done(p->context, first, last - first);
    }
}

uint32_t vg_product_vectors(const vg_gemm_kernels *kernels, size_t m)
{
    for (uint32_t vectors = VG_TILE_VECTORS; vectors > 2; vectors--)
        if (m <= kernels->max_rows[vectors])
            return vectors;
    return 2;
}

size_t vg_product_block(const vg_gemm_kernels *kernels, uint32_t vectors, size_t m, size_t n,
                        size_t k, size_t cache_bytes)
{
    size_t k_block = k < VG_K_BLOCK ? k + 1 : VG_K_BLOCK;
    size_t row_bytes = k_block * sizeof(float), tile = kernels->max_rows[vectors];
    size_t fits = cache_bytes / 8 / row_bytes;
    if (m <= fits)
        return m ? m : 1;
    if (n <= fits)
        return tile;
    return fits > tile ? fits / tile * tile : tile;
}

size_t vg_pack_size(const vg_gemm_kernels *kernels, uint32_t vectors, size_t k, size_t n)
{
    size_t width = (size_t)vectors * kernels->lanes;
    return parts(n, width) * width * k;
}

void vg_pack(const vg_gemm_kernels *kernels, uint32_t vectors, float *to, const float *from,
             size_t row, bool transposed, size_t k, size_t k_first, size_t k_count, size_t first,
             size_t count)
{
    size_t width = (size_t)vectors * kernels->lanes;
    for (size_t j = first; j < first + count; j += width) {
        size_t n = least(width, first + count - j);
        float *rows = to + j * k + k_first * width;
        if (n < width)
            memset(rows, 0, width * k_count * sizeof *to);
        if (transposed)
            kernels->transpose(rows, width, from + j * row + k_first, row, n, k_count);
        else
            for (size_t i = 0; i < k_count; i++)
                memcpy(rows + i * width, from + (k_first + i) * row + j, n * sizeof *to);
    }
}
