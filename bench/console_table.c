/* The table of a run for people, and the sentence below it. */
#include "sink_console.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDE = 100, LEAST_DEVICE_WIDTH = 14 };

/* A number in four characters or so, right-aligned in a column; "-" = not known. */
static void cell(int width, double value)
{
    char text[32] = "-";
    if (!isnan(value)) {
        double size = fabs(value);
        if (size != 0 && (size >= 1e6 || size < 1e-3))
            snprintf(text, sizeof text, "%.2e", value);
        else
            snprintf(text, sizeof text, "%.*f",
                     size >= 100  ? 0
                     : size >= 10 ? 1
                     : size >= 1  ? 2
                                  : 3,
                     value);
    }
    fprintf(stderr, " %*s", width, text);
}

static const char *items_unit(const vg_summary *row)
{
    return row->kind == VG_stack ? "samples" : "tokens";
}

static const char *verdict_color(const vg_console *console, const vg_summary *row)
{
    if (!console->color)
        return "";
    if (row->status != VG_OK)
        return "\033[31m";
    return strcmp(row->verdict, "stable") == 0 ? "\033[32m" : "\033[33m";
}

static void label_add(vg_summary *row, const char *text)
{
    size_t used = strlen(row->device);
    snprintf(row->device + used, sizeof row->device - used, " %s", text);
}

/* A device that took one case in several settings stands there several times: what varied among
 * them is added to its name. */
static void settings_name(vg_console *console)
{
    bool threads = false, bind = false, denormals = false;
    for (size_t i = 0; i < console->count; i++)
        for (size_t j = i + 1; j < console->count; j++) {
            const vg_summary *a = &console->rows[i], *b = &console->rows[j];
            if (strcmp(a->name, b->name) != 0)
                break;
            if (strcmp(a->device, b->device) != 0)
                continue;
            threads = threads || a->threads != b->threads;
            bind = bind || strcmp(a->bind, b->bind) != 0;
            denormals = denormals || strcmp(a->denormals, b->denormals) != 0;
        }
    for (size_t i = 0; i < console->count; i++) {
        vg_summary *row = &console->rows[i];
        char text[16];
        snprintf(text, sizeof text, "x%lld", (long long)row->threads);
        if (threads && row->threads > 0)
            label_add(row, text);
        if (bind)
            label_add(row, row->bind);
        if (denormals)
            label_add(row, row->denormals);
    }
}

static int device_width(const vg_console *console)
{
    int width = LEAST_DEVICE_WIDTH;
    for (size_t i = 0; i < console->count; i++) {
        int length = (int)strlen(console->rows[i].device);
        width = length > width ? length : width;
    }
    return width;
}

/* How far from the loss the numbers themselves gave out: ", subnormal after 9". */
static void gave_out_text(const vg_summary *row, char out[80])
{
    int used = 0;
    out[0] = 0;
    if (row->subnormal_at >= 0)
        used = snprintf(out, 80, ", subnormal after %lld", (long long)row->subnormal_at);
    if (row->underflow_at >= 0)
        snprintf(out + used, 80 - (size_t)used, ", lost after %lld", (long long)row->underflow_at);
}

/* The verdict, and what gave out, on a line of its own where `used` columns leave no room. */
static void verdict_print(const vg_console *console, const vg_summary *row, int used, int columns)
{
    char gave_out[80];
    gave_out_text(row, gave_out);
    fprintf(stderr, "%s%s%s", verdict_color(console, row), row->verdict,
            console->color ? "\033[0m" : "");
    if (used + (int)(strlen(row->verdict) + strlen(gave_out)) <= columns)
        fputs(gave_out, stderr);
    else
        fprintf(stderr, "\n%*s%s", used < columns / 2 ? used : columns / 2, "", gave_out + 2);
}

static void row_wide(const vg_console *console, const vg_summary *row, int width, int columns)
{
    fprintf(stderr, "  %-*s", width, row->device);
    if (row->status != VG_OK) {
        fprintf(stderr, " %s%s%s: %s\n", verdict_color(console, row), vg_status_name(row->status),
                console->color ? "\033[0m" : "", row->reason);
        return;
    }
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++)
        if (console->timed & 1u << timed)
            cell(11, row->time_s[timed] * 1e3);
    if (console->timed) {
        cell(9, row->gflop_per_s);
        cell(7, row->percent_of_peak);
        cell(9, row->items_per_s);
    }
    cell(8, row->rate);
    cell(9, row->half_life);
    fputs("  ", stderr);
    int used = 2 + width + (console->timed ? 28 : 0) + 21;
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++)
        used += console->timed & 1u << timed ? 12 : 0;
    verdict_print(console, row, used, columns);
    fputs("\n", stderr);
}

static void header_wide(const vg_console *console, int width)
{
    fprintf(stderr, "\n  %-*s", width, "device");
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++) {
        char text[32];
        snprintf(text, sizeof text, "%.12s ms", vg_timed_name((vg_timed)timed));
        if (console->timed & 1u << timed)
            fprintf(stderr, " %11s", strcmp(text, "bwd_weights ms") == 0 ? "bwd_wts ms" : text);
    }
    if (console->timed)
        fprintf(stderr, " %9s %7s %9s", "GFLOP/s", "% peak", "items/s");
    fprintf(stderr, " %8s %9s  %s\n", "gradient", "half-life", "verdict");
}

