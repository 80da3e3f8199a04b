/* Products of a warp on tensor cores: out[column, row] += Σ weight[column, depth] operand[row,
 * depth] for 16 columns of weights and 8 rows of an operand, added up in fp32.
 *
 *   mma_tf32(c, a, b)   m16n8k8: 8 deep; takes a number's upper 19 bits, the others are dropped
 *   mma_bf16(c, a, b)   m16n8k16: 16 deep; two numbers a word, the first in the lower half
 *
 * a: 4 words, b: 2 words, c: 4 sums of every lane; all lanes of a warp reach them together. Which
 * numbers those are (PTX ISA 8.7, "Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16"), with
 * group = lane / 4 and quad = lane % 4, a word being 1 number deep in tf32 and 2 in bf16:
 *
 *   a[0] a[1]   weight of columns group and group + 8, word quad of the depth
 *   a[2] a[3]   the same, word quad + 4
 *   b[0] b[1]   operand of row group, words quad and quad + 4
 *   c[0] c[1]   of column group, rows 2·quad and 2·quad + 1
 *   c[2] c[3]   of column group + 8, the same rows
 *
 * The order of the sums, their rounding and what becomes of subnormal operands the manual leaves
 * open; the accumulator is at least as precise as fp32 but for its last bit.
 *
 * The depth's order is ours to choose as long as both operands have the same. A step is 64 bytes of
 * a row deep, two products: a lane takes 16 neighbouring bytes, those of its quad, and words 0 and
 * 1 of them go into the first product, 2 and 3 into the second. */
#ifndef VG_MMA_CUH
#define VG_MMA_CUH

#include "device.cuh"

#if defined(__CUDACC__)
#include "mma_ptx.cuh"
#else
#include "mma_emulated.cuh"
#endif

/* Of one product; bytes of a row that a lane and a step take. */
enum { MMA_COLUMNS = 16, MMA_ROWS = 8, MMA_LANE_BYTES = 16, MMA_STEP_BYTES = 64 };

template <typename W> struct mma_depth {
    enum { lane = MMA_LANE_BYTES / sizeof(W), step = MMA_STEP_BYTES / sizeof(W) };
};

VG_DEVICE uint32_t mma_group(uint32_t lane)
{
    return lane / 4;
}
VG_DEVICE uint32_t mma_quad(uint32_t lane)
{
    return lane % 4;
}

/* A lane's 16 bytes as words of a fragment, from floats; rounded to nearest. */
template <typename W> VG_DEVICE void mma_pack(const float *from, uint32_t *words)
{
    VG_UNROLL
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(W) == sizeof(float))
            words[i] = (uint32_t)float_bits(round_tf32(from[i]));
        else {
            W low, high;
            from_float(from[2 * i], &low), from_float(from[2 * i + 1], &high);
            words[i] = low.bits | (uint32_t)high.bits << 16;
        }
    }
}

/* The same from where they stand in memory, aligned. */
template <typename W> VG_DEVICE void mma_load(const W *at, uint32_t *words)
{
    if constexpr (sizeof(W) == sizeof(float)) {
        float read[4];
        load_pack<4>(at, read);
        mma_pack<W>(read, words);
    } else {
        const pack<uint32_t, 4> read = *(const pack<uint32_t, 4> *)(const void *)at;
        VG_UNROLL
        for (int i = 0; i < 4; i++)
            words[i] = read.v[i];
    }
}

/* A step of 16 columns' weights: words of columns group and group + 8. */
struct mma_weights {
    uint32_t a[2][4];
};
VG_DEVICE mma_weights mma_weights_of(const uint32_t *upper, const uint32_t *lower)
{
    return mma_weights{
        {{upper[0], lower[0], upper[1], lower[1]}, {upper[2], lower[2], upper[3], lower[3]}}};
}

/* One step of 16 columns and 8 rows; the two products go into sums of their own where there are. */
template <typename W, int SETS>
VG_DEVICE void mma_step(const mma_weights &w, const uint32_t *operand, float (*c)[4])
{
    VG_UNROLL
    for (int i = 0; i < 2; i++) {
        if constexpr (sizeof(W) == sizeof(float))
            mma_tf32(c[i % SETS], w.a[i], operand + 2 * i);
        else
            mma_bf16(c[i % SETS], w.a[i], operand + 2 * i);
    }
}

#endif
