/* The limits of a GPU as our own calls reach them: a large square product, and copies within the
 * shared cache and in device memory, by the device's own clock. The sizes follow the chip's, and
 * memory is taken only while they are measured, since a case may need all of it.
 *
 * A level's rate counts bytes read plus bytes written. barrier_s is left unknown: how the steps of
 * a recurrence wait for each other depends on how it runs. */
#include "cuda_gemm.h"
#include "peak_kernels.h"

#include <math.h>

enum {
    TRIES = 4,       /* the first warms up */
    LEAST_TRIES = 2, /* where one takes long */
    TILE = 128,      /* of a product */
    MOST_WAVES = 8,  /* of tiles: enough to fill the chip at the end as well */
    BLOCKS_EACH = 4, /* copying within the cache, of a multiprocessor */
    PATTERN = 1 << 16,
    ALIGNMENT = 256 /* bytes: of what cudaMalloc gives, and of the operands in it */
};
static const double region_s = 2e-3, long_s = 20e-3, least_s = 1e-6;

/* What is timed, and the memory that it works in. */
typedef struct probe {
    vg_device *device;
    unsigned char *memory;
    uint64_t bytes;
    void *work;    /* of the product */
    vg_gemm *gemm; /* null: a copy */
    uint64_t n;    /* the product's three sizes */
    uint64_t blocks, rounds;
} probe;

/* Rows of a square product of several waves of tiles; the chips of tests take small ones. */
static uint64_t product_rows(const vg_chip *chip)
{
    uint64_t waves = chip->multiprocessors / 2;
    waves = waves < 1 ? 1 : waves < MOST_WAVES ? waves : MOST_WAVES;
    return (uint64_t)sqrt((double)(waves * chip->multiprocessors)) * TILE;
}

/* Bytes of one side of the copy in memory: four times what the cache could keep of it. */
static uint64_t memory_side(const vg_chip *chip)
{
    uint64_t most = chip->memory_bytes / 64, least = (uint64_t)chip->multiprocessors << 20;
    uint64_t side = 4 * chip->l2_bytes > least ? 4 * chip->l2_bytes : least;
    side = side < most ? side : most;
    return side / VG_COPY_CHUNK * VG_COPY_CHUNK;
}

/* Fills the memory with repetitions of the pattern; waits, so that the pattern may go. */
static vg_status spread(probe *p, const uint32_t *pattern)
{
    cudaStream_t stream = p->device->stream;
    uint64_t done = PATTERN < p->bytes ? PATTERN : p->bytes, more;
    VG_CUDA(p->device, cudaMemcpyAsync(p->memory, pattern, done, cudaMemcpyHostToDevice, stream));
    for (; done < p->bytes; done += more) {
        more = done < p->bytes - done ? done : p->bytes - done;
        VG_CUDA(p->device, cudaMemcpyAsync(p->memory + done, p->memory, more,
                                           cudaMemcpyDeviceToDevice, stream));
    }
    VG_CUDA(p->device, cudaStreamSynchronize(stream));
    return VG_OK;
}

/* Small numbers of both signs, as nothing is slower or warmer: zeros would be neither. */
static vg_status fill(probe *p, vg_dtype dtype)
{
    const uint32_t keep = dtype == VG_BF16 ? 0x807f807fu : 0x807fffffu;
    const uint32_t half = dtype == VG_BF16 ? 0x3f003f00u : 0x3f000000u;
    uint32_t *pattern, bits = 1;
    VG_CUDA(p->device, cudaMallocHost((void **)&pattern, PATTERN));
    for (size_t i = 0; i < PATTERN / sizeof *pattern; i++) {
        bits ^= bits << 13; /* xorshift32 (Marsaglia) */
        bits ^= bits >> 17;
        bits ^= bits << 5;
        pattern[i] = (bits & keep) | half;
    }
    const vg_status status = spread(p, pattern);
    (void)cudaFreeHost(pattern);
    return status;
}

static vg_status issue(const probe *p)
{
    if (p->gemm) {
        const uint64_t each = p->n * p->n * sizeof(float);
        return vg_gemm_issue(p->gemm, p->device->stream, p->work, p->memory, p->memory + each, NULL,
                             p->memory + 2 * each, NULL);
    }
    const vg_copy_args copy = {p->memory, p->memory + p->blocks * VG_COPY_CHUNK, p->rounds};
    const vg_launch launch = {.kernel = vg_copy_kernel(),
                              .blocks = p->blocks,
                              .threads = vg_copy_kernel().threads,
                              .arguments = &copy};
    return vg_launch_kernel(p->device, p->device->stream, &launch);
}

