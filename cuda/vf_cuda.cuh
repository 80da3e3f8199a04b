/* vf = float, as a kernel computes: the vocabulary that elementary.h asks for, then its functions,
 * the activations and the cells over it. Every operation rounds as IEEE says (division too, which
 * nvcc leaves so without --use_fast_math), so these functions give the CPU devices' bits. */
#ifndef VG_VF_CUDA_CUH
#define VG_VF_CUDA_CUH

#include "device.cuh"

#include "vg/model.h"

#define VF_FN VG_DEVICE

typedef float vf;
typedef int32_t vi;

VF_FN vf vf_set1(float c)
{
    return c;
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}
/* b where either is NaN, as x86 has it: fmaxf and fminf would lose the NaN. */
VF_FN vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}
VF_FN vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}
VF_FN vi vf_bits(vf v)
{
    return float_bits(v);
}
VF_FN vf vi_float(vi v)
{
    return bits_float(v);
}
VF_FN vi vi_shift_left(vi v, int by)
{
    return (vi)((uint32_t)v << by);
}
VF_FN vf vf_abs(vf v)
{
    return vi_float(vf_bits(v) & INT32_MAX);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    return vi_float((vf_bits(a) & INT32_MAX) | (vf_bits(b) & INT32_MIN));
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return z <= 0 ? a : b;
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return z != z ? a : b;
}

#include "vg/elementary.h"

#include "vg/cells.h"

/* What cells.def says of a cell, for a kernel to whom the kind is a constant. */
template <vg_model_kind kind> struct cell_shape;
#define VG_CELL(id, gates_, states_, kept_, differ_, takes, forget)                                \
    template <> struct cell_shape<VG_##id> {                                                       \
        enum { gates = gates_, states = states_, kept = kept_, differ = differ_ };                 \
    };
#include "vg/cells.def"
#undef VG_CELL

/* Kept values are of the storage's type, but fp32 beside a second state. */
template <int states, typename W> struct reserve_type {
    typedef float type;
};
template <typename W> struct reserve_type<1, W> {
    typedef W type;
};

#endif
