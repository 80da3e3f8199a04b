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
 * the smallest normal. */
vg_status vg_verify(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                    unsigned passes, vg_denormals denormals, vg_verify_mode mode, double budget_s,
                    vg_verdict_of_run *out);

/* Seconds that full verification would take, roughly. */
double vg_verify_estimate(const vg_program *program, unsigned passes);

/* The 64-bit checksum over y and every gradient, as the device holds them. */
vg_status vg_checksum(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                      uint64_t *out);

#endif
