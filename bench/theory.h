/* What mean-field theory and linear algebra say of a model before anything runs. */
#ifndef VG_THEORY_H
#define VG_THEORY_H

#include "vg/model.h"

#include <stddef.h>

/* E[g(sqrt(q) z)], z ~ N(0,1), by quadrature, for g = f², f'^2 and f'^4 of an activation. */
typedef struct vg_moments {
    double f2, d2, d4;
} vg_moments;
vg_moments vg_theory_moments(vg_activation activation, double alpha, double q);

/* q* and chi_1 of a wide random layer with W ~ N(0, sw²/fan_in), b ~ N(0, sb²). */
void vg_theory_fixed_point(vg_activation activation, double alpha, double sw2, double sb2,
                           double *q, double *chi);

/* Predicted log10(g_k / g_0), k = 0..depth, of a stack (k layers back from the output). False: no
 * prediction for this model (lstm, gru, residual, initialisers without a variance). */
bool vg_theory_depth(const vg_model *model, double *log10_ratio);
/* Predicted rate a step of a vanilla rnn's layer 1; NaN: none. */
double vg_theory_time_rate(const vg_model *model);
/* The asymptotic rate a layer, sqrt(chi_1); NaN: none. */
double vg_theory_depth_rate(const vg_model *model);

/* Largest singular value of w [rows × cols, row-major], to about 1e-9 of itself: Lanczos on wᵀw
 * (Golub and Kahan 1965); where 256 steps have not converged, or memory is short, from above by
 * sqrt(norm_1 norm_inf). NaN where an element is not finite. */
double vg_sigma_max(const double *w, size_t rows, size_t cols);
/* Spectral radius of w [n × n]: the limit of norm(w^k)^(1/k) (Gelfand), by repeated squaring with
 * rescaling, to about 1e-12; 0 for a nilpotent w; NaN where an element is not finite or memory is
 * short. About 14 products n × n, at most 48. */
double vg_spectral_radius(const double *w, size_t n);

#endif
