/* The vector vocabulary (scalar.h) over AVX2 and FMA: 8 lanes. */
#ifndef VG_SIMD_H
#define VG_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define VF_ISA    avx2
#define VF_LANES  8
#define VF_HALVES 2
#define VF_FN     static inline __attribute__((always_inline, unused))

typedef __m256 vf;
typedef int32_t vi __attribute__((vector_size(32)));
typedef __m256d vd;

VF_FN vf vf_set1(float c)
{
    return _mm256_set1_ps(c);
}
VF_FN vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
VF_FN vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
VF_FN void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}
VF_FN void vf_stream(float *p, vf v)
{
    _mm256_stream_ps(p, v);
}
static const int32_t vf_mask_table[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
VF_FN __m256i vf_mask_n(unsigned n)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(vf_mask_table + 8 - n));
}
VF_FN vf vf_load_n(const float *p, unsigned n)
{
    return _mm256_maskload_ps(p, vf_mask_n(n));
}
VF_FN void vf_store_n(float *p, vf v, unsigned n)
{
    _mm256_maskstore_ps(p, vf_mask_n(n), v);
}
VF_FN vf vf_broadcast(const float *p)
{
    return _mm256_broadcast_ss(p);
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
VF_FN vf vf_mul_add(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
VF_FN vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
VF_FN vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
VF_FN vf vf_abs(vf v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    vf sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}
VF_FN vf vf_select_gt(vf x, vf y, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_GT_OQ));
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(z, _mm256_setzero_ps(), _CMP_LE_OQ));
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(z, z, _CMP_UNORD_Q));
}
VF_FN float vf_sum(vf v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
VF_FN void vf_transpose(vf r[VF_LANES])
{
    vf pairs[8], quads[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            quads[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
            quads[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
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
    return (vi)_mm256_set1_epi32(c);
}
VF_FN vi vi_shift_left(vi v, int by)
{
    return (vi)_mm256_slli_epi32((__m256i)v, by);
}
VF_FN vi vi_flag_lt(vi a, vi b)
{
    return -(a < b);
}
VF_FN vi vi_flag_eq(vi a, vi b)
{
    return -(a == b);
}
VF_FN vi vi_max(vi a, vi b)
{
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
}
VF_FN void vi_store(int32_t *p, vi v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)v);
}

VF_FN vd vd_zero(void)
{
    return _mm256_setzero_pd();
}
VF_FN vd vd_half(vf v, int i)
{
    return _mm256_cvtps_pd(i ? _mm256_extractf128_ps(v, 1) : _mm256_castps256_ps128(v));
}
VF_FN vd vd_fma(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
}
VF_FN void vd_store(double *p, vd v)
{
    _mm256_storeu_pd(p, v);
}

#endif
