/* The two programs behind `bench`: the supervisor, which runs no device code, and its workers. */
#ifndef VG_SUPERVISOR_H
#define VG_SUPERVISOR_H

#include "options.h"

/* The hidden first argument that makes the program a worker. */
#define VG_WORKER_ARGUMENT "--vgbench-worker"

/* Lists, plans, checks or measures as options->command says (not help or version). Returns the exit
 * code. */
int vg_supervisor_main(const vg_options *options);

/* argc, argv: what follows VG_WORKER_ARGUMENT. Returns the exit code. */
int vg_worker_main(int argc, char **argv);

#endif
