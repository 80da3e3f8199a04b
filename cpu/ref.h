/* The double oracle, beside its driver (vg_ref_driver): what an op's outputs should have been,
 * given the inputs that a device really had. */
#ifndef VG_REF_H
#define VG_REF_H

#include "vg/tolerance.h"

extern const vg_driver vg_ref_driver;

/* Row `row` of a window of the program, as the caller's device holds it, in double. The pointer
 * stays good until the evaluation returns. */
typedef const double *vg_ref_row_fn(void *context, const vg_mat *window, uint64_t row);

/* Rows × cols elements of a window from (row, col) on. */
typedef struct vg_ref_area {
    uint64_t row;
    uint32_t col, rows, cols;
} vg_ref_area;

/* What is asked: some areas of one output of one op. */
typedef struct vg_ref_ask {
    const vg_op *op;
    const vg_mat *output; /* the window inside *op */
    const vg_ref_area *areas;
    size_t area_count;
    /* The total derivatives by the states of every step, for a SCAN_BWD: its own, or where it keeps
     * none those of the same scan in PROBE. dc only where the cell has a second state. */
    const vg_mat *dh, *dc;
    double scale; /* what CLIP multiplied dweight and dbias with; else 1 */
    vg_precision precision;
    vg_ref_row_fn *read;
    void *context;
} vg_ref_ask;

uint64_t vg_ref_area_elements(const vg_ref_ask *ask);

/* Fills value[] and tolerance[], area after area, each row-major. Every op is computed from its
 * stored inputs alone; a scan one step at a time, forward from h, c of the step before, backward
 * from dh, dc of the step (for dgates), and of the step after (for dh, dc). A maxout's winner gets
 * the distance to the other pieces that tie within tolerance. Stored rounding is included.
 * VG_UNSUPPORTED: an output that is not of this kind (slots; a scan without dh). VG_NO_MEMORY. */
vg_status vg_ref_evaluate(const vg_ref_ask *ask, double *value, double *tolerance);

#endif
