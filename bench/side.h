/* One device of the run with its worker process: started when needed, opened under the settings of
 * the case in hand, replaced when it has died. */
#ifndef VG_SIDE_H
#define VG_SIDE_H

#include "plan.h"
#include "process.h"
#include "sink_console.h"

/* As they stand in the files. */
const char *vg_bind_name(uint32_t bind);
const char *vg_denormals_name(uint32_t denormals);

typedef struct vg_side {
    const vg_found_device *device;
    vg_interrupt *interrupt;
    vg_console *console;
    char *texts; /* of OPEN: settings and flags */
    size_t texts_size;
    vg_process process;
    bool open;
    uint32_t threads, bind, denormals; /* as asked for when it was opened */
    vg_wire_applied applied;
} vg_side;

/* VG_INVALID, VG_NO_MEMORY. The device, interrupt and console outlive the side. */
vg_status vg_side_make(const vg_options *options, const vg_found_device *device,
                       vg_interrupt *interrupt, vg_console *console, vg_side *out);

/* A worker with the device open under the case's settings; side->applied says what they became.
 * What vg_process_ask or the driver's open says. */
vg_status vg_side_open(vg_side *side, const vg_planned_case *planned, double limit_s);

/* As vg_process_ask; warnings go to the console, `answer` (which may be null) sees the rest. A lost
 * device's worker is let go, so that the next case gets a fresh one. */
vg_status vg_side_ask(vg_side *side, vg_question question);

/* Lets the worker go: the next open starts a fresh one. */
void vg_side_stop(vg_side *side);
void vg_side_free(vg_side *side);

#endif
