/* The host side of the latency probe: every launch between two events, the median of a few. */
#include "probe.h"

#include "cuda_device.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_SAMPLES = 256, CLUSTER = 8, WARP_THREADS = 32 };

typedef struct probe {
    vg_device device;
    const vg_probe_how *how;
    uint32_t *words;
    uint64_t word_bytes;
    vg_latency_fn *row;
    void *context;
} probe;

/* One thing to measure. hops: of a repetition. */
typedef struct trial {
    const char *what;
    vg_kernel kernel;
    uint32_t blocks, threads, cluster, hops;
    bool cooperative;
} trial;

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const probe *p, const char *what, uint32_t blocks, uint32_t threads,
                   double *samples)
{
    const uint32_t n = p->how->samples;
    qsort(samples, n, sizeof *samples, by_size);
    p->row(p->context, &(vg_latency){.what = what,
                                     .blocks = blocks,
                                     .threads = threads,
                                     .microseconds = samples[n / 2],
                                     .lower = samples[n / 4],
                                     .upper = samples[n - 1 - n / 4]});
}

/* Starts the clock, or stops it and gives microseconds. */
static vg_status start(probe *p)
{
    VG_CUDA(&p->device, cudaEventRecord(p->device.start, p->device.stream));
    return VG_OK;
}
static vg_status stop(probe *p, double *microseconds)
{
    float milliseconds;
    VG_CUDA(&p->device, cudaEventRecord(p->device.stop, p->device.stream));
    VG_CUDA(&p->device, cudaEventSynchronize(p->device.stop));
    VG_CUDA(&p->device, cudaEventElapsedTime(&milliseconds, p->device.start, p->device.stop));
    *microseconds = 1e3 * (double)milliseconds;
    return VG_OK;
}

static vg_status launch(probe *p, const trial *t, uint32_t times)
{
    const vg_probe_args args = {p->words, times};
    return vg_launch_kernel(
        &p->device, p->device.stream,
        &(vg_launch){.kernel = t->kernel,
                     .blocks = t->blocks,
                     .threads = t->threads,
                     .cluster = t->cluster,
                     .kind = t->cooperative ? VG_LAUNCH_COOPERATIVE : VG_LAUNCH_PLAIN,
                     .arguments = &args});
}

/* A repetition within one launch; the first launch is thrown away. */
static vg_status measure(probe *p, const trial *t)
{
    double samples[MOST_SAMPLES], took = 0;
    for (uint32_t i = 0; i <= p->how->samples; i++) {
        VG_CUDA(&p->device, cudaMemsetAsync(p->words, 0, p->word_bytes, p->device.stream));
        VG_TRY(start(p));
        VG_TRY(launch(p, t, p->how->times));
        VG_TRY(stop(p, &took));
        samples[i ? i - 1 : 0] = took / ((double)p->how->times * t->hops);
    }
    report(p, t->what, t->blocks, t->threads, samples);
    return VG_OK;
}

static const trial *nothing(trial *t)
{
    *t = (trial){"", vg_probe_nothing_kernel(), 1, WARP_THREADS, 0, 1, false};
    return t;
}

/* Launches one after the other from the host. */
static vg_status measure_launches(probe *p)
{
    double samples[MOST_SAMPLES], took = 0;
    trial t;
    for (uint32_t i = 0; i <= p->how->samples; i++) {
        VG_TRY(start(p));
        for (uint32_t n = 0; n < p->how->times; n++)
            VG_TRY(launch(p, nothing(&t), 0));
        VG_TRY(stop(p, &took));
        samples[i ? i - 1 : 0] = took / p->how->times;
    }
    report(p, "kernel_launch", 1, WARP_THREADS, samples);
    return VG_OK;
}

static vg_status capture(probe *p, cudaGraph_t *graph)
{
    trial t;
    vg_status status = VG_OK;
    VG_CUDA(&p->device, cudaStreamBeginCapture(p->device.stream, cudaStreamCaptureModeThreadLocal));
    for (uint32_t n = 0; n < p->how->times && status == VG_OK; n++)
        status = launch(p, nothing(&t), 0);
    const vg_status ended = vg_cuda_check(&p->device, cudaStreamEndCapture(p->device.stream, graph),
                                          "cudaStreamEndCapture");
    return status == VG_OK ? ended : status;
}

static vg_status replay(probe *p, cudaGraphExec_t exec)
{
    double samples[MOST_SAMPLES], took = 0;
    for (uint32_t i = 0; i <= p->how->samples; i++) {
        VG_TRY(start(p));
        VG_CUDA(&p->device, cudaGraphLaunch(exec, p->device.stream));
        VG_TRY(stop(p, &took));
        samples[i ? i - 1 : 0] = took / p->how->times;
    }
    report(p, "graph_node", 1, WARP_THREADS, samples);
    return VG_OK;
}

