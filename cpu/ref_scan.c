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

/* The states before step t of batch row b; state[0] has them already. */
static void read_states(vg_ref_machine *machine, const scan *s, uint64_t t, uint32_t b,
                        double *reserve, double *const *state)
{
    const vg_scan_fwd *w = &s->op->scan_fwd;
    if (t && w->reserve.cols)
        vg_ref_get_row(machine, &w->reserve, (t - 1) * s->batch + b, reserve);
    for (uint32_t i = 1; i < s->states; i++) {
        if (t)
            memcpy(state[i], reserve + (uint64_t)(s->kept + i - 1) * s->units,
                   s->units * sizeof *reserve);
        else
            vg_ref_get_row(machine, &w->state0[i], b, state[i]);
    }
}

/* A forward scan at work: pre-activations, states and temporaries of every batch row of the step.
 */
typedef struct fwd_scan {
    vg_ref_machine *machine;
    scan s;
    uint64_t t;
    double *h, *x, *reserve, *states[VG_MAX_STATES];
} fwd_scan;

/* After the product: the pointwise step of this thread's batch rows. */
static void fwd_rows(void *context, uint32_t thread, uint32_t threads)
{
    const fwd_scan *f = context;
    const scan *s = &f->s;
    const vg_scan_fwd *w = &s->op->scan_fwd;
    const uint64_t wide = (uint64_t)s->gates * s->units;
    uint64_t first, last;
    vg_pool_share(s->batch, thread, threads, &first, &last);
    for (uint64_t b = first; b < last; b++) {
        const uint64_t now = f->t * s->batch + b;
        double *state[VG_MAX_STATES], *x = f->x + b * wide;
        double *reserve = f->reserve + b * w->reserve.cols;
        for (uint32_t i = 0; i < s->states; i++)
            state[i] = f->states[i] + b * s->units;
        read_states(f->machine, s, f->t, (uint32_t)b, reserve, state);
        vg_ref_get_row(f->machine, &w->preact_x, now, x);
        step_fwd(s, x, f->h + b * wide, state, reserve);
        vg_ref_put_row(f->machine, &w->y, now, state[0]);
        for (uint32_t i = 1; i < s->states; i++)
            memcpy(reserve + (uint64_t)(s->kept + i - 1) * s->units, state[i],
                   s->units * sizeof *reserve);
        if (w->reserve.cols)
            vg_ref_put_row(f->machine, &w->reserve, now, reserve);
    }
}

void vg_ref_scan_fwd(vg_ref_machine *machine, const vg_op *op)
{
    const vg_scan_fwd *w = &op->scan_fwd;
    fwd_scan f = {.machine = machine, .s = scan_of(op, w->y.cols)};
    const scan *s = &f.s;
    const uint64_t wide = (uint64_t)s->gates * s->units;
    vg_ref_view weight = vg_ref_open_transposed(machine, &w->weight_hh);
    double *bias = vg_ref_take(machine, wide);
    f.h = vg_ref_take(machine, s->batch * wide);
    f.x = vg_ref_take(machine, s->batch * wide);
    f.reserve = vg_ref_take(machine, (uint64_t)s->batch * w->reserve.cols);
    for (uint32_t i = 0; i < s->states; i++)
        f.states[i] = vg_ref_take(machine, (uint64_t)s->batch * s->units);
    vg_ref_get_row(machine, &w->bias_hh, 0, bias);
    for (f.t = op->t0; f.t < op->t1; f.t++) {
        for (uint32_t b = 0; b < s->batch; b++) {
            vg_ref_get_row(machine, f.t ? &w->y : &w->state0[0], f.t ? (f.t - 1) * s->batch + b : b,
                           f.states[0] + (uint64_t)b * s->units);
            memcpy(f.h + b * wide, bias, wide * sizeof *f.h);
        }
        vg_ref_product_rows(machine, (vg_ref_rows){f.h, wide, f.states[0], s->units, 1, s->batch,
                                                   wide, s->units, weight});
        vg_ref_share(machine, (uint64_t)s->batch * s->units, fwd_rows, &f);
    }
}

