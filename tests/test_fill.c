/* Random numbers, number formats, and what every initialiser draws. */
#include "random.h"
#include "theory.h"

#include "vg/case.h"
#include "vg/fill.h"
#include "vg/lower.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- random numbers --- */

/* The published known answers of Philox4x32-10. */
static void test_philox(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        vg_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

/* The quantile undoes the distribution function, in both tails and the middle. */
static void test_quantile(void **state)
{
    (void)state;
    for (double z = -8; z <= 8; z += 1.0 / 64) {
        double p = 0.5 * erfc(-z / sqrt(2)), found = vg_normal_quantile(p);
        double density = exp(-z * z / 2) / sqrt(2 * acos(-1));
        /* a few ULP of the result, and of erfc's argument and value carried through */
        double tolerance = 1e-15 * (1 + fabs(z)) + 4e-16 * p / density;
        if (!(fabs(found - z) <= tolerance))
            fail_msg("quantile(%.17g) = %.17g, expected %.17g", p, found, z);
    }
    assert_true(vg_normal_quantile(0x1p-53) > -8.3);
    assert_true(vg_normal_quantile(1 - 0x1p-53) == -vg_normal_quantile(0x1p-53));
}

static void test_moments(void **state)
{
    (void)state;
    enum { COUNT = 400000 };
    double mean = 0, square = 0, fourth = 0, uniform = 0, next = 0;
    vg_stream stream = vg_stream_make(7, "x"), other = vg_stream_make(7, "target");
    for (uint64_t i = 0; i < COUNT; i++) {
        double z = vg_random_normal(stream, i), u = vg_random_uniform(other, i);
        assert_true(u > 0 && u < 1);
        mean += z;
        square += z * z;
        fourth += z * z * z * z;
        uniform += u;
        next += z * vg_random_normal(stream, i + 1);
    }
    /* five standard deviations of each */
    double sd = 5 / sqrt(COUNT);
    assert_true(fabs(mean / COUNT) <= sd);
    assert_true(fabs(square / COUNT - 1) <= sd * sqrt(2));
    assert_true(fabs(fourth / COUNT - 3) <= sd * sqrt(96));
    assert_true(fabs(uniform / COUNT - 0.5) <= sd / sqrt(12));
    assert_true(fabs(next / COUNT) <= sd);
}

/* --- number formats --- */

static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        vg_dtype dtype;
        double value, rounded;
    } rows[] = {
        {VG_TF32, 1 + 0x1p-11, 1},                   /* a tie goes to even */
        {VG_TF32, 1 + 3 * 0x1p-11, 1 + 2 * 0x1p-10}, /* up as well as down */
        {VG_TF32, 1 + 0x1p-11 + 0x1p-30, 1 + 0x1p-10},
        {VG_TF32, -(1 + 0x1p-11 + 0x1p-30), -(1 + 0x1p-10)},
        {VG_BF16, 1 + 0x1p-8, 1},
        {VG_BF16, 1 + 3 * 0x1p-8, 1 + 0x1p-6},
        {VG_BF16, 1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-7},
        {VG_BF16, 0x1p-133, 0x1p-133},
        {VG_BF16, 0x1p-134, 0},
        {VG_BF16, 3 * 0x1p-134, 0x1p-132},
        {VG_BF16, 0x1.FFp127, INFINITY},
        {VG_BF16, 0x1.FEp127, 0x1.FEp127},
        {VG_FP32, 0x1.FFFFFFp127, INFINITY},
        {VG_FP32, -0x1p-150, -0.0},
        {VG_FP32, 3 * 0x1p-150, 0x1p-148},
        {VG_FP32, 0.1, (double)0.1f},
        {VG_FP32, INFINITY, INFINITY},
        {VG_FP64, 0.1, 0.1},
        {VG_U8, 3, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double rounded = vg_dtype_round(rows[i].dtype, rows[i].value);
        if (rounded != rows[i].rounded || signbit(rounded) != signbit(rows[i].rounded))
            fail_msg("%s: %a -> %a, expected %a", vg_dtype_name(rows[i].dtype), rows[i].value,
                     rounded, rows[i].rounded);
    }
    assert_true(isnan(vg_dtype_round(VG_BF16, NAN)));
    vg_stream stream = vg_stream_make(1, "rounding");
    for (uint64_t i = 0; i < 100000; i++) {
        double value = ldexp(vg_random_normal(stream, i), (int)(i % 300) - 150);
        assert_true(vg_dtype_round(VG_FP32, value) == (double)(float)value);
    }
}

