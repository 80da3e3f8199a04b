/* The ops that look at gradients: clipping, norms, the census of derivatives, rescaling. */
#include "ref_machine.h"
#include "ref_vf.h"

static void count_element(vg_slot *slot, vg_dtype dtype, double value)
{
    const double size = fabs(value);
    slot->elements++;
    slot->sum_squares += value * value;
    slot->nans += isnan(value) != 0;
    slot->infinities += isinf(value) != 0;
    slot->zeros += size == 0;
    slot->subnormals += size > 0 && size < vg_dtype_min_normal(dtype);
    if (size > slot->max_abs)
        slot->max_abs = size;
}

/* Rows of segment i that there are. */
static uint64_t segment_rows(const vg_mat *m, uint64_t each, uint64_t i)
{
    const uint64_t left = m->rows - i * each;
    return left < each ? left : each;
}

static void measure_rows(vg_ref_machine *machine, const vg_mat *m, uint64_t first, uint64_t count,
                         double *row, vg_slot *slot)
{
    for (uint64_t r = first; r < first + count; r++) {
        const double above =
            slot->sum_squares; /* a row apart: small terms are not lost one by one */
        vg_ref_get_row(machine, m, r, row);
        slot->sum_squares = 0;
        for (uint32_t j = 0; j < m->cols; j++)
            count_element(slot, m->dtype, row[j]);
        slot->sum_squares += above;
    }
}

/* Where double does not hold the sum of squares of doubles: the elements are scaled so that the
 * largest is near 1. */
static void sum_scaled(vg_ref_machine *machine, const vg_mat *m, uint64_t first, uint64_t count,
                       double *row, vg_slot *slot)
{
    const int exponent = ilogb(slot->max_abs);
    slot->sum_squares = 0;
    slot->exponent = exponent;
    for (uint64_t r = first; r < first + count; r++) {
        vg_ref_get_row(machine, m, r, row);
        for (uint32_t j = 0; j < m->cols; j++) {
            const double scaled = ldexp(row[j], -exponent);
            slot->sum_squares += scaled * scaled;
        }
    }
}

void vg_ref_measure(vg_ref_machine *machine, const vg_op *op)
{
    const vg_mat *m = &op->measure.window;
    const uint64_t each = op->measure.segment_rows;
    double *row = vg_ref_take(machine, m->cols);
    for (uint64_t i = 0; i * each < m->rows; i++) {
        const uint64_t rows = segment_rows(m, each, i);
        vg_slot slot = {0};
        measure_rows(machine, m, i * each, rows, row, &slot);
        const bool finite = slot.nans == 0 && slot.infinities == 0 && slot.max_abs > 0;
        if (finite && !(slot.sum_squares > 0x1p-900 && slot.sum_squares < INFINITY))
            sum_scaled(machine, m, i * each, rows, row, &slot);
        machine->slots[op->slot + i] = slot;
    }
}

void vg_ref_clip(vg_ref_machine *machine, const vg_op *op)
{
    const vg_clip *c = &op->clip;
    double *row = vg_ref_take(machine, vg_ref_scratch(op));
    vg_slot before = {0}, after = {0};
    for (uint32_t i = 0; i < c->count; i++)
        measure_rows(machine, &c->grads[i], 0, c->grads[i].rows, row, &before);
    const double norm = sqrt(before.sum_squares);
    for (uint32_t i = 0; i < c->count && norm > c->max_norm; i++)
        for (uint64_t r = 0; r < c->grads[i].rows; r++) {
            vg_ref_get_row(machine, &c->grads[i], r, row);
            for (uint32_t j = 0; j < c->grads[i].cols; j++)
                row[j] *= c->max_norm / norm;
            vg_ref_put_row(machine, &c->grads[i], r, row);
        }
    for (uint32_t i = 0; i < c->count; i++)
        measure_rows(machine, &c->grads[i], 0, c->grads[i].rows, row, &after);
    machine->slots[op->slot] = before;
    machine->slots[op->slot + 1] = after;
}

