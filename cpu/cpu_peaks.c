/* The limits of the very threads that run a pass: multiply-adds from registers, reads from every
 * level of memory, a barrier. And the clock, from a chain of dependent instructions. */
#include "cpu_exec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIES = 5, LEAST_TRIES = 2, BARRIERS = 400, READ_UNIT = 256 };
static const double try_seconds = 1e-3;

typedef struct probe {
    vg_device *device;
    double (*burst)(uint64_t rounds, float *sink); /* of one thread; returns the FLOP done */
    uint64_t rounds;                               /* of a burst */
    size_t n, repeat;                              /* floats a thread reads, and how often */
    double seconds, work;
} probe;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fma_probe(void *context, uint32_t thread, uint32_t threads)
{
    probe *p = context;
    float sink;
    vg_pool_barrier(p->device->pool, thread);
    double start = now_s();
    double flop = p->burst(p->rounds, &sink);
    vg_pool_barrier(p->device->pool, thread);
    if (thread == 0) {
        p->seconds = now_s() - start;
        p->work = flop * threads;
    }
}

static void read_probe(void *context, uint32_t thread, uint32_t threads)
{
    probe *p = context;
    float sink;
    const float *from = p->device->probe + thread * p->n;
    vg_pool_barrier(p->device->pool, thread);
    double start = now_s();
    for (size_t i = 0; i < p->repeat; i++)
        p->device->kernels->gemm->read_burst(from, p->n, &sink);
    vg_pool_barrier(p->device->pool, thread);
    if (thread == 0) {
        p->seconds = now_s() - start;
        p->work = (double)p->n * sizeof(float) * (double)p->repeat * threads;
    }
}

static void barrier_probe(void *context, uint32_t thread, uint32_t threads)
{
    probe *p = context;
    double start = now_s();
    (void)threads;
    for (int i = 0; i < BARRIERS; i++)
        vg_pool_barrier(p->device->pool, thread);
    if (thread == 0) {
        p->seconds = now_s() - start;
        p->work = BARRIERS;
    }
}

/* The best rate of several tries, the first of which only warms up; of two where one takes long. */
static double best_rate(probe *p, vg_pool_fn *work)
{
    double best = 0, spent = 0;
    for (int i = 0; i <= TRIES && (i <= LEAST_TRIES || spent < TRIES * try_seconds); i++) {
        vg_pool_run(p->device->pool, work, p);
        double rate = p->work / p->seconds;
        best = i > 0 && rate > best ? rate : best;
        spent += p->seconds;
    }
    return best;
}

static double fma_rate(vg_device *device, vg_dtype dtype)
{
    probe p = {.device = device, .rounds = 1000};
    p.burst = dtype == VG_BF16 ? device->bf16->dot_burst : device->kernels->gemm->fma_burst;
    vg_pool_run(device->pool, fma_probe, &p);
    p.rounds = (uint64_t)(1000 * try_seconds / (p.seconds > 1e-7 ? p.seconds : 1e-7)) + 1;
    return best_rate(&p, fma_probe);
}

/* Every thread reads n floats of its own, again and again for a millisecond or twice at least. */
static double read_rate(vg_device *device, size_t n)
{
    probe p = {.device = device, .n = n / READ_UNIT * READ_UNIT, .repeat = 1};
    if (p.n == 0)
        p.n = READ_UNIT;
    vg_pool_run(device->pool, read_probe, &p);
    if (p.seconds < try_seconds) /* the first has brought it into its cache */
        vg_pool_run(device->pool, read_probe, &p);
    p.repeat = (size_t)(try_seconds / (p.seconds > 1e-7 ? p.seconds : 1e-7)) + 1;
    return best_rate(&p, read_probe);
}

/* Bytes a thread reads so that they come from that cache and no smaller one; in the middle between
 * their sizes, since a cache that others share, or whose pages conflict, is slower when full, and
 * its rate is to be one that no pass exceeds. */
static uint64_t level_bytes(const vg_device *device, uint32_t level)
{
    const vg_topology *t = &device->topology;
    const double share = (double)t->caches[level].used_bytes / device->applied.threads;
    const double nearer =
        level == 0 ? share / 4 : (double)t->caches[level - 1].used_bytes / device->applied.threads;
    return (uint64_t)sqrt(share * nearer);
}

