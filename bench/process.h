/* A worker process as the supervisor sees it: started, asked, and stopped, whatever it does. */
#ifndef VG_PROCESS_H
#define VG_PROCESS_H

#include "interrupt.h"
#include "wire.h"

#include <sys/types.h>

typedef struct vg_process {
    pid_t pid; /* 0: none is running */
    int to, from;
    vg_inbox inbox;
} vg_process;

/* What is made of an answer's frames, DONE excepted. */
typedef void vg_answer_fn(void *context, const vg_frame *frame);

typedef struct vg_question {
    vg_frame_type type;
    const void *body; /* null: a bare frame */
    const char *tail;
    size_t tail_size;
    double limit_s; /* until DONE */
    vg_answer_fn *answer;
    void *context;
} vg_question;

/* Starts this very program again as a worker, in a process group of its own; it dies with its
 * supervisor. VG_NO_MEMORY. */
vg_status vg_process_start(vg_process *out);

/* Asks and waits. The status and reason that the worker ended its answer with; or VG_TIMEOUT,
 * VG_CRASHED (the signal's name, or what it sent), VG_NO_MEMORY (killed as the kernel kills),
 * VG_INTERRUPTED (a second signal came): then it is running no more. */
vg_status vg_process_ask(vg_process *process, vg_interrupt *interrupt, const vg_question *question);

/* Lets an idle worker go, or kills a busy one. */
void vg_process_stop(vg_process *process);

/* Seconds of the monotonic clock. */
double vg_now(void);

#endif
