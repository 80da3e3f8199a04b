/* Recurrences in double, step by step and row by row, over the same cell headers. */
#include "ref_machine.h"
#include "ref_vf.h"

#include <string.h>

typedef struct scan {
    const vg_op *op;
    uint32_t units, gates, states, kept, batch;
} scan;

static scan scan_of(const vg_op *op, uint32_t units)
{
    const vg_cell_info *cell = vg_cell_find(op->cell);
    return (scan){op, units, cell->gates, cell->states, cell->kept, op->batch};
}

/* Step t of one batch row: pre-activations x and h [G·H], states before `state` (S rows of H,
 * replaced by those after), kept values to `reserve` [K·H]. */
static void step_fwd(const scan *s, const double *x, const double *h, double *const *state,
                     double *reserve)
{
    for (uint32_t j = 0; j < s->units; j++) {
        vf xs[VG_MAX_GATES] = {0}, hs[VG_MAX_GATES] = {0}, before[VG_MAX_STATES] = {0},
           after[VG_MAX_STATES] = {0};
        vf kept[VG_MAX_KEPT] = {0};
        for (uint32_t g = 0; g < s->gates; g++) {
            xs[g] = x[(uint64_t)g * s->units + j];
            hs[g] = h[(uint64_t)g * s->units + j];
        }
        for (uint32_t i = 0; i < s->states; i++)
            before[i] = state[i][j];
        vg_cell_fwd(s->op->cell, s->op->activation, xs, hs, before, after, kept);
        for (uint32_t i = 0; i < s->states; i++)
            state[i][j] = after[i];
        for (uint32_t k = 0; k < s->kept; k++)
            reserve[(uint64_t)k * s->units + j] = kept[k];
    }
}

void vg_ref_scan_fwd(vg_ref_machine *machine, const vg_op *op)
{
    const vg_scan_fwd *w = &op->scan_fwd;
    const scan s = scan_of(op, w->y.cols);
    const uint64_t wide = (uint64_t)s.gates * s.units;
    vg_ref_view weight = vg_ref_open_transposed(machine, &w->weight_hh);
    double *bias = vg_ref_take(machine, wide), *h = vg_ref_take(machine, wide);
    double *x = vg_ref_take(machine, wide), *reserve = vg_ref_take(machine, w->reserve.cols);
    double *state[VG_MAX_STATES];
    for (uint32_t i = 0; i < s.states; i++)
        state[i] = vg_ref_take(machine, s.units);
    vg_ref_get_row(machine, &w->bias_hh, 0, bias);
    for (uint64_t t = op->t0; t < op->t1; t++) {
        for (uint32_t b = 0; b < s.batch; b++) {
            const uint64_t now = t * s.batch + b, before = now - s.batch;
            vg_ref_get_row(machine, t ? &w->y : &w->state0[0], t ? before : b, state[0]);
            if (t && w->reserve.cols)
                vg_ref_get_row(machine, &w->reserve, before, reserve);
            for (uint32_t i = 1; i < s.states; i++) {
                if (t)
                    memcpy(state[i], reserve + (uint64_t)(s.kept + i - 1) * s.units,
                           s.units * sizeof *reserve);
                else
                    vg_ref_get_row(machine, &w->state0[i], b, state[i]);
            }
            memcpy(h, bias, wide * sizeof *h);
            vg_ref_row_product(h, wide, state[0], 1, s.units, weight);
            vg_ref_get_row(machine, &w->preact_x, now, x);
            step_fwd(&s, x, h, state, reserve);
            vg_ref_put_row(machine, &w->y, now, state[0]);
            for (uint32_t i = 1; i < s.states; i++)
                memcpy(reserve + (uint64_t)(s.kept + i - 1) * s.units, state[i],
                       s.units * sizeof *reserve);
            if (w->reserve.cols)
                vg_ref_put_row(machine, &w->reserve, now, reserve);
        }
    }
}

/* The rows of one (t, b) that the backward step reads and leaves. */
typedef struct bwd_rows {
    double *reserve, *before, *y, *h_before; /* reserve of t and of t - 1 */
    double *dgates_x, *dgates_h;
    double *dstate[VG_MAX_STATES]; /* in: what came back; out: without the part through W_hh */
    double *total[VG_MAX_STATES];  /* total derivatives by the states after the step */
} bwd_rows;

