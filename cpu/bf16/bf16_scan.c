/* The recurrence in bf16, shared out as in fp32: every thread owns units of the step's product,
 * with weights packed in pairs so that a panel holds all gates of its units, or rows of the batch.
 * The cell's step runs on floats while they are in cache. */
#include "bf16_ops.h"

/* Rows of a tile that the cell's step follows, at most. */
enum { STEP_ROWS = 48 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What a scan's two directions share: the product's shape, this thread's units and rows. */
typedef struct scan_plan {
    size_t units, gates, batch, k, pairs; /* k: reduction length of the step's product */
    uint32_t groups, vectors;             /* of columns a unit in a panel; vectors a panel */
    size_t panel_units, panel_floats;
    bool by_batch;
    size_t unit, unit_end, row, row_end; /* this thread's */
    size_t packed_at;                    /* this thread's first panel, floats into the pack */
} scan_plan;

/* The gates of one vector of units, or of more where few rows leave room for more sums. */
static uint32_t panel_vectors(const vg_gemm_kernels *g, uint32_t groups, size_t rows)
{
    uint32_t narrow = groups == 1 ? 2 : groups;
    for (uint32_t vectors = VG_TILE_VECTORS; vectors > narrow; vectors--)
        if (vectors % groups == 0 && rows <= g->max_rows[vectors])
            return vectors;
    return narrow;
}

/* Cycles of a step, roughly: the products, or the weights' way from the second or third level,
 * whichever is longer, and the barrier. */
static double step_cycles(const vg_device *device, const scan_plan *p, size_t units, size_t rows,
                          bool barrier)
{
    double floats = (double)p->pairs * p->groups * (double)units, bytes = floats * sizeof(float);
    double load = bytes / (bytes < 0.75 * (double)device->near_bytes ? 32 : 12);
    double sums = floats / device->kernels->lanes * (double)rows;
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

static scan_plan plan_make(const vg_device *device, const vg_op *op, uint32_t thread)
{
    const vg_gemm_kernels *g = device->bf16->gemm;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    bool forward = op->kind == VG_SCAN_FWD;
    vg_mat weight = forward ? op->scan_fwd.weight_hh : op->scan_bwd.weight_hh;
    scan_plan p = {.units = weight.cols, .gates = cell->gates, .batch = op->batch};
    uint32_t threads = vg_pool_threads(device->pool);
    p.k = forward ? p.units : p.units * p.gates;
    p.pairs = vg_bf16_pairs(p.k);
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
    p.panel_floats = (size_t)p.vectors * g->lanes * p.pairs;
    p.packed_at = (p.unit + (p.by_batch ? 0 : thread * p.panel_units)) * p.groups * p.pairs;
    return p;
}

size_t vg_bf16_scan_pack_size(const vg_device *device, const vg_op *op)
{
    uint32_t threads = vg_pool_threads(device->pool);
    scan_plan p = plan_make(device, op, 0);
    size_t panels = (p.units + p.panel_units - 1) / p.panel_units;
    return (panels + threads + 1) * p.panel_floats;
}

/* Row chunks whose tile stays in the first level. */
static size_t chunk_rows(size_t rows)
{
    size_t chunks = (rows + STEP_ROWS - 1) / STEP_ROWS;
    return chunks ? (rows + chunks - 1) / chunks : 1;
}

/* Windows of one tile's rows and units that may be staged at once: every gate and kept value, and
 * the states before and after, with what comes in. */
enum { STAGED = 2 * VG_MAX_GATES + VG_MAX_KEPT + 2 * VG_MAX_STATES + 1 };

/* Floats of a thread's tile and of its staging. */
static size_t tile_size(const vg_device *device, const scan_plan *p)
{
    return least(STEP_ROWS, p->batch) * p->vectors * device->kernels->lanes;
}
static size_t thread_size(const vg_device *device, const scan_plan *p)
{
    return tile_size(device, p) +
           STAGED * vg_stage_size(least(STEP_ROWS, p->batch), p->panel_units);
}

size_t vg_bf16_scan_scratch(const vg_device *device, const vg_op *op)
{
    scan_plan p = plan_make(device, op, 0);
    size_t carry = op->kind == VG_SCAN_BWD ? vg_stage_size(p.batch, p.units) : 0;
    return vg_pool_threads(device->pool) * thread_size(device, &p) +
           vg_cell_find(op->cell)->states * carry;
}

const char *vg_bf16_scan_choice(const vg_device *device, const vg_op *op)
{
    return plan_make(device, op, 0).by_batch ? "batch" : "units";
}

/* Packs this thread's panels, [pair][gate][units] each; shared by panels where batch rows are. */
static void pack_forward(const vg_job *job, const scan_plan *p, float *to, vg_mat weight)
{
    const vg_gemm_kernels *g = job->device->bf16->gemm;
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
                         vg_bf16_row(job->exec, weight, gate * p->units + u), weight.ld / 2, n,
                         p->pairs);
    }
}

