/* The vocabulary of the cell headers for the oracle: `vf` is one double. */
#ifndef VG_REF_VF_H
#define VG_REF_VF_H

#include "vg/model.h"

#include <math.h>

typedef double vf;

static inline vf vf_set1(double c)
{
    return c;
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return fma(a, b, c);
}
/* Through exp(-|z|), so that neither tail overflows. */
static inline vf vf_sigmoid(vf z)
{
    double e = exp(-fabs(z));
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}
static inline vf vf_tanh(vf z)
{
    return tanh(z);
}
static inline vf vf_select_le0(vf z, vf a, vf b)
{
    return z <= 0 ? a : b;
}
static inline vf vf_select_nan(vf z, vf a, vf b)
{
    return isnan(z) ? a : b;
}

#include "vg/cells.h"

#endif
