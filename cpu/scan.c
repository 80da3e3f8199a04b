/* The recurrence over all steps as one region. Every thread owns columns (units) of the product,
 * with the weights packed so that a panel holds all gates of its units, and the cell's step follows
 * each tile while it is in cache. Where units are shared out there is one barrier a step; where
 * batch rows are, none. */
#include "cpu_exec.h"

#include <string.h>

/* STEP_ROWS: rows of a tile that the cell's step follows, at most. AHEAD_ROWS: up to so many, what
 * the step reads and writes is asked for before the product; more lines would hold the product up
 * and push its operands out of the first level. */
enum { STEP_ROWS = 48, AHEAD_ROWS = 4 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What a scan's two directions share: the product's shape, this thread's units and rows. */
typedef struct scan_plan {
    size_t units, gates, batch, k; /* k: reduction length of the step's product */
    uint32_t groups, vectors;      /* of columns a unit in a panel; vectors a panel */
    size_t panel_units, panel_floats;
    bool by_batch;
    bool turns;                          /* every other step walks the panels from the last on */
    size_t unit, unit_end, row, row_end; /* this thread's */
    size_t packed_at;                    /* this thread's first panel, floats into the pack */
    size_t panels;                       /* this thread's */
} scan_plan;

/* One of this thread's panels. */
typedef struct scan_panel {
    const float *weights;
    size_t unit, units;
} scan_panel;

/* The panel's width: the gates of one vector of units, or of more where few rows leave room for
 * more sums; at least two vectors. */
static uint32_t panel_vectors(const vg_gemm_kernels *g, uint32_t groups, size_t rows)
{
    uint32_t narrow = groups == 1 ? 2 : groups;
    for (uint32_t vectors = VG_TILE_VECTORS; vectors > narrow; vectors--)
        if (vectors % groups == 0 && rows <= g->max_rows[vectors])
            return vectors;
    return narrow;
}

/* Cycles of a step, roughly: multiply-adds, or the weights' way from the second or third level,
 * whichever is longer, and the barrier. */
static double step_cycles(const vg_device *device, const scan_plan *p, size_t units, size_t rows,
                          bool barrier)
{
    double weights = (double)p->k * p->groups * (double)units;
    double vectors = weights / device->kernels->lanes;
    double bytes = weights * sizeof(float);
    double load = bytes / (bytes < 0.75 * (double)device->near_bytes ? 32 : 12);
    double sums = vectors * (double)rows;
    return (sums > load ? sums : load) + (barrier ? 600 : 0);
}

static bool choose_batch(const vg_device *device, const scan_plan *p)
{
    uint32_t threads = vg_pool_threads(device->pool), lanes = device->kernels->lanes;
    if (threads == 1 || device->scan_split == VG_SCAN_UNITS)
        return false;
    if (device->scan_split == VG_SCAN_BATCH)
        return true;
    size_t blocks = (p->units + lanes - 1) / lanes, share = (blocks + threads - 1) / threads;
    size_t rows = (p->batch + threads - 1) / threads;
    return step_cycles(device, p, blocks * lanes, rows, false) <=
           step_cycles(device, p, share * lanes, p->batch, true);
}

/* Whether a share of the weights about fills the cache that it passes through every step: the
 * panels used last are then still in it, where a walk in one direction would have evicted each
 * before it is used again. Larger shares come from the next level either way, as a stream. */
static bool turns_pay(const vg_device *device, const scan_plan *p)
{
    double bytes = (double)(p->panels * p->panel_floats * sizeof(float));
    double near = (double)device->near_bytes;
    return bytes > 0.5 * near && bytes < 1.5 * near;
}

static scan_plan plan_make(const vg_device *device, const vg_op *op, uint32_t thread)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    bool forward = op->kind == VG_SCAN_FWD;
    vg_mat weight = forward ? op->scan_fwd.weight_hh : op->scan_bwd.weight_hh;
    scan_plan p = {.units = weight.cols, .gates = cell->gates, .batch = op->batch};
    uint32_t threads = vg_pool_threads(device->pool);
    p.k = forward ? p.units : p.units * p.gates;
    p.groups = forward ? cell->gates : 1;
    p.by_batch = choose_batch(device, &p);
    p.unit_end = p.units;
    p.row_end = p.batch;
    if (p.by_batch) {
        uint64_t first, last;
        vg_pool_share(p.batch, thread, threads, &first, &last);
        p.row = first;
        p.row_end = last;
        p.vectors = panel_vectors(g, p.groups, (p.batch + threads - 1) / threads);
    } else {
        vg_columns_share(g->lanes, p.units, thread, threads, &p.unit, &p.unit_end);
        p.vectors = panel_vectors(g, p.groups, p.batch);
    }
    p.panel_units = (size_t)p.vectors / p.groups * g->lanes;
    p.panel_floats = (size_t)p.vectors * g->lanes * p.k;
    p.packed_at = (p.unit + (p.by_batch ? 0 : thread * p.panel_units)) * p.groups * p.k;
    p.panels = (p.unit_end - p.unit + p.panel_units - 1) / p.panel_units;
    p.turns = turns_pay(device, &p);
    return p;
}

