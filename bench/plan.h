/* What is going to be measured: cases in order, each on every device of the run. */
#ifndef VG_PLAN_H
#define VG_PLAN_H

#include "options.h"

#include "vg/devices.h"

typedef struct vg_planned_case {
    vg_model model;
    char name[VG_CASE_NAME];
    uint32_t threads; /* 0: one a physical core */
    vg_bind bind;
    vg_denormals denormals;
} vg_planned_case;

typedef struct vg_plan {
    vg_planned_case *cases;
    size_t case_count;
    vg_found_device *devices; /* each once, in the order of the patterns */
    size_t device_count;
    vg_strings notes;        /* combinations left out, a line each */
    vg_strings accelerators; /* descriptions of what is here with memory of its own */
} vg_plan;

/* Expands the axes, each case once. VG_INVALID: an option that no case uses, over 10,000 cases
 * without --yes, no case left, ...; VG_NO_MEMORY. Fills cases and notes of *out, which starts as
 * zeros and is freed by the caller in any case. */
vg_status vg_plan_cases(const vg_options *options, vg_plan *out);
/* Resolves the device patterns among `found`; VG_DEVICE_LOST: a device named without a glob is not
 * there (exit 3). Device options are checked against the drivers' tables here. Fills devices and
 * notes of *out. */
vg_status vg_plan_devices(const vg_options *options, const vg_found_device *found, size_t count,
                          vg_plan *out);
void vg_plan_free(vg_plan *plan);

/* The settings of --device-option that concern `driver`, for vg_device_options: ends with a null
 * name, the last of several with one name alone. The caller frees *out (one block; the strings
 * belong to it). VG_INVALID, VG_NO_MEMORY. */
vg_status vg_plan_settings(const vg_options *options, const vg_driver *driver, vg_setting **out);

/* What a case takes on one device, guessed before anything runs. */
typedef struct vg_estimate {
    uint64_t bytes; /* of the arena */
    double flop;    /* of one training step */
    double seconds; /* measuring, verifying and all, on a device of 50 GFLOP/s */
} vg_estimate;
vg_status vg_plan_estimate(const vg_options *options, const vg_planned_case *planned,
                           vg_estimate *out);

/* The exit code of a run that ended before it measured: 2 usage, 3 a device is not there, 4 files,
 * else 1. */
int vg_plan_exit(vg_status status);

/* The texts of --list (devices and why others are absent, models, activations, ...) and of
 * --dry-run (each case by name with memory and estimated time, and the notes). */
void vg_list_print(FILE *to, const vg_found_device *found, size_t count);
vg_status vg_plan_print(FILE *to, const vg_options *options, const vg_plan *plan);

#endif
