/* The rescaled reading against the plain one, both in the double oracle: where nothing underflows
 * they are the same numbers, whatever the pieces. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "run_model.h"
#include "vg/measure.h"

static const char *const cases[] = {
    "stack-tanh/d5/w7/i4/o3/b3/fp32/xavier/seed1",
    "stack-leaky_relu/d4/w6/b3/fp32/he/residual/seed1",
    "stack-maxout/d3/w5/i4/b3/fp32/lecun/residual/loss-ones/seed1",
    "rnn-tanh/d1/w4/b2/t7/fp32/uniform/seed1",
    "rnn-tanh/d3/w4/i3/b2/t7/fp32/uniform/h0-0.5/seed1",
    "rnn-relu/d2/w4/o3/b2/t6/fp32/uniform/at-all/seed1",
    "lstm/d1/w4/b1/t1/fp32/uniform/seed1",
    "lstm/d2/w4/i3/b2/t9/fp32/uniform/loss-random/seed1",
    "lstm+sigmoid/d3/w4/o2/b2/t5/fp32/uniform/at-all/seed1",
    "gru/d2/w5/i3/b2/t8/fp32/uniform/seed1",
    "gru+tanh/d2/w5/o3/b3/t8/fp32/orthogonal/at-all/seed1",
};

/* The exponent of the exact reading's slot i, as program.h says. */
static int64_t exponent_of(const run_model *run, const vg_profile *p, uint64_t i)
{
    if (p->exponent == VG_NO_SLOT)
        return 0;
    uint64_t step = p->first_step + i;
    uint64_t piece = p->steps && step > 0 ? (step - 1) / p->piece : 0;
    return run->slots[p->exponent + piece].exponent;
}

static void compare(const run_model *run, uint64_t piece)
{
    for (uint32_t k = 0; k < run->program->profile_count; k++) {
        const vg_profile *p = &run->program->profiles[k];
        for (uint64_t i = 0; i < (p->steps ? p->steps : 1); i++) {
            const vg_slot *plain = &run->slots[p->plain + i], *exact = &run->slots[p->exact + i];
            double a = vg_slot_log10(plain, 0);
            double b = vg_slot_log10(exact, exponent_of(run, p, i));
            bool fine = isinf(a) ? a == b : fabs(a - b) <= 1e-12;
            if (!fine || plain->elements != exact->elements || plain->elements == 0)
                fail_msg("%s in pieces of %d: %s of layer %u, step %d: plain %.17g, exact %.17g",
                         run->name, (int)piece, p->tensor, p->layer, (int)(p->first_step + i), a,
                         b);
        }
    }
}

static void test_same_numbers(void **state)
{
    (void)state;
    static const uint64_t pieces[] = {1, 2, 3, 4, 16};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            run_model run;
            run_load(&run, cases[i], "ref", NULL, pieces[k]);
            run_passes(&run, RUN_ALL);
            compare(&run, pieces[k]);
            run_free(&run);
        }
}

/* PROBE repeats BWD_DATA's scan in windows of its own: the same bits. */
static void test_probe_repeats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_model run;
        run_start(&run, cases[i], "ref");
        const vg_op *first = NULL;
        size_t compared = 0;
        for (uint32_t k = 0; k < run.program->op_count; k++) {
            const vg_op *op = &run.program->ops[k];
            if (op->kind != VG_SCAN_BWD || op->pass != VG_PASS_PROBE)
                continue;
            for (first = run.program->ops; first->kind != VG_SCAN_BWD || first->layer != op->layer;
                 first++)
                ;
            for (const vg_operand *o = vg_op_operands(VG_SCAN_BWD); o->name; o++) {
                vg_mat a = *vg_op_mat(first, o), b = *vg_op_mat(op, o);
                if (o->access == VG_READS || a.rows == 0)
                    continue;
                size_t bytes = (size_t)a.rows * a.cols * sizeof(double);
                double *x = malloc(bytes), *y = malloc(bytes);
                assert_true(x && y && a.at != b.at);
                run_try(&run, o->name, run.driver->read(run.exec, a, x));
                run_try(&run, o->name, run.driver->read(run.exec, b, y));
                assert_memory_equal(x, y, bytes);
                free(x);
                free(y);
                compared++;
            }
        }
        assert_true((compared > 0) == (run.model.kind != VG_stack));
        run_free(&run);
    }
}

/* Far below the smallest double the exact reading goes on: sigmoid, 0 weights but the diagonal. */
static void test_beyond_underflow(void **state)
{
    (void)state;
    run_model run;
    run_load(&run, "stack-sigmoid/d600/w1/b1/fp32/identity:0.01/loss-ones/seed1", "ref", NULL, 0);
    run_passes(&run, RUN_ALL);
    const vg_profile *input = run_profile(&run, "dh", 0), *top = run_profile(&run, "dh", 600);
    assert_true(run.slots[input->plain].sum_squares == 0);
    double ratio = vg_slot_log10(&run.slots[input->exact], exponent_of(&run, input, 0)) -
                   vg_slot_log10(&run.slots[top->exact], exponent_of(&run, top, 0));
    /* each layer: 0.01 times a derivative between 0.2 and 0.25 */
    assert_true(ratio < 600 * log10(0.0025) && ratio > 600 * log10(0.002));
    run_free(&run);

    run_load(&run, "rnn-relu/d1/w2/b1/t3000/fp32/identity:0.25/loss-ones/x-abs/seed1", "ref", NULL,
             16);
    run_passes(&run, RUN_ALL);
    const vg_profile *dh = run_profile(&run, "dh", 1);
    for (uint64_t step = 1; step <= 3000; step++) {
        double log = vg_slot_log10(&run.slots[dh->exact + step], exponent_of(&run, dh, step));
        double expected = log10(sqrt(2)) - (double)(3000 - step) * log10(4);
        if (!(fabs(log - expected) <= 1e-9))
            fail_msg("%s, step %d: %.12g, expected %.12g", run.name, (int)step, log, expected);
    }
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_numbers),
                                       cmocka_unit_test(test_probe_repeats),
                                       cmocka_unit_test(test_beyond_underflow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