static void row_narrow(const vg_console *console, const vg_summary *row, int columns)
{
    fprintf(stderr, "  %s: %s%s%s%s%s\n", row->device, verdict_color(console, row),
            vg_status_name(row->status), console->color ? "\033[0m" : "",
            row->status != VG_OK ? ": " : "", row->status != VG_OK ? row->reason : "");
    if (row->status != VG_OK)
        return;
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++)
        if (console->timed & 1u << timed) {
            fprintf(stderr, "    %-12s", vg_timed_name((vg_timed)timed));
            cell(9, row->time_s[timed] * 1e3);
            fputs(" ms\n", stderr);
        }
    if (console->timed) {
        fputs("    rate        ", stderr);
        cell(9, row->gflop_per_s);
        fputs(" GFLOP/s (", stderr);
        cell(0, row->percent_of_peak);
        fputs(" % of peak)\n                ", stderr);
        cell(9, row->items_per_s);
        fprintf(stderr, " %s/s\n", items_unit(row));
    }
    if (row->verdict[0]) {
        fputs("    gradient    ", stderr);
        verdict_print(console, row, 16, columns);
        fputs("\n                times", stderr);
        cell(0, row->rate);
        fputs(row->kind == VG_stack ? " a layer, half-life" : " a step, half-life", stderr);
        cell(0, row->half_life);
        fputs("\n", stderr);
    }
}

/* Geometric mean, least and largest of time(b) / time(a) over cases that both did. */
typedef struct ratio {
    double mean, least, most;
    size_t count;
} ratio;

static ratio devices_ratio(const vg_console *console, const char *a, const char *b)
{
    ratio r = {.least = (double)INFINITY};
    double logs = 0;
    vg_timed timed = vg_console_main_pass(console->timed);
    for (size_t i = 0; i < console->count; i++)
        for (size_t j = 0; j < console->count; j++) {
            const vg_summary *x = &console->rows[i], *y = &console->rows[j];
            double quotient = y->time_s[timed] / x->time_s[timed];
            if (strcmp(x->device, a) != 0 || strcmp(y->device, b) != 0 ||
                strcmp(x->name, y->name) != 0 || !(quotient > 0) || isinf(quotient))
                continue;
            logs += log(quotient);
            r.least = fmin(r.least, quotient);
            r.most = fmax(r.most, quotient);
            r.count++;
        }
    r.mean = r.count ? exp(logs / (double)r.count) : (double)NAN;
    return r;
}

/* True for the first row of its device. */
static bool is_first(const vg_console *console, const vg_summary *row)
{
    for (const vg_summary *r = console->rows; r < row; r++)
        if (strcmp(r->device, row->device) == 0)
            return false;
    return true;
}

static const char *fastest_device(const vg_console *console)
{
    const char *fastest = console->rows[0].device;
    for (size_t i = 1; i < console->count; i++) {
        const vg_summary *row = &console->rows[i];
        if (is_first(console, row) && devices_ratio(console, fastest, row->device).mean < 1)
            fastest = row->device;
    }
    return fastest;
}

static void ratio_print(const ratio *r, const char *other, bool first)
{
    fputs(first ? " was" : ",\n   ", stderr);
    if (r->mean < 1.01)
        fprintf(stderr, " as fast as %s, within 1 %%", other);
    else
        fprintf(stderr, " %.3g times faster than %s", r->mean, other);
    if (r->count > 1)
        fprintf(stderr, " (%.3g to %.3g over %zu cases)", r->least, r->most, r->count);
}

/* The fastest device against the others that did something in common with it. */
static void sentence(const vg_console *console)
{
    enum { MOST = 3 };
    const char *fastest = fastest_device(console);
    size_t told = 0;
    for (size_t i = 0; i < console->count && told < MOST; i++) {
        const char *other = console->rows[i].device;
        ratio r = {.count = 0};
        if (strcmp(other, fastest) != 0 && is_first(console, &console->rows[i]))
            r = devices_ratio(console, fastest, other);
        if (r.count == 0)
            continue;
        if (told == 0)
            fprintf(stderr, "\n%s", fastest);
        ratio_print(&r, other, told++ == 0);
    }
    if (told > 0)
        fputs(".\n", stderr);
}

void vg_console_table(vg_console *console, int columns)
{
    bool wide = columns >= WIDE, gave_out = false;
    settings_name(console);
    const int width = device_width(console);
    if (wide)
        header_wide(console, width);
    for (size_t i = 0; i < console->count; i++) {
        const vg_summary *row = &console->rows[i];
        gave_out = gave_out || row->subnormal_at >= 0 || row->underflow_at >= 0;
        if (i == 0 || strcmp(row->name, console->rows[i - 1].name) != 0)
            fprintf(stderr, "%s%s%s\n", console->color ? "\033[1m" : "", row->name,
                    console->color ? "\033[0m" : "");
        if (wide)
            row_wide(console, row, width, columns);
        else
            row_narrow(console, row, columns);
    }
    if (gave_out)
        fputs("\nsubnormal after k: k layers or steps back from the loss\n"
              "stands the first subnormal number; lost after k: from\n"
              "there the norm as held is off by over 1 %.\n",
              stderr);
    if (console->timed)
        sentence(console);
    if (console->again > 0)
        fprintf(stderr, "\n%zu of %zu repetitions measured again, %zu disturbed to the end.\n",
                console->again, console->repetitions, console->disturbed);
}
