/* What one step of a recurrence should have left, forward and backward, on the device's own
 * inputs. */
#include "ref_product.h"
#include "ref_vf.h"

#include <stdlib.h>

typedef struct scan {
    const vg_ref_ask *ask;
    const vg_op *op;
    const vg_cell_info *cell;
    uint32_t units, batch;
} scan;

static scan scan_of(const vg_ref_ask *ask, uint32_t units)
{
    return (scan){ask, ask->op, vg_cell_find(ask->op->cell), units, ask->op->batch};
}

static const double *row_of(const scan *s, const vg_mat *m, uint64_t row)
{
    return s->ask->read(s->ask->context, m, row);
}

/* state0[0] and y as one window: its row `now` is h of the step before. */
static vg_mat states_before(const vg_mat *state0, const vg_mat *y)
{
    vg_mat joined = *y;
    joined.at = state0->at;
    return joined;
}

/* The states before step t of one unit. */
static void read_before(const scan *s, const vg_mat *state0, const vg_mat *y, const vg_mat *reserve,
                        uint64_t now, uint32_t j, vf *before)
{
    const vg_mat joined = states_before(&state0[0], y);
    before[0] = row_of(s, &joined, now)[j];
    for (uint32_t i = 1; i < s->cell->states; i++)
        before[i] = now < s->batch
                        ? row_of(s, &state0[i], now)[j]
                        : row_of(s, reserve,
                                 now - s->batch)[(s->cell->kept + i - 1) * (size_t)s->units + j];
}

/* All that one unit's forward step leaves: kept values, then states after the first, then h. */
enum { MAX_LEFT = VG_MAX_KEPT + VG_MAX_STATES };

static void leave(const scan *s, const vf *x, const vf *h, const vf *before, vf *left)
{
    vf after[VG_MAX_STATES] = {0};
    vg_cell_fwd(s->op->cell, s->op->activation, x, h, before, after, left);
    for (uint32_t i = 1; i < s->cell->states; i++)
        left[s->cell->kept + i - 1] = after[i];
    left[s->cell->kept + s->cell->states - 1] = after[0];
}

/* The recurrent pre-activations of one unit and how far off each may be. */
typedef struct preacts {
    vf x[VG_MAX_GATES], h[VG_MAX_GATES], off[VG_MAX_GATES];
} preacts;

/* What the arguments' errors do is found by moving each; rounding inside the cell is relative to
 * the values themselves, and for states to the terms that they are summed of: gates are below 1, so
 * that these are at most the states before and 1. */
static void step_fwd(const scan *s, const preacts *p, const vf *before, vf *left, double *tolerance)
{
    const uint32_t count = s->cell->kept + s->cell->states;
    const double eps = 2 * VG_ELEMENTARY_ULP * s->ask->precision.eps;
    vf moved[MAX_LEFT], h[VG_MAX_GATES];
    double terms = s->cell->kept ? 1 : 0;
    for (uint32_t i = 0; i < s->cell->states && s->cell->kept; i++)
        terms += fabs(before[i]);
    leave(s, p->x, p->h, before, left);
    for (uint32_t n = 0; n < count; n++)
        tolerance[n] =
            eps * (fabs(left[n]) + (n < s->cell->kept ? 0 : terms)) + 2 * s->ask->precision.tiny;
    for (uint32_t g = 0; g < s->cell->gates; g++) {
        double most[MAX_LEFT] = {0};
        for (int sign = -1; sign <= 1; sign += 2) {
            for (uint32_t k = 0; k < s->cell->gates; k++)
                h[k] = p->h[k] + (k == g ? sign * p->off[k] : 0);
            leave(s, p->x, h, before, moved);
            for (uint32_t n = 0; n < count; n++)
                most[n] = fmax(most[n], fabs(moved[n] - left[n]));
        }
        for (uint32_t n = 0; n < count; n++)
            tolerance[n] += most[n];
    }
    for (uint32_t g = 0; g < s->cell->gates; g++)
        for (uint32_t n = 0; n < count && isinf(p->off[g]); n++)
            tolerance[n] = INFINITY;
}

