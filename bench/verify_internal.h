/* What the parts of verification share. */
#ifndef VG_VERIFY_INTERNAL_H
#define VG_VERIFY_INTERNAL_H

#include "ref.h"
#include "verify.h"

/* Rows of windows as a device holds them, read once and kept while one op is looked at. Small
 * windows are read whole, large ones row by row when only samples are wanted. */
enum { VG_ROWS_WINDOWS = 32 };
typedef struct vg_rows_window {
    vg_mat mat;
    double *all, **row;
} vg_rows_window;
typedef struct vg_rows {
    const vg_driver *driver;
    vg_exec *exec;
    bool sparse;
    vg_status status; /* the first failure; rows are zeros from then on */
    double *zeros;
    vg_rows_window windows[VG_ROWS_WINDOWS];
    uint32_t count, last;
} vg_rows;

vg_status vg_rows_open(vg_rows *rows, const vg_driver *driver, vg_exec *exec,
                       const vg_program *program, bool sparse);
/* A vg_ref_row_fn; context is the vg_rows. */
const double *vg_rows_get(void *context, const vg_mat *window, uint64_t row);
void vg_rows_forget(vg_rows *rows); /* between two ops */
void vg_rows_close(vg_rows *rows);

typedef struct vg_verifier {
    const vg_driver *driver;
    vg_exec *exec;
    const vg_program *program;
    unsigned passes;
    vg_precision precision;
    double min_normal; /* a zero in place of less may be honest underflow */
    bool full;
    uint64_t random;
    const vg_slot *slots;
    double clip_scale;
    vg_rows rows;
    bool gradients, gradients_not_zero; /* were compared; and one's reference was not zero */
    vg_verdict_of_run *out;
} vg_verifier;

/* The next of a sequence that depends on the seed alone (Steele 2014, SplitMix64). */
uint64_t vg_verifier_random(vg_verifier *v);

/* One number against its reference: VG_MISMATCH with `where` filled. `what`: the operand or field;
 * index: where in it. */
vg_status vg_verifier_number(vg_verifier *v, const vg_op *op, const char *what, uint64_t index,
                             double device, double reference, double tolerance);
/* "op 12 dense_fwd, pass fwd, layer 3" of an op of the program. */
void vg_verifier_op_name(const vg_program *program, const vg_op *op, char *out, size_t size);

/* Every element, or the samples, of every output window of one op. */
vg_status vg_verifier_op(vg_verifier *v, const vg_op *op);
/* The slots of MEASURE, CENSUS, LOSS and CLIP. */
vg_status vg_verifier_slots(vg_verifier *v, const vg_op *op);
/* A device whose inside cannot be read. */
vg_status vg_verify_opaque(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                           unsigned passes, vg_denormals denormals, vg_verdict_of_run *out);

#endif
