/* From a program's slots to the rows of gradients.csv and decay.csv. */
#include "profile.h"

#include "bounds.h"
#include "profile_curve.h"
#include "theory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which steps become rows ---- */

static uint64_t keep(uint8_t *kept, uint64_t i, uint64_t count, uint64_t most)
{
    if (count < most && !kept[i]) {
        kept[i] = 1;
        return count + 1;
    }
    return count;
}

/* Marks at most `most` of the indices 0..length-1; index i is step first + i. Returns how many. */
static uint64_t thin(uint8_t *kept, uint64_t first, uint64_t length, uint64_t most)
{
    uint64_t count = 0, last = length - 1;
    memset(kept, length <= most, length);
    if (length <= most)
        return length;
    count = keep(kept, last, count, most);
    count = keep(kept, 0, count, most);
    for (uint64_t power = 1; power <= last; power *= 2) {
        count = keep(kept, last - power, count, most);
        if (power >= first && power - first <= last)
            count = keep(kept, power - first, count, most);
    }
    uint64_t room = most - count;
    for (uint64_t j = 1; j <= room; j++)
        count = keep(kept, last * j / (room + 1), count, most);
    return count;
}

/* ---- gradients ---- */

static vg_gradient blank(const vg_profile *profile)
{
    return (vg_gradient){.tensor = profile->tensor,
                         .layer = profile->layer,
                         .mean_abs_derivative = NAN,
                         .saturated = NAN,
                         .dead = NAN,
                         .predicted_log10_norm = NAN};
}

/* The census of a profile's index i: a stack has one slot, a recurrent layer one for each step from
 * 1 on. */
static void fill_census(vg_reading reading, const vg_profile *profile, uint64_t i, vg_gradient *row)
{
    uint64_t step = profile->first_step + i;
    if (profile->census == VG_NO_SLOT || (profile->steps > 0 && step == 0))
        return;
    const vg_slot *slot = &reading.slots[profile->census + (profile->steps > 0 ? step - 1 : 0)];
    row->mean_abs_derivative = slot->mean_abs_derivative;
    row->saturated = slot->saturated;
    row->dead = slot->dead;
}

/* What theory says of dh: depth_curve[k], k layers from the loss (null: nothing), from where it
 * starts, and the rates a step of the recurrent layers from 1 on (NaN: nothing). */
typedef struct predictions {
    const double *depth_curve, *time_rates;
    double depth_start;
} predictions;

static void add_steps(vg_reading reading, const vg_profile *profile, const uint8_t *kept,
                      const predictions *theory, vg_profile_rows *out)
{
    const vg_model *m = &reading.program->model;
    const uint64_t length = vg_curve_length(profile);
    bool signal = strcmp(profile->tensor, "dh") == 0, timed = profile->steps > 0;
    bool falls = signal && timed && profile->layer > 0 && m->loss_at == VG_LOSS_AT_LAST;
    double slope = falls ? log10(theory->time_rates[profile->layer - 1]) : NAN;
    double start = falls ? vg_curve_exact(reading, profile, length - 1) : NAN;
    for (uint64_t i = 0; i < length; i++) {
        if (!kept[i])
            continue;
        vg_gradient row = blank(profile);
        row.has_step = timed;
        row.step = timed ? profile->first_step + i : 0;
        row.plain = reading.slots[profile->plain + i];
        row.log10_norm = vg_curve_plain(reading, profile, i);
        row.log10_norm_exact = vg_curve_exact(reading, profile, i);
        fill_census(reading, profile, i, &row);
        if (timed)
            row.predicted_log10_norm = start + slope * (double)(length - 1 - i);
        else if (signal && theory->depth_curve && profile->layer <= m->depth)
            row.predicted_log10_norm =
                theory->depth_start + theory->depth_curve[m->depth - profile->layer];
        out->gradients[out->gradient_count++] = row;
    }
}

