/* Singular values and spectral radii of matrices where they are known. */
#include "../bench/theory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void near(const char *what, double value, double expected, double relative)
{
    double error = fabs(value - expected);
    if (!(error <= relative * fabs(expected)))
        fail_msg("%s: %.17g, expected %.17g, relative tolerance %g", what, value, expected,
                 relative);
}

/* Uniform in (-1/2, 1/2) from a counter. */
static double noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53 - 0.5;
}

static double *random_matrix(size_t rows, size_t cols, uint64_t seed)
{
    double *w = malloc(rows * cols * sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < rows * cols; i++)
        w[i] = noise(&seed);
    return w;
}

/* w := R w Rᵀ for Givens rotations of every pair of neighbours: same radius, same norms. */
static void rotate(double *w, size_t n)
{
    for (size_t turn = 0; turn < 2 * n; turn++) {
        size_t p = turn % n, q = (turn * 7 + 1) % n;
        double c = cos(0.7 + (double)turn), s = sin(0.7 + (double)turn);
        if (p == q)
            continue;
        for (size_t j = 0; j < n; j++) {
            double a = w[p * n + j], b = w[q * n + j];
            w[p * n + j] = c * a - s * b;
            w[q * n + j] = s * a + c * b;
        }
        for (size_t i = 0; i < n; i++) {
            double a = w[i * n + p], b = w[i * n + q];
            w[i * n + p] = c * a - s * b;
            w[i * n + q] = s * a + c * b;
        }
    }
}

static void small_matrices(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n;
        double w[9], radius, sigma;
    } table[] = {
        {"zero", 2, {0}, 0, 0},
        {"scalar", 1, {-3.25}, 3.25, 3.25},
        {"diagonal", 3, {1, 0, 0, 0, -2, 0, 0, 0, 0.5}, 2, 2},
        {"opposite pair", 2, {0, 4, 1, 0}, 2, 4},
        {"quarter turn", 2, {0, -1, 1, 0}, 1, 1},
        {"turn by 0.3",
         2,
         {0.955336489125606, -0.295520206661340, 0.295520206661340, 0.955336489125606},
         1,
         1},
        {"nilpotent", 3, {0, 5, 7, 0, 0, 3, 0, 0, 0}, 0, 8.9551278510075853},
        {"non-normal", 2, {0.5, 1000, 0, 0.25}, 0.5, 1000.0001562499883},
        {"Jordan block", 2, {0.5, 1, 0, 0.5}, 0.5, 1.2071067811865475},
        {"ones", 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 3},
        {"permutation", 3, {0, 1, 0, 0, 0, 1, 1, 0, 0}, 1, 1},
        {"tiny", 2, {1e-300, 0, 0, 1e-301}, 1e-300, 1e-300},
        {"huge", 2, {1e300, 0, 0, 1e299}, 1e300, 1e300},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        near(table[i].name, vg_spectral_radius(table[i].w, table[i].n), table[i].radius, 1e-11);
        near(table[i].name, vg_sigma_max(table[i].w, table[i].n, table[i].n), table[i].sigma,
             1e-11);
    }
}

/* Blocks of turns r·(cos, sin) on the diagonal, in a rotated basis; upper: couples the blocks. */
static double *turns(size_t n, const double *r, double upper)
{
    double *w = calloc(n * n, sizeof *w);
    assert_non_null(w);
    for (size_t b = 0; b < n / 2; b++) {
        double angle = 0.1 + 1.7 * (double)b;
        w[2 * b * n + 2 * b] = w[(2 * b + 1) * n + 2 * b + 1] = r[b] * cos(angle);
        w[2 * b * n + 2 * b + 1] = -r[b] * sin(angle);
        w[(2 * b + 1) * n + 2 * b] = r[b] * sin(angle);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = (i | 1) + 1; j < n; j++)
            w[i * n + j] = upper;
    rotate(w, n);
    return w;
}

static void complex_pairs(void **state)
{
    (void)state;
    double r[10] = {0.9, 0.1, 0.9, 0.5, 0.899, 0.3, 0.2, 0.9, 0.7, 0.6};
    double *normal = turns(20, r, 0);
    near("equal moduli", vg_spectral_radius(normal, 20), 0.9, 1e-11);
    near("normal: sigma is the radius", vg_sigma_max(normal, 20, 20), 0.9, 1e-11);
    free(normal);
    r[2] = r[7] = 0.4;
    for (int k = 0; k < 2; k++) {
        double *w = turns(20, r, k * 0.25);
        near(k ? "non-normal, close second" : "close second", vg_spectral_radius(w, 20), 0.9, 1e-9);
        if (k)
            assert_true(vg_sigma_max(w, 20, 20) > 1.5);
        free(w);
    }
}

