/* Products of the oracle with the magnitudes that tolerances scale with. Internal to ref. */
#ifndef VG_REF_PRODUCT_H
#define VG_REF_PRODUCT_H

#include "ref.h"

/* NT: Σ_k a[r][k] b[c][k]; NN: Σ_k a[r][k] b[k][c]; TN: Σ_k a[k][r] b[k][c]. */
typedef enum vg_ref_form { VG_REF_NT, VG_REF_NN, VG_REF_TN } vg_ref_form;

typedef struct vg_ref_factors {
    vg_ref_form form;
    const vg_mat *a, *b;
    int64_t shift; /* NT, NN: row r of the output is made of row r + shift of a */
} vg_ref_factors;

/* Σ ab, Σ|ab| and Σ a²b² of every element, one array each; squares null: not wanted. */
typedef struct vg_ref_sums {
    double *value, *magnitude, *squares;
} vg_ref_sums;

/* Three arrays of `count` in one piece of memory; the third only where the precision asks. */
static inline vg_ref_sums vg_ref_sums_in(double *memory, uint64_t count, vg_precision precision)
{
    return (vg_ref_sums){memory, memory + count, precision.tf32 ? memory + 2 * count : NULL};
}
static inline vg_ref_sums vg_ref_sums_from(vg_ref_sums s, uint64_t at)
{
    return (vg_ref_sums){s.value + at, s.magnitude + at, s.squares ? s.squares + at : NULL};
}
/* The tolerance of sum n with `length` terms, `extra` the size of what was added beside them. */
static inline double vg_ref_sums_tolerance(vg_ref_sums s, uint64_t n, vg_precision precision,
                                           uint64_t length, double extra)
{
    return vg_tolerance_product(precision, length, s.value[n], s.magnitude[n] + extra,
                                s.squares ? s.squares[n] : 0);
}

uint64_t vg_ref_length(const vg_ref_factors *factors);

/* Overwrites the sums of one area (its elements row-major). */
void vg_ref_product(const vg_ref_ask *ask, const vg_ref_factors *factors, vg_ref_area area,
                    vg_ref_sums sums);

/* The same for all areas at once; only TN gains by it: it passes over its long operands once. */
void vg_ref_products(const vg_ref_ask *ask, const vg_ref_factors *factors, vg_ref_sums sums);

/* Scans: ref_element_scan.c. */
vg_status vg_ref_evaluate_scan_fwd(const vg_ref_ask *ask, double *value, double *tolerance);
vg_status vg_ref_evaluate_scan_bwd(const vg_ref_ask *ask, double *value, double *tolerance);

#endif