static void step_bwd(const scan *s, bool differ, bwd_rows *r)
{
    for (uint32_t j = 0; j < s->units; j++) {
        vf kept[VG_MAX_KEPT] = {0}, before[VG_MAX_STATES] = {0}, after[VG_MAX_STATES] = {0},
           back[VG_MAX_STATES] = {0};
        vf dx[VG_MAX_GATES] = {0}, dh[VG_MAX_GATES] = {0}, ds[VG_MAX_STATES] = {0};
        for (uint32_t k = 0; k < s->kept; k++)
            kept[k] = r->reserve[(uint64_t)k * s->units + j];
        before[0] = r->h_before[j];
        after[0] = r->y[j];
        for (uint32_t i = 1; i < s->states; i++) {
            before[i] = r->before[(uint64_t)(s->kept + i - 1) * s->units + j];
            after[i] = r->reserve[(uint64_t)(s->kept + i - 1) * s->units + j];
        }
        for (uint32_t i = 0; i < s->states; i++)
            back[i] = r->dstate[i][j];
        vg_cell_bwd(s->op->cell, s->op->activation, kept, before, after, back, dx, dh, ds);
        for (uint32_t g = 0; g < s->gates; g++) {
            r->dgates_x[(uint64_t)g * s->units + j] = dx[g];
            if (differ)
                r->dgates_h[(uint64_t)g * s->units + j] = dh[g];
        }
        for (uint32_t i = 0; i < s->states; i++) {
            r->total[i][j] = back[i];
            r->dstate[i][j] = ds[i];
        }
    }
}

/* Reads what step t of batch row b needs; the derivative from above joins dstate[0]. */
static void read_step(vg_ref_machine *machine, const scan *s, uint64_t t, uint32_t b, double *dy,
                      bwd_rows *r)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    const uint64_t now = t * s->batch + b, before = now - s->batch;
    vg_ref_get_row(machine, &w->y, now, r->y);
    vg_ref_get_row(machine, t ? &w->y : &w->state0[0], t ? before : b, r->h_before);
    if (w->reserve.cols) {
        vg_ref_get_row(machine, &w->reserve, now, r->reserve);
        if (t)
            vg_ref_get_row(machine, &w->reserve, before, r->before);
    }
    for (uint32_t i = 1; i < s->states && !t; i++)
        vg_ref_get_row(machine, &w->state0[i], b, r->before + (s->kept + i - 1) * (size_t)s->units);
    const bool every = w->dy.rows > s->batch;
    if (vg_ref_present(&w->dy) && (every || t + 1 == s->op->t1)) {
        vg_ref_get_row(machine, &w->dy, every ? now : b, dy);
        for (uint32_t j = 0; j < s->units; j++)
            r->dstate[0][j] += dy[j];
    }
}

void vg_ref_scan_bwd(vg_ref_machine *machine, const vg_op *op)
{
    const vg_scan_bwd *w = &op->scan_bwd;
    const scan s = scan_of(op, w->y.cols);
    const bool differ = vg_cell_find(op->cell)->gates_differ;
    const uint64_t wide = (uint64_t)s.gates * s.units, rows = (uint64_t)s.batch * s.units;
    vg_ref_view weight = vg_ref_open(machine, &w->weight_hh);
    bwd_rows r = {.reserve = vg_ref_take(machine, w->reserve.cols),
                  .before = vg_ref_take(machine, w->reserve.cols),
                  .y = vg_ref_take(machine, s.units),
                  .h_before = vg_ref_take(machine, s.units),
                  .dgates_x = vg_ref_take(machine, wide)};
    r.dgates_h = differ ? vg_ref_take(machine, wide) : r.dgates_x;
    double *dy = vg_ref_take(machine, s.units), *carry[VG_MAX_STATES];
    for (uint32_t i = 0; i < s.states; i++) {
        r.total[i] = vg_ref_take(machine, s.units);
        carry[i] = vg_ref_take(machine, rows);
        memset(carry[i], 0, rows * sizeof *carry[i]);
        for (uint32_t b = 0; b < s.batch && vg_ref_present(&w->dstateT[i]); b++)
            vg_ref_get_row(machine, &w->dstateT[i], b, carry[i] + (uint64_t)b * s.units);
    }
    for (uint64_t t = op->t1; t-- > op->t0;) {
        for (uint32_t b = 0; b < s.batch; b++) {
            const uint64_t now = t * s.batch + b;
            for (uint32_t i = 0; i < s.states; i++)
                r.dstate[i] = carry[i] + (uint64_t)b * s.units;
            read_step(machine, &s, t, b, dy, &r);
            step_bwd(&s, differ, &r);
            if (differ)
                vg_ref_put_row(machine, &w->dgates_x, now, r.dgates_x);
            vg_ref_put_row(machine, &w->dgates_h, now, r.dgates_h);
            vg_ref_get_row(machine, &w->dgates_h, now, r.dgates_h); /* as stored */
            vg_ref_row_product(r.dstate[0], s.units, r.dgates_h, 1, wide, weight);
            if (vg_ref_present(&w->dh))
                vg_ref_put_row(machine, &w->dh, now, r.total[0]);
            if (vg_ref_present(&w->dc))
                vg_ref_put_row(machine, &w->dc, now, r.total[1]);
        }
    }
    for (uint32_t i = 0; i < s.states; i++)
        for (uint32_t b = 0; b < s.batch && vg_ref_present(&w->dstate0[i]); b++)
            vg_ref_put_row(machine, &w->dstate0[i], b, carry[i] + (uint64_t)b * s.units);
}