/* Householder's I - 2 v vᵀ is orthogonal; the same, scaled by powers of two, gives scaled answers
 * bit for bit. */
static void orthogonal_and_scaled(void **state)
{
    (void)state;
    enum { N = 300 };
    double *v = random_matrix(1, N, 5), *w = malloc(N * N * sizeof *w), square = 0;
    assert_non_null(w);
    for (size_t i = 0; i < N; i++)
        square += v[i] * v[i];
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            w[i * N + j] = (i == j) - 2 * v[i] * v[j] / square;
    near("orthogonal radius", vg_spectral_radius(w, N), 1, 1e-11);
    near("orthogonal sigma", vg_sigma_max(w, N, N), 1, 1e-11);
    free(w);
    free(v);
    w = random_matrix(40, 40, 3);
    double radius = vg_spectral_radius(w, 40), sigma = vg_sigma_max(w, 40, 40);
    for (size_t i = 0; i < 1600; i++)
        w[i] *= 1024;
    near("scaled radius", vg_spectral_radius(w, 40), 1024 * radius, 1e-11);
    near("scaled sigma", vg_sigma_max(w, 40, 40), 1024 * sigma, 1e-12);
    free(w);
}

/* A = D + u uᵀ-like checks fail to see what is random, so: σ of a rectangular random matrix equals
 * that of its transpose, is at least every row's and column's norm, and at most the two bounds. */
static void random_rectangles(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 1}, {1, 50}, {50, 1}, {37, 90}, {300, 310}, {400, 280}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t rows = shapes[s][0], cols = shapes[s][1];
        double *w = random_matrix(rows, cols, s), *t = malloc(rows * cols * sizeof *t);
        assert_non_null(t);
        double frobenius = 0, row_most = 0;
        for (size_t i = 0; i < rows; i++) {
            double square = 0;
            for (size_t j = 0; j < cols; j++) {
                t[j * rows + i] = w[i * cols + j];
                square += w[i * cols + j] * w[i * cols + j];
            }
            frobenius += square;
            row_most = fmax(row_most, sqrt(square));
        }
        double sigma = vg_sigma_max(w, rows, cols);
        near("transpose", vg_sigma_max(t, cols, rows), sigma, 1e-8);
        assert_true(sigma >= row_most * (1 - 1e-12));
        assert_true(sigma <= sqrt(frobenius) * (1 + 1e-12));
        /* Marchenko and Pastur: sqrt(1/12) (sqrt(rows) + sqrt(cols)) to a few percent. */
        if (rows > 100)
            near("edge", sigma, sqrt(1.0 / 12) * (sqrt((double)rows) + sqrt((double)cols)), 0.03);
        free(w);
        free(t);
    }
}

/* The circular law: the radius of a random n × n matrix of variance 1/n is near 1. */
static void circular_law(void **state)
{
    (void)state;
    enum { N = 200 };
    double *w = random_matrix(N, N, 11);
    for (size_t i = 0; i < N * N; i++)
        w[i] *= sqrt(12.0 / N);
    double radius = vg_spectral_radius(w, N);
    near("circular law", radius, 1, 0.1);
    assert_true(radius < vg_sigma_max(w, N, N));
    rotate(w, N);
    near("rotated", vg_spectral_radius(w, N), radius, 1e-9);
    free(w);
}

static void not_finite(void **state)
{
    (void)state;
    static const double bad[][4] = {{1, NAN, 0, 1}, {INFINITY, 0, 0, 1}, {0, 0, 0, -INFINITY}};
    for (size_t i = 0; i < 3; i++) {
        assert_true(isnan(vg_sigma_max(bad[i], 2, 2)));
        assert_true(isnan(vg_spectral_radius(bad[i], 2)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_matrices),    cmocka_unit_test(complex_pairs),
        cmocka_unit_test(random_rectangles), cmocka_unit_test(orthogonal_and_scaled),
        cmocka_unit_test(circular_law),      cmocka_unit_test(not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
