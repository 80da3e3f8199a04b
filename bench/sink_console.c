/* Progress, warnings and the table: everything for people goes to stderr. */
#include "sink_console.h"

#include "process.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDE = 100, LEAST_DEVICE_WIDTH = 14 };

void vg_console_open(vg_console *console, const vg_options *options, size_t case_count)
{
    *console = (vg_console){.color = options->color,
                            .progress = options->progress && !options->quiet,
                            .quiet = options->quiet,
                            .timed = options->throughput ? options->timed : 0,
                            .case_count = case_count,
                            .started = vg_now()};
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 120;
}

static void line_clear(vg_console *console)
{
    if (console->line)
        fputs("\r\033[K", stderr);
    console->line = false;
}

void vg_console_progress(vg_console *console, size_t index, const char *name, const char *device,
                         const char *what)
{
    char text[512], left[32] = "";
    if (!console->progress)
        return;
    double elapsed = vg_now() - console->started;
    double rest = index > 0 ? elapsed / (double)index * (double)(console->case_count - index) : 0;
    if (rest >= 90)
        snprintf(left, sizeof left, ", %.0f min left", rest / 60);
    else if (rest > 0)
        snprintf(left, sizeof left, ", %.0f s left", rest);
    snprintf(text, sizeof text, "case %zu of %zu%s: %s %s %s", index + 1, console->case_count, left,
             device, what, name);
    fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, text);
    fflush(stderr);
    console->line = true;
}

void vg_console_warn(vg_console *console, const char *format, ...)
{
    char text[VG_KEY];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (vg_keys_has(&console->warned, text))
        return;
    (void)vg_keys_add(&console->warned, text); /* without memory it is said again: no harm */
    line_clear(console);
    fprintf(stderr, "%sbench: %s%s\n", console->color ? "\033[33m" : "", text,
            console->color ? "\033[0m" : "");
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of a column over the rows of one pass; sorts a copy. */
static double median_of(const vg_result *results, size_t count, const char *pass,
                        double (*get)(const vg_result *))
{
    double *values = malloc((count + 1) * sizeof *values), median = (double)NAN;
    size_t n = 0;
    for (size_t i = 0; values && i < count; i++)
        if (strcmp(results[i].pass, pass) == 0 && !isnan(get(&results[i])))
            values[n++] = get(&results[i]);
    if (n > 0) {
        qsort(values, n, sizeof *values, double_compare);
        median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    }
    free(values);
    return median;
}

static double get_time(const vg_result *r)
{
    return r->time_s;
}
static double get_gflop(const vg_result *r)
{
    return r->flop / r->time_s * 1e-9;
}
static double get_percent(const vg_result *r)
{
    return r->flop / r->time_s / r->peak_flop_per_s * 100;
}
static double get_items(const vg_result *r)
{
    return vg_model_items(r->of->model) / r->time_s;
}

/* The pass that rates are told of: a whole step where it is timed. */
static vg_timed main_pass(unsigned timed)
{
    static const vg_timed order[] = {VG_TIMED_TRAIN, VG_TIMED_FWD, VG_TIMED_BWD, VG_TIMED_BWD_DATA};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (timed & 1u << order[i])
            return order[i];
    return VG_TIMED_BWD_WEIGHTS;
}

vg_status vg_console_add(vg_console *console, const vg_report_case *of, vg_status status,
                         const char *reason, const vg_result *results, size_t count,
                         const vg_decay *decay)
{
    if (console->count == console->capacity) {
        size_t capacity = console->capacity ? 2 * console->capacity : 32;
        vg_summary *grown = realloc(console->rows, capacity * sizeof *grown);
        if (!grown)
            VG_FAIL(VG_NO_MEMORY, "no memory for the table");
        console->rows = grown;
        console->capacity = capacity;
    }
    vg_summary *row = &console->rows[console->count++];
    *row = (vg_summary){.kind = of->model->kind, .status = status, .verdict = ""};
    snprintf(row->name, sizeof row->name, "%s", of->name);
    snprintf(row->device, sizeof row->device, "%s", of->device);
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    snprintf(row->bind, sizeof row->bind, "%s", of->bind);
    snprintf(row->denormals, sizeof row->denormals, "%s", of->denormals);
    row->threads = of->threads;
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++)
        row->time_s[timed] = median_of(results, count, vg_timed_name((vg_timed)timed), get_time);
    const char *pass = vg_timed_name(main_pass(console->timed));
    row->gflop_per_s = median_of(results, count, pass, get_gflop);
    row->percent_of_peak = median_of(results, count, pass, get_percent);
    row->items_per_s = median_of(results, count, pass, get_items);
    row->rate = decay ? decay->rate : (double)NAN;
    row->half_life = decay ? decay->half_life : (double)NAN;
    row->verdict = decay ? vg_verdict_name(decay->verdict) : "";
    row->subnormal_at = decay ? decay->subnormal_at : -1;
    row->underflow_at = decay ? decay->underflow_at : -1;
    if (status != VG_OK && status != VG_UNSUPPORTED) {
        line_clear(console);
        fprintf(stderr, "bench: %s on %s: %s: %s\n", row->name, row->device, vg_status_name(status),
                reason);
    }
    return VG_OK;
}

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

