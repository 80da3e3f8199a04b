/* What is going to be measured: cases in order, each on every device of the run. */
#ifndef VG_PLAN_H
#define VG_PLAN_H

#include "devices.h"
#include "options.h"

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
    vg_found_device *devices;
    size_t device_count;
    vg_strings notes; /* combinations left out, a line each */
} vg_plan;

/* Expands the axes. VG_INVALID: an option that no case uses, over 10,000 cases without --yes, ...
 */
vg_status vg_plan_cases(const vg_options *options, vg_plan *out);
/* Resolves the device patterns among `found`; VG_DEVICE_LOST: a device named without a glob is not
 * there (exit 3). Device options are checked against the drivers' tables here. */
vg_status vg_plan_devices(const vg_options *options, const vg_found_device *found, size_t count,
                          vg_plan *out);
void vg_plan_free(vg_plan *plan);

#endif
