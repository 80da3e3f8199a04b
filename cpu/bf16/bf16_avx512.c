/* The kernels of bf16 for AVX-512 with AVX512_BF16: the register tiles of gemm.inc over pairs. */
#include "simd/avx512.h"

#include "bf16.h"

VF_FN vf pair_dot(vf a, vf b, vf sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}
/* What a tile does with an element of K: multiplies and adds, here both halves of a pair. */
#define vf_mul_add pair_dot
#include "gemm.inc"

static double dot_burst(uint64_t rounds, float *sink)
{
    return 2 * fma_burst(rounds, sink);
}

VF_FN __m256i halves_load(const vg_bf16 *p, unsigned n)
{
    return n == VF_LANES ? _mm256_loadu_si256((const __m256i *)p)
                         : _mm256_maskz_loadu_epi16(vf_mask_n(n), p);
}

VF_FN vf halves_widen(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

VF_FN void widen_at(const vg_bf16 *from, float *to, unsigned n)
{
    vf wide = halves_widen(halves_load(from, n));
    if (n == VF_LANES)
        vf_store(to, wide);
    else
        vf_store_n(to, wide, n);
}

static void widen(size_t rows, size_t cols, const vg_bf16 *from, size_t from_row, float *to,
                  size_t to_row)
{
    for (size_t i = 0; i < rows; i++, from += from_row, to += to_row) {
        size_t j = 0;
        for (; j + VF_LANES <= cols; j += VF_LANES)
            widen_at(from + j, to + j, VF_LANES);
        if (j < cols)
            widen_at(from + j, to + j, (unsigned)(cols - j));
    }
}

VF_FN void narrow_at(const float *from, vg_bf16 *to, unsigned n)
{
    vf wide = n == VF_LANES ? vf_load(from) : vf_load_n(from, n);
    __m256i halves = (__m256i)_mm512_cvtneps_pbh(wide);
    if (n == VF_LANES)
        _mm256_storeu_si256((__m256i *)to, halves);
    else
        _mm256_mask_storeu_epi16(to, vf_mask_n(n), halves);
}

static void narrow(size_t rows, size_t cols, const float *from, size_t from_row, vg_bf16 *to,
                   size_t to_row)
{
    for (size_t i = 0; i < rows; i++, from += from_row, to += to_row) {
        size_t j = 0;
        for (; j + VF_LANES <= cols; j += VF_LANES)
            narrow_at(from + j, to + j, VF_LANES);
        if (j < cols)
            narrow_at(from + j, to + j, (unsigned)(cols - j));
    }
}

VF_FN vf pair_at(const vg_bf16 *even, const vg_bf16 *odd, unsigned n)
{
    __m512i low = _mm512_cvtepu16_epi32(halves_load(even, n));
    if (!odd)
        return _mm512_castsi512_ps(low);
    __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves_load(odd, n)), 16);
    return _mm512_castsi512_ps(_mm512_or_si512(low, high));
}

VF_FN void pair_store(const vg_bf16 *even, const vg_bf16 *odd, float *to, float *sums, unsigned n)
{
    const vf ones = _mm512_castsi512_ps(_mm512_set1_epi32(0x3f803f80));
    vf pair = pair_at(even, odd, n);
    if (n == VF_LANES)
        vf_store(to, pair);
    else
        vf_store_n(to, pair, n);
    if (sums)
        vf_store_n(sums, pair_dot(pair, ones, vf_load_n(sums, n)), n);
}

static void pair_rows(size_t rows, size_t cols, const vg_bf16 *from, size_t from_row, float *to,
                      size_t to_row, float *sums)
{
    for (size_t i = 0; i < rows; i += 2, from += 2 * from_row, to += to_row) {
        const vg_bf16 *odd = i + 1 < rows ? from + from_row : NULL;
        size_t j = 0;
        for (; j + VF_LANES <= cols; j += VF_LANES)
            pair_store(from + j, odd ? odd + j : NULL, to + j, sums ? sums + j : NULL, VF_LANES);
        if (j < cols)
            pair_store(from + j, odd ? odd + j : NULL, to + j, sums ? sums + j : NULL,
                       (unsigned)(cols - j));
    }
}

const vg_bf16_kernels vg_bf16_kernels_avx512 = {
    .name = "vdpbf16ps",
    .gemm = &gemm_kernels,
    .dot_burst = dot_burst,
    .widen = widen,
    .narrow = narrow,
    .pair_rows = pair_rows,
};
