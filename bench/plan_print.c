/* What a plan will take, and the texts of --list and --dry-run. */
#include "plan.h"

#include "option_table.h"

#include "vg/lower.h"

#include <math.h>
#include <string.h>

static const double guessed_flop_per_s = 50e9, oracle_flop_per_s = 0.5e9;

/* FLOP of one forward pass: 2 a weight and row (math: backward counts twice that). */
static double forward_flop(const vg_model *m)
{
    double layers = 0, gates = m->kind == VG_stack ? 1 : vg_cell_find(m->kind)->gates;
    for (uint32_t l = 0; l < m->depth && l < 2; l++) {
        double in = l == 0 ? m->input : m->width;
        double same = l == 0 ? 1 : m->depth - 1.0;
        layers += same * m->width * (in + (m->kind == VG_stack ? 0 : m->width));
    }
    double hidden = m->activation == VG_maxout ? m->pieces : 1;
    double out = m->output_activation == VG_maxout ? m->pieces : 1;
    double read_outs = m->loss_at == VG_LOSS_AT_ALL ? (double)m->seq_len : 1;
    return 2.0 * m->batch *
           (layers * gates * hidden * (double)m->seq_len +
            out * m->width * (double)m->output * read_outs);
}

static double verify_seconds(const vg_options *o, double train_flop)
{
    double full = train_flop / oracle_flop_per_s;
    switch (o->verify) {
    case VG_VERIFY_OFF: return 0;
    case VG_VERIFY_FULL: return full;
    case VG_VERIFY_SAMPLED: return fmin(full, 1);
    default: return full < 2 ? full : 1;
    }
}

vg_status vg_plan_estimate(const vg_options *options, const vg_planned_case *planned,
                           vg_estimate *out)
{
    uint64_t bytes;
    const vg_lowering how = {.profile = options->gradient};
    VG_TRY(vg_lower_bytes(&planned->model, &how, &bytes));
    double forward = forward_flop(&planned->model), seconds = 0;
    for (vg_timed timed = 0; timed < VG_TIMED_COUNT && options->throughput; timed++) {
        if (!(options->timed >> timed & 1))
            continue;
        unsigned passes = vg_timed_passes(timed);
        double parts = ((passes & VG_PASS_FWD) != 0) + ((passes & VG_PASS_BWD_DATA) != 0) +
                       ((passes & VG_PASS_BWD_WEIGHTS) != 0);
        double once = fmax(options->min_time_s, parts * forward / guessed_flop_per_s);
        seconds += options->warmup_s + options->repetitions * once;
    }
    /* Every pass once, and the probe with its exact reading, which is two more backward passes. */
    seconds += (options->gradient ? 7 : 3) * forward / guessed_flop_per_s;
    seconds += verify_seconds(options, 3 * forward);
    if (options->command == VG_COMMAND_CHECK)
        seconds = 3 * forward / guessed_flop_per_s + 3 * forward / oracle_flop_per_s;
    *out = (vg_estimate){bytes, 3 * forward, seconds * options->processes};
    return VG_OK;
}

static const char *bytes_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, "%.*f %s", unit == 0 || value >= 100 ? 0 : 1, value, units[unit]);
    return out;
}

