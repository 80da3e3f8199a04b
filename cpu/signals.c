/* The ops that look at signals: loss, clipping, norms, the census, rescaling. No sum depends on the
 * number of threads. */
#include "cpu_exec.h"
#include "sizes.h"

#include <math.h>

/* Rows whose squares make one part of the clipping norm. */
enum { CLIP_ROWS = 64 };

static vg_rows_in in(const vg_exec *exec, vg_mat m)
{
    return (vg_rows_in){vg_floats(exec, m), m.ld};
}

static vg_rows out(const vg_exec *exec, vg_mat m)
{
    return (vg_rows){vg_floats(exec, m), m.ld};
}

static double fp32_loss(const vg_job *job, const vg_loss_op *l)
{
    vg_loss_rows rows = {.rows = l->y.rows,
                         .cols = l->y.cols,
                         .loss = l->loss,
                         .divisor = l->divisor,
                         .y = in(job->exec, l->y),
                         .target = in(job->exec, l->target),
                         .dy = out(job->exec, l->dy)};
    return job->kernels->loss(&rows);
}

static float fp32_measure(const vg_job *job, vg_mat m, vg_slot *slot)
{
    return job->kernels->measure(m.rows, m.cols, in(job->exec, m), slot);
}

static void fp32_census(const vg_job *job, vg_mat a, vg_slot *slot)
{
    job->kernels->census(a.rows, a.cols, job->op->activation, (float)job->op->alpha,
                         in(job->exec, a), slot);
}

static void fp32_scale_by_power(const vg_job *job, int exponent, vg_mat x, vg_mat y)
{
    job->kernels->scale_by_power(x.rows, x.cols, exponent, in(job->exec, x), out(job->exec, y));
}

const vg_signals vg_signals_fp32 = {fp32_loss, fp32_measure, fp32_census, fp32_scale_by_power};

void vg_loss_run(const vg_job *job)
{
    if (job->thread != 0)
        return;
    double loss = job->exec->ops->signals->loss(job, &job->op->loss);
    if (job->op->slot != VG_NO_SLOT)
        job->exec->slots[job->op->slot].sum_squares = loss;
}

/* Clipping: squares in parts of fixed size, each by one thread, added in order by all. */

static uint64_t parts_of(const vg_mat *grad)
{
    return vg_parts(grad->rows, CLIP_ROWS);
}

size_t vg_clip_scratch(const vg_op *op)
{
    uint64_t parts = 0;
    for (uint32_t i = 0; i < op->clip.count; i++)
        parts += parts_of(&op->clip.grads[i]);
    return parts * (sizeof(double) / sizeof(float));
}

static vg_mat clip_part(const vg_mat *grad, uint64_t part)
{
    uint64_t first = part * CLIP_ROWS;
    return vg_mat_rows(*grad, first, vg_least(CLIP_ROWS, grad->rows - first));
}

static double squares(const vg_job *job, double *parts)
{
    const vg_clip *c = &job->op->clip;
    uint64_t n = 0;
    for (uint32_t i = 0; i < c->count; i++)
        for (uint64_t p = 0; p < parts_of(&c->grads[i]); p++, n++)
            if (n % job->threads == job->thread) {
                vg_mat m = clip_part(&c->grads[i], p);
                parts[n] = job->kernels->sum_squares(m.rows, m.cols, in(job->exec, m));
            }
    vg_job_barrier(job);
    double sum = 0;
    for (uint64_t p = 0; p < n; p++)
        sum += parts[p];
    vg_job_barrier(job);
    return sum;
}

