/* Sets of passes as they are run: the order of issue, and where it is timed, a graph of it. */
#ifndef VG_CUDA_GRAPH_H
#define VG_CUDA_GRAPH_H

#include "cuda_exec.h"

void vg_graphs_free(vg_exec *exec);

#endif
