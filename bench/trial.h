/* One case on every device of the run: made ready, verified, timed in turns. */
#ifndef VG_TRIAL_H
#define VG_TRIAL_H

#include "keys.h"
#include "outcome.h"

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

/* Runs the case once on every outcome that takes part and is well; fills the outcomes. A second
 * signal ends it at once with VG_INTERRUPTED outcomes. */
void vg_trial_run(vg_trial *trial, uint32_t process);

#endif
