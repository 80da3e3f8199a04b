/* One op's output windows against the oracle, element by element. */
#include "verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 4096, FEW = 4 * SAMPLES, BAND_ELEMENTS = 1 << 15, BAND_ROWS = 8 };

uint64_t vg_verifier_random(vg_verifier *v)
{
    uint64_t z = v->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static const char *pass_name(vg_pass pass)
{
    switch (pass) {
    case VG_PASS_FWD: return "fwd";
    case VG_PASS_LOSS: return "loss";
    case VG_PASS_BWD_DATA: return "bwd_data";
    case VG_PASS_BWD_WEIGHTS: return "bwd_weights";
    case VG_PASS_PROBE: return "probe";
    default: return "exact";
    }
}

void vg_verifier_op_name(const vg_program *program, const vg_op *op, char *out, size_t size)
{
    snprintf(out, size, "op %td %s, pass %s, layer %u", op - program->ops, vg_op_name(op->kind),
             pass_name(op->pass), op->layer);
}

/* One output window of one op. */
typedef struct output {
    const vg_op *op;
    const vg_operand *operand;
    const vg_mat *window;
    uint64_t first, rows; /* that the op writes */
    vg_mat dh, dc;
    bool gradient;
    double honest_zero; /* up to here a device's zero may be underflow, of a sum's terms too */
    /* what has been seen */
    uint64_t checked, zeros;
    vg_status status;
    uint64_t row; /* the first that failed */
} output;

static bool of_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}

static void say_where(vg_verifier *v, const output *o, uint64_t row, uint32_t col, double device,
                      double reference, double tolerance)
{
    char op[96], step[32] = "";
    vg_verifier_op_name(v->program, o->op, op, sizeof op);
    if (of_scan(o->op) && o->window->rows > o->op->batch)
        snprintf(step, sizeof step, ", step %" PRIu64, row / o->op->batch + 1);
    snprintf(v->out->where, sizeof v->out->where,
             "%s%s: %s[%" PRIu64 ", %u] is %.9g, expected %.9g within %.3g", op, step,
             o->operand->name, row, col, device, reference, tolerance);
}

static void compare(vg_verifier *v, output *o, uint64_t row, uint32_t col, double device,
                    double reference, double tolerance)
{
    const double rounded = vg_dtype_round(o->window->dtype, reference);
    const double error = device == rounded ? 0 : fabs(device - reference);
    o->checked++;
    o->zeros += device == 0 && fabs(rounded) > o->honest_zero;
    if (o->gradient && rounded != 0)
        v->gradients_not_zero = true;
    /* What is not a number in double is none on any device; what may leave the range on the way can
     * be anything. */
    if (isnan(reference) ? isnan(device) : isinf(tolerance))
        return;
    const double share = error == 0 ? 0 : error / tolerance;
    if (!(share <= v->out->max_error))
        v->out->max_error = isnan(share) ? INFINITY : share;
    if (!(error <= tolerance) && (o->status == VG_OK || row < o->row)) {
        o->status = VG_MISMATCH;
        o->row = row;
        say_where(v, o, row, col, device, reference, tolerance);
    }
}

static vg_status check_areas(vg_verifier *v, output *o, const vg_ref_area *areas, size_t count)
{
    vg_ref_ask ask = {.op = o->op,
                      .output = o->window,
                      .areas = areas,
                      .area_count = count,
                      .dh = &o->dh,
                      .dc = &o->dc,
                      .scale = o->op->kind == VG_DENSE_BWD_WEIGHTS ? v->clip_scale : 1,
                      .precision = v->precision,
                      .read = vg_rows_get,
                      .context = &v->rows};
    const uint64_t elements = vg_ref_area_elements(&ask);
    double *value = malloc(2 * (size_t)elements * sizeof *value);
    if (!value)
        VG_FAIL(VG_NO_MEMORY, "verify: no memory for %" PRIu64 " references", elements);
    double *tolerance = value + elements;
    vg_status status = vg_ref_evaluate(&ask, value, tolerance);
    uint64_t n = 0;
    for (size_t i = 0; i < count && status == VG_OK && v->rows.status == VG_OK; i++)
        for (uint32_t r = 0; r < areas[i].rows; r++)
            for (uint32_t c = 0; c < areas[i].cols; c++, n++) {
                const uint64_t row = areas[i].row + r;
                const uint32_t col = areas[i].col + c;
                compare(v, o, row, col, vg_rows_get(&v->rows, o->window, row)[col], value[n],
                        tolerance[n]);
            }
    free(value);
    return status == VG_OK ? v->rows.status : status;
}

