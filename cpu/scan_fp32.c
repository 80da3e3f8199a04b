/* The tiles of a scan in fp32: the cell's step on the windows where they stand. */
#include "scan.h"

static vg_rows_in rows_in(const float *at, size_t ld, size_t row, size_t unit)
{
    return (vg_rows_in){at ? at + row * ld + unit : NULL, ld};
}
static vg_rows rows_out(float *at, size_t ld, size_t row, size_t unit)
{
    return (vg_rows){at ? at + row * ld + unit : NULL, ld};
}

static const vg_gemm_kernels *kernels_of(const vg_device *device)
{
    return device->kernels->gemm;
}

static void pack_rows(const vg_job *job, uint32_t vectors, float *to, vg_mat weight, size_t unit,
                      size_t n)
{
    vg_pack(job->kernels->gemm, vectors, to, vg_floats(job->exec, weight) + unit, weight.ld, false,
            weight.rows, 0, weight.rows, 0, n);
}

/* The cell's step t for rows [row, +rows) and the panel's units, whose product is in the tile. What
 * the cell does not have is left as it was: to clear it all takes longer than to fill it in. */
static void forward_step(const vg_scan *scan, uint64_t t, size_t row, size_t rows,
                         const vg_scan_panel *panel, vg_cell_fwd_step *step)
{
    const vg_op *op = scan->job->op;
    const vg_scan_fwd *s = &op->scan_fwd;
    const vg_exec *exec = scan->job->exec;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t batch = scan->plan.batch, at = t * batch + row, h = scan->plan.units;
    size_t unit = panel->unit;
    float *y = vg_floats(exec, s->y), *reserve = vg_floats_or_null(exec, s->reserve);
    const float *x = vg_floats(exec, s->preact_x) + at * s->preact_x.ld + unit;
    step->cell = op->cell;
    step->activation = op->activation;
    step->rows = rows;
    step->units = panel->units;
    step->x = (vg_gates_in){x, s->preact_x.ld, h};
    step->h = (vg_gates_in){scan->tile, panel->width, panel->width / scan->plan.gates};
    step->bias = (vg_gates_in){vg_floats(exec, s->bias_hh) + unit, 0, h};
    step->state[0] = rows_in(y + row * s->y.ld - batch * s->y.ld, s->y.ld, t * batch, unit);
    step->out[0] = rows_out(y, s->y.ld, at, unit);
    step->kept = (vg_gates){NULL, 0, 0};
    if (cell->kept)
        step->kept = (vg_gates){reserve + at * s->reserve.ld + unit, s->reserve.ld, h};
    for (uint32_t i = 1; i < cell->states; i++) {
        size_t col = (cell->kept + i - 1) * h + unit;
        step->state[i] = t ? rows_in(reserve, s->reserve.ld, at - batch, col)
                           : rows_in(vg_floats(exec, s->state0[i]), s->state0[i].ld, row, unit);
        step->out[i] = rows_out(reserve, s->reserve.ld, at, col);
    }
}

static void forward_tile(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                         size_t rows)
{
    const vg_kernels *kernels = scan->job->kernels;
    vg_cell_fwd_step step;
    forward_step(scan, t, row, rows, panel, &step);
    kernels->cell_fwd_ahead(&step);
    vg_scan_product(scan, t, panel, row, rows);
    kernels->cell_fwd(&step);
}

/* What comes back into state i at step t, apart from the product, and where it goes on to. */
static void carry_set(const vg_scan *scan, vg_cell_bwd_step *step, uint32_t i, uint64_t t,
                      size_t row, size_t unit)
{
    const vg_op *op = scan->job->op;
    const vg_exec *exec = scan->job->exec;
    vg_mat from = op->scan_bwd.dstateT[i], to = op->scan_bwd.dstate0[i];
    bool carried = i > 0 || vg_cell_find(op->cell)->gates_differ; /* else only the product */
    vg_rows carry = vg_scan_carry(scan, i, row, unit);
    if (t + 1 == op->t1)
        step->carry[i] = rows_in(vg_floats_or_null(exec, from), from.ld, row, unit);
    else if (carried)
        step->carry[i] = (vg_rows_in){carry.at, carry.ld};
    if (carried && t == op->t0)
        step->dstate[i] = rows_out(vg_floats_or_null(exec, to), to.ld, row, unit);
    else if (carried)
        step->dstate[i] = carry;
}

/* The cell's step t back, with the product of step t + 1 but for the last. */
static vg_cell_bwd_step backward_step(const vg_scan *scan, uint64_t t, size_t row, size_t rows,
                                      const vg_scan_panel *panel)
{
    const vg_op *op = scan->job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_exec *exec = scan->job->exec;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t batch = scan->plan.batch, at = t * batch + row, h = scan->plan.units;
    size_t unit = panel->unit;
    float *y = vg_floats(exec, s->y), *reserve = vg_floats_or_null(exec, s->reserve);
    float *gates_x = vg_floats(exec, s->dgates_x), *gates_h = vg_floats(exec, s->dgates_h);
    bool last = t + 1 == op->t1;
    vg_cell_bwd_step step = {
        .cell = op->cell,
        .activation = op->activation,
        .rows = rows,
        .units = panel->units,
        .state[0] = rows_in(y + row * s->y.ld - batch * s->y.ld, s->y.ld, t * batch, unit),
        .out[0] = rows_in(y, s->y.ld, at, unit),
        .dx = {gates_x + at * s->dgates_x.ld + unit, s->dgates_x.ld, h},
        .total[0] = rows_out(vg_floats_or_null(exec, s->dh), s->dh.ld, at, unit),
        .total[1] = rows_out(vg_floats_or_null(exec, s->dc), s->dc.ld, at, unit),
    };
    if (!last)
        step.product = (vg_rows_in){scan->tile, panel->width};
    if (s->dy.rows > batch)
        step.dy = rows_in(vg_floats(exec, s->dy), s->dy.ld, at, unit);
    else if (s->dy.rows && last)
        step.dy = rows_in(vg_floats(exec, s->dy), s->dy.ld, row, unit);
    if (cell->kept)
        step.kept = (vg_gates_in){reserve + at * s->reserve.ld + unit, s->reserve.ld, h};
    if (cell->gates_differ)
        step.dh = (vg_gates){gates_h + at * s->dgates_h.ld + unit, s->dgates_h.ld, h};
    for (uint32_t i = 0; i < cell->states; i++) {
        size_t col = (cell->kept + i - 1) * h + unit;
        carry_set(scan, &step, i, t, row, unit);
        if (i == 0)
            continue;
        step.state[i] = t ? rows_in(reserve, s->reserve.ld, at - batch, col)
                          : rows_in(vg_floats(exec, s->state0[i]), s->state0[i].ld, row, unit);
        step.out[i] = rows_in(reserve, s->reserve.ld, at, col);
    }
    return step;
}

static void backward_tile(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                          size_t rows)
{
    const vg_kernels *kernels = scan->job->kernels;
    vg_cell_bwd_step step = backward_step(scan, t, row, rows, panel);
    kernels->cell_bwd_ahead(&step);
    if (step.product.at)
        vg_scan_product(scan, t + 1, panel, row, rows);
    kernels->cell_bwd(&step);
}

const vg_scan_type vg_scan_fp32 = {
    .gemm = kernels_of,
    .elements = 1,
    .pack_rows = pack_rows,
    .fwd_tile = forward_tile,
    .bwd_tile = backward_tile,
};