/* Pre-activations of units [first, first + count) of row `now`; sums hold G × count elements. */
static void row_preacts(const scan *s, uint64_t now, uint32_t first, uint32_t count,
                        vg_ref_sums sums, preacts *out)
{
    const vg_scan_fwd *w = &s->op->scan_fwd;
    const vg_mat before = states_before(&w->state0[0], &w->y);
    const vg_ref_factors factors = {VG_REF_NT, &before, &w->weight_hh, 0};
    const double *bias = row_of(s, &w->bias_hh, 0), *x = row_of(s, &w->preact_x, now);
    for (uint32_t g = 0; g < s->cell->gates; g++) {
        const uint32_t col = g * s->units + first;
        vg_ref_product(s->ask, &factors, (vg_ref_area){now, col, 1, count}, sums);
        for (uint32_t j = 0; j < count; j++) {
            out[j].x[g] = x[col + j];
            out[j].h[g] = sums.value[j] + bias[col + j];
            out[j].off[g] = vg_ref_sums_tolerance(sums, j, s->ask->precision, s->units + 2u,
                                                  fabs(bias[col + j]) + fabs(x[col + j]));
        }
    }
}

/* One row of an area: units once each, whatever columns of the reserve are asked for. */
static void fwd_row(const scan *s, uint64_t now, const vg_ref_area *area, vg_ref_sums sums,
                    preacts *units, double *value, double *tolerance)
{
    const vg_scan_fwd *w = &s->op->scan_fwd;
    const bool of_y = s->ask->output == &w->y;
    const uint32_t slots = of_y ? 1 : s->cell->kept + s->cell->states - 1;
    const bool all = area->cols > 1;
    const uint32_t first = all ? 0 : area->col % s->units, count = all ? s->units : 1;
    row_preacts(s, now, first, count, sums, units);
    for (uint32_t j = 0; j < count; j++) {
        vf before[VG_MAX_STATES], left[MAX_LEFT], off[MAX_LEFT];
        read_before(s, w->state0, &w->y, &w->reserve, now, first + j, before);
        step_fwd(s, &units[j], before, left, off);
        for (uint32_t n = 0; n < slots; n++) {
            const uint32_t from = of_y ? s->cell->kept + s->cell->states - 1 : n;
            const uint64_t col = (uint64_t)n * s->units + first + j;
            if (col < area->col || col >= (uint64_t)area->col + area->cols)
                continue;
            value[col - area->col] = left[from];
            tolerance[col - area->col] = off[from];
        }
    }
}

vg_status vg_ref_evaluate_scan_fwd(const vg_ref_ask *ask, double *value, double *tolerance)
{
    const scan s = scan_of(ask, ask->op->scan_fwd.y.cols);
    double *sums = calloc(3 * (size_t)s.units, sizeof *sums);
    preacts *units = calloc(s.units, sizeof *units);
    vg_status status = VG_OK;
    if (!sums || !units)
        status = vg_fail(VG_NO_MEMORY, "ref: no memory for a row of %u units", s.units);
    for (size_t i = 0; i < ask->area_count && status == VG_OK; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++) {
            fwd_row(&s, ask->areas[i].row + r, &ask->areas[i],
                    vg_ref_sums_in(sums, s.units, ask->precision), units, value, tolerance);
            value += ask->areas[i].cols;
            tolerance += ask->areas[i].cols;
        }
    free(units);
    free(sums);
    return status;
}

/* One unit's backward step from the total derivatives by its states after the step. */
typedef struct unit_bwd {
    vf dx[VG_MAX_GATES], dh[VG_MAX_GATES], ds[VG_MAX_STATES];
    vf dc_own; /* the part of dc that came through h of this very step */
} unit_bwd;

/* What one unit kept of the way forward. */
typedef struct unit_kept {
    vf kept[VG_MAX_KEPT], before[VG_MAX_STATES], after[VG_MAX_STATES];
} unit_kept;