/* The rows of one (t, b) that the backward step reads and leaves. */
typedef struct bwd_rows {
    double *reserve, *before, *y, *h_before; /* reserve of t and of t - 1 */
    double *dgates_x, *dgates_h;             /* one where the cell's gates do not differ */
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

/* A backward scan at work. */
typedef struct bwd_scan {
    vg_ref_machine *machine;
    scan s;
    bool differ;
    uint64_t t;
    double *temporaries, *dgates_h, *carry[VG_MAX_STATES]; /* of every batch row */
} bwd_scan;

/* Doubles that one batch row needs beside dgates_h and the carries. */
static uint64_t row_temporaries(const scan *s)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    return 2 * (uint64_t)w->reserve.cols + (3 + s->states + s->gates) * (uint64_t)s->units;
}

static bwd_rows rows_of(const bwd_scan *f, uint64_t b, double **dy)
{
    const scan *s = &f->s;
    const uint64_t units = s->units, kept = s->op->scan_bwd.reserve.cols;
    double *at = f->temporaries + b * row_temporaries(s);
    bwd_rows r = {.reserve = at, .before = at + kept, .y = at + 2 * kept};
    r.h_before = r.y + units;
    *dy = r.h_before + units;
    r.dgates_h = f->dgates_h + b * s->gates * units;
    r.dgates_x = f->differ ? *dy + (1 + s->states) * units : r.dgates_h;
    for (uint32_t i = 0; i < s->states; i++) {
        r.total[i] = *dy + (1 + i) * units;
        r.dstate[i] = f->carry[i] + b * units;
    }
    return r;
}

/* Before the product: the pointwise step of this thread's batch rows. */
static void bwd_rows_share(void *context, uint32_t thread, uint32_t threads)
{
    const bwd_scan *f = context;
    const vg_scan_bwd *w = &f->s.op->scan_bwd;
    uint64_t first, last;
    vg_pool_share(f->s.batch, thread, threads, &first, &last);
    for (uint64_t b = first; b < last; b++) {
        const uint64_t now = f->t * f->s.batch + b;
        double *dy;
        bwd_rows r = rows_of(f, b, &dy);
        read_step(f->machine, &f->s, f->t, (uint32_t)b, dy, &r);
        step_bwd(&f->s, f->differ, &r);
        if (f->differ)
            vg_ref_put_row(f->machine, &w->dgates_x, now, r.dgates_x);
        vg_ref_put_row(f->machine, &w->dgates_h, now, r.dgates_h);
        vg_ref_get_row(f->machine, &w->dgates_h, now, r.dgates_h); /* as stored */
        if (vg_ref_present(&w->dh))
            vg_ref_put_row(f->machine, &w->dh, now, r.total[0]);
        if (vg_ref_present(&w->dc))
            vg_ref_put_row(f->machine, &w->dc, now, r.total[1]);
    }
}

void vg_ref_scan_bwd(vg_ref_machine *machine, const vg_op *op)
{
    const vg_scan_bwd *w = &op->scan_bwd;
    bwd_scan f = {.machine = machine,
                  .s = scan_of(op, w->y.cols),
                  .differ = vg_cell_find(op->cell)->gates_differ};
    const scan *s = &f.s;
    const uint64_t wide = (uint64_t)s->gates * s->units, rows = (uint64_t)s->batch * s->units;
    vg_ref_view weight = vg_ref_open(machine, &w->weight_hh);
    f.temporaries = vg_ref_take(machine, s->batch * row_temporaries(s));
    f.dgates_h = vg_ref_take(machine, s->batch * wide);
    for (uint32_t i = 0; i < s->states; i++) {
        f.carry[i] = vg_ref_take(machine, rows);
        memset(f.carry[i], 0, rows * sizeof *f.carry[i]);
        for (uint32_t b = 0; b < s->batch && vg_ref_present(&w->dstateT[i]); b++)
            vg_ref_get_row(machine, &w->dstateT[i], b, f.carry[i] + (uint64_t)b * s->units);
    }
    for (f.t = op->t1; f.t-- > op->t0;) {
        vg_ref_share(machine, rows, bwd_rows_share, &f);
        vg_ref_product_rows(machine, (vg_ref_rows){f.carry[0], s->units, f.dgates_h, wide, 1,
                                                   s->batch, s->units, wide, weight});
    }
    for (uint32_t i = 0; i < s->states; i++)
        for (uint32_t b = 0; b < s->batch && vg_ref_present(&w->dstate0[i]); b++)
            vg_ref_put_row(machine, &w->dstate0[i], b, f.carry[i] + (uint64_t)b * s->units);
}
