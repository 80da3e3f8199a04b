/* The ops that leave numbers in slots, from the windows that they looked at. */
#include "verify_internal.h"

#include "ref_vf.h"

#include <inttypes.h>
#include <stdio.h>

/* Segments looked at in a window too large for all, when only samples are wanted. */
enum { SAMPLED_SEGMENTS = 64, ALL_ELEMENTS = 1 << 22 };

vg_status vg_verifier_number(vg_verifier *v, const vg_op *op, const char *what, uint64_t index,
                             double device, double reference, double tolerance)
{
    VG_TRY(v->rows.status); /* of rows that could not be read, a reference is nothing */
    const bool same = device == reference || (isnan(device) && isnan(reference));
    const double error = same ? 0 : fabs(device - reference);
    const double share = same ? 0 : error / tolerance;
    if (!(share <= v->out->max_error))
        v->out->max_error = isnan(share) ? INFINITY : share;
    if (same || error <= tolerance)
        return VG_OK;
    char name[96];
    vg_verifier_op_name(v->program, op, name, sizeof name);
    snprintf(v->out->where, sizeof v->out->where,
             "%s: %s[%" PRIu64 "] is %.9g, expected %.9g within %.3g", name, what, index, device,
             reference, tolerance);
    VG_FAIL(VG_MISMATCH, "%s", v->out->where);
}

static uint64_t rows_of_segment(const vg_mat *m, uint64_t each, uint64_t i)
{
    const uint64_t left = m->rows - i * each;
    return left < each ? left : each;
}

static void count(vg_slot *slot, double least, double value)
{
    const double size = fabs(value);
    slot->elements++;
    slot->sum_squares += value * value;
    slot->nans += isnan(value) != 0;
    slot->infinities += isinf(value) != 0;
    slot->zeros += size == 0;
    slot->subnormals += size > 0 && size < least;
    slot->max_abs = size > slot->max_abs ? size : slot->max_abs;
}

static vg_slot slot_of(vg_verifier *v, const vg_mat *m, uint64_t first, uint64_t rows)
{
    vg_slot slot = {0};
    const double least = vg_dtype_min_normal(m->dtype);
    for (uint64_t r = first; r < first + rows; r++) {
        const double *row = vg_rows_get(&v->rows, m, r);
        const double above =
            slot.sum_squares; /* a row apart: small terms are not lost one by one */
        slot.sum_squares = 0;
        for (uint32_t j = 0; j < m->cols; j++)
            count(&slot, least, row[j]);
        slot.sum_squares += above;
    }
    return slot;
}

static vg_status compare_slot(vg_verifier *v, const vg_op *op, uint64_t index,
                              const vg_slot *device, const vg_slot *ref)
{
    const double tolerance = vg_tolerance_slot(ref->elements, ref->sum_squares);
    VG_TRY(vg_verifier_number(v, op, "elements", index, (double)device->elements,
                              (double)ref->elements, 0));
    VG_TRY(vg_verifier_number(v, op, "nans", index, (double)device->nans, (double)ref->nans, 0));
    VG_TRY(vg_verifier_number(v, op, "infinities", index, (double)device->infinities,
                              (double)ref->infinities, 0));
    VG_TRY(vg_verifier_number(v, op, "zeros", index, (double)device->zeros, (double)ref->zeros, 0));
    VG_TRY(vg_verifier_number(v, op, "subnormals", index, (double)device->subnormals,
                              (double)ref->subnormals, 0));
    if (ref->nans)
        return VG_OK;
    VG_TRY(vg_verifier_number(v, op, "max_abs", index, device->max_abs, ref->max_abs, 0));
    const bool held = ref->sum_squares > 0x1p-900 && ref->sum_squares < INFINITY;
    if (!held && ref->max_abs > 0 && !ref->infinities)
        return VG_OK; /* squares of doubles that double does not hold: the device scales them */
    return vg_verifier_number(v, op, "sum_squares", index, device->sum_squares, ref->sum_squares,
                              tolerance);
}

/* Calls `check` for every segment, or for some of a window that is large. */
typedef vg_status segment_fn(vg_verifier *v, const vg_op *op, uint64_t segment);
static vg_status each_segment(vg_verifier *v, const vg_op *op, const vg_mat *m, uint64_t each,
                              segment_fn *check)
{
    const uint64_t segments = (m->rows + each - 1) / each;
    const bool all = v->full || m->rows * m->cols <= ALL_ELEMENTS || segments <= SAMPLED_SEGMENTS;
    for (uint64_t i = 0; i < (all ? segments : SAMPLED_SEGMENTS); i++)
        VG_TRY(check(v, op, all ? i : vg_verifier_random(v) % segments));
    return v->rows.status;
}

