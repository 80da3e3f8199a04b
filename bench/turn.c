/* One turn of a device: every timed pass of one repetition, between measurements of its peaks. */
#include "floor.h"
#include "work.h"

#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ITERATIONS = 1000000000 };
/* Peaks before and after that differ by more leave a repetition disturbed. A barrier's time is
 * noisier, but several times as long once a hypervisor has moved two cores to different caches. */
static const double disturbed_from = 0.05, disturbed_from_barrier = 0.5;

static vg_peaks peaks_unknown(void)
{
    return (vg_peaks){.flop_per_s = (double)NAN, .barrier_s = (double)NAN};
}

/* Unknown also where the case leaves them no room. */
static vg_status peaks_take(const vg_work *work, vg_peaks *out)
{
    *out = peaks_unknown();
    if (!work->driver->peaks)
        return VG_OK;
    vg_dtype dtype = work->driver->oracle ? VG_FP64 : work->model.dtype;
    vg_status status = work->driver->peaks(work->device, dtype, out);
    if (status == VG_UNSUPPORTED || status == VG_NO_MEMORY) {
        *out = peaks_unknown();
        return VG_OK;
    }
    return status;
}

static vg_peaks peaks_mean(const vg_peaks *a, const vg_peaks *b)
{
    vg_peaks mean = *a;
    mean.flop_per_s = (a->flop_per_s + b->flop_per_s) / 2;
    mean.barrier_s = (a->barrier_s + b->barrier_s) / 2;
    for (uint32_t i = 0; i < a->levels && i < b->levels; i++)
        mean.level[i].bytes_per_s = (a->level[i].bytes_per_s + b->level[i].bytes_per_s) / 2;
    return mean;
}

/* An unknown peak differs from nothing. */
static bool differ(double a, double b, double by)
{
    return fmax(a, b) > fmin(a, b) * (1 + by);
}

static vg_telemetry telemetry_take(const vg_work *work)
{
    vg_telemetry seen = {(double)NAN, (double)NAN, (double)NAN, (double)NAN, ""};
    if (work->driver->telemetry && work->driver->telemetry(work->device, &seen) != VG_OK)
        return (vg_telemetry){(double)NAN, (double)NAN, (double)NAN, (double)NAN, ""};
    return seen;
}

typedef struct region {
    const vg_work *work;
    unsigned passes;
} region;

static vg_status region_run(void *context, uint32_t iterations, double *seconds)
{
    const region *r = context;
    return r->work->driver->run(r->work->exec, r->passes, iterations, seconds);
}

/* Warms the pass up and decides how many iterations last min_time_s, by the device's clock. */
static vg_status iterations_decide(vg_work *work, unsigned passes, uint32_t *out)
{
    const double least = work->asked.min_time_s / 20;
    double seconds = 0, elapsed = 0, count = 1;
    for (;;) {
        VG_TRY(work->driver->run(work->exec, passes, (uint32_t)count, &seconds));
        elapsed += seconds;
        if ((elapsed >= work->asked.warmup_s && seconds >= least) || count >= MAX_ITERATIONS)
            break;
        double wanted = fmax(work->asked.warmup_s - elapsed, least) / seconds * count;
        count = fmax(1, fmin(fmin(ceil(wanted), 8 * count), MAX_ITERATIONS));
    }
    double wanted = ceil(work->asked.min_time_s / (seconds / count));
    *out = (uint32_t)fmax(1, fmin(wanted, MAX_ITERATIONS));
    return VG_OK;
}

/* A pilot that was held up leaves too few iterations: more of them, as a repetition has shown. True
 * where it was much too short. */
static bool iterations_grow(vg_work *work, const vg_wire_timed *seen, uint32_t *iterations)
{
    double lasted = seen->time_s * (double)seen->iterations;
    if (!(lasted < work->asked.min_time_s / 2) || *iterations >= MAX_ITERATIONS)
        return false;
    double wanted = ceil(work->asked.min_time_s / seen->time_s);
    *iterations = (uint32_t)fmax(2.0 * *iterations, fmin(wanted, MAX_ITERATIONS / 2));
    return true;
}

