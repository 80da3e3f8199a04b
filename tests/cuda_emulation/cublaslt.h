/* Inside the emulated cuBLASLt: what its opaque descriptors hold, and a product made of them. */
#ifndef VG_EMULATION_CUBLASLT_H
#define VG_EMULATION_CUBLASLT_H

#include <cublasLt.h>

#include <cstdint>

namespace emu
{

struct layout {
    uint64_t rows, cols;
    int64_t ld, stride;
    int32_t type, order, batch;
};

struct product_desc {
    int32_t compute, scale, pointer_mode, transpose_a, transpose_b, transpose_c, fill, bias_type;
    uint32_t epilogue;
    void *bias;
};

struct preference {
    uint64_t workspace;
    uint32_t search, reduction, alignment[4]; /* of A, B, C, D */
    float waves;
    uint64_t implementations;
};

/* What the heuristic answers: that it is one, what it was asked for, what it relies on. */
struct algorithm {
    uint64_t magic, kind, workspace;
    uint32_t alignment[4];
};

/* D = alpha op(A) op(B) + beta C, column-major, and the epilogue. */
struct product {
    product_desc desc;
    layout a, b, c, d;
    const void *at_a, *at_b, *at_c;
    void *at_d, *work;
    uint64_t work_bytes;
    float alpha, beta;
    uint32_t quirks; /* of emulation.h */
};

inline uint64_t product_m(const product_desc &desc, const layout &a)
{
    return desc.transpose_a == CUBLAS_OP_N ? a.rows : a.cols;
}
inline uint64_t product_k(const product_desc &desc, const layout &a)
{
    return desc.transpose_a == CUBLAS_OP_N ? a.cols : a.rows;
}
inline uint64_t product_n(const product_desc &desc, const layout &b)
{
    return desc.transpose_b == CUBLAS_OP_N ? b.cols : b.rows;
}
inline uint64_t element_bytes(int32_t type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}
/* Bytes from the first element to the last of a column-major matrix. */
inline uint64_t layout_bytes(const layout &l)
{
    return l.rows && l.cols ? ((l.cols - 1) * (uint64_t)l.ld + l.rows) * element_bytes(l.type) : 0;
}

/* cublaslt_rules.cc */
/* The sizes agree. */
bool conforms(const product_desc &desc, const layout &a, const layout &b, const layout &c,
              const layout &d);
/* What there are algorithms for; sizes have been looked at. */
bool supported(const product_desc &desc, const layout &a, const layout &b, const layout &c,
               const layout &d);
/* What an algorithm is for, but sizes and addresses. */
uint64_t kind_of(const product_desc &desc, const layout &a, const layout &d);
/* Bytes of the work area. */
uint64_t work_wanted(const product_desc &desc, const layout &a, const layout &d,
                     const preference &wish);
/* A report where the library would write or read outside; else what it answers. */
cublasStatus_t check_addresses(const product &p, const algorithm &chosen);
cublasStatus_t check_work(const algorithm &chosen, const void *work, size_t bytes);

/* cublaslt_dot.cc */
/* The sum of k products. */
float dot(const float *a, const float *b, uint64_t k);

/* cublaslt_product.cc */
void multiply(const product &p);

} // namespace emu

#endif
