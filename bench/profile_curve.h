/* Reading a program's slots as curves: log10 of norms over steps and layers. */
#ifndef VG_PROFILE_CURVE_H
#define VG_PROFILE_CURVE_H

#include "vg/measure.h"

typedef struct vg_reading {
    const vg_program *program;
    const vg_slot *slots;
} vg_reading;

/* The profile of a tensor and layer; null: none. */
const vg_profile *vg_curve_profile(const vg_program *program, const char *tensor, uint32_t layer);

/* The number of slots of a profile: its steps, or 1. */
uint64_t vg_curve_length(const vg_profile *profile);

/* log10 of norm i of a profile, in the plain and in the exact reading. */
double vg_curve_plain(vg_reading reading, const vg_profile *profile, uint64_t i);
double vg_curve_exact(vg_reading reading, const vg_profile *profile, uint64_t i);

/* One slot for all steps from 1 on (not the initial state): sums, counts and the largest value. */
vg_slot vg_curve_total(vg_reading reading, const vg_profile *profile);
/* log10 of the norm over all steps from 1 on, summed as logarithms. */
double vg_curve_total_plain(vg_reading reading, const vg_profile *profile);
double vg_curve_total_exact(vg_reading reading, const vg_profile *profile);

/* The curve over depth: out[k] of dh of layer depth - k (0: the input), k = 0..depth; in a
 * recurrent net the norm over all steps. `exact` chooses the reading. NaN where there is no such
 * profile. */
void vg_curve_depth(vg_reading reading, bool exact, double *out);
/* The curve over time of a layer's dh: out[k] of step seq_len - k, k = 0..seq_len. */
void vg_curve_time(vg_reading reading, const vg_profile *dh, bool exact, double *out);

#endif
