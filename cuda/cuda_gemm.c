/* cuBLASLt, opened at run time. It is column-major: D[m, n] of ours is its [n, m], so that its
 * first operand is our B and its second our A. */
#include "cuda_gemm.h"

#include "library.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>

/* NVIDIA's recommendation for its newest chips. */
enum { WORK_BYTES = 32 << 20 };

/* X(field, name): every function of the library that is called. */
#define FUNCTIONS(X)                                                                               \
    X(create, cublasLtCreate)                                                                      \
    X(destroy, cublasLtDestroy)                                                                    \
    X(version, cublasLtGetVersion)                                                                 \
    X(words, cublasLtGetStatusString)                                                              \
    X(desc_create, cublasLtMatmulDescCreate)                                                       \
    X(desc_destroy, cublasLtMatmulDescDestroy)                                                     \
    X(desc_set, cublasLtMatmulDescSetAttribute)                                                    \
    X(layout_create, cublasLtMatrixLayoutCreate)                                                   \
    X(layout_destroy, cublasLtMatrixLayoutDestroy)                                                 \
    X(preference_create, cublasLtMatmulPreferenceCreate)                                           \
    X(preference_destroy, cublasLtMatmulPreferenceDestroy)                                         \
    X(preference_set, cublasLtMatmulPreferenceSetAttribute)                                        \
    X(heuristic, cublasLtMatmulAlgoGetHeuristic)                                                   \
    X(matmul, cublasLtMatmul)

struct vg_gemm_library {
#define POINTER(field, name) __typeof__(&name) field;
    FUNCTIONS(POINTER)
#undef POINTER
    cublasLtHandle_t handle;
    char version_words[32];
};

struct vg_gemm {
    vg_device *device;
    vg_gemm_shape shape;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c, d; /* of ours */
    cublasLtMatmulAlgo_t algorithm;
    size_t work_bytes;
};