void vg_ref_census(vg_ref_machine *machine, const vg_op *op)
{
    const vg_mat *a = &op->census.a;
    const uint64_t each = op->census.segment_rows;
    const double low = 0.01 * vg_activation_find(op->activation)->bound;
    double *row = vg_ref_take(machine, a->cols), *alive = vg_ref_take(machine, a->cols);
    for (uint64_t i = 0; i * each < a->rows; i++) {
        const uint64_t rows = segment_rows(a, each, i);
        double sum = 0;
        uint64_t saturated = 0, dead = 0;
        for (uint32_t j = 0; j < a->cols; j++)
            alive[j] = 0;
        for (uint64_t r = i * each; r < i * each + rows; r++) {
            vg_ref_get_row(machine, a, r, row);
            for (uint32_t j = 0; j < a->cols; j++) {
                double slope = fabs(vf_activation_derivative(op->activation, row[j], op->alpha));
                sum += slope;
                saturated += slope < low;
                if (!(slope == 0))
                    alive[j] = 1;
            }
        }
        for (uint32_t j = 0; j < a->cols; j++)
            dead += alive[j] == 0;
        const double elements = (double)(rows * a->cols);
        machine->slots[op->slot + i] = (vg_slot){.elements = rows * a->cols,
                                                 .mean_abs_derivative = sum / elements,
                                                 .saturated = (double)saturated / elements,
                                                 .dead = (double)dead / a->cols};
    }
}

/* The exponent of rows [segment·each, ...) of signal n. */
static int64_t exponent_of(const vg_ref_machine *machine, const vg_rescale *s, uint32_t n,
                           uint64_t segment)
{
    if (s->exponent[n] == VG_NO_SLOT)
        return 0;
    return machine->slots[s->exponent[n] + segment].exponent;
}

/* Raises *common to the exponent that brings the largest element of signal n into [2^60, 2^61), and
 * *most to the largest exponent of its segments. */
static void look_at_signal(vg_ref_machine *machine, const vg_rescale *s, uint32_t n, double *row,
                           int64_t *common, int64_t *most)
{
    const uint64_t each = s->segment_rows ? s->segment_rows : s->in[n].rows;
    for (uint64_t r = 0; r < s->in[n].rows; r++) {
        const int64_t e = exponent_of(machine, s, n, r / each);
        *most = e > *most ? e : *most;
        vg_ref_get_row(machine, &s->in[n], r, row);
        for (uint32_t j = 0; j < s->in[n].cols; j++) {
            int binary;
            if (row[j] == 0 || !isfinite(row[j]))
                continue;
            frexp(row[j], &binary); /* |element| in [2^(binary - 1), 2^binary) */
            *common = e + binary - 61 > *common ? e + binary - 61 : *common;
        }
    }
}

static void scale_signal(vg_ref_machine *machine, const vg_rescale *s, uint32_t n, double *row,
                         int64_t common)
{
    const uint64_t each = s->segment_rows ? s->segment_rows : s->in[n].rows;
    for (uint64_t r = 0; r < s->in[n].rows; r++) {
        const int64_t by = exponent_of(machine, s, n, r / each) - common;
        const int shift = by < -5000 ? -5000 : by > 5000 ? 5000 : (int)by;
        vg_ref_get_row(machine, &s->in[n], r, row);
        for (uint32_t j = 0; j < s->in[n].cols; j++)
            row[j] = ldexp(row[j], shift);
        vg_ref_put_row(machine, &s->out[n], r, row);
    }
}

void vg_ref_rescale(vg_ref_machine *machine, const vg_op *op)
{
    const vg_rescale *s = &op->rescale;
    double *row = vg_ref_take(machine, vg_ref_scratch(op));
    int64_t most = INT64_MIN, common = INT64_MIN;
    for (uint32_t n = 0; n < VG_MAX_SIGNALS && vg_ref_present(&s->in[n]); n++)
        look_at_signal(machine, s, n, row, &common, &most);
    if (common == INT64_MIN)
        common = most;
    vg_slot slot = {0};
    measure_rows(machine, &s->in[0], 0, s->in[0].rows, row, &slot);
    for (uint32_t n = 0; n < VG_MAX_SIGNALS && vg_ref_present(&s->in[n]); n++)
        scale_signal(machine, s, n, row, common);
    slot.exponent = common;
    machine->slots[op->slot] = slot;
}
