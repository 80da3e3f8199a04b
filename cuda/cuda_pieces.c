/* Each layer's two ops become as many as there are pieces, in the order of a wavefront: piece c of
 * layer l with piece c + 1 of the layer before it, and the layer furthest on first, so that what
 * shares a lane is not held up by what was ready later. */
#include "cuda_pieces.h"

#include "cuda_exec.h"
#include "whole_numbers.h"

#include <stdlib.h>

bool vg_pieces_cuts(const vg_program *program, const vg_op *op)
{
    const uint64_t rows = program->model.seq_len * program->model.batch;
    if (program->model.kind == VG_stack || op->layer == 0 || op->layer > program->model.depth)
        return false;
    switch (op->kind) {
    case VG_SCAN_FWD: return op->pass == VG_PASS_FWD;
    case VG_DENSE_FWD: return op->pass == VG_PASS_FWD && op->dense_fwd.y.rows == rows;
    case VG_SCAN_BWD: return op->pass == VG_PASS_BWD_DATA && op->scan_bwd.dstate0[0].rows > 0;
    case VG_DENSE_BWD_DATA:
        return op->pass == VG_PASS_BWD_DATA && op->dense_bwd_data.dx.rows == rows;
    default: return false;
    }
}

/* --- a piece of an op --- */

typedef struct vg_steps {
    uint64_t t0, t1;
} vg_steps;

/* Piece c in the order of running: backward the last steps come first. */
static vg_steps steps_of(const vg_program *program, const vg_op *op, uint32_t count, uint32_t c)
{
    const uint64_t steps = program->model.seq_len;
    const uint64_t n = op->pass == VG_PASS_FWD ? c : count - 1 - c;
    return (vg_steps){steps * n / count, steps * (n + 1) / count};
}

static void cut_rows(vg_mat *m, const vg_program *program, vg_steps steps)
{
    const uint64_t batch = program->model.batch;
    if (m->rows)
        *m = vg_mat_rows(*m, steps.t0 * batch, (steps.t1 - steps.t0) * batch);
}

/* What comes back into the states is handed on where it is wanted in the end. */
static void cut_backward(vg_op *op, const vg_program *program)
{
    vg_scan_bwd *s = &op->scan_bwd;
    if (op->t1 == program->model.seq_len)
        return;
    for (int i = 0; i < VG_MAX_STATES; i++)
        s->dstateT[i] = s->dstate0[i];
    if (s->dy.rows == op->batch) /* of the last step alone */
        s->dy = (vg_mat){0};
}

static vg_op piece_of(const vg_program *program, const vg_op *whole, uint32_t count, uint32_t c)
{
    const vg_steps steps = steps_of(program, whole, count, c);
    vg_op op = *whole;
    switch (op.kind) {
    case VG_DENSE_FWD:
        cut_rows(&op.dense_fwd.x, program, steps);
        cut_rows(&op.dense_fwd.y, program, steps);
        break;
    case VG_DENSE_BWD_DATA:
        cut_rows(&op.dense_bwd_data.dy, program, steps);
        cut_rows(&op.dense_bwd_data.a, program, steps);
        cut_rows(&op.dense_bwd_data.dz, program, steps);
        cut_rows(&op.dense_bwd_data.dx, program, steps);
        break;
    default:
        op.t0 = steps.t0;
        op.t1 = steps.t1;
        if (op.kind == VG_SCAN_BWD)
            cut_backward(&op, program);
    }
    return op;
}

/* --- the list --- */

static vg_status needs_whole_chip(vg_device *device, const vg_program *program, const vg_op *op,
                                  bool *out)
{
    const vg_scan_regime *regime;
    if (op->kind != VG_SCAN_FWD && op->kind != VG_SCAN_BWD)
        return VG_OK;
    VG_TRY(vg_scan_pick(device, op, program->model.dtype, &regime));
    *out = *out || regime->regime == VG_REGIME_M;
    return VG_OK;
}

static uint8_t lane_of(const vg_op *op, bool wave)
{
    const int layer = VG_LANE_LAYERS + 2 * (int)((op->layer - 1) % VG_LAYER_LANES);
    if (op->kind == VG_DENSE_FWD || op->kind == VG_DENSE_BWD_DATA)
        return (uint8_t)(layer + 1);
    return wave ? (uint8_t)layer : VG_LANE_MAIN;
}

static void put(vg_pieces *p, const vg_op *op, uint8_t lane)
{
    p->lanes[p->program.op_count] = lane;
    p->program.ops[p->program.op_count++] = *op;
}

/* `layers` pairs of ops from `first` on. */
static void put_wave(vg_pieces *p, const vg_program *program, const vg_op *first, uint32_t layers,
                     bool wave)
{
    for (uint32_t front = 0; front < layers + p->count - 1; front++)
        for (uint32_t layer = layers; layer-- > 0;) {
            if (layer > front || front - layer >= p->count)
                continue;
            for (uint32_t i = 0; i < 2; i++) {
                const vg_op *whole = &first[2 * layer + i];
                const vg_op op = piece_of(program, whole, p->count, front - layer);
                put(p, &op, lane_of(&op, wave));
            }
        }
}

/* Ops from index on that pieces are made of, each layer's two side by side. */
static uint32_t pairs_from(const vg_program *program, uint32_t index)
{
    uint32_t pairs = 0;
    const vg_op *first = &program->ops[index];
    while (index + 2 * pairs + 1 < program->op_count &&
           vg_pieces_cuts(program, first + 2 * pairs) &&
           vg_pieces_cuts(program, first + 2 * pairs + 1) && first[2 * pairs].pass == first->pass &&
           first[2 * pairs].layer == first[2 * pairs + 1].layer)
        pairs++;
    return pairs;
}

static vg_status cut(vg_device *device, const vg_program *program, vg_pieces *p)
{
    const size_t most = (size_t)program->op_count * p->count;
    bool whole_chip = false;
    p->program.ops = malloc(most * sizeof *p->program.ops);
    p->lanes = calloc(most, 1);
    if (!p->program.ops || !p->lanes)
        VG_FAIL(VG_NO_MEMORY, "no memory for %zu ops", most);
    for (uint32_t i = 0; i < program->op_count; i++)
        if (vg_pieces_cuts(program, &program->ops[i]))
            VG_TRY(needs_whole_chip(device, program, &program->ops[i], &whole_chip));
    p->program.op_count = 0;
    for (uint32_t i = 0; i < program->op_count;) {
        const uint32_t pairs = pairs_from(program, i);
        if (pairs)
            put_wave(p, program, &program->ops[i], pairs, !whole_chip);
        else
            put(p, &program->ops[i], VG_LANE_MAIN);
        i += pairs ? 2 * pairs : 1;
    }
    return VG_OK;
}

vg_status vg_pieces_make(vg_device *device, const vg_program *program, vg_pieces *out)
{
    uint32_t count = device->pieces;
    if (!count)
        VG_TRY(vg_pieces_choose(device, program, &count));
    const bool recurrent = program->model.kind != VG_stack;
    vg_pieces p = {.count = recurrent ? (uint32_t)vg_least(count, program->model.seq_len) : 1,
                   .program = *program};
    if (p.count > 1) {
        p.program.ops = NULL;
        const vg_status status = cut(device, program, &p);
        if (status != VG_OK) {
            vg_pieces_free(&p);
            return status;
        }
    }
    *out = p;
    return VG_OK;
}

void vg_pieces_free(vg_pieces *pieces)
{
    if (pieces->count > 1)
        free(pieces->program.ops);
    free(pieces->lanes);
    *pieces = (vg_pieces){0};
}
