/* What the outputs of dense layers and of the loss should have been, and how far a device may be
 * off. */
#include "ref_product.h"
#include "ref_vf.h"

#include <stdlib.h>
#include <string.h>

uint64_t vg_ref_area_elements(const vg_ref_ask *ask)
{
    uint64_t count = 0;
    for (size_t i = 0; i < ask->area_count; i++)
        count += (uint64_t)ask->areas[i].rows * ask->areas[i].cols;
    return count;
}

static const double *row_of(const vg_ref_ask *ask, const vg_mat *m, uint64_t row)
{
    return ask->read(ask->context, m, row);
}

/* f(z) and its tolerance where z is known within `argument`. A kink has its larger slope on either
 * side. */
static double activate(const vg_ref_ask *ask, double z, double argument, double *tolerance)
{
    const vg_op *op = ask->op;
    const vg_activation_info *info = vg_activation_find(op->activation);
    double y = vf_activate(op->activation, z, op->alpha);
    double slope =
        info->kink ? info->bound : vf_activation_derivative(op->activation, y, op->alpha);
    if (op->activation == VG_identity || info->kink)
        *tolerance = slope * argument + 2 * ask->precision.eps * fabs(y);
    else
        *tolerance = vg_tolerance_function(ask->precision, y, slope, argument);
    return y;
}

/* One element's pre-activations: [pieces] of them, with their tolerances. */
typedef struct pieces {
    double z[VG_MAX_PIECES], tolerance[VG_MAX_PIECES];
    uint32_t count;
} pieces;

/* The largest piece, and how far off another that ties with it within tolerance may stand. */
static uint32_t winner_of(const pieces *p, double *distance)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < p->count; k++)
        if (!isnan(p->z[best]) && !(p->z[k] <= p->z[best]))
            best = k;
    *distance = 0;
    for (uint32_t k = 0; k < p->count; k++) {
        double away = fabs((double)k - (double)best);
        if (p->z[best] - p->z[k] <= p->tolerance[best] + p->tolerance[k] && away > *distance)
            *distance = away;
    }
    return best;
}

static void finish_dense(const vg_ref_ask *ask, const pieces *p, double *value, double *tolerance)
{
    if (ask->op->activation != VG_maxout) {
        *value = activate(ask, p->z[0], p->tolerance[0], tolerance);
        return;
    }
    const uint32_t best = winner_of(p, tolerance);
    *value = best;
    if (ask->output == &ask->op->dense_fwd.winner)
        return;
    *value = p->z[best];
    *tolerance = 0;
    for (uint32_t k = 0; k < p->count; k++)
        *tolerance = fmax(*tolerance, p->tolerance[k]);
}

/* y of a layer with a residual: from the a that was kept. */
static void residual_sum(const vg_ref_ask *ask, double *value, double *tolerance)
{
    const vg_dense_fwd *d = &ask->op->dense_fwd;
    for (size_t i = 0; i < ask->area_count; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++)
            for (uint32_t c = 0; c < ask->areas[i].cols; c++) {
                const uint64_t row = ask->areas[i].row + r;
                const uint32_t col = ask->areas[i].col + c;
                const double a = row_of(ask, &d->a, row)[col],
                             skip = row_of(ask, &d->skip, row)[col];
                *value++ = a + skip;
                *tolerance++ = vg_tolerance_sum(ask->precision, 1, fabs(a) + fabs(skip));
            }
}