/* The verdict, and how far from the loss the numbers themselves gave out. */
static void verdict_print(const vg_console *console, const vg_summary *row)
{
    fprintf(stderr, "%s%s%s", verdict_color(console, row), row->verdict,
            console->color ? "\033[0m" : "");
    if (row->subnormal_at >= 0)
        fprintf(stderr, ", subnormal after %lld", (long long)row->subnormal_at);
    if (row->underflow_at >= 0)
        fprintf(stderr, ", lost after %lld", (long long)row->underflow_at);
}

static void row_wide(const vg_console *console, const vg_summary *row, int width)
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
    verdict_print(console, row);
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

static void row_narrow(const vg_console *console, const vg_summary *row)
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
        verdict_print(console, row);
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
    const char *name;
} ratio;

static ratio devices_ratio(const vg_console *console, const char *a, const char *b)
{
    ratio r = {.least = (double)INFINITY};
    double logs = 0;
    vg_timed timed = main_pass(console->timed);
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
            r.name = x->name;
            r.count++;
        }
    r.mean = r.count ? exp(logs / (double)r.count) : (double)NAN;
    return r;
}

/* The first two devices that did something in common. */
static void sentence(const vg_console *console)
{
    for (size_t i = 1; i < console->count; i++) {
        const char *a = console->rows[0].device, *b = console->rows[i].device;
        if (strcmp(a, b) == 0)
            continue;
        ratio r = devices_ratio(console, a, b);
        if (r.count == 0)
            continue;
        if (r.mean < 1) {
            const char *swap = a;
            a = b;
            b = swap;
            r = devices_ratio(console, a, b);
        }
        if (r.mean < 1.01)
            fprintf(stderr, "\n%s and %s took the same time, within 1 %%.\n", a, b);
        else if (r.count == 1)
            fprintf(stderr, "\n%s ran %s %.3g times faster than %s.\n", a, r.name, r.mean, b);
        else
            fprintf(stderr,
                    "\n%s was %.3g times faster than %s over %zu cases (geometric mean; "
                    "%.3g to %.3g).\n",
                    a, r.mean, b, r.count, r.least, r.most);
        return;
    }
}

void vg_console_finish(vg_console *console)
{
    line_clear(console);
    if (console->quiet || console->count == 0)
        return;
    bool wide = terminal_width() >= WIDE, gave_out = false;
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
            row_wide(console, row, width);
        else
            row_narrow(console, row);
    }
    if (gave_out)
        fputs("\nsubnormal after k: k layers or steps back from the loss\n"
              "stands the first subnormal number; lost after k: from\n"
              "there the norm as held is off by over 1 %.\n",
              stderr);
    if (console->timed)
        sentence(console);
}

void vg_console_close(vg_console *console)
{
    line_clear(console);
    vg_keys_free(&console->warned);
    free(console->rows);
    *console = (vg_console){0};
}
