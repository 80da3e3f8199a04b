/* Rows of gradients and decays from slots that are written by hand. */
#include "bounds.h"
#include "theory.h"

#include "vg/case.h"
#include "vg/lower.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double log10_2 = 0.301029995663981195;

static void near(const char *what, double value, double expected, double tolerance)
{
    if (isnan(expected) ? isnan(value) : value == expected)
        return;
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s: %.17g, expected %.17g, tolerance %g", what, value, expected, tolerance);
}

/* A program and its slots, all zero. */
typedef struct profiled {
    vg_program *program;
    vg_slot *slots;
    vg_profile_rows rows;
} profiled;

static profiled lower(const char *name, uint64_t piece)
{
    profiled p = {0};
    vg_model model;
    vg_lowering how = {false, true, piece};
    if (vg_case_parse(name, &model) || vg_lower(&model, &how, &p.program))
        fail_msg("%s: %s", name, vg_reason());
    p.slots = calloc(p.program->slot_count + 1, sizeof *p.slots);
    assert_non_null(p.slots);
    return p;
}

static void unlower(profiled *p)
{
    vg_profile_rows_free(&p->rows);
    vg_program_free(p->program);
    free(p->slots);
}

static const vg_profile *profile_of(const profiled *p, const char *tensor, uint32_t layer)
{
    for (uint32_t i = 0; i < p->program->profile_count; i++)
        if (p->program->profiles[i].layer == layer &&
            strcmp(p->program->profiles[i].tensor, tensor) == 0)
            return &p->program->profiles[i];
    fail_msg("no profile %s of layer %u", tensor, layer);
    return NULL;
}

static const vg_gradient *row_of(const profiled *p, const char *tensor, uint32_t layer,
                                 int64_t step)
{
    for (size_t i = 0; i < p->rows.gradient_count; i++) {
        const vg_gradient *g = &p->rows.gradients[i];
        bool here = step < 0 ? !g->has_step : g->has_step && g->step == (uint64_t)step;
        if (here && g->layer == layer && strcmp(g->tensor, tensor) == 0)
            return g;
    }
    fail_msg("no row %s of layer %u, step %d", tensor, layer, (int)step);
    return NULL;
}

/* A norm of 10^log10_norm in one slot, if double holds it. */
static vg_slot norm_slot(double log10_norm)
{
    double norm = pow(10, log10_norm);
    return (vg_slot){.sum_squares = norm * norm, .max_abs = norm, .elements = 4};
}

static vg_status no_weights(void *context, const vg_tensor *tensor, double *out)
{
    (void)context;
    (void)tensor;
    (void)out;
    return vg_fail(VG_DEVICE_LOST, "the device is gone");
}

/* weight = *context on the diagonal. */
static vg_status diagonal(void *context, const vg_tensor *tensor, double *out)
{
    for (uint64_t i = 0; i < tensor->mat.rows; i++)
        for (uint32_t j = 0; j < tensor->mat.cols; j++)
            out[i * tensor->mat.cols + j] = i == j ? *(double *)context : 0;
    return VG_OK;
}

static void make(profiled *p, vg_weight_fn *weights, double *scale, uint64_t max_rows)
{
    vg_profile_rows_free(&p->rows);
    if (vg_profile_rows_make(p->program, p->slots, weights, scale, max_rows, &p->rows))
        fail_msg("%s", vg_reason());
}

/* A stack whose exact norm falls by 2^-7 a layer through exponents alone, and whose plain one is
 * lost at layer 20, 12 from the top; the tops differ by 1/2 %. */
