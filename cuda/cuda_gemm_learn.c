/* What the products of this library on this chip do where its documentation is silent. */
#include "cuda_gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Large enough for the kernels that a real product gets: [N, K] times [K, N]. */
enum { N = 64, K = 32 };

typedef struct vg_trial {
    float a[N * K], b[K * N], bias[N], d[N * N];
} vg_trial;

typedef struct vg_bench {
    vg_device *device;
    vg_trial *host, *there; /* pinned; on the device */
    void *work;
} vg_bench;

static vg_status bench_open(vg_bench *bench)
{
    vg_device *device = bench->device;
    VG_CUDA(device, cudaMallocHost((void **)&bench->host, sizeof *bench->host));
    VG_CUDA(device, cudaMalloc((void **)&bench->there, sizeof *bench->there));
    memset(bench->host, 0, sizeof *bench->host);
    return VG_OK;
}

static void bench_close(vg_bench *bench)
{
    if (bench->host)
        (void)cudaFreeHost(bench->host);
    if (bench->there)
        (void)cudaFree(bench->there);
    if (bench->work)
        (void)cudaFree(bench->work);
}

/* d = a b, there and back. */
static vg_status issue(vg_bench *bench, const vg_gemm *gemm)
{
    vg_device *device = bench->device;
    vg_trial *host = bench->host, *there = bench->there;
    if (vg_gemm_needs(gemm) > 0 && !bench->work)
        VG_CUDA(device, cudaMalloc(&bench->work, vg_gemm_work_bytes()));
    VG_CUDA(device,
            cudaMemcpyAsync(there, host, sizeof *host, cudaMemcpyHostToDevice, device->stream));
    VG_TRY(vg_gemm_issue(gemm, device->stream, bench->work, there->a, there->b, NULL, there->d,
                         there->bias));
    VG_CUDA(device, cudaMemcpyAsync(host->d, there->d, sizeof host->d, cudaMemcpyDeviceToHost,
                                    device->stream));
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    return VG_OK;
}

/* d = a b with the epilogue; the inputs are zeros again afterwards. */
static vg_status multiply(vg_bench *bench, bool tf32, vg_gemm_epilogue epilogue)
{
    const vg_gemm_shape shape = {.m = N,
                                 .n = N,
                                 .k = K,
                                 .lda = K,
                                 .ldb = N,
                                 .ldd = N,
                                 .tf32 = tf32,
                                 .ab = VG_FP32,
                                 .d = VG_FP32,
                                 .epilogue = epilogue,
                                 .alignment = 256};
    vg_gemm *gemm;
    VG_TRY(vg_gemm_make(bench->device, &shape, &gemm));
    vg_status status = issue(bench, gemm);
    if (status != VG_OK) /* nothing is left running on what is freed next */
        (void)cudaStreamSynchronize(bench->device->stream);
    vg_gemm_free(gemm);
    memset(bench->host, 0, offsetof(vg_trial, d));
    return status;
}

/* An operand three quarters of the way to the next number of tf32, first as A's, then as B's. */
static vg_status learn_rounding(vg_bench *bench)
{
    const float between = 1 + 0.75f * 0x1p-10f;
    vg_trial *t = bench->host;
    for (int tf32 = 0; tf32 < 2; tf32++) {
        t->a[0] = t->b[N + 1] = between;
        t->b[0] = t->a[K + 1] = 1;
        VG_TRY(multiply(bench, tf32, VG_GEMM_PLAIN));
        const float first = t->d[0], second = t->d[N + 1];
        if (tf32)
            bench->device->traits.tf32_rounds = first >= between && second >= between;
        else if (first != between || second != between)
            VG_FAIL(VG_UNSUPPORTED, "%s: %s computes fp32 products with less than fp32",
                    bench->device->name, vg_gemm_version(bench->device));
    }
    return VG_OK;
}

/* A subnormal operand, and a subnormal product. */
static vg_status learn_subnormals(vg_bench *bench)
{
    vg_trial *t = bench->host;
    t->a[0] = 0x1p-130f;
    t->b[0] = 1;
    t->a[K + 1] = t->b[N + 1] = 0x1p-70f;
    VG_TRY(multiply(bench, false, VG_GEMM_PLAIN));
    bench->device->traits.keeps_subnormals = t->d[0] == 0x1p-130f && t->d[N + 1] == 0x1p-140f;
    return VG_OK;
}

/* A NaN in one row of the product, one in the bias of a column, and a negative number. */
static vg_status learn_relu(vg_bench *bench)
{
    vg_trial *t = bench->host;
    bool *keeps = &bench->device->traits.relu_keeps_nan;
    *keeps = true;
    for (int tf32 = 0; tf32 < 2 && *keeps; tf32++) {
        t->a[0] = t->bias[5] = NAN;
        t->b[0] = t->b[N + 1] = 1;
        t->a[K + 1] = -1;
        vg_status status = multiply(bench, tf32, VG_GEMM_BIAS_RELU);
        *keeps = status == VG_OK && isnan(t->d[0]) && isnan(t->d[N + 5]) && t->d[N + 1] == 0 &&
                 t->d[N + 2] == 0;
        if (status != VG_UNSUPPORTED) /* no such epilogue: then it is not used */
            VG_TRY(status);
    }
    return VG_OK;
}

vg_status vg_gemm_learn(vg_device *device)
{
    vg_bench bench = {.device = device};
    vg_status status = bench_open(&bench);
    if (status == VG_OK)
        status = learn_rounding(&bench);
    if (status == VG_OK)
        status = learn_subnormals(&bench);
    if (status == VG_OK)
        status = learn_relu(&bench);
    bench_close(&bench);
    return status;
}
