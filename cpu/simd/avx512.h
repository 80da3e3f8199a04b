/* The vector vocabulary (scalar.h) over AVX-512 F, DQ, BW and VL: 16 lanes. */
#ifndef VG_SIMD_H
#define VG_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define VF_ISA    avx512
#define VF_LANES  16
#define VF_HALVES 2
#define VF_FN     static inline __attribute__((always_inline, unused))

typedef __m512 vf;
typedef int32_t vi __attribute__((vector_size(64)));
typedef __m512d vd;

VF_FN vf vf_set1(float c)
{
    return _mm512_set1_ps(c);
}
VF_FN vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
VF_FN vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
VF_FN void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}
VF_FN void vf_stream(float *p, vf v)
{
    _mm512_stream_ps(p, v);
}
VF_FN __mmask16 vf_mask_n(unsigned n)
{
    return (__mmask16)((1u << n) - 1);
}
VF_FN vf vf_load_n(const float *p, unsigned n)
{
    return _mm512_maskz_loadu_ps(vf_mask_n(n), p);
}
VF_FN void vf_store_n(float *p, vf v, unsigned n)
{
    _mm512_mask_storeu_ps(p, vf_mask_n(n), v);
}
VF_FN vf vf_broadcast(const float *p)
{
    return _mm512_set1_ps(*p);
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
VF_FN vf vf_mul_add(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
VF_FN vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
VF_FN vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
VF_FN vf vf_abs(vf v)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), v);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    __m512i sign = _mm512_set1_epi32(INT32_MIN); /* 0xd8: the third selects b, else a */
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b), sign, 0xd8));
}
VF_FN vf vf_select_gt(vf x, vf y, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_GT_OQ), b, a);
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_LE_OQ), b, a);
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(z, z, _CMP_UNORD_Q), b, a);
}
VF_FN float vf_sum(vf v)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
VF_FN void vf_transpose(vf r[VF_LANES])
{
    vf pairs[16], quads[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            quads[i + 2 * j] = _mm512_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
            quads[i + 2 * j + 1] = _mm512_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) { /* a 4 × 4 transpose of 128-bit lanes */
        vf even0 = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0x88);
        vf odd0 = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0xdd);
        vf even1 = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0x88);
        vf odd1 = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(even0, even1, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(even0, even1, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(odd0, odd1, 0xdd);
    }
}

VF_FN vi vf_bits(vf v)
{
    return (vi)v;
}
VF_FN vf vi_float(vi v)
{
    return (vf)v;
}
VF_FN vi vi_set1(int32_t c)
{
    return (vi)_mm512_set1_epi32(c);
}
VF_FN vi vi_shift_left(vi v, int by)
{
    return (vi)_mm512_slli_epi32((__m512i)v, (unsigned)by);
}
VF_FN vi vi_flag_lt(vi a, vi b)
{
    __mmask16 is = _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b);
    return (vi)_mm512_maskz_set1_epi32(is, 1);
}
VF_FN vi vi_flag_eq(vi a, vi b)
{
    __mmask16 is = _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
    return (vi)_mm512_maskz_set1_epi32(is, 1);
}
VF_FN vi vi_max(vi a, vi b)
{
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
}
VF_FN void vi_store(int32_t *p, vi v)
{
    _mm512_storeu_si512(p, (__m512i)v);
}

VF_FN vd vd_zero(void)
{
    return _mm512_setzero_pd();
}
VF_FN vd vd_half(vf v, int i)
{
    return _mm512_cvtps_pd(i ? _mm512_extractf32x8_ps(v, 1) : _mm512_castps512_ps256(v));
}
VF_FN vd vd_fma(vd a, vd b, vd c)
{
    return _mm512_fmadd_pd(a, b, c);
}
VF_FN void vd_store(double *p, vd v)
{
    _mm512_storeu_pd(p, v);
}

#endif