/* One repetition of one pass; *before becomes the peaks after it. */
static vg_status pass_time(vg_work *work, vg_timed timed, vg_peaks *before, vg_wire_timed *out)
{
    region r = {work, vg_timed_passes(timed)};
    uint32_t iterations = work->iterations[timed];
    vg_timer_result result;
    vg_peaks after;
    double ignored;
    /* The peaks' streams have swept the caches; a pass leaves them as passes do. */
    if (iterations > 1)
        VG_TRY(work->driver->run(work->exec, r.passes, 1, &ignored));
    vg_telemetry start = telemetry_take(work);
    VG_TRY(vg_timer_run(work->asked.name, region_run, &r, iterations, &result));
    vg_telemetry end = telemetry_take(work);
    VG_TRY(peaks_take(work, &after));

    vg_peaks mean = peaks_mean(before, &after);
    double count = (double)result.iterations, energy = end.energy_j - start.energy_j;
    *out = (vg_wire_timed){
        .timed = (uint32_t)timed,
        .iterations = result.iterations,
        .time_s = result.seconds / count,
        .flop = vg_program_flop(work->program, r.passes),
        .bytes = vg_program_bytes(work->program, r.passes),
        .peak_flop_per_s = mean.flop_per_s,
        .peak_bytes_per_s = mean.levels > 0 ? mean.level[mean.levels - 1].bytes_per_s : (double)NAN,
        .floor_s = vg_floor(work->program, r.passes, &mean, work->applied.threads),
        .energy_j = energy > 0 ? energy / count : (double)NAN,
        .power_w = isnan(end.power_w) && energy > 0 ? energy / result.seconds : end.power_w,
        .clock_mhz = end.clock_mhz,
        .temperature_c = end.temperature_c,
        .barrier_s = mean.barrier_s,
        .disturbed = differ(before->flop_per_s, after.flop_per_s, disturbed_from) ||
                     differ(before->barrier_s, after.barrier_s, disturbed_from_barrier)};
    memcpy(out->throttle, end.throttle, sizeof out->throttle);
    out->throttle[sizeof out->throttle - 1] = 0;
    *before = after;
    return VG_OK;
}

/* *before: the peaks after the pass before this one, where *has_before. */
static vg_status pass_turn(vg_work *work, vg_timed timed, vg_peaks *before, bool *has_before)
{
    vg_wire_timed out = {.timed = (uint32_t)timed};
    vg_status status = VG_OK;
    bool known = *has_before;
    if (work->iterations[timed] == 0) {
        status = iterations_decide(work, vg_timed_passes(timed), &work->iterations[timed]);
        known = false;
    }
    if (status == VG_OK && !known)
        status = peaks_take(work, before);
    *has_before = status == VG_OK;
    for (uint32_t i = 1; i <= VG_WIRE_ATTEMPTS && status == VG_OK; i++) {
        do
            status = pass_time(work, timed, before, &out);
        while (status == VG_OK && iterations_grow(work, &out, &work->iterations[timed]));
        out.attempts = i;
        if (!out.disturbed)
            break;
    }
    if (status != VG_UNSUPPORTED)
        VG_TRY(status);
    /* Unsupported: this pass alone, for a peer that cannot split its backward. */
    out.status = (uint32_t)status;
    return vg_frame_write(work->out, VG_FRAME_TIMED, &out, NULL, 0);
}

vg_status vg_work_turn(vg_work *work, uint32_t repetition)
{
    vg_peaks before = peaks_unknown();
    bool has_before = false;
    for (int timed = 0; timed < VG_TIMED_COUNT; timed++)
        if (work->asked.timed & 1u << timed)
            VG_TRY(pass_turn(work, (vg_timed)timed, &before, &has_before));
    vg_wire_checksum answer;
    VG_TRY(vg_checksum(work->driver, work->exec, work->program, &answer.checksum));
    VG_TRY(vg_frame_write(work->out, VG_FRAME_CHECKSUM, &answer, NULL, 0));
    if (work->has_checksum && answer.checksum != work->checksum)
        VG_FAIL(VG_MISMATCH,
                "repetition %u left other results than those verified: checksum %016llx, not "
                "%016llx",
                repetition, (unsigned long long)answer.checksum,
                (unsigned long long)work->checksum);
    return VG_OK;
}
