/* vf = float with the least that the elementary functions, the activations and the cells ask for:
 * enough to compile their headers alone. */
#ifndef VF_FLOAT_H
#define VF_FLOAT_H

#include "vg/model.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vf;
typedef int32_t vi;
#define VF_FN static inline __attribute__((unused))
VF_FN vf vf_set1(float c)
{
    return c;
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}
VF_FN vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}
VF_FN vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}
VF_FN vf vf_abs(vf v)
{
    return fabsf(v);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    return copysignf(a, b);
}
VF_FN vi vf_bits(vf v)
{
    vi bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
VF_FN vf vi_float(vi v)
{
    vf f;
    memcpy(&f, &v, sizeof f);
    return f;
}
VF_FN vi vi_shift_left(vi v, int by)
{
    return (vi)((uint32_t)v << by);
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return z <= 0 ? a : b;
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return z != z ? a : b;
}

#endif