/* The same launches as nodes of a graph, each after the one before. */
static vg_status measure_graph(probe *p)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    vg_status status = capture(p, &graph);
    if (status == VG_OK)
        status = vg_cuda_check(&p->device, cudaGraphInstantiate(&exec, graph, 0),
                               "cudaGraphInstantiate");
    if (status == VG_OK)
        status = replay(p, exec);
    if (exec)
        (void)cudaGraphExecDestroy(exec);
    if (graph)
        (void)cudaGraphDestroy(graph);
    return status;
}

static vg_status measure_block(probe *p)
{
    for (uint32_t threads = 128; threads <= 1024; threads *= 2)
        VG_TRY(measure(p, &(trial){"block_barrier", vg_probe_block_barrier_kernel(), 1, threads, 0,
                                   1, false}));
    return VG_OK;
}

static vg_status measure_grid(probe *p)
{
    const uint32_t all = p->device.chip.multiprocessors;
    VG_TRY(measure(
        p, &(trial){"counter_hop", vg_probe_counter_hop_kernel(), 2, WARP_THREADS, 0, 2, true}));
    for (uint32_t blocks = 2;; blocks *= 4) {
        if (blocks > all)
            blocks = all;
        VG_TRY(measure(
            p, &(trial){"grid_sync", vg_probe_grid_sync_kernel(), blocks, 256, 0, 1, true}));
        VG_TRY(measure(p, &(trial){"flag_exchange", vg_probe_flag_exchange_kernel(), blocks, 256, 0,
                                   1, true}));
        if (blocks == all)
            return VG_OK;
    }
}

static vg_status measure_cluster(probe *p)
{
    bool there;
    VG_TRY(vg_has_clusters(&p->device, vg_probe_cluster_barrier_kernel(), &there));
    if (!there)
        return VG_OK;
    for (uint32_t blocks = 2; blocks <= CLUSTER; blocks *= 2)
        VG_TRY(measure(p, &(trial){"cluster_barrier", vg_probe_cluster_barrier_kernel(), blocks,
                                   256, blocks, 1, false}));
    return measure(
        p, &(trial){"remote_push", vg_probe_remote_push_kernel(), 2, WARP_THREADS, 2, 2, false});
}

static vg_status attribute(probe *p, enum cudaDeviceAttr which, uint32_t *out)
{
    int value;
    VG_CUDA(&p->device, cudaDeviceGetAttribute(&value, which, p->how->ordinal));
    *out = (uint32_t)value;
    return VG_OK;
}

static vg_status begin(probe *p)
{
    vg_chip *chip = &p->device.chip;
    uint32_t shared;
    VG_CUDA(&p->device, cudaSetDevice(p->how->ordinal));
    VG_TRY(attribute(p, cudaDevAttrMultiProcessorCount, &chip->multiprocessors));
    VG_TRY(attribute(p, cudaDevAttrComputeCapabilityMajor, &chip->major));
    VG_TRY(attribute(p, cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared));
    chip->shared_bytes = shared;
    p->word_bytes = (uint64_t)(chip->multiprocessors + 2) * VG_PROBE_STRIDE * sizeof *p->words;
    VG_CUDA(&p->device, cudaStreamCreateWithFlags(&p->device.stream, cudaStreamNonBlocking));
    VG_CUDA(&p->device, cudaEventCreate(&p->device.start));
    VG_CUDA(&p->device, cudaEventCreate(&p->device.stop));
    VG_CUDA(&p->device, cudaMalloc((void **)&p->words, p->word_bytes));
    return VG_OK;
}

static void end(probe *p)
{
    (void)cudaFree(p->words);
    if (p->device.start)
        (void)cudaEventDestroy(p->device.start);
    if (p->device.stop)
        (void)cudaEventDestroy(p->device.stop);
    if (p->device.stream)
        (void)cudaStreamDestroy(p->device.stream);
}

vg_status vg_probe_run(const vg_probe_how *how, vg_latency_fn *row, void *context)
{
    probe p = {.how = how, .row = row, .context = context};
    static vg_status (*const parts[])(probe *) = {measure_block, measure_grid, measure_cluster,
                                                  measure_launches, measure_graph};
    if (how->samples < 1 || how->samples > MOST_SAMPLES || how->times < 1)
        VG_FAIL(VG_INVALID, "samples %u, times %u: expected 1..%d and 1 or more", how->samples,
                how->times, MOST_SAMPLES);
    snprintf(p.device.name, sizeof p.device.name, "cuda:%d", how->ordinal);
    vg_status status = begin(&p);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == VG_OK; i++)
        status = parts[i](&p);
    end(&p);
    return status;
}
