/* A case in turns: every device made ready, then each repetition on each of them, the order
 * reversed every time. */
#include "trial.h"

#include "resume.h"
#include "runinfo.h"

#include "vg/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Seconds for what is not measuring, at least; and how much longer than estimated it may take. */
static const double patience_s = 60, patience_factor = 10;

static bool is_live(const vg_outcome *o)
{
    return o->takes_part && o->status == VG_OK;
}

static bool stop_now(const vg_trial *trial)
{
    return trial->interrupt->count > 1;
}

static void ask(const vg_trial *trial, vg_outcome *o, vg_question question)
{
    question.answer = vg_outcome_take;
    question.context = o;
    if (stop_now(trial))
        vg_outcome_fail(o, vg_fail(VG_INTERRUPTED, "stopped at once"));
    else
        vg_outcome_fail(o, vg_side_ask(o->side, question));
}

/* Measuring is on the clock of --timeout. */
static void ask_measuring(const vg_trial *trial, vg_outcome *o, vg_question question)
{
    double timeout = trial->options->timeout_s, start = vg_now();
    question.limit_s = timeout - o->measured_s;
    if (question.limit_s > 0)
        ask(trial, o, question);
    else
        vg_outcome_fail(o, vg_fail(VG_TIMEOUT, "no time left"));
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
    vg_outcome_fail(o, stop_now(trial) ? vg_fail(VG_INTERRUPTED, "stopped at once")
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
    bool again = vg_outcome_repeats(o);
    vg_verify_mode verify = check ? VG_VERIFY_FULL : again ? VG_VERIFY_OFF : options->verify;
    bool exact = check || (o->profile_wanted && o->process == 0);
    vg_wire_case body = {.probe = exact || verify != VG_VERIFY_OFF,
                         .exact = exact,
                         .verify = (uint32_t)verify,
                         .known_count = o->known_count,
                         .may_differ = vg_outcome_may_differ(o),
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
        vg_outcome_fail(o, vg_fail(VG_NO_MEMORY, "needs %.3g GB, %.3g GB are available",
                                   (double)o->size.bytes * 1e-9,
                                   (double)vg_memory_available() * 1e-9));
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
        vg_outcome_known(o);
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
        vg_outcome_drop_turn(o);
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
        group[i].interleaved = live > 1;
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
