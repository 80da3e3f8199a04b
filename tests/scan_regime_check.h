/* What came of a recurrence of scan_regime_trial.h: every output against the oracle on the device's
 * own inputs, what is nobody's untouched, and two runs bit for bit. */
#ifndef VG_TEST_SCAN_REGIME_CHECK_H
#define VG_TEST_SCAN_REGIME_CHECK_H

#include "scan_regime_trial.h"

static inline const double *trial_row(void *context, const vg_mat *m, uint64_t row)
{
    trial *t = context;
    const uint64_t at = m->at + row * m->ld * vg_dtype_size(m->dtype);
    double **made = &t->rows[at / 2];
    if (!*made) {
        *made = malloc(m->cols * sizeof **made);
        assert_non_null(*made);
        for (uint32_t c = 0; c < m->cols; c++)
            (*made)[c] = trial_get(t, *m, row, c);
    }
    return *made;
}

/* Rows of one output against the oracle. */
static inline void trial_check(trial *t, const vg_op *op, const vg_mat *output, const char *what,
                               uint64_t first, uint64_t rows)
{
    if (output->rows == 0)
        return;
    const vg_ref_area area = {first, 0, (uint32_t)rows, output->cols};
    const vg_scan_bwd *b = &t->backward.scan_bwd;
    const vg_ref_ask ask = {.op = op,
                            .output = output,
                            .areas = &area,
                            .area_count = 1,
                            .dh = &b->dh,
                            .dc = &b->dc,
                            .scale = 1,
                            .precision =
                                vg_precision_of(t->dtype, t->program.storage, VG_DENORMALS_KEEP),
                            .read = trial_row,
                            .context = t};
    double *value = malloc(2 * rows * output->cols * sizeof *value);
    assert_non_null(value);
    double *tolerance = value + rows * output->cols;
    trial_try(t, vg_ref_evaluate(&ask, value, tolerance));
    for (uint64_t n = 0; n < rows * output->cols; n++) {
        const uint64_t row = first + n / output->cols;
        const uint32_t col = (uint32_t)(n % output->cols);
        const double got = trial_get(t, *output, row, col);
        const double want = vg_dtype_round(output->dtype, value[n]);
        if (got != want && !(fabs(got - value[n]) <= tolerance[n]))
            fail_msg("%s: %s[%llu, %u] is %.9g, expected %.9g within %.3g", t->name, what,
                     (unsigned long long)row, col, got, value[n], tolerance[n]);
    }
    free(value);
}

/* What no op writes is as it was. */
static inline void trial_check_padding(const trial *t, vg_mat m, const char *what)
{
    const size_t each = vg_dtype_size(m.dtype);
    for (uint64_t r = 0; r < m.rows; r++)
        for (size_t i = m.cols * each; i < m.ld * each; i++) {
            const uint64_t at = m.at + r * m.ld * each + i;
            if (t->arena[at] != t->before[at])
                fail_msg("%s: %s: the padding of row %llu is written", t->name, what,
                         (unsigned long long)r);
        }
}

static inline void trial_check_forward(trial *t)
{
    const vg_scan_fwd *f = &t->forward.scan_fwd;
    const uint64_t first = t->shape.t0 * t->shape.batch, rows = f->y.rows - first;
    trial_check(t, &t->forward, &f->y, "y", first, rows);
    trial_check(t, &t->forward, &f->reserve, "reserve", first, rows);
    trial_check_padding(t, f->y, "y");
    trial_check_padding(t, f->reserve, "reserve");
    if (memcmp(t->arena + f->y.at, t->before + f->y.at,
               first * f->y.ld * vg_dtype_size(f->y.dtype)) != 0)
        fail_msg("%s: y of a step before the first is written", t->name);
}

static inline void trial_check_backward(trial *t)
{
    const vg_scan_bwd *b = &t->backward.scan_bwd;
    const uint64_t first = t->shape.t0 * t->shape.batch, rows = b->y.rows - first;
    const struct {
        const vg_mat *window;
        const char *name;
        bool steps;
    } outputs[] = {{&b->dgates_x, "dgates_x", true},
                   {&b->dgates_h, "dgates_h", true},
                   {&b->dh, "dh", true},
                   {&b->dc, "dc", true},
                   {&b->dstate0[0], "dstate0", false},
                   {&b->dstate0[1], "dstate0[1]", false}};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        const vg_mat *m = outputs[i].window;
        trial_check(t, &t->backward, m, outputs[i].name, outputs[i].steps ? first : 0,
                    outputs[i].steps ? rows : m->rows);
        trial_check_padding(t, *m, outputs[i].name);
        const uint64_t before = first * m->ld * vg_dtype_size(m->dtype);
        if (outputs[i].steps && m->rows && memcmp(t->arena + m->at, t->before + m->at, before) != 0)
            fail_msg("%s: %s of a step before the first is written", t->name, outputs[i].name);
    }
}

static inline void trial_same(const trial *a, const trial *b, vg_mat m)
{
    for (uint64_t r = 0; r < m.rows; r++)
        for (uint32_t c = 0; c < m.cols; c++) {
            const uint64_t at = m.at + (r * m.ld + c) * vg_dtype_size(m.dtype);
            if (memcmp(a->arena + at, b->arena + at, vg_dtype_size(m.dtype)) != 0)
                fail_msg("%s and %s differ at row %llu, column %u", a->name, b->name,
                         (unsigned long long)r, c);
        }
}

#endif