/* --- tensors of a case --- */

typedef struct vg_filled {
    vg_program *program;
    const vg_tensor *tensor;
    double *values;
    size_t rows, cols;
} vg_filled;

static vg_filled fill(const char *name, const char *tensor)
{
    vg_model model;
    vg_filled f = {0};
    if (vg_case_parse(name, &model) || vg_lower(&model, &(vg_lowering){0}, &f.program))
        fail_msg("%s: %s", name, vg_reason());
    f.tensor = vg_program_tensor(f.program, tensor);
    if (!f.tensor)
        fail_msg("%s has no tensor %s", name, tensor);
    f.rows = f.tensor->mat.rows;
    f.cols = f.tensor->mat.cols;
    f.values = malloc(f.rows * f.cols * sizeof *f.values);
    assert_non_null(f.values);
    if (vg_fill(f.program, f.tensor, f.values))
        fail_msg("%s, %s: %s", name, tensor, vg_reason());
    return f;
}

static void drop(vg_filled *f)
{
    free(f->values);
    vg_program_free(f->program);
}

/* What the law of a tensor says: the largest |value| (0: unbounded), mean and variance. */
static void test_laws(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        double bound, mean, variance;
    } rows[] = {
        {"stack-tanh/d2/w300/i100/b64/fp32/xavier/seed1", "weight_0", 0.1224745, 0, 0.005},
        {"stack-tanh/d2/w300/i100/b64/fp32/xavier/seed1", "bias_0", 0, 0, 0},
        {"stack-relu/d2/w300/i100/b64/fp32/he/seed1", "weight_1", 0, 0, 2.0 / 300},
        {"stack-leaky_relu/d2/w300/b64/fp32/he/alpha0.5/seed1", "weight_0", 0, 0, 2 / (1.25 * 300)},
        {"stack-maxout/d2/w300/b64/fp32/lecun/seed1", "weight_1", 0, 0, 1.0 / 300},
        {"stack-maxout/d2/w300/b64/fp32/xavier/seed1", "weight_1", 0.1, 0, 0.01 / 3},
        {"stack-tanh/d2/w300/b64/fp32/normal:3/seed1", "weight_1", 0, 0, 9.0 / 300},
        {"stack-tanh/d1/w30000/i3/b2/fp32/normal:3:0.5/seed1", "bias_0", 0, 0, 0.25},
        {"stack-tanh/d2/w300/i100/b64/fp32/uniform/seed1", "weight_0", 0.1, 0, 0.01 / 3},
        {"stack-tanh/d1/w30000/i4/b2/fp32/uniform/seed1", "bias_0", 0.5, 0, 0.25 / 3},
        {"lstm/d1/w100/i300/b2/t3/fp32/uniform/seed1", "weight_ih_l0", 0.1, 0, 0.01 / 3},
        {"lstm/d1/w100/i300/b2/t3/fp32/uniform/seed1", "bias_hh_l0", 0.1, 0, 0.01 / 3},
        {"lstm/d1/w100/i50/b2/t3/fp32/xavier/seed1", "weight_ih_l0", 0.2, 0, 0.04 / 3},
        {"gru/d1/w100/i50/b2/t3/fp32/normal:2/seed1", "weight_ih_l0", 0, 0, 4.0 / 50},
        {"rnn-relu/d1/w100/i300/b2/t3/fp32/identity/seed1", "weight_ih_l0", 0.1, 0.05, 0.01 / 12},
        {"rnn-relu/d1/w100/o90/b2/t3/fp32/identity/seed1", "weight_out", 0.1, 0, 0.01 / 3},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/seed1", "x", 0, 0, 1},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/at-all/seed1", "target", 0, 0, 1},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/x-abs/seed1", "x", 0, 0.797884561, 0.363380228},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/x-ones/seed1", "x", 1, 1, 0},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/x-zero/seed1", "x", 0, 0, 0},
        {"rnn-tanh/d1/w100/b64/t9/fp32/uniform/h0-0.5/seed1", "h_0", 0.5, 0.5, 0},
        {"lstm/d1/w100/b64/t9/fp32/uniform/h0-0.5/seed1", "c_0", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_filled f = fill(rows[i].name, rows[i].tensor);
        size_t n = f.rows * f.cols;
        double sum = 0, squares = 0, most = 0;
        for (size_t k = 0; k < n; k++) {
            sum += f.values[k];
            most = fmax(most, fabs(f.values[k]));
        }
        for (size_t k = 0; k < n; k++)
            squares += (f.values[k] - sum / (double)n) * (f.values[k] - sum / (double)n);
        /* five standard deviations; the fourth moment is at most 3 times the variance squared */
        double sd = sqrt(rows[i].variance), root = sqrt((double)n), mean = sum / (double)n;
        bool fine = fabs(mean - rows[i].mean) <= 5 * sd / root + 1e-12;
        fine = fine &&
               fabs(squares / (double)n - rows[i].variance) <= 10 * rows[i].variance / root + 1e-12;
        fine = fine && (rows[i].bound == 0 ||
                        (most <= rows[i].bound * (1 + 1e-6) && most >= 0.97 * rows[i].bound));
        if (!fine)
            fail_msg("%s, %s: mean %g, variance %g, largest %g", rows[i].name, rows[i].tensor, mean,
                     squares / (double)n, most);
        drop(&f);
    }
}