static void add_total(vg_reading reading, const vg_profile *profile, vg_profile_rows *out)
{
    vg_gradient row = blank(profile);
    row.plain = vg_curve_total(reading, profile);
    row.log10_norm = vg_curve_total_plain(reading, profile);
    row.log10_norm_exact = vg_curve_total_exact(reading, profile);
    out->gradients[out->gradient_count++] = row;
}

/* The room that any choice of steps fits into; the longest profile. */
static uint64_t most_gradients(const vg_program *program, uint64_t max_rows, uint64_t *longest)
{
    uint64_t total = 0;
    *longest = 1;
    for (uint32_t i = 0; i < program->profile_count; i++) {
        uint64_t length = vg_curve_length(&program->profiles[i]);
        total += (length < max_rows ? length : max_rows) + 1;
        *longest = length > *longest ? length : *longest;
    }
    return total;
}

static vg_status make_gradients(vg_reading reading, const predictions *theory, uint64_t max_rows,
                                vg_profile_rows *out)
{
    const vg_program *program = reading.program;
    uint64_t longest, room = most_gradients(program, max_rows, &longest);
    uint8_t *kept = malloc(longest);
    out->gradients = calloc(room + 1, sizeof *out->gradients);
    if (!kept || !out->gradients) {
        free(kept);
        VG_FAIL(VG_NO_MEMORY, "no memory for %llu rows of gradients", (unsigned long long)room);
    }
    for (uint32_t i = 0; i < program->profile_count; i++) {
        const vg_profile *p = &program->profiles[i];
        thin(kept, p->first_step, vg_curve_length(p), max_rows);
        add_steps(reading, p, kept, theory, out);
        if (p->steps > 0 && strcmp(p->tensor, "dh") == 0)
            add_total(reading, p, out);
    }
    free(kept);
    return VG_OK;
}

/* ---- decays ---- */

/* exact and plain: room for the longest curve. */
static void decay_over_depth(vg_reading reading, const predictions *theory, double *exact,
                             double *plain, vg_decay *out)
{
    const vg_model *m = &reading.program->model;
    *out = (vg_decay){.direction = VG_DEPTH};
    vg_curve_depth(reading, true, exact);
    vg_curve_depth(reading, false, plain);
    vg_decay_fit(exact, plain, (size_t)m->depth + 1, true, out);
    for (uint32_t k = m->depth + 1; k-- > 0;) {
        const vg_profile *dh = vg_curve_profile(reading.program, "dh", m->depth - k);
        if (dh && vg_curve_total(reading, dh).subnormals > 0)
            out->subnormal_at = k;
    }
    out->predicted_rate = vg_theory_depth_rate(m);
    out->predicted_log10_ratio = theory->depth_curve ? theory->depth_curve[m->depth] : NAN;
}

static void decay_over_time(vg_reading reading, const predictions *theory, const vg_profile *dh,
                            double *exact, double *plain, vg_decay *out)
{
    const vg_model *m = &reading.program->model;
    bool falls = m->loss_at == VG_LOSS_AT_LAST;
    *out = (vg_decay){.direction = VG_TIME, .layer = dh->layer};
    vg_curve_time(reading, dh, true, exact);
    vg_curve_time(reading, dh, false, plain);
    vg_decay_fit(exact, plain, (size_t)dh->steps, falls, out);
    for (uint64_t i = 0; i < dh->steps; i++)
        if (reading.slots[dh->plain + i].subnormals > 0)
            out->subnormal_at = (int64_t)(dh->steps - 1 - i);
    out->predicted_rate = falls ? theory->time_rates[dh->layer - 1] : NAN;
    out->predicted_log10_ratio = (double)m->seq_len * log10(out->predicted_rate);
}

