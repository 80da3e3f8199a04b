/* The emulated cuBLASLt against plain loops in double, and what it refuses. */
#include "emulation.h"
#include "library.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstring>
#include <vector>

extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
}

namespace
{

#define OK(call)      assert_int_equal((call), cudaSuccess)
#define LT_OK(call)   assert_int_equal((call), CUBLAS_STATUS_SUCCESS)
#define LENGTH(table) (sizeof(table) / sizeof(table)[0])

enum { WORK = 1 << 20 };

struct shape {
    uint64_t m, n, k;
    bool transpose_a, transpose_b, bf16, tf32, adds;
    uint32_t epilogue;
};

const shape shapes[] = {
    {1, 1, 1, false, false, false, false, false, CUBLASLT_EPILOGUE_DEFAULT},
    {5, 3, 7, false, false, false, false, true, CUBLASLT_EPILOGUE_DEFAULT},
    {5, 3, 7, true, false, false, true, false, CUBLASLT_EPILOGUE_BIAS},
    {9, 17, 300, false, true, false, false, false, CUBLASLT_EPILOGUE_RELU_BIAS},
    {9, 17, 33, true, true, true, false, true, CUBLASLT_EPILOGUE_DEFAULT},
    {9, 4, 33, false, true, true, false, false, CUBLASLT_EPILOGUE_BGRADB},
    {3, 8, 65, true, false, false, true, true, CUBLASLT_EPILOGUE_BGRADA},
    {31, 2, 1000, true, false, true, false, true, CUBLASLT_EPILOGUE_RELU_BIAS},
};

/* A column-major matrix with a leading dimension of its own, in pinned and in device memory. */
struct matrix {
    uint64_t rows, cols, ld;
    bool bf16;
    unsigned char *host, *device;
    size_t bytes() const
    {
        return ld * cols * (bf16 ? 2 : 4);
    }
    double at(uint64_t i, uint64_t j) const
    {
        if (!bf16)
            return ((float *)host)[j * ld + i];
        uint32_t wide = (uint32_t)((uint16_t *)host)[j * ld + i] << 16;
        float value;
        memcpy(&value, &wide, sizeof value);
        return value;
    }
};

/* Small eighths: exact in bf16 and in tf32. */
matrix make_matrix(uint64_t rows, uint64_t cols, bool bf16, uint32_t *state)
{
    matrix x = {rows, cols, rows + 3, bf16, nullptr, nullptr};
    OK(cudaMallocHost((void **)&x.host, x.bytes()));
    OK(cudaMalloc((void **)&x.device, x.bytes()));
    for (uint64_t i = 0; i < x.ld * cols; i++) {
        *state = *state * 1664525u + 1013904223u;
        float value = (float)((int)(*state >> 24) - 128) / 8;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (bf16)
            ((uint16_t *)x.host)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)x.host)[i] = value;
    }
    return x;
}

void free_matrix(const matrix &x)
{
    OK(cudaFreeHost(x.host));
    OK(cudaFree(x.device));
}

cublasLtMatrixLayout_t layout_of(const matrix &x)
{
    cublasLtMatrixLayout_t layout;
    LT_OK(cublasLtMatrixLayoutCreate(&layout, x.bf16 ? CUDA_R_16BF : CUDA_R_32F, x.rows, x.cols,
                                     (int64_t)x.ld));
    return layout;
}

struct product {
    shape s;
    matrix a, b, c, d, bias;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulPreference_t wish;
    cublasLtMatrixLayout_t la, lb, lc, ld;
    void *work;
    cudaStream_t stream;
    cublasLtMatmulHeuristicResult_t found;
};

template <typename T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which, T value)
{
    LT_OK(cublasLtMatmulDescSetAttribute(desc, which, &value, sizeof value));
}

