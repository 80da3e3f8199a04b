/* How a case goes on one device: what the device answers becomes rows. */
#ifndef VG_OUTCOME_H
#define VG_OUTCOME_H

#include "side.h"
#include "sink_csv.h"

/* How a case went on one device, over all its processes. Must not move: rows point to `of`. */
typedef struct vg_outcome {
    vg_side *side;
    bool takes_part, profile_wanted;
    bool interleaved; /* with another device, in the process in hand */
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

/* Puts the outcome of a case on a device at its start. */
void vg_outcome_begin(vg_outcome *out, const vg_report_run *run, const vg_planned_case *planned,
                      vg_side *side);
void vg_outcome_free(vg_outcome *outcome);

/* Keeps the first thing that went wrong, with its reason. */
void vg_outcome_fail(vg_outcome *outcome, vg_status status);

/* A frame of an answer; `outcome` is a vg_outcome. */
void vg_outcome_take(void *outcome, const vg_frame *frame);

/* Forgets the rows of the turn in hand. */
void vg_outcome_drop_turn(vg_outcome *outcome);

/* Whether another process may compute other bits: a peer takes what is fastest in its process,
 * which may be something else in the next, and what no process before has computed is verified for
 * itself. Our own devices give the same bits in all of them. */
bool vg_outcome_may_differ(const vg_outcome *outcome);
/* Whether what an earlier process verified stands for this one. */
bool vg_outcome_repeats(const vg_outcome *outcome);
/* After a verification that went well: its checksum is known to be right from here on. */
void vg_outcome_known(vg_outcome *outcome);

/* The rows of what failed, and of what was not timed, after the last process. */
void vg_outcome_close(vg_outcome *outcome, const vg_options *options);

#endif
