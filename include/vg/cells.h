/* Every cell's equations over `vf` (see activations.h, which this includes), and by kind for a
 * caller to whom `kind` is a constant. */
#include "vg/activations.h"

#include "vg/cells/gru.h"
#include "vg/cells/lstm.h"
#include "vg/cells/rnn.h"

VF_FN void vg_cell_fwd(vg_model_kind kind, vg_activation activation, const vf *x, const vf *h,
                       const vf *s, vf *s1, vf *k)
{
    switch (kind) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        vg_##id##_fwd(activation, x, h, s, s1, k);                                                 \
        break;
#include "vg/cells.def"
#undef VG_CELL
    default: break;
    }
}

VF_FN void vg_cell_bwd(vg_model_kind kind, vg_activation activation, const vf *k, const vf *s,
                       const vf *s1, vf *ds1, vf *dx, vf *dh, vf *ds)
{
    switch (kind) {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    case VG_##id:                                                                                  \
        vg_##id##_bwd(activation, k, s, s1, ds1, dx, dh, ds);                                      \
        break;
#include "vg/cells.def"
#undef VG_CELL
    default: break;
    }
}