/* The panel that stands at `place` in the walk of step t. */
static scan_panel panel_at(const scan_plan *p, const float *packed, uint64_t t, size_t place)
{
    size_t index = p->turns && t % 2 ? p->panels - 1 - place : place;
    size_t unit = p->unit + index * p->panel_units;
    return (scan_panel){.weights = packed + p->packed_at + index * p->panel_floats,
                        .unit = unit,
                        .units = least(p->panel_units, p->unit_end - unit)};
}

size_t vg_scan_pack_size(const vg_device *device, const vg_op *op)
{
    uint32_t threads = vg_pool_threads(device->pool);
    scan_plan p = plan_make(device, op, 0);
    size_t panels = (p.units + p.panel_units - 1) / p.panel_units;
    return (panels + threads + 1) * p.panel_floats;
}

size_t vg_scan_scratch(const vg_device *device, const vg_op *op)
{
    uint32_t threads = vg_pool_threads(device->pool);
    size_t tile = (size_t)STEP_ROWS * VG_TILE_VECTORS * device->kernels->lanes;
    size_t states = vg_cell_find(op->cell)->states;
    size_t units = op->kind == VG_SCAN_BWD ? op->scan_bwd.weight_hh.cols : 0;
    return threads * tile + states * op->batch * ((units + 15) / 16 * 16);
}

const char *vg_scan_choice(const vg_device *device, const vg_op *op)
{
    return plan_make(device, op, 0).by_batch ? "batch" : "units";
}

/* Packs this thread's panels, [k][gate][units] each; shared by panels where batch rows are. */
static void pack_forward(const vg_job *job, const scan_plan *p, float *to, vg_mat weight)
{
    const vg_gemm_kernels *g = job->kernels->gemm;
    const float *from = vg_floats(job->exec, weight);
    size_t width = (size_t)p->vectors * g->lanes, panel = 0;
    for (size_t u = p->unit; u < p->unit_end; u += p->panel_units, panel++) {
        if (p->by_batch && panel % job->threads != job->thread)
            continue;
        float *at = to + p->packed_at + panel * p->panel_floats;
        size_t n = least(p->panel_units, p->unit_end - u);
        if (n < p->panel_units)
            memset(at, 0, p->panel_floats * sizeof *at);
        for (size_t gate = 0; gate < p->gates; gate++)
            g->transpose(at + gate * p->panel_units, width,
                         from + (gate * p->units + u) * weight.ld, weight.ld, n, p->k);
    }
}

static void pack_backward(const vg_job *job, const scan_plan *p, float *to, vg_mat weight)
{
    const vg_gemm_kernels *g = job->kernels->gemm;
    size_t k0 = 0, k1 = p->k;
    if (p->by_batch)
        vg_columns_share(1, p->k, job->thread, job->threads, &k0, &k1);
    vg_pack(g, p->vectors, to + p->packed_at, vg_floats(job->exec, weight) + p->unit, weight.ld,
            false, p->k, k0, k1 - k0, 0, p->unit_end - p->unit);
}

