/* The row of bf16 in the table of dtypes, and what its ops share: staging and packing. */
#include "bf16_ops.h"
#include "sizes.h"

#include <assert.h>

static size_t scratch(const vg_device *device, const vg_op *op, const vg_op *next)
{
    (void)next;
    switch (op->kind) {
    case VG_DENSE_FWD: return vg_bf16_dense_fwd_scratch(device, op);
    case VG_DENSE_BWD_DATA:
    case VG_DENSE_BWD_WEIGHTS: return vg_bf16_dense_bwd_scratch(device, op);
    case VG_CLIP: return vg_clip_scratch(op);
    default: return vg_bf16_signals_scratch(device, op);
    }
}

static void enter(const vg_device *device)
{
    if (device->bf16->enter)
        device->bf16->enter();
}

static void leave(const vg_device *device)
{
    if (device->bf16->leave)
        device->bf16->leave();
}

const vg_ops vg_bf16_ops = {
    .storage = VG_BF16,
    .flushes = true,
    .enter = enter,
    .leave = leave,
    .signals = &vg_bf16_signals,
    .dense_fwd = vg_bf16_dense_fwd,
    .dense_bwd_data = vg_bf16_dense_bwd_data,
    .dense_bwd_weights = vg_bf16_dense_bwd_weights,
    .scan = &vg_scan_bf16,
    .scratch = scratch,
};

void vg_bf16_pack_rows(const vg_bf16_kernels *kernels, uint32_t vectors, float *to,
                       const vg_bf16 *from, size_t row, size_t k, size_t first, size_t count)
{
    size_t width = (size_t)vectors * kernels->gemm->lanes, pairs = vg_bf16_pairs(k);
    for (size_t j = first; j < first + count; j += width) {
        size_t n = vg_least(width, first + count - j);
        float *panel = to + j * pairs;
        if (n < width)
            memset(panel, 0, width * pairs * sizeof *panel);
        kernels->pair_rows(k, n, from + j, row, panel, width, NULL);
    }
}

/* Staging. */

/* Memory for rows of so many columns; *ld from row to row. */
static float *stage_take(vg_stage *stage, size_t rows, size_t cols, size_t *ld)
{
    float *at = stage->memory;
    *ld = vg_stage_size(1, cols);
    stage->memory += rows * *ld;
    return at;
}

static void stage_read(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows, size_t cols,
                       float *to, size_t ld)
{
    stage->job->device->bf16->widen(rows, cols, vg_bf16_at(stage->job->exec, m, row, col), m.ld, to,
                                    ld);
}

vg_rows_in vg_stage_in(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows, size_t cols)
{
    vg_gates_in g = vg_stage_gates_in(stage, m, row, col, rows, cols, 0, 1);
    return (vg_rows_in){g.at, g.ld};
}

vg_rows vg_stage_out(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows, size_t cols)
{
    vg_gates g = vg_stage_gates_out(stage, m, row, col, rows, cols, 0, 1);
    return (vg_rows){g.at, g.ld};
}

vg_gates_in vg_stage_gates_in(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows,
                              size_t units, size_t gate, size_t gates)
{
    if (m.rows == 0)
        return (vg_gates_in){NULL, 0, 0};
    if (m.dtype != VG_BF16)
        return (vg_gates_in){vg_floats(stage->job->exec, m) + row * m.ld + col, m.ld, gate};
    size_t ld, one = vg_stage_size(1, units);
    float *at = stage_take(stage, rows, gates * one, &ld);
    for (size_t g = 0; g < gates; g++)
        stage_read(stage, m, row, col + g * gate, rows, units, at + g * one, ld);
    return (vg_gates_in){at, ld, one};
}

vg_gates vg_stage_gates_out(vg_stage *stage, vg_mat m, size_t row, size_t col, size_t rows,
                            size_t units, size_t gate, size_t gates)
{
    if (m.rows == 0)
        return (vg_gates){NULL, 0, 0};
    if (m.dtype != VG_BF16)
        return (vg_gates){vg_floats(stage->job->exec, m) + row * m.ld + col, m.ld, gate};
    size_t ld, one = vg_stage_size(1, units);
    float *at = stage_take(stage, rows, gates * one, &ld);
    assert(stage->count < VG_STAGE_OUTS);
    stage->out[stage->count++] = (vg_staged){m, row, col, rows, units, gate, gates, {at, ld, one}};
    return (vg_gates){at, ld, one};
}

void vg_stage_end(vg_stage *stage)
{
    for (uint32_t i = 0; i < stage->count; i++) {
        const vg_staged *o = &stage->out[i];
        for (size_t g = 0; g < o->gates; g++)
            stage->job->device->bf16->narrow(
                o->rows, o->units, o->from.at + g * o->from.gate, o->from.ld,
                vg_bf16_at(stage->job->exec, o->mat, o->row, o->col + g * o->gate), o->mat.ld);
    }
    stage->count = 0;
}
