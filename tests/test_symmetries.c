/* What two runs must agree on: a recurrence of zeros and independent layers, a batch and its parts,
 * a batch in another order, weights times a power of two. On every device that is usable here. */
#include "vg/tolerance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run_model.h"

/* ‖a - scale·b‖ <= tolerance ‖a‖ over `count` elements; tolerance 0: the same bits. */
static void same(const run_model *run, const char *what, const double *a, const double *b,
                 size_t count, double scale, double tolerance)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = a[i] - scale * b[i];
        difference += d * d;
        norm += a[i] * a[i];
    }
    assert_true(norm > 0);
    if (!(sqrt(difference) <= tolerance * sqrt(norm)))
        fail_msg("%s on %s, %s: off by %g of the norm, tolerance %g", run->name, run->on, what,
                 sqrt(difference / norm), tolerance);
}

/* Rounding of one tensor: twice what a reduction of that length may leave. */
static double rounding(const run_model *run, uint64_t length)
{
    double eps = run->driver->oracle ? 0x1p-52 : 0x1p-23;
    return 8 * eps * vg_growth(length);
}

static void same_tensor(const run_model *a, const char *tensor_a, const run_model *b,
                        const char *tensor_b, double scale, double tolerance)
{
    double *va = run_read(a, tensor_a), *vb = run_read(b, tensor_b);
    size_t count = run_elements(run_tensor(a, tensor_a));
    assert_int_equal(count, run_elements(run_tensor(b, tensor_b)));
    same(a, tensor_a, va, vb, count, scale, tolerance);
    free(va);
    free(vb);
}

static void copy_tensor(const run_model *from, const char *tensor_from, const run_model *to,
                        const char *tensor_to)
{
    double *values = run_read(from, tensor_from);
    assert_int_equal(run_elements(run_tensor(from, tensor_from)),
                     run_elements(run_tensor(to, tensor_to)));
    run_write(to, tensor_to, values);
    free(values);
}

/* With W_hh = 0 and b_hh = 0 an rnn's steps are rows of a batch of T·B in a stack. */
static void zero_recurrence(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"weight_ih_l0", "weight_0"},
                                           {"bias_ih_l0", "bias_0"},
                                           {"weight_ih_l1", "weight_1"},
                                           {"bias_ih_l1", "bias_1"}};
    static const char *const results[][2] = {{"y", "y"},
                                             {"dx", "dx"},
                                             {"dweight_ih_l0", "dweight_0"},
                                             {"dbias_ih_l0", "dbias_0"},
                                             {"dweight_ih_l1", "dweight_1"},
                                             {"dbias_ih_l1", "dbias_1"}};
    for (EACH_DEVICE(on)) {
        run_model rnn, stack;
        run_load(&rnn, "rnn-tanh/d2/w19/i7/b3/t5/fp32/uniform/loss-ones/at-all/seed1", on, NULL, 0);
        run_load(&stack, "stack-tanh/d2/w19/i7/b15/fp32/uniform/loss-ones/seed2", on, NULL, 0);
        run_write_all(&rnn, "weight_hh_l0", 0);
        run_write_all(&rnn, "weight_hh_l1", 0);
        run_write_all(&rnn, "bias_hh_l0", 0);
        run_write_all(&rnn, "bias_hh_l1", 0);
        copy_tensor(&rnn, "x", &stack, "x");
        for (size_t i = 0; i < 4; i++)
            copy_tensor(&rnn, pairs[i][0], &stack, pairs[i][1]);
        run_passes(&rnn, RUN_ALL);
        run_passes(&stack, RUN_ALL);
        for (size_t i = 0; i < 6; i++)
            same_tensor(&rnn, results[i][0], &stack, results[i][1], 1, rounding(&rnn, 19 * 15));
        run_free(&rnn);
        run_free(&stack);
    }
}

/* Rows [first, first + rows) of every step of [T, B, cols]. */
static double *part_of(const double *whole, size_t steps, size_t batch, size_t cols, size_t first,
                       size_t rows)
{
    double *out = malloc(steps * rows * cols * sizeof *out);
    assert_non_null(out);
    for (size_t t = 0; t < steps; t++)
        memcpy(out + t * rows * cols, whole + (t * batch + first) * cols,
               rows * cols * sizeof *out);
    return out;
}

typedef struct batch_case {
    const char *whole, *parts[2]; /* names of 7 rows, of 4 and of 3 */
    size_t steps;
    const char *weights[2]; /* gradients whose parts add up */
} batch_case;

static const batch_case batches[] = {
    {"stack-tanh/d3/w33/i5/b7/fp32/xavier/loss-ones/seed1",
     {"stack-tanh/d3/w33/i5/b4/fp32/xavier/loss-ones/seed1",
      "stack-tanh/d3/w33/i5/b3/fp32/xavier/loss-ones/seed1"},
     1,
     {"dweight_0", "dbias_2"}},
    {"rnn-tanh/d2/w17/i5/b7/t6/fp32/uniform/loss-ones/at-all/seed1",
     {"rnn-tanh/d2/w17/i5/b4/t6/fp32/uniform/loss-ones/at-all/seed1",
      "rnn-tanh/d2/w17/i5/b3/t6/fp32/uniform/loss-ones/at-all/seed1"},
     6,
     {"dweight_hh_l0", "dbias_ih_l1"}},
    {"lstm/d1/w17/i5/b7/t6/fp32/uniform/loss-ones/at-all/seed1",
     {"lstm/d1/w17/i5/b4/t6/fp32/uniform/loss-ones/at-all/seed1",
      "lstm/d1/w17/i5/b3/t6/fp32/uniform/loss-ones/at-all/seed1"},
     6,
     {"dweight_hh_l0", "dbias_ih_l0"}},
    {"gru/d1/w17/i5/b7/t6/fp32/uniform/loss-ones/at-all/seed1",
     {"gru/d1/w17/i5/b4/t6/fp32/uniform/loss-ones/at-all/seed1",
      "gru/d1/w17/i5/b3/t6/fp32/uniform/loss-ones/at-all/seed1"},
     6,
     {"dweight_hh_l0", "dbias_ih_l0"}},
};

