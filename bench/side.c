/* A device of the run and whoever works for it. */
#include "side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vg_bind_name(uint32_t bind)
{
    return bind == VG_BIND_NONE ? "none" : "core";
}

const char *vg_denormals_name(uint32_t denormals)
{
    return denormals == VG_DENORMALS_FLUSH ? "flush" : "keep";
}

/* Appends a text with its end. */
static vg_status text_append(vg_side *side, const char *text)
{
    size_t size = strlen(text) + 1;
    char *grown = realloc(side->texts, side->texts_size + size);
    if (!grown)
        VG_FAIL(VG_NO_MEMORY, "no memory for device options");
    memcpy(grown + side->texts_size, text, size);
    side->texts = grown;
    side->texts_size += size;
    return VG_OK;
}

static vg_status settings_append(vg_side *side, const vg_options *options)
{
    vg_setting *settings = NULL;
    VG_TRY(vg_plan_settings(options, side->device->driver, &settings));
    vg_status status = VG_OK;
    for (const vg_setting *s = settings; s && s->name && status == VG_OK; s++) {
        char text[512];
        if (snprintf(text, sizeof text, "%s=%s", s->name, s->value) >= (int)sizeof text)
            status = vg_fail(VG_INVALID, "--device-option: %.40s...: too long", text);
        else
            status = text_append(side, text);
    }
    free(settings);
    return status;
}

vg_status vg_side_make(const vg_options *options, const vg_found_device *device,
                       vg_interrupt *interrupt, vg_console *console, vg_side *out)
{
    *out = (vg_side){.device = device, .interrupt = interrupt, .console = console};
    vg_status status = settings_append(out, options);
    for (size_t i = 0; i < options->benchmark_flags.count && status == VG_OK; i++)
        status = text_append(out, options->benchmark_flags.at[i]);
    if (status != VG_OK)
        vg_side_free(out);
    return status;
}

/* What an answer's frames go through. */
typedef struct relay {
    vg_side *side;
    vg_answer_fn *answer;
    void *context;
} relay;

static void relay_frame(void *context, const vg_frame *frame)
{
    const relay *r = context;
    if (frame->type == VG_FRAME_WARN) {
        const char *text = vg_frame_text(frame, NULL);
        vg_console_warn(r->side->console, "%s: %s", r->side->device->info.name, text ? text : "");
    } else if (r->answer) {
        r->answer(r->context, frame);
    }
}

vg_status vg_side_ask(vg_side *side, vg_question question)
{
    relay r = {side, question.answer, question.context};
    question.answer = relay_frame;
    question.context = &r;
    vg_status status = vg_process_ask(&side->process, side->interrupt, &question);
    if (side->process.pid == 0)
        side->open = false;
    if (side->interrupt->count > 0)
        vg_console_warn(side->console, "stopping after this case; once more stops at once");
    if (status == VG_DEVICE_LOST) {
        char reason[VG_WIRE_REASON];
        snprintf(reason, sizeof reason, "%s", vg_reason());
        vg_side_stop(side);
        vg_fail(status, "%s", reason);
    }
    return status;
}

static void applied_take(void *context, const vg_frame *frame)
{
    vg_side *side = context;
    if (frame->type == VG_FRAME_APPLIED)
        side->applied = frame->body.applied;
}

vg_status vg_side_open(vg_side *side, const vg_planned_case *planned, double limit_s)
{
    if (side->open && side->threads == planned->threads && side->bind == (uint32_t)planned->bind &&
        side->denormals == (uint32_t)planned->denormals)
        return VG_OK;
    if (side->process.pid == 0)
        VG_TRY(vg_process_start(&side->process));
    const vg_device_info *info = &side->device->info;
    vg_wire_open open = {.rank = info->rank,
                         .index = info->index,
                         .threads = planned->threads,
                         .bind = (uint32_t)planned->bind,
                         .denormals = (uint32_t)planned->denormals};
    snprintf(open.family, sizeof open.family, "%s", side->device->driver->family);
    snprintf(open.name, sizeof open.name, "%s", info->name);
    snprintf(open.description, sizeof open.description, "%s", info->description);
    side->open = false;
    VG_TRY(vg_side_ask(side, (vg_question){.type = VG_FRAME_OPEN,
                                           .body = &open,
                                           .tail = side->texts,
                                           .tail_size = side->texts_size,
                                           .limit_s = limit_s,
                                           .answer = applied_take,
                                           .context = side}));
    side->open = true;
    side->threads = planned->threads;
    side->bind = (uint32_t)planned->bind;
    side->denormals = (uint32_t)planned->denormals;
    return VG_OK;
}

void vg_side_stop(vg_side *side)
{
    vg_process_stop(&side->process);
    side->open = false;
}

void vg_side_free(vg_side *side)
{
    vg_side_stop(side);
    free(side->texts);
    *side = (vg_side){0};
}