/* Seconds of `times` issues, one after the other. */
static vg_status region(const probe *p, uint32_t times, double *seconds)
{
    vg_device *device = p->device;
    float ms = 0;
    VG_CUDA(device, cudaEventRecord(device->start, device->stream));
    for (uint32_t i = 0; i < times; i++)
        VG_TRY(issue(p));
    VG_CUDA(device, cudaEventRecord(device->stop, device->stream));
    VG_CUDA(device, cudaEventSynchronize(device->stop));
    VG_CUDA(device, cudaEventElapsedTime(&ms, device->start, device->stop));
    *seconds = fmax(ms * 1e-3, least_s);
    return VG_OK;
}

/* The least seconds of one issue, among tries of some milliseconds. */
static vg_status best(const probe *p, double *seconds)
{
    double took, spent = 0;
    *seconds = INFINITY;
    VG_TRY(region(p, 1, &took));
    for (int i = 0; i < LEAST_TRIES || (i < TRIES && spent < long_s); i++) {
        uint32_t times = (uint32_t)fmax(1, fmin(region_s / took, 1e4));
        VG_TRY(region(p, times, &took));
        spent += took;
        took /= times;
        *seconds = i > 0 ? fmin(*seconds, took) : *seconds;
    }
    return VG_OK;
}

static vg_status product_rate(probe *p, vg_dtype dtype, double *flop_per_s)
{
    const vg_dtype storage = dtype == VG_BF16 ? VG_BF16 : VG_FP32;
    const vg_gemm_shape shape = {.m = p->n,
                                 .n = p->n,
                                 .k = p->n,
                                 .lda = p->n,
                                 .ldb = p->n,
                                 .ldc = p->n,
                                 .ldd = p->n,
                                 .tf32 = dtype == VG_TF32,
                                 .ab = storage,
                                 .c = storage,
                                 .d = storage,
                                 .alignment = ALIGNMENT};
    double seconds;
    VG_TRY(vg_gemm_make(p->device, &shape, &p->gemm));
    vg_status status = best(p, &seconds);
    vg_gemm_free(p->gemm);
    p->gemm = NULL;
    if (status == VG_OK)
        *flop_per_s = 2 * (double)p->n * (double)p->n * (double)p->n / seconds;
    return status;
}

static vg_status copy_rate(probe *p, uint64_t blocks, uint64_t rounds, double *bytes_per_s)
{
    double seconds;
    p->blocks = blocks;
    p->rounds = rounds;
    VG_TRY(best(p, &seconds));
    *bytes_per_s = 2 * (double)blocks * (double)rounds * VG_COPY_CHUNK / seconds;
    return VG_OK;
}

static vg_status measure(probe *p, vg_dtype dtype, vg_peaks *out)
{
    const vg_chip *chip = &p->device->chip;
    uint64_t near = (uint64_t)chip->multiprocessors * BLOCKS_EACH;
    uint64_t half = chip->l2_bytes / 4 / VG_COPY_CHUNK; /* of the cache, both sides together */
    VG_TRY(fill(p, dtype));
    VG_TRY(product_rate(p, dtype, &out->flop_per_s));
    if (half > 0) {
        vg_level *level = &out->level[out->levels++];
        level->capacity_bytes = (double)chip->l2_bytes;
        VG_TRY(copy_rate(p, near < half ? near : half, 32, &level->bytes_per_s));
    }
    vg_level *level = &out->level[out->levels++];
    level->capacity_bytes = INFINITY;
    return copy_rate(p, memory_side(chip) / VG_COPY_CHUNK, 1, &level->bytes_per_s);
}

vg_status vg_cuda_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    if (dtype != VG_FP32 && dtype != VG_TF32 && dtype != VG_BF16)
        VG_FAIL(VG_UNSUPPORTED, "%s: no products in %s", device->name, vg_dtype_name(dtype));
    probe p = {.device = device, .n = product_rows(&device->chip)};
    const vg_chip *chip = &device->chip;
    vg_peaks peaks = {.barrier_s = NAN,
                      .held_bytes = (double)chip->multiprocessors *
                                    (chip->registers * 4.0 + (double)chip->shared_bytes)};
    uint64_t product = 3 * p.n * p.n * sizeof(float), copy = 2 * memory_side(&device->chip);
    p.bytes = product > copy ? product : copy;
    vg_status status =
        vg_cuda_check(device, cudaMalloc((void **)&p.memory, p.bytes), "cudaMalloc for the peaks");
    if (status == VG_OK)
        status = vg_cuda_check(device, cudaMalloc(&p.work, vg_gemm_work_bytes()),
                               "cudaMalloc for the peaks");
    if (status == VG_OK)
        status = measure(&p, dtype, &peaks);
    if (p.work)
        (void)cudaFree(p.work);
    if (p.memory)
        (void)cudaFree(p.memory);
    if (status == VG_OK)
        *out = peaks;
    return status;
}