static vg_status make_decays(vg_reading reading, const predictions *theory, vg_profile_rows *out)
{
    const vg_model *m = &reading.program->model;
    bool recurrent = m->kind != VG_stack;
    uint64_t longest = m->depth + 1 > m->seq_len + 1 ? m->depth + 1 : m->seq_len + 1;
    double *curves = malloc(2 * longest * sizeof *curves);
    out->decays = calloc((size_t)m->depth + 1, sizeof *out->decays);
    if (!curves || !out->decays) {
        free(curves);
        VG_FAIL(VG_NO_MEMORY, "no memory for a curve of %llu steps", (unsigned long long)longest);
    }
    decay_over_depth(reading, theory, curves, curves + longest, &out->decays[out->decay_count++]);
    for (uint32_t l = 1; recurrent && l <= m->depth; l++) {
        const vg_profile *dh = vg_curve_profile(reading.program, "dh", l);
        if (dh && dh->steps == m->seq_len + 1)
            decay_over_time(reading, theory, dh, curves, curves + longest,
                            &out->decays[out->decay_count++]);
    }
    free(curves);
    return VG_OK;
}

/* ---- public ---- */

vg_status vg_profile_rows_make(const vg_program *program, const vg_slot *slots,
                               vg_weight_fn *weights, void *context, uint64_t max_rows,
                               vg_profile_rows *out)
{
    const vg_reading reading = {program, slots};
    const uint32_t depth = program->model.depth;
    vg_profile_rows rows = {0};
    if (program->profile_count == 0) {
        *out = rows;
        return VG_OK;
    }
    double *curve = malloc((2 * (size_t)depth + 1) * sizeof *curve);
    if (!curve)
        VG_FAIL(VG_NO_MEMORY, "no memory for the predictions of %u layers", depth);
    double *rates = curve + depth + 1;
    predictions theory = {vg_theory_depth(&program->model, curve) ? curve : NULL, rates, NAN};
    vg_theory_time_rates(&program->model, rates);
    const vg_profile *top = vg_curve_profile(program, "dh", depth);
    if (top && top->steps == 0)
        theory.depth_start = vg_curve_exact(reading, top, 0);
    vg_status status = make_gradients(reading, &theory, max_rows, &rows);
    if (status == VG_OK)
        status = make_decays(reading, &theory, &rows);
    if (status == VG_OK)
        status = vg_bounds_fill(program, weights, context, rows.decays, rows.decay_count);
    free(curve);
    if (status == VG_OK)
        *out = rows;
    else
        vg_profile_rows_free(&rows);
    return status;
}

void vg_profile_rows_free(vg_profile_rows *rows)
{
    free(rows->gradients);
    free(rows->decays);
    *rows = (vg_profile_rows){0};
}

/* Elements that a signal has lost, or is about to lose. */
static uint64_t lost(const vg_slot *slot)
{
    return slot->zeros + slot->subnormals;
}

/* Of one signal over all steps, in pieces of which each starts at its last step: the norms inside a
 * piece are in the exact slots; what leaves it is counted by the next piece's RESCALE (of dh) or,
 * from the first piece, stands at step 0. */
static bool leaves_range(const vg_slot *slots, const vg_profile *p)
{
    const uint64_t last = p->first_step + p->steps - 1;
    const bool dh = strcmp(p->tensor, "dh") == 0;
    for (uint64_t t0 = 0, j = 0; t0 < last; t0 += p->piece, j++) {
        uint64_t t1 = t0 + p->piece < last ? t0 + p->piece : last;
        uint64_t start = lost(&slots[p->exact + t1 - p->first_step]);
        if (lost(&slots[p->exact + t0 + 1 - p->first_step]) > start)
            return true;
        if (j > 0 && dh && lost(&slots[p->exponent + j - 1]) > start)
            return true;
        if (j == 0 && lost(&slots[p->exact]) > start)
            return true;
    }
    return false;
}

bool vg_profile_needs_finer(const vg_program *program, const vg_slot *slots)
{
    for (uint32_t i = 0; i < program->profile_count; i++) {
        const vg_profile *p = &program->profiles[i];
        if (p->piece > 1 && p->steps > 0 && p->first_step == 0 && p->exponent != VG_NO_SLOT &&
            leaves_range(slots, p))
            return true;
    }
    return false;
}
