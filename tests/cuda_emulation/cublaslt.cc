/* The emulated cuBLASLt as it is called: descriptors, the heuristic's one answer, a product.
 * Batches, other orders than columns, alpha and beta in device memory and types other than fp32 and
 * bf16 are not emulated: no algorithm. */
#include "cublaslt.h"
#include "runtime.h"

#include <algorithm>
#include <cstring>

struct cublasLtContext {
    int device;
};

namespace
{

using emu::algorithm;
using emu::layout;
using emu::preference;
using emu::product;
using emu::product_desc;

static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "the library's is larger");
const uint64_t MAGIC = 0x656d756c61746564u;

/* A descriptor is opaque to its user; here it goes on with what it holds. */
template <typename Opaque, typename T> struct holder : Opaque {
    T held;
};
layout &inside(cublasLtMatrixLayout_t opaque)
{
    return static_cast<holder<cublasLtMatrixLayoutOpaque_t, layout> *>(opaque)->held;
}
product_desc &inside(cublasLtMatmulDesc_t opaque)
{
    return static_cast<holder<cublasLtMatmulDescOpaque_t, product_desc> *>(opaque)->held;
}
preference &inside(cublasLtMatmulPreference_t opaque)
{
    return static_cast<holder<cublasLtMatmulPreferenceOpaque_t, preference> *>(opaque)->held;
}

cublasStatus_t status_of(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation: return CUBLAS_STATUS_ALLOC_FAILED;
    case cudaErrorInvalidValue: return CUBLAS_STATUS_INVALID_VALUE;
    case cudaErrorNotSupported: return CUBLAS_STATUS_NOT_SUPPORTED;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInitializationError: return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorNoKernelImageForDevice: return CUBLAS_STATUS_ARCH_MISMATCH;
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchOutOfResources: return CUBLAS_STATUS_EXECUTION_FAILED;
    default: return CUBLAS_STATUS_INTERNAL_ERROR;
    }
}

/* Descriptors are the host's alone: no device is needed, and a lost one does not matter. */
const unsigned HOST_ONLY = emu::NO_DEVICE | emu::NO_CONTEXT;
#define LT_CALL(...)                                                                               \
    emu::call call_(__func__, __VA_ARGS__);                                                        \
    if (call_.error)                                                                               \
    return status_of(call_.error)

template <typename T> T *remember(const char *kind)
{
    T *made = new T();
    emu::the_machine().library[made] = kind;
    return made;
}

/* As what it was made. */
template <typename T> cublasStatus_t forget(void *opaque, const char *caller)
{
    emu::call call_(caller, cudaErrorInitializationError, HOST_ONLY | emu::RELEASES);
    if (!opaque)
        return CUBLAS_STATUS_SUCCESS;
    if (!emu::the_machine().library.erase(opaque))
        emu_report("%s: %p was not made, or is gone", caller, opaque);
    delete static_cast<T *>(opaque);
    return status_of(call_.error);
}

void want(const void *opaque, const char *caller)
{
    if (!emu::the_machine().library.count(opaque))
        emu_report("%s: %p was not made, or is gone", caller, opaque);
}

