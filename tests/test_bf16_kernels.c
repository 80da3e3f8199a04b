/* The kernels of bf16: conversions for every number, pairing, and products of pairs against sums in
 * double; odd sizes, outputs surrounded by values that must not change. Those of AMX on tiles in
 * plain C too, and what those tiles are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bf16/bf16_ops.h"
#include "isa_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RED = 17, SIZES = 6 };
static const size_t sizes[SIZES] = {1, 3, 17, 33, 255, 257};
static const float poison = 12345.0f;
static const vg_bf16 red = 0x4641;

static const vg_bf16_kernels *kernels;

#if defined(__x86_64__)
#include "amx_tiles.h"

#include "bf16/bf16_amx.inc"

static const vg_bf16_kernels emulated = AMX_KERNELS;
#endif

static float value(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(int32_t)(*state >> 40) / (float)(1 << 23) - 1.0f;
}

/* [rows, ld] of random numbers in `cols` columns, zeros beyond. */
static vg_bf16 *halves(size_t rows, size_t cols, size_t ld, uint64_t seed)
{
    vg_bf16 *p = calloc(rows * ld + 64, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            p[i * ld + j] = vg_bf16_of((double)value(&seed));
    return p;
}

static float *floats(size_t n)
{
    float *p = aligned_alloc(64, (n + 63) / 16 * 16 * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = poison;
    return p;
}

static uint32_t bits(float x)
{
    uint32_t out;
    memcpy(&out, &x, sizeof out);
    return out;
}

/* What narrowing makes of a number: rounded to nearest even, subnormals to zero. */
static vg_bf16 narrowed(float x)
{
    const vg_bf16 sign = (vg_bf16)(bits(x) >> 16 & 0x8000);
    return fabsf(x) < 0x1p-126f ? sign : vg_bf16_of((double)x);
}

static void check_narrow(uint32_t from)
{
    float x;
    vg_bf16 to[3] = {red, red, red};
    memcpy(&x, &from, sizeof x);
    kernels->narrow(1, 1, &x, 1, to + 1, 1);
    bool same = isnan(x) ? (to[1] & 0x7fff) > 0x7f80 : to[1] == narrowed(x);
    if (!same || to[0] != red || to[2] != red)
        fail_msg("narrow(%g, 0x%08x) = 0x%04x, expected 0x%04x", (double)x, from, to[1],
                 narrowed(x));
}

/* Every bf16 comes back as it is, and what lies between two goes to the nearest. */
static void test_conversions(void **unused)
{
    (void)unused;
    static const uint32_t below[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    for (uint32_t i = 0; i < 65536; i++) {
        vg_bf16 half = (vg_bf16)i;
        float wide[3] = {poison, poison, poison};
        kernels->widen(1, 1, &half, 1, wide + 1, 1);
        if (bits(wide[1]) != i << 16 || wide[0] != poison || wide[2] != poison)
            fail_msg("widen(0x%04x) = 0x%08x", i, bits(wide[1]));
        for (size_t b = 0; b < sizeof below / sizeof *below; b++)
            check_narrow(i << 16 | below[b]);
    }
}

/* Matrices of every width, whose surroundings stay. */
static void test_conversion_shapes(void **unused)
{
    (void)unused;
    enum { ROWS = 3, LD = 70 };
    vg_bf16 *from = halves(ROWS, LD, LD, 1);
    for (size_t cols = 0; cols <= 67; cols++) {
        float wide[ROWS * LD];
        vg_bf16 to[ROWS * LD];
        for (size_t i = 0; i < ROWS * LD; i++) {
            wide[i] = poison;
            to[i] = red;
        }
        kernels->widen(ROWS, cols, from, LD, wide, LD);
        kernels->narrow(ROWS, cols, wide, LD, to, LD);
        for (size_t i = 0; i < ROWS * LD; i++) {
            bool inside = i % LD < cols;
            float expected = inside ? (float)vg_bf16_value(from[i]) : poison;
            if (wide[i] != expected || to[i] != (inside ? from[i] : red))
                fail_msg("%zu columns, [%zu, %zu]: %g and 0x%04x", cols, i / LD, i % LD,
                         (double)wide[i], to[i]);
        }
    }
    free(from);
}

static void check_pairs(size_t rows, size_t cols)
{
    enum { LD = 60, TO = 67 };
    vg_bf16 *from = halves(rows + 1, LD, LD, rows * 100 + cols);
    size_t pairs = vg_bf16_pairs(rows);
    float *to = floats((pairs + 1) * TO), *sums = floats(TO);
    for (size_t j = 0; j < cols; j++)
        sums[j] = 1;
    kernels->pair_rows(rows, cols, from, LD, to, TO, sums);
    for (size_t i = 0; i < (pairs + 1) * TO; i++) {
        size_t p = i / TO, j = i % TO;
        uint32_t expected = bits(poison);
        if (p < pairs && j < cols) {
            expected = from[2 * p * LD + j];
            if (2 * p + 1 < rows)
                expected |= (uint32_t)from[(2 * p + 1) * LD + j] << 16;
        }
        if (bits(to[i]) != expected)
            fail_msg("pairs of %zu x %zu at [%zu, %zu]: 0x%08x, expected 0x%08x", rows, cols, p, j,
                     bits(to[i]), expected);
    }
    for (size_t j = 0; j < TO; j++) {
        double sum = j < cols ? 1 : (double)poison, size = j < cols ? 1 : 0;
        for (size_t i = 0; i < rows && j < cols; i++) {
            sum += vg_bf16_value(from[i * LD + j]);
            size += fabs(vg_bf16_value(from[i * LD + j]));
        }
        if (!(fabs((double)sums[j] - sum) <= 4 * ldexp(1, -23) * size))
            fail_msg("sums of %zu x %zu at %zu: %g, expected %g", rows, cols, j, (double)sums[j],
                     sum);
    }
    free(from);
    free(to);
    free(sums);
}

static void test_pairs(void **unused)
{
    (void)unused;
    for (size_t rows = 0; rows <= 9; rows++)
        for (size_t cols = 0; cols <= 50; cols++)
            check_pairs(rows, cols);
}

typedef enum layout { NT, NN, TN, DOT, LAYOUTS } layout;
static const char *const layout_names[LAYOUTS] = {"NT", "NN", "TN", "dot"};

/* C [m, n] of A and B as a layer's three products have them: NT: x [m, k] and W [n, k]; NN: dz [m,
 * k] and W [k, n]; TN: dz [k, m] and x [k, n]. */
static void product(layout l, size_t m, size_t n, size_t k, const vg_bf16 *a, size_t a_row,
                    const vg_bf16 *b, size_t b_row, float *c, size_t c_row, bool accumulate)
{
    const vg_gemm_kernels *g = kernels->gemm;
    const float *a_pairs = (const float *)(const void *)a,
                *b_pairs = (const float *)(const void *)b;
    size_t pairs = vg_bf16_pairs(k);
    uint32_t vectors = vg_product_vectors(g, m);
    size_t width = (size_t)vectors * g->lanes;
    float *packed = floats(vg_pack_size(g, vectors, pairs, n)), *turned = floats(m * pairs);
    vg_product p = {.a = a_pairs,
                    .a_row = a_row / 2,
                    .a_k = 1,
                    .b = packed,
                    .b_k = width,
                    .b_panel = width * pairs,
                    .c = c,
                    .c_row = c_row,
                    .m = m,
                    .n = n,
                    .k = pairs,
                    .vectors = vectors,
                    .accumulate = accumulate};
    p.block = vg_product_block(g, vectors, m, n, pairs, 65536);
    if (l == TN) {
        kernels->pair_rows(k, m, a, a_row, turned, m, NULL);
        p.a = turned;
        p.a_row = 1;
        p.a_k = m;
    }
    if (l == NT)
        vg_pack(g, vectors, packed, b_pairs, b_row / 2, true, pairs, 0, pairs, 0, n);
    else if (l != DOT)
        vg_bf16_pack_rows(kernels, vectors, packed, b, b_row, k, 0, n);
    if (l == DOT)
        g->dot(&(vg_dot){a_pairs, b_pairs, c, a_row / 2, b_row / 2, c_row, m, n, pairs});
    else
        vg_product_run(g, &p);
    free(packed);
    free(turned);
}

static void check_product(layout l, size_t m, size_t n, size_t k, bool accumulate)
{
    bool a_turned = l == TN, b_turned = l == NT || l == DOT;
    size_t a_row = ((a_turned ? m : k) + 16) / 16 * 16, b_row = ((b_turned ? k : n) + 16) / 16 * 16;
    vg_bf16 *a = halves(a_turned ? k : m, a_turned ? m : k, a_row, m * n + k);
    vg_bf16 *b = halves(b_turned ? n : k, b_turned ? k : n, b_row, m + n * k);
    size_t c_row = n + RED;
    float *c = floats((m + 1) * c_row), before = accumulate ? 0.5f : 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * c_row + j] = accumulate ? before : poison;
    product(l, m, n, k, a, a_row, b, b_row, c, c_row, accumulate);
    for (size_t i = 0; i < (m + 1) * c_row; i++) {
        size_t r = i / c_row, j = i % c_row;
        bool inside = r < m && j < n;
        double want = inside ? (double)before : (double)poison, size = inside ? want : 0;
        for (size_t s = 0; s < k && inside; s++) {
            double term = vg_bf16_value(a[a_turned ? s * a_row + r : r * a_row + s]) *
                          vg_bf16_value(b[b_turned ? j * b_row + s : s * b_row + j]);
            want += term;
            size += fabs(term);
        }
        double tolerance = 4 * ldexp(1, -23) * (1 + ceil(log2((double)k))) * size;
        if (!(fabs((double)c[i] - want) <= tolerance))
            fail_msg("%s m=%zu n=%zu k=%zu: C[%zu, %zu] = %g, expected %g within %g",
                     layout_names[l], m, n, k, r, j, (double)c[i], want, tolerance);
    }
    free(a);
    free(b);
    free(c);
}

static void test_products(void **unused)
{
    (void)unused;
    for (layout l = 0; l < LAYOUTS; l++) {
        for (size_t i = 0; i < SIZES * SIZES * SIZES; i++) {
            size_t m = sizes[i % SIZES], n = sizes[i / SIZES % SIZES], k = sizes[i / SIZES / SIZES];
            check_product(l, m, n, k, l != DOT && (m ^ n ^ k) & 2);
        }
        check_product(l, 5, 40, 4 * VG_K_BLOCK + 3, l != DOT);
        check_product(l, 33, 40, 4 * VG_K_BLOCK + 3, false);
    }
}

#if defined(__x86_64__)
/* A tile of shapes of the test's: 3 rows, 5 pairs, 2 columns. */
static void tiles_small(void)
{
    tiles_configure(&(amx_shapes){.palette = 1, .row_bytes = {8, 20, 8}, .rows = {3, 3, 5}});
}

/* sum + the pairs' products, which are rows of even and odd numbers, by tiles. */
static float tile_of_one(float sum, size_t pairs, const float (*a)[2], const float (*b)[2])
{
    vg_bf16 left[3][10] = {{0}}, right[5][4] = {{0}};
    float sums[3][2] = {{0}};
    for (size_t k = 0; k < pairs; k++)
        for (size_t odd = 0; odd < 2; odd++) {
            left[2][2 * k + odd] = (vg_bf16)(bits(a[k][odd]) >> 16);
            right[k][2 + odd] = (vg_bf16)(bits(b[k][odd]) >> 16);
        }
    sums[2][1] = sum;
    tiles_small();
    tile_load(0, sums, sizeof *sums);
    tile_load(1, left, sizeof *left);
    tile_load(2, right, sizeof *right);
    tile_dot(0, 1, 2);
    tile_store(0, sums, sizeof *sums);
    tiles_release();
    for (size_t i = 0; i < 5; i++)
        assert_true(sums[i / 2][i % 2] == 0);
    return sums[2][1];
}

/* The order of the sums, their rounding, and what becomes of subnormals. */
static void test_tiles(void **unused)
{
    (void)unused;
    static const struct {
        float sum, a[2][2], b[2][2], expected;
    } table[] = {
        {1, {{2, 3}, {4, 5}}, {{1, 1}, {1, 1}}, 15},
        /* The even ones first: 2^-24 would be lost beside 1. */
        {0, {{1, 0x1p-24f}, {0, 0x1p-24f}}, {{1, 1}, {1, 1}}, 1 + 0x1p-23f},
        {1, {{0x1p-24f, 0x1p-24f}, {0, 0}}, {{1, 1}, {1, 1}}, 1 + 0x1p-23f},
        {0, {{1, 0}, {0x1p-24f, 0}}, {{1, 0}, {1, 0}}, 1}, /* a tie, to even */
        {0,
         {{1, 0}, {0x1.8p-24f, 0}},
         {{1, 0}, {1, 0}},
         1 + 0x1p-23f}, /* a product is not rounded */
        {0, {{0x1p-126f, 0}, {0, 0}}, {{1, 0}, {0, 0}}, 0x1p-126f},
        {0, {{0x1p-127f, 0}, {0, 0}}, {{0x1p100f, 0}, {0, 0}}, 0}, /* in */
        {0, {{0x1p-100f, 0}, {0, 0}}, {{0x1p-27f, 0}, {0, 0}}, 0}, /* out */
        {0, {{-0x1p-100f, 0x1p-26f}, {0, 0}}, {{0x1p-27f, 0x1p-100f}, {0, 0}}, 0x1p-126f},
        {0x1p-127f, {{0, 0}, {0, 0}}, {{0, 0}, {0, 0}}, 0},
        {-0x1p-126f, {{0x1.8p-126f, 0}, {0, 0}}, {{1, 0}, {0, 0}}, 0},
        /* Just below the normal range: tiny where 24 bits do not reach it, else not. */
        {0, {{0x1p-126f, 0}, {-0x1p-75f, 0}}, {{1, 0}, {0x1.8p-76f, 0}}, 0},
        {0, {{0x1p-126f, 0}, {-0x1p-75f, 0}}, {{1, 0}, {0x1p-76f, 0}}, 0x1p-126f},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        float got = tile_of_one(table[i].sum, 2, table[i].a, table[i].b);
        if (got != table[i].expected)
            fail_msg("sum %zu: %a, expected %a", i, (double)got, (double)table[i].expected);
    }
    assert_int_equal(tiles_configured, 0);
}
#endif

static int test_table(const char *name, const vg_bf16_kernels *table)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_conversion_shapes),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_products),
    };
    kernels = table;
    print_message("%s\n", name);
    if (kernels->enter)
        kernels->enter();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (kernels->leave)
        kernels->leave();
    return failed;
}

int main(void)
{
    int failed = 0;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++) {
        if (isa->bf16)
            failed += test_table("bf16", isa->bf16);
        if (isa->amx)
            failed += test_table("bf16 in AMX tiles", isa->amx);
    }
    if (!kernels) {
        printf("skipped: no CPU device computes in bf16 here\n");
        return 77;
    }
#if defined(__x86_64__)
    const struct CMUnitTest tiles_tests[] = {cmocka_unit_test(test_tiles)};
    failed += cmocka_run_group_tests(tiles_tests, NULL, NULL);
    failed += test_table("bf16 in tiles of plain C", &emulated);
#endif
    return failed;
}
