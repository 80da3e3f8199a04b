/* From a program's slots to the rows of gradients.csv and decay.csv. */
#ifndef VG_PROFILE_H
#define VG_PROFILE_H

#include "vg/measure.h"

typedef struct vg_profile_rows {
    vg_gradient *gradients;
    vg_decay *decays;
    size_t gradient_count, decay_count;
} vg_profile_rows;

/* A tensor's values, row-major rows × cols, in double. */
typedef vg_status vg_weight_fn(void *context, const vg_tensor *tensor, double *out);

/* slots: program->slot_count of them after PROBE and EXACT ran. weights: reads a tensor's values
 * (for singular values, spectral radii and bounds: bounds.h); null: those fields stay unknown.
 * max_rows: steps a tensor and layer (--gradient-rows), at least 2: both ends, then powers of two
 * counted from the start and from the end, then evenly spaced ones.
 * Gradients: profile by profile in the program's order, steps ascending; dh of a recurrent layer
 * once more over all steps from 1 on. Decays: one over depth, then one over time for every
 * recurrent layer; a rate over time only with the loss at the last step. Theory's predictions are
 * filled in, starting from the measured norm at the loss. VG_NO_MEMORY, or the failure of
 * `weights`; rows are to be freed only after VG_OK. */
vg_status vg_profile_rows_make(const vg_program *program, const vg_slot *slots,
                               vg_weight_fn *weights, void *context, uint64_t max_rows,
                               vg_profile_rows *out);
void vg_profile_rows_free(vg_profile_rows *rows);

/* True where the EXACT pass must be repeated in pieces of one step: somewhere a signal had more
 * zeros and subnormals at the end of a piece than at its start, so that within the piece it left
 * the range. Never true of pieces of one step. */
bool vg_profile_needs_finer(const vg_program *program, const vg_slot *slots);

#endif