/* The largest |Q Qᵀ - gain² I| over rows, or over columns where there are more rows. */
static double off_orthogonal(const double *q, size_t rows, size_t cols, double gain)
{
    bool by_columns = rows > cols;
    size_t n = by_columns ? cols : rows, length = by_columns ? rows : cols;
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double dot = i == j ? -gain * gain : 0;
            for (size_t k = 0; k < length; k++)
                dot += by_columns ? q[k * cols + i] * q[k * cols + j]
                                  : q[i * cols + k] * q[j * cols + k];
            worst = fmax(worst, fabs(dot));
        }
    return worst;
}

static void test_orthogonal(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        size_t blocks;
        double gain;
    } rows[] = {
        {"stack-tanh/d2/w48/i20/b2/fp64/orthogonal/seed1", "weight_0", 1, 1},
        {"stack-tanh/d2/w20/i48/b2/fp64/orthogonal:1.5/seed1", "weight_0", 1, 1.5},
        {"stack-tanh/d2/w48/o7/b2/fp64/orthogonal/seed1", "weight_out", 1, 1},
        {"stack-maxout/d2/w33/b2/fp64/orthogonal/seed1", "weight_1", 2, 1},
        {"stack-tanh/d2/w1/b2/fp64/orthogonal/seed1", "weight_1", 1, 1},
        {"gru/d1/w40/b2/t2/fp64/orthogonal:0.5/seed1", "weight_hh_l0", 3, 0.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_filled f = fill(rows[i].name, rows[i].tensor);
        size_t block = f.rows / rows[i].blocks;
        for (size_t k = 0; k < rows[i].blocks; k++) {
            double off = off_orthogonal(f.values + k * block * f.cols, block, f.cols, rows[i].gain);
            if (!(off <= 1e-14 * (double)f.cols))
                fail_msg("%s, %s, block %zu: off by %g", rows[i].name, rows[i].tensor, k, off);
        }
        for (size_t k = 1; k < rows[i].blocks; k++)
            assert_memory_not_equal(f.values, f.values + k * block * f.cols, sizeof(double));
        drop(&f);
    }
}

/* Uniform over the group: of 2 x 2 matrices half are reflections, and the trace squared has mean 1
 * (that of a rotation has 2, of a reflection 0). */
static void test_orthogonal_is_uniform(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    double determinant = 0, trace = 0, first = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double q[4];
        for (uint64_t k = 0; k < 4; k++)
            q[k] = vg_random_normal(vg_stream_make(3, "q"), 4 * i + k);
        assert_int_equal(vg_random_orthogonal(q, 2, 2), VG_OK);
        determinant += q[0] * q[3] - q[1] * q[2];
        trace += (q[0] + q[3]) * (q[0] + q[3]);
        first += q[0];
    }
    double sd = 5 / sqrt(COUNT);
    assert_true(fabs(determinant / COUNT) <= sd);
    assert_true(fabs(trace / COUNT - 1) <= sd * sqrt(2));
    assert_true(fabs(first / COUNT) <= sd);
}

