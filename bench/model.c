/* The tables of cells and activations. */
#include "vg/model.h"

#include <assert.h>

const vg_cell_info *vg_cell_find(vg_model_kind kind)
{
#define VG_CELL(id, gates, states, kept, differ, activation, forget)                               \
    {#id, gates, states, kept, differ, activation, forget},
    static const vg_cell_info cells[] = {
#include "vg/cells.def"
    };
#undef VG_CELL
    assert(kind > VG_stack && kind < VG_MODEL_COUNT);
    return &cells[kind - VG_stack - 1];
}

const vg_activation_info *vg_activation_find(vg_activation activation)
{
#define VG_ACTIVATION(id, stack, rnn, bound, kink) {#id, stack, rnn, kink, bound},
    static const vg_activation_info activations[] = {
#include "vg/activations.def"
    };
#undef VG_ACTIVATION
    assert(activation < VG_ACTIVATION_COUNT);
    return &activations[activation];
}

const char *vg_model_kind_name(vg_model_kind kind)
{
    return kind == VG_stack ? "stack" : vg_cell_find(kind)->name;
}
