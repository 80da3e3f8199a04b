/* The recurrence over all steps as one region. Every thread owns columns (units) of the product,
 * with the weights packed so that a panel holds all gates of its units, and the cell's step follows
 * each tile while it is in cache. Where units are shared out there is one barrier a step; where
 * batch rows are, none. */
#include "scan.h"
#include "sizes.h"

#include <string.h>

/* Row `row` of a window as floats of a product. */
static float *row_at(const vg_exec *exec, vg_mat m, size_t row)
{
    return (float *)(void *)(exec->arena + m.at + row * m.ld * vg_dtype_size(m.dtype));
}

/* Packs this thread's panels, [k][gate][units] each; shared by panels where batch rows are. */
static void pack_forward(const vg_scan *s, const vg_scan_panel *panel, vg_mat weight)
{
    const vg_scan_plan *p = &s->plan;
    size_t gate_units = panel->width / p->gates, ld = weight.ld / s->type->elements;
    if (panel->units < gate_units)
        memset(panel->weights, 0, panel->width * p->k * sizeof *panel->weights);
    for (size_t gate = 0; gate < p->gates; gate++)
        s->gemm->transpose(panel->weights + gate * gate_units, panel->width,
                           row_at(s->job->exec, weight, gate * p->units + panel->unit), ld,
                           panel->units, p->k);
}

static void pack(const vg_scan *s)
{
    const vg_job *job = s->job;
    const vg_op *op = job->op;
    for (size_t place = 0; place < s->plan.panels; place++) {
        vg_scan_panel panel = vg_scan_panel_at(&s->plan, s->packed, 0, place);
        if (s->plan.by_batch && place % job->threads != job->thread)
            continue;
        if (op->kind == VG_SCAN_FWD)
            pack_forward(s, &panel, op->scan_fwd.weight_hh);
        else
            s->type->pack_rows(job, (uint32_t)(panel.width / s->gemm->lanes), panel.weights,
                               op->scan_bwd.weight_hh, panel.unit, panel.units);
    }
    if (s->plan.by_batch)
        vg_job_barrier(job);
}

void vg_scan_begin(vg_scan *s, const vg_job *job)
{
    const vg_scan_type *type = job->exec->ops->scan;
    *s = (vg_scan){.job = job,
                   .type = type,
                   .gemm = type->gemm(job->device),
                   .plan = vg_scan_plan_make(job->device, type, job->op, job->thread, job->threads),
                   .packed = job->scheduled->pack->at};
    size_t own = vg_scan_thread_size(job->device, type, &s->plan);
    s->chunk = vg_scan_chunk(&s->plan);
    s->tile = job->scratch + job->thread * own;
    s->staged = s->tile + own - vg_scan_staged_size(type, &s->plan);
    s->carry = job->scratch + job->threads * own;
    if (job->scheduled->packs)
        pack(s);
}

/* The left operand of step t's product, of all batch rows. */
static vg_rows_in left_of(const vg_scan *s, uint64_t t)
{
    const vg_op *op = s->job->op;
    bool forward = op->kind == VG_SCAN_FWD;
    vg_mat m = forward ? op->scan_fwd.y : op->scan_bwd.dgates_h;
    if (forward) /* row -B of y is that of state0 */
        m.at -= (uint64_t)s->plan.batch * m.ld * vg_dtype_size(m.dtype);
    return (vg_rows_in){row_at(s->job->exec, m, t * s->plan.batch), m.ld / s->type->elements};
}

/* The last rows ask for the walk's next panel. */
static void product(const vg_scan *s, uint64_t t, const vg_scan_panel *panel, size_t row,
                    size_t rows, size_t columns, vg_rows c, bool accumulate)
{
    vg_rows_in left = left_of(s, t);
    bool asks = rows > VG_SCAN_FETCHED_ROWS && row + rows == s->plan.row_end;
    vg_product_run(s->gemm, &(vg_product){.a = left.at + row * left.ld,
                                          .a_row = left.ld,
                                          .a_k = 1,
                                          .b = panel->weights,
                                          .ahead = asks ? panel->next : 0,
                                          .b_k = panel->width,
                                          .b_panel = s->plan.panel_floats,
                                          .c = c.at,
                                          .c_row = c.ld,
                                          .m = rows,
                                          .n = columns,
                                          .k = s->plan.k,
                                          .block = rows,
                                          .vectors = (uint32_t)(panel->width / s->gemm->lanes),
                                          .accumulate = accumulate});
}

void vg_scan_product(const vg_scan *s, uint64_t t, const vg_scan_panel *panel, size_t row,
                     size_t rows)
{
    bool forward = s->job->op->kind == VG_SCAN_FWD;
    if (s->side && vg_side_product(s->side, panel, s->plan.k, left_of(s, t).at, s->tile))
        return;
    product(s, t, panel, row, rows, forward ? panel->width : panel->units,
            (vg_rows){s->tile, panel->width}, false);
}

typedef void tile_fn(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                     size_t rows);

/* All tiles of this thread at step t, whose product is that of step `left` (none: T of the scan).
 * What the other threads have just written of its left operand comes from their caches: all of it
 * at once, where the product would ask for a line at a time. */
static void step_run(const vg_scan *s, uint64_t t, uint64_t left, tile_fn *tile)
{
    const vg_scan_plan *p = &s->plan;
    if (s->side)
        vg_side_step(s->side, t);
    if (!p->by_batch && s->job->threads > 1 && p->batch <= VG_SCAN_FETCHED_ROWS &&
        left < s->job->op->t1)
        s->job->kernels->fetch(p->batch, p->k, left_of(s, left));
    for (size_t place = 0; place < p->panels; place++) {
        vg_scan_panel panel = vg_scan_panel_at(p, s->packed, t, place);
        for (size_t r = p->row; r < p->row_end; r += s->chunk)
            tile(s, t, &panel, r, vg_least(s->chunk, p->row_end - r));
    }
    if (s->side && s->job->threads > 1)
        vg_pool_barrier_while(s->job->device->pool, s->job->thread, vg_side_meanwhile, s->side);
    else if (!p->by_batch)
        vg_job_barrier(s->job);
}

/* The last product, straight into dstate0, which is of fp32. */
static void state0_tile(const vg_scan *s, uint64_t t, const vg_scan_panel *panel, size_t row,
                        size_t rows)
{
    vg_mat to = s->job->op->scan_bwd.dstate0[0];
    vg_rows c = {vg_floats(s->job->exec, to) + row * to.ld + panel->unit, to.ld};
    product(s, t, panel, row, rows, panel->units, c, vg_cell_find(s->job->op->cell)->gates_differ);
}

void vg_scan_steps(const vg_scan *s, uint64_t first, uint64_t last)
{
    const vg_op *op = s->job->op;
    if (op->kind == VG_SCAN_FWD) {
        for (uint64_t t = first; t < last; t++)
            step_run(s, t, t, s->type->fwd_tile);
        return;
    }
    for (uint64_t t = last; t-- > first;)
        step_run(s, t, t + 1, s->type->bwd_tile);
    if (first == op->t0 && op->scan_bwd.dstate0[0].rows)
        step_run(s, op->t0, op->t0, state0_tile);
}

void vg_scan_run(const vg_job *job)
{
    vg_scan s;
    vg_scan_begin(&s, job);
    vg_scan_steps(&s, job->op->t0, job->op->t1);
}
