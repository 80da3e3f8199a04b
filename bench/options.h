/* The command line: one table of options, parsed strictly into one struct. */
#ifndef VG_OPTIONS_H
#define VG_OPTIONS_H

#include "verify.h"

#include "vg/case.h"

#include <stdio.h>

typedef enum vg_command {
    VG_COMMAND_MEASURE,
    VG_COMMAND_LIST,
    VG_COMMAND_DRY_RUN,
    VG_COMMAND_CHECK,
    VG_COMMAND_HELP,
    VG_COMMAND_VERSION
} vg_command;

/* The measurements, in the order of the reports. */
#define VG_TIMED_PASSES(X)                                                                         \
    X(VG_TIMED_FWD, "fwd", VG_PASS_FWD)                                                            \
    X(VG_TIMED_BWD, "bwd", VG_PASSES_BWD)                                                          \
    X(VG_TIMED_TRAIN, "train", VG_PASSES_TRAIN)                                                    \
    X(VG_TIMED_BWD_DATA, "bwd_data", VG_PASS_BWD_DATA)                                             \
    X(VG_TIMED_BWD_WEIGHTS, "bwd_weights", VG_PASS_BWD_WEIGHTS)
#define VG_TIMED_ENUMERATOR(id, name, passes) id,
typedef enum vg_timed { VG_TIMED_PASSES(VG_TIMED_ENUMERATOR) VG_TIMED_COUNT } vg_timed;
#undef VG_TIMED_ENUMERATOR
const char *vg_timed_name(vg_timed timed);
unsigned vg_timed_passes(vg_timed timed);

typedef struct vg_strings {
    char **at;
    size_t count;
} vg_strings;

/* Appends a copy of the first `length` bytes. VG_NO_MEMORY. */
vg_status vg_strings_add(vg_strings *strings, const char *text, size_t length);
void vg_strings_free(vg_strings *strings);

typedef struct vg_options {
    vg_command command;
    vg_strings devices;         /* patterns as typed; empty: auto */
    vg_strings device_options;  /* FAMILY.KEY=VALUE */
    vg_strings benchmark_flags; /* --benchmark_* */
    struct vg_axes *axes;       /* what becomes cases: opaque outside plan.c */
    vg_strings case_names;      /* --case */
    unsigned timed;             /* bit set of 1 << vg_timed */
    bool throughput, gradient;  /* --measure */
    vg_verify_mode verify;
    uint32_t repetitions, processes;
    double min_time_s, warmup_s, timeout_s;
    uint64_t gradient_rows;
    char *out, *dump, *host_name; /* null: not given; out "-": results.csv to stdout */
    bool resume, yes, quiet;
    bool color, progress; /* resolved: auto asks whether stderr is a terminal */
    vg_strings arguments; /* as given, without the program's name */
    char *command_line;   /* for env.json: folders reduced to their last part */
} vg_options;

/* Parses argv (and the presets it names; the command line overrides a preset wherever it stands).
 * On success the caller frees *out. VG_INVALID: one clear line in vg_reason(), exit 2;
 * VG_NO_MEMORY. */
vg_status vg_options_parse(int argc, char **argv, vg_options *out);
void vg_options_free(vg_options *options);
void vg_options_help(FILE *to);
/* What this program was built with, of one line each: version, compiler, libraries, devices. */
void vg_options_version(FILE *to);
/* The nearest of `names` (null-terminated) to what was typed by Damerau-Levenshtein distance, or
 * null where none is near. */
const char *vg_nearest(const char *typed, const char *const *names);

#endif
