/* What mean-field theory and linear algebra say of a model before anything runs. */
#ifndef VG_THEORY_H
#define VG_THEORY_H

#include "vg/model.h"

#include <stddef.h>

/* E[g(sqrt(q) z)], z ~ N(0,1), for g = f², f'² and f'⁴ of an activation: by quadrature to 1e-12
 * (sigmoid, tanh) or in closed form. Maxout: of two pieces (its f2 alone depends on their number).
 */
typedef struct vg_moments {
    double f2, d2, d4;
} vg_moments;
vg_moments vg_theory_moments(vg_activation activation, double alpha, double q);

/* The fixed point q* = sw2 E[f²] + sb2 of a wide random layer with W ~ N(0, sw2/fan_in),
 * b ~ N(0, sb2), and chi_1 = sw2 E[f'²] there (Poole 2016, Schoenholz 2017). q*: infinite where q
 * grows without end, NaN where every q is one. */
void vg_theory_fixed_point(vg_activation activation, double alpha, double sw2, double sb2,
                           double *q, double *chi);

/* Predicted log10(g_k / g_0), k = 0..depth, of a stack (k layers back from h_depth; depth + 1
 * values): q layer by layer from the input's mean square, and sqrt(chi) of every layer. False: no
 * prediction (lstm, gru, rnn, residual, the identity initialiser); then the values mean nothing. */
bool vg_theory_depth(const vg_model *model, double *log10_ratio);
/* The asymptotic rate a layer of a stack, sqrt(chi_1); NaN: none. */
double vg_theory_depth_rate(const vg_model *model);
/* The asymptotic rates a step of a vanilla rnn's layers 1..depth: sqrt(chi_1) at q* = sw2 E[f²] +
 * su2 mean(x²) + sb2; of each the largest from that layer up, since the signal may go back in time
 * in any of them. NaN: none. */
void vg_theory_time_rates(const vg_model *model, double *rates);
/* That of layer 1: the largest of all layers. */
double vg_theory_time_rate(const vg_model *model);

/* Largest singular value of w [rows × cols, row-major], to about 1e-9 of itself: Lanczos on wᵀw
 * (Golub and Kahan 1965); where 256 steps have not converged, or memory is short, from above by
 * sqrt(norm_1 norm_inf). NaN where an element is not finite. */
double vg_sigma_max(const double *w, size_t rows, size_t cols);
/* Spectral radius of w [n × n]: the limit of norm(w^k)^(1/k) (Gelfand), by repeated squaring with
 * rescaling, to about 1e-12; 0 for a nilpotent w; NaN where an element is not finite or memory is
 * short. About 14 products n × n, at most 48. */
double vg_spectral_radius(const double *w, size_t n);

#endif
