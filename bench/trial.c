/* A case in turns: every device made ready, then each repetition on each of them, the order
 * reversed every time. */
#include "trial.h"

#include "resume.h"
#include "runinfo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds for what is not measuring, at least; and how much longer than estimated it may take. */
static const double patience_s = 60, patience_factor = 10;

void vg_outcome_begin(vg_outcome *out, const vg_trial *trial, vg_side *side)
{
    *out = (vg_outcome){.side = side, .takes_part = true, .verdict.max_error = (double)NAN};
    out->of =
        (vg_report_case){.run = trial->run,
                         .name = trial->planned->name,
                         .model = &trial->planned->model,
                         .device = side->device->info.name,
                         .device_name = side->device->info.description,
                         .implementation = out->applied.implementation,
                         .algorithm = out->algorithm,
                         .threads = trial->planned->threads ? (int64_t)trial->planned->threads : -1,
                         .bind = vg_bind_name((uint32_t)trial->planned->bind),
                         .denormals = vg_denormals_name((uint32_t)trial->planned->denormals),
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

static bool is_live(const vg_outcome *o)
{
    return o->takes_part && o->status == VG_OK;
}

static bool stop_now(const vg_trial *trial)
{
    return trial->interrupt->count > 1;
}

static void outcome_fail(vg_outcome *o, vg_status status)
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
            outcome_fail(o, vg_fail(VG_NO_MEMORY, "no memory for a case's rows"));
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
                     .temperature_c = unknown};
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

/* A peer takes what is fastest in its process, which may be something else in the next: then what
 * no process before has computed is verified for itself. Our own devices give the same bits in all
 * of them. */
static bool may_differ(const vg_outcome *o)
{
    return o->side->device->driver->opaque;
}

static bool repeats_first(const vg_outcome *o)
{
    return o->process > 0 && o->known_count > 0 && !may_differ(o);
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

/* After a verification that went well. A peer's results that it says nothing of are not known. */
static void known_add(vg_outcome *o)
{
    const bool says_nothing = may_differ(o) && o->verdict.verified == VG_VERIFIED_NO;
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

static void frame_take(void *context, const vg_frame *frame)
{
    vg_outcome *o = context;
    switch (frame->type) {
    case VG_FRAME_SIZE:
        o->size = frame->body.size;
        o->of.memory_bytes = (int64_t)o->size.memory_bytes;
        break;
    case VG_FRAME_LOADED: algorithm_take(o, frame->body.loaded.algorithm); break;
    case VG_FRAME_VERDICT:
        if (!repeats_first(o)) /* what the first process verified stands for the same bits */
            verdict_take(o, &frame->body.verdict);
        break;
    case VG_FRAME_TIMED: timed_take(o, &frame->body.timed); break;
    case VG_FRAME_CHECKSUM: checksum_take(o, frame->body.checksum.checksum); break;
    case VG_FRAME_GRADIENT: gradient_take(o, &frame->body.gradient); break;
    case VG_FRAME_DECAY: decay_take(o, &frame->body.decay); break;
    default: break; /* nothing that this answer may hold */
    }
}

static void ask(const vg_trial *trial, vg_outcome *o, vg_question question)
{
    question.answer = frame_take;
    question.context = o;
    if (stop_now(trial))
        outcome_fail(o, vg_fail(VG_INTERRUPTED, "stopped at once"));
    else
        outcome_fail(o, vg_side_ask(o->side, question));
}

/* Measuring is on the clock of --timeout. */
static void ask_measuring(const vg_trial *trial, vg_outcome *o, vg_question question)
{
    double timeout = trial->options->timeout_s, start = vg_now();
    question.limit_s = timeout - o->measured_s;
    if (question.limit_s > 0)
        ask(trial, o, question);
    else
        outcome_fail(o, vg_fail(VG_TIMEOUT, "no time left"));
    if (o->status == VG_TIMEOUT)
        snprintf(o->reason, sizeof o->reason, "not done within --timeout=%gs", timeout);
    o->measured_s += vg_now() - start;
}

/* Verification and analysis have a limit of their own. */
static void ask_patiently(const vg_trial *trial, vg_outcome *o, vg_question question)
{
    question.limit_s = fmax(patience_s, patience_factor * o->size.verify_s);
    ask(trial, o, question);
}

static void progress(const vg_trial *trial, const vg_outcome *o, const char *what)
{
    vg_console_progress(trial->console, trial->index, trial->planned->name,
                        o->side->device->info.name, what);
}

static bool is_done(const vg_trial *trial, const vg_outcome *o)
{
    char key[VG_KEY];
    const vg_subject subject = {o->of.name, o->of.device, o->of.threads, o->of.bind,
                                o->of.denormals};
    vg_subject_key(&subject, key);
    return vg_keys_has(trial->done, key);
}

/* Opens the device under the case's settings. What is done already takes no part: under the
 * settings asked for (it could not be opened then) or under those that really applied. */
static void case_open(const vg_trial *trial, vg_outcome *o)
{
    progress(trial, o, "opens");
    if (o->process == 0 && is_done(trial, o)) {
        o->takes_part = false;
        return;
    }
    outcome_fail(o, stop_now(trial) ? vg_fail(VG_INTERRUPTED, "stopped at once")
                                    : vg_side_open(o->side, trial->planned,
                                                   fmin(patience_s, trial->options->timeout_s)));
    if (o->status != VG_OK)
        return;
    char key[VG_KEY];
    o->applied = o->side->applied;
    o->of.threads = o->applied.threads;
    o->of.bind = vg_bind_name(o->applied.bind);
    o->of.denormals = vg_denormals_name(vg_denormals_of(
        (vg_denormals)o->applied.denormals, o->applied.flushing, trial->planned->model.dtype));
    o->takes_part = o->process > 0 || !is_done(trial, o);
    vg_profile_key(o->of.name, o->of.device, o->of.denormals, key);
    o->profile_wanted = trial->options->gradient && !vg_keys_has(trial->profiled, key);
}

/* Lowers the case and hears how much it needs. */
static void case_begin(const vg_trial *trial, vg_outcome *o)
{
    const vg_options *options = trial->options;
    bool check = options->command == VG_COMMAND_CHECK;
    bool again = repeats_first(o);
    vg_verify_mode verify = check ? VG_VERIFY_FULL : again ? VG_VERIFY_OFF : options->verify;
    bool exact = check || (o->profile_wanted && o->process == 0);
    vg_wire_case body = {.probe = exact || verify != VG_VERIFY_OFF,
                         .exact = exact,
                         .verify = (uint32_t)verify,
                         .known_count = o->known_count,
                         .may_differ = may_differ(o),
                         .timed = options->throughput ? options->timed : 0,
                         .min_time_s = options->min_time_s,
                         .warmup_s = options->warmup_s,
                         .gradient_rows = options->gradient_rows};
    memcpy(body.name, trial->planned->name, sizeof body.name);
    memcpy(body.known, o->known, sizeof body.known);
    ask_patiently(trial, o,
                  (vg_question){.type = VG_FRAME_CASE,
                                .body = &body,
                                .tail = o->dump,
                                .tail_size = o->dump[0] ? strlen(o->dump) + 1 : 0});
    if (o->status == VG_OK && o->size.host && o->size.bytes > vg_memory_available())
        outcome_fail(o,
                     vg_fail(VG_NO_MEMORY, "needs %.3g GB, %.3g GB are available",
                             (double)o->size.bytes * 1e-9, (double)vg_memory_available() * 1e-9));
}

static bool fit_together(const vg_trial *trial)
{
    uint64_t sum = 0, available = vg_memory_available();
    for (size_t i = 0; i < trial->count; i++)
        if (is_live(&trial->outcomes[i]) && trial->outcomes[i].size.host)
            sum += trial->outcomes[i].size.bytes;
    return sum <= available;
}

static void case_prepare(const vg_trial *trial, vg_outcome *o)
{
    progress(trial, o, "loads");
    ask_measuring(trial, o, (vg_question){.type = VG_FRAME_LOAD});
    if (o->status != VG_OK)
        return;
    progress(trial, o, "verifies");
    ask_patiently(trial, o, (vg_question){.type = VG_FRAME_VERIFY});
    if (o->status == VG_OK)
        known_add(o);
}

static void case_turn(const vg_trial *trial, vg_outcome *o, uint32_t repetition)
{
    char what[48];
    snprintf(what, sizeof what, "measures (%u of %u)", repetition + 1, trial->options->repetitions);
    progress(trial, o, what);
    o->repetition = repetition;
    const vg_wire_turn turn = {repetition};
    ask_measuring(trial, o, (vg_question){.type = VG_FRAME_TURN, .body = &turn});
    /* What was measured while something went wrong is not to be trusted. */
    if (o->status != VG_OK)
        o->count = turn_first(o);
}

static void case_end(const vg_trial *trial, vg_outcome *o)
{
    if (is_live(o) && o->profile_wanted && o->process == 0) {
        progress(trial, o, "analyses");
        ask_patiently(trial, o, (vg_question){.type = VG_FRAME_ROWS});
    }
    /* A worker that is idle gives its memory back whatever became of the case. */
    if (o->side->open && !stop_now(trial))
        (void)vg_side_ask(o->side, (vg_question){.type = VG_FRAME_UNLOAD, .limit_s = patience_s});
}

/* Outcomes [first, first + count) together. */
static void group_run(vg_trial *trial, size_t first, size_t count, bool timed)
{
    vg_outcome *group = trial->outcomes + first;
    size_t live = 0;
    for (size_t i = 0; i < count; i++)
        if (is_live(&group[i])) {
            case_prepare(trial, &group[i]);
            live += is_live(&group[i]);
        }
    for (size_t i = 0; i < count; i++)
        group[i].of.interleaved = live > 1;
    for (uint32_t r = 0; timed && r < trial->options->repetitions; r++)
        for (size_t i = 0; i < count; i++) {
            vg_outcome *o = &group[r % 2 ? count - 1 - i : i];
            if (is_live(o))
                case_turn(trial, o, r);
        }
    for (size_t i = 0; i < count; i++)
        if (group[i].takes_part)
            case_end(trial, &group[i]);
}

void vg_trial_run(vg_trial *trial, uint32_t process)
{
    bool timed = trial->options->throughput && trial->options->command != VG_COMMAND_CHECK;
    for (size_t i = 0; i < trial->count; i++) {
        vg_outcome *o = &trial->outcomes[i];
        if (!is_live(o))
            continue;
        o->process = process;
        o->measured_s = 0;
        case_open(trial, o);
        if (is_live(o))
            case_begin(trial, o);
    }
    if (fit_together(trial))
        group_run(trial, 0, trial->count, timed);
    else
        for (size_t i = 0; i < trial->count; i++)
            group_run(trial, i, 1, timed);
}

void vg_outcome_close(vg_outcome *o, const vg_trial *trial)
{
    bool timed = trial->options->throughput;
    uint32_t failed_in = o->process;
    for (uint32_t process = 0; process < trial->options->processes; process++) {
        /* A failure ends the case: the processes after it fail the same way. */
        vg_status status = process >= failed_in ? o->status : VG_OK;
        o->process = process;
        vg_result row = result_blank(o, status, status == VG_OK ? "" : o->reason);
        if (!timed)
            result_add(o, &row);
        for (int pass = 0; timed && status != VG_OK && pass < VG_TIMED_COUNT; pass++) {
            row.pass = vg_timed_name((vg_timed)pass);
            if (trial->options->timed & 1u << pass)
                result_add(o, &row);
        }
    }
}