/* The same of W_hh itself, whose rows are K. */
static void pack_backward(const vg_job *job, const scan_plan *p, float *to, vg_mat weight)
{
    size_t panel = 0;
    for (size_t u = p->unit; u < p->unit_end; u += p->panel_units, panel++)
        if (!p->by_batch || panel % job->threads == job->thread)
            vg_bf16_pack_rows(job->device->bf16, p->vectors,
                              to + p->packed_at + panel * p->panel_floats,
                              vg_bf16_at(job->exec, weight, 0, u), weight.ld, p->k, 0,
                              least(p->panel_units, p->unit_end - u));
}

static const float *weights_get(const vg_job *job, const scan_plan *p, vg_mat weight)
{
    float *packed = job->scheduled->pack->at;
    if (job->scheduled->packs) {
        if (job->op->kind == VG_SCAN_FWD)
            pack_forward(job, p, packed, weight);
        else
            pack_backward(job, p, packed, weight);
        if (p->by_batch)
            vg_job_barrier(job);
    }
    return packed + p->packed_at;
}

/* C [rows, columns] = rows [row, +rows) of A times a panel. */
static void step_product(const vg_job *job, const scan_plan *p, vg_mat a, size_t row, size_t rows,
                         const float *panel, size_t columns, vg_rows c, bool accumulate)
{
    const vg_gemm_kernels *g = job->device->bf16->gemm;
    vg_product_run(g, &(vg_product){.a = vg_bf16_row(job->exec, a, row),
                                    .a_row = a.ld / 2,
                                    .a_k = 1,
                                    .b = panel,
                                    .b_k = (size_t)p->vectors * g->lanes,
                                    .b_panel = p->panel_floats,
                                    .c = c.at,
                                    .c_row = c.ld,
                                    .m = rows,
                                    .n = columns,
                                    .k = p->pairs,
                                    .block = rows,
                                    .vectors = p->vectors,
                                    .accumulate = accumulate});
}

/* This thread's memory. */
static vg_rows tile_of(const vg_job *job, const scan_plan *p)
{
    return (vg_rows){job->scratch + job->thread * thread_size(job->device, p),
                     (size_t)p->vectors * job->kernels->lanes};
}
static vg_stage stage_of(const vg_job *job, const scan_plan *p)
{
    return (vg_stage){.job = job, .memory = tile_of(job, p).at + tile_size(job->device, p)};
}

/* Row t·B + row of the states before step t: of state0 where t is 0. */
static vg_rows_in state_before(vg_stage *stage, vg_mat states, vg_mat state0, uint64_t t,
                               const scan_plan *p, size_t row, size_t rows, size_t col, size_t col0,
                               size_t units)
{
    return t ? vg_stage_in(stage, states, (t - 1) * p->batch + row, col, rows, units)
             : vg_stage_in(stage, state0, row, col0, rows, units);
}

