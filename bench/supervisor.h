/* The two programs behind `bench`: the supervisor, which runs no device code, and its workers. */
#ifndef VG_SUPERVISOR_H
#define VG_SUPERVISOR_H

#include "options.h"

/* The hidden first argument that makes the program a worker. */
#define VG_WORKER_ARGUMENT "--vgbench-worker"

/* The file descriptors that a worker finds its pipes at. */
enum { VG_WORKER_IN = 3, VG_WORKER_OUT = 4 };

/* Lists, plans, checks or measures as options->command says (not help or version). Returns the exit
 * code. */
int vg_supervisor_main(const vg_options *options);

/* argc, argv: what follows VG_WORKER_ARGUMENT, the supervisor's process id. Returns the exit code.
 */
int vg_worker_main(int argc, char **argv);

#endif
