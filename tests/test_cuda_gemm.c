/* The products of cuBLASLt as this project calls them: row-major, transposed or not, rows with
 * padding, added to what is there, with each epilogue and type; and what was learnt of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_gemm.h"
#include "cuda_model.h"

#include "vg/tolerance.h"

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

static vg_device *device;

static int open_device(void **state)
{
    run_model run = {.name = "products", .on = CUDA_DEVICE};
    (void)state;
    setenv("NVIDIA_TF32_OVERRIDE", "1", 1);
    setenv("CUBLAS_EMULATE_SINGLE_PRECISION", "1", 1);
    run_open(&run, &(vg_device_options){.threads = 1, .bind = VG_BIND_NONE});
    device = run.device;
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    vg_cuda_close(device);
    return 0;
}

/* An operand: rows × ld numbers, padding NaN, in device memory and as doubles here. */
typedef struct operand {
    uint64_t rows, cols, ld;
    vg_dtype dtype;
    double *host; /* rows × ld */
    void *there;
} operand;

static size_t bytes_of(const operand *o)
{
    return (size_t)(o->rows * o->ld) * vg_dtype_size(o->dtype);
}

static void copy(operand *o, enum cudaMemcpyKind kind)
{
    const size_t count = (size_t)(o->rows * o->ld);
    void *staging;
    assert_int_equal(cudaMallocHost(&staging, bytes_of(o)), cudaSuccess);
    for (size_t i = 0; i < count && kind == cudaMemcpyHostToDevice; i++) {
        const float value = (float)o->host[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (o->dtype == VG_BF16)
            ((uint16_t *)staging)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)staging)[i] = value;
    }
    const bool to = kind == cudaMemcpyHostToDevice;
    assert_int_equal(cudaMemcpyAsync(to ? o->there : staging, to ? staging : o->there, bytes_of(o),
                                     kind, device->stream),
                     cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(device->stream), cudaSuccess);
    for (size_t i = 0; i < count && !to; i++) {
        uint32_t bits;
        float value;
        if (o->dtype == VG_BF16)
            bits = (uint32_t)((uint16_t *)staging)[i] << 16;
        else
            memcpy(&bits, (float *)staging + i, sizeof bits);
        memcpy(&value, &bits, sizeof value);
        o->host[i] = (double)value;
    }
    assert_int_equal(cudaFreeHost(staging), cudaSuccess);
}

/* Numbers in (-1, 1) that the type holds; padding is NaN. */
static operand operand_make(uint64_t rows, uint64_t cols, vg_dtype dtype, uint64_t *seed)
{
    operand o = {.rows = rows, .cols = cols, .ld = (cols + 15) / 16 * 16 + 16, .dtype = dtype};
    o.host = malloc((size_t)(rows * o.ld) * sizeof *o.host);
    assert_non_null(o.host);
    for (uint64_t i = 0; i < rows * o.ld; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        const double value = (double)(int64_t)*seed * 0x1p-63;
        o.host[i] = i % o.ld < cols ? vg_dtype_round(dtype, value) : (double)NAN;
    }
    assert_int_equal(cudaMalloc(&o.there, bytes_of(&o)), cudaSuccess);
    copy(&o, cudaMemcpyHostToDevice);
    return o;
}

static void operand_free(operand *o)
{
    free(o->host);
    assert_int_equal(cudaFree(o->there), cudaSuccess);
}

typedef struct product {
    vg_gemm_shape shape;
    operand a, b, c, d, bias;
} product;

static double element(const operand *o, bool transposed, uint64_t row, uint64_t col)
{
    return transposed ? o->host[col * o->ld + row] : o->host[row * o->ld + col];
}

static void compare(const product *p, const char *what, uint64_t i, uint64_t j, double value,
                    double expected, double tolerance)
{
    const vg_gemm_shape *s = &p->shape;
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%llu x %llu x %llu%s%s%s, %s -> %s, epilogue %d: %s[%llu, %llu] is %.9g, "
                 "expected %.9g within %g",
                 (unsigned long long)s->m, (unsigned long long)s->n, (unsigned long long)s->k,
                 s->transpose_a ? " At" : "", s->transpose_b ? " Bt" : "", s->adds ? " + C" : "",
                 vg_dtype_name(s->tf32 ? VG_TF32 : s->ab), vg_dtype_name(s->d), s->epilogue, what,
                 (unsigned long long)i, (unsigned long long)j, value, expected, tolerance);
}