/* tile [rows, panel] = A[rows, k] × panel. */
static void step_product(const vg_job *job, const scan_plan *p, const float *a, size_t a_row,
                         size_t rows, const float *panel, size_t columns, float *c, size_t c_row,
                         bool accumulate)
{
    const vg_gemm_kernels *g = job->kernels->gemm;
    vg_product_run(g, &(vg_product){.a = a,
                                    .a_row = a_row,
                                    .a_k = 1,
                                    .b = panel,
                                    .b_k = (size_t)p->vectors * g->lanes,
                                    .b_panel = p->panel_floats,
                                    .c = c,
                                    .c_row = c_row,
                                    .m = rows,
                                    .n = columns,
                                    .k = p->k,
                                    .block = rows,
                                    .vectors = p->vectors,
                                    .accumulate = accumulate});
}

/* What the other threads have just written of the product's left operand comes from their caches:
 * all of it at once, where the product would ask for a line at a time. */
static void others_fetch(const vg_job *job, const scan_plan *p, const float *a, size_t a_row)
{
    if (!p->by_batch && job->threads > 1 && p->batch <= AHEAD_ROWS)
        job->kernels->fetch(p->batch, p->k, (vg_rows_in){a, a_row});
}

/* Row chunks whose tile stays in the first level. */
static size_t chunk_rows(const scan_plan *p)
{
    size_t rows = p->row_end - p->row, chunks = (rows + STEP_ROWS - 1) / STEP_ROWS;
    return chunks ? (rows + chunks - 1) / chunks : 1;
}

static float *thread_tile(const vg_job *job)
{
    return job->scratch + job->thread * (size_t)STEP_ROWS * VG_TILE_VECTORS * job->kernels->lanes;
}

static vg_rows_in rows_in(const float *at, size_t ld, size_t row, size_t unit)
{
    return (vg_rows_in){at ? at + row * ld + unit : NULL, ld};
}
static vg_rows rows_out(float *at, size_t ld, size_t row, size_t unit)
{
    return (vg_rows){at ? at + row * ld + unit : NULL, ld};
}

/* Forward. */

/* The cell's step t for rows [row, +rows) and the panel's units, whose product is in the tile. */
static vg_cell_fwd_step forward_step(const vg_job *job, const scan_plan *p, uint64_t t, size_t row,
                                     size_t rows, const scan_panel *panel, const float *tile)
{
    const vg_scan_fwd *s = &job->op->scan_fwd;
    const vg_exec *exec = job->exec;
    const vg_cell_info *cell = vg_cell_find(job->op->cell);
    size_t at = t * p->batch + row, h = p->units, unit = panel->unit;
    float *y = vg_floats(exec, s->y), *reserve = vg_floats_or_null(exec, s->reserve);
    const float *x = vg_floats(exec, s->preact_x) + at * s->preact_x.ld + unit;
    vg_cell_fwd_step step = {
        .cell = job->op->cell,
        .activation = job->op->activation,
        .rows = rows,
        .units = panel->units,
        .x = {x, s->preact_x.ld, h},
        .h = {tile, (size_t)p->vectors * job->kernels->lanes, p->panel_units},
        .bias = {vg_floats(exec, s->bias_hh) + unit, 0, h},
        .state[0] = rows_in(y + row * s->y.ld - p->batch * s->y.ld, s->y.ld, t * p->batch, unit),
        .out[0] = rows_out(y, s->y.ld, at, unit),
    };
    if (cell->kept)
        step.kept = (vg_gates){reserve + at * s->reserve.ld + unit, s->reserve.ld, h};
    for (uint32_t i = 1; i < cell->states; i++) {
        size_t col = (cell->kept + i - 1) * h + unit;
        step.state[i] = t ? rows_in(reserve, s->reserve.ld, at - p->batch, col)
                          : rows_in(vg_floats(exec, s->state0[i]), s->state0[i].ld, row, unit);
        step.out[i] = rows_out(reserve, s->reserve.ld, at, col);
    }
    return step;
}

