/* The reductions of every usable instruction set: right, and the same bits on all. */
#include "denormals.h"
#include "kernel_trial.h"
#include "ref_vf.h"

#define EPS 0x1p-23

typedef void check_fn(const vg_kernels *k, const plane *x, const plane *other);

/* Calls the check for every instruction set, shape and, as numbers, plain and special values. */
static void each_matrix(check_fn *check)
{
    static const float special[] = {0, -0.0f, 0x1p-149f, -0x1p-127f, NAN, INFINITY, -INFINITY, 7};
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (size_t i = 0; i < 2 * SHAPE_COUNT; i++) {
            shape s = shape_of(i % SHAPE_COUNT, i % 4 ? isa->kernels->lanes : 16);
            plane x = shape_plane(&s, 1), other = shape_plane(&s, 1);
            plane_random(&x, i, 2);
            plane_random(&other, i + 1000, 2);
            for (size_t r = 0; i >= SHAPE_COUNT && r < x.rows; r++)
                for (size_t j = r % 2; j < x.cols; j += 3)
                    plane_floats(&x)[r * x.ld + j] = special[(i + r + j / 3) % (i % 2 ? 4 : 8)];
            check(isa->kernels, &x, &other);
            assert_true(plane_intact(&x));
            assert_true(plane_intact(&other));
            plane_free(&x);
            plane_free(&other);
        }
}

static void assert_doubles(const char *what, const vg_kernels *k, const plane *x, double got,
                           double want, double tolerance)
{
    if (!(want != want ? got != got : got == want || fabs(got - want) <= tolerance))
        fail_msg("%s on %s, %zu x %zu (ld %zu): %.17g, expected %.17g within %g", what, k->name,
                 x->rows, x->cols, x->ld, got, want, tolerance);
}

static void assert_counts(const char *what, const vg_kernels *k, const plane *x, uint64_t got,
                          uint64_t want)
{
    if (got != want)
        fail_msg("%s on %s, %zu x %zu (ld %zu): %llu, expected %llu", what, k->name, x->rows,
                 x->cols, x->ld, (unsigned long long)got, (unsigned long long)want);
}

/* As the header says, element by element. */
static vg_slot plain_measure(const plane *x, float *finite)
{
    vg_slot slot = {.elements = x->rows * x->cols};
    *finite = 0;
    for (size_t r = 0; r < x->rows; r++)
        for (size_t j = 0; j < x->cols; j++) {
            float v = plane_at(x, r, j), size = fabsf(v);
            int class = fpclassify(v);
            slot.zeros += class == FP_ZERO;
            slot.subnormals += class == FP_SUBNORMAL;
            slot.infinities += class == FP_INFINITE;
            slot.nans += class == FP_NAN;
            slot.sum_squares += (double)v * v;
            slot.max_abs = size > slot.max_abs ? size : slot.max_abs;
            if (isfinite(v) && size > *finite)
                *finite = size;
        }
    return slot;
}

static void check_measure(const vg_kernels *k, const plane *x, const plane *other)
{
    (void)other;
    float finite;
    vg_slot want = plain_measure(x, &finite), got, scalar;
    memset(&got, 0x55, sizeof got);
    memset(&scalar, 0x55, sizeof scalar);
    vg_kernels_scalar.measure(x->rows, x->cols, rows_in(x), &scalar);
    float got_finite = k->measure(x->rows, x->cols, rows_in(x), &got);
    assert_doubles("largest finite", k, x, got_finite, finite, 0);
    assert_doubles("max_abs", k, x, got.max_abs, want.max_abs, 0);
    assert_doubles("sum_squares", k, x, got.sum_squares, want.sum_squares,
                   1e-14 * want.sum_squares);
    assert_doubles("sum_squares, as scalar", k, x, got.sum_squares, scalar.sum_squares, 0);
    assert_doubles("sum_squares alone", k, x, k->sum_squares(x->rows, x->cols, rows_in(x)),
                   scalar.sum_squares, 0);
    assert_counts("elements", k, x, got.elements, want.elements);
    assert_counts("zeros", k, x, got.zeros, want.zeros);
    assert_counts("subnormals", k, x, got.subnormals, want.subnormals);
    assert_counts("infinities", k, x, got.infinities, want.infinities);
    assert_counts("nans", k, x, got.nans, want.nans);
}

static void test_measure(void **state)
{
    (void)state;
    each_matrix(check_measure);
}

/* A thread that flushes still sees what memory holds, and flushes afterwards. */
static void test_measure_while_flushing(void **state)
{
    (void)state;
    float x[20] = {0x1p-149f, 0, -0x1p-130f};
    volatile float tiny = 0x1p-130f;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++) {
        vg_slot slot;
        uint64_t mode = vg_denormals_set(true);
        float finite = isa->kernels->measure(1, 20, (vg_rows_in){x, 20}, &slot);
        float half = tiny * 0.5f;
        vg_denormals_restore(mode);
        assert_int_equal(slot.subnormals, 2);
        assert_int_equal(slot.zeros, 18);
        assert_true(finite == 0x1p-130f);
        assert_true(slot.max_abs == 0x1p-130);
        assert_true(slot.sum_squares == 0x1p-298 + 0x1p-260);
        assert_true(half == 0);
    }
}

