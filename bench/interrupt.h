/* Ctrl-C, SIGTERM and SIGHUP as numbers to be looked at between two steps. */
#ifndef VG_INTERRUPT_H
#define VG_INTERRUPT_H

#include "vg/status.h"

#include <stdbool.h>

typedef struct vg_interrupt {
    int fd;         /* becomes readable with a signal */
    int signal;     /* the first that came, or 0 */
    unsigned count; /* 1: stop at the next case; more: at once */
} vg_interrupt;

/* From here on the three signals no longer end the process. VG_IO. */
vg_status vg_interrupt_open(vg_interrupt *out);

/* Takes the signals that have come. True where there was a new one. */
bool vg_interrupt_look(vg_interrupt *interrupt);

void vg_interrupt_close(vg_interrupt *interrupt);

/* In a child: the signals as a program of its own has them. */
void vg_interrupt_reset(void);

#endif