static vg_status measure_segment(vg_verifier *v, const vg_op *op, uint64_t i)
{
    const vg_mat *m = &op->measure.window;
    const uint64_t each = op->measure.segment_rows;
    const vg_slot ref = slot_of(v, m, i * each, rows_of_segment(m, each, i));
    return compare_slot(v, op, i, &v->slots[op->slot + i], &ref);
}

/* f' is close to the threshold for some elements; these may be counted or not. */
static vg_status census_segment(vg_verifier *v, const vg_op *op, uint64_t i)
{
    const vg_mat *a = &op->census.a;
    const uint64_t each = op->census.segment_rows, rows = rows_of_segment(a, each, i);
    const double low = 0.01 * vg_activation_find(op->activation)->bound;
    const double near = vg_tolerance_derivative(v->precision, 2, low);
    const double elements = (double)rows * a->cols;
    double sum = 0, saturated = 0, unsure = 0, dead = 0;
    for (uint32_t j = 0; j < a->cols; j++) {
        bool alive = false;
        for (uint64_t r = i * each; r < i * each + rows; r++) {
            const double y = vg_rows_get(&v->rows, a, r)[j];
            const double slope = fabs(vf_activation_derivative(op->activation, y, op->alpha));
            sum += slope;
            saturated += slope < low;
            unsure += fabs(slope - low) <= near;
            alive = alive || !(slope == 0);
        }
        dead += !alive;
    }
    const vg_slot *slot = &v->slots[op->slot + i];
    const double mean = sum / elements;
    VG_TRY(vg_verifier_number(v, op, "mean_abs_derivative", i, slot->mean_abs_derivative, mean,
                              vg_tolerance_derivative(v->precision, rows * a->cols, mean)));
    VG_TRY(vg_verifier_number(v, op, "saturated", i, slot->saturated, saturated / elements,
                              unsure / elements + v->precision.eps));
    return vg_verifier_number(v, op, "dead", i, slot->dead, dead / a->cols, v->precision.eps);
}

static vg_status check_loss(vg_verifier *v, const vg_op *op)
{
    const vg_loss_op *l = &op->loss;
    double loss = 0, magnitude = 0;
    for (uint64_t r = 0; r < l->y.rows && op->slot != VG_NO_SLOT; r++) {
        const double *y = vg_rows_get(&v->rows, &l->y, r);
        const double *target = l->loss == VG_LOSS_ONES ? y : vg_rows_get(&v->rows, &l->target, r);
        for (uint32_t j = 0; j < l->y.cols; j++) {
            const double difference = y[j] - target[j];
            const double term = l->loss == VG_LOSS_MSE    ? difference * difference / 2 / l->divisor
                                : l->loss == VG_LOSS_ONES ? y[j]
                                                          : y[j] * target[j];
            loss += term;
            magnitude += fabs(term);
        }
    }
    if (op->slot == VG_NO_SLOT || v->rows.status != VG_OK)
        return v->rows.status;
    return vg_verifier_number(
        v, op, "loss", 0, v->slots[op->slot].sum_squares, loss,
        vg_tolerance_derivative(v->precision, l->y.rows * l->y.cols, magnitude));
}

/* The norm before cannot be seen any more, but dweight and dbias were compared with what it makes
 * of them; the norm after can. */
static vg_status check_clip(vg_verifier *v, const vg_op *op)
{
    vg_slot after = {0};
    for (uint32_t i = 0; i < op->clip.count; i++) {
        const vg_slot part = slot_of(v, &op->clip.grads[i], 0, op->clip.grads[i].rows);
        after.sum_squares += part.sum_squares;
        after.elements += part.elements;
    }
    if (v->rows.status != VG_OK)
        return v->rows.status;
    return vg_verifier_number(v, op, "norm after, squared", 0, v->slots[op->slot + 1].sum_squares,
                              after.sum_squares,
                              vg_tolerance_sum(v->precision, after.elements, after.sum_squares));
}

vg_status vg_verifier_slots(vg_verifier *v, const vg_op *op)
{
    vg_status status = VG_OK;
    switch (op->kind) {
    case VG_MEASURE:
        status =
            each_segment(v, op, &op->measure.window, op->measure.segment_rows, measure_segment);
        break;
    case VG_CENSUS:
        status = each_segment(v, op, &op->census.a, op->census.segment_rows, census_segment);
        break;
    case VG_LOSS_OP: status = check_loss(v, op); break;
    case VG_CLIP: status = check_clip(v, op); break;
    default: break;
    }
    vg_rows_forget(&v->rows);
    return status;
}