static void stack_by_exponents(void **state)
{
    (void)state;
    profiled p = lower("stack-sigmoid/d32/w4/b2/fp32/xavier/seed1", 0);
    for (uint32_t l = 0; l <= 32; l++) {
        const vg_profile *dh = profile_of(&p, "dh", l);
        p.slots[dh->plain] = l > 20 ? norm_slot(-7 * log10_2 * (32 - l)) : (vg_slot){.zeros = 8};
        p.slots[dh->plain].subnormals = l <= 25 && l > 20;
        p.slots[dh->exact] = norm_slot(0.002);
        p.slots[dh->exponent].exponent = -7 * (32 - (int64_t)l);
        if (l == 0) /* shares the exponent of layer 1 */
            p.slots[dh->exact] = norm_slot(0.002 - 7 * log10_2),
            p.slots[dh->exponent].exponent = -7 * 31;
        if (dh->census != VG_NO_SLOT)
            p.slots[dh->census].saturated = 0.125 * l;
    }
    make(&p, NULL, NULL, 10);
    assert_int_equal(p.rows.decay_count, 1);
    const vg_decay *d = &p.rows.decays[0];
    assert_int_equal(d->direction, VG_DEPTH);
    near("rate", d->rate, 1.0 / 128, 1e-12);
    near("ratio", d->log10_ratio, -7 * 32 * log10_2, 1e-9);
    near("no weights", d->bound_log10_ratio, NAN, 0);
    near("predicted rate", d->predicted_rate, vg_theory_depth_rate(&p.program->model), 0);
    assert_int_equal(d->underflow_at, 12);
    assert_int_equal(d->subnormal_at, 7);
    assert_int_equal(d->verdict, VG_VANISHING);
    double curve[33];
    assert_true(vg_theory_depth(&p.program->model, curve));
    near("predicted ratio", d->predicted_log10_ratio, curve[32], 0);
    near("predicted row", row_of(&p, "dh", 30, -1)->predicted_log10_norm, 0.002 + curve[2], 1e-12);
    near("exact row", row_of(&p, "dh", 30, -1)->log10_norm_exact, 0.002 - 14 * log10_2, 1e-12);
    near("plain row", row_of(&p, "dh", 0, -1)->log10_norm, -INFINITY, 0);
    near("saturated", row_of(&p, "dh", 16, -1)->saturated, 2, 0);
    near("no census", row_of(&p, "dh", 0, -1)->saturated, NAN, 0);
    near("weights are not predicted", row_of(&p, "dweight", 3, -1)->predicted_log10_norm, NAN, 0);
    unlower(&p);
}

/* A recurrent layer: g = 2^(-9 k) by exponents of pieces of 5 steps and norms inside them. */
static void set_recurrent(profiled *p, uint32_t layer, double up, int64_t a_step)
{
    const vg_profile *dh = profile_of(p, "dh", layer);
    const int64_t T = (int64_t)p->program->model.seq_len, piece = (int64_t)dh->piece;
    for (uint64_t i = 0; i < dh->steps; i++) {
        int64_t step = (int64_t)(dh->first_step + i), k = T - step;
        int64_t j = step > 0 ? (step - 1) / piece : 0, e = -a_step * (T - (j + 1) * piece);
        p->slots[dh->exponent + (uint64_t)j].exponent = e;
        p->slots[dh->exact + i] = norm_slot(up + (double)(-a_step * k - e) * log10_2);
        p->slots[dh->plain + i] = norm_slot(up - (double)(a_step * k) * log10_2);
    }
}

static void recurrent_by_exponents(void **state)
{
    (void)state;
    profiled p = lower("rnn-tanh/d2/w4/b1/t40/fp32/uniform/seed1", 5);
    set_recurrent(&p, 2, 1, 9);
    set_recurrent(&p, 1, -2, -3);
    set_recurrent(&p, 0, -5, -3);
    const vg_profile *dh = profile_of(&p, "dh", 2);
    for (uint64_t i = 0; i < 40; i++)
        p.slots[dh->census + i].dead = (double)(i + 1);
    make(&p, NULL, NULL, 1000);
    assert_int_equal(p.rows.decay_count, 3);
    const vg_decay *two = &p.rows.decays[2];
    assert_int_equal(two->layer, 2);
    assert_int_equal(two->direction, VG_TIME);
    near("layer 2", two->rate, 0x1p-9, 1e-12);
    near("layer 2", two->log10_ratio, -360 * log10_2, 1e-9);
    double rates[2];
    vg_theory_time_rates(&p.program->model, rates);
    near("layer 2", two->predicted_rate, rates[1], 0);
    near("layer 1", p.rows.decays[1].rate, 8, 1e-11);
    near("layer 1", p.rows.decays[1].log10_ratio, 120 * log10_2, 1e-9);
    /* Over depth: norms over steps 1 to 40. 10^1 (layer 2, all at the loss), 10^-2 8^39 ... */
    near("total", row_of(&p, "dh", 2, -1)->log10_norm_exact, 1 + log10(1 / (1 - 0x1p-18)) / 2,
         1e-12);
    double grown = 39 * 3 * log10_2 + log10(1 / (1 - 1.0 / 64)) / 2;
    near("total", row_of(&p, "dh", 1, -1)->log10_norm_exact, -2 + grown, 1e-12);
    near("depth", p.rows.decays[0].log10_ratio, -6 + grown - log10(1 / (1 - 0x1p-18)) / 2, 1e-12);
    assert_int_equal(p.rows.decays[0].underflow_at, -1);
    assert_int_equal(p.rows.decays[0].subnormal_at, -1);
    near("census of step 7", row_of(&p, "dh", 2, 7)->dead, 7, 0);
    near("no census of step 0", row_of(&p, "dh", 2, 0)->dead, NAN, 0);
    near("predicted", row_of(&p, "dh", 2, 10)->predicted_log10_norm, 1 + 30 * log10(rates[1]),
         1e-9);
    unlower(&p);
}