/* The rows of `tensor` in a part are those of the whole. */
static void same_rows(const run_model *whole, const run_model *part, const char *tensor,
                      const batch_case *c, size_t first, size_t rows)
{
    double *all = run_read(whole, tensor), *some = run_read(part, tensor);
    size_t cols = run_elements(run_tensor(part, tensor)) / (c->steps * rows);
    double *expected = part_of(all, c->steps, 7, cols, first, rows);
    same(part, tensor, some, expected, c->steps * rows * cols, 1, rounding(part, 33));
    free(all);
    free(some);
    free(expected);
}

static void batch_split(void **state)
{
    (void)state;
    static const size_t first[2] = {0, 4}, rows[2] = {4, 3};
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
            const batch_case *c = &batches[i];
            run_model whole, parts[2];
            run_start(&whole, c->whole, on);
            double *x = run_read(&whole, "x");
            for (size_t p = 0; p < 2; p++) {
                double *some = part_of(x, c->steps, 7, 5, first[p], rows[p]);
                run_load(&parts[p], c->parts[p], on, NULL, 0);
                run_write(&parts[p], "x", some);
                run_passes(&parts[p], RUN_ALL);
                same_rows(&whole, &parts[p], "y", c, first[p], rows[p]);
                same_rows(&whole, &parts[p], "dx", c, first[p], rows[p]);
                free(some);
            }
            for (size_t w = 0; w < 2; w++) {
                double *all = run_read(&whole, c->weights[w]);
                double *one = run_read(&parts[0], c->weights[w]);
                double *two = run_read(&parts[1], c->weights[w]);
                size_t count = run_elements(run_tensor(&whole, c->weights[w]));
                for (size_t e = 0; e < count; e++)
                    one[e] += two[e];
                same(&whole, c->weights[w], all, one, count, 1, rounding(&whole, 33 * 42));
                free(all);
                free(one);
                free(two);
            }
            free(x);
            run_free(&whole);
            run_free(&parts[0]);
            run_free(&parts[1]);
        }
}

/* Row b of the second run is row 3·b mod 7 of the first. */
static double *permuted(const double *whole, size_t steps, size_t cols)
{
    double *out = malloc(steps * 7 * cols * sizeof *out);
    assert_non_null(out);
    for (size_t t = 0; t < steps; t++)
        for (size_t b = 0; b < 7; b++)
            memcpy(out + (t * 7 + b) * cols, whole + (t * 7 + 3 * b % 7) * cols,
                   cols * sizeof *out);
    return out;
}

static void batch_permutation(void **state)
{
    (void)state;
    static const char *const rowwise[] = {"y", "dx"};
    for (EACH_DEVICE(on))
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
            const batch_case *c = &batches[i];
            run_model run;
            run_start(&run, c->whole, on);
            double *x = run_read(&run, "x"), *other = permuted(x, c->steps, 5), *before[2];
            for (size_t r = 0; r < 2; r++)
                before[r] = run_read(&run, rowwise[r]);
            double *weights = run_read(&run, c->weights[0]);
            run_write(&run, "x", other);
            run_passes(&run, RUN_ALL);
            for (size_t r = 0; r < 2; r++) {
                size_t count = run_elements(run_tensor(&run, rowwise[r]));
                double *expected = permuted(before[r], c->steps, count / (c->steps * 7));
                double *now = run_read(&run, rowwise[r]);
                same(&run, rowwise[r], now, expected, count, 1, rounding(&run, 33));
                free(expected);
                free(now);
                free(before[r]);
            }
            double *now = run_read(&run, c->weights[0]);
            same(&run, c->weights[0], now, weights, run_elements(run_tensor(&run, c->weights[0])),
                 1, rounding(&run, 42));
            free(now);
            free(weights);
            free(x);
            free(other);
            run_free(&run);
        }
}

static void scale_tensor(const run_model *run, const char *tensor, double scale)
{
    double *values = run_read(run, tensor);
    for (size_t i = 0; i < run_elements(run_tensor(run, tensor)); i++)
        values[i] *= scale;
    run_write(run, tensor, values);
    free(values);
}

/* Without biases a ReLU stack is homogeneous: W_1 times 8 and x times 1/32, bit for bit. */
static void relu_scales(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        double scale;
    } table[] = {{"y", 0.25},         {"dx", 8},      {"dweight_0", 0.25}, {"dweight_1", 0.03125},
                 {"dweight_2", 0.25}, {"dbias_0", 8}, {"dbias_1", 1}};
    for (EACH_DEVICE(on)) {
        run_model plain, scaled;
        const char *name = "stack-relu/d3/w33/i5/b7/fp32/he/loss-random/seed1";
        run_start(&plain, name, on);
        run_load(&scaled, name, on, NULL, 0);
        scale_tensor(&scaled, "weight_1", 8);
        scale_tensor(&scaled, "x", 0.03125);
        run_passes(&scaled, RUN_ALL);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
            same_tensor(&scaled, table[i].tensor, &plain, table[i].tensor, table[i].scale, 0);
        run_free(&plain);
        run_free(&scaled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_recurrence),
        cmocka_unit_test(batch_split),
        cmocka_unit_test(batch_permutation),
        cmocka_unit_test(relu_scales),
    };
    return cmocka_run_group_tests(tests, run_find_devices, run_free_devices);
}
