/* Every instruction set's tiles, packing and blocking against sums in double: all layouts, odd
 * sizes, outputs surrounded by values that must not change. */
#include "gemm.h"
#include "isa_tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(VG_EMULATED)
enum { SIZES = 4, RED = 17 };
static const size_t sizes[SIZES] = {1, 3, 17, 65};
#else
enum { SIZES = 6, RED = 17 };
static const size_t sizes[SIZES] = {1, 3, 17, 33, 255, 257};
#endif
static const float poison = 12345.0f;

typedef enum layout { NN, NT, TN, NT_PACKED, NN_PACKED, NN_STRIPS, TN_STRIPS, LAYOUTS } layout;
static const char *const layout_names[LAYOUTS] = {
    "NN", "NT by columns", "TN", "NT packed", "NN packed", "NN packed, A too", "TN, A packed"};

static float value(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(*state >> 40) / (float)(1 << 23) - 1.0f;
}

/* Memory with NaN in it, so that nothing unwritten goes unseen. */
static float *floats(size_t n)
{
    float *p = malloc((n + 64) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n + 64; i++)
        p[i] = NAN;
    return p;
}

typedef struct operands {
    float *a, *b, *c, *packed, *strips;
    size_t a_row, b_row, c_row, m, n;
    size_t finished; /* elements of C that were said to be final */
} operands;

/* A final window holds no poison, and is inside C. */
static void finished(void *context, size_t row, size_t rows, size_t col, size_t cols)
{
    operands *o = context;
    assert_true(row + rows <= o->m && col + cols <= o->n);
    for (size_t i = row; i < row + rows; i++)
        for (size_t j = col; j < col + cols; j++)
            assert_true(o->c[i * o->c_row + j] != poison);
    o->finished += rows * cols;
}

static void run(const vg_gemm_kernels *kernels, layout l, size_t m, size_t n, size_t k,
                bool accumulate, operands *o)
{
    vg_product p = {.a = o->a,
                    .a_row = o->a_row,
                    .a_k = 1,
                    .b = o->b,
                    .b_k = o->b_row,
                    .c = o->c,
                    .c_row = o->c_row,
                    .m = m,
                    .n = n,
                    .k = k,
                    .accumulate = accumulate,
                    .done = finished,
                    .context = o};
    p.vectors = vg_product_vectors(kernels, m);
    size_t width = (size_t)p.vectors * kernels->lanes;
    p.b_panel = width;
    p.prefetch_a = l == NT;
    p.prefetch_b = l == NN;
    if (l == TN || l == TN_STRIPS) {
        p.a_row = 1;
        p.a_k = o->a_row;
    }
    if (l == NT_PACKED || l == NN_PACKED ||
        l == NN_STRIPS) { /* in two calls, as two threads would */
        size_t half = n / 2 / width * width;
        vg_pack(kernels, p.vectors, o->packed, o->b, o->b_row, l == NT_PACKED, k, 0, k, 0, half);
        vg_pack(kernels, p.vectors, o->packed, o->b, o->b_row, l == NT_PACKED, k, 0, k / 2, half,
                n - half);
        vg_pack(kernels, p.vectors, o->packed, o->b, o->b_row, l == NT_PACKED, k, k / 2, k - k / 2,
                half, n - half);
        p.b = o->packed;
        p.b_k = width;
        p.b_panel = width * k;
    }
    if (l == NT) { /* B itself is B transposed into a scratch */
        size_t row = (n + 63) / 64 * 64;
        kernels->transpose(o->packed, row, o->b, o->b_row, n, k);
        p.b = o->packed;
        p.b_k = row;
    }
    p.block = vg_product_block(kernels, p.vectors, m, n, k, 65536);
    if (l == NN_STRIPS || l == TN_STRIPS) {
        size_t cache = n % 4 == 1 ? 65536 : 1 << 20; /* a strip a block, and several */
        p.block = vg_product_strips_block(kernels, p.vectors, cache);
        p.strips = o->strips = floats(vg_product_strips(kernels, p.vectors, cache));
    }
    p.ahead = l == NN_PACKED || l == NN_STRIPS ? vg_product_round(&p, kernels->lanes) : 0;
    vg_product_run(kernels, &p);
    assert_int_equal(o->finished, m * n);
}

