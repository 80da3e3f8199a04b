/* A set of passes as an order of issue on several streams, here called lanes. */
#ifndef VG_CUDA_SCHEDULE_H
#define VG_CUDA_SCHEDULE_H

#include "vg/program.h"

/* The main lane begins and ends everything; the side lane has what nothing of the chain waits for;
 * the others are those of layers whose recurrences run in pieces (cuda_pieces.h). */
enum { VG_LANE_MAIN, VG_LANE_SIDE, VG_LANE_LAYERS, VG_LAYER_LANES = 8 };
enum { VG_LANES = VG_LANE_LAYERS + 2 * VG_LAYER_LANES };

/* Events by number. Event 0 is the beginning: the main lane records it before the first step. */
enum { VG_EVENT_BEGIN = 0, VG_NO_EVENT = 0 };

/* One op to be issued: first its lane waits for `wait_count` events from waits[first_wait] on, and
 * behind it the lane records `event`, unless that is VG_NO_EVENT. */
typedef struct vg_step {
    uint32_t op, event, first_wait, wait_count;
    uint8_t lane;
} vg_step;

typedef struct vg_schedule {
    vg_step *steps;
    uint32_t *waits;
    uint32_t count, event_count; /* events: the beginning among them */
    vg_step join;                /* no op: what the main lane waits for in the end */
} vg_schedule;

/* Every op of the set. lanes: of each of the program's ops; null: all on the main lane. Weights'
 * gradients run on the side lane, as early as what they read and write allows, where the chain that
 * they come from is in the set too; all others stay in the program's order. An event is recorded
 * again only when all who wait for it have been told to. The caller frees *out by
 * vg_schedule_free(). VG_NO_MEMORY. */
vg_status vg_schedule_make(const vg_program *program, const uint8_t *lanes, unsigned passes,
                           vg_schedule *out);
void vg_schedule_free(vg_schedule *schedule);

#endif
