/* One case on every device of the run: made ready, verified, timed in turns, and its rows. */
#ifndef VG_TRIAL_H
#define VG_TRIAL_H

#include "keys.h"
#include "side.h"
#include "sink_csv.h"

/* How a case went on one device, over all its processes. Must not move: rows point to `of`. */
typedef struct vg_outcome {
    vg_side *side;
    bool takes_part, profile_wanted;
    vg_status status; /* VG_OK, or the first thing that went wrong */
    char reason[VG_WIRE_REASON];

    vg_wire_applied applied;
    vg_wire_size size;
    vg_wire_verdict verdict;
    char algorithm[256];
    vg_report_case of;
    vg_result *results;
    size_t count, capacity;
    vg_text gradients, decays; /* rows as CSV */
    char dump[4096];           /* "" = no dump */
    bool has_decay;
    vg_decay decay; /* over depth, or of a recurrent net's first layer over time */

    double measured_s;             /* of --timeout */
    uint32_t process, repetition;  /* in hand */
    uint64_t known[VG_WIRE_KNOWN]; /* checksums that processes were found right with */
    uint32_t known_count;
} vg_outcome;

typedef struct vg_trial {
    const vg_options *options;
    const vg_planned_case *planned;
    size_t index; /* of the case, for progress */
    const vg_report_run *run;
    const vg_keys *done;     /* subjects that need no measuring any more */
    const vg_keys *profiled; /* and profiles */
    vg_interrupt *interrupt;
    vg_console *console;
    vg_outcome *outcomes;
    size_t count;
} vg_trial;

/* Puts the outcome of a case on a device at its start. */
void vg_outcome_begin(vg_outcome *out, const vg_trial *trial, vg_side *side);
void vg_outcome_free(vg_outcome *outcome);

/* Runs the case once on every outcome that takes part and is well; fills the outcomes. A second
 * signal ends it at once with VG_INTERRUPTED outcomes. */
void vg_trial_run(vg_trial *trial, uint32_t process);

/* The rows of what failed, and of what was not timed, after the last process. */
void vg_outcome_close(vg_outcome *outcome, const vg_trial *trial);

#endif
