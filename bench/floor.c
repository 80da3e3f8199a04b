/* The floor of a case: what its arithmetic and its bytes cost at the measured peaks. */
#include "floor.h"

#include <math.h>
#include <string.h>

/* Seconds to move a window once, from or to the smallest level that holds it. */
static double window_seconds(const vg_mat *mat, const vg_peaks *peaks)
{
    double bytes = (double)mat->rows * mat->cols * (double)vg_dtype_size(mat->dtype);
    if (bytes == 0)
        return 0;
    for (uint32_t i = 0; i < peaks->levels; i++)
        if (bytes <= peaks->level[i].capacity_bytes || i + 1 == peaks->levels)
            return bytes / peaks->level[i].bytes_per_s;
    return (double)NAN;
}

static bool is_held(const vg_mat *mat, const vg_peaks *peaks)
{
    return (double)mat->rows * mat->cols * (double)vg_dtype_size(mat->dtype) <= peaks->held_bytes;
}

static bool window_same(const vg_mat *a, const vg_mat *b)
{
    return a->at == b->at && a->rows == b->rows && a->cols == b->cols;
}

/* An operand that is the very window of one before it is counted there. */
static bool operand_repeats(const vg_op *op, const vg_operand *first, const vg_operand *operand)
{
    for (const vg_operand *before = first; before < operand; before++)
        if (window_same(vg_op_mat(op, before), vg_op_mat(op, operand)))
            return true;
    return false;
}

static bool is_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}

/* A step of a scan in whichever way costs least: units shared out and a barrier, batch rows shared
 * out, where each thread reads all the weights, or all of it on one thread. */
static double scan_floor(const vg_op *op, const vg_peaks *peaks, uint32_t threads, double moving,
                         double weights)
{
    const double steps = (double)(op->t1 - op->t0);
    const double computing = vg_op_flop(op) / peaks->flop_per_s;
    if (threads < 2)
        return fmax(computing, moving + weights);
    double least = fmax(computing, moving + weights) + steps * peaks->barrier_s;
    least = fmin(least, fmax(computing * threads, moving + weights));
    if (op->batch >= threads)
        least = fmin(least, fmax(computing, moving + weights * threads));
    return least;
}

static double op_floor(const vg_op *op, const vg_peaks *peaks, uint32_t threads)
{
    double steps = is_scan(op) ? (double)(op->t1 - op->t0) : 1, moving = 0, weights = 0;
    const vg_operand *first = vg_op_operands(op->kind);
    for (const vg_operand *operand = first; operand->name; operand++) {
        if (operand_repeats(op, first, operand))
            continue;
        double seconds = window_seconds(vg_op_mat(op, operand), peaks);
        if (is_scan(op) && strcmp(operand->name, "weight_hh") == 0)
            weights = seconds * (is_held(vg_op_mat(op, operand), peaks) ? 1 : steps);
        else
            moving += seconds;
    }
    if (op->kind == VG_CLIP) /* read for the norm, and at worst written */
        for (uint32_t i = 0; i < op->clip.count; i++)
            moving += 2 * window_seconds(&op->clip.grads[i], peaks);
    double computing = vg_op_flop(op) / peaks->flop_per_s;
    if (isnan(computing) || isnan(moving) || isnan(weights))
        return (double)NAN;
    return is_scan(op) ? scan_floor(op, peaks, threads, moving, weights) : fmax(computing, moving);
}

double vg_floor(const vg_program *program, unsigned passes, const vg_peaks *peaks, uint32_t threads)
{
    double sum = 0;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].pass & passes)
            sum += op_floor(&program->ops[i], peaks, threads);
    return sum;
}