static void loss_at_all_steps_has_no_rate(void **state)
{
    (void)state;
    profiled p = lower("rnn-tanh/d1/w4/b1/t40/fp32/uniform/at-all/seed1", 5);
    set_recurrent(&p, 1, 1, 9);
    set_recurrent(&p, 0, 1, 9);
    double one = 1;
    make(&p, diagonal, &one, 1000);
    assert_int_equal(p.rows.decay_count, 2);
    assert_true(isnan(p.rows.decays[1].rate) && isnan(p.rows.decays[1].predicted_rate));
    near("no bound", p.rows.decays[1].bound_log10_ratio, NAN, 0);
    near("sigma all the same", p.rows.decays[1].sigma_max, 1, 1e-12);
    near("ratio", p.rows.decays[1].log10_ratio, -360 * log10_2, 1e-9);
    unlower(&p);
}

/* Exponents of ±10^6 and a long sequence, by a program of nothing but its profiles. */
static void long_sequence(void **state)
{
    (void)state;
    enum { T = 100000, ROWS = 64 };
    vg_profile profiles[2] = {
        {"dh", 1, 0, T + 1, 0, T + 1, 2 * (T + 1), VG_NO_SLOT, 16},
        {"dh", 0, 1, T, 0, T + 1, 2 * (T + 1), VG_NO_SLOT, 16},
    };
    vg_program program = {
        .profile_count = 2, .profiles = profiles, .exact_piece = 16, .slot_count = 3 * (T + 1)};
    if (vg_case_parse("rnn-tanh/d1/w1/b1/t100000/fp32/uniform/seed1", &program.model))
        fail_msg("%s", vg_reason());
    profiled p = {&program, calloc(3 * (T + 1), sizeof(vg_slot)), {0}};
    assert_non_null(p.slots);
    set_recurrent(&p, 0, 0, 11);
    set_recurrent(&p, 1, 0, 11);
    make(&p, NULL, NULL, ROWS);
    near("rate", p.rows.decays[1].rate, 0x1p-11, 1e-12);
    near("ratio", p.rows.decays[1].log10_ratio, -11.0 * T * log10_2, 1e-6);
    assert_true(p.rows.gradient_count == 2 * ROWS + 2);
    for (int64_t k = 0; k <= T; k = k ? 2 * k : 1) {
        near("from the end", row_of(&p, "dh", 1, T - k)->log10_norm_exact,
             -11.0 * (double)k * log10_2, 1e-6);
        row_of(&p, "dh", 1, k);
        if (k > 0)
            row_of(&p, "dh", 0, k);
    }
    row_of(&p, "dh", 1, 0);
    uint64_t last = 0, widest = 0;
    for (size_t i = 1; i < ROWS; i++) {
        assert_true(p.rows.gradients[i].step > last);
        uint64_t gap = p.rows.gradients[i].step - last;
        widest = gap > widest ? gap : widest;
        last = p.rows.gradients[i].step;
    }
    assert_true(widest < T / 25);
    make(&p, NULL, NULL, 2);
    assert_int_equal(p.rows.gradient_count, 6);
    assert_int_equal(p.rows.gradients[0].step, 0);
    assert_int_equal(p.rows.gradients[1].step, T);
    vg_profile_rows_free(&p.rows);
    free(p.slots);
}