product make_product(const shape &s)
{
    product p;
    uint32_t state = 7;
    p.s = s;
    p.a = make_matrix(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.bf16, &state);
    p.b = make_matrix(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.bf16, &state);
    p.c = make_matrix(s.m, s.n, false, &state);
    p.d = make_matrix(s.m, s.n, false, &state);
    p.bias = make_matrix(s.m > s.n ? s.m : s.n, 1, false, &state);
    OK(cudaStreamCreateWithFlags(&p.stream, cudaStreamNonBlocking));
    OK(cudaMalloc(&p.work, WORK));
    LT_OK(cublasLtCreate(&p.handle));
    LT_OK(cublasLtMatmulDescCreate(
        &p.desc, s.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(p.desc, CUBLASLT_MATMUL_DESC_TRANSB, s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(p.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
    set(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.device);
    LT_OK(cublasLtMatmulPreferenceCreate(&p.wish));
    uint64_t most = WORK;
    LT_OK(cublasLtMatmulPreferenceSetAttribute(p.wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &most, sizeof most));
    p.la = layout_of(p.a);
    p.lb = layout_of(p.b);
    p.lc = layout_of(p.c);
    p.ld = layout_of(p.d);
    return p;
}

void free_product(const product &p)
{
    for (const matrix *x : {&p.a, &p.b, &p.c, &p.d, &p.bias})
        free_matrix(*x);
    for (cublasLtMatrixLayout_t layout : {p.la, p.lb, p.lc, p.ld})
        LT_OK(cublasLtMatrixLayoutDestroy(layout));
    LT_OK(cublasLtMatmulPreferenceDestroy(p.wish));
    LT_OK(cublasLtMatmulDescDestroy(p.desc));
    LT_OK(cublasLtDestroy(p.handle));
    OK(cudaFree(p.work));
    OK(cudaStreamDestroy(p.stream));
}

cublasStatus_t choose(product *p)
{
    int count = 0;
    return cublasLtMatmulAlgoGetHeuristic(p->handle, p->desc, p->la, p->lb, p->lc, p->ld, p->wish,
                                          1, &p->found, &count);
}

cublasStatus_t issue(const product &p, size_t work)
{
    float alpha = 1, beta = p.s.adds ? 1 : 0;
    return cublasLtMatmul(p.handle, p.desc, &alpha, p.a.device, p.la, p.b.device, p.lb, &beta,
                          p.c.device, p.lc, p.d.device, p.ld, &p.found.algo, p.work, work,
                          p.stream);
}

void move(const matrix &x, cudaMemcpyKind kind, cudaStream_t stream)
{
    bool up = kind == cudaMemcpyHostToDevice;
    OK(cudaMemcpyAsync(up ? x.device : x.host, up ? x.host : x.device, x.bytes(), kind, stream));
}

double element(const shape &s, const matrix &x, bool transposed, uint64_t i, uint64_t j)
{
    (void)s;
    return transposed ? x.at(j, i) : x.at(i, j);
}

void check_near(const shape &s, const char *what, uint64_t i, uint64_t j, double got, double want,
                double size)
{
    double tolerance = ldexp(size, -20);
    if (!(fabs(got - want) <= tolerance))
        fail_msg("m %d n %d k %d epilogue %u: %s[%d, %d]: %.9g, expected %.9g +- %.3g", (int)s.m,
                 (int)s.n, (int)s.k, s.epilogue, what, (int)i, (int)j, got, want, tolerance);
}

void check_product(const product &p, const std::vector<double> &c, const std::vector<double> &bias)
{
    const shape &s = p.s;
    for (uint64_t j = 0; j < s.n; j++)
        for (uint64_t i = 0; i < s.m; i++) {
            double want = 0, size = 0;
            for (uint64_t x = 0; x < s.k; x++) {
                double term =
                    element(s, p.a, s.transpose_a, i, x) * element(s, p.b, s.transpose_b, x, j);
                want += term;
                size += fabs(term);
            }
            want += s.adds ? c[j * s.m + i] : 0;
            want += s.epilogue & CUBLASLT_EPILOGUE_BIAS ? bias[i] : 0;
            if (s.epilogue & CUBLASLT_EPILOGUE_RELU)
                want = want > 0 ? want : 0;
            check_near(s, "D", i, j, p.d.at(i, j), want, size + 100);
        }
    bool by_a = s.epilogue == CUBLASLT_EPILOGUE_BGRADA;
    if (!by_a && s.epilogue != CUBLASLT_EPILOGUE_BGRADB)
        return;
    for (uint64_t i = 0; i < (by_a ? s.m : s.n); i++) {
        double want = 0;
        for (uint64_t x = 0; x < s.k; x++)
            want +=
                by_a ? element(s, p.a, s.transpose_a, i, x) : element(s, p.b, s.transpose_b, x, i);
        check_near(s, "bias", i, 0, p.bias.at(i, 0), want, 100);
    }
}

void test_products(void **)
{
    emu_reset(nullptr);
    for (const shape &s : shapes) {
        product p = make_product(s);
        std::vector<double> c, bias;
        for (uint64_t i = 0; i < s.m * s.n; i++)
            c.push_back(p.c.at(i % s.m, i / s.m));
        for (uint64_t i = 0; i < p.bias.rows; i++)
            bias.push_back(p.bias.at(i, 0));
        LT_OK(choose(&p));
        for (const matrix *x : {&p.a, &p.b, &p.c, &p.bias})
            move(*x, cudaMemcpyHostToDevice, p.stream);
        /* Columns of D are rows apart: what lies between must stay. */
        OK(cudaMemsetAsync(p.d.device, 0, p.d.bytes(), p.stream));
        LT_OK(issue(p, WORK));
        move(p.d, cudaMemcpyDeviceToHost, p.stream);
        move(p.bias, cudaMemcpyDeviceToHost, p.stream);
        OK(cudaStreamSynchronize(p.stream));
        check_product(p, c, bias);
        for (uint64_t j = 0; j < s.n; j++)
            for (uint64_t i = s.m; i < p.d.ld; i++)
                assert_true(p.d.at(i, j) == 0);
        free_product(p);
    }
    assert_int_equal(emu_reset(nullptr), 0);
}

/* A product of one number each, in tf32, with ReLU: what the quirks do to it. */
struct quirk {
    uint32_t quirks;
    float a, want;
};
const quirk quirk_rows[] = {
    {0, 1 + 0.75f * 0x1p-10f, 1 + 0x1p-10f},
    {EMU_TF32_TRUNCATES, 1 + 0.75f * 0x1p-10f, 1},
    {0, 0x1p-130f, 0x1p-130f},
    {EMU_FLUSHES_SUBNORMALS, 0x1p-130f, 0},
    {0, NAN, NAN},
    {EMU_RELU_DROPS_NAN, NAN, 0},
};

void test_quirks(void **)
{
    const shape s = {1, 1, 1, false, false, false, true, false, CUBLASLT_EPILOGUE_RELU};
    for (const quirk &row : quirk_rows) {
        emu_settings settings = emu_defaults();
        settings.quirks = row.quirks;
        assert_int_equal(emu_reset(&settings), 0);
        product p = make_product(s);
        *(float *)p.a.host = row.a;
        *(float *)p.b.host = 1;
        LT_OK(choose(&p));
        move(p.a, cudaMemcpyHostToDevice, p.stream);
        move(p.b, cudaMemcpyHostToDevice, p.stream);
        LT_OK(issue(p, WORK));
        move(p.d, cudaMemcpyDeviceToHost, p.stream);
        OK(cudaStreamSynchronize(p.stream));
        double got = p.d.at(0, 0);
        if (!(got == row.want) && !(std::isnan(got) && std::isnan(row.want)))
            fail_msg("quirks %u: %a, expected %a", row.quirks, got, (double)row.want);
        free_product(p);
    }
    assert_int_equal(emu_reset(nullptr), 0);
}

/* One thing is wrong at a time. */
enum fault { SMALL_LD, MISFIT, MIXED, BIAS_TYPE, PLAIN, OTHER_KIND, NO_WORK, UNALIGNED, FAULTS };
cublasStatus_t do_fault(product *p, fault which)
{
    int64_t ld = 4;
    uint64_t rows = 4;
    int32_t bf16 = CUDA_R_16BF;
    switch (which) {
    case SMALL_LD:
        cublasLtMatrixLayoutSetAttribute(p->la, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld);
        return choose(p);
    case MISFIT:
        cublasLtMatrixLayoutSetAttribute(p->lb, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof rows);
        return choose(p);
    case MIXED:
        cublasLtMatrixLayoutSetAttribute(p->lc, CUBLASLT_MATRIX_LAYOUT_TYPE, &bf16, sizeof bf16);
        return choose(p);
    case BIAS_TYPE: set(p->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bf16); return choose(p);
    case PLAIN: return choose(p);
    case OTHER_KIND:
        LT_OK(choose(p));
        set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, (uint32_t)CUBLASLT_EPILOGUE_DEFAULT);
        return issue(*p, WORK);
    case NO_WORK: LT_OK(choose(p)); return issue(*p, 0);
    default:
        LT_OK(choose(p));
        p->d.device += 4;
        return issue(*p, WORK);
    }
}

void test_refusals(void **)
{
    static const cublasStatus_t expected[] = {
        CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_NOT_SUPPORTED,
        CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED,
        CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE};
    const shape s = {9, 17, 300, false, true, false, false, false, CUBLASLT_EPILOGUE_RELU_BIAS};
    for (int i = 0; i < FAULTS; i++) {
        emu_settings settings = emu_defaults();
        settings.plain_library = i == PLAIN;
        emu_reset(&settings);
        product p = make_product(s);
        cublasStatus_t status = do_fault(&p, (fault)i);
        if (status != expected[i])
            fail_msg("fault %d: status %d, expected %d", i, (int)status, (int)expected[i]);
        if (i == UNALIGNED)
            p.d.device -= 4;
        free_product(p);
        assert_int_equal(emu_reset(nullptr), 0);
    }
}

void test_library(void **)
{
    static const char *const files[] = {"libcublasLt.so.13", nullptr};
    static const char *const nvml[] = {"libnvidia-ml.so.1", nullptr};
    void *found = nullptr;
    const vg_symbol there[] = {{"cublasLtMatmul", &found}, {nullptr, nullptr}};
    const vg_symbol missing[] = {{"cublasLtNothing", &found}, {nullptr, nullptr}};
    const vg_symbol nvml_symbols[] = {{"nvmlInit_v2", &found}, {nullptr, nullptr}};
    emu_reset(nullptr);
    assert_int_equal(vg_library_open(files, there), VG_OK);
    assert_ptr_equal(found, (void *)&cublasLtMatmul);
    assert_int_equal(vg_library_open(files, missing), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "cublasLtNothing"));
    assert_int_equal(vg_library_open(nvml, nvml_symbols), VG_OK);
    emu_settings settings = emu_defaults();
    settings.no_products = settings.no_nvml = true;
    emu_reset(&settings);
    assert_int_equal(vg_library_open(files, there), VG_UNSUPPORTED);
    assert_int_equal(vg_library_open(nvml, nvml_symbols), VG_UNSUPPORTED);
    emu_reset(nullptr);
}

} // namespace

int main(void)
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_quirks),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