/* Like vg_cuda_check(). The library's own failures of execution are taken for a lost device. */
static vg_status check(vg_device *device, cublasStatus_t status, const char *call)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return VG_OK;
    case CUBLAS_STATUS_ALLOC_FAILED:
        VG_FAIL(VG_NO_MEMORY, "%s: %s: %s", device->name, call, device->gemm->words(status));
    case CUBLAS_STATUS_EXECUTION_FAILED:
    case CUBLAS_STATUS_INTERNAL_ERROR:
    case CUBLAS_STATUS_MAPPING_ERROR:
        VG_TRY(vg_cuda_check(device, cudaGetLastError(), call));
        device->lost = true;
        VG_FAIL(VG_DEVICE_LOST, "%s: %s: %s", device->name, call, device->gemm->words(status));
    default: VG_FAIL(VG_UNSUPPORTED, "%s: %s: %s", device->name, call, device->gemm->words(status));
    }
}
#define CHECK(device, field, ...)                                                                  \
    VG_TRY(check((device), (device)->gemm->field(__VA_ARGS__), "cublasLt " #field))

/* Opening. */

vg_status vg_gemm_open(vg_device *device)
{
    static const char *const files[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                                        NULL};
    /* Both would change what an fp32 product computes with, whatever its type says. */
    unsetenv("NVIDIA_TF32_OVERRIDE");
    unsetenv("CUBLAS_EMULATE_SINGLE_PRECISION");
    vg_gemm_library *library = calloc(1, sizeof *library);
    if (!library)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for a library", device->name);
#define SYMBOL(field, name) {#name, (void **)&library->field},
    const vg_symbol symbols[] = {FUNCTIONS(SYMBOL){NULL, NULL}};
#undef SYMBOL
    vg_status status = vg_library_open(files, symbols);
    device->gemm = library;
    if (status == VG_OK)
        status = check(device, library->create(&library->handle), "cublasLtCreate");
    if (status != VG_OK) {
        device->gemm = NULL;
        free(library);
        return status;
    }
    size_t version = library->version(); /* 13.1.2 is 130102 */
    snprintf(library->version_words, sizeof library->version_words, "cuBLASLt %zu.%zu.%zu",
             version / 10000, version / 100 % 100, version % 100);
    return VG_OK;
}

void vg_gemm_close(vg_device *device)
{
    if (!device->gemm)
        return;
    (void)device->gemm->destroy(device->gemm->handle); /* nothing could be done about it */
    free(device->gemm);
    device->gemm = NULL;
}

const char *vg_gemm_version(const vg_device *device)
{
    return device->gemm ? device->gemm->version_words : "";
}

/* Making. */

static cudaDataType_t type_of(vg_dtype dtype)
{
    return dtype == VG_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* Operand [rows, cols] of ours. */
static vg_status make_layout(vg_device *device, cublasLtMatrixLayout_t *out, vg_dtype dtype,
                             uint64_t rows, uint64_t cols, uint64_t ld)
{
    CHECK(device, layout_create, out, type_of(dtype), cols, rows, (int64_t)ld);
    return VG_OK;
}

static vg_status make_desc(vg_gemm *gemm)
{
    static const cublasLtEpilogue_t epilogues[] = {
        [VG_GEMM_PLAIN] = CUBLASLT_EPILOGUE_DEFAULT,
        [VG_GEMM_BIAS] = CUBLASLT_EPILOGUE_BIAS,
        [VG_GEMM_BIAS_RELU] = CUBLASLT_EPILOGUE_RELU_BIAS,
        [VG_GEMM_SUM_A] = CUBLASLT_EPILOGUE_BGRADB,
    };
    vg_device *device = gemm->device;
    const vg_gemm_shape *s = &gemm->shape;
    const cublasComputeType_t compute = s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t first = s->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = s->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = epilogues[s->epilogue];
    const cudaDataType_t bias = CUDA_R_32F;
    CHECK(device, desc_create, &gemm->desc, compute, CUDA_R_32F);
    CHECK(device, desc_set, gemm->desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    CHECK(device, desc_set, gemm->desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    CHECK(device, desc_set, gemm->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s->epilogue != VG_GEMM_PLAIN)
        CHECK(device, desc_set, gemm->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias,
              sizeof bias);
    return VG_OK;
}

/* The heuristic's first answer among algorithms that add in an order of their own: without sums
 * "in place", whose parts are rounded to the output's type. */
static vg_status choose(vg_gemm *gemm, cublasLtMatmulPreference_t preference)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    vg_device *device = gemm->device;
    const uint64_t most = WORK_BYTES;
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    uint32_t alignment = (uint32_t)vg_dtype_size(gemm->shape.ab);
    if (gemm->shape.alignment)
        alignment = gemm->shape.alignment;
    CHECK(device, preference_set, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
          sizeof most);
    CHECK(device, preference_set, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
          sizeof schemes);
    for (int i = 0; i < 4; i++)
        CHECK(device, preference_set, preference, alignments[i], &alignment, sizeof alignment);
    cublasLtMatmulHeuristicResult_t first;
    int found = 0;
    CHECK(device, heuristic, device->gemm->handle, gemm->desc, gemm->b, gemm->a, gemm->c, gemm->d,
          preference, 1, &first, &found);
    if (found < 1)
        VG_FAIL(VG_UNSUPPORTED, "%s: cuBLASLt has no algorithm for a product", device->name);
    VG_TRY(check(device, first.state, "cublasLt heuristic"));
    gemm->algorithm = first.algo;
    gemm->work_bytes = first.workspaceSize;
    return VG_OK;
}

static vg_status make(vg_gemm *gemm)
{
    vg_device *device = gemm->device;
    const vg_gemm_shape *s = &gemm->shape;
    const uint64_t m = s->m, n = s->n, k = s->k;
    VG_TRY(make_layout(device, &gemm->a, s->ab, s->transpose_a ? k : m, s->transpose_a ? m : k,
                       s->lda));
    VG_TRY(make_layout(device, &gemm->b, s->ab, s->transpose_b ? n : k, s->transpose_b ? k : n,
                       s->ldb));
    VG_TRY(make_layout(device, &gemm->d, s->d, m, n, s->ldd));
    VG_TRY(make_layout(device, &gemm->c, s->adds ? s->c : s->d, m, n, s->adds ? s->ldc : s->ldd));
    VG_TRY(make_desc(gemm));
    cublasLtMatmulPreference_t preference;
    CHECK(device, preference_create, &preference);
    vg_status status = choose(gemm, preference);
    (void)device->gemm->preference_destroy(preference);
    return status;
}

vg_status vg_gemm_make(vg_device *device, const vg_gemm_shape *shape, vg_gemm **out)
{
    if (device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", device->name);
    vg_gemm *gemm = calloc(1, sizeof *gemm);
    if (!gemm)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for a product", device->name);
    gemm->device = device;
    gemm->shape = *shape;
    vg_status status = make(gemm);
    if (status != VG_OK) {
        vg_gemm_free(gemm);
        return status;
    }
    *out = gemm;
    return VG_OK;
}

void vg_gemm_free(vg_gemm *gemm)
{
    if (!gemm)
        return;
    const vg_gemm_library *library = gemm->device->gemm;
    const cublasLtMatrixLayout_t layouts[] = {gemm->a, gemm->b, gemm->c, gemm->d};
    for (int i = 0; i < 4; i++)
        if (layouts[i])
            (void)library->layout_destroy(layouts[i]);
    if (gemm->desc)
        (void)library->desc_destroy(gemm->desc);
    free(gemm);
}

size_t vg_gemm_needs(const vg_gemm *gemm)
{
    return gemm->work_bytes;
}

size_t vg_gemm_work_bytes(void)
{
    return WORK_BYTES;
}

vg_status vg_gemm_issue(const vg_gemm *gemm, cudaStream_t stream, void *work, const void *a,
                        const void *b, const void *c, void *d, void *bias)
{
    const float one = 1, beta = gemm->shape.adds ? 1 : 0;
    vg_device *device = gemm->device;
    if (device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", device->name);
    if (gemm->shape.epilogue != VG_GEMM_PLAIN)
        CHECK(device, desc_set, gemm->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    CHECK(device, matmul, device->gemm->handle, gemm->desc, &one, b, gemm->b, a, gemm->a, &beta,
          gemm->shape.adds ? c : d, gemm->c, d, gemm->d, &gemm->algorithm,
          gemm->work_bytes ? work : NULL, gemm->work_bytes, stream);
    return VG_OK;
}
