/* Signals of programs in bf16: windows are widened a part at a time and looked at in fp32. */
#include "bf16_ops.h"
#include "sizes.h"

#include <math.h>

/* Floats of one window's part, and columns of one where all rows must be seen together. */
enum { PART_FLOATS = 4096, PART_COLS = 64 };

/* Rows of a part. */
static size_t part_rows(size_t cols)
{
    size_t rows = PART_FLOATS / vg_stage_size(1, cols);
    return rows > 0 ? rows : 1;
}

static size_t part_size(const vg_mat *m, uint32_t windows)
{
    return windows * vg_stage_size(part_rows(m->cols), m->cols);
}

/* Floats that a thread needs. */
static size_t op_part_size(const vg_op *op)
{
    switch (op->kind) {
    case VG_LOSS_OP: return part_size(&op->loss.y, 3);
    case VG_MEASURE: return part_size(&op->measure.window, 1);
    case VG_CENSUS:
        return vg_stage_size(vg_least(op->census.segment_rows, op->census.a.rows), PART_COLS);
    case VG_RESCALE: return part_size(&op->rescale.in[0], 2);
    default: return 0;
    }
}

size_t vg_bf16_signals_scratch(const vg_device *device, const vg_op *op)
{
    return vg_pool_threads(device->pool) * op_part_size(op);
}

static vg_stage stage_begin(const vg_job *job)
{
    return (vg_stage){.job = job, .memory = job->scratch + job->thread * op_part_size(job->op)};
}

static double loss(const vg_job *job, const vg_loss_op *l)
{
    double sum = 0;
    size_t n = part_rows(l->y.cols);
    for (size_t row = 0; row < l->y.rows; row += n) {
        size_t rows = vg_least(n, l->y.rows - row);
        vg_stage s = stage_begin(job);
        sum += job->kernels->loss(
            &(vg_loss_rows){.rows = rows,
                            .cols = l->y.cols,
                            .loss = l->loss,
                            .divisor = l->divisor,
                            .y = vg_stage_in(&s, l->y, row, 0, rows, l->y.cols),
                            .target = vg_stage_in(&s, l->target, row, 0, rows, l->y.cols),
                            .dy = vg_stage_out(&s, l->dy, row, 0, rows, l->y.cols)});
        vg_stage_end(&s);
    }
    return sum;
}

static float measure(const vg_job *job, vg_mat m, vg_slot *slot)
{
    float largest = 0;
    size_t n = part_rows(m.cols);
    vg_slot sum = *slot;
    sum.sum_squares = sum.max_abs = 0;
    sum.elements = sum.zeros = sum.subnormals = sum.infinities = sum.nans = 0;
    for (size_t row = 0; row < m.rows; row += n) {
        size_t rows = vg_least(n, m.rows - row);
        vg_slot part;
        vg_stage s = stage_begin(job);
        float finite =
            job->kernels->measure(rows, m.cols, vg_stage_in(&s, m, row, 0, rows, m.cols), &part);
        largest = finite > largest ? finite : largest;
        sum.sum_squares += part.sum_squares;
        sum.max_abs = fmax(sum.max_abs, part.max_abs);
        sum.elements += part.elements;
        sum.zeros += part.zeros;
        sum.subnormals += part.subnormals;
        sum.infinities += part.infinities;
        sum.nans += part.nans;
    }
    *slot = sum;
    return largest;
}

static void census(const vg_job *job, vg_mat a, vg_slot *slot)
{
    double derivative = 0, saturated = 0, dead = 0;
    for (size_t col = 0; col < a.cols; col += PART_COLS) {
        size_t cols = vg_least(PART_COLS, a.cols - col);
        double share = (double)cols / a.cols;
        vg_slot part;
        vg_stage s = stage_begin(job);
        job->kernels->census(a.rows, cols, job->op->activation, (float)job->op->alpha,
                             vg_stage_in(&s, a, 0, col, a.rows, cols), &part);
        derivative += share * part.mean_abs_derivative;
        saturated += share * part.saturated;
        dead += share * part.dead;
    }
    slot->mean_abs_derivative = derivative;
    slot->saturated = saturated;
    slot->dead = dead;
}

static void scale_by_power(const vg_job *job, int exponent, vg_mat x, vg_mat y)
{
    size_t n = part_rows(x.cols);
    for (size_t row = 0; row < x.rows; row += n) {
        size_t rows = vg_least(n, x.rows - row);
        vg_stage s = stage_begin(job);
        vg_rows_in from = vg_stage_in(&s, x, row, 0, rows, x.cols);
        job->kernels->scale_by_power(rows, x.cols, exponent, from,
                                     vg_stage_out(&s, y, row, 0, rows, x.cols));
        vg_stage_end(&s);
    }
}

const vg_signals vg_bf16_signals = {loss, measure, census, scale_by_power};
