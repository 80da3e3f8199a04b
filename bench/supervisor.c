/* The supervisor: plan, devices, then the campaign. It runs no device code itself. */
#include "supervisor.h"

#include "campaign.h"

#include <stdio.h>
#include <stdlib.h>

static const double list_limit_s = 60;
enum { SIGNALLED = 128 }; /* and the signal: how shells tell it */

/* Devices as a worker finds them. */
typedef struct finding {
    vg_found_device *found;
    size_t count, capacity;
    bool failed;
} finding;

static void found_take(void *context, const vg_frame *frame)
{
    finding *f = context;
    const vg_wire_found *body = &frame->body.found;
    const vg_driver *driver = frame->type == VG_FRAME_FOUND ? vg_driver_find(body->family) : NULL;
    if (!driver)
        return;
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 16;
        vg_found_device *grown = realloc(f->found, capacity * sizeof *grown);
        if (!grown) {
            f->failed = true;
            return;
        }
        f->found = grown;
        f->capacity = capacity;
    }
    vg_found_device *device = &f->found[f->count++];
    *device = (vg_found_device){
        .driver = driver,
        .info = {.rank = body->rank, .index = body->index, .automatic = body->automatic != 0}};
    const char *absent = vg_frame_text(frame, NULL);
    snprintf(device->info.name, sizeof device->info.name, "%s", body->name);
    snprintf(device->info.description, sizeof device->info.description, "%s", body->description);
    snprintf(device->info.note, sizeof device->info.note, "%s", body->note);
    snprintf(device->info.absent, sizeof device->info.absent, "%s", absent ? absent : "");
}

static vg_status devices_list(vg_interrupt *interrupt, finding *out)
{
    vg_process process;
    VG_TRY(vg_process_start(&process));
    const vg_question question = {
        .type = VG_FRAME_LIST, .limit_s = list_limit_s, .answer = found_take, .context = out};
    vg_status status = vg_process_ask(&process, interrupt, &question);
    vg_process_stop(&process);
    if (status == VG_OK && out->failed)
        VG_FAIL(VG_NO_MEMORY, "no memory for a list of devices");
    return status;
}

/* How the program ends on what came before or after the cases. */
static int failed_exit(const vg_interrupt *interrupt, vg_status status)
{
    fprintf(stderr, "bench: %s\n", vg_reason());
    return status == VG_INTERRUPTED ? SIGNALLED + interrupt->signal : vg_plan_exit(status);
}

/* How the program ends after the campaign. */
static int campaign_exit(const vg_campaign *c, const vg_interrupt *interrupt, vg_status status)
{
    if (status != VG_OK)
        return failed_exit(interrupt, status);
    if (interrupt->count > 0)
        return SIGNALLED + interrupt->signal;
    return c->failed > 0 || (c->ran > 0 && c->well == 0);
}

static int campaign_run(const vg_options *options, const vg_plan *plan, vg_interrupt *interrupt)
{
    vg_console console;
    vg_campaign campaign;
    bool check = options->command == VG_COMMAND_CHECK;
    vg_console_open(&console, options, plan->case_count);
    vg_status status = vg_campaign_open(&campaign, options, plan, interrupt, &console);
    if (status == VG_OK && !check)
        status = vg_campaign_files(&campaign);
    if (status == VG_OK)
        status = check ? vg_campaign_check(&campaign) : vg_campaign_measure(&campaign);
    int code = campaign_exit(&campaign, interrupt, status);
    if (!check)
        vg_console_finish(&console);
    if (!check && !options->quiet && campaign.folder.fd >= 0 && status == VG_OK)
        fprintf(stderr, "\n%s holds the results.\n", campaign.folder.path);
    vg_console_close(&console);
    vg_campaign_close(&campaign);
    return code;
}

static int devices_plan(const vg_options *options, vg_plan *plan, vg_interrupt *interrupt,
                        finding *found)
{
    vg_status status = vg_plan_cases(options, plan);
    if (status == VG_OK)
        status = devices_list(interrupt, found);
    if (status == VG_OK)
        status = vg_plan_devices(options, found->found, found->count, plan);
    if (status == VG_OK && options->command == VG_COMMAND_DRY_RUN)
        status = vg_plan_print(stdout, options, plan);
    if (status != VG_OK)
        return failed_exit(interrupt, status);
    if (options->command == VG_COMMAND_DRY_RUN)
        return fflush(stdout) == 0 ? 0 : vg_plan_exit(VG_IO);
    for (size_t i = 0; i < plan->notes.count && !options->quiet; i++)
        fprintf(stderr, "bench: %s\n", plan->notes.at[i]);
    return campaign_run(options, plan, interrupt);
}

int vg_supervisor_main(const vg_options *options)
{
    vg_interrupt interrupt;
    finding found = {0};
    vg_plan plan = {0};
    int code;
    if (vg_interrupt_open(&interrupt) != VG_OK)
        return failed_exit(&interrupt, VG_IO);
    if (options->command == VG_COMMAND_LIST) {
        vg_status status = devices_list(&interrupt, &found);
        if (status == VG_OK)
            vg_list_print(stdout, found.found, found.count);
        code = status != VG_OK       ? failed_exit(&interrupt, status)
               : fflush(stdout) == 0 ? 0
                                     : vg_plan_exit(VG_IO);
    } else {
        code = devices_plan(options, &plan, &interrupt, &found);
    }
    vg_plan_free(&plan);
    free(found.found);
    vg_interrupt_close(&interrupt);
    return code;
}
