/* The largest singular value and the spectral radius of a weight matrix, in plain double loops, so
 * that every machine gets the same bits. */
#include "theory.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KRYLOV_STEPS = 256, SQUARINGS = 48 };

/* The largest |element|; infinite where one is not finite. */
static double largest(const double *w, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        double a = fabs(w[i]);
        if (!(a <= DBL_MAX))
            return INFINITY;
        most = a > most ? a : most;
    }
    return most;
}

/* ---- singular value: Lanczos on (W / scale)ᵀ (W / scale), with full reorthogonalisation ---- */

typedef struct krylov {
    size_t n, steps;
    double alpha[KRYLOV_STEPS], beta[KRYLOV_STEPS]; /* beta[k] couples steps k and k + 1 */
    double *basis;                                  /* [steps + 1, n] */
} krylov;

static double dot(const double *a, const double *b, size_t n)
{
    double sum[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void add_scaled(double *y, double c, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += c * x[i];
}

/* out = (W / scale)ᵀ (W / scale) v, out and v [cols]. */
static void gram_times(const double *w, size_t rows, size_t cols, double scale, const double *v,
                       double *out)
{
    memset(out, 0, cols * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        add_scaled(out, dot(w + i * cols, v, cols) / scale / scale, w + i * cols, cols);
}

/* A fixed start in general position: splitmix64 of the index, uniform in (-1/2, 1/2). */
static void start_vector(double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        v[i] = (double)((z ^ (z >> 31)) >> 11) * 0x1p-53 - 0.5;
    }
    double norm = sqrt(dot(v, v, n));
    for (size_t i = 0; i < n; i++)
        v[i] /= norm;
}

/* True where every eigenvalue of the tridiagonal matrix is below x (Sturm's sequence). */
static bool all_below(const krylov *k, double x)
{
    double pivot = 1;
    for (size_t i = 0; i < k->steps; i++) {
        double b = i > 0 ? k->beta[i - 1] : 0;
        pivot = x - k->alpha[i] - b * b / pivot;
        if (!(pivot > 0))
            return false;
    }
    return true;
}

/* The largest eigenvalue of the tridiagonal matrix, by bisection between its Gershgorin bounds. */
static double tridiagonal_top(const krylov *k)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < k->steps; i++) {
        double left = i > 0 ? k->beta[i - 1] : 0;
        double right = i + 1 < k->steps ? k->beta[i] : 0;
        high = fmax(high, k->alpha[i] + left + right);
        low = fmax(low, k->alpha[i]);
    }
    high *= 1 + 4 * DBL_EPSILON;
    for (;;) {
        double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high))
            return high;
        if (all_below(k, middle))
            high = middle;
        else
            low = middle;
    }
}

/* The last component of the unit eigenvector of `top`. From the last component back the recurrence
 * grows, so it is stable. */
static double last_component(const krylov *k, double top)
{
    double here = 1, after = 0, squares = 1;
    for (size_t i = k->steps; i-- > 1;) {
        double before = ((top - k->alpha[i]) * here - k->beta[i] * after) / k->beta[i - 1];
        after = here;
        here = before;
        squares += here * here;
        if (!(squares < 1e200))
            return 0;
    }
    return 1 / sqrt(squares);
}

/* One more step; the basis vector `steps` is there already. Sets alpha and beta of it and leaves
 * the next basis vector. */
static void krylov_step(krylov *k, const double *w, size_t rows, double scale)
{
    size_t n = k->n, step = k->steps++;
    double *next = k->basis + (step + 1) * n;
    gram_times(w, rows, n, scale, k->basis + step * n, next);
    k->alpha[step] = dot(next, k->basis + step * n, n);
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i <= step; i++)
            add_scaled(next, -dot(next, k->basis + i * n, n), k->basis + i * n, n);
    k->beta[step] = sqrt(dot(next, next, n));
    for (size_t i = 0; i < n && k->beta[step] > 0; i++)
        next[i] /= k->beta[step];
}

/* The top of the spectrum of the Gram matrix, or 0 where it has not converged. */
static double krylov_top(krylov *k, const double *w, size_t rows, double scale)
{
    size_t most = k->n < KRYLOV_STEPS ? k->n : KRYLOV_STEPS;
    start_vector(k->basis, k->n);
    while (k->steps < most) {
        krylov_step(k, w, rows, scale);
        double beta = k->beta[k->steps - 1];
        bool done = k->steps == k->n || beta <= 1e-14 * k->alpha[0];
        if (!done && k->steps % 8 != 0)
            continue;
        double top = tridiagonal_top(k);
        if (done || beta * last_component(k, top) <= 1e-9 * top)
            return top;
    }
    return 0;
}

