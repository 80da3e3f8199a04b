/* Programs as data: names, operands, cost, lookup. */
#include "vg/program.h"

#include <stdlib.h>
#include <string.h>

const char *vg_op_name(vg_op_kind kind)
{
    static const char *const names[VG_OP_COUNT] = {
        [VG_DENSE_FWD] = "dense_fwd",
        [VG_DENSE_BWD_DATA] = "dense_bwd_data",
        [VG_DENSE_BWD_WEIGHTS] = "dense_bwd_weights",
        [VG_SCAN_FWD] = "scan_fwd",
        [VG_SCAN_BWD] = "scan_bwd",
        [VG_LOSS_OP] = "loss",
        [VG_CLIP] = "clip",
        [VG_MEASURE] = "measure",
        [VG_CENSUS] = "census",
        [VG_RESCALE] = "rescale",
    };
    return (unsigned)kind < VG_OP_COUNT ? names[kind] : "unknown";
}

#define READS(name, field)                                                                         \
    {                                                                                              \
        name, offsetof(vg_op, field), VG_READS                                                     \
    }
#define WRITES(name, field)                                                                        \
    {                                                                                              \
        name, offsetof(vg_op, field), VG_WRITES                                                    \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, 0, VG_READS                                                                          \
    }

static const vg_operand dense_fwd[] = {READS("x", dense_fwd.x),
                                       READS("weight", dense_fwd.weight),
                                       READS("bias", dense_fwd.bias),
                                       READS("skip", dense_fwd.skip),
                                       WRITES("y", dense_fwd.y),
                                       WRITES("a", dense_fwd.a),
                                       WRITES("winner", dense_fwd.winner),
                                       END};
static const vg_operand dense_bwd_data[] = {READS("dy", dense_bwd_data.dy),
                                            READS("a", dense_bwd_data.a),
                                            READS("winner", dense_bwd_data.winner),
                                            READS("weight", dense_bwd_data.weight),
                                            WRITES("dz", dense_bwd_data.dz),
                                            WRITES("dx", dense_bwd_data.dx),
                                            END};
static const vg_operand dense_bwd_weights[] = {
    READS("dz", dense_bwd_weights.dz), READS("x", dense_bwd_weights.x),
    WRITES("dweight", dense_bwd_weights.dweight), WRITES("dbias", dense_bwd_weights.dbias), END};
static const vg_operand scan_fwd[] = {
    READS("preact_x", scan_fwd.preact_x), READS("weight_hh", scan_fwd.weight_hh),
    READS("bias_hh", scan_fwd.bias_hh),   READS("h_0", scan_fwd.state0[0]),
    READS("c_0", scan_fwd.state0[1]),     WRITES("y", scan_fwd.y),
    WRITES("reserve", scan_fwd.reserve),  END};
static const vg_operand scan_bwd[] = {READS("reserve", scan_bwd.reserve),
                                      READS("y", scan_bwd.y),
                                      READS("h_0", scan_bwd.state0[0]),
                                      READS("c_0", scan_bwd.state0[1]),
                                      READS("dy", scan_bwd.dy),
                                      READS("dh_T", scan_bwd.dstateT[0]),
                                      READS("dc_T", scan_bwd.dstateT[1]),
                                      READS("weight_hh", scan_bwd.weight_hh),
                                      WRITES("dgates_x", scan_bwd.dgates_x),
                                      WRITES("dgates_h", scan_bwd.dgates_h),
                                      WRITES("dh_0", scan_bwd.dstate0[0]),
                                      WRITES("dc_0", scan_bwd.dstate0[1]),
                                      WRITES("dh", scan_bwd.dh),
                                      WRITES("dc", scan_bwd.dc),
                                      END};
static const vg_operand loss[] = {READS("y", loss.y), READS("target", loss.target),
                                  WRITES("dy", loss.dy), END};
static const vg_operand clip[] = {END};
static const vg_operand measure[] = {READS("window", measure.window), END};
static const vg_operand census[] = {READS("a", census.a), END};
static const vg_operand rescale[] = {READS("in_0", rescale.in[0]),
                                     READS("in_1", rescale.in[1]),
                                     READS("in_2", rescale.in[2]),
                                     WRITES("out_0", rescale.out[0]),
                                     WRITES("out_1", rescale.out[1]),
                                     WRITES("out_2", rescale.out[2]),
                                     END};

