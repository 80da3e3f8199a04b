/* What a device answers about a case, as rows. */
#include "outcome.h"

#include "runinfo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_outcome_begin(vg_outcome *out, const vg_report_run *run, const vg_planned_case *planned,
                      vg_side *side)
{
    *out = (vg_outcome){.side = side, .takes_part = true, .verdict.max_error = (double)NAN};
    out->of = (vg_report_case){.run = run,
                               .name = planned->name,
                               .model = &planned->model,
                               .device = side->device->info.name,
                               .device_name = side->device->info.description,
                               .implementation = out->applied.implementation,
                               .algorithm = out->algorithm,
                               .threads = planned->threads ? (int64_t)planned->threads : -1,
                               .bind = vg_bind_name((uint32_t)planned->bind),
                               .denormals = vg_denormals_name((uint32_t)planned->denormals),
                               .verified = vg_verified_name(VG_VERIFIED_NO),
                               .max_error = (double)NAN,
                               .memory_bytes = -1};
}

void vg_outcome_free(vg_outcome *outcome)
{
    free(outcome->results);
    vg_text_free(&outcome->gradients);
    vg_text_free(&outcome->decays);
    *outcome = (vg_outcome){0};
}

void vg_outcome_fail(vg_outcome *o, vg_status status)
{
    if (o->status != VG_OK || status == VG_OK)
        return;
    o->status = status;
    snprintf(o->reason, sizeof o->reason, "%s", vg_reason());
}

static void result_add(vg_outcome *o, const vg_result *row)
{
    if (o->count == o->capacity) {
        size_t capacity = o->capacity ? 2 * o->capacity : 16;
        vg_result *grown = realloc(o->results, capacity * sizeof *grown);
        if (!grown) {
            vg_outcome_fail(o, vg_fail(VG_NO_MEMORY, "no memory for a case's rows"));
            return;
        }
        o->results = grown;
        o->capacity = capacity;
    }
    o->results[o->count++] = *row;
}

/* A row without any figures. */
static vg_result result_blank(const vg_outcome *o, vg_status status, const char *reason)
{
    const double unknown = (double)NAN;
    vg_result row = {.of = &o->of,
                     .pass = "",
                     .status = vg_status_name(status),
                     .reason = reason,
                     .process = o->process,
                     .repetition = -1,
                     .iterations = -1,
                     .time_s = unknown,
                     .flop = unknown,
                     .bytes = unknown,
                     .peak_flop_per_s = unknown,
                     .peak_bytes_per_s = unknown,
                     .barrier_s = unknown,
                     .floor_s = unknown,
                     .energy_j = unknown,
                     .power_w = unknown,
                     .clock_mhz = unknown,
                     .temperature_c = unknown,
                     .interleaved = o->interleaved,
                     .attempts = -1};
    vg_time_utc(row.time_utc);
    return row;
}

static void timed_take(vg_outcome *o, const vg_wire_timed *timed)
{
    vg_status status = (vg_status)timed->status;
    /* The one reason that a single pass has of its own. */
    vg_result row =
        result_blank(o, status, status == VG_OK ? "" : "the device cannot run this pass by itself");
    row.pass = vg_timed_name((vg_timed)timed->timed);
    row.repetition = o->repetition;
    if (status == VG_OK) {
        row.iterations = (int64_t)timed->iterations;
        row.time_s = timed->time_s;
        row.flop = timed->flop;
        row.bytes = timed->bytes;
        row.peak_flop_per_s = timed->peak_flop_per_s;
        row.peak_bytes_per_s = timed->peak_bytes_per_s;
        row.barrier_s = timed->barrier_s;
        row.floor_s = timed->floor_s;
        row.energy_j = timed->energy_j;
        row.power_w = timed->power_w;
        row.clock_mhz = timed->clock_mhz;
        row.temperature_c = timed->temperature_c;
        row.disturbed = timed->disturbed != 0;
        row.attempts = (int64_t)timed->attempts;
        memcpy(row.throttle, timed->throttle, sizeof row.throttle);
    }
    result_add(o, &row);
}

/* The rows of the turn in hand: the last ones of this process and repetition. */
static size_t turn_first(const vg_outcome *o)
{
    size_t first = o->count;
    while (first > 0 && o->results[first - 1].process == o->process &&
           o->results[first - 1].repetition == o->repetition)
        first--;
    return first;
}

void vg_outcome_drop_turn(vg_outcome *o)
{
    o->count = turn_first(o);
}

static void checksum_take(vg_outcome *o, uint64_t checksum)
{
    for (size_t i = turn_first(o); i < o->count; i++)
        snprintf(o->results[i].checksum, sizeof o->results[i].checksum, "%016llx",
                 (unsigned long long)checksum);
}

