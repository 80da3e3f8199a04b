/* Typed windows as doubles, and the choice by kind. */
#include "ref_machine.h"

#include <string.h>

static double bf16_get(const unsigned char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void bf16_put(unsigned char *at, double value)
{
    float rounded = (float)vg_dtype_round(VG_BF16, value);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    uint16_t half = (uint16_t)(bits >> 16);
    memcpy(at, &half, sizeof half);
}

static unsigned char *row_address(const vg_ref_machine *machine, const vg_mat *m, uint64_t row)
{
    return machine->arena + m->at + row * m->ld * vg_dtype_size(m->dtype);
}

void vg_ref_get_row(const vg_ref_machine *machine, const vg_mat *m, uint64_t row, double *to)
{
    const unsigned char *at = row_address(machine, m, row);
    switch (m->dtype) {
    case VG_FP64: memcpy(to, at, m->cols * sizeof *to); break;
    case VG_BF16:
        for (uint32_t j = 0; j < m->cols; j++)
            to[j] = bf16_get(at + 2 * (size_t)j);
        break;
    case VG_U8:
        for (uint32_t j = 0; j < m->cols; j++)
            to[j] = at[j];
        break;
    default:
        for (uint32_t j = 0; j < m->cols; j++) {
            float value;
            memcpy(&value, at + 4 * (size_t)j, sizeof value);
            to[j] = value;
        }
    }
}

void vg_ref_put_row(vg_ref_machine *machine, const vg_mat *m, uint64_t row, const double *from)
{
    unsigned char *at = row_address(machine, m, row);
    switch (m->dtype) {
    case VG_FP64: memcpy(at, from, m->cols * sizeof *from); break;
    case VG_BF16:
        for (uint32_t j = 0; j < m->cols; j++)
            bf16_put(at + 2 * (size_t)j, from[j]);
        break;
    case VG_U8:
        for (uint32_t j = 0; j < m->cols; j++)
            at[j] = (unsigned char)from[j];
        break;
    default:
        for (uint32_t j = 0; j < m->cols; j++) {
            float value = (float)from[j];
            memcpy(at + 4 * (size_t)j, &value, sizeof value);
        }
    }
}

vg_ref_view vg_ref_open(vg_ref_machine *machine, const vg_mat *m)
{
    if (m->dtype == VG_FP64)
        return (vg_ref_view){(const double *)(const void *)(machine->arena + m->at), m->ld};
    double *data = vg_ref_take(machine, m->rows * m->cols);
    for (uint64_t r = 0; r < m->rows; r++)
        vg_ref_get_row(machine, m, r, data + r * m->cols);
    return (vg_ref_view){data, m->cols};
}

vg_ref_view vg_ref_open_transposed(vg_ref_machine *machine, const vg_mat *m)
{
    double *data = vg_ref_take(machine, m->rows * m->cols);
    double *row = vg_ref_take(machine, m->cols);
    for (uint64_t r = 0; r < m->rows; r++) {
        vg_ref_get_row(machine, m, r, row);
        for (uint32_t j = 0; j < m->cols; j++)
            data[j * m->rows + r] = row[j];
    }
    return (vg_ref_view){data, m->rows};
}

static uint64_t area(const vg_mat *m)
{
    return m->rows * m->cols;
}

uint64_t vg_ref_scratch(const vg_op *op)
{
    switch (op->kind) {
    case VG_DENSE_FWD: {
        const vg_dense_fwd *d = &op->dense_fwd;
        return area(&d->weight) + (VG_REF_ROWS + 1) * (uint64_t)d->x.cols +
               (VG_REF_ROWS + 1) * d->weight.rows + 3 * (uint64_t)d->y.cols;
    }
    case VG_DENSE_BWD_DATA: {
        const vg_dense_bwd_data *d = &op->dense_bwd_data;
        return area(&d->weight) + 2 * (uint64_t)d->dy.cols +
               VG_REF_ROWS * (d->weight.rows + d->dy.cols + d->dx.cols);
    }
    case VG_DENSE_BWD_WEIGHTS: {
        const vg_dense_bwd_weights *d = &op->dense_bwd_weights;
        return area(&d->dz) + area(&d->x) + VG_REF_ROWS * (uint64_t)d->x.cols + d->dz.cols;
    }
    case VG_SCAN_FWD: {
        const vg_scan_fwd *s = &op->scan_fwd;
        return area(&s->weight_hh) + s->weight_hh.cols + s->weight_hh.rows +
               op->batch *
                   (2 * s->weight_hh.rows + s->reserve.cols + (uint64_t)s->y.cols * VG_MAX_STATES);
    }
    case VG_SCAN_BWD: {
        const vg_scan_bwd *s = &op->scan_bwd;
        return area(&s->weight_hh) +
               op->batch * (2 * s->weight_hh.rows + 2 * (uint64_t)s->reserve.cols +
                            (3 + 2 * VG_MAX_STATES) * (uint64_t)s->y.cols);
    }
    case VG_LOSS_OP: return 3 * (uint64_t)op->loss.y.cols;
    case VG_CLIP: {
        uint64_t widest = 0;
        for (uint32_t i = 0; i < op->clip.count; i++)
            widest = op->clip.grads[i].cols > widest ? op->clip.grads[i].cols : widest;
        return widest;
    }
    case VG_MEASURE: return op->measure.window.cols;
    case VG_CENSUS: return 2 * (uint64_t)op->census.a.cols;
    case VG_RESCALE: {
        uint64_t widest = 0;
        for (uint32_t i = 0; i < VG_MAX_SIGNALS; i++)
            widest = op->rescale.in[i].cols > widest ? op->rescale.in[i].cols : widest;
        return widest;
    }
    default: return 0;
    }
}

void vg_ref_run(vg_ref_machine *machine, const vg_op *op)
{
    machine->scratch_used = 0;
    switch (op->kind) {
    case VG_DENSE_FWD: vg_ref_dense_fwd(machine, op); break;
    case VG_DENSE_BWD_DATA: vg_ref_dense_bwd_data(machine, op); break;
    case VG_DENSE_BWD_WEIGHTS: vg_ref_dense_bwd_weights(machine, op); break;
    case VG_SCAN_FWD: vg_ref_scan_fwd(machine, op); break;
    case VG_SCAN_BWD: vg_ref_scan_bwd(machine, op); break;
    case VG_LOSS_OP: vg_ref_loss(machine, op); break;
    case VG_CLIP: vg_ref_clip(machine, op); break;
    case VG_MEASURE: vg_ref_measure(machine, op); break;
    case VG_CENSUS: vg_ref_census(machine, op); break;
    case VG_RESCALE: vg_ref_rescale(machine, op); break;
    default: assert(!"an op kind without a rule");
    }
}
