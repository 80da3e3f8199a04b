/* Cases in order, and their rows on disk before the next. */
#include "campaign.h"

#include "resume.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double facts_limit_s = 60;

/* The machine, with its GPUs as the devices name them where the kernel does not. */
static vg_status machine_look(const vg_plan *plan, vg_facts *out)
{
    char names[1024] = "";
    VG_TRY(vg_machine_facts(out));
    for (size_t i = 0; i < plan->accelerators.count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? "; " : "",
                 plan->accelerators.at[i]);
    }
    return names[0] && !vg_facts_find(out, "gpus") ? vg_facts_add(out, "gpus", names) : VG_OK;
}

vg_status vg_campaign_open(vg_campaign *out, const vg_options *options, const vg_plan *plan,
                           vg_interrupt *interrupt, vg_console *console)
{
    *out = (vg_campaign){.options = options,
                         .plan = plan,
                         .interrupt = interrupt,
                         .console = console,
                         .folder = {.fd = -1, .files = {-1, -1, -1}}};
    out->sides = calloc(plan->device_count + 1, sizeof *out->sides);
    out->outcomes = calloc(plan->device_count + 1, sizeof *out->outcomes);
    if (!out->sides || !out->outcomes)
        VG_FAIL(VG_NO_MEMORY, "no memory for %zu devices", plan->device_count);
    VG_TRY(machine_look(plan, &out->machine));
    vg_runinfo_ids(&out->machine, &out->ids);
    for (size_t i = 0; i < plan->device_count; i++)
        VG_TRY(vg_side_make(options, &plan->devices[i], interrupt, console, &out->sides[i]));
    return VG_OK;
}

void vg_campaign_close(vg_campaign *c)
{
    for (size_t i = 0; c->sides && i < c->plan->device_count; i++)
        vg_side_free(&c->sides[i]);
    free(c->sides);
    free(c->outcomes);
    vg_facts_free(&c->machine);
    vg_folder_close(&c->folder);
    vg_keys_free(&c->done);
    vg_keys_free(&c->profiled);
}

static void fact_take(void *context, const vg_frame *frame)
{
    vg_device_facts *device = context;
    const char *value = vg_frame_text(frame, NULL);
    if (frame->type == VG_FRAME_FACT)
        (void)vg_facts_add(&device->facts, frame->body.fact.key, value ? value : "");
}

/* What the drivers say of their devices, as the first case opens them. A device that cannot be
 * opened says why; its cases will say it again. */
static void facts_collect(vg_campaign *c, vg_device_facts *devices)
{
    for (size_t i = 0; i < c->plan->device_count; i++) {
        vg_side *side = &c->sides[i];
        devices[i] = (vg_device_facts){.name = side->device->info.name,
                                       .description = side->device->info.description,
                                       .implementation = side->applied.implementation};
        vg_status status =
            vg_side_open(side, &c->plan->cases[0], fmin(facts_limit_s, c->options->timeout_s));
        if (status == VG_OK)
            status = vg_side_ask(side, (vg_question){.type = VG_FRAME_FACTS,
                                                     .limit_s = facts_limit_s,
                                                     .answer = fact_take,
                                                     .context = &devices[i]});
        if (status != VG_OK)
            (void)vg_facts_add(&devices[i].facts, "failure", vg_reason());
    }
}

static vg_status env_write(vg_campaign *c)
{
    static const char topology[] = "topology.xml";
    size_t count = c->plan->device_count;
    vg_device_facts *devices = calloc(count + 1, sizeof *devices);
    if (!devices)
        VG_FAIL(VG_NO_MEMORY, "no memory for facts");
    facts_collect(c, devices);
    char *json = NULL;
    vg_status status = vg_runinfo_json(c->options, &c->ids, &c->machine, devices, count, &json);
    if (status == VG_OK)
        status = vg_folder_replace(&c->folder, "env.json", json, strlen(json));
    for (size_t i = 0; i < count; i++) {
        const char *xml = vg_facts_find(&devices[i].facts, topology);
        if (xml && status == VG_OK)
            status = vg_folder_replace(&c->folder, topology, xml, strlen(xml));
        vg_facts_free(&devices[i].facts);
    }
    free(json);
    free(devices);
    return status;
}

/* results/local/<run_id> in a checkout of this project, else bench-<run_id>. */
static void default_path(const vg_campaign *c, char out[128])
{
    bool checkout = access("bench/devices.def", F_OK) == 0 && access("results", F_OK) == 0;
    snprintf(out, 128, "%s%s", checkout ? "results/local/" : "bench-", c->ids.run_id);
}

