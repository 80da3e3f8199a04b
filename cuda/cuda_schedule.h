/* A set of passes as an order of issue on two streams. */
#ifndef VG_CUDA_SCHEDULE_H
#define VG_CUDA_SCHEDULE_H

#include "vg/program.h"

/* One op to be issued. `waits`: first the op's stream waits for all that the other one has been
 * given so far. */
typedef struct vg_step {
    uint32_t op;
    bool side, waits;
} vg_step;

typedef struct vg_schedule {
    vg_step *steps;
    uint32_t count;
    bool joins; /* at the end the stream waits for the side stream */
} vg_schedule;

/* Every op of the set. Weights' gradients run on the side stream, as early as what they read and
 * write allows, where the chain that they come from is in the set too; all others stay in the
 * program's order. The caller frees *out by vg_schedule_free(). VG_NO_MEMORY. */
vg_status vg_schedule_make(const vg_program *program, unsigned passes, vg_schedule *out);
void vg_schedule_free(vg_schedule *schedule);

#endif
