/* Compares what a device computed with the double oracle, op by op, on the device's own inputs. */
#ifndef VG_VERIFY_H
#define VG_VERIFY_H

#include "vg/device.h"

typedef enum vg_verified {
    VG_VERIFIED_NO,
    VG_VERIFIED_NORM,
    VG_VERIFIED_SAMPLED,
    VG_VERIFIED_FULL
} vg_verified;
typedef enum vg_verify_mode {
    VG_VERIFY_AUTO,
    VG_VERIFY_FULL,
    VG_VERIFY_SAMPLED,
    VG_VERIFY_OFF
} vg_verify_mode;

const char *vg_verified_name(vg_verified verified);

typedef struct vg_verdict_of_run {
    vg_verified verified;
    double max_error; /* the largest error as a multiple of its tolerance */
    char where[256];  /* op, operand, index, both values, tolerance of the first that failed */
} vg_verdict_of_run;

/* `exec` has run every pass of `passes` once. VG_OK, VG_MISMATCH or VG_UNTRUSTED (reason set, *out
 * filled), or a failure of reading. Full verification if its estimated time is under `budget_s`
 * (AUTO), else 4,096 elements of every output. denormals: a flushing device gets the tolerance of
 * the smallest normal. A backward scan is checked through the dh and dc of PROBE: without PROBE
 * among `passes` a recurrent net's BWD_DATA is VG_INVALID. EXACT is compared by norm
 * (vg_verify_norms). An opaque driver is compared as a whole with a run of the oracle on the same
 * inputs: y, last states and every gradient, by ‖device - ref‖; it needs FWD, LOSS and both
 * backward passes. `verified` is VG_VERIFIED_NO where every gradient's reference is zero. */
vg_status vg_verify(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                    unsigned passes, vg_denormals denormals, vg_verify_mode mode, double budget_s,
                    vg_verdict_of_run *out);

/* Seconds that full verification would take, roughly. */
double vg_verify_estimate(const vg_program *program, unsigned passes);

/* Whole nets: every norm of the exact reading, and the census, of two runs of one model on the same
 * inputs; `program` and `ref` are lowered with the same pieces, `slots` and `ref_slots` as PROBE
 * and EXACT left them. VG_OK or VG_MISMATCH (reason set, *out filled: verified NORM; NO where the
 * reference leaves the format's range on its way forward). */
vg_status vg_verify_norms(const vg_program *program, const vg_slot *slots, const vg_program *ref,
                          const vg_slot *ref_slots, vg_verdict_of_run *out);

/* The 64-bit checksum over y and every gradient, as the device holds them. */
vg_status vg_checksum(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                      uint64_t *out);

#endif