static void gradient_take(vg_outcome *o, const vg_wire_gradient *g)
{
    const vg_gradient_row row = {&o->of,
                                 {.tensor = g->tensor,
                                  .layer = g->layer,
                                  .has_step = g->has_step != 0,
                                  .step = g->step,
                                  .plain = g->plain,
                                  .log10_norm = g->log10_norm,
                                  .log10_norm_exact = g->log10_norm_exact,
                                  .mean_abs_derivative = g->mean_abs_derivative,
                                  .saturated = g->saturated,
                                  .dead = g->dead,
                                  .predicted_log10_norm = g->predicted_log10_norm}};
    vg_csv_gradient(&o->gradients, &row);
}

static void decay_take(vg_outcome *o, const vg_decay *d)
{
    const vg_decay_row row = {&o->of, *d};
    vg_csv_decay(&o->decays, &row);
    bool wanted = (o->of.model->kind == VG_stack) == (row.decay.direction == VG_DEPTH);
    if (wanted && !o->has_decay)
        o->decay = row.decay;
    o->has_decay = o->has_decay || wanted;
}

bool vg_outcome_may_differ(const vg_outcome *o)
{
    return o->side->device->driver->opaque;
}

bool vg_outcome_repeats(const vg_outcome *o)
{
    return o->process > 0 && o->known_count > 0 && !vg_outcome_may_differ(o);
}

/* Of several processes the least thorough verification and the largest error. */
static void verdict_take(vg_outcome *o, const vg_wire_verdict *seen)
{
    const vg_wire_verdict before = o->verdict;
    o->verdict = *seen;
    if (o->process > 0 && (seen->is_known || before.verified < seen->verified))
        o->verdict.verified = before.verified;
    if (o->process > 0)
        o->verdict.max_error = fmax(before.max_error, seen->max_error);
    o->of.verified = vg_verified_name((vg_verified)o->verdict.verified);
    o->of.max_error = o->verdict.max_error;
}

/* A peer's results that it says nothing of are not known. */
void vg_outcome_known(vg_outcome *o)
{
    const bool says_nothing = vg_outcome_may_differ(o) && o->verdict.verified == VG_VERIFIED_NO;
    if (!o->verdict.is_known && !says_nothing && o->known_count < VG_WIRE_KNOWN)
        o->known[o->known_count++] = o->verdict.checksum;
}

/* "one | another" where processes differ. */
static void algorithm_take(vg_outcome *o, const char *algorithm)
{
    size_t used = o->process > 0 ? strlen(o->algorithm) : 0;
    if (used == 0)
        snprintf(o->algorithm, sizeof o->algorithm, "%s", algorithm);
    else if (!strstr(o->algorithm, algorithm))
        snprintf(o->algorithm + used, sizeof o->algorithm - used, " | %s", algorithm);
}

void vg_outcome_take(void *context, const vg_frame *frame)
{
    vg_outcome *o = context;
    switch (frame->type) {
    case VG_FRAME_SIZE:
        o->size = frame->body.size;
        o->of.memory_bytes = (int64_t)o->size.memory_bytes;
        break;
    case VG_FRAME_LOADED: algorithm_take(o, frame->body.loaded.algorithm); break;
    case VG_FRAME_VERDICT:
        if (!vg_outcome_repeats(o)) /* what the first process verified stands for the same bits */
            verdict_take(o, &frame->body.verdict);
        break;
    case VG_FRAME_TIMED: timed_take(o, &frame->body.timed); break;
    case VG_FRAME_CHECKSUM: checksum_take(o, frame->body.checksum.checksum); break;
    case VG_FRAME_GRADIENT: gradient_take(o, &frame->body.gradient); break;
    case VG_FRAME_DECAY: decay_take(o, &frame->body.decay); break;
    default: break; /* nothing that this answer may hold */
    }
}

void vg_outcome_close(vg_outcome *o, const vg_options *options)
{
    bool timed = options->throughput;
    uint32_t failed_in = o->process;
    for (uint32_t process = 0; process < options->processes; process++) {
        /* A failure ends the case: the processes after it fail the same way. */
        vg_status status = process >= failed_in ? o->status : VG_OK;
        o->process = process;
        vg_result row = result_blank(o, status, status == VG_OK ? "" : o->reason);
        if (!timed)
            result_add(o, &row);
        for (int pass = 0; timed && status != VG_OK && pass < VG_TIMED_COUNT; pass++) {
            row.pass = vg_timed_name((vg_timed)pass);
            if (options->timed & 1u << pass)
                result_add(o, &row);
        }
    }
}