/* sqrt(norm_1 norm_inf) of W / scale: never below the largest singular value. */
static double sigma_from_above(const double *w, size_t rows, size_t cols, double scale)
{
    double norm_1 = 0, norm_inf = 0;
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < cols; j++)
            sum += fabs(w[i * cols + j] / scale);
        norm_inf = fmax(norm_inf, sum);
    }
    for (size_t j = 0; j < cols; j++) {
        double sum = 0;
        for (size_t i = 0; i < rows; i++)
            sum += fabs(w[i * cols + j] / scale);
        norm_1 = fmax(norm_1, sum);
    }
    return sqrt(norm_1) * sqrt(norm_inf);
}

double vg_sigma_max(const double *w, size_t rows, size_t cols)
{
    double scale = largest(w, rows * cols);
    if (!(scale < INFINITY))
        return NAN;
    if (scale == 0)
        return 0;
    size_t steps = cols < KRYLOV_STEPS ? cols : KRYLOV_STEPS;
    krylov k = {.n = cols, .basis = malloc((steps + 1) * cols * sizeof(double))};
    double top = k.basis ? krylov_top(&k, w, rows, scale) : 0;
    free(k.basis);
    return scale * (top > 0 ? sqrt(top) : sigma_from_above(w, rows, cols, scale));
}

/* ---- spectral radius: W^(2^j) by squaring, every power scaled to norm 1 ---- */

/* out = m m. */
static void square(const double *m, size_t n, double *out)
{
    memset(out, 0, n * n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        double *row = out + i * n;
        const double *a = m + i * n;
        size_t k = 0;
        for (; k + 4 <= n; k += 4) {
            const double *b = m + k * n;
            for (size_t j = 0; j < n; j++)
                row[j] += (a[k] * b[j] + a[k + 1] * b[n + j]) +
                          (a[k + 2] * b[2 * n + j] + a[k + 3] * b[3 * n + j]);
        }
        for (; k < n; k++)
            add_scaled(row, a[k], m + k * n, n);
    }
}

/* Scales m to Frobenius norm 1 and returns ln of the norm that it had; -inf for zero. */
static double normalise(double *m, size_t count)
{
    double most = largest(m, count), squares = 0;
    if (most == 0 || !(most < INFINITY))
        return most == 0 ? -INFINITY : NAN;
    for (size_t i = 0; i < count; i++) {
        m[i] /= most;
        squares += m[i] * m[i];
    }
    double norm = sqrt(squares);
    for (size_t i = 0; i < count; i++)
        m[i] /= norm;
    return log(most) + log(norm);
}

static double trace(const double *m, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += m[i * n + i];
    return sum;
}

/* Two estimates of ln(radius) from M = W^k of norm 1 and M², which converge where the limit of
 * ln norm(W^k) / k is still off by ln(condition) / k: from the growth of the norm (one dominant
 * eigenvalue, or a normal W), and from a dominant pair, the roots of x² - t1 x + (t1² - t2) / 2
 * with t1 = tr(M), t2 = tr(M²). */
typedef struct estimates {
    double by_norm, by_pair;
} estimates;

/* The modulus of the larger of two numbers with sum t1 and sum of squares t2. */
static double larger_root(double t1, double t2)
{
    double product = (t1 * t1 - t2) / 2, discriminant = t1 * t1 / 4 - product;
    return discriminant < 0 ? sqrt(product) : fabs(t1) / 2 + sqrt(discriminant);
}

static bool agree(double a, double b)
{
    return fabs(a - b) <= 1e-13;
}

double vg_spectral_radius(const double *w, size_t n)
{
    double *m = malloc(n * n * sizeof *m), *next = malloc(n * n * sizeof *next);
    double answer = NAN, power = 1, log_norm = 0; /* W^power = exp(log_norm) m */
    estimates last = {NAN, NAN}, before = {NAN, NAN};
    if (!m || !next)
        goto done;
    memcpy(m, w, n * n * sizeof *m);
    log_norm = normalise(m, n * n);
    for (int j = 0; j < SQUARINGS && log_norm > -INFINITY; j++) {
        square(m, n, next);
        double t1 = trace(m, n), t2 = trace(next, n), growth = normalise(next, n * n);
        estimates now = {(log_norm + growth) / power,
                         (log_norm + log(larger_root(t1, t2))) / power};
        power *= 2;
        log_norm = 2 * log_norm + growth;
        double *swap = m;
        m = next;
        next = swap;
        answer = exp(log_norm / power);
        if (agree(now.by_norm, last.by_norm) && agree(last.by_norm, before.by_norm)) {
            answer = exp(now.by_norm);
            break;
        }
        if (agree(now.by_pair, last.by_pair) && agree(last.by_pair, before.by_pair)) {
            answer = exp(now.by_pair);
            break;
        }
        before = last;
        last = now;
    }
    answer = log_norm == -INFINITY ? 0 : answer;
done:
    free(m);
    free(next);
    return answer;
}