static void check_element(const product *p, uint64_t i, uint64_t j)
{
    const vg_gemm_shape *s = &p->shape;
    const vg_precision precision =
        vg_precision_of(s->tf32 ? VG_TF32 : VG_FP32, VG_FP32, VG_DENORMALS_KEEP);
    double value = 0, magnitude = 0, squares = 0, more = 0;
    for (uint64_t k = 0; k < s->k; k++) {
        const double term =
            element(&p->a, s->transpose_a, i, k) * element(&p->b, s->transpose_b, k, j);
        value += term;
        magnitude += fabs(term);
        squares += term * term;
    }
    if (s->adds)
        more += p->c.host[i * p->c.ld + j];
    if (s->epilogue == VG_GEMM_BIAS || s->epilogue == VG_GEMM_BIAS_RELU)
        more += p->bias.host[j];
    double expected = value + more;
    if (s->epilogue == VG_GEMM_BIAS_RELU && expected < 0)
        expected = 0;
    const double tolerance =
        vg_tolerance_product(precision, s->k + 1, value, magnitude + fabs(more), squares) +
        vg_tolerance_stored(s->d, expected);
    compare(p, "d", i, j, p->d.host[i * p->d.ld + j], expected, tolerance);
}

static void check(const product *p)
{
    const vg_gemm_shape *s = &p->shape;
    const vg_precision fp32 = vg_precision_of(VG_FP32, VG_FP32, VG_DENORMALS_KEEP);
    for (uint64_t i = 0; i < s->m; i++)
        for (uint64_t j = 0; j < p->d.ld; j++)
            if (j < s->n)
                check_element(p, i, j);
            else
                assert_true(isnan(p->d.host[i * p->d.ld + j])); /* padding is not touched */
    for (uint64_t i = 0; s->epilogue == VG_GEMM_SUM_A && i < s->m; i++) {
        double sum = 0, magnitude = 0;
        for (uint64_t k = 0; k < s->k; k++) {
            sum += element(&p->a, s->transpose_a, i, k);
            magnitude += fabs(element(&p->a, s->transpose_a, i, k));
        }
        compare(p, "sum", 0, i, p->bias.host[i], sum, vg_tolerance_sum(fp32, s->k, magnitude));
    }
}

/* False: the library has no algorithm, which only an epilogue may want. */
static bool multiply(vg_gemm_shape shape)
{
    uint64_t seed = shape.m * 31 + shape.n * 7 + shape.k;
    const bool ta = shape.transpose_a, tb = shape.transpose_b;
    product p = {.a = operand_make(ta ? shape.k : shape.m, ta ? shape.m : shape.k, shape.ab, &seed),
                 .b = operand_make(tb ? shape.n : shape.k, tb ? shape.k : shape.n, shape.ab, &seed),
                 .c = operand_make(shape.m, shape.n, shape.d, &seed),
                 .d = operand_make(shape.m, shape.n, shape.d, &seed),
                 .bias = operand_make(1, shape.m > shape.n ? shape.m : shape.n, VG_FP32, &seed)};
    shape.lda = p.a.ld;
    shape.ldb = p.b.ld;
    shape.ldc = p.c.ld;
    shape.ldd = p.d.ld;
    shape.c = shape.d;
    shape.alignment = 32;
    p.shape = shape;
    vg_gemm *gemm = NULL;
    const vg_status status = vg_gemm_make(device, &shape, &gemm);
    if (status == VG_OK) {
        void *work = NULL;
        const size_t needs = vg_gemm_needs(gemm);
        assert_true(needs <= vg_gemm_work_bytes());
        if (needs)
            assert_int_equal(cudaMalloc(&work, needs), cudaSuccess);
        if (vg_gemm_issue(gemm, device->stream, work, p.a.there, p.b.there, p.c.there, p.d.there,
                          p.bias.there) != VG_OK)
            fail_msg("%s", vg_reason());
        copy(&p.d, cudaMemcpyDeviceToHost);
        copy(&p.bias, cudaMemcpyDeviceToHost);
        check(&p);
        assert_int_equal(cudaFree(work), cudaSuccess);
    } else if (status != VG_UNSUPPORTED || shape.epilogue == VG_GEMM_PLAIN) {
        fail_msg("a product: %s: %s", vg_status_name(status), vg_reason());
    }
    vg_gemm_free(gemm);
    operand *const all[] = {&p.a, &p.b, &p.c, &p.d, &p.bias};
    for (int i = 0; i < 5; i++)
        operand_free(all[i]);
    return status == VG_OK;
}