void vg_scan_fwd_run(const vg_job *job)
{
    const vg_scan_fwd *s = &job->op->scan_fwd;
    scan_plan p = plan_make(job->device, job->op, job->thread);
    float *packed = job->scheduled->pack->at, *tile = thread_tile(job);
    if (job->scheduled->packs) {
        pack_forward(job, &p, packed, s->weight_hh);
        if (p.by_batch)
            vg_job_barrier(job);
    }
    size_t width = (size_t)p.vectors * job->kernels->lanes, chunk = chunk_rows(&p);
    for (uint64_t t = job->op->t0; t < job->op->t1; t++) {
        const float *before =
            vg_floats(job->exec, s->y) + t * p.batch * s->y.ld - p.batch * s->y.ld;
        others_fetch(job, &p, before, s->y.ld);
        for (size_t place = 0; place < p.panels; place++) {
            scan_panel panel = panel_at(&p, packed, t, place);
            for (size_t r = p.row; r < p.row_end; r += chunk) {
                size_t rows = least(chunk, p.row_end - r);
                vg_cell_fwd_step step = forward_step(job, &p, t, r, rows, &panel, tile);
                if (rows <= AHEAD_ROWS)
                    job->kernels->cell_fwd_ahead(&step);
                step_product(job, &p, before + r * s->y.ld, s->y.ld, rows, panel.weights, width,
                             tile, width, false);
                job->kernels->cell_fwd(&step);
            }
        }
        if (!p.by_batch)
            vg_job_barrier(job);
    }
}

/* Backward. carry: what comes back into the states, apart from the product; scratch of this op. */

static float *carry_of(const vg_job *job, const scan_plan *p, uint32_t state)
{
    size_t tiles = job->threads * (size_t)STEP_ROWS * VG_TILE_VECTORS * job->kernels->lanes;
    return job->scratch + tiles + state * p->batch * ((p->units + 15) / 16 * 16);
}

/* The cell's step t back; tile: the product of step t + 1, or null at the last step. */
static vg_cell_bwd_step backward_step(const vg_job *job, const scan_plan *p, uint64_t t, size_t row,
                                      size_t rows, size_t unit, size_t units, const float *tile)
{
    const vg_op *op = job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_exec *exec = job->exec;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t at = t * p->batch + row, h = p->units, carry_row = (h + 15) / 16 * 16;
    float *y = vg_floats(exec, s->y), *reserve = vg_floats_or_null(exec, s->reserve);
    float *gates_x = vg_floats(exec, s->dgates_x), *gates_h = vg_floats(exec, s->dgates_h);
    bool last = t + 1 == op->t1, first = t == op->t0;
    vg_cell_bwd_step step = {
        .cell = op->cell,
        .activation = op->activation,
        .rows = rows,
        .units = units,
        .state[0] = rows_in(y + row * s->y.ld - p->batch * s->y.ld, s->y.ld, t * p->batch, unit),
        .out[0] = rows_in(y, s->y.ld, at, unit),
        .dx = {gates_x + at * s->dgates_x.ld + unit, s->dgates_x.ld, h},
        .total[0] = rows_out(vg_floats_or_null(exec, s->dh), s->dh.ld, at, unit),
        .total[1] = rows_out(vg_floats_or_null(exec, s->dc), s->dc.ld, at, unit),
    };
    if (tile)
        step.product = (vg_rows_in){tile, (size_t)p->vectors * job->kernels->lanes};
    if (s->dy.rows > p->batch)
        step.dy = rows_in(vg_floats(exec, s->dy), s->dy.ld, at, unit);
    else if (s->dy.rows && last)
        step.dy = rows_in(vg_floats(exec, s->dy), s->dy.ld, row, unit);
    if (cell->kept)
        step.kept = (vg_gates_in){reserve + at * s->reserve.ld + unit, s->reserve.ld, h};
    if (cell->gates_differ)
        step.dh = (vg_gates){gates_h + at * s->dgates_h.ld + unit, s->dgates_h.ld, h};
    for (uint32_t i = 0; i < cell->states; i++) {
        size_t col = (cell->kept + i - 1) * h + unit;
        bool carried = i > 0 || cell->gates_differ; /* else nothing but the product comes back */
        if (last)
            step.carry[i] =
                rows_in(vg_floats_or_null(exec, s->dstateT[i]), s->dstateT[i].ld, row, unit);
        else if (carried)
            step.carry[i] = rows_in(carry_of(job, p, i), carry_row, row, unit);
        if (carried && first)
            step.dstate[i] =
                rows_out(vg_floats_or_null(exec, s->dstate0[i]), s->dstate0[i].ld, row, unit);
        else if (carried)
            step.dstate[i] = rows_out(carry_of(job, p, i), carry_row, row, unit);
        if (i == 0)
            continue;
        step.state[i] = t ? rows_in(reserve, s->reserve.ld, at - p->batch, col)
                          : rows_in(vg_floats(exec, s->state0[i]), s->state0[i].ld, row, unit);
        step.out[i] = rows_in(reserve, s->reserve.ld, at, col);
    }
    return step;
}