/* The cell's step t for rows [row, +rows) and units [unit, +units) after their product. */
static void cell_forward(const vg_job *job, const scan_plan *p, uint64_t t, size_t row, size_t rows,
                         size_t unit, size_t units)
{
    const vg_scan_fwd *s = &job->op->scan_fwd;
    const vg_cell_info *cell = vg_cell_find(job->op->cell);
    size_t at = t * p->batch + row, h = p->units;
    vg_rows tile = tile_of(job, p);
    vg_stage stage = stage_of(job, p);
    vg_cell_fwd_step step = {
        .cell = job->op->cell,
        .activation = job->op->activation,
        .rows = rows,
        .units = units,
        .x = vg_stage_gates_in(&stage, s->preact_x, at, unit, rows, units, h, p->gates),
        .h = {tile.at, tile.ld, p->panel_units},
        .bias = {vg_floats(job->exec, s->bias_hh) + unit, 0, h},
        .kept = vg_stage_gates_out(&stage, s->reserve, at, unit, rows, units, h, cell->kept),
    };
    for (uint32_t i = 0; i < cell->states; i++) {
        vg_mat states = i == 0 ? s->y : s->reserve;
        size_t col = i == 0 ? unit : (cell->kept + i - 1) * h + unit;
        step.state[i] =
            state_before(&stage, states, s->state0[i], t, p, row, rows, col, unit, units);
        step.out[i] = vg_stage_out(&stage, states, at, col, rows, units);
    }
    job->kernels->cell_fwd(&step);
    vg_stage_end(&stage);
}

void vg_bf16_scan_fwd(const vg_job *job)
{
    const vg_scan_fwd *s = &job->op->scan_fwd;
    scan_plan p = plan_make(job->device, job->op, job->thread);
    const float *weights = weights_get(job, &p, s->weight_hh);
    vg_rows tile = tile_of(job, &p);
    size_t chunk = chunk_rows(p.row_end - p.row);
    for (uint64_t t = job->op->t0; t < job->op->t1; t++) {
        const float *panel = weights;
        for (size_t u = p.unit; u < p.unit_end; u += p.panel_units, panel += p.panel_floats)
            for (size_t r = p.row; r < p.row_end; r += chunk) {
                size_t rows = least(chunk, p.row_end - r);
                step_product(job, &p, t ? s->y : s->state0[0], (t ? t - 1 : 0) * p.batch + r, rows,
                             panel, tile.ld, tile, false);
                cell_forward(job, &p, t, r, rows, u, least(p.panel_units, p.unit_end - u));
            }
        if (!p.by_batch)
            vg_job_barrier(job);
    }
}

/* Backward. */

/* What comes back into a state, apart from the product; scratch of this op. */
static vg_rows carry_of(const vg_job *job, const scan_plan *p, uint32_t state, size_t row,
                        size_t unit)
{
    size_t ld = vg_stage_size(1, p->units);
    float *at = job->scratch + job->threads * thread_size(job->device, p);
    return (vg_rows){at + (state * p->batch + row) * ld + unit, ld};
}

/* What comes back into the states of step t and goes on to the step before. */
static void carries_set(const vg_job *job, const scan_plan *p, vg_stage *stage, uint64_t t,
                        vg_cell_bwd_step *step, size_t row, size_t unit)
{
    const vg_op *op = job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    for (uint32_t i = 0; i < cell->states; i++) {
        bool carried = i > 0 || cell->gates_differ; /* else nothing but the product comes back */
        vg_rows carry = carry_of(job, p, i, row, unit);
        if (t + 1 == op->t1)
            step->carry[i] = vg_stage_in(stage, s->dstateT[i], row, unit, step->rows, step->units);
        else if (carried)
            step->carry[i] = (vg_rows_in){carry.at, carry.ld};
        if (carried && t == op->t0)
            step->dstate[i] =
                vg_stage_out(stage, s->dstate0[i], row, unit, step->rows, step->units);
        else if (carried)
            step->dstate[i] = carry;
    }
}

