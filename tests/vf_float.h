/* vf = float with the least that the activations and cells ask for: enough to compile their headers
 * alone. */
#ifndef VF_FLOAT_H
#define VF_FLOAT_H

#include "vg/model.h"

#include <math.h>

typedef float vf;
#define VF_FN static inline __attribute__((unused))
VF_FN vf vf_set1(float c)
{
    return c;
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}
VF_FN vf vf_sigmoid(vf z)
{
    return 1 / (1 + expf(-z));
}
VF_FN vf vf_tanh(vf z)
{
    return tanhf(z);
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return z <= 0 ? a : b;
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return isnan(z) ? a : b;
}

#endif
