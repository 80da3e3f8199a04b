/* The vector vocabulary with one lane: any processor. It also says what every name means; the other
 * headers of this folder say only what differs.
 *   vf, vi, vd           lanes of float, of int32, and half as many (scalar: one) of double;
 *                        operators + - * / and unary minus on vf and vd, + - & | << >> on vi
 *   VF_LANES             lanes of vf; VF_HALVES vectors of double hold one vf
 *   vf_load_n, vf_store_n   the first n lanes, 0 <= n <= VF_LANES; other lanes read as 0, and
 *                        memory beyond is not touched. Loads and stores need no alignment.
 *   vf_stream(p, v)     a store past the caches where there is one; p aligned to the whole vector
 *   vf_fma(a, b, c)      a·b + c rounded once; vf_mul_add may round twice where that is faster
 * (only here): for long sums, whose bits no two instruction sets share anyway vf_max(a, b) a > b ?
 * a : b, vf_min(a, b) = a < b ? a : b: b where either is NaN vf_copysign(a, b)    |a| with the sign
 * of b vf_select_gt(x, y, a, b)  x > y ? a : b (NaN takes b) vf_sum(v)            all lanes, in a
 * fixed order of halves vf_transpose(r)      r[i][j] <-> r[j][i], VF_LANES vectors in place
 *   vf_bits, vi_float    the same bits as the other type
 *   vi_flag_lt/eq(a, b)  1 where true, else 0 (signed)
 *   vd_half(v, i)        lanes i·VF_LANES/VF_HALVES and on, as doubles (exact)
 * Bits: every function but vf_sum and vf_mul_add gives the same bits in all headers, payloads of
 * NaN apart. */
#ifndef VG_SIMD_H
#define VG_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VF_ISA    scalar
#define VF_LANES  1
#define VF_HALVES 1
#define VF_FN     static inline __attribute__((always_inline, unused))

typedef float vf;
typedef int32_t vi;
typedef double vd;

VF_FN vf vf_set1(float c)
{
    return c;
}
VF_FN vf vf_zero(void)
{
    return 0;
}
VF_FN vf vf_load(const float *p)
{
    return *p;
}
VF_FN void vf_store(float *p, vf v)
{
    *p = v;
}
VF_FN void vf_stream(float *p, vf v)
{
    vf_store(p, v);
}
VF_FN vf vf_load_n(const float *p, unsigned n)
{
    return n ? *p : 0;
}
VF_FN void vf_store_n(float *p, vf v, unsigned n)
{
    if (n)
        *p = v;
}
VF_FN vf vf_broadcast(const float *p)
{
    return *p;
}
/* The C library's where the target has no instruction for it: right, and slow. */
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return __builtin_fmaf(a, b, c);
}
VF_FN vf vf_mul_add(vf a, vf b, vf c)
{
    return a * b + c;
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
    return __builtin_fabsf(v);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    return __builtin_copysignf(a, b);
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return z <= 0 ? a : b;
}
VF_FN vf vf_select_gt(vf x, vf y, vf a, vf b)
{
    return x > y ? a : b;
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return z != z ? a : b;
}
VF_FN float vf_sum(vf v)
{
    return v;
}
VF_FN void vf_transpose(vf r[VF_LANES])
{
    (void)r;
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
VF_FN vi vi_set1(int32_t c)
{
    return c;
}
/* Left shift of the bits (of a signed lane too). */
VF_FN vi vi_shift_left(vi v, int by)
{
    return (vi)((uint32_t)v << by);
}
VF_FN vi vi_flag_lt(vi a, vi b)
{
    return a < b;
}
VF_FN vi vi_flag_eq(vi a, vi b)
{
    return a == b;
}
VF_FN vi vi_max(vi a, vi b)
{
    return a > b ? a : b;
}
VF_FN void vi_store(int32_t *p, vi v)
{
    *p = v;
}

VF_FN vd vd_zero(void)
{
    return 0;
}
VF_FN vd vd_half(vf v, int i)
{
    (void)i;
    return v;
}
VF_FN vd vd_fma(vd a, vd b, vd c)
{
    return __builtin_fma(a, b, c);
}
VF_FN void vd_store(double *p, vd v)
{
    *p = v;
}

#endif