/* Its step backward from what comes back into h and the second state. */
static unit_bwd from_back(const scan *s, const unit_kept *unit, vf dh, vf ds)
{
    unit_bwd out = {0};
    vf back[VG_MAX_STATES] = {dh, ds};
    vg_cell_bwd(s->op->cell, s->op->activation, unit->kept, unit->before, unit->after, back, out.dx,
                out.dh, out.ds);
    out.dc_own = back[1] - ds;
    return out;
}

/* The cell adds its own part to what comes back into the second state. Taking that part off the
 * total first would round where the two cancel; the cell is linear in what comes back, so the
 * total's part and the rest are found apart. */
static unit_bwd from_totals(const scan *s, const unit_kept *unit, vf dh, vf dc)
{
    unit_bwd of_h = from_back(s, unit, dh, 0);
    const unit_bwd again = from_back(s, unit, 0, of_h.dc_own), of_c = from_back(s, unit, 0, dc);
    for (uint32_t g = 0; g < s->cell->gates; g++) {
        of_h.dx[g] = of_c.dx[g] + (of_h.dx[g] - again.dx[g]);
        of_h.dh[g] = of_c.dh[g] + (of_h.dh[g] - again.dh[g]);
    }
    for (uint32_t i = 0; i < s->cell->states; i++)
        of_h.ds[i] = of_c.ds[i] + (of_h.ds[i] - again.ds[i]);
    return of_h;
}

static void step_bwd(const scan *s, uint64_t now, uint32_t j, unit_bwd *out)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    const vg_cell_info *cell = s->cell;
    unit_kept unit = {0};
    const double *reserve = w->reserve.rows ? row_of(s, &w->reserve, now) : NULL;
    for (uint32_t k = 0; k < cell->kept; k++)
        unit.kept[k] = reserve[(size_t)k * s->units + j];
    read_before(s, w->state0, &w->y, &w->reserve, now, j, unit.before);
    unit.after[0] = row_of(s, &w->y, now)[j];
    for (uint32_t i = 1; i < cell->states; i++)
        unit.after[i] = reserve[(cell->kept + i - 1) * (size_t)s->units + j];
    const vf dh = row_of(s, s->ask->dh, now)[j];
    *out = cell->states > 1 ? from_totals(s, &unit, dh, row_of(s, s->ask->dc, now)[j])
                            : from_back(s, &unit, dh, 0);
    for (uint32_t g = 0; g < cell->gates && !cell->gates_differ; g++)
        out->dh[g] = out->dx[g];
}

static void gate_element(const scan *s, uint64_t row, uint32_t col, double *value,
                         double *tolerance)
{
    const uint32_t g = col / s->units;
    const bool of_x = s->ask->output == &s->op->scan_bwd.dgates_x;
    unit_bwd unit;
    step_bwd(s, row, col % s->units, &unit);
    *value = of_x ? unit.dx[g] : unit.dh[g];
    *tolerance = vg_tolerance_derivative(s->ask->precision, 4, fabs(*value));
}

/* What comes into state i after step t of row `now` from above and from step t + 1 of the same op,
 * without the product with weight_hh. *next: whether there was such a step. */
static void incoming(const scan *s, uint64_t now, uint32_t j, uint32_t i, bool *next, double *value,
                     double *magnitude)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    const uint64_t t = now / s->batch, b = now % s->batch;
    *value = *magnitude = 0;
    *next = t + 1 < s->op->t1;
    if (*next) {
        unit_bwd unit;
        step_bwd(s, now + s->batch, j, &unit);
        *value = unit.ds[i];
    } else if (w->dstateT[i].rows) {
        *value = row_of(s, &w->dstateT[i], b)[j];
    }
    *magnitude = fabs(*value);
    const bool every = w->dy.rows > s->batch;
    if (i == 0 && w->dy.rows && (every || !*next)) {
        const double dy = row_of(s, &w->dy, every ? now : b)[j];
        *value += dy;
        *magnitude += fabs(dy);
    }
}