static void zeros_and_not_finite(void **state)
{
    (void)state;
    profiled p = lower("rnn-relu/d1/w4/b1/t40/fp32/uniform/seed1", 5);
    set_recurrent(&p, 1, 0, 1);
    set_recurrent(&p, 0, 0, 1);
    const vg_profile *dh = profile_of(&p, "dh", 1), *dx = profile_of(&p, "dh", 0);
    for (uint64_t i = 0; i <= 10; i++)
        p.slots[dh->exact + i] = p.slots[dh->plain + i] = (vg_slot){.zeros = 4, .elements = 4};
    make(&p, NULL, NULL, 1000);
    assert_int_equal(p.rows.decays[1].verdict, VG_DEAD);
    assert_int_equal(p.rows.decays[0].verdict, VG_STABLE);
    near("rate before", p.rows.decays[1].rate, 0.5, 1e-12);
    for (uint64_t i = 0; i < 40; i++)
        p.slots[dx->exact + i] = p.slots[dx->plain + i] = (vg_slot){.zeros = 4, .elements = 4};
    make(&p, NULL, NULL, 1000);
    assert_int_equal(p.rows.decays[0].verdict, VG_DEAD);
    near("total of zeros", row_of(&p, "dh", 0, -1)->log10_norm_exact, -INFINITY, 0);
    p.slots[dh->exact + 5].nans = p.slots[dh->plain + 5].nans = 1;
    make(&p, NULL, NULL, 1000);
    assert_int_equal(p.rows.decays[1].verdict, VG_OVERFLOW);
    assert_int_equal(p.rows.decays[0].verdict, VG_OVERFLOW);
    assert_int_equal(row_of(&p, "dh", 1, -1)->plain.nans, 1);
    unlower(&p);
}

/* Pieces of 5 of 40 steps: what must be seen is an end with more zeros or subnormals than the
 * start, inside a piece, on leaving it, and on leaving the first. */
static void finer_pieces(void **state)
{
    (void)state;
    profiled p = lower("lstm/d1/w4/b1/t40/fp32/uniform/seed1", 5);
    const vg_profile *dh = profile_of(&p, "dh", 1), *dc = profile_of(&p, "dc", 1);
    assert_false(vg_profile_needs_finer(p.program, p.slots));
    uint64_t *const places[] = {
        &p.slots[dh->exact + 11].zeros, /* the last that piece 2 (steps 11..15) computed */
        &p.slots[dc->exact + 11].subnormals,
        &p.slots[dh->exponent + 1].zeros, /* what piece 2 left to piece 1 */
        &p.slots[dh->exact].subnormals,   /* step 0 */
        &p.slots[dc->exact].zeros,
    };
    uint64_t *const starts[] = {&p.slots[dh->exact + 15].zeros, &p.slots[dc->exact + 15].zeros,
                                &p.slots[dh->exact + 15].zeros, &p.slots[dh->exact + 5].zeros,
                                &p.slots[dc->exact + 5].zeros};
    for (size_t i = 0; i < 5; i++) {
        *places[i] = 3;
        if (!vg_profile_needs_finer(p.program, p.slots))
            fail_msg("place %zu was not seen", i);
        *starts[i] = 3;
        if (vg_profile_needs_finer(p.program, p.slots))
            fail_msg("place %zu started so", i);
        *places[i] = *starts[i] = 0;
    }
    unlower(&p);
    p = lower("lstm/d1/w4/b1/t40/fp32/uniform/seed1", 1);
    for (uint32_t i = 0; i < p.program->slot_count; i++)
        p.slots[i].zeros = i % 7;
    assert_false(vg_profile_needs_finer(p.program, p.slots));
    unlower(&p);
}

