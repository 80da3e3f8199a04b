/* The division of a recurrence's work: by units, with a barrier a step, or by batch rows, with
 * none; the panels of the packed weights, and the order they are walked in. */
#include "scan.h"
#include "sizes.h"

#include <math.h>

/* STEP_ROWS: of a tile that the cell's step follows, at most. */
enum { STEP_ROWS = 48 };
/* What a step waits for other threads at a barrier: its cycles, and a part of the step's own, since
 * no two threads are equally fast all the time. */
static const double barrier_cycles = 800, barrier_part = 0.02;

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

/* Shares of weights about as large as the cache that they pass through every step are walked to
 * and fro: the panels used last are then still in it, where a walk in one direction would have
 * evicted each before it is used again. Larger shares come from the next level either way. */
static bool turns_pay(const vg_device *device, double bytes)
{
    double near = (double)device->near_bytes;
    return bytes > 0.5 * near && bytes < 1.5 * near;
}

/* Cycles that a share's way from the second level takes in a step, and of what that does not hold
 * beside the windows that stream through, from the third. */
static double load_cycles(const vg_device *device, double bytes)
{
    double held = 0.75 * (double)device->near_bytes;
    double far = bytes <= held ? 0 : turns_pay(device, bytes) ? bytes - held : bytes;
    return (bytes - far) / 32 + far / 12;
}

/* Cycles of a step, roughly: the weights' way and the multiply-adds, and the barrier. The first two
 * overlap where a panel is asked for during the one before, else but for a part where they are
 * equally long. */
static double step_cycles(const vg_device *device, const vg_gemm_kernels *g, const vg_scan_plan *p,
                          size_t units, size_t rows, bool barrier)
{
    double floats = (double)p->k * p->groups * (double)units;
    double sums = floats / g->lanes * (double)vg_parts(rows, (size_t)1 << g->row_bits);
    double load = load_cycles(device, floats * sizeof(float));
    double cycles = rows > VG_SCAN_FETCHED_ROWS ? fmax(sums, load) : hypot(sums, load);
    return barrier ? cycles + barrier_cycles + barrier_part * cycles : cycles;
}

/* The same of a step shared out in one of the two ways. */
static double shared_cycles(const vg_device *device, const vg_gemm_kernels *g,
                            const vg_scan_plan *p, uint32_t threads, bool by_batch)
{
    size_t blocks = vg_parts(p->units, g->lanes), share = vg_parts(blocks, threads);
    return by_batch
               ? step_cycles(device, g, p, blocks * g->lanes, vg_parts(p->batch, threads), false)
               : step_cycles(device, g, p, share * g->lanes, p->batch, threads > 1);
}

static bool choose_batch(const vg_device *device, const vg_gemm_kernels *g, const vg_scan_plan *p,
                         uint32_t threads)
{
    vg_scan_split split = device->scan_split;
    if (threads == 1 || split == VG_SCAN_UNITS || split == VG_SCAN_BESIDE)
        return false;
    return split == VG_SCAN_BATCH || shared_cycles(device, g, p, threads, true) <=
                                         shared_cycles(device, g, p, threads, false);
}

vg_scan_plan vg_scan_plan_make(const vg_device *device, const vg_scan_type *type, const vg_op *op,
                               uint32_t thread, uint32_t threads)
{
    const vg_gemm_kernels *g = type->gemm(device);
    const vg_cell_info *cell = vg_cell_find(op->cell);
    bool forward = op->kind == VG_SCAN_FWD;
    vg_mat weight = forward ? op->scan_fwd.weight_hh : op->scan_bwd.weight_hh;
    vg_scan_plan p = {.units = weight.cols, .gates = cell->gates, .batch = op->batch};
    p.k = vg_parts(forward ? p.units : p.units * p.gates, type->elements);
    p.groups = forward ? cell->gates : 1;
    p.by_batch = choose_batch(device, g, &p, threads);
    p.unit_end = p.units;
    p.row_end = p.batch;
    if (p.by_batch) {
        uint64_t first, last;
        vg_pool_share(p.batch, thread, threads, &first, &last);
        p.row = first;
        p.row_end = last;
        p.vectors = panel_vectors(g, p.groups, vg_parts(p.batch, threads));
    } else {
        vg_columns_share(g->lanes, p.units, thread, threads, &p.unit, &p.unit_end);
        p.vectors = panel_vectors(g, p.groups, p.batch);
    }
    p.panel_units = (size_t)p.vectors / p.groups * g->lanes;
    p.panel_floats = (size_t)p.vectors * g->lanes * p.k;
    p.packed_at = (p.unit + (p.by_batch ? 0 : thread * p.panel_units)) * p.groups * p.k;
    p.panels = vg_parts(p.unit_end - p.unit, p.panel_units);
    size_t bytes = p.panels * p.panel_floats * sizeof(float);
    p.turns = turns_pay(device, (double)bytes);
    p.streams = 2 * bytes > device->near_bytes;
    return p;
}

