/* Runs of equal dense layers that are one kernel each; the program's list stays as it is. */
#ifndef VG_CUDA_STACK_H
#define VG_CUDA_STACK_H

#include "cuda_device.h"
#include "stack_kernels.h"

#include "vg/program.h"

struct vg_issue; /* cuda_exec.h */

/* Ops [first, first + count) of a program: DENSE_FWD, or DENSE_BWD_DATA, each of which has the
 * output of the one before as its input. */
typedef struct vg_stack_run {
    uint32_t first, count;
    bool backward, fused;
    vg_stack_plan plan;  /* fused */
    uint64_t records_at; /* bytes into the exec's table; fused */
} vg_stack_run;

typedef struct vg_stack_runs {
    vg_stack_run *at;
    uint32_t count;
    uint64_t table_bytes, scratch; /* device memory for all; scratch for any */
} vg_stack_runs;

/* Every run of a program and whether it is one kernel, as asked for or as is predicted to be
 * faster; a program without one has none. The caller frees *out by vg_stack_free(). VG_NO_MEMORY;
 * VG_UNSUPPORTED where it is asked for and no layer of the stack can be in one. */
vg_status vg_stack_find(vg_device *device, const vg_program *program, vg_stack_runs *out);
void vg_stack_free(vg_stack_runs *runs);

/* Writes the layers' records into the exec's table, which is there. */
vg_status vg_stack_load(vg_exec *exec);
/* The run of an op; null where it is issued by itself. */
const vg_stack_run *vg_stack_of(const vg_exec *exec, const vg_op *op);
/* Issues the whole run with its first op, and nothing with the others: between them, in the
 * program's order, there is nothing. */
vg_status vg_stack_issue(const struct vg_issue *issue, const vg_stack_run *run);
/* Nodes that an op of a run adds to a graph. */
uint64_t vg_stack_nodes(const vg_exec *exec, const vg_op *op, const vg_stack_run *run);
/* "" where there is no run; else " stack=persistent blocks=32 units=8 rows=1", " stack=graph", and
 * " back=..." where that differs. */
void vg_stack_words(const vg_exec *exec, char *out, size_t size);

#endif
