/* Blocking and packing around the register tiles. */
#include "gemm.h"
#include "sizes.h"

#include <string.h>

/* A block of a product: rows [row, + rows), steps [k0, + k) of K. Its A is where the tiles read it,
 * tiles at most `high` rows high, `a_tile` floats from a full one to the next. */
typedef struct block {
    const vg_product *p;
    size_t row, rows, k0, k, high, a_row, a_k, a_tile;
    const float *a;
    bool last; /* of K */
} block;

/* Floats a step in a strip of A. */
static size_t strip_row(const vg_gemm_kernels *kernels, uint32_t vectors)
{
    return vg_round_up(kernels->max_rows[vectors], kernels->lanes);
}

static void strips_make(const vg_gemm_kernels *kernels, block *b)
{
    const vg_product *p = b->p;
    size_t row = strip_row(kernels, p->vectors);
    const float *from = p->a + b->row * p->a_row + b->k0 * p->a_k;
    b->high = vg_parts(b->rows, vg_parts(b->rows, b->high));
    if (p->a_k == 1)
        for (size_t i = 0; i < b->rows; i += b->high)
            kernels->transpose(p->strips + i / b->high * b->k * row, row, from + i * p->a_row,
                               p->a_row, vg_least(row, p->m - b->row - i), b->k);
    else
        kernels->strips(&(vg_strips){.to = p->strips,
                                     .from = from,
                                     .strip = b->k * row,
                                     .row = row,
                                     .from_row = p->a_k,
                                     .wide = b->high,
                                     .cols = b->rows,
                                     .k = b->k});
    b->a = p->strips;
    b->a_row = 1;
    b->a_k = row;
    b->a_tile = b->k * row;
}

static block block_make(const vg_gemm_kernels *kernels, const vg_product *p, size_t row,
                        size_t row_end, size_t k0, size_t k1)
{
    block b = {.p = p,
               .row = row,
               .rows = row_end - row,
               .k0 = k0,
               .k = k1 - k0,
               .high = kernels->max_rows[p->vectors],
               .a_row = p->a_row,
               .a_k = p->a_k,
               .a = p->a + row * p->a_row + k0 * p->a_k,
               .last = k1 == p->k};
    if (p->strips && b.rows > 0)
        strips_make(kernels, &b);
    return b;
}

/* All rows of a panel `vectors` wide, in tiles as even as can be, the higher ones first, and all
 * but the last a multiple of 2^row_bits. The last two tiles ask for what is `ahead`. */
static void panel_rows(const vg_gemm_kernels *kernels, const block *b, vg_tile *tile,
                       uint32_t vectors, const float *columns, float *c, const float *ahead)
{
    const float *a = b->a;
    size_t most = b->a_tile ? b->high : kernels->max_rows[vectors], tiles = vg_parts(b->rows, most);
    if (tiles == 0)
        return;
    uint32_t bits = kernels->row_bits;
    size_t units = (b->rows + ((size_t)1 << bits) - 1) >> bits, left = b->rows;
    size_t low = units / tiles, higher = units % tiles;
    size_t asked = b->k / 4 * 4 * ((vectors + 1) / 2) * kernels->lanes;
    for (size_t i = 0; i < tiles; i++) {
        size_t n = vg_least(b->a_tile ? b->high : (low + (i < higher)) << bits, left);
        tile->ahead = ahead && i + 2 >= tiles ? ahead + (i + 1 == tiles) * asked : NULL;
        kernels->tile[vectors][n](tile, a, columns, c);
        a += b->a_tile ? b->a_tile : n * tile->a_row;
        c += n * tile->c_row;
        left -= n;
    }
}

/* The widest tile that is not wider than so many vectors. */
static uint32_t width_at_most(const vg_gemm_kernels *kernels, uint32_t vectors)
{
    while (kernels->max_rows[vectors] == 0)
        vectors--;
    return vectors;
}

static void panel(const vg_gemm_kernels *kernels, const block *b, size_t index, ptrdiff_t ahead)
{
    const vg_product *p = b->p;
    size_t width = (size_t)p->vectors * kernels->lanes, first = index * width, col = first;
    size_t left = vg_least(width, p->n - col);
    const float *columns = p->b + index * p->b_panel + b->k0 * p->b_k;
    while (left > 0) {
        uint32_t vectors = width_at_most(kernels, (uint32_t)vg_parts(left, kernels->lanes));
        uint32_t n = (uint32_t)vg_least(left, (size_t)vectors * kernels->lanes);
        vg_tile tile = {.a_row = b->a_row,
                        .a_k = b->a_k,
                        .b_k = p->b_k,
                        .c_row = p->c_row,
                        .k = b->k,
                        .prefetch_a = p->prefetch_a,
                        .prefetch_b = p->prefetch_b,
                        .prefetch_c = p->strips,
                        .n = n,
                        .bias = p->bias && b->last ? p->bias + col : NULL,
                        .accumulate = p->accumulate || b->k0 > 0,
                        .stream = p->stream && b->k == p->k};
        panel_rows(kernels, b, &tile, vectors, columns, p->c + b->row * p->c_row + col,
                   ahead ? columns + ahead : NULL);
        columns += n;
        col += n;
        left -= n;
    }
    if (p->done && b->last)
        p->done(p->context, b->row, b->rows, first, col - first);
}

static void panels(const vg_gemm_kernels *kernels, const block *b)
{
    const vg_product *p = b->p;
    size_t count = vg_parts(p->n, (size_t)p->vectors * kernels->lanes);
    for (size_t j = 0; j < count; j++)
        panel(kernels, b, j, j + 1 < count && p->ahead ? (ptrdiff_t)p->b_panel : p->ahead);
}

void vg_product_run(const vg_gemm_kernels *kernels, const vg_product *p)
{
    size_t row_blocks = vg_parts(p->m, p->block);
    size_t k_blocks = p->k ? vg_parts(p->k, p->k_block ? p->k_block : VG_K_BLOCK) : 1;
    for (size_t r = 0; r < row_blocks; r++)
        for (size_t q = 0; q < k_blocks; q++) {
            block b = block_make(kernels, p, p->m * r / row_blocks, p->m * (r + 1) / row_blocks,
                                 p->k * q / k_blocks, p->k * (q + 1) / k_blocks);
            for (b.p = p; b.p; b.p = b.p->also)
                panels(kernels, &b);
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

size_t vg_product_strips_block(const vg_gemm_kernels *kernels, uint32_t vectors, size_t cache_bytes)
{
    size_t strip = strip_row(kernels, vectors) * VG_K_BLOCK * sizeof(float);
    size_t strips = cache_bytes * 3 / 8 / strip;
    return (strips ? strips : 1) * kernels->max_rows[vectors];
}

size_t vg_product_strips(const vg_gemm_kernels *kernels, uint32_t vectors, size_t cache_bytes)
{
    return vg_product_strips_block(kernels, vectors, cache_bytes) / kernels->max_rows[vectors] *
           strip_row(kernels, vectors) * VG_K_BLOCK;
}

size_t vg_pack_size(const vg_gemm_kernels *kernels, uint32_t vectors, size_t k, size_t n)
{
    size_t width = (size_t)vectors * kernels->lanes;
    return vg_parts(n, width) * width * k;
}

void vg_pack(const vg_gemm_kernels *kernels, uint32_t vectors, float *to, const float *from,
             size_t row, bool transposed, size_t k, size_t k_first, size_t k_count, size_t first,
             size_t count)
{
    size_t width = (size_t)vectors * kernels->lanes;
    for (size_t j = first; j < first + count; j += width) {
        size_t n = vg_least(width, first + count - j);
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
