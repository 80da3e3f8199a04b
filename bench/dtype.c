/* Number formats: names, sizes, and rounding to nearest even. */
#include "vg/dtype.h"

#include <math.h>

const char *vg_dtype_name(vg_dtype dtype)
{
#define NAME(id, name, bytes, of_a_case) name,
    static const char *const names[] = {VG_DTYPES(NAME)};
#undef NAME
    return (unsigned)dtype < VG_DTYPE_COUNT ? names[dtype] : "unknown";
}

size_t vg_dtype_size(vg_dtype dtype)
{
#define SIZE(id, name, bytes, of_a_case) bytes,
    static const size_t sizes[] = {VG_DTYPES(SIZE)};
#undef SIZE
    return (unsigned)dtype < VG_DTYPE_COUNT ? sizes[dtype] : 0;
}

/* The exponent range of fp32 with `bits` of mantissa. Scaling by powers of two is exact here: the
 * quantum is at least 2^-149, and rint() rounds half to even. */
static double round_to_bits(double value, int bits)
{
    if (!isfinite(value) || value == 0)
        return value;
    int exponent;
    frexp(value, &exponent); /* |value| in [2^(exponent - 1), 2^exponent) */
    int unit = (exponent - 1 < -126 ? -126 : exponent - 1) - bits;
    double rounded = ldexp(rint(ldexp(value, -unit)), unit);
    return fabs(rounded) >= 0x1p128 ? copysign(INFINITY, value) : rounded;
}

double vg_dtype_round(vg_dtype dtype, double value)
{
    switch (dtype) {
    case VG_FP32: /* the conversion rounds, but would flush subnormals on a thread that does */
        return fabs(value) >= 0x1p-125 && fabs(value) <= 0x1p126 ? (double)(float)value
                                                                 : round_to_bits(value, 23);
    case VG_TF32: return round_to_bits(value, 10);
    case VG_BF16: return round_to_bits(value, 7);
    default: return value;
    }
}

double vg_dtype_min_normal(vg_dtype dtype)
{
    switch (dtype) {
    case VG_FP64: return 0x1p-1022;
    case VG_U8: return 1;
    default: return 0x1p-126;
    }
}

double vg_dtype_min_subnormal(vg_dtype dtype)
{
    switch (dtype) {
    case VG_FP64: return 0x1p-1074;
    case VG_BF16: return 0x1p-133;
    case VG_U8: return 1;
    default: return 0x1p-149;
    }
}