static uint64_t memory_bytes(const vg_device *device)
{
    const vg_topology *t = &device->topology;
    uint64_t cached = t->caches[t->cache_count - 1].used_bytes, most = UINT64_C(256) << 20;
    most = most < 2 * cached ? 2 * cached : most;
    return (4 * cached < most ? 4 * cached : most) / device->applied.threads;
}

/* A thread's part, in memory near to it. */
static void probe_touch(void *context, uint32_t thread, uint32_t threads)
{
    const probe *p = context;
    (void)threads;
    memset(p->device->probe + thread * p->n, 0, p->n * sizeof(float));
}

/* Memory for the reading, once a device; the pool is entered. */
static vg_status probe_memory(vg_device *device)
{
    uint64_t each = memory_bytes(device);
    for (uint32_t c = 0; c < device->topology.cache_count; c++)
        each = level_bytes(device, c) > each ? level_bytes(device, c) : each;
    if (device->probe)
        return VG_OK;
    uint64_t bytes = (each + 4096) / 4096 * 4096 * device->applied.threads;
    device->probe = aligned_alloc(4096, bytes);
    if (!device->probe)
        VG_FAIL(VG_NO_MEMORY, "no memory to measure the memory's speed");
    probe p = {.device = device, .n = bytes / device->applied.threads / sizeof(float)};
    vg_pool_run(device->pool, probe_touch, &p);
    return VG_OK;
}

vg_status vg_cpu_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    if (dtype != VG_FP32 && !(dtype == VG_BF16 && device->bf16))
        VG_FAIL(VG_UNSUPPORTED, "this CPU device does not compute in %s", vg_dtype_name(dtype));
    vg_peaks peaks = {0};
    probe barriers = {.device = device};
    vg_pool_enter(device->pool);
    const vg_status status = probe_memory(device);
    if (status != VG_OK) {
        vg_pool_leave(device->pool);
        return status;
    }
    peaks.flop_per_s = fma_rate(device, dtype);
    const vg_topology *t = &device->topology;
    for (uint32_t c = 0; c < t->cache_count && c + 1 < VG_MAX_LEVELS; c++)
        peaks.level[peaks.levels++] =
            (vg_level){read_rate(device, level_bytes(device, c) / sizeof(float)),
                       (double)t->caches[c].used_bytes};
    peaks.level[peaks.levels++] =
        (vg_level){read_rate(device, memory_bytes(device) / sizeof(float)), INFINITY};
    peaks.barrier_s = device->applied.threads > 1 ? 1 / best_rate(&barriers, barrier_probe) : 0;
    vg_pool_leave(device->pool);
    *out = peaks;
    return VG_OK;
}

/* Instructions of one cycle each, every one waiting for the one before. */
static double clock_mhz(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    enum { ROUNDS = 2000, CHAIN = 16 };
    uint64_t value = 1, other = 3;
    double best = INFINITY;
    for (int i = 0; i < 4; i++) {
        double start = now_s();
        for (int r = 0; r < ROUNDS; r++) {
#if defined(__x86_64__)
#define LINK "xor %1, %0\n\t"
#else
#define LINK "eor %0, %0, %1\n\t"
#endif
#define LINKS LINK LINK LINK LINK
            __asm__ volatile(LINKS LINKS LINKS LINKS : "+r"(value) : "r"(other));
#undef LINKS
#undef LINK
        }
        double seconds = now_s() - start;
        best = seconds < best ? seconds : best;
    }
    return (double)ROUNDS * CHAIN / best / 1e6;
#else
    return NAN;
#endif
}

vg_status vg_cpu_telemetry(vg_device *device, vg_telemetry *out)
{
    vg_telemetry t = {NAN, NAN, NAN, NAN, ""};
    double value;
    vg_pool_enter(device->pool);
    t.clock_mhz = clock_mhz();
    vg_pool_leave(device->pool);
    FILE *f = fopen("/sys/class/powercap/intel-rapl:0/energy_uj", "r");
    if (f && fscanf(f, "%lf", &value) == 1)
        t.energy_j = value * 1e-6;
    if (f)
        fclose(f);
    *out = t;
    return VG_OK;
}