static vg_status check_all(vg_verifier *v, output *o)
{
    uint64_t band = BAND_ELEMENTS / o->window->cols;
    band = band < 1 ? 1 : band > BAND_ROWS ? BAND_ROWS : band;
    for (uint64_t r = 0; r < o->rows; r += band) {
        const uint64_t rows = o->rows - r < band ? o->rows - r : band;
        const vg_ref_area area = {o->first + r, 0, (uint32_t)rows, o->window->cols};
        VG_TRY(check_areas(v, o, &area, 1));
    }
    return VG_OK;
}

static vg_status check_samples(vg_verifier *v, output *o)
{
    vg_ref_area *areas = malloc(SAMPLES * sizeof *areas);
    if (!areas)
        VG_FAIL(VG_NO_MEMORY, "verify: no memory for the samples");
    for (int i = 0; i < SAMPLES; i++)
        areas[i] = (vg_ref_area){o->first + vg_verifier_random(v) % o->rows,
                                 (uint32_t)(vg_verifier_random(v) % o->window->cols), 1, 1};
    vg_status status = check_areas(v, o, areas, SAMPLES);
    free(areas);
    return status;
}

/* Leaves o->status, and `where` if it is a failure. */
static vg_status check_output(vg_verifier *v, output *o)
{
    if (v->full || o->rows * o->window->cols <= FEW) /* then all cost no more than samples */
        VG_TRY(check_all(v, o));
    else
        VG_TRY(check_samples(v, o));
    if (o->gradient)
        v->gradients = true;
    if ((double)o->zeros > vg_tolerance_zeros() * (double)o->checked) {
        char op[96];
        vg_verifier_op_name(v->program, o->op, op, sizeof op);
        snprintf(v->out->where, sizeof v->out->where,
                 "%s: %s is zero in %" PRIu64 " of %" PRIu64 " elements that should not be", op,
                 o->operand->name, o->zeros, o->checked);
        o->status = VG_UNTRUSTED;
        o->row = o->first;
    }
    return VG_OK;
}

/* The same scan in another pass that was run; null: there is none. */
static const vg_op *twin_of(const vg_verifier *v, const vg_op *op, vg_pass pass)
{
    for (uint32_t i = 0; i < v->program->op_count; i++) {
        const vg_op *other = &v->program->ops[i];
        if (other->kind == VG_SCAN_BWD && other->pass == pass && (v->passes & pass) &&
            other->layer == op->layer && other->t0 == op->t0 && other->t1 == op->t1)
            return other;
    }
    return NULL;
}

/* What the probe repeats must be the same, bit for bit. */
static vg_status same_bits(vg_verifier *v, const vg_op *op, const char *what, const vg_mat *a,
                           const vg_mat *b)
{
    const uint64_t first = op->t0 * op->batch, rows = (op->t1 - op->t0) * op->batch;
    const uint64_t band = BAND_ELEMENTS / a->cols + 1;
    double *two = malloc(2 * (size_t)(band * a->cols) * sizeof *two);
    if (!two)
        VG_FAIL(VG_NO_MEMORY, "verify: no memory for two bands of rows");
    vg_status status = VG_OK;
    for (uint64_t r = 0; r < rows && status == VG_OK; r += band) {
        const uint64_t count = rows - r < band ? rows - r : band, n = count * a->cols;
        status = v->driver->read(v->exec, vg_mat_rows(*a, first + r, count), two);
        if (status == VG_OK)
            status = v->driver->read(v->exec, vg_mat_rows(*b, first + r, count), two + n);
        if (status != VG_OK || memcmp(two, two + n, (size_t)n * sizeof *two) == 0)
            continue;
        uint64_t i = 0;
        while (memcmp(two + i, two + n + i, sizeof *two) == 0)
            i++;
        char name[96];
        vg_verifier_op_name(v->program, op, name, sizeof name);
        snprintf(v->out->where, sizeof v->out->where,
                 "%s: %s[%" PRIu64 ", %" PRIu64 "] is %.9g, but %.9g in the probe", name, what,
                 first + r + i / a->cols, i % a->cols, two[i], two[n + i]);
        v->out->max_error = INFINITY;
        status = vg_fail(VG_MISMATCH, "%s", v->out->where);
    }
    free(two);
    return status;
}

