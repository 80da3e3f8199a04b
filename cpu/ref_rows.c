/* The oracle's matrix product: many rows at once, so that a large weight is read once for all of
 * them, and shared out among threads, since whole nets are computed in double to be compared with.
 * Every element is summed in one order, however the work is cut. */
#include "ref_machine.h"
#include "sizes.h"

#include <string.h>

/* A tile of b, K_BLOCK rows of TILE numbers, stays in the second-level cache. */
enum { TILE = 128, ROW_BLOCK = 32, K_BLOCK = 128, SERIAL_WORK = 1 << 11 };

/* Baseline machine code has two lanes of double; the processor may have more. Sums are cut along
 * lanes only, and nothing is contracted: the bits are the same. Not under sanitizers, which must
 * not meet a function before they have started. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) &&                  \
    !defined(__SANITIZE_THREAD__)
#define EVERY_WIDTH __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EVERY_WIDTH
#endif

/* Two rows of out and four of b at a time: six loads and two stores for sixteen operations. */
EVERY_WIDTH static void tile_product_2(double *restrict out, double *restrict other, uint64_t n,
                                       const double *a, const double *c, uint64_t a_k,
                                       const double *b, uint64_t ld, uint64_t length)
{
    uint64_t k = 0;
    for (; k + 4 <= length; k += 4) {
        const double a0 = a[k * a_k], a1 = a[(k + 1) * a_k];
        const double a2 = a[(k + 2) * a_k], a3 = a[(k + 3) * a_k];
        const double c0 = c[k * a_k], c1 = c[(k + 1) * a_k];
        const double c2 = c[(k + 2) * a_k], c3 = c[(k + 3) * a_k];
        const double *b0 = b + k * ld, *b1 = b0 + ld, *b2 = b1 + ld, *b3 = b2 + ld;
        for (uint64_t j = 0; j < n; j++) {
            out[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j]);
            other[j] += (c0 * b0[j] + c1 * b1[j]) + (c2 * b2[j] + c3 * b3[j]);
        }
    }
    for (; k < length; k++)
        for (uint64_t j = 0; j < n; j++) {
            out[j] += a[k * a_k] * b[k * ld + j];
            other[j] += c[k * a_k] * b[k * ld + j];
        }
}

static void block_product(const vg_ref_rows *p, uint64_t row, uint64_t rows, uint64_t col,
                          uint64_t cols)
{
    double none[TILE]; /* where the other of a last, single row goes */
    for (uint64_t k = 0; k < p->length; k += K_BLOCK)
        for (uint64_t r = row; r < row + rows; r += 2) {
            const bool two = r + 1 < row + rows;
            const double *a = p->a + r * p->a_row + k * p->a_k;
            double *out = p->out + r * p->out_ld + col;
            if (!two)
                memset(none, 0, sizeof none);
            tile_product_2(out, two ? out + p->out_ld : none, cols, a, two ? a + p->a_row : a,
                           p->a_k, p->b.data + k * p->b.ld + col, p->b.ld,
                           vg_least(K_BLOCK, p->length - k));
        }
}

static void share(void *context, uint32_t thread, uint32_t threads)
{
    const vg_ref_rows *p = context;
    const uint64_t tiles = vg_parts(p->n, TILE), blocks = vg_parts(p->rows, ROW_BLOCK);
    uint64_t first, last;
    vg_pool_share(tiles * blocks, thread, threads, &first, &last);
    for (uint64_t i = first; i < last; i++) {
        const uint64_t row = i / tiles * ROW_BLOCK, col = i % tiles * TILE;
        block_product(p, row, vg_least(ROW_BLOCK, p->rows - row), col, vg_least(TILE, p->n - col));
    }
}

void vg_ref_share(const vg_ref_machine *machine, uint64_t work, vg_pool_fn *run, void *context)
{
    if (machine->pool && work >= SERIAL_WORK)
        vg_pool_run(machine->pool, run, context);
    else
        run(context, 0, 1);
}

void vg_ref_product_rows(const vg_ref_machine *machine, vg_ref_rows product)
{
    vg_ref_share(machine, product.rows * product.n * product.length / 32, share, &product);
}