static const uint64_t sizes[][3] = {{1, 1, 1},    {1, 7, 3},    {5, 1, 300}, {33, 17, 9},
                                    {16, 32, 64}, {3, 70, 257}, {130, 2, 1}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_shapes(void **unused)
{
    (void)unused;
    static const struct {
        vg_dtype ab, d;
        bool tf32;
    } types[] = {
        {VG_FP32, VG_FP32, false},
        {VG_FP32, VG_FP32, true},
        {VG_BF16, VG_FP32, false},
        {VG_BF16, VG_BF16, false},
    };
    for (int i = 0; i < SIZES; i++)
        for (int t = 0; t < 4; t++)
            for (unsigned flags = 0; flags < 8; flags++)
                multiply((vg_gemm_shape){.m = sizes[i][0],
                                         .n = sizes[i][1],
                                         .k = sizes[i][2],
                                         .ab = types[t].ab,
                                         .d = types[t].d,
                                         .tf32 = types[t].tf32,
                                         .transpose_a = flags & 1,
                                         .transpose_b = (flags & 2) != 0,
                                         .adds = (flags & 4) != 0});
}

/* As dense layers ask for them. */
static void test_epilogues(void **unused)
{
    (void)unused;
    int had = 0, asked = 0;
    for (int i = 0; i < SIZES; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            vg_gemm_shape shape = {.m = sizes[i][0],
                                   .n = sizes[i][1],
                                   .k = sizes[i][2],
                                   .ab = bf16 ? VG_BF16 : VG_FP32,
                                   .d = VG_FP32,
                                   .transpose_b = true,
                                   .epilogue = VG_GEMM_BIAS};
            had += multiply(shape);
            shape.epilogue = VG_GEMM_BIAS_RELU;
            had += multiply(shape);
            shape.epilogue = VG_GEMM_SUM_A;
            shape.transpose_b = false;
            shape.transpose_a = true;
            had += multiply(shape);
            asked += 3;
        }
    print_message("the library has %d of %d products with an epilogue\n", had, asked);
#if defined(VG_CUDA_EMULATED)
    assert_int_equal(had, asked);
#endif
}

/* The environment had asked for less than fp32; opening a device would have failed with it. */
static void test_learnt(void **unused)
{
    (void)unused;
    const vg_gemm_traits *traits = &device->traits;
    assert_null(getenv("NVIDIA_TF32_OVERRIDE"));
    assert_null(getenv("CUBLAS_EMULATE_SINGLE_PRECISION"));
    print_message("%s: tf32 %s, subnormals %s, ReLU %s\n", vg_gemm_version(device),
                  traits->tf32_rounds ? "to nearest" : "truncated",
                  traits->keeps_subnormals ? "kept" : "flushed",
                  traits->relu_keeps_nan ? "keeps NaN" : "loses NaN");
    assert_true(strncmp(vg_gemm_version(device), "cuBLASLt ", 9) == 0);
    assert_true(traits->keeps_subnormals); /* every promise of this project rests on it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_learnt),
    };
    const char *absent = cuda_absent();
    if (absent) {
        print_message("skipped: %s\n", absent);
        return CUDA_SKIPPED;
    }
    return cmocka_run_group_tests(tests, open_device, close_device);
}