/* A window that another operand of the op already is: dgates_h of most cells, dz of the identity.
 */
static bool is_another(const vg_op *op, const vg_operand *operand)
{
    for (const vg_operand *o = vg_op_operands(op->kind); o != operand; o++)
        if (vg_op_mat(op, o)->at == vg_op_mat(op, operand)->at && vg_op_mat(op, o)->rows)
            return true;
    return false;
}

/* Which outputs of a scan: the total derivatives, or what it leaves beside them. */
typedef enum which { ALL, TOTALS, STATES } which;

static bool in_part(const vg_op *op, const vg_mat *m, which part)
{
    const vg_scan_bwd *w = &op->scan_bwd;
    return part == ALL || (part == TOTALS && (m == &w->dh || m == &w->dc)) ||
           (part == STATES && (m == &w->dstate0[0] || m == &w->dstate0[1]));
}

static double honest_zero(const vg_verifier *v, const vg_op *op)
{
    uint64_t longest = 0; /* no reduction is longer */
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++) {
        const vg_mat *m = vg_op_mat(op, o);
        longest = m->rows > longest ? m->rows : longest;
        longest = m->cols > longest ? m->cols : longest;
    }
    return fmax(v->min_normal, 2 * vg_tolerance_sum(v->precision, longest, 0));
}

/* A forward scan reads its own outputs of the step before: the earliest failure is to blame. */
static vg_status check_outputs(vg_verifier *v, const vg_op *op, const vg_op *totals, which part)
{
    vg_status failed = VG_OK;
    uint64_t failed_row = 0;
    char where[sizeof v->out->where] = "";
    output o = {.op = op,
                .honest_zero = honest_zero(v, op),
                .gradient = op->kind == VG_DENSE_BWD_DATA || op->kind == VG_DENSE_BWD_WEIGHTS ||
                            op->kind == VG_SCAN_BWD};
    if (totals) {
        o.dh = totals->scan_bwd.dh;
        o.dc = totals->scan_bwd.dc;
    }
    for (o.operand = vg_op_operands(op->kind); o.operand->name; o.operand++) {
        o.window = vg_op_mat(op, o.operand);
        if (o.operand->access != VG_WRITES || !o.window->rows || is_another(op, o.operand) ||
            !in_part(op, o.window, part))
            continue;
        const bool steps = of_scan(op) && o.window->rows > op->batch;
        o.first = steps ? op->t0 * op->batch : 0;
        o.rows = steps ? (op->t1 - op->t0) * op->batch : o.window->rows;
        o.checked = o.zeros = 0;
        o.status = VG_OK;
        VG_TRY(check_output(v, &o));
        if (o.status != VG_OK && (failed == VG_OK || o.row < failed_row)) {
            failed = o.status;
            failed_row = o.row;
            memcpy(where, v->out->where, sizeof where);
        }
        if (failed != VG_OK && op->kind != VG_SCAN_FWD)
            break;
    }
    memcpy(v->out->where, where, sizeof where);
    return failed == VG_OK ? VG_OK : vg_fail(failed, "%s", where);
}

/* A timed scan keeps no dh and dc: they are those of its probe, whose gates are the same bits. The
 * probe is then checked but for these gates. */
static vg_status check_scan_bwd(vg_verifier *v, const vg_op *op)
{
    if (op->scan_bwd.dh.rows) {
        const bool seen = op->pass == VG_PASS_PROBE && twin_of(v, op, VG_PASS_BWD_DATA);
        return check_outputs(v, op, op, seen ? STATES : ALL);
    }
    const vg_op *probe = twin_of(v, op, VG_PASS_PROBE);
    if (!probe)
        VG_FAIL(VG_INVALID, "verify: a backward scan needs the pass PROBE to have run");
    VG_TRY(same_bits(v, op, "dgates_x", &op->scan_bwd.dgates_x, &probe->scan_bwd.dgates_x));
    VG_TRY(same_bits(v, op, "dgates_h", &op->scan_bwd.dgates_h, &probe->scan_bwd.dgates_h));
    VG_TRY(check_outputs(v, probe, probe, TOTALS));
    return check_outputs(v, op, probe, ALL);
}

vg_status vg_verifier_op(vg_verifier *v, const vg_op *op)
{
    VG_TRY(op->kind == VG_SCAN_BWD ? check_scan_bwd(v, op) : check_outputs(v, op, NULL, ALL));
    vg_rows_forget(&v->rows);
    return VG_OK;
}
