/* A worker process: opens one device and answers the supervisor's requests until they end. */
#include "supervisor.h"
#include "work.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MAX_SETTINGS = 64 };

static vg_status list_answer(const vg_work *work)
{
    vg_found_device *found = NULL;
    size_t count = 0;
    VG_TRY(vg_devices_find(&found, &count));
    vg_status status = VG_OK;
    for (size_t i = 0; i < count && status == VG_OK; i++) {
        const vg_device_info *info = &found[i].info;
        vg_wire_found body = {
            .rank = info->rank, .index = info->index, .automatic = info->automatic};
        snprintf(body.family, sizeof body.family, "%s", found[i].driver->family);
        snprintf(body.name, sizeof body.name, "%s", info->name);
        snprintf(body.description, sizeof body.description, "%s", info->description);
        snprintf(body.note, sizeof body.note, "%s", info->note);
        status = vg_frame_write(work->out, VG_FRAME_FOUND, &body, info->absent,
                                strlen(info->absent) + 1);
    }
    free(found);
    return status;
}

static void warn(void *context, const char *text)
{
    const vg_work *work = context;
    /* A supervisor that is gone is noticed at the next answer. */
    (void)vg_frame_write(work->out, VG_FRAME_WARN, NULL, text, strlen(text) + 1);
}

static void device_close(vg_work *work)
{
    vg_work_end(work);
    if (work->device)
        work->driver->close(work->device);
    work->device = NULL;
}

/* Settings NAME=VALUE, split in place into `out`, which ends with a null name. */
static vg_status settings_split(char *text, size_t size, vg_setting *out, const char **flags,
                                size_t *flag_count)
{
    size_t count = 0;
    for (char *at = text; at < text + size; at += strlen(at) + 1) {
        if (count + *flag_count >= MAX_SETTINGS)
            VG_FAIL(VG_INVALID, "more than %d device options", MAX_SETTINGS);
        if (strncmp(at, "--", 2) == 0) {
            flags[(*flag_count)++] = at;
            continue;
        }
        char *equals = strchr(at, '=');
        if (!equals)
            VG_FAIL(VG_INVALID, "%s: expected NAME=VALUE", at);
        *equals = 0;
        out[count++] = (vg_setting){at, equals + 1};
        at = equals + 1;
    }
    out[count] = (vg_setting){NULL, NULL};
    return VG_OK;
}

static vg_status device_open(vg_work *work, const vg_frame *frame, char *text)
{
    const vg_wire_open *asked = &frame->body.open;
    vg_setting settings[MAX_SETTINGS + 1];
    const char *flags[MAX_SETTINGS];
    size_t flag_count = 0;
    VG_TRY(settings_split(text, frame->tail_size, settings, flags, &flag_count));
    device_close(work);
    work->driver = vg_driver_find(asked->family);
    if (!work->driver)
        VG_FAIL(VG_DEVICE_LOST, "%s: no such device family in this build", asked->family);
    VG_TRY(vg_timer_start(flag_count, flags));
    vg_device_info info = {.rank = asked->rank, .index = asked->index};
    snprintf(info.name, sizeof info.name, "%s", asked->name);
    snprintf(info.description, sizeof info.description, "%s", asked->description);
    const vg_device_options options = {.threads = asked->threads,
                                       .bind = (vg_bind)asked->bind,
                                       .denormals = (vg_denormals)asked->denormals,
                                       .settings = settings,
                                       .warn = warn,
                                       .warn_context = work};
    VG_TRY(work->driver->open(&info, &options, &work->device));
    work->driver->applied(work->device, &work->applied);
    vg_wire_applied applied = {.threads = work->applied.threads,
                               .bind = (uint32_t)work->applied.bind,
                               .denormals = (uint32_t)work->applied.denormals,
                               .flushing = work->applied.flushing};
    snprintf(applied.implementation, sizeof applied.implementation, "%s",
             work->applied.implementation);
    return vg_frame_write(work->out, VG_FRAME_APPLIED, &applied, NULL, 0);
}

/* Settings are split in place; a driver may keep them while the device is open, so the caller keeps
 * the copy until the next. */
static vg_status device_open_copy(vg_work *work, const vg_frame *frame, char **kept)
{
    char *copy = malloc(frame->tail_size + 1);
    if (!copy)
        VG_FAIL(VG_NO_MEMORY, "no memory for device options");
    memcpy(copy, frame->tail, frame->tail_size);
    vg_status status = device_open(work, frame, copy);
    free(*kept);
    *kept = copy;
    return status;
}