void vg_clip_run(const vg_job *job)
{
    const vg_clip *c = &job->op->clip;
    double *parts = (double *)(void *)job->scratch;
    double before = squares(job, parts), after = before, norm = sqrt(before);
    if (norm > c->max_norm) {
        uint64_t n = 0;
        for (uint32_t i = 0; i < c->count; i++)
            for (uint64_t p = 0; p < parts_of(&c->grads[i]); p++, n++)
                if (n % job->threads == job->thread) {
                    vg_mat m = clip_part(&c->grads[i], p);
                    job->kernels->scale(m.rows, m.cols, (float)(c->max_norm / norm),
                                        in(job->exec, m), out(job->exec, m));
                }
        vg_job_barrier(job);
        after = squares(job, parts);
    }
    if (job->thread == 0 && job->op->slot != VG_NO_SLOT) {
        job->exec->slots[job->op->slot].sum_squares = before;
        job->exec->slots[job->op->slot + 1].sum_squares = after;
    }
}

static vg_mat segment(const vg_mat *m, uint64_t each, uint64_t i)
{
    return vg_mat_rows(*m, i * each, vg_least(each, m->rows - i * each));
}

void vg_measure_run(const vg_job *job)
{
    const vg_measure *w = &job->op->measure;
    for (uint64_t i = job->thread; i * w->segment_rows < w->window.rows; i += job->threads) {
        vg_mat m = segment(&w->window, w->segment_rows, i);
        job->exec->ops->signals->measure(job, m, &job->exec->slots[job->op->slot + i]);
    }
}

void vg_census_run(const vg_job *job)
{
    const vg_census *w = &job->op->census;
    for (uint64_t i = job->thread; i * w->segment_rows < w->a.rows; i += job->threads) {
        vg_mat m = segment(&w->a, w->segment_rows, i);
        job->exec->ops->signals->census(job, m, &job->exec->slots[job->op->slot + i]);
    }
}

/* Rescaling. */

static int64_t exponent_of(const vg_job *job, uint32_t signal, uint64_t i)
{
    uint32_t slot = job->op->rescale.exponent[signal];
    return slot == VG_NO_SLOT ? 0 : job->exec->slots[slot + i].exponent;
}

static uint64_t rows_each(const vg_rescale *r, uint32_t signal)
{
    return r->segment_rows ? r->segment_rows : r->in[signal].rows;
}

/* The exponent that brings the largest element of all signals into [2^60, 2^61); where all are
 * zero, the largest exponent that a signal has. `first` gets signal 0 as it came in. */
static int64_t common_exponent(const vg_job *job, vg_slot *first)
{
    const vg_rescale *r = &job->op->rescale;
    int64_t common = INT64_MIN, most = INT64_MIN;
    for (uint32_t n = 0; n < VG_MAX_SIGNALS && r->in[n].rows; n++) {
        uint64_t each = rows_each(r, n);
        for (uint64_t i = 0; i * each < r->in[n].rows; i++) {
            vg_mat m = segment(&r->in[n], each, i);
            vg_slot slot;
            int64_t e = exponent_of(job, n, i);
            int binary;
            float largest = job->exec->ops->signals->measure(job, m, &slot);
            most = e > most ? e : most;
            if (n == 0) {
                first->elements += slot.elements;
                first->zeros += slot.zeros;
                first->subnormals += slot.subnormals;
            }
            if (!(largest > 0))
                continue;
            (void)frexpf(largest, &binary);
            common = e + binary - 61 > common ? e + binary - 61 : common;
        }
    }
    return common == INT64_MIN ? most : common;
}

void vg_rescale_run(const vg_job *job)
{
    const vg_rescale *r = &job->op->rescale;
    if (job->thread != 0)
        return;
    vg_slot slot = {0};
    int64_t common = common_exponent(job, &slot);
    for (uint32_t n = 0; n < VG_MAX_SIGNALS && r->in[n].rows; n++) {
        uint64_t each = rows_each(r, n);
        for (uint64_t i = 0; i * each < r->in[n].rows; i++) {
            vg_mat from = segment(&r->in[n], each, i), to = segment(&r->out[n], each, i);
            int64_t by = exponent_of(job, n, i) - common;
            int exponent = by < -600 ? -600 : by > 600 ? 600 : (int)by;
            job->exec->ops->signals->scale_by_power(job, exponent, from, to);
        }
    }
    slot.exponent = common;
    job->exec->slots[job->op->slot] = slot;
}
