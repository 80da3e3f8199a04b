/* Philox, the normal distribution, and random orthogonal matrices. */
#include "random.h"

#include "vg/fill.h"

#include <math.h>
#include <stdlib.h>

void vg_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* FNV-1a of the name, 64 bits. */
vg_stream vg_stream_make(uint64_t seed, const char *tensor)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *tensor; tensor++)
        hash = (hash ^ (unsigned char)*tensor) * 0x100000001B3u;
    return (vg_stream){seed, hash};
}

double vg_random_uniform(vg_stream stream, uint64_t index)
{
    uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream.tensor,
                           (uint32_t)(stream.tensor >> 32)};
    uint32_t key[2] = {(uint32_t)stream.seed, (uint32_t)(stream.seed >> 32)}, words[4];
    vg_philox(counter, key, words);
    uint64_t bits = ((uint64_t)words[1] << 32 | words[0]) >> 12;
    return ((double)bits + 0.5) * 0x1p-52;
}

/* -ln(p), 0 < p < 1, by the series of artanh; within 3 ULP. */
static double minus_log(double p)
{
    int exponent;
    double m = frexp(p, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return -(2 * s * sum + exponent * 0.69314718055994530942);
}

static double polynomial(const double c[8], double x)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

double vg_normal_quantile(double p)
{
    static const double a[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[8] = {1.0,
                                4.2313330701600911252e+1,
                                6.8718700749205790830e+2,
                                5.3941960214247511077e+3,
                                2.1213794301586595867e+4,
                                3.9307895800092710610e+4,
                                2.8729085735721942674e+4,
                                5.2264952788528545610e+3};
    static const double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0,
                                2.05319162663775882187e0,
                                1.67638483018380384940e0,
                                6.89767334985100004550e-1,
                                1.48103976427480074590e-1,
                                1.51986665636164571966e-2,
                                5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    double r = sqrt(minus_log(q < 0 ? p : 1 - p));
    double z = r <= 5 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6)
                      : polynomial(e, r - 5) / polynomial(f, r - 5);
    return q < 0 ? -z : z;
}

double vg_random_normal(vg_stream stream, uint64_t index)
{
    return vg_normal_quantile(vg_random_uniform(stream, index));
}

/* q [m, n] rows from k on, columns from k on: q -= (2 / v·v) v (vᵀ q). */
static void reflect(double *q, size_t m, size_t n, size_t k, const double *v, double *w)
{
    double norm = 0;
    for (size_t i = k; i < m; i++)
        norm += v[i] * v[i];
    for (size_t j = k; j < n; j++)
        w[j] = 0;
    for (size_t i = k; i < m; i++)
        for (size_t j = k; j < n; j++)
            w[j] += v[i] * q[i * n + j];
    for (size_t i = k; i < m; i++) {
        double scale = 2 * v[i] / norm;
        for (size_t j = k; j < n; j++)
            q[i * n + j] -= scale * w[j];
    }
}

vg_status vg_random_orthogonal(double *matrix, size_t rows, size_t cols)
{
    size_t m = rows > cols ? rows : cols, n = rows > cols ? cols : rows;
    double *q = calloc(m * n, sizeof *q), *v = malloc((m + n) * sizeof *v);
    if (!q || !v) {
        free(q);
        free(v);
        VG_FAIL(VG_NO_MEMORY, "no memory for an orthogonal matrix of %zu x %zu", rows, cols);
    }
    for (size_t k = n; k-- > 0;) {
        double norm = 0;
        for (size_t i = k; i < m; i++) {
            v[i] = rows > cols ? matrix[i * cols + k] : matrix[k * cols + i];
            norm += v[i] * v[i];
        }
        double sign = v[k] < 0 ? -1 : 1;
        v[k] += sign * sqrt(norm);
        q[k * n + k] = -sign; /* the sign of R's diagonal */
        reflect(q, m, n, k, v, v + m);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            matrix[i * cols + j] = rows > cols ? q[i * n + j] : q[j * n + i];
    free(q);
    free(v);
    return VG_OK;
}