/* The cell's step t back, with the product of step t + 1 but for the last. */
static void cell_backward(const vg_job *job, const scan_plan *p, uint64_t t, size_t row,
                          size_t rows, size_t unit, size_t units)
{
    const vg_op *op = job->op;
    const vg_scan_bwd *s = &op->scan_bwd;
    const vg_cell_info *cell = vg_cell_find(op->cell);
    size_t at = t * p->batch + row, h = p->units;
    vg_rows tile = tile_of(job, p);
    vg_stage stage = stage_of(job, p);
    vg_cell_bwd_step step = {
        .cell = op->cell,
        .activation = op->activation,
        .rows = rows,
        .units = units,
        .kept = vg_stage_gates_in(&stage, s->reserve, at, unit, rows, units, h, cell->kept),
        .dx = vg_stage_gates_out(&stage, s->dgates_x, at, unit, rows, units, h, p->gates),
        .total = {vg_stage_out(&stage, s->dh, at, unit, rows, units),
                  vg_stage_out(&stage, s->dc, at, unit, rows, units)},
    };
    if (cell->gates_differ)
        step.dh = vg_stage_gates_out(&stage, s->dgates_h, at, unit, rows, units, h, p->gates);
    if (t + 1 < op->t1)
        step.product = (vg_rows_in){tile.at, tile.ld};
    if (s->dy.rows > p->batch)
        step.dy = vg_stage_in(&stage, s->dy, at, unit, rows, units);
    else if (t + 1 == op->t1)
        step.dy = vg_stage_in(&stage, s->dy, row, unit, rows, units);
    for (uint32_t i = 0; i < cell->states; i++) {
        vg_mat states = i == 0 ? s->y : s->reserve;
        size_t col = i == 0 ? unit : (cell->kept + i - 1) * h + unit;
        step.state[i] =
            state_before(&stage, states, s->state0[i], t, p, row, rows, col, unit, units);
        step.out[i] = vg_stage_in(&stage, states, at, col, rows, units);
    }
    carries_set(job, p, &stage, t, &step, row, unit);
    job->kernels->cell_bwd(&step);
    vg_stage_end(&stage);
}

/* The last product, straight into dstate0, which is of fp32. */
static void last_product(const vg_job *job, const scan_plan *p, const float *panel, size_t row,
                         size_t rows, size_t unit, size_t units)
{
    const vg_scan_bwd *s = &job->op->scan_bwd;
    vg_mat to = s->dstate0[0];
    if (to.rows == 0)
        return;
    step_product(job, p, s->dgates_h, job->op->t0 * p->batch + row, rows, panel, units,
                 (vg_rows){vg_floats(job->exec, to) + row * to.ld + unit, to.ld},
                 vg_cell_find(job->op->cell)->gates_differ);
}

/* For every tile of this thread: the product of step t, and the cell's step t - 1. t == t1: there
 * is no product yet. */
static void step_backward(const vg_job *job, const scan_plan *p, const float *weights, uint64_t t)
{
    const vg_op *op = job->op;
    size_t chunk = chunk_rows(p->row_end - p->row);
    const float *panel = weights;
    for (size_t u = p->unit; u < p->unit_end; u += p->panel_units, panel += p->panel_floats)
        for (size_t r = p->row; r < p->row_end; r += chunk) {
            size_t rows = least(chunk, p->row_end - r);
            size_t units = least(p->panel_units, p->unit_end - u);
            if (t == op->t0) {
                last_product(job, p, panel, r, rows, u, units);
                continue;
            }
            if (t < op->t1)
                step_product(job, p, op->scan_bwd.dgates_h, t * p->batch + r, rows, panel, units,
                             tile_of(job, p), false);
            cell_backward(job, p, t - 1, r, rows, u, units);
        }
}

void vg_bf16_scan_bwd(const vg_job *job)
{
    const vg_op *op = job->op;
    scan_plan p = plan_make(job->device, op, job->thread);
    const float *weights = weights_get(job, &p, op->scan_bwd.weight_hh);
    for (uint64_t t = op->t1 + 1; t-- > op->t0;) {
        step_backward(job, &p, weights, t);
        if (!p.by_batch)
            vg_job_barrier(job);
    }
}
