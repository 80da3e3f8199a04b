/* What linear algebra says of a decay: singular values, spectral radii and the bound of Pascanu
 * 2013, as computed from the weights. */
#ifndef VG_BOUNDS_H
#define VG_BOUNDS_H

#include "profile.h"

/* The decay of a stack over depth: sigma_max (the largest of all layers) and bound_log10_ratio, the
 * sum over layers of log10(γ σ_max(W_l)), with a residual of log10(1 + γ σ_max(W_l)). Over time of
 * a recurrent layer: sigma_max of its weight_hh; of a vanilla rnn also its spectral_radius, and
 * T log10(γ σ_max) in the top layer where the loss is at the last step (elsewhere gradient comes
 * in from above). NaN elsewhere, and where the numbers would take more than seconds: over 2^24
 * weights in all, over 2^30 products a squaring. VG_NO_MEMORY, or the failure of `weights`. */
vg_status vg_bounds_fill(const vg_program *program, vg_weight_fn *weights, void *context,
                         vg_decay *decays, size_t count);

/* VG_MISMATCH, and the reason says where, if a measured norm exceeds its bound by more than
 * rounding: every decay at its end, and every step of a bounded time row among the gradients. */
vg_status vg_bounds_check(const vg_program *program, const vg_profile_rows *rows);

#endif