template <typename T> cublasStatus_t put(T *to, const void *from, size_t bytes)
{
    if (!from || bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    LT_CALL(cudaErrorInitializationError);
    if (!handle)
        return CUBLAS_STATUS_INVALID_VALUE;
    *handle = remember<cublasLtContext>("cuBLASLt handles");
    (*handle)->device = emu::current_device();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return forget<cublasLtContext>(handle, __func__);
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
    }
    return "unknown status";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "success";
    case CUBLAS_STATUS_ALLOC_FAILED: return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE: return "an unsupported value or parameter was passed";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "the GPU program failed to execute";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "the functionality is not supported";
    default: return cublasLtGetStatusName(status);
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    LT_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    if (!out)
        return CUBLAS_STATUS_INVALID_VALUE;
    *out = remember<holder<cublasLtMatrixLayoutOpaque_t, layout>>("cuBLASLt layouts");
    inside(*out) = {rows, cols, ld, 0, (int32_t)type, CUBLASLT_ORDER_COL, 1};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t opaque)
{
    return forget<holder<cublasLtMatrixLayoutOpaque_t, layout>>(opaque, __func__);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t opaque,
                                                cublasLtMatrixLayoutAttribute_t which,
                                                const void *from, size_t bytes)
{
    LT_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(opaque, __func__);
    layout &l = inside(opaque);
    switch (which) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE: return put(&l.type, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return put(&l.order, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS: return put(&l.rows, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS: return put(&l.cols, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD: return put(&l.ld, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return put(&l.batch, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return put(&l.stride, from, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    LT_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    if (!out)
        return CUBLAS_STATUS_INVALID_VALUE;
    *out = remember<holder<cublasLtMatmulDescOpaque_t, product_desc>>("cuBLASLt products");
    product_desc &desc = inside(*out);
    desc = product_desc();
    desc.compute = (int32_t)compute;
    desc.scale = (int32_t)scale;
    desc.fill = CUBLAS_FILL_MODE_FULL;
    desc.bias_type = -1;
    desc.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t opaque)
{
    return forget<holder<cublasLtMatmulDescOpaque_t, product_desc>>(opaque, __func__);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *from, size_t bytes)
{
    LT_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(opaque, __func__);
    product_desc &desc = inside(opaque);
    switch (which) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return put(&desc.compute, from, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return put(&desc.scale, from, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return put(&desc.pointer_mode, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA: return put(&desc.transpose_a, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return put(&desc.transpose_b, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSC: return put(&desc.transpose_c, from, bytes);
    case CUBLASLT_MATMUL_DESC_FILL_MODE: return put(&desc.fill, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return put(&desc.epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return put(&desc.bias, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return put(&desc.bias_type, from, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    LT_CALL(cudaErrorMemoryAllocation, HOST_ONLY);
    if (!out)
        return CUBLAS_STATUS_INVALID_VALUE;
    *out = remember<holder<cublasLtMatmulPreferenceOpaque_t, preference>>("cuBLASLt preferences");
    inside(*out) = {0,
                    CUBLASLT_SEARCH_BEST_FIT,
                    CUBLASLT_REDUCTION_SCHEME_MASK,
                    {256, 256, 256, 256},
                    0,
                    UINT64_MAX};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t opaque)
{
    return forget<holder<cublasLtMatmulPreferenceOpaque_t, preference>>(opaque, __func__);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *from, size_t bytes)
{
    LT_CALL(cudaErrorInvalidValue, HOST_ONLY);
    want(opaque, __func__);
    preference &p = inside(opaque);
    switch (which) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE: return put(&p.search, from, bytes);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return put(&p.workspace, from, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return put(&p.reduction, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return put(&p.alignment[0], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return put(&p.alignment[1], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return put(&p.alignment[2], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return put(&p.alignment[3], from, bytes);
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT: return put(&p.waves, from, bytes);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK: return put(&p.implementations, from, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc_,
                                              cublasLtMatrixLayout_t a_, cublasLtMatrixLayout_t b_,
                                              cublasLtMatrixLayout_t c_, cublasLtMatrixLayout_t d_,
                                              cublasLtMatmulPreference_t wish_, int requested,
                                              cublasLtMatmulHeuristicResult_t *results,
                                              int *returned)
{
    LT_CALL(cudaErrorNotSupported);
    for (const void *thing : {(void *)handle, (void *)desc_, (void *)a_, (void *)b_, (void *)c_,
                              (void *)d_, (void *)wish_})
        want(thing, __func__);
    if (requested < 1 || !results || !returned)
        return CUBLAS_STATUS_INVALID_VALUE;
    *returned = 0;
    const product_desc &desc = inside(desc_);
    const layout &a = inside(a_), &b = inside(b_), &c = inside(c_);
    const layout &d = inside(d_);
    const preference &wish = inside(wish_);
    for (const layout *l : {&a, &b, &c, &d})
        if (!l->rows || !l->cols || l->ld < (int64_t)l->rows)
            return CUBLAS_STATUS_INVALID_VALUE;
    if (!conforms(desc, a, b, c, d))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!supported(desc, a, b, c, d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    algorithm chosen = {MAGIC, kind_of(desc, a, d), work_wanted(desc, a, d, wish), {}};
    memcpy(chosen.alignment, wish.alignment, sizeof chosen.alignment);
    results[0] = cublasLtMatmulHeuristicResult_t();
    memcpy(results[0].algo.data, &chosen, sizeof chosen);
    results[0].workspaceSize = chosen.workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    results[0].wavesCount = 1;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc_,
                              const void *alpha, const void *at_a, cublasLtMatrixLayout_t a_,
                              const void *at_b, cublasLtMatrixLayout_t b_, const void *beta,
                              const void *at_c, cublasLtMatrixLayout_t c_, void *at_d,
                              cublasLtMatrixLayout_t d_, const cublasLtMatmulAlgo_t *algo,
                              void *work, size_t work_bytes, cudaStream_t stream)
{
    LT_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    for (const void *thing :
         {(void *)handle, (void *)desc_, (void *)a_, (void *)b_, (void *)c_, (void *)d_})
        want(thing, __func__);
    if (!alpha || !beta)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!algo)
        emu_report("cublasLtMatmul: no algorithm: ask the heuristic once, when a product is made");
    product p = {inside(desc_),
                 inside(a_),
                 inside(b_),
                 inside(c_),
                 inside(d_),
                 at_a,
                 at_b,
                 at_c,
                 at_d,
                 work,
                 0,
                 *(const float *)alpha,
                 *(const float *)beta,
                 emu_current()->quirks};
    algorithm chosen;
    memcpy(&chosen, algo->data, sizeof chosen);
    if (handle->device != emu::current_device() || !conforms(p.desc, p.a, p.b, p.c, p.d))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!supported(p.desc, p.a, p.b, p.c, p.d) || chosen.magic != MAGIC ||
        chosen.kind != kind_of(p.desc, p.a, p.d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    cublasStatus_t status = check_addresses(p, chosen);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_work(chosen, work, work_bytes);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    p.work_bytes = chosen.workspace;
    emu::the_machine().product_alignment =
        *std::min_element(chosen.alignment, chosen.alignment + 4);
    return status_of(emu::issue(stream, call_, [p] { emu::multiply(p); }));
}

} /* extern "C" */