/* Ids of the run that wrote there; the machine and the build must be the same. */
static vg_status ids_continue(vg_campaign *c)
{
    vg_report_run before;
    vg_text json = {0};
    VG_TRY(vg_folder_read(&c->folder, "env.json", &json));
    vg_status status = vg_runinfo_read(json.at ? json.at : "", json.size, &before);
    vg_text_free(&json);
    VG_TRY(status);
    if (strcmp(before.hardware_id, c->ids.hardware_id) != 0)
        VG_FAIL(VG_INVALID, "--resume: %s is of other hardware (%s; this is %s)", c->folder.path,
                before.hardware_id, c->ids.hardware_id);
    if (strcmp(before.build_id, c->ids.build_id) != 0)
        VG_FAIL(VG_INVALID, "--resume: %s is of another build (%s; this is %s)", c->folder.path,
                before.build_id, c->ids.build_id);
    c->ids = before;
    return VG_OK;
}

static vg_status planned_keys(const vg_plan *plan, vg_keys *out)
{
    char key[VG_KEY];
    for (size_t i = 0; i < plan->case_count; i++)
        for (size_t d = 0; d < plan->device_count; d++) {
            vg_planned_key(plan->cases[i].name, plan->devices[d].info.name, key);
            VG_TRY(vg_keys_add(out, key));
        }
    return VG_OK;
}

static vg_status resume(vg_campaign *c)
{
    vg_keys planned = {0};
    vg_status status = planned_keys(c->plan, &planned);
    if (status == VG_OK)
        status = vg_resume(&c->folder, c->options, &planned, &c->done, &c->profiled);
    vg_keys_free(&planned);
    return status;
}

vg_status vg_campaign_files(vg_campaign *c)
{
    char path[128];
    default_path(c, path);
    if (c->options->dump)
        VG_TRY(vg_folders_make(c->options->dump));
    VG_TRY(vg_folder_open(c->options->out ? c->options->out : path, &c->folder));
    if (c->folder.to_stdout)
        return vg_folder_begin(&c->folder);
    bool there = false;
    for (int file = 0; file < VG_FILE_COUNT; file++)
        there = there || vg_folder_has(&c->folder, vg_file_name((vg_file)file));
    if (there && !c->options->resume)
        VG_FAIL(VG_INVALID, "%s holds results already: --resume continues them", c->folder.path);
    if (there) {
        VG_TRY(ids_continue(c));
        VG_TRY(resume(c));
    } else {
        VG_TRY(env_write(c)); /* before the others: where one stands, this does too */
    }
    return vg_folder_begin(&c->folder);
}

/* DUMP/<case>, and below it the device where there are several. */
static vg_status dump_path(const vg_campaign *c, const vg_planned_case *planned, vg_outcome *o)
{
    char name[VG_CASE_NAME];
    if (!c->options->dump)
        return VG_OK;
    snprintf(name, sizeof name, "%s", planned->name);
    for (char *at = name; *at; at++)
        if (*at == '/')
            *at = '_';
    bool several = c->plan->device_count > 1;
    if (snprintf(o->dump, sizeof o->dump, "%s/%s%s%s", c->options->dump, name, several ? "/" : "",
                 several ? o->of.device : "") >= (int)sizeof o->dump)
        VG_FAIL(VG_IO, "--dump: the path is too long");
    return vg_folders_make(o->dump);
}

/* Ends an outcome: counted, and a line of the table. VG_IO: its dump could not be written; it is
 * not complete then, and has no rows. */
static vg_status outcome_end(vg_campaign *c, vg_outcome *o)
{
    vg_outcome_close(o, c->options);
    c->ran++;
    c->well += o->status == VG_OK;
    c->failed += o->status != VG_OK && o->status != VG_UNSUPPORTED;
    o->takes_part = o->status != VG_IO;
    VG_TRY(vg_console_add(c->console, &o->of, o->status, o->reason, o->results, o->count,
                          o->has_decay ? &o->decay : NULL));
    return o->takes_part ? VG_OK : vg_fail(VG_IO, "%s", o->reason);
}

/* Runs one case on all devices, in as many processes as asked for. A failure to write one's dump
 * or line keeps none of the others from ending. */
