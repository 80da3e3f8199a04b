/* The fit of a decay curve, on curves whose numbers are known. */
#include "vg/measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEPTH = 64, MOST = DEPTH + 1 };

static const double per_k = -0.25; /* log10 a layer */

static void near(const char *what, double value, double expected, double tolerance)
{
    if (isnan(expected) ? isnan(value) : value == expected)
        return;
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s: %.17g, expected %.17g, tolerance %g", what, value, expected, tolerance);
}

static void geometric(double *curve, size_t n, double start, double slope)
{
    for (size_t k = 0; k < n; k++)
        curve[k] = start + slope * (double)k;
}

/* What the fit must say of one curve; plain is the exact curve but for `plain_from`, from where it
 * reads `plain_value`. */
typedef struct expectation {
    const char *name;
    size_t n;
    double start, slope;
    size_t exact_from, plain_from; /* n: nowhere */
    double exact_value, plain_value;
    double rate, half_life, log10_ratio, r2;
    int64_t reach, underflow_at;
    vg_verdict verdict;
} expectation;

static void known_curves(void **state)
{
    (void)state;
    const double rate = pow(10, per_k), half = log10(2) / 0.25, none = NAN;
    const expectation table[] = {
        {"vanishing", 65, 2, per_k, 65, 65, 0, 0, rate, half, -16, 1, 12, -1, VG_VANISHING},
        {"exploding", 65, 2, 0.25, 65, 65, 0, 0, 1 / rate, half, 16, 1, 64, -1, VG_EXPLODING},
        {"constant", 65, -7.3, 0, 65, 65, 0, 0, 1, INFINITY, 0, 1, 64, -1, VG_STABLE},
        {"stable to -3", 13, 0, per_k, 13, 13, 0, 0, rate, half, -3, 1, 12, -1, VG_STABLE},
        {"below -3", 14, 0, per_k, 14, 14, 0, 0, rate, half, -3.25, 1, 12, -1, VG_VANISHING},
        {"four points", 4, 0, per_k, 4, 4, 0, 0, none, none, -0.75, none, 3, -1, VG_STABLE},
        {"five points", 5, 0, per_k, 5, 5, 0, 0, rate, half, -1, 1, 4, -1, VG_STABLE},
        {"one point", 1, 4, 0, 1, 1, 0, 0, none, none, 0, none, 0, -1, VG_STABLE},
        {"plain zero", 65, 0, per_k, 65, 40, 0, -INFINITY, rate, half, -16, 1, 12, 40,
         VG_VANISHING},
        {"plain infinite", 65, 0, 0.25, 65, 50, 0, NAN, 1 / rate, half, 16, 1, 64, 50,
         VG_EXPLODING},
        {"dead at 30", 65, 0, per_k, 30, 30, -INFINITY, -INFINITY, rate, half, -INFINITY, 1, 12, -1,
         VG_DEAD},
        {"dead at 8", 65, 0, per_k, 8, 8, -INFINITY, -INFINITY, none, none, -INFINITY, none, 7, -1,
         VG_DEAD},
        {"dead at once", 65, 0, per_k, 0, 0, -INFINITY, -INFINITY, none, none, NAN, none, -1, -1,
         VG_DEAD},
        {"not finite", 65, 0, 0.25, 60, 60, NAN, NAN, none, none, NAN, none, -1, -1, VG_OVERFLOW},
        {"infinite", 65, 0, 0.25, 60, 60, INFINITY, NAN, none, none, INFINITY, none, -1, -1,
         VG_OVERFLOW},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const expectation *e = &table[i];
        double exact[MOST] = {0}, plain[MOST];
        vg_decay d;
        geometric(exact, e->n, e->start, e->slope);
        memcpy(plain, exact, sizeof plain);
        for (size_t k = e->exact_from; k < e->n; k++)
            exact[k] = e->exact_value;
        for (size_t k = e->plain_from; k < e->n; k++)
            plain[k] = e->plain_value;
        vg_decay_fit(exact, plain, e->n, true, &d);
        near(e->name, d.rate, e->rate, 1e-13);
        near(e->name, d.half_life, e->half_life, 1e-11);
        near(e->name, d.log10_ratio, e->log10_ratio, 1e-13);
        near(e->name, d.r2, e->r2, 1e-13);
        if (d.reach != e->reach || d.underflow_at != e->underflow_at || d.verdict != e->verdict)
            fail_msg("%s: reach %d, underflow at %d, %s", e->name, (int)d.reach,
                     (int)d.underflow_at, vg_verdict_name(d.verdict));
    }
}

/* Both ends may bend as they like: 10 % at each are not fitted. */
static void ends_are_left_out(void **state)
{
    (void)state;
    double curve[MOST];
    vg_decay d;
    geometric(curve, MOST, 0, per_k);
    for (size_t k = 0; k < MOST / 10; k++)
        curve[k] += 5, curve[MOST - 1 - k] -= 9;
    vg_decay_fit(curve, curve, MOST, true, &d);
    near("rate", d.rate, pow(10, per_k), 1e-13);
    near("ratio", d.log10_ratio, -16 - 14, 1e-13);
    curve[MOST / 10] += 1;
    vg_decay_fit(curve, curve, MOST, true, &d);
    assert_true(fabs(d.rate - pow(10, per_k)) > 1e-4);
}

