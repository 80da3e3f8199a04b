/* The tiles of a scan in bf16: weights packed in pairs, and the cell's step on floats, staged from
 * and to the windows while they are in cache. */
#include "bf16_ops.h"
#include "scan.h"

static const vg_gemm_kernels *kernels_of(const vg_device *device)
{
    return device->bf16->gemm;
}

static void pack_rows(const vg_job *job, uint32_t vectors, float *to, vg_mat weight, size_t unit,
                      size_t n)
{
    vg_bf16_pack_rows(job->device->bf16, vectors, to, vg_bf16_at(job->exec, weight, 0, unit),
                      weight.ld, weight.rows, 0, n);
}

/* The windows of one tile: rows of the batch, units of the layer. */
typedef struct tile {
    const vg_scan *scan;
    vg_stage stage;
    uint64_t t;
    size_t row, rows, unit, units;
} tile;

static tile tile_make(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                      size_t rows)
{
    return (tile){.scan = scan,
                  .stage = {.job = scan->job, .memory = scan->staged},
                  .t = t,
                  .row = row,
                  .rows = rows,
                  .unit = panel->unit,
                  .units = panel->units};
}

/* Where state i stands: its window, and the column of the tile's first unit. */
static vg_mat state_window(const tile *w, vg_mat y, vg_mat reserve, uint32_t i, size_t *col)
{
    const vg_cell_info *cell = vg_cell_find(w->scan->job->op->cell);
    *col = i == 0 ? w->unit : (cell->kept + i - 1) * w->scan->plan.units + w->unit;
    return i == 0 ? y : reserve;
}

/* State i before step t: of state0 where t is 0. */
static vg_rows_in state_before(tile *w, vg_mat states, vg_mat state0, size_t col)
{
    size_t at = (w->t - 1) * w->scan->plan.batch + w->row;
    return w->t ? vg_stage_in(&w->stage, states, at, col, w->rows, w->units)
                : vg_stage_in(&w->stage, state0, w->row, w->unit, w->rows, w->units);
}

static void forward_tile(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                         size_t rows)
{
    const vg_op *op = scan->job->op;
    const vg_scan_fwd *s = &op->scan_fwd;
    const vg_scan_plan *p = &scan->plan;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t at = t * p->batch + row, h = p->units, unit = panel->unit, units = panel->units;
    tile w = tile_make(scan, t, panel, row, rows);
    vg_scan_product(scan, t, panel, row, rows);
    vg_cell_fwd_step step = {
        .cell = op->cell,
        .activation = op->activation,
        .rows = rows,
        .units = units,
        .x = vg_stage_gates_in(&w.stage, s->preact_x, at, unit, rows, units, h, p->gates),
        .h = {scan->tile, panel->width, panel->width / p->gates},
        .bias = {vg_floats(scan->job->exec, s->bias_hh) + unit, 0, h},
        .kept = vg_stage_gates_out(&w.stage, s->reserve, at, unit, rows, units, h, cell->kept),
    };
    for (uint32_t i = 0; i < cell->states; i++) {
        size_t col;
        vg_mat states = state_window(&w, s->y, s->reserve, i, &col);
        step.state[i] = state_before(&w, states, s->state0[i], col);
        step.out[i] = vg_stage_out(&w.stage, states, at, col, rows, units);
    }
    scan->job->kernels->cell_fwd(&step);
    vg_stage_end(&w.stage);
}

/* What comes back into the states of step t and goes on to the step before. */
static void carries_set(tile *w, vg_cell_bwd_step *step)
{
    const vg_op *op = w->scan->job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    for (uint32_t i = 0; i < cell->states; i++) {
        bool carried = i > 0 || cell->gates_differ; /* else nothing but the product comes back */
        vg_rows carry = vg_scan_carry(w->scan, i, w->row, w->unit);
        if (w->t + 1 == op->t1)
            step->carry[i] =
                vg_stage_in(&w->stage, s->dstateT[i], w->row, w->unit, w->rows, w->units);
        else if (carried)
            step->carry[i] = (vg_rows_in){carry.at, carry.ld};
        if (carried && w->t == op->t0)
            step->dstate[i] =
                vg_stage_out(&w->stage, s->dstate0[i], w->row, w->unit, w->rows, w->units);
        else if (carried)
            step->dstate[i] = carry;
    }
}

static void backward_tile(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                          size_t rows)
{
    const vg_op *op = scan->job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_scan_plan *p = &scan->plan;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t at = t * p->batch + row, h = p->units, unit = panel->unit, units = panel->units;
    bool last = t + 1 == op->t1;
    tile w = tile_make(scan, t, panel, row, rows);
    if (!last)
        vg_scan_product(scan, t + 1, panel, row, rows);
    vg_cell_bwd_step step = {
        .cell = op->cell,
        .activation = op->activation,
        .rows = rows,
        .units = units,
        .kept = vg_stage_gates_in(&w.stage, s->reserve, at, unit, rows, units, h, cell->kept),
        .dx = vg_stage_gates_out(&w.stage, s->dgates_x, at, unit, rows, units, h, p->gates),
        .total = {vg_stage_out(&w.stage, s->dh, at, unit, rows, units),
                  vg_stage_out(&w.stage, s->dc, at, unit, rows, units)},
    };
    if (cell->gates_differ)
        step.dh = vg_stage_gates_out(&w.stage, s->dgates_h, at, unit, rows, units, h, p->gates);
    if (!last)
        step.product = (vg_rows_in){scan->tile, panel->width};
    if (s->dy.rows > p->batch)
        step.dy = vg_stage_in(&w.stage, s->dy, at, unit, rows, units);
    else if (last)
        step.dy = vg_stage_in(&w.stage, s->dy, row, unit, rows, units);
    for (uint32_t i = 0; i < cell->states; i++) {
        size_t col;
        vg_mat states = state_window(&w, s->y, s->reserve, i, &col);
        step.state[i] = state_before(&w, states, s->state0[i], col);
        step.out[i] = vg_stage_in(&w.stage, states, at, col, rows, units);
    }
    carries_set(&w, &step);
    scan->job->kernels->cell_bwd(&step);
    vg_stage_end(&w.stage);
}

/* Windows staged at once: every gate and kept value, the states before and after, and what comes
 * in. */
const vg_scan_type vg_scan_bf16 = {
    .gemm = kernels_of,
    .elements = 2,
    .staged = 2 * VG_MAX_GATES + VG_MAX_KEPT + 2 * VG_MAX_STATES + 1,
    .pack_rows = pack_rows,
    .fwd_tile = forward_tile,
    .bwd_tile = backward_tile,
};