static double slope_of(vg_activation activation, float y, float alpha)
{
    return fabs(vf_activation_derivative(activation, y, alpha));
}

static vg_slot plain_census(const plane *x, vg_activation activation, double bound)
{
    double sum = 0;
    uint64_t saturated = 0, dead = 0;
    for (size_t j = 0; j < x->cols; j++) {
        int alive = 0;
        for (size_t r = 0; r < x->rows; r++) {
            double slope = slope_of(activation, plane_at(x, r, j), 0.25f);
            sum += slope;
            saturated += slope < 0.01 * bound;
            alive = alive || !(slope == 0);
        }
        dead += !alive;
    }
    double elements = (double)x->rows * (double)x->cols;
    return (vg_slot){.mean_abs_derivative = sum / elements,
                     .saturated = (double)saturated / elements,
                     .dead = (double)dead / (double)x->cols};
}

static void check_census(const vg_kernels *k, const plane *x, const plane *other)
{
    (void)other;
    static const double bound[] = {
#define VG_ACTIVATION(id, stack, rnn, b, kink) [VG_##id] = b,
#include "vg/activations.def"
#undef VG_ACTIVATION
    };
    for (int a = 0; a < VG_ACTIVATION_COUNT && x->rows && x->cols; a++) {
        vg_slot want = plain_census(x, (vg_activation)a, bound[a]), got, scalar;
        k->census(x->rows, x->cols, (vg_activation)a, 0.25f, rows_in(x), &got);
        vg_kernels_scalar.census(x->rows, x->cols, (vg_activation)a, 0.25f, rows_in(x), &scalar);
        assert_doubles("mean derivative", k, x, got.mean_abs_derivative, want.mean_abs_derivative,
                       4 * EPS * want.mean_abs_derivative);
        assert_doubles("mean derivative, as scalar", k, x, got.mean_abs_derivative,
                       scalar.mean_abs_derivative, 0);
        assert_doubles("saturated", k, x, got.saturated, want.saturated, 0);
        assert_doubles("dead", k, x, got.dead, want.dead, 0);
    }
}

static void test_census(void **state)
{
    (void)state;
    each_matrix(check_census);
}

static void check_loss(const vg_kernels *k, const plane *x, const plane *target)
{
    for (int kind = 0; kind < VG_LOSS_COUNT; kind++) {
        plane dy = plane_new(sizeof(float), x->rows, x->cols, x->ld, 1);
        vg_loss_rows l = {.rows = x->rows, .cols = x->cols, .loss = (vg_loss)kind, .divisor = 3};
        l.y = rows_in(x), l.target = rows_in(target), l.dy = rows_of(&dy);
        double scalar = vg_kernels_scalar.loss(&l), got = k->loss(&l), want = 0, size = 0;
        for (size_t r = 0; r < x->rows; r++)
            for (size_t j = 0; j < x->cols; j++) {
                double y = plane_at(x, r, j), t = plane_at(target, r, j), off = y - t;
                double slope = kind == VG_LOSS_MSE ? off / 3 : kind == VG_LOSS_ONES ? 1 : t;
                double part = kind == VG_LOSS_MSE ? off * off / 6 : y * slope;
                want += part, size += fabs(part);
                assert_doubles("dy", k, x, plane_at(&dy, r, j), slope, EPS * fabs(slope));
            }
        assert_doubles("loss", k, x, got, want, 2 * EPS * size);
        assert_doubles("loss, as scalar", k, x, got, scalar, 0);
        assert_true(plane_intact(&dy));
        plane_free(&dy);
    }
}

static void test_loss(void **state)
{
    (void)state;
    each_matrix(check_loss);
}

static void check_column_sums(const vg_kernels *k, const plane *x, const plane *other)
{
    (void)other;
    plane sums[2];
    for (int i = 0; i < 2; i++)
        sums[i] = plane_new(sizeof(float), 1, x->cols, x->cols, 1);
    k->column_sums(x->rows, x->cols, rows_in(x), plane_floats(sums));
    vg_kernels_scalar.column_sums(x->rows, x->cols, rows_in(x), plane_floats(sums + 1));
    for (size_t j = 0; j < x->cols; j++) {
        double want = 0, size = 0;
        for (size_t r = 0; r < x->rows; r++)
            want += plane_at(x, r, j), size += fabs(plane_at(x, r, j));
        float got = plane_at(sums, 0, j);
        assert_doubles("column sum", k, x, got, want, 8 * EPS * size);
        assert_true(floats_equal(got, plane_at(sums + 1, 0, j)));
    }
    for (int i = 0; i < 2; i++) {
        assert_true(plane_intact(sums + i));
        plane_free(sums + i);
    }
}

static void test_column_sums(void **state)
{
    (void)state;
    each_matrix(check_column_sums);
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (size_t rows = 31; rows <= 97; rows += 33) {
            plane x = plane_new(sizeof(float), rows, 37, 40, 0);
            plane_random(&x, rows, 1);
            check_column_sums(isa->kernels, &x, NULL);
            plane_free(&x);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure),     cmocka_unit_test(test_measure_while_flushing),
        cmocka_unit_test(test_census),      cmocka_unit_test(test_loss),
        cmocka_unit_test(test_column_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