/* y = x² over 0..8 (9 points, none left out): slope 8, r² = kg² / (kk gg). */
static void goodness_of_fit(void **state)
{
    (void)state;
    double curve[9];
    vg_decay d;
    for (size_t k = 0; k < 9; k++)
        curve[k] = (double)(k * k) / log(10);
    vg_decay_fit(curve, curve, 9, true, &d);
    near("slope", log(d.rate), 8, 1e-12);
    near("r2", d.r2, 480.0 * 480 / (60.0 * 4148), 1e-12);
}

/* The plain reading is judged at 1 %, on both sides, and at the first place. */
static void underflow_threshold(void **state)
{
    (void)state;
    static const struct {
        double factor;
        int64_t at;
    } table[] = {{0.9901, -1}, {0.9899, 20}, {1.0099, -1}, {1.0101, 20}};
    for (size_t i = 0; i < 4; i++) {
        double exact[MOST], plain[MOST];
        vg_decay d;
        geometric(exact, MOST, -30, per_k);
        memcpy(plain, exact, sizeof plain);
        for (size_t k = 20; k < MOST; k += 3)
            plain[k] += log10(table[i].factor);
        vg_decay_fit(exact, plain, MOST, true, &d);
        assert_int_equal(d.underflow_at, table[i].at);
    }
}

static void without_a_rate(void **state)
{
    (void)state;
    double curve[MOST];
    vg_decay d;
    geometric(curve, MOST, 0, per_k);
    vg_decay_fit(curve, curve, MOST, false, &d);
    assert_true(isnan(d.rate) && isnan(d.half_life) && isnan(d.r2));
    assert_int_equal(d.reach, 12);
    assert_int_equal(d.verdict, VG_VANISHING);
}

/* A million steps at 0.3 and at 2: exponents beyond what any float holds. */
static void long_sequences(void **state)
{
    (void)state;
    enum { T = 1000000 };
    double *exact = malloc((T + 1) * sizeof *exact), *plain = malloc((T + 1) * sizeof *plain);
    assert_non_null(exact);
    assert_non_null(plain);
    vg_decay d;
    geometric(exact, T + 1, 0, log10(0.3));
    for (size_t k = 0; k <= T; k++)
        plain[k] = k <= 83 ? exact[k] : -INFINITY;
    vg_decay_fit(exact, plain, T + 1, true, &d);
    near("rate", d.rate, 0.3, 1e-10);
    near("ratio", d.log10_ratio, 1e6 * log10(0.3), 1e-6);
    assert_int_equal(d.reach, 5);
    assert_int_equal(d.underflow_at, 84);
    assert_int_equal(d.verdict, VG_VANISHING);
    geometric(exact, T + 1, -3, log10(2));
    vg_decay_fit(exact, exact, T + 1, true, &d);
    near("rate", d.rate, 2, 1e-10);
    near("half-life", d.half_life, 1, 1e-10);
    assert_int_equal(d.reach, T);
    assert_int_equal(d.verdict, VG_EXPLODING);
    free(exact);
    free(plain);
}

static void slots(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vg_slot slot;
        int64_t exponent;
        double expected;
    } table[] = {
        {"five", {.sum_squares = 25, .max_abs = 4}, 0, 0.69897000433601886},
        {"scaled down",
         {.sum_squares = 25, .max_abs = 4},
         -1000000,
         0.69897000433601886 - 301029.995663981195},
        {"scaled up", {.sum_squares = 1, .max_abs = 1}, 1000000, 301029.995663981195},
        {"zero", {.zeros = 8, .elements = 8}, 77, -INFINITY},
        {"squares underflow", {.sum_squares = 25, .exponent = -1000}, 1000, 0.69897000433601886},
        {"squares overflow", {.sum_squares = 25, .exponent = 600}, -600, 0.69897000433601886},
        {"NaN", {.sum_squares = NAN, .max_abs = 1, .nans = 1}, 0, NAN},
        {"a NaN that the sum lost", {.sum_squares = 1, .max_abs = 1, .nans = 1}, 0, NAN},
        {"infinite", {.sum_squares = INFINITY, .max_abs = INFINITY, .infinities = 2}, 0, NAN},
        {"infinite, not counted", {.sum_squares = INFINITY, .max_abs = INFINITY}, 0, NAN},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        near(table[i].name, vg_slot_log10(&table[i].slot, table[i].exponent), table[i].expected,
             1e-9);
    assert_true(vg_slot_norm(&(vg_slot){.sum_squares = 25, .exponent = -700}) == ldexp(5, -700));
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(vg_direction_name(VG_DEPTH), "depth");
    assert_string_equal(vg_direction_name(VG_TIME), "time");
    assert_string_equal(vg_verdict_name(VG_OVERFLOW), "overflow");
    assert_string_equal(vg_verdict_name(VG_DEAD), "dead");
    assert_string_equal(vg_verdict_name(VG_VANISHING), "vanishing");
    assert_string_equal(vg_verdict_name(VG_EXPLODING), "exploding");
    assert_string_equal(vg_verdict_name(VG_STABLE), "stable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_curves),    cmocka_unit_test(ends_are_left_out),
        cmocka_unit_test(goodness_of_fit), cmocka_unit_test(underflow_threshold),
        cmocka_unit_test(without_a_rate),  cmocka_unit_test(long_sequences),
        cmocka_unit_test(slots),           cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
