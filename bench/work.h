/* What a worker does with the case in hand. Every function answers through frames on `out` and
 * returns how it went; the caller ends the answer with DONE. */
#ifndef VG_WORK_H
#define VG_WORK_H

#include "options.h"
#include "timer.h"
#include "wire.h"

#include "vg/devices.h"

typedef struct vg_work {
    int out; /* file descriptor of the answers */
    const vg_driver *driver;
    vg_device *device;
    vg_device_applied applied;

    vg_wire_case asked;
    char dump[4096]; /* "" = no dump */
    vg_model model;
    vg_program *program;
    vg_exec *exec;
    unsigned ran; /* passes that ran once */
    vg_slot *slots;
    uint32_t iterations[VG_TIMED_COUNT]; /* 0: not known yet */
    uint64_t checksum;
    bool has_checksum;
} vg_work;

/* Lowers and checks the case: SIZE. VG_INVALID: a name that is no case's, or a program that fails
 * its check. */
vg_status vg_work_begin(vg_work *work, const vg_wire_case *asked, const char *dump);

/* Loads, writes the inputs and runs every pass once; EXACT again in pieces of one step where its
 * pieces were too long: LOADED. Passes that a device cannot run are left out of work->ran, except
 * those that are timed. */
vg_status vg_work_load(vg_work *work);

/* Takes the checksum, compares with the oracle what no earlier process was found right with, and
 * dumps: VERDICT. */
vg_status vg_work_verify(vg_work *work);

/* Every timed pass once, between two measurements of the peaks: TIMED for each, then CHECKSUM.
 * VG_MISMATCH where the results are not those that were verified. */
vg_status vg_work_turn(vg_work *work, uint32_t repetition);

/* GRADIENT and DECAY for every row. */
vg_status vg_work_rows(vg_work *work);

/* Unloads; work keeps its device alone. */
void vg_work_end(vg_work *work);

#endif
