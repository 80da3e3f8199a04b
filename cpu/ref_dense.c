/* The dense layer in double, a row at a time. */
#include "ref_machine.h"
#include "ref_vf.h"
#include "sizes.h"

#include <string.h>

/* y[o] = max over the pieces of z[k·out + o], winner the lowest such k; a NaN piece wins. */
static void maxout_row(const double *z, uint32_t pieces, uint32_t out, double *y, double *winner)
{
    for (uint32_t o = 0; o < out; o++) {
        y[o] = z[o];
        winner[o] = 0;
        for (uint32_t k = 1; k < pieces; k++) {
            double other = z[(uint64_t)k * out + o];
            if (!isnan(y[o]) && !(other <= y[o])) {
                y[o] = other;
                winner[o] = k;
            }
        }
    }
}

/* y and what is kept beside it, from z of one row. */
static void finish_row(vg_ref_machine *machine, const vg_op *op, uint64_t r, const double *z,
                       double *y, double *skip, double *winner)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    const uint32_t out = d->y.cols;
    if (op->activation == VG_maxout) {
        maxout_row(z, op->pieces, out, y, winner);
        vg_ref_put_row(machine, &d->winner, r, winner);
    } else {
        for (uint32_t o = 0; o < out; o++)
            y[o] = vf_activate(op->activation, z[o], op->alpha);
    }
    if (vg_ref_present(&d->skip)) {
        vg_ref_put_row(machine, &d->a, r, y);
        vg_ref_get_row(machine, &d->skip, r, skip);
        for (uint32_t o = 0; o < out; o++)
            y[o] += skip[o];
    }
    vg_ref_put_row(machine, &d->y, r, y);
}

void vg_ref_dense_fwd(vg_ref_machine *machine, const vg_op *op)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    const uint32_t in = d->x.cols, out = d->y.cols;
    const uint64_t wide = d->weight.rows;
    vg_ref_view weight = vg_ref_open_transposed(machine, &d->weight);
    double *bias = vg_ref_take(machine, wide), *z = vg_ref_take(machine, VG_REF_ROWS * wide);
    double *x = vg_ref_take(machine, VG_REF_ROWS * (uint64_t)in), *y = vg_ref_take(machine, out);
    double *skip = vg_ref_take(machine, out), *winner = vg_ref_take(machine, out);
    vg_ref_get_row(machine, &d->bias, 0, bias);
    for (uint64_t first = 0; first < d->x.rows; first += VG_REF_ROWS) {
        const uint64_t rows = vg_least(VG_REF_ROWS, d->x.rows - first);
        for (uint64_t r = 0; r < rows; r++) {
            vg_ref_get_row(machine, &d->x, first + r, x + r * in);
            memcpy(z + r * wide, bias, wide * sizeof *z);
        }
        vg_ref_product_rows(machine, (vg_ref_rows){z, wide, x, in, 1, rows, wide, in, weight});
        for (uint64_t r = 0; r < rows; r++)
            finish_row(machine, op, first + r, z + r * wide, y, skip, winner);
    }
}

/* dz = dy ∘ act'(a), or dy at the winner's piece and zero elsewhere. */
static void dz_row(const vg_op *op, uint32_t out, const double *dy, const double *a,
                   const double *winner, double *dz)
{
    for (uint32_t o = 0; o < out; o++) {
        if (op->activation != VG_maxout) {
            dz[o] = dy[o] * vf_activation_derivative(op->activation, a[o], op->alpha);
            continue;
        }
        for (uint32_t k = 0; k < op->pieces; k++)
            dz[(uint64_t)k * out + o] = (double)k == winner[o] ? dy[o] : 0;
    }
}

/* dz of one row, as stored; with a residual dy is where dx begins, else zero. */
static void begin_row(vg_ref_machine *machine, const vg_op *op, uint64_t r, double *dy, double *a,
                      double *dz, double *dx)
{
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    const uint32_t in = d->dx.cols, out = d->dy.cols;
    vg_ref_get_row(machine, &d->dy, r, dy);
    if (op->activation == VG_identity) {
        memcpy(dz, dy, out * sizeof *dz);
    } else {
        vg_ref_get_row(machine, op->activation == VG_maxout ? &d->winner : &d->a, r, a);
        dz_row(op, out, dy, a, a, dz);
        vg_ref_put_row(machine, &d->dz, r, dz);
        vg_ref_get_row(machine, &d->dz, r, dz);
    }
    for (uint32_t i = 0; i < in; i++)
        dx[i] = d->residual ? dy[i] : 0;
}