/* From the panel at `place` to the walk's next, that of the next step's walk after the last. */
static ptrdiff_t next_panel(const vg_scan_plan *p, bool back, size_t place)
{
    ptrdiff_t floats = (ptrdiff_t)p->panel_floats;
    if (!p->streams)
        return 0;
    if (place + 1 == p->panels)
        return p->turns ? 0 : -(ptrdiff_t)place * floats;
    return back ? -floats : floats;
}

vg_scan_panel vg_scan_panel_at(const vg_scan_plan *p, float *packed, uint64_t t, size_t place)
{
    bool back = p->turns && t % 2;
    size_t index = back ? p->panels - 1 - place : place;
    size_t unit = p->unit + index * p->panel_units,
           lanes = p->panel_units / (p->vectors / p->groups);
    size_t units = vg_least(p->panel_units, p->unit_end - unit);
    return (vg_scan_panel){.weights = packed + p->packed_at + index * p->panel_floats,
                           .unit = unit,
                           .units = units,
                           .width = vg_parts(units, lanes) * lanes * p->groups,
                           .next = next_panel(p, back, place)};
}

size_t vg_scan_chunk(const vg_scan_plan *p)
{
    size_t rows = p->row_end - p->row, chunks = vg_parts(rows, STEP_ROWS);
    return chunks ? vg_parts(rows, chunks) : 1;
}

double vg_scan_step_cycles(const vg_device *device, const vg_scan_type *type, const vg_op *op,
                           uint32_t threads)
{
    vg_scan_plan p = vg_scan_plan_make(device, type, op, 0, threads);
    return shared_cycles(device, type->gemm(device), &p, threads, p.by_batch);
}

size_t vg_scan_pack_size(const vg_device *device, const vg_ops *ops, const vg_op *op,
                         uint32_t threads)
{
    vg_scan_plan p = vg_scan_plan_make(device, ops->scan, op, 0, threads);
    return (vg_parts(p.units, p.panel_units) + threads + 1) * p.panel_floats;
}

size_t vg_scan_staged_size(const vg_scan_type *type, const vg_scan_plan *p)
{
    return type->staged * vg_least(STEP_ROWS, p->batch) * vg_round_up(p->panel_units, 16);
}

size_t vg_scan_thread_size(const vg_device *device, const vg_scan_type *type, const vg_scan_plan *p)
{
    size_t tile = vg_least(STEP_ROWS, p->batch) * p->vectors * device->kernels->lanes;
    return vg_round_up(tile + vg_scan_staged_size(type, p), 16);
}

size_t vg_scan_scratch(const vg_device *device, const vg_ops *ops, const vg_op *op,
                       uint32_t threads)
{
    vg_scan_plan p = vg_scan_plan_make(device, ops->scan, op, 0, threads);
    size_t carry = op->kind == VG_SCAN_BWD ? p.batch * vg_scan_carry_row(&p) : 0;
    return threads * vg_scan_thread_size(device, ops->scan, &p) +
           vg_cell_find(op->cell)->states * carry;
}

bool vg_scan_by_batch(const vg_device *device, const vg_ops *ops, const vg_op *op)
{
    return vg_scan_plan_make(device, ops->scan, op, 0, vg_pool_threads(device->pool)).by_batch;
}