static void test_identity_and_spectral(void **state)
{
    (void)state;
    vg_filled f = fill("rnn-relu/d1/w9/b2/t3/fp32/identity:0.5/seed1", "weight_hh_l0");
    for (size_t i = 0; i < 81; i++)
        assert_true(f.values[i] == (i % 10 == 0 ? 0.5 : 0));
    drop(&f);
    f = fill("stack-relu/d2/w9/i4/b2/fp32/identity/seed1", "weight_0");
    for (size_t i = 0; i < 36; i++)
        assert_true(f.values[i] == (i % 5 == 0 && i < 16 ? 1 : 0));
    drop(&f);
    f = fill("lstm/d1/w24/b2/t3/fp64/spectral:0.9/seed1", "weight_hh_l0");
    for (size_t k = 0; k < 4; k++) {
        double radius = vg_spectral_radius(f.values + k * 24 * 24, 24);
        if (!(fabs(radius - 0.9) <= 1e-6))
            fail_msg("gate %zu: spectral radius %.9g", k, radius);
    }
    drop(&f);
}

static void test_forget_bias(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        double value;
    } rows[] = {
        {"lstm/d2/w8/b2/t3/fp32/uniform/fb2/seed1", "bias_ih_l1", 2},
        {"lstm/d2/w8/b2/t3/fp32/uniform/fb2/seed1", "bias_hh_l1", 0},
        {"gru/d2/w8/b2/t3/fp32/uniform/fb-1/seed1", "bias_ih_l0", -1},
        {"gru/d2/w8/b2/t3/fp32/uniform/fb-1/seed1", "bias_hh_l0", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_filled f = fill(rows[i].name, rows[i].tensor);
        for (size_t k = 0; k < f.cols; k++)
            assert_true((f.values[k] == rows[i].value) == (k >= 8 && k < 16));
        drop(&f);
    }
}

/* The same bits again; others for another tensor, layer or seed; an element's value does not depend
 * on how many there are. */
static void test_reproducible(void **state)
{
    (void)state;
    static const char *const name = "stack-tanh/d2/w64/b4/fp32/xavier/seed1";
    vg_filled a = fill(name, "weight_0"), again = fill(name, "weight_0");
    vg_filled other = fill(name, "weight_1");
    vg_filled seed = fill("stack-tanh/d2/w64/b4/fp32/xavier/seed2", "weight_0");
    size_t bytes = 64 * 64 * sizeof(double);
    assert_memory_equal(a.values, again.values, bytes);
    for (size_t i = 0; i < 64 * 64; i++)
        assert_true(a.values[i] != other.values[i] && a.values[i] != seed.values[i]);
    vg_filled small = fill("stack-tanh/d2/w64/b3/fp32/xavier/seed1", "x");
    vg_filled large = fill(name, "x");
    assert_memory_equal(small.values, large.values, 3 * 64 * sizeof(double));
    assert_int_equal(vg_fill(a.program, vg_program_tensor(a.program, "dx"), a.values), VG_INVALID);
    vg_filled *all[] = {&a, &again, &other, &seed, &small, &large};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        drop(all[i]);
}

/* Values are those of the dtype; biases and c_0 keep fp32, and h_0 stands with y. */
static void test_dtype_of_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tensor;
        vg_dtype dtype;
    } rows[] = {
        {"stack-tanh/d2/w64/b4/bf16/uniform/seed1", "weight_0", VG_BF16},
        {"stack-tanh/d2/w64/b4/bf16/uniform/seed1", "x", VG_BF16},
        {"stack-tanh/d2/w64/b4/bf16/uniform/seed1", "bias_0", VG_FP32},
        {"stack-tanh/d2/w64/b4/tf32/uniform/seed1", "weight_0", VG_TF32},
        {"stack-tanh/d2/w64/b4/tf32/uniform/seed1", "bias_0", VG_FP32},
        {"stack-tanh/d2/w64/b4/fp32/uniform/seed1", "target", VG_FP32},
        {"lstm/d1/w64/b4/t2/bf16/uniform/h0-0.1/seed1", "h_0", VG_BF16},
        {"lstm/d1/w64/b4/t2/tf32/uniform/h0-0.1/seed1", "h_0", VG_FP32},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_filled f = fill(rows[i].name, rows[i].tensor);
        size_t coarser = 0, n = f.rows * f.cols;
        for (size_t k = 0; k < n; k++) {
            assert_true(vg_dtype_round(rows[i].dtype, f.values[k]) == f.values[k]);
            coarser += vg_dtype_round(VG_BF16, f.values[k]) == f.values[k];
        }
        assert_true(rows[i].dtype == VG_BF16 ? coarser == n : coarser < n);
        drop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_laws),
        cmocka_unit_test(test_orthogonal),
        cmocka_unit_test(test_orthogonal_is_uniform),
        cmocka_unit_test(test_identity_and_spectral),
        cmocka_unit_test(test_forget_bias),
        cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_dtype_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