static void bounds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double scale, sigma, radius, bound; /* of the last decay */
    } table[] = {
        {"stack-sigmoid/d3/w4/b2/fp32/xavier/seed1", 2, 2, NAN, -0.90308998699194354},
        {"stack-tanh/d3/w4/b2/fp32/xavier/residual/seed1", 2, 2, NAN, 1.4313637641589874},
        {"stack-tanh/d3/w4/i3/b2/fp32/xavier/residual/seed1", 2, 2, NAN, 1.2552725051033060},
        {"stack-relu+sigmoid/d3/w4/b2/fp32/he/seed1", 2, 2, NAN, 0.30102999566398120},
        {"stack-relu+sigmoid/d3/w4/o2/b2/fp32/he/seed1", 2, 2, NAN, 0.90308998699194354},
        {"rnn-sigmoid/d1/w4/b2/t10/fp32/uniform/seed1", 2, 2, 2, -3.0102999566398120},
        {"rnn-tanh/d2/w4/b2/t10/fp32/uniform/seed1", 2, 2, 2, 3.0102999566398120},
        {"lstm/d1/w4/b2/t10/fp32/uniform/seed1", 2, 2, NAN, NAN},
        {"rnn-tanh/d1/w4/b2/t10/fp32/uniform/seed1", 0, 0, 0, -INFINITY},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        profiled p = lower(table[i].name, 0);
        double scale = table[i].scale;
        make(&p, diagonal, &scale, 1000);
        const vg_decay *d = &p.rows.decays[p.rows.decay_count - 1];
        near(table[i].name, d->sigma_max, table[i].sigma, 1e-9);
        near(table[i].name, d->spectral_radius, table[i].radius, 1e-9);
        near(table[i].name, d->bound_log10_ratio, table[i].bound, 1e-8);
        if (p.program->model.kind == VG_rnn && p.program->model.depth == 2)
            near("lower layer", p.rows.decays[1].bound_log10_ratio, NAN, 0);
        assert_int_equal(vg_profile_rows_make(p.program, p.slots, no_weights, NULL, 10, &p.rows),
                         VG_DEVICE_LOST);
        unlower(&p);
    }
}

/* 2^-1 a step under a bound of 2^-1 holds; over one of 2^-1.001, at the end or at one step, not. */
static void bounds_are_checked(void **state)
{
    (void)state;
    profiled p = lower("rnn-tanh/d1/w4/b1/t40/fp32/uniform/seed1", 5);
    set_recurrent(&p, 1, 3, 1);
    set_recurrent(&p, 0, 3, 1);
    double scale = 0.5;
    make(&p, diagonal, &scale, 1000);
    assert_int_equal(vg_bounds_check(p.program, &p.rows), VG_OK);
    const vg_profile *dh = profile_of(&p, "dh", 1);
    p.slots[dh->exact + 17].sum_squares *= 1.001;
    make(&p, diagonal, &scale, 1000);
    assert_int_equal(vg_bounds_check(p.program, &p.rows), VG_MISMATCH);
    assert_non_null(strstr(vg_reason(), "step 17"));
    p.slots[dh->exact + 17].sum_squares /= 1.001;
    scale = 0.4995;
    make(&p, diagonal, &scale, 2);
    assert_int_equal(vg_bounds_check(p.program, &p.rows), VG_MISMATCH);
    unlower(&p);
    p = lower("stack-sigmoid/d8/w4/b2/fp32/xavier/seed1", 0);
    for (uint32_t l = 0; l <= 8; l++)
        p.slots[profile_of(&p, "dh", l)->exact] = norm_slot(-(8.0 - l) * log10_2);
    scale = 2;
    make(&p, diagonal, &scale, 2);
    assert_int_equal(vg_bounds_check(p.program, &p.rows), VG_OK);
    scale = 1.999;
    make(&p, diagonal, &scale, 2);
    assert_int_equal(vg_bounds_check(p.program, &p.rows), VG_MISMATCH);
    unlower(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stack_by_exponents),
        cmocka_unit_test(recurrent_by_exponents),
        cmocka_unit_test(loss_at_all_steps_has_no_rate),
        cmocka_unit_test(long_sequence),
        cmocka_unit_test(zeros_and_not_finite),
        cmocka_unit_test(finer_pieces),
        cmocka_unit_test(bounds),
        cmocka_unit_test(bounds_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