/* The last product, straight into dstate0. */
static void last_product(const vg_job *job, const scan_plan *p, const scan_panel *panel, size_t row,
                         size_t rows)
{
    const vg_scan_bwd *s = &job->op->scan_bwd;
    const float *gates = vg_floats(job->exec, s->dgates_h);
    if (s->dstate0[0].rows == 0)
        return;
    step_product(job, p, gates + (job->op->t0 * p->batch + row) * s->dgates_h.ld, s->dgates_h.ld,
                 rows, panel->weights, panel->units,
                 vg_floats(job->exec, s->dstate0[0]) + row * s->dstate0[0].ld + panel->unit,
                 s->dstate0[0].ld, vg_cell_find(job->op->cell)->gates_differ);
}

void vg_scan_bwd_run(const vg_job *job)
{
    const vg_op *op = job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    scan_plan p = plan_make(job->device, op, job->thread);
    const float *gates = vg_floats(job->exec, s->dgates_h);
    float *packed = job->scheduled->pack->at, *tile = thread_tile(job);
    size_t width = (size_t)p.vectors * job->kernels->lanes, chunk = chunk_rows(&p);
    if (job->scheduled->packs) {
        pack_backward(job, &p, packed, s->weight_hh);
        if (p.by_batch)
            vg_job_barrier(job);
    }
    if (p.unit < p.unit_end && p.row < p.row_end) {
        vg_cell_bwd_step step = backward_step(job, &p, op->t1 - 1, p.row, p.row_end - p.row, p.unit,
                                              p.unit_end - p.unit, NULL);
        job->kernels->cell_bwd(&step);
    }
    for (uint64_t t = op->t1 - 1;; t--) {
        if (!p.by_batch)
            vg_job_barrier(job);
        others_fetch(job, &p, gates + t * p.batch * s->dgates_h.ld, s->dgates_h.ld);
        for (size_t place = 0; place < p.panels; place++) {
            scan_panel panel = panel_at(&p, packed, t, place);
            for (size_t r = p.row; r < p.row_end; r += chunk) {
                size_t rows = least(chunk, p.row_end - r);
                if (t == op->t0) {
                    last_product(job, &p, &panel, r, rows);
                    continue;
                }
                vg_cell_bwd_step step =
                    backward_step(job, &p, t - 1, r, rows, panel.unit, panel.units, tile);
                if (rows <= AHEAD_ROWS)
                    job->kernels->cell_bwd_ahead(&step);
                step_product(job, &p, gates + (t * p.batch + r) * s->dgates_h.ld, s->dgates_h.ld,
                             rows, panel.weights, panel.units, tile, width, false);
                job->kernels->cell_bwd(&step);
            }
        }
        if (t == op->t0)
            break;
    }
}
