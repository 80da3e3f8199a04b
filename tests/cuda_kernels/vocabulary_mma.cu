/* The words of mma.cuh, each lane's numbers spelled out as the manual has them. */
#include "vocabulary.h"

#include "mma.cuh"

VG_DEVICE float weight_of(uint32_t column, uint32_t depth)
{
    return (float)((column * 37 + depth * 11 + column * depth) % 29) - 14;
}
VG_DEVICE float operand_of(uint32_t row, uint32_t depth)
{
    return (float)((row * 23 + depth * 13 + row * depth) % 31) - 15;
}

VG_DEVICE uint32_t word(float x)
{
    return (uint32_t)float_bits(x);
}
VG_DEVICE uint32_t word(float low, float high)
{
    bf16 l, h;
    from_float(low, &l), from_float(high, &h);
    return l.bits | (uint32_t)h.bits << 16;
}

/* float [16, 8]; to begin with, each sum's number. */
VG_DEVICE void begin(float *c, uint32_t group, uint32_t quad)
{
    for (uint32_t i = 0; i < 4; i++)
        c[i] = (float)((group + i / 2 * 8) * 8 + 2 * quad + i % 2);
}
VG_DEVICE void store(const float *c, uint32_t group, uint32_t quad, float *out)
{
    for (uint32_t i = 0; i < 4; i++)
        out[(group + i / 2 * 8) * 8 + 2 * quad + i % 2] = c[i];
}

VG_DEVICE void use_tf32(uint32_t group, uint32_t quad, float *out)
{
    uint32_t a[4], b[2];
    float c[4];
    for (uint32_t i = 0; i < 4; i++)
        a[i] = word(weight_of(group + i % 2 * 8, quad + i / 2 * 4));
    for (uint32_t i = 0; i < 2; i++)
        b[i] = word(operand_of(group, quad + i * 4));
    begin(c, group, quad);
    mma_tf32(c, a, b);
    store(c, group, quad, out);
}

VG_DEVICE void use_bf16(uint32_t group, uint32_t quad, float *out)
{
    uint32_t a[4], b[2];
    float c[4];
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t column = group + i % 2 * 8, depth = 2 * quad + i / 2 * 8;
        a[i] = word(weight_of(column, depth), weight_of(column, depth + 1));
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t depth = 2 * quad + i * 8;
        b[i] = word(operand_of(group, depth), operand_of(group, depth + 1));
    }
    begin(c, group, quad);
    mma_bf16(c, a, b);
    store(c, group, quad, out);
}

typedef pack<float, 4> float4_pack;

/* A step as the recurrence takes it: neighbouring numbers of a row to each lane. */
template <typename W> VG_DEVICE void use_step(uint32_t group, uint32_t quad, float *out)
{
    enum { EACH = mma_depth<W>::lane };
    VG_SHARED(float4_pack, rows, 8 * 4);
    float upper[EACH], lower[EACH], c[2][4] = {};
    uint32_t words[3][4];
    W *row = (W *)(void *)rows + (group * 4 + quad) * EACH;
    for (uint32_t i = 0; i < EACH; i++) {
        upper[i] = weight_of(group, quad * EACH + i);
        lower[i] = weight_of(group + 8, quad * EACH + i);
        from_float(operand_of(group, quad * EACH + i), row + i);
    }
    mma_pack<W>(upper, words[0]);
    mma_pack<W>(lower, words[1]);
    mma_load(row, words[2]);
    mma_step<W, 2>(mma_weights_of(words[0], words[1]), words[2], c);
    for (uint32_t i = 0; i < 4; i++)
        c[0][i] += c[1][i];
    store(c[0], group, quad, out);
}

/* Ones times 1 + 3·2^-12, which is 1 + 2^-10 to the nearest and 1 when cut off. */
VG_DEVICE void use_rounding(uint32_t lane, float *out)
{
    const float between[4] = {1 + 3 * 0x1p-12f, 1 + 3 * 0x1p-12f, 0, 0};
    uint32_t ones[4] = {word(1.0f), word(1.0f), word(1.0f), word(1.0f)}, rounded[4];
    uint32_t given[2] = {word(between[0]), word(between[1])};
    float c[2][4] = {};
    mma_pack<float>(between, rounded);
    mma_tf32(c[0], ones, rounded);
    mma_tf32(c[1], ones, given);
    if (lane == 0)
        out[0] = c[0][0], out[1] = c[1][0];
}

/* float [4, 16, 8], then two numbers. */
VG_KERNEL(use_mma, WARP, vocabulary_args)
{
    float *out = (float *)p.out;
    uint32_t lane = lane_index(), group = mma_group(lane), quad = mma_quad(lane);
    use_tf32(group, quad, out);
    use_bf16(group, quad, out + 128);
    use_step<float>(group, quad, out + 256);
    use_step<bf16>(group, quad, out + 384);
    use_rounding(lane, out + 512);
}

vg_kernel vocabulary_mma(void)
{
    return VG_KERNEL_ENTRY(use_mma, WARP, vocabulary_args);
}
