/* What is said of a gradient profile: norms as base-10 logarithms, and how they decay. */
#ifndef VG_MEASURE_H
#define VG_MEASURE_H

#include "vg/program.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vg_direction { VG_DEPTH, VG_TIME } vg_direction;
typedef enum vg_verdict {
    VG_OVERFLOW,
    VG_DEAD,
    VG_VANISHING,
    VG_EXPLODING,
    VG_STABLE,
    VG_VERDICT_COUNT
} vg_verdict;

const char *vg_direction_name(vg_direction direction);
const char *vg_verdict_name(vg_verdict verdict);

/* The norm that a MEASURE's slot holds. */
double vg_slot_norm(const vg_slot *slot);
/* log10 of that norm (-inf for zero, NaN where not finite) times 2^exponent. */
double vg_slot_log10(const vg_slot *slot, int64_t exponent);

/* One row of gradients.csv (without run, case and device); NaN = not known. */
typedef struct vg_gradient {
    const char *tensor;
    uint32_t layer;
    bool has_step;
    uint64_t step;
    vg_slot plain; /* norm: vg_slot_norm() */
    double log10_norm, log10_norm_exact;
    double mean_abs_derivative, saturated, dead, predicted_log10_norm;
} vg_gradient;

/* One row of decay.csv; NaN = not known; reach, underflow_at and subnormal_at -1 = none (the last:
 * the smallest k at which the dtype held a subnormal element). Formulas: log g_k over
 * k, the distance from the loss in layers or steps. */
typedef struct vg_decay {
    vg_direction direction;
    uint32_t layer; /* of a time row; 0 in a depth row */
    double rate, half_life;
    int64_t reach, underflow_at, subnormal_at;
    double log10_ratio;
    vg_verdict verdict;
    double r2, predicted_rate, predicted_log10_ratio, sigma_max, spectral_radius, bound_log10_ratio;
} vg_decay;

/* Fits a curve g_0 .. g_{n-1} (log10, exact and plain reading; -inf = zero, NaN = not finite).
 * `fit`: also the rate. Fills every field but the predictions, bounds, direction and layer;
 * subnormal_at is left at -1, since norms do not tell. */
void vg_decay_fit(const double *exact, const double *plain, size_t n, bool fit, vg_decay *out);

#ifdef __cplusplus
}
#endif
#endif
