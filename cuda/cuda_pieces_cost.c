/* What pieces are predicted to cost. A wavefront moves on by a slot when the slowest of what runs
 * beside each other is done: the recurrences' pieces, each on multiprocessors of its own, and on
 * those that are left the products of the pieces that come next. Nothing here has been measured:
 * the rates are those of scan_rates.h. */
#include "cuda_exec.h"
#include "cuda_pieces.h"
#include "scan_rates.h"
#include "whole_numbers.h"

/* Of a layer, and of all layers together: a graph's nodes cost time and memory too. */
enum { MOST_PIECES = 32, MOST_IN_ALL = 1024 };

/* Pieces must promise that much. */
#define LEAST_GAIN 1.1
/* One layer in one direction. */
typedef struct vg_stage {
    double scan_s, product_s; /* of a piece; the product with the whole chip to itself */
    double busy;              /* multiprocessors of the recurrence; 0: all */
} vg_stage;

static double product_s(const vg_device *device, const vg_program *program, const vg_op *op,
                        double share)
{
    const double rate = device->chip.multiprocessors * vg_product_rate(program->model.dtype);
    return VG_GRAPH_NODE_S + vg_op_flop(op) / 2 * share / rate;
}

static vg_status look_at(vg_device *device, const vg_program *program, const vg_op *op,
                         uint32_t count, vg_stage *stage)
{
    const vg_scan_regime *regime;
    if (op->kind == VG_DENSE_FWD || op->kind == VG_DENSE_BWD_DATA) {
        stage->product_s = vg_larger(stage->product_s, product_s(device, program, op, 1.0 / count));
        return VG_OK;
    }
    VG_TRY(vg_scan_pick(device, op, program->model.dtype, &regime));
    vg_op piece = *op;
    piece.t1 = piece.t0 + (op->t1 - op->t0 + count - 1) / count;
    stage->scan_s = vg_larger(stage->scan_s, regime->cost_s(device, &piece, program->model.dtype));
    stage->busy = regime->busy ? regime->busy(device, op, program->model.dtype) : 0;
    return VG_OK;
}

/* A pass over all layers, as slow as the slowest of them each. */
static double pass_s(const vg_device *device, const vg_stage *s, double layers, double count)
{
    const double chip = device->chip.multiprocessors, left = chip - s->busy;
    if (count == 1)
        return layers * (s->scan_s + s->product_s);
    if (s->busy <= 0 || left < 1)
        return count * layers * (s->scan_s + s->product_s);
    double wide = vg_smaller(vg_smaller(layers, VG_LAYER_LANES), (double)(int)(chip / s->busy));
    /* One that leaves nothing to the products is worth less than one fewer. */
    if (wide > 1 && chip - wide * s->busy < s->busy)
        wide--;
    const double rest = vg_larger(1, chip - wide * s->busy);
    const double slots = count * (double)(int)((layers + wide - 1) / wide) + wide - 1;
    const double slot =
        vg_larger(s->scan_s, wide * s->product_s * chip / rest) + 2 * VG_GRAPH_NODE_S;
    return s->product_s + slots * slot;
}

/* Weights' gradients: in pieces they come when all layers are done, else beside the next layer's
 * recurrence, but for the last one's. */
static double weights_s(const vg_device *device, const vg_program *program, uint32_t count)
{
    double all = 0, layers = program->model.depth;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == VG_DENSE_BWD_WEIGHTS &&
            program->ops[i].pass == VG_PASS_BWD_WEIGHTS)
            all += product_s(device, program, &program->ops[i], 1);
    return count > 1 ? all : all / layers;
}

static vg_status train_s(vg_device *device, const vg_program *program, uint32_t count, double *out)
{
    vg_stage forward = {0}, backward = {0};
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (vg_pieces_cuts(program, op))
            VG_TRY(look_at(device, program, op, count,
                           op->pass == VG_PASS_FWD ? &forward : &backward));
    }
    const double layers = program->model.depth;
    *out = pass_s(device, &forward, layers, count) + pass_s(device, &backward, layers, count) +
           weights_s(device, program, count);
    return VG_OK;
}

vg_status vg_pieces_choose(vg_device *device, const vg_program *program, uint32_t *out)
{
    double whole, best;
    *out = 1;
    if (program->model.kind == VG_stack)
        return VG_OK;
    VG_TRY(train_s(device, program, 1, &whole));
    best = whole / LEAST_GAIN;
    for (uint32_t count = 2; count <= MOST_PIECES && count <= program->model.seq_len; count *= 2) {
        double seconds;
        if ((uint64_t)count * program->model.depth > MOST_IN_ALL)
            break;
        VG_TRY(train_s(device, program, count, &seconds));
        if (seconds < best) {
            best = seconds;
            *out = count;
        }
    }
    return VG_OK;
}
