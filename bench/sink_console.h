/* What people read on stderr: a line of progress, warnings, and the table at the end. */
#ifndef VG_SINK_CONSOLE_H
#define VG_SINK_CONSOLE_H

#include "keys.h"
#include "options.h"

#include "vg/report.h"

/* One case on one device as the table shows it; NaN = not known. */
typedef struct vg_summary {
    char name[VG_CASE_NAME], device[64], reason[160];
    char bind[8], denormals[8];
    int64_t threads;
    vg_model_kind kind;
    vg_status status;
    double time_s[VG_TIMED_COUNT]; /* medians */
    double gflop_per_s, percent_of_peak, items_per_s;
    double rate, half_life;
    const char *verdict;                /* "" = none */
    int64_t subnormal_at, underflow_at; /* as in vg_decay */
} vg_summary;

typedef struct vg_console {
    bool color, progress, quiet;
    unsigned timed;
    size_t case_count;
    double started;
    bool line; /* a line of progress stands there */
    vg_keys warned;
    vg_summary *rows;
    size_t count, capacity;
    size_t repetitions, again, disturbed; /* measured; more than once; and even so disturbed */
} vg_console;

void vg_console_open(vg_console *console, const vg_options *options, size_t case_count);

/* Case `index` (from 0) is now doing `what` on `device`. */
void vg_console_progress(vg_console *console, size_t index, const char *name, const char *device,
                         const char *what);

/* A warning, each text once. */
void vg_console_warn(vg_console *console, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes a case into the table: all its rows, and the decay that says most of it (null: that of
 * the case on the same device under other threads, or none). A failure is told at once.
 * VG_NO_MEMORY. */
vg_status vg_console_add(vg_console *console, const vg_report_case *of, vg_status status,
                         const char *reason, const vg_result *results, size_t count,
                         const vg_decay *decay);

/* The pass that rates are told of: a whole step where it is timed. */
vg_timed vg_console_main_pass(unsigned timed);

/* Prints the rows for a terminal of so many columns, then the sentence, then how many repetitions
 * were disturbed; adds settings that vary to the devices' names. */
void vg_console_table(vg_console *console, int columns);

/* The table so far, and one sentence that compares the fastest device with others. */
void vg_console_finish(vg_console *console);
void vg_console_close(vg_console *console);

#endif