static void check(const vg_gemm_kernels *kernels, const char *isa, layout l, size_t m, size_t n,
                  size_t k, bool accumulate)
{
    bool b_transposed = l == NT || l == NT_PACKED, a_transposed = l == TN || l == TN_STRIPS;
    size_t a_rows = a_transposed ? k : m, b_rows = b_transposed ? n : k;
    operands o = {.a_row = (a_transposed ? m : k) + 5,
                  .b_row = (b_transposed ? k : n) + 3,
                  .c_row = n + RED,
                  .m = m,
                  .n = n};
    o.a = floats(a_rows * o.a_row);
    o.b = floats(b_rows * o.b_row + 64);
    o.c = floats((m + 1) * o.c_row);
    o.packed = floats((n + 128) * (k + 1));
    uint64_t state = m * 1000003 + n * 1009 + k;
    for (size_t i = 0; i < a_rows; i++)
        for (size_t j = 0; j + 5 < o.a_row; j++)
            o.a[i * o.a_row + j] = value(&state);
    for (size_t i = 0; i < b_rows; i++)
        for (size_t j = 0; j + 3 < o.b_row; j++)
            o.b[i * o.b_row + j] = value(&state);
    for (size_t i = 0; i < (m + 1) * o.c_row; i++)
        o.c[i] = accumulate && i / o.c_row < m && i % o.c_row < n ? 0.5f : poison;
    run(kernels, l, m, n, k, accumulate, &o);
    for (size_t i = 0; i <= m; i++)
        for (size_t j = 0; j < o.c_row; j++) {
            double got = o.c[i * o.c_row + j], want = accumulate ? 0.5 : 0, size = want;
            for (size_t s = 0; s < k && i < m && j < n; s++) {
                double a = o.a[a_transposed ? s * o.a_row + i : i * o.a_row + s];
                double b = o.b[b_transposed ? j * o.b_row + s : s * o.b_row + j];
                want += a * b;
                size += fabs(a * b);
            }
            double tolerance = 4 * ldexp(1, -23) * (1 + ceil(log2((double)k))) * size;
            if (i == m || j >= n) {
                want = poison;
                tolerance = 0;
            }
            if (!(fabs(got - want) <= tolerance))
                fail_msg("%s %s m=%zu n=%zu k=%zu accumulate=%d: C[%zu, %zu] = %g, expected %g "
                         "within %g",
                         isa, layout_names[l], m, n, k, accumulate, i, j, got, want, tolerance);
        }
    free(o.a);
    free(o.b);
    free(o.c);
    free(o.packed);
    free(o.strips);
}

static void test_layouts(void **unused)
{
    (void)unused;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (layout l = 0; l < LAYOUTS; l++)
            for (size_t i = 0; i < SIZES * SIZES * SIZES; i++)
                check(isa->kernels->gemm, isa->name, l, sizes[i % SIZES], sizes[i / SIZES % SIZES],
                      sizes[i / SIZES / SIZES], i % 2);
}

/* More than one block of K, and a K of nothing. */
static void test_depth(void **unused)
{
    (void)unused;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (layout l = 0; l < LAYOUTS; l++) {
            check(isa->kernels->gemm, isa->name, l, 30, 70, 2 * VG_K_BLOCK + 3, false);
            check(isa->kernels->gemm, isa->name, l, 5, 9, VG_K_BLOCK + 1, true);
        }
}

