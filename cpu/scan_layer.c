/* A recurrent layer in a program: a scan and the dense op beside it in the list. */
#include "scan.h"

static bool is_whole(const vg_op *scan, vg_mat window)
{
    return scan->t0 == 0 && scan->t1 * scan->batch == window.rows;
}

vg_layer vg_layer_of(const vg_op *first)
{
    bool forward = first->kind == VG_DENSE_FWD;
    return (vg_layer){forward ? first : first + 1, forward ? first + 1 : first};
}

bool vg_layer_at(const vg_program *program, uint32_t index, vg_layer *out)
{
    const vg_op *op = &program->ops[index];
    if (index + 2 > program->op_count || op[0].pass != op[1].pass)
        return false;
    *out = vg_layer_of(op);
    if (op[0].pass == VG_PASS_FWD && op[0].kind == VG_DENSE_FWD && op[1].kind == VG_SCAN_FWD) {
        const vg_dense_fwd *d = &op[0].dense_fwd;
        return op[0].activation == VG_identity && !d->skip.rows && !d->winner.rows &&
               vg_same_window(d->y, op[1].scan_fwd.preact_x) && is_whole(&op[1], d->y);
    }
    if (op[0].pass == VG_PASS_BWD_DATA && op[0].kind == VG_SCAN_BWD &&
        op[1].kind == VG_DENSE_BWD_DATA) {
        const vg_dense_bwd_data *d = &op[1].dense_bwd_data;
        return !d->residual && !d->winner.rows && vg_same_window(d->dy, d->dz) &&
               vg_same_window(d->dy, op[0].scan_bwd.dgates_x) && is_whole(&op[0], d->dy);
    }
    return false;
}