void vg_ref_dense_bwd_data(vg_ref_machine *machine, const vg_op *op)
{
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    const uint32_t in = d->dx.cols, out = d->dy.cols;
    const uint64_t wide = d->weight.rows;
    vg_ref_view weight = vg_ref_open(machine, &d->weight);
    double *dz = vg_ref_take(machine, VG_REF_ROWS * wide);
    double *dx = vg_ref_take(machine, VG_REF_ROWS * (uint64_t)in);
    double *dy = vg_ref_take(machine, out), *a = vg_ref_take(machine, out);
    for (uint64_t first = 0; first < d->dy.rows; first += VG_REF_ROWS) {
        const uint64_t rows = vg_least(VG_REF_ROWS, d->dy.rows - first);
        for (uint64_t r = 0; r < rows; r++)
            begin_row(machine, op, first + r, dy, a, dz + r * wide, dx + r * in);
        vg_ref_product_rows(machine, (vg_ref_rows){dx, in, dz, wide, 1, rows, in, wide, weight});
        for (uint64_t r = 0; r < rows; r++)
            vg_ref_put_row(machine, &d->dx, first + r, dx + r * in);
    }
}

void vg_ref_dense_bwd_weights(vg_ref_machine *machine, const vg_op *op)
{
    const vg_dense_bwd_weights *d = &op->dense_bwd_weights;
    const uint32_t in = d->x.cols, wide = d->dz.cols;
    vg_ref_view dz = vg_ref_open(machine, &d->dz), x = vg_ref_open(machine, &d->x);
    double *dweight = vg_ref_take(machine, VG_REF_ROWS * (uint64_t)in);
    double *dbias = vg_ref_take(machine, wide);
    for (uint64_t first = 0; first < wide; first += VG_REF_ROWS) {
        const uint64_t rows = vg_least(VG_REF_ROWS, wide - first);
        memset(dweight, 0, rows * in * sizeof *dweight);
        vg_ref_product_rows(machine, (vg_ref_rows){dweight, in, dz.data + first, 1, dz.ld, rows, in,
                                                   d->dz.rows, x});
        for (uint64_t r = 0; r < rows; r++)
            vg_ref_put_row(machine, &d->dweight, first + r, dweight + r * in);
    }
    memset(dbias, 0, wide * sizeof *dbias);
    for (uint64_t r = 0; r < d->dz.rows; r++)
        for (uint32_t o = 0; o < wide; o++)
            dbias[o] += dz.data[r * dz.ld + o];
    vg_ref_put_row(machine, &d->dbias, 0, dbias);
}

void vg_ref_loss(vg_ref_machine *machine, const vg_op *op)
{
    const vg_loss_op *l = &op->loss;
    const uint32_t n = l->y.cols;
    double *y = vg_ref_take(machine, n), *target = vg_ref_take(machine, n);
    double *dy = vg_ref_take(machine, n), loss = 0;
    memset(target, 0, n * sizeof *target);
    for (uint64_t r = 0; r < l->y.rows; r++) {
        vg_ref_get_row(machine, &l->y, r, y);
        if (l->loss != VG_LOSS_ONES)
            vg_ref_get_row(machine, &l->target, r, target);
        for (uint32_t j = 0; j < n; j++) {
            double difference = y[j] - target[j];
            switch (l->loss) {
            case VG_LOSS_MSE:
                dy[j] = difference / l->divisor;
                loss += difference * difference / 2 / l->divisor;
                break;
            case VG_LOSS_ONES:
                dy[j] = 1;
                loss += y[j];
                break;
            default: dy[j] = target[j]; loss += y[j] * target[j];
            }
        }
        vg_ref_put_row(machine, &l->dy, r, dy);
    }
    if (op->slot != VG_NO_SLOT)
        machine->slots[op->slot] = (vg_slot){.sum_squares = loss, .elements = l->y.rows * n};
}