static const char *seconds_text(double seconds, char out[32])
{
    if (seconds < 120)
        snprintf(out, 32, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
    return out;
}

/* "threads=4 bind=none" of a case, where they are not the default; with a blank before. */
static const char *settings_text(const vg_planned_case *c, char out[64])
{
    char threads[24] = "";
    if (c->threads > 0)
        snprintf(threads, sizeof threads, " threads=%u", (unsigned)c->threads);
    snprintf(out, 64, "%s%s%s", threads, c->bind == VG_BIND_NONE ? " bind=none" : "",
             c->denormals == VG_DENORMALS_FLUSH ? " denormals=flush" : "");
    return out;
}

vg_status vg_plan_print(FILE *to, const vg_options *options, const vg_plan *plan)
{
    char bytes[32], seconds[32], settings[64];
    int width = 0;
    double sum = 0;
    for (size_t i = 0; i < plan->case_count; i++) {
        int length =
            (int)(strlen(plan->cases[i].name) + strlen(settings_text(&plan->cases[i], settings)));
        width = length > width ? length : width;
    }
    fprintf(to, "%zu case%s on %zu device%s:", plan->case_count, plan->case_count == 1 ? "" : "s",
            plan->device_count, plan->device_count == 1 ? "" : "s");
    for (size_t i = 0; i < plan->device_count; i++)
        fprintf(to, "%s %s", i > 0 ? "," : "", plan->devices[i].info.name);
    fprintf(to, "\n");
    for (size_t i = 0; i < plan->case_count; i++) {
        const vg_planned_case *c = &plan->cases[i];
        vg_estimate estimate;
        int left = width - (int)strlen(c->name);
        VG_TRY(vg_plan_estimate(options, c, &estimate));
        double all = estimate.seconds * (double)plan->device_count;
        fprintf(to, "%5zu  %s%-*s  %8s  %8s\n", i + 1, c->name, left, settings_text(c, settings),
                bytes_text(estimate.bytes, bytes), seconds_text(all, seconds));
        sum += all;
    }
    fprintf(to, "about %s in all, guessed for devices of 50 GFLOP/s; memory is a device's arena\n",
            seconds_text(sum, seconds));
    for (size_t i = 0; i < plan->notes.count; i++)
        fprintf(to, "%s\n", plan->notes.at[i]);
    return VG_OK;
}

static void print_devices(FILE *to, const vg_found_device *found, size_t count)
{
    fprintf(to, "Devices (--device)\n");
    for (size_t i = 0; i < count; i++) {
        const vg_device_info *info = &found[i].info;
        bool here = info->absent[0] == '\0';
        fprintf(to, "  %-13s %s%s\n", info->name,
                here ? "" : "not here: ", here ? info->description : info->absent);
        if (here && info->note[0] != '\0')
            fprintf(to, "                %s\n", info->note);
    }
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        fprintf(to, "  %-13s not here: %s\n", a->family, a->reason);
    fprintf(to, "\nDevice options (--device-option=FAMILY.KEY=VALUE; the first value is the "
                "default)\n");
    for (const vg_driver *const *d = vg_drivers(); *d != NULL; d++)
        for (const vg_option *o = (*d)->options; o != NULL && o->name != NULL; o++)
            fprintf(to, "  %s.%s=%s\n                %s\n", (*d)->family, o->name, o->values,
                    o->help);
}

static void print_models(FILE *to)
{
    fprintf(to, "\nModels (--model)\n  %-13s dense layers, each with --activation\n", "stack");
    for (int kind = VG_stack + 1; kind < VG_MODEL_COUNT; kind++) {
        const vg_cell_info *cell = vg_cell_find((vg_model_kind)kind);
        fprintf(to, "  %-13s recurrent: %u gate%s, %u state%s\n", cell->name, (unsigned)cell->gates,
                cell->gates == 1 ? "" : "s", (unsigned)cell->states, cell->states == 1 ? "" : "s");
    }
    fprintf(to, "\nActivations (--activation)\n");
    for (int i = 0; i < VG_ACTIVATION_COUNT; i++) {
        const vg_activation_info *a = vg_activation_find((vg_activation)i);
        fprintf(to, "  %-13s %s%s%s, derivative at most %g\n", a->name, a->in_stack ? "stack" : "",
                a->in_stack && a->in_rnn ? ", " : "", a->in_rnn ? "rnn" : "", a->bound);
    }
}

void vg_list_print(FILE *to, const vg_found_device *found, size_t count)
{
    print_devices(to, found, count);
    print_models(to);
    fprintf(to, "\nPresets (--preset)\n");
    for (const char *const *name = vg_preset_names(); *name != NULL; name++)
        fprintf(to, "  %s\n", *name);
}