/* Every shape of tile, with a partial last vector, gives the bits of the one-row tile. */
static void test_tiles(void **unused)
{
    (void)unused;
    enum { K = 37, WIDTH = 8 * 16 };
    static float a[VG_TILE_ROWS * K], b[K * WIDTH], c[VG_TILE_ROWS * WIDTH], one[WIDTH];
    uint64_t state = 1;
    for (size_t i = 0; i < VG_TILE_ROWS * K; i++)
        a[i] = value(&state);
    for (size_t i = 0; i < K * WIDTH; i++)
        b[i] = value(&state);
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++) {
        const vg_gemm_kernels *g = isa->kernels->gemm;
        for (uint32_t v = 1; v <= VG_TILE_VECTORS; v++)
            for (uint32_t rows = 1; rows <= g->max_rows[v]; rows++)
                for (uint32_t less = 0; less < g->lanes; less++) {
                    vg_tile t = {.a_row = K,
                                 .a_k = 1,
                                 .b_k = WIDTH,
                                 .c_row = WIDTH,
                                 .k = K,
                                 .n = v * g->lanes - less};
                    for (size_t i = 0; i < VG_TILE_ROWS * WIDTH; i++)
                        c[i] = poison;
                    g->tile[v][rows](&t, a, b, c);
                    for (uint32_t i = 0; i < VG_TILE_ROWS; i++)
                        for (uint32_t j = 0; j < WIDTH; j++) {
                            for (uint32_t s = 0; j == 0 && i < rows && s < t.n; s += g->lanes) {
                                vg_tile single = t;
                                single.n = t.n - s < g->lanes ? t.n - s : g->lanes;
                                g->tile[1][1](&single, a + i * K, b + s, one + s);
                            }
                            float want = i < rows && j < t.n ? one[j] : poison;
                            if (memcmp(&c[i * WIDTH + j], &want, sizeof want) != 0)
                                fail_msg("%s tile %ux%u n=%u: C[%u, %u] = %g, expected %g",
                                         isa->name, rows, v, t.n, i, j, (double)c[i * WIDTH + j],
                                         (double)want);
                        }
                }
    }
}

/* Two products beside each other, in two calls of which the second ends with steps of the row
 * alone, give the bits of their tiles. */
static void beside_check(const char *isa, const vg_gemm_kernels *g, uint32_t v, size_t cut)
{
    enum { K = 37, ALONE = 3, MOST = 4 * K + ALONE, WIDE = 2 * 16, WIDTH = 8 * 16 };
    static float a[MOST], b[MOST * WIDTH], side_a[VG_TILE_ROWS * K], side_b[K * WIDE];
    static float c[WIDTH], want[WIDTH], side_c[VG_TILE_ROWS * WIDE], side_want[VG_TILE_ROWS * WIDE];
    float *inputs[] = {a, b, side_a, side_b};
    const size_t counts[] = {MOST, MOST * WIDTH, VG_TILE_ROWS * K, K * WIDE};
    uint64_t state = v;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < counts[i]; j++)
            inputs[i][j] = value(&state);
    for (size_t i = 0; i < WIDTH; i++)
        c[i] = want[i] = poison;
    size_t ratio = g->beside[v].ratio, width = (size_t)v * g->lanes, wide = 2 * (size_t)g->lanes;
    size_t k = v > 0 ? ratio * K + ALONE : 0;
    vg_beside piece = {.a = a,
                       .b = b,
                       .c = c,
                       .k = ratio * cut,
                       .side_a = side_a,
                       .side_b = side_b,
                       .side_c = side_c,
                       .side_k = cut,
                       .side_row = K};
    g->beside[v].run(&piece);
    piece.a += piece.k;
    piece.b += piece.k * width;
    piece.k = k - piece.k;
    piece.side_a += cut;
    piece.side_b += cut * wide;
    piece.side_k = K - cut;
    piece.resumes = piece.side_resumes = true;
    g->beside[v].run(&piece);
    vg_tile row = {.a_row = k, .a_k = 1, .b_k = width, .k = k, .n = (uint32_t)width};
    vg_tile tile = {.a_row = K, .a_k = 1, .b_k = wide, .c_row = wide, .k = K, .n = (uint32_t)wide};
    if (v > 0)
        g->tile[v][1](&row, a, b, want);
    g->tile[2][g->beside_rows](&tile, side_a, side_b, side_want);
    if (memcmp(c, want, sizeof c) != 0)
        fail_msg("%s: a row %u vectors wide, in pieces at %zu: other bits", isa, v, cut);
    if (memcmp(side_c, side_want, g->beside_rows * wide * sizeof *side_c) != 0)
        fail_msg("%s: a tile beside %u vectors, in pieces at %zu: other bits", isa, v, cut);
}