static vg_status case_run(vg_campaign *c, size_t index)
{
    vg_status status = VG_OK;
    vg_trial trial = {.options = c->options,
                      .planned = &c->plan->cases[index],
                      .index = index,
                      .run = &c->ids,
                      .done = &c->done,
                      .profiled = &c->profiled,
                      .interrupt = c->interrupt,
                      .console = c->console,
                      .outcomes = c->outcomes,
                      .count = c->plan->device_count};
    for (size_t i = 0; i < trial.count; i++) {
        vg_outcome_begin(&c->outcomes[i], trial.run, trial.planned, &c->sides[i]);
        VG_TRY(dump_path(c, trial.planned, &c->outcomes[i]));
    }
    for (uint32_t process = 0; process < c->options->processes; process++) {
        for (size_t i = 0; c->options->processes > 1 && i < trial.count; i++)
            vg_side_stop(&c->sides[i]);
        vg_trial_run(&trial, process);
    }
    for (size_t i = 0; i < trial.count; i++)
        if (c->outcomes[i].takes_part) {
            vg_status ended = outcome_end(c, &c->outcomes[i]);
            status = status == VG_OK ? ended : status;
        }
    return status;
}

/* Remembers what is complete, for other settings that turn out to be the same. */
static vg_status done_add(vg_campaign *c, const vg_outcome *o)
{
    char key[VG_KEY];
    const vg_subject subject = {o->of.name, o->of.device, o->of.threads, o->of.bind,
                                o->of.denormals};
    vg_subject_key(&subject, key);
    VG_TRY(vg_keys_add(&c->done, key));
    vg_profile_key(o->of.name, o->of.device, o->of.denormals, key);
    return o->status == VG_OK ? vg_keys_add(&c->profiled, key) : VG_OK;
}

/* Gradients, decays, then results: the case is complete with the last. */
static vg_status case_write(vg_campaign *c)
{
    vg_text gradients = {0}, decays = {0}, results = {0};
    vg_status status = VG_OK;
    for (size_t i = 0; i < c->plan->device_count && status == VG_OK; i++) {
        const vg_outcome *o = &c->outcomes[i];
        if (!o->takes_part)
            continue;
        bool well = o->status == VG_OK; /* gradients of a failure are not to be trusted */
        vg_text_add(&gradients, well ? o->gradients.at : "", well ? o->gradients.size : 0);
        vg_text_add(&decays, well ? o->decays.at : "", well ? o->decays.size : 0);
        gradients.failed |= o->gradients.failed;
        decays.failed |= o->decays.failed;
        for (size_t r = 0; r < o->count; r++)
            vg_csv_result(&results, &o->results[r]);
        status = done_add(c, o);
    }
    const vg_text *const rows[] = {&gradients, &decays, &results};
    for (int file = 0; file < VG_FILE_COUNT && status == VG_OK; file++)
        status = vg_folder_append(&c->folder, (vg_file)file, rows[file]);
    if (status == VG_IO && !c->folder.to_stdout && results.at)
        fwrite(results.at, 1, results.size, stdout);
    vg_text_free(&gradients);
    vg_text_free(&decays);
    vg_text_free(&results);
    return status;
}

static void outcomes_free(vg_campaign *c)
{
    for (size_t i = 0; i < c->plan->device_count; i++)
        vg_outcome_free(&c->outcomes[i]);
}

vg_status vg_campaign_measure(vg_campaign *c)
{
    vg_status status = VG_OK;
    for (size_t i = 0; i < c->plan->case_count && status == VG_OK; i++) {
        vg_interrupt_look(c->interrupt);
        if (c->interrupt->count > 0)
            break;
        status = case_run(c, i);
        vg_status written = case_write(c);
        status = status == VG_OK ? written : status;
        outcomes_free(c);
    }
    return status;
}

static void check_print(const vg_outcome *o)
{
    printf("%s %s %s", vg_status_name(o->status), o->of.device, o->of.name);
    if (o->status != VG_OK)
        printf(": %s", o->reason);
    else if (o->verdict.verified == VG_VERIFIED_NO)
        printf(": nothing to verify");
    else
        printf(": %s, the largest error is %.3g of its tolerance", o->of.verified, o->of.max_error);
    printf("\n");
}

vg_status vg_campaign_check(vg_campaign *c)
{
    vg_status status = VG_OK;
    for (size_t i = 0; i < c->plan->case_count && status == VG_OK; i++) {
        vg_interrupt_look(c->interrupt);
        if (c->interrupt->count > 0)
            break;
        status = case_run(c, i);
        for (size_t d = 0; d < c->plan->device_count; d++)
            if (c->outcomes[d].takes_part) {
                check_print(&c->outcomes[d]);
                vg_status added = done_add(c, &c->outcomes[d]);
                status = status == VG_OK ? added : status;
            }
        outcomes_free(c);
        if (fflush(stdout) != 0 && status == VG_OK)
            status = vg_fail(VG_IO, "stdout cannot be written");
    }
    return status;
}