/* dh and dc: the total derivatives of a step; dh without its product. */
static void total_element(const scan *s, uint64_t row, uint32_t col, uint32_t state, double *value,
                          double *magnitude)
{
    bool next;
    incoming(s, row, col, state, &next, value, magnitude);
    if (state == 0)
        return;
    unit_bwd unit;
    step_bwd(s, row, col, &unit);
    *value += unit.dc_own;
    *magnitude += fabs(row_of(s, s->ask->dh, row)[col]);
}

/* dstate0: what leaves step t0; of h without its product. */
static void start_element(const scan *s, uint64_t row, uint32_t col, uint32_t state, double *value,
                          double *magnitude)
{
    unit_bwd unit;
    step_bwd(s, s->op->t0 * s->batch + row, col, &unit);
    *value = unit.ds[state];
    *magnitude = fabs(*value);
}

/* Adds dgates(row) W_hh to the columns of one row of an area; NO_ROW: there is no such step. */
#define NO_ROW UINT64_MAX
static void add_products(const scan *s, uint64_t row, const vg_ref_area *area, vg_ref_sums sums,
                         double *value, double *tolerance)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    const vg_ref_factors factors = {VG_REF_NN, &w->dgates_h, &w->weight_hh, 0};
    if (row == NO_ROW)
        return;
    vg_ref_product(s->ask, &factors, (vg_ref_area){row, area->col, 1, area->cols}, sums);
    for (uint32_t c = 0; c < area->cols; c++) {
        value[c] += sums.value[c];
        tolerance[c] +=
            2 * vg_ref_sums_tolerance(sums, c, s->ask->precision, w->weight_hh.rows + 2, 0);
    }
}

static void bwd_row(const scan *s, uint64_t row, const vg_ref_area *area, vg_ref_sums sums,
                    double *value, double *tolerance)
{
    const vg_scan_bwd *w = &s->op->scan_bwd;
    const vg_mat *output = s->ask->output;
    const bool gates = output == &w->dgates_x || output == &w->dgates_h;
    const bool total = output == &w->dh || output == &w->dc;
    const uint32_t state = output == &w->dc || output == &w->dstate0[1];
    for (uint32_t c = 0; c < area->cols; c++) {
        double magnitude;
        if (gates) {
            gate_element(s, row, area->col + c, &value[c], &tolerance[c]);
            continue;
        }
        if (total)
            total_element(s, row, area->col + c, state, &value[c], &magnitude);
        else
            start_element(s, row, area->col + c, state, &value[c], &magnitude);
        tolerance[c] = vg_tolerance_derivative(s->ask->precision, state ? 4 : w->weight_hh.rows + 2,
                                               magnitude);
    }
    if (gates || state)
        return;
    const bool last = total && row / s->batch + 1 >= s->op->t1;
    const uint64_t from = total ? row + s->batch : s->op->t0 * s->batch + row;
    add_products(s, last ? NO_ROW : from, area, sums, value, tolerance);
}

vg_status vg_ref_evaluate_scan_bwd(const vg_ref_ask *ask, double *value, double *tolerance)
{
    const scan s = scan_of(ask, ask->op->scan_bwd.y.cols);
    if (!ask->dh || !ask->dh->rows || (s.cell->states > 1 && (!ask->dc || !ask->dc->rows)))
        VG_FAIL(VG_UNSUPPORTED, "ref: a backward scan is checked step by step only from its dh and"
                                " dc, which PROBE keeps");
    const size_t wide = ask->output->cols;
    double *sums = calloc(3 * wide, sizeof *sums);
    if (!sums)
        VG_FAIL(VG_NO_MEMORY, "ref: no memory for a row of %zu elements", wide);
    for (size_t i = 0; i < ask->area_count; i++)
        for (uint32_t r = 0; r < ask->areas[i].rows; r++) {
            bwd_row(&s, ask->areas[i].row + r, &ask->areas[i],
                    vg_ref_sums_in(sums, wide, ask->precision), value, tolerance);
            value += ask->areas[i].cols;
            tolerance += ask->areas[i].cols;
        }
    free(sums);
    return VG_OK;
}
