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

vg_timed vg_console_main_pass(unsigned timed)
{
    static const vg_timed order[] = {VG_TIMED_TRAIN, VG_TIMED_FWD, VG_TIMED_BWD, VG_TIMED_BWD_DATA};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (timed & 1u << order[i])
            return order[i];
    return VG_TIMED_BWD_WEIGHTS;
}

/* The verdict of a case that was profiled under other threads already: the bits are the same. */
static void verdict_repeat(const vg_console *console, vg_summary *row)
{
    for (const vg_summary *r = console->rows; r < row; r++)
        if (strcmp(r->name, row->name) == 0 && strcmp(r->device, row->device) == 0 &&
            strcmp(r->denormals, row->denormals) == 0 && r->verdict[0]) {
            row->rate = r->rate;
            row->half_life = r->half_life;
            row->verdict = r->verdict;
            row->subnormal_at = r->subnormal_at;
            row->underflow_at = r->underflow_at;
            return;
        }
}

static void repetitions_count(vg_console *console, const vg_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        console->repetitions += results[i].attempts > 0;
        console->again += results[i].attempts > 1;
        console->disturbed += results[i].disturbed;
    }
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
    repetitions_count(console, results, count);
    const char *pass = vg_timed_name(vg_console_main_pass(console->timed));
    row->gflop_per_s = median_of(results, count, pass, get_gflop);
    row->percent_of_peak = median_of(results, count, pass, get_percent);
    row->items_per_s = median_of(results, count, pass, get_items);
    row->rate = decay ? decay->rate : (double)NAN;
    row->half_life = decay ? decay->half_life : (double)NAN;
    row->verdict = decay ? vg_verdict_name(decay->verdict) : "";
    row->subnormal_at = decay ? decay->subnormal_at : -1;
    row->underflow_at = decay ? decay->underflow_at : -1;
    if (!decay && status == VG_OK)
        verdict_repeat(console, row);
    if (status != VG_OK && status != VG_UNSUPPORTED) {
        line_clear(console);
        fprintf(stderr, "bench: %s on %s: %s: %s\n", row->name, row->device, vg_status_name(status),
                reason);
    }
    return VG_OK;
}

void vg_console_finish(vg_console *console)
{
    line_clear(console);
    if (!console->quiet && console->count > 0)
        vg_console_table(console, terminal_width());
}

void vg_console_close(vg_console *console)
{
    line_clear(console);
    vg_keys_free(&console->warned);
    free(console->rows);
    *console = (vg_console){0};
}
