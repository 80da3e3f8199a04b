/* Scans of any dtype: how a recurrence is shared out among threads, and the walk over its steps.
 * What a dtype brings is a vg_scan_type. A product reads its operands in floats, of which one may
 * hold several elements of K (bf16/bf16.h). */
#ifndef VG_CPU_SCAN_H
#define VG_CPU_SCAN_H

#include "cpu_exec.h"
#include "sizes.h"

/* Up to so many rows are asked for from the other threads' caches before the product, and the next
 * panel is not: so short a product hides nothing. */
enum { VG_SCAN_FETCHED_ROWS = 4 };

/* How a scan is shared out: the product's shape, this thread's units and rows. */
typedef struct vg_scan_plan {
    size_t units, gates, batch, k; /* k: floats along the step's reduction */
    uint32_t groups, vectors;      /* of columns a unit in a panel; vectors a panel */
    size_t panel_units, panel_floats;
    bool by_batch;
    bool streams;                        /* the weights fit no near cache */
    bool turns;                          /* every other step walks the panels from the last on */
    size_t unit, unit_end, row, row_end; /* this thread's */
    size_t packed_at;                    /* this thread's first panel, floats into the pack */
    size_t panels;                       /* this thread's */
} vg_scan_plan;

/* One of a thread's panels. `width`: columns of the product, all gates of its units in whole
 * vectors; the last panel may be narrower than the plan's. */
typedef struct vg_scan_panel {
    float *weights;
    size_t unit, units, width;
    ptrdiff_t next; /* the walk's next panel, floats from this one; 0: the near cache has it */
} vg_scan_panel;

/* A dense product beside the steps of a scan. */
typedef struct vg_side vg_side;

/* A scan as one thread runs it. */
typedef struct vg_scan {
    const vg_job *job;
    const vg_scan_type *type;
    const vg_gemm_kernels *gemm;
    vg_scan_plan plan;
    size_t chunk;  /* rows of a tile, at most */
    float *packed; /* the weights of all threads */
    float *tile;   /* this thread's product, [rows, panel width] */
    float *staged; /* this thread's memory for staging, right behind its tile */
    float *carry;  /* what comes back into the states, of all threads; vg_scan_carry() */
    vg_side *side; /* null: none */
} vg_scan;

/* What a dtype brings. A tile is rows [row, +rows) of a panel's units, with vg_scan_product() done
 * by it where it fits best: forward the cell's step t after the product with the states before,
 * backward the cell's step t back after the product with the gates of step t + 1, which there is
 * but for the last step. */
struct vg_scan_type {
    const vg_gemm_kernels *(*gemm)(const vg_device *device);
    uint32_t elements; /* of K in a float of the product's operands */
    uint32_t staged;   /* windows of a tile's rows and units that may be staged at once */
    /* Columns [unit, +n) of W_hh, whose rows are K, as a panel `vectors` wide. */
    void (*pack_rows)(const vg_job *job, uint32_t vectors, float *to, vg_mat weight, size_t unit,
                      size_t n);
    void (*fwd_tile)(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                     size_t rows);
    void (*bwd_tile)(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                     size_t rows);
};

/* scan_layer.c */

/* A layer's two ops in the list: first the dense one forward, first the scan backward. */
typedef struct vg_layer {
    const vg_op *dense, *scan;
} vg_layer;

vg_layer vg_layer_of(const vg_op *first);
/* Whether ops [index, +2) are a layer whose dense op is the scan's neighbour in every step. */
bool vg_layer_at(const vg_program *program, uint32_t index, vg_layer *out);

/* scan_beside.c */

/* Step t of the scan is about to begin. */
void vg_side_step(vg_side *side, uint64_t t);
/* to[j] = the product of a row, of k floats, with a panel, and steps of the side's. False, and
 * nothing is done, where there is no step of the side's to do, or no kernel for such a panel. */
bool vg_side_product(vg_side *side, const vg_scan_panel *panel, size_t k, const float *row,
                     float *to);
/* Some steps of the side, a vg_side, by themselves. False: there are none to do. */
bool vg_side_meanwhile(void *side);

/* scan_plan.c */

/* The share of one of `threads` threads. */
vg_scan_plan vg_scan_plan_make(const vg_device *device, const vg_scan_type *type, const vg_op *op,
                               uint32_t thread, uint32_t threads);
/* Cycles of a step on so many threads, roughly. */
double vg_scan_step_cycles(const vg_device *device, const vg_scan_type *type, const vg_op *op,
                           uint32_t threads);
/* The panel that stands at `place` in the walk of step t. */
vg_scan_panel vg_scan_panel_at(const vg_scan_plan *plan, float *packed, uint64_t t, size_t place);
/* Rows of a tile, so that it stays in the first level; at least 1. */
size_t vg_scan_chunk(const vg_scan_plan *plan);
/* Floats of a thread's memory for staging, and of that and its tile together. */
size_t vg_scan_staged_size(const vg_scan_type *type, const vg_scan_plan *plan);
size_t vg_scan_thread_size(const vg_device *device, const vg_scan_type *type,
                           const vg_scan_plan *plan);
/* Floats from one batch row of a carry to the next. */
static inline size_t vg_scan_carry_row(const vg_scan_plan *plan)
{
    return vg_round_up(plan->units, 16);
}

/* scan.c */

/* This thread's part of a scan, with its weights packed where the schedule says so; after it every
 * thread may start on the steps. */
void vg_scan_begin(vg_scan *scan, const vg_job *job);
/* Forward steps [first, last) in order, or backward from the last to the first: a whole scan in one
 * or in adjacent pieces. No thread is behind another afterwards where units are shared out. */
void vg_scan_steps(const vg_scan *scan, uint64_t first, uint64_t last);

/* Inside a tile: tile = the product of step t, forward of the states before it, backward of the
 * gates of step t. */
void vg_scan_product(const vg_scan *scan, uint64_t t, const vg_scan_panel *panel, size_t row,
                     size_t rows);
/* What comes back into a state apart from the product, from (row, unit) on. */
static inline vg_rows vg_scan_carry(const vg_scan *scan, uint32_t state, size_t row, size_t unit)
{
    size_t ld = vg_scan_carry_row(&scan->plan);
    return (vg_rows){scan->carry + (state * scan->plan.batch + row) * ld + unit, ld};
}

#endif
