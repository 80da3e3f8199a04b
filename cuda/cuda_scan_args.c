/* A scan's arguments as every regime's kernels take them. */
#include "cuda_exec.h"

static void windows(const vg_exec *exec, const vg_mat *mats, vg_window *out)
{
    for (int i = 0; i < VG_MAX_STATES; i++)
        out[i] = vg_exec_window(exec, mats[i]);
}

void vg_scan_fwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_fwd_args *out)
{
    const vg_scan_fwd *s = &op->scan_fwd;
    *out = (vg_scan_fwd_args){
        .preact_x = vg_exec_window(exec, s->preact_x),
        .weight_hh = vg_exec_window(exec, s->weight_hh),
        .bias_hh = vg_exec_window(exec, s->bias_hh),
        .y = vg_exec_window(exec, s->y),
        .reserve = vg_exec_window(exec, s->reserve),
        .t0 = op->t0,
        .t1 = op->t1,
        .batch = op->batch,
        .units = s->y.cols,
        .activation = op->activation,
        .tf32 = exec->program->model.dtype == VG_TF32,
    };
    windows(exec, s->state0, out->state0);
}

void vg_scan_bwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_bwd_args *out)
{
    const vg_scan_bwd *s = &op->scan_bwd;
    *out = (vg_scan_bwd_args){
        .reserve = vg_exec_window(exec, s->reserve),
        .y = vg_exec_window(exec, s->y),
        .dy = vg_exec_window(exec, s->dy),
        .weight_hh = vg_exec_window(exec, s->weight_hh),
        .dgates_x = vg_exec_window(exec, s->dgates_x),
        .dgates_h = vg_exec_window(exec, s->dgates_h),
        .dh = vg_exec_window(exec, s->dh),
        .dc = vg_exec_window(exec, s->dc),
        .t0 = op->t0,
        .t1 = op->t1,
        .batch = op->batch,
        .units = s->y.cols,
        .activation = op->activation,
        .tf32 = exec->program->model.dtype == VG_TF32,
        .dy_wide = s->dy.rows && s->dy.dtype != exec->program->storage,
    };
    windows(exec, s->state0, out->state0);
    windows(exec, s->dstateT, out->dstateT);
    windows(exec, s->dstate0, out->dstate0);
}
