/* What the oracle's ops run on: an arena of typed windows, seen as doubles. Internal to the ref
 * device. */
#ifndef VG_REF_MACHINE_H
#define VG_REF_MACHINE_H

#include "pool.h"

#include "vg/program.h"

#include <assert.h>

typedef struct vg_ref_machine {
    unsigned char *arena;
    vg_slot *slots;
    double *scratch; /* vg_ref_scratch() of the largest op */
    uint64_t scratch_used, scratch_size;
    vg_pool *pool; /* of the products; null: the caller alone */
} vg_ref_machine;

/* Doubles of an op's temporaries: converted windows, a transposed weight, a few rows. */
uint64_t vg_ref_scratch(const vg_op *op);

/* Runs one op. The op's windows lie inside the arena (vg_program_check). */
void vg_ref_run(vg_ref_machine *machine, const vg_op *op);

/* Row `row` of a window to and from `cols` doubles; put rounds to the window's dtype. */
void vg_ref_get_row(const vg_ref_machine *machine, const vg_mat *m, uint64_t row, double *to);
void vg_ref_put_row(vg_ref_machine *machine, const vg_mat *m, uint64_t row, const double *from);

static inline bool vg_ref_present(const vg_mat *m)
{
    return m->rows != 0;
}

static inline double *vg_ref_take(vg_ref_machine *machine, uint64_t count)
{
    double *taken = machine->scratch + machine->scratch_used;
    machine->scratch_used += count;
    assert(machine->scratch_used <= machine->scratch_size);
    return taken;
}

/* A window to be read as doubles: in place where it is FP64, else converted into scratch. */
typedef struct vg_ref_view {
    const double *data;
    uint64_t ld;
} vg_ref_view;

vg_ref_view vg_ref_open(vg_ref_machine *machine, const vg_mat *m);
/* The window transposed [cols, rows] in scratch, so that row products run along memory. */
vg_ref_view vg_ref_open_transposed(vg_ref_machine *machine, const vg_mat *m);

/* out[r][j] += Σ_k a[r·a_row + k·a_k] b[k][j] for r < rows, j < n, k < length; ref_rows.c. */
typedef struct vg_ref_rows {
    double *out;
    uint64_t out_ld;
    const double *a;
    uint64_t a_row, a_k, rows, n, length;
    vg_ref_view b;
} vg_ref_rows;
void vg_ref_product_rows(const vg_ref_machine *machine, vg_ref_rows product);

/* Runs on every thread of the machine where there is work enough: `work` in units of a cell's step
 * of one hidden unit, or so. */
void vg_ref_share(const vg_ref_machine *machine, uint64_t work, vg_pool_fn *run, void *context);

/* Rows of a dense layer that are computed together. */
enum { VG_REF_ROWS = 64 };

/* The kinds of op, one function each; dense: ref_dense.c, scans: ref_scan.c, the others:
 * ref_reduce.c. */
void vg_ref_dense_fwd(vg_ref_machine *machine, const vg_op *op);
void vg_ref_dense_bwd_data(vg_ref_machine *machine, const vg_op *op);
void vg_ref_dense_bwd_weights(vg_ref_machine *machine, const vg_op *op);
void vg_ref_scan_fwd(vg_ref_machine *machine, const vg_op *op);
void vg_ref_scan_bwd(vg_ref_machine *machine, const vg_op *op);
void vg_ref_loss(vg_ref_machine *machine, const vg_op *op);
void vg_ref_clip(vg_ref_machine *machine, const vg_op *op);
void vg_ref_measure(vg_ref_machine *machine, const vg_op *op);
void vg_ref_census(vg_ref_machine *machine, const vg_op *op);
void vg_ref_rescale(vg_ref_machine *machine, const vg_op *op);

#endif
