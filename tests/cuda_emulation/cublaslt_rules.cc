/* What the emulated cuBLASLt has algorithms for, and what it finds wrong with a product. */
#include "cublaslt.h"
#include "runtime.h"

namespace emu
{

enum { WORK_ALIGNMENT = 16, SPLIT_K = 256 };

static bool is_type(int32_t type)
{
    return type == CUDA_R_32F || type == CUDA_R_16BF;
}

bool conforms(const product_desc &desc, const layout &a, const layout &b, const layout &c,
              const layout &d)
{
    uint64_t m = product_m(desc, a), n = product_n(desc, b);
    uint64_t k = product_k(desc, a);
    return (desc.transpose_b == CUBLAS_OP_N ? b.rows : b.cols) == k && c.rows == m && c.cols == n &&
           d.rows == m && d.cols == n;
}

bool supported(const product_desc &desc, const layout &a, const layout &b, const layout &c,
               const layout &d)
{
    bool tf32 = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    bool plain = desc.compute == CUBLAS_COMPUTE_32F || desc.compute == CUBLAS_COMPUTE_32F_PEDANTIC;
    bool types = a.type == b.type && c.type == d.type && is_type(a.type) && is_type(d.type);
    if (a.type == CUDA_R_32F)
        types = types && d.type == CUDA_R_32F && (plain || tf32);
    else
        types = types && plain;
    for (const layout *l : {&a, &b, &c, &d})
        types = types && l->order == CUBLASLT_ORDER_COL && l->batch == 1;
    if (!types || desc.scale != CUDA_R_32F || desc.transpose_c != CUBLAS_OP_N ||
        desc.fill != CUBLAS_FILL_MODE_FULL || desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST)
        return false;
    if (desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT)
        return true;
    if (emu_current()->plain_library)
        return false;
    switch (desc.epilogue) {
    case CUBLASLT_EPILOGUE_RELU: return true;
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB: return desc.bias_type < 0 || desc.bias_type == d.type;
    default: return false;
    }
}

uint64_t kind_of(const product_desc &desc, const layout &a, const layout &d)
{
    uint64_t kind = (uint64_t)desc.compute;
    for (uint64_t part : {(uint64_t)desc.transpose_a, (uint64_t)desc.transpose_b,
                          (uint64_t)desc.epilogue, (uint64_t)a.type, (uint64_t)d.type})
        kind = kind * 1031 + part;
    return kind;
}

static bool is_aligned(const void *at, uint64_t alignment)
{
    return (uintptr_t)at % alignment == 0;
}

/* A long sum is split; the parts want room. */
uint64_t work_wanted(const product_desc &desc, const layout &a, const layout &d,
                     const preference &wish)
{
    uint64_t k = product_k(desc, a), bytes = 2 * d.rows * d.cols * sizeof(float);
    return k >= SPLIT_K && bytes <= wish.workspace ? bytes : 0;
}

/* What the library would find out, or not: then it writes or reads where it should not. */
cublasStatus_t check_addresses(const product &p, const algorithm &chosen)
{
    const void *const at[] = {p.at_a, p.at_b, p.at_c, p.at_d};
    const layout *const layouts[] = {&p.a, &p.b, &p.c, &p.d};
    for (int i = 0; i < 4; i++) {
        if (i == 2 && p.beta == 0)
            continue;
        if (!at[i])
            return CUBLAS_STATUS_INVALID_VALUE;
        if (!is_aligned(at[i], chosen.alignment[i]))
            return CUBLAS_STATUS_INVALID_VALUE;
        if (!emu_is_device_memory(at[i], layout_bytes(*layouts[i])))
            emu_report("cublasLtMatmul: operand %c at %p: %llu bytes are no device memory",
                       "ABCD"[i], at[i], (unsigned long long)layout_bytes(*layouts[i]));
    }
    if (p.at_c == p.at_d && p.beta != 0 && (p.c.ld != p.d.ld || p.c.type != p.d.type))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p.desc.epilogue == CUBLASLT_EPILOGUE_DEFAULT || p.desc.epilogue == CUBLASLT_EPILOGUE_RELU)
        return CUBLAS_STATUS_SUCCESS;
    if (!p.desc.bias)
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t count = p.desc.epilogue == CUBLASLT_EPILOGUE_BGRADB ? p.d.cols : p.d.rows;
    int32_t type = p.desc.bias_type < 0 ? p.d.type : p.desc.bias_type;
    if (!emu_is_device_memory(p.desc.bias, count * element_bytes(type)))
        emu_report("cublasLtMatmul: the bias at %p: %llu elements are no device memory",
                   p.desc.bias, (unsigned long long)count);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_work(const algorithm &chosen, const void *work, size_t bytes)
{
    if (bytes < chosen.workspace)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes && (!work || !is_aligned(work, WORK_ALIGNMENT)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes && !emu_is_device_memory(work, bytes))
        emu_report("cublasLtMatmul: the work area at %p: %zu bytes are no device memory", work,
                   bytes);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace emu
