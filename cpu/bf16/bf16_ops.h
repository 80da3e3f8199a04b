/* What the ops of bf16 share. */
#ifndef VG_BF16_OPS_H
#define VG_BF16_OPS_H

#include "cpu_exec.h"
#include "sizes.h"

static inline size_t vg_bf16_pairs(size_t k)
{
    return (k + 1) / 2;
}

static inline vg_bf16 *vg_bf16_at(const vg_exec *exec, vg_mat m, size_t row, size_t col)
{
    return (vg_bf16 *)vg_at(exec, m) + row * m.ld + col;
}

/* A row of a bf16 window as pairs; m.ld / 2 from row to row. */
static inline const float *vg_bf16_row(const vg_exec *exec, vg_mat m, size_t row)
{
    return (const float *)(const void *)vg_bf16_at(exec, m, row, 0);
}

/* Packs rows of bf16 into panels as vg_pack() does, each [pairs of k][vectors · lanes]: B[k, j] at
 * from[k·row + j], columns [first, + count), `to` where panel 0 begins. */
void vg_bf16_pack_rows(const vg_bf16_kernels *kernels, uint32_t vectors, float *to,
                       const vg_bf16 *from, size_t row, size_t k, size_t first, size_t count);

/* Windows as the kernels of kernels.h take them, [rows, cols] from (row, col) on: an fp32 window
 * where it stands, of a bf16 one a copy in `memory`, written back at the end. */
enum { VG_STAGE_OUTS = 12 };

typedef struct vg_staged {
    vg_mat mat;
    size_t row, col, rows, units, gate, gates;
    vg_gates_in from;
} vg_staged;

typedef struct vg_stage {
    const vg_job *job;
    float *memory; /* what is left of it; vg_stage_size() a window */
    uint32_t count;
    vg_staged out[VG_STAGE_OUTS];
} vg_stage;

static inline size_t vg_stage_size(size_t rows, size_t cols)
{
    return rows * vg_round_up(cols, 16);
}

/* Null where the window is absent. */
vg_rows_in vg_stage_in(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows, size_t cols);
vg_rows vg_stage_out(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows, size_t cols);
/* `gates` times `units` columns, `gate` columns from one to the next, from (row, col) on. */
vg_gates_in vg_stage_gates_in(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows,
                              size_t units, size_t gate, size_t gates);
vg_gates vg_stage_gates_out(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows,
                            size_t units, size_t gate, size_t gates);
void vg_stage_end(vg_stage *stage);

/* bf16_dense_forward.c, bf16_dense_backward.c, bf16_signals.c; sizes as in vg_ops. */
void vg_bf16_dense_fwd(const vg_job *job);
void vg_bf16_dense_bwd_data(const vg_job *job);
void vg_bf16_dense_bwd_weights(const vg_job *job);
size_t vg_bf16_dense_fwd_scratch(const vg_device *device, const vg_op *op);
size_t vg_bf16_dense_bwd_scratch(const vg_device *device, const vg_op *op);
extern const vg_signals vg_bf16_signals;
size_t vg_bf16_signals_scratch(const vg_device *device, const vg_op *op);

#endif