static vg_status dense_fwd(const vg_ref_ask *ask, vg_ref_sums sums, double *value,
                           double *tolerance)
{
    const vg_op *op = ask->op;
    const vg_dense_fwd *d = &op->dense_fwd;
    if (ask->output == &d->y && d->skip.rows) {
        residual_sum(ask, value, tolerance);
        return VG_OK;
    }
    const vg_ref_factors factors = {VG_REF_NT, &d->x, &d->weight, 0};
    const uint32_t count = op->activation == VG_maxout ? op->pieces : 1, out = d->y.cols;
    for (size_t i = 0; i < ask->area_count; i++) {
        const vg_ref_area *area = &ask->areas[i];
        for (uint32_t r = 0; r < area->rows; r++) {
            for (uint32_t k = 0; k < count; k++) {
                const vg_ref_sums part = vg_ref_sums_from(sums, (uint64_t)k * area->cols);
                vg_ref_product(ask, &factors,
                               (vg_ref_area){area->row + r, area->col + k * out, 1, area->cols},
                               part);
            }
            for (uint32_t c = 0; c < area->cols; c++) {
                pieces p;
                p.count = count;
                p.z[0] = p.tolerance[0] = NAN;
                for (uint32_t k = 0; k < count; k++) {
                    const size_t at = (size_t)k * area->cols + c;
                    const double bias = row_of(ask, &d->bias, 0)[(size_t)k * out + area->col + c];
                    p.z[k] = sums.value[at] + bias;
                    p.tolerance[k] =
                        vg_ref_sums_tolerance(sums, at, ask->precision, d->x.cols + 1u, fabs(bias));
                }
                finish_dense(ask, &p, value++, tolerance++);
            }
        }
    }
    return VG_OK;
}

static double dz_element(const vg_op *op, double dy, double a, double winner, uint32_t piece,
                         bool *exact)
{
    *exact = op->activation == VG_maxout;
    if (*exact)
        return winner == (double)piece ? dy : 0;
    return dy * vf_activation_derivative(op->activation, a, op->alpha);
}

static void dense_dz(const vg_ref_ask *ask, double *value, double *tolerance)
{
    const vg_op *op = ask->op;
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    const uint32_t out = d->dy.cols;
    for (size_t i = 0; i < ask->area_count; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++) {
            const uint64_t row = ask->areas[i].row + r;
            const double *dy = row_of(ask, &d->dy, row);
            const bool maxout = op->activation == VG_maxout;
            const double *a = maxout ? dy : row_of(ask, &d->a, row);
            const double *winner = maxout ? row_of(ask, &d->winner, row) : dy;
            for (uint32_t c = 0; c < ask->areas[i].cols; c++) {
                const uint32_t col = ask->areas[i].col + c, o = col % out;
                bool exact;
                *value = dz_element(op, dy[o], a[o], winner[o], col / out, &exact);
                *tolerance++ = exact ? 0 : vg_tolerance_derivative(ask->precision, 2, fabs(*value));
                value++;
            }
        }
}

static vg_status dense_bwd_data(const vg_ref_ask *ask, vg_ref_sums sums, double *value,
                                double *tolerance)
{
    const vg_dense_bwd_data *d = &ask->op->dense_bwd_data;
    if (ask->output == &d->dz) {
        dense_dz(ask, value, tolerance);
        return VG_OK;
    }
    const bool identity = ask->op->activation == VG_identity;
    const vg_ref_factors factors = {VG_REF_NN, identity ? &d->dy : &d->dz, &d->weight, 0};
    vg_ref_products(ask, &factors, sums);
    uint64_t n = 0;
    for (size_t i = 0; i < ask->area_count; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++)
            for (uint32_t c = 0; c < ask->areas[i].cols; c++, n++) {
                const uint64_t row = ask->areas[i].row + r;
                const double dy = d->residual ? row_of(ask, &d->dy, row)[ask->areas[i].col + c] : 0;
                value[n] = sums.value[n] + dy;
                tolerance[n] =
                    vg_ref_sums_tolerance(sums, n, ask->precision, d->weight.rows + 1, fabs(dy));
            }
    return VG_OK;
}

static void column_sums(const vg_ref_ask *ask, vg_ref_sums sums)
{
    const vg_mat *dz = &ask->op->dense_bwd_weights.dz;
    const uint64_t count = vg_ref_area_elements(ask);
    memset(sums.value, 0, count * sizeof(double));
    memset(sums.magnitude, 0, count * sizeof(double));
    if (sums.squares)
        memset(sums.squares, 0, count * sizeof(double));
    for (uint64_t r = 0; r < dz->rows; r++) {
        const double *row = row_of(ask, dz, r);
        uint64_t n = 0;
        for (size_t i = 0; i < ask->area_count; i++)
            for (uint32_t c = 0; c < ask->areas[i].cols; c++, n++) {
                sums.value[n] += row[ask->areas[i].col + c];
                sums.magnitude[n] += fabs(row[ask->areas[i].col + c]);
            }
    }
}

