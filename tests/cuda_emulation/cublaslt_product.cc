/* A product of the emulated cuBLASLt: operands as its compute type takes them, sums in fp32
 * (cublaslt_dot.cc). */
#include "cublaslt.h"

#include "emulation.h"

#include <cmath>
#include <cstring>
#include <vector>

namespace
{

using emu::dot;
using emu::layout;
using emu::product;

float from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* To nearest, ties to even, at `dropped` bits of the significand; NaN stays NaN. */
uint32_t rounded(float value, uint32_t dropped)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return bits | 0x400000u;
    uint32_t half = (1u << (dropped - 1)) - 1;
    return (bits + half + (bits >> dropped & 1u)) & ~((1u << dropped) - 1);
}

/* A number as a product takes it, or leaves it. */
float taken(float value, bool tf32, uint32_t quirks)
{
    uint32_t bits;
    if (quirks & EMU_FLUSHES_SUBNORMALS && std::fpclassify(value) == FP_SUBNORMAL)
        return std::copysign(0.0f, value);
    if (!tf32)
        return value;
    memcpy(&bits, &value, sizeof bits);
    bits = quirks & EMU_TF32_TRUNCATES ? bits & ~0x1fffu : rounded(value, 13);
    memcpy(&value, &bits, sizeof value);
    return value;
}

float read(const void *at, int32_t type, uint64_t index)
{
    if (type == CUDA_R_16BF)
        return from_bf16(((const uint16_t *)at)[index]);
    return ((const float *)at)[index];
}

void write(void *at, int32_t type, uint64_t index, float value)
{
    if (type == CUDA_R_16BF)
        ((uint16_t *)at)[index] = (uint16_t)(rounded(value, 16) >> 16);
    else
        ((float *)at)[index] = value;
}

/* op(A) by rows, or op(B) by columns: `count` vectors of k, side by side. `along`: the elements of
 * a vector are neighbours in memory. */
void gather(const void *at, const layout &l, uint64_t count, uint64_t k, bool along, bool tf32,
            uint32_t quirks, std::vector<float> &out)
{
    out.resize(count * k);
    uint64_t ld = (uint64_t)l.ld;
    for (uint64_t i = 0; i < count; i++)
        for (uint64_t x = 0; x < k; x++) {
            float value = read(at, l.type, along ? i * ld + x : x * ld + i);
            out[i * k + x] = taken(value, tf32, quirks);
        }
}

float relu(float x, bool keeps_nan)
{
    if (x != x)
        return keeps_nan ? x : 0;
    return x > 0 ? x : 0;
}

/* The bias gradient: Σ over k of `count` vectors. */
void write_sums(const product &p, const std::vector<float> &vectors, uint64_t count, uint64_t k,
                std::vector<float> &ones)
{
    int32_t type = p.desc.bias_type < 0 ? p.d.type : p.desc.bias_type;
    ones.resize(k);
    for (uint64_t x = 0; x < k; x++)
        ones[x] = 1;
    for (uint64_t i = 0; i < count; i++)
        write(p.desc.bias, type, i, dot(&vectors[i * k], ones.data(), k));
}

/* Not on the stack: streams take turns on the host's, which ThreadSanitizer would call a race. */
struct vectors {
    std::vector<float> a, b, ones;
};

} // namespace

namespace emu
{

void multiply(const product &p)
{
    uint64_t m = product_m(p.desc, p.a), n = product_n(p.desc, p.b), k = product_k(p.desc, p.a);
    bool tf32 = p.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    uint32_t epilogue = p.desc.epilogue;
    vectors *v = new vectors;
    gather(p.at_a, p.a, m, k, p.desc.transpose_a != CUBLAS_OP_N, tf32, p.quirks, v->a);
    gather(p.at_b, p.b, n, k, p.desc.transpose_b == CUBLAS_OP_N, tf32, p.quirks, v->b);
    const float *a = v->a.data(), *b = v->b.data();
    /* An algorithm does as it likes with its work area. */
    if (p.work_bytes)
        memset(p.work, 0xff, p.work_bytes);
    int32_t bias_type = p.desc.bias_type < 0 ? p.d.type : p.desc.bias_type;
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++) {
            float value = p.alpha * dot(&a[i * k], &b[j * k], k);
            if (p.beta != 0)
                value += p.beta * read(p.at_c, p.c.type, j * (uint64_t)p.c.ld + i);
            if (epilogue & CUBLASLT_EPILOGUE_BIAS)
                value += read(p.desc.bias, bias_type, i);
            if (epilogue & CUBLASLT_EPILOGUE_RELU)
                value = relu(value, !(p.quirks & EMU_RELU_DROPS_NAN));
            write(p.at_d, p.d.type, j * (uint64_t)p.d.ld + i, taken(value, false, p.quirks));
        }
    if (epilogue == CUBLASLT_EPILOGUE_BGRADA)
        write_sums(p, v->a, m, k, v->ones);
    if (epilogue == CUBLASLT_EPILOGUE_BGRADB)
        write_sums(p, v->b, n, k, v->ones);
    delete v;
}

} // namespace emu
