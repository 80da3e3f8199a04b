/* From a program's slots to the rows of gradients.csv and decay.csv. */
#ifndef VG_PROFILE_H
#define VG_PROFILE_H

#include "vg/measure.h"

typedef struct vg_profile_rows {
    vg_gradient *gradients;
    vg_decay *decays;
    size_t gradient_count, decay_count;
} vg_profile_rows;

/* slots: program->slot_count of them after PROBE and EXACT ran. weights: reads a tensor's values in
 * double (for singular values, spectral radii and bounds); null: those fields stay unknown.
 * max_rows: steps a tensor and layer (--gradient-rows). Theory's predictions are filled in. */
typedef vg_status vg_weight_fn(void *context, const vg_tensor *tensor, double *out);
vg_status vg_profile_rows_make(const vg_program *program, const vg_slot *slots,
                               vg_weight_fn *weights, void *context, uint64_t max_rows,
                               vg_profile_rows *out);
void vg_profile_rows_free(vg_profile_rows *rows);

/* True where the EXACT pass must be repeated in pieces of one step: a piece ended with more zeros
 * and subnormals than it started with. */
bool vg_profile_needs_finer(const vg_program *program, const vg_slot *slots);

#endif