static vg_status dense_bwd_weights(const vg_ref_ask *ask, vg_ref_sums sums, double *value,
                                   double *tolerance)
{
    const vg_dense_bwd_weights *d = &ask->op->dense_bwd_weights;
    const vg_ref_factors factors = {VG_REF_TN, &d->dz, &d->x, 0};
    const bool bias = ask->output == &d->dbias;
    if (bias)
        column_sums(ask, sums);
    else
        vg_ref_products(ask, &factors, sums);
    const uint64_t count = vg_ref_area_elements(ask);
    for (uint64_t n = 0; n < count; n++) {
        value[n] = sums.value[n] * ask->scale;
        tolerance[n] = ask->scale * vg_ref_sums_tolerance(sums, n, ask->precision, d->dz.rows, 0);
        if (ask->scale != 1)
            tolerance[n] += vg_tolerance_sum(ask->precision, 1, fabs(value[n]));
    }
    return VG_OK;
}

static vg_status loss_dy(const vg_ref_ask *ask, double *value, double *tolerance)
{
    const vg_loss_op *l = &ask->op->loss;
    for (size_t i = 0; i < ask->area_count; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++) {
            const uint64_t row = ask->areas[i].row + r;
            const double *y = row_of(ask, &l->y, row);
            const double *target = l->loss == VG_LOSS_ONES ? y : row_of(ask, &l->target, row);
            for (uint32_t j = 0; j < ask->areas[i].cols; j++) {
                const uint32_t c = ask->areas[i].col + j;
                *tolerance = 0;
                if (l->loss == VG_LOSS_MSE) {
                    *value = (y[c] - target[c]) / l->divisor;
                    *tolerance = vg_tolerance_sum(ask->precision, 2,
                                                  (fabs(y[c]) + fabs(target[c])) / l->divisor);
                } else {
                    *value = l->loss == VG_LOSS_ONES ? 1 : target[c];
                }
                value++;
                tolerance++;
            }
        }
    return VG_OK;
}

static vg_status evaluate(const vg_ref_ask *ask, vg_ref_sums sums, double *value, double *tolerance)
{
    switch (ask->op->kind) {
    case VG_DENSE_FWD: return dense_fwd(ask, sums, value, tolerance);
    case VG_DENSE_BWD_DATA: return dense_bwd_data(ask, sums, value, tolerance);
    case VG_DENSE_BWD_WEIGHTS: return dense_bwd_weights(ask, sums, value, tolerance);
    case VG_SCAN_FWD: return vg_ref_evaluate_scan_fwd(ask, value, tolerance);
    case VG_SCAN_BWD: return vg_ref_evaluate_scan_bwd(ask, value, tolerance);
    case VG_LOSS_OP: return loss_dy(ask, value, tolerance);
    default: VG_FAIL(VG_UNSUPPORTED, "ref: no element of %s", vg_op_name(ask->op->kind));
    }
}

vg_status vg_ref_evaluate(const vg_ref_ask *ask, double *value, double *tolerance)
{
    uint64_t count = vg_ref_area_elements(ask);
    const uint64_t wide = ask->op->activation == VG_maxout ? ask->op->pieces : 1;
    double *sums = calloc((size_t)(3 * count * wide + 1), sizeof *sums);
    if (!sums)
        VG_FAIL(VG_NO_MEMORY, "ref: no memory for %llu sums", (unsigned long long)count);
    count *= wide;
    vg_status status = evaluate(ask, vg_ref_sums_in(sums, count, ask->precision), value, tolerance);
    free(sums);
    for (uint64_t n = 0; status == VG_OK && n < count / wide; n++)
        tolerance[n] += vg_tolerance_stored(ask->output->dtype, value[n]);
    return status;
}