static void fact_send(void *context, const char *key, const char *value)
{
    const vg_work *work = context;
    vg_wire_fact body = {.key = ""};
    snprintf(body.key, sizeof body.key, "%s", key);
    (void)vg_frame_write(work->out, VG_FRAME_FACT, &body, value, strlen(value) + 1);
}

static void fact_number(vg_work *work, const char *key, double value)
{
    char digits[32];
    if (isnan(value))
        return;
    snprintf(digits, sizeof digits, "%.6g", value);
    fact_send(work, key, digits);
}

static vg_status facts_answer(vg_work *work)
{
    if (work->driver->facts)
        VG_TRY(work->driver->facts(work->device, fact_send, work));
    vg_peaks peaks = {.levels = 0, .barrier_s = (double)NAN};
    /* Backwards: the levels that stay are those beside fp32. */
    for (int i = VG_DTYPE_COUNT - 1; i >= 0 && work->driver->peaks; i--) {
        char key[64];
        if (work->driver->peaks(work->device, (vg_dtype)i, &peaks) != VG_OK)
            continue;
        snprintf(key, sizeof key, "peak_%s_flop_per_s", vg_dtype_name((vg_dtype)i));
        fact_number(work, key, peaks.flop_per_s);
    }
    fact_number(work, "peak_barrier_s", peaks.barrier_s);
    fact_number(work, "peak_held_bytes", peaks.held_bytes);
    for (uint32_t i = 0; i < peaks.levels && i < VG_MAX_LEVELS; i++) {
        char key[64];
        snprintf(key, sizeof key, "peak_level%u_bytes_per_s", i + 1);
        fact_number(work, key, peaks.level[i].bytes_per_s);
        snprintf(key, sizeof key, "peak_level%u_capacity_bytes", i + 1);
        fact_number(work, key, peaks.level[i].capacity_bytes);
    }
    return VG_OK;
}

static vg_status answer(vg_work *work, const vg_frame *frame, char **kept)
{
    switch (frame->type) {
    case VG_FRAME_LIST: return list_answer(work);
    case VG_FRAME_OPEN: return device_open_copy(work, frame, kept);
    default: break;
    }
    if (!work->device)
        VG_FAIL(VG_INVALID, "no device is open");
    if (frame->type == VG_FRAME_FACTS)
        return facts_answer(work);
    if (frame->type == VG_FRAME_CASE)
        return vg_work_begin(work, &frame->body.planned, vg_frame_text(frame, NULL));
    if (!work->program)
        VG_FAIL(VG_INVALID, "no case is in hand");
    if (frame->type == VG_FRAME_LOAD)
        return vg_work_load(work);
    if (frame->type == VG_FRAME_UNLOAD) {
        vg_work_end(work);
        return VG_OK;
    }
    if (!work->exec)
        VG_FAIL(VG_INVALID, "the case is not loaded");
    switch (frame->type) {
    case VG_FRAME_VERIFY: return vg_work_verify(work);
    case VG_FRAME_TURN: return vg_work_turn(work, frame->body.turn.repetition);
    case VG_FRAME_ROWS: return vg_work_rows(work);
    default: VG_FAIL(VG_INVALID, "a frame of type %u asks nothing", (unsigned)frame->type);
    }
}

int vg_worker_main(int argc, char **argv)
{
    /* The supervisor may have died before this process asked to die with it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc != 1 || strtol(argv[0], NULL, 10) != (long)getppid()) {
        fprintf(stderr, "bench: %s is for the program's own use\n", VG_WORKER_ARGUMENT);
        return 2;
    }
    vg_work work = {.out = VG_WORKER_OUT};
    vg_inbox inbox = {0};
    vg_frame frame;
    char *kept = NULL;
    bool got = false, closed = false;
    vg_status status = VG_OK;
    while (status == VG_OK && !closed) {
        status = vg_inbox_take(&inbox, &got, &frame);
        if (status == VG_OK && !got) {
            status = vg_inbox_fill(&inbox, VG_WORKER_IN, &closed);
            continue;
        }
        if (status != VG_OK)
            break;
        vg_fail(VG_OK, "%s", "");
        vg_wire_done done = {.status = (uint32_t)answer(&work, &frame, &kept)};
        if (done.status != VG_OK)
            snprintf(done.reason, sizeof done.reason, "%s", vg_reason());
        status = vg_frame_write(work.out, VG_FRAME_DONE, &done, NULL, 0);
    }
    device_close(&work);
    free(kept);
    vg_inbox_free(&inbox);
    return status == VG_OK ? 0 : 1;
}