static void test_beside(void **unused)
{
    (void)unused;
    const size_t cuts[] = {0, 1, 17, 37};
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (uint32_t v = 0; v <= VG_TILE_VECTORS; v++)
            for (size_t i = 0; i < 4 && isa->kernels->gemm->beside[v].run; i++)
                beside_check(isa->name, isa->kernels->gemm, v, cuts[i]);
}

static void test_dot(void **unused)
{
    (void)unused;
    enum { ROWS = 9, OUTS = 11, DEEP = 67, C_ROW = 13 };
    static float x[ROWS * DEEP], w[OUTS * DEEP], c[(ROWS + 1) * C_ROW];
    uint64_t state = 5;
    for (size_t i = 0; i < ROWS * DEEP; i++)
        x[i] = value(&state);
    for (size_t i = 0; i < OUTS * DEEP; i++)
        w[i] = value(&state);
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (size_t n = 0; n < (ROWS + 1) * (OUTS + 1) * DEEP; n++) {
            size_t rows = n % (ROWS + 1), outs = n / (ROWS + 1) % (OUTS + 1);
            size_t k = n / (ROWS + 1) / (OUTS + 1);
            for (size_t i = 0; i < (ROWS + 1) * C_ROW; i++)
                c[i] = poison;
            isa->kernels->gemm->dot(&(vg_dot){x, w, c, DEEP, DEEP, C_ROW, rows, outs, k});
            for (size_t i = 0; i < (ROWS + 1) * C_ROW; i++) {
                size_t r = i / C_ROW, o = i % C_ROW;
                bool inside = r < rows && o < outs;
                double want = inside ? 0 : (double)poison, size = 0;
                for (size_t s = 0; s < k && inside; s++) {
                    want += (double)x[r * DEEP + s] * (double)w[o * DEEP + s];
                    size += fabs((double)x[r * DEEP + s] * (double)w[o * DEEP + s]);
                }
                if (!(fabs((double)c[i] - want) <= 8 * ldexp(1, -23) * size))
                    fail_msg("%s dot rows=%zu outs=%zu k=%zu: C[%zu, %zu] = %g, expected %g",
                             isa->name, rows, outs, k, r, o, (double)c[i], want);
            }
        }
}

static void test_transpose(void **unused)
{
    (void)unused;
    static float from[40 * 40], to[40 * 40];
    for (size_t i = 0; i < 1600; i++)
        from[i] = (float)i;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (size_t rows = 0; rows <= 35; rows++)
            for (size_t cols = 0; cols <= 35; cols++) {
                for (size_t i = 0; i < 1600; i++)
                    to[i] = poison;
                isa->kernels->gemm->transpose(to, 40, from, 40, rows, cols);
                for (size_t i = 0; i < 1600; i++) {
                    size_t r = i / 40, c = i % 40;
                    float want = r < cols && c < rows ? from[c * 40 + r] : poison;
                    if (memcmp(&to[i], &want, sizeof want) != 0)
                        fail_msg("%s transpose %zu x %zu at (%zu, %zu)", isa->name, rows, cols, r,
                                 c);
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transpose), cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_dot),       cmocka_unit_test(test_beside),
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
