/* The double oracle, beside its driver (vg_ref_driver): single elements of an op's outputs from
 * whatever inputs a device really had. */
#ifndef VG_REF_H
#define VG_REF_H

#include "vg/device.h"

extern const vg_driver vg_ref_driver;

/* Element (row, col) of a window of the program, as the caller's device holds it. */
typedef double vg_ref_read_fn(void *context, const vg_mat *window, uint64_t row, uint32_t col);

/* The element (row, col) of output `output` (an index into vg_op_operands(op->kind)) of one op, in
 * double, from its inputs through `read`. *magnitude: Σ|a||b| and whatever else was summed, which
 * the tolerance scales with; *length: the reduction length K. For a scan's step the states of the
 * step before and the derivatives that came in are read from the device's own windows, so that only
 * the one step is recomputed. VG_UNSUPPORTED: this output cannot be recomputed alone from what is
 * kept (it is compared through another op). */
vg_status vg_ref_element(const vg_program *program, const vg_op *op, uint32_t output, uint64_t row,
                         uint32_t col, vg_ref_read_fn *read, void *context, double *value,
                         double *magnitude, uint64_t *length);

#endif