const vg_operand *vg_op_operands(vg_op_kind kind)
{
    static const vg_operand *const tables[VG_OP_COUNT] = {
        [VG_DENSE_FWD] = dense_fwd,
        [VG_DENSE_BWD_DATA] = dense_bwd_data,
        [VG_DENSE_BWD_WEIGHTS] = dense_bwd_weights,
        [VG_SCAN_FWD] = scan_fwd,
        [VG_SCAN_BWD] = scan_bwd,
        [VG_LOSS_OP] = loss,
        [VG_CLIP] = clip,
        [VG_MEASURE] = measure,
        [VG_CENSUS] = census,
        [VG_RESCALE] = rescale,
    };
    return (unsigned)kind < VG_OP_COUNT ? tables[kind] : clip;
}

static uint64_t segments(uint64_t rows, uint64_t segment_rows)
{
    return segment_rows ? rows / segment_rows + (rows % segment_rows != 0) : 0;
}

uint64_t vg_op_slots(const vg_op *op)
{
    switch (op->kind) {
    case VG_LOSS_OP:
    case VG_RESCALE: return 1;
    case VG_CLIP: return 2;
    case VG_MEASURE: return segments(op->measure.window.rows, op->measure.segment_rows);
    case VG_CENSUS: return segments(op->census.a.rows, op->census.segment_rows);
    default: return 0;
    }
}

double vg_op_flop(const vg_op *op)
{
    const vg_mat *w;
    double rows;
    switch (op->kind) {
    case VG_DENSE_FWD:
        w = &op->dense_fwd.weight;
        rows = (double)op->dense_fwd.x.rows;
        break;
    case VG_DENSE_BWD_DATA:
        w = &op->dense_bwd_data.weight;
        rows = (double)op->dense_bwd_data.dy.rows;
        break;
    case VG_DENSE_BWD_WEIGHTS:
        w = &op->dense_bwd_weights.dweight;
        rows = (double)op->dense_bwd_weights.x.rows;
        break;
    case VG_SCAN_FWD:
        w = &op->scan_fwd.weight_hh;
        rows = (double)(op->t1 - op->t0) * op->batch;
        break;
    case VG_SCAN_BWD:
        w = &op->scan_bwd.weight_hh;
        rows = (double)(op->t1 - op->t0) * op->batch;
        break;
    default: return 0;
    }
    return 2 * rows * (double)w->rows * w->cols;
}

static bool same_window(const vg_mat *a, const vg_mat *b)
{
    return a->at == b->at && a->rows == b->rows && a->cols == b->cols && a->dtype == b->dtype;
}

bool vg_op_leaves(const vg_op *op, const vg_mat *mat)
{
    return op->kind == VG_DENSE_BWD_DATA && op->activation == VG_identity &&
           (mat == &op->dense_bwd_data.a || mat == &op->dense_bwd_data.dz);
}

static double mat_bytes(const vg_op *op, const vg_mat *mat)
{
    double rows = (double)mat->rows;
    const vg_mat *whole = op->kind == VG_SCAN_FWD   ? &op->scan_fwd.y
                          : op->kind == VG_SCAN_BWD ? &op->scan_bwd.y
                                                    : NULL;
    if (whole && mat->rows == whole->rows && mat->rows > op->batch)
        rows = (double)(op->t1 - op->t0) * op->batch;
    return rows * mat->cols * (double)vg_dtype_size(mat->dtype);
}

double vg_op_bytes(const vg_op *op)
{
    double bytes = 0;
    if (op->kind == VG_CLIP)
        for (uint32_t i = 0; i < op->clip.count; i++)
            bytes += 2 * mat_bytes(op, &op->clip.grads[i]);
    const vg_operand *operands = vg_op_operands(op->kind);
    for (const vg_operand *o = operands; o->name; o++) {
        const vg_mat *mat = vg_op_mat(op, o);
        bool counted = mat->rows == 0 || vg_op_leaves(op, mat);
        for (const vg_operand *p = operands; p != o && !counted; p++)
            counted = p->access == o->access && same_window(vg_op_mat(op, p), mat);
        bytes += counted ? 0 : mat_bytes(op, mat);
    }
    return bytes;
}

double vg_program_flop(const vg_program *program, unsigned passes)
{
    double flop = 0;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].pass & passes)
            flop += vg_op_flop(&program->ops[i]);
    return flop;
}

double vg_program_bytes(const vg_program *program, unsigned passes)
{
    double bytes = 0;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].pass & passes)
            bytes += vg_op_bytes(&program->ops[i]);
    return bytes;
}

const vg_tensor *vg_program_tensor(const vg_program *program, const char *name)
{
    for (uint32_t i = 0; i < program->tensor_count; i++)
        if (strcmp(program->tensors[i].name, name) == 0)
            return &program->tensors[i];
    return NULL;
}

void vg_program_free(vg_program *program)
{
    if (!program)
        return;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == VG_CLIP)
            free((void *)(uintptr_t)program->ops[i].clip.grads);
    free(program->ops);
    free(program->tensors);
    free(program->profiles);
    free(program);
}
