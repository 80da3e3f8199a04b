/* Every kind of model, with every option that changes its program, lowers to one that checks. */
#include "vg/case.h"
#include "vg/lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Cases without seed; each with and without profile, for a device and for the oracle. */
static const char *const cases[] = {
    "stack-sigmoid/d1/w1/b1/fp32/xavier",
    "stack-tanh/d64/w256/b32/fp32/xavier",
    "stack-relu/d3/w17/i5/o3/b7/fp32/he/residual",
    "stack-relu+sigmoid/d2/w8/b4/fp32/he",
    "stack-identity/d3/w8/o8/b4/fp32/orthogonal/residual/clip1",
    "stack-maxout/d3/w9/i4/b5/fp32/lecun/residual/pieces3/loss-ones",
    "stack-tanh+maxout/d2/w9/o4/b5/bf16/xavier/loss-random",
    "stack-leaky_relu/d2/w33/b3/tf32/he/alpha0.2",
    "stack-tanh/d2/w3/b3/fp64/normal:1.5:0.05",
    "rnn-tanh/d1/w1/b1/t1/fp32/uniform",
    "rnn-relu/d3/w17/i5/b3/t7/fp32/identity:0.5/at-all",
    "rnn-sigmoid/d2/w8/o3/b2/t5/bf16/uniform/clip1/loss-ones",
    "lstm/d1/w16/b4/t9/fp32/uniform",
    "lstm/d3/w5/i7/o4/b3/t33/fp32/uniform/fb1/at-all",
    "lstm+maxout/d2/w5/i7/o4/b3/t6/bf16/uniform/clip0.5/pieces3",
    "gru/d2/w20/i3/b2/t40/fp32/orthogonal/loss-random",
    "gru+tanh/d1/w6/o6/b5/t3/fp64/uniform/at-all/h0-0.5",
};

static vg_program *lower(const char *name, vg_lowering how)
{
    char full[VG_CASE_NAME];
    vg_model model;
    vg_program *program = NULL;
    uint64_t bytes = 0;
    snprintf(full, sizeof full, "%s/seed1", name);
    if (vg_case_parse(full, &model) || vg_lower(&model, &how, &program) ||
        vg_program_check(program) || vg_lower_bytes(&model, &how, &bytes))
        fail_msg("%s: %s", full, vg_reason());
    assert_int_equal(bytes, program->arena_bytes);
    return program;
}

static void test_lowers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int flags = 0; flags < 4; flags++)
            for (uint64_t piece = 0; piece < 40; piece += 13)
                vg_program_free(lower(cases[i], (vg_lowering){flags & 1, flags & 2, piece}));
}

/* --- every broken window is found --- */

static vg_mat *operand_of(vg_op *op, const vg_operand *operand)
{
    return (vg_mat *)(void *)((char *)op + operand->offset);
}

static void assert_caught(const vg_program *program, const vg_op *op, const char *operand,
                          const char *what)
{
    if (vg_program_check(program) != VG_INVALID)
        fail_msg("%s, layer %u, %s %s: not caught", vg_op_name(op->kind), op->layer, operand, what);
}

static void break_window(const vg_program *program, vg_op *op, const vg_operand *o)
{
    vg_mat *mat = operand_of(op, o), whole = *mat;
    bool free_shape = op->kind == VG_MEASURE || op->kind == VG_CENSUS;
    mat->at = program->arena_bytes;
    assert_caught(program, op, o->name, "outside the arena");
    mat->at = UINT64_MAX - 63;
    assert_caught(program, op, o->name, "beyond 64 bits");
    mat->at = whole.at + vg_dtype_size(whole.dtype) / 2;
    if (whole.dtype != VG_U8)
        assert_caught(program, op, o->name, "misaligned");
    *mat = whole;
    mat->ld = whole.cols - 1;
    assert_caught(program, op, o->name, "with short rows");
    mat->ld = whole.ld;
    mat->dtype = VG_TF32;
    assert_caught(program, op, o->name, "of no dtype");
    mat->dtype = whole.dtype;
    if (!free_shape) {
        mat->cols = whole.cols + 1;
        assert_caught(program, op, o->name, "with a column more");
        mat->cols = whole.cols;
        mat->rows = whole.rows + 1;
        assert_caught(program, op, o->name, "with a row more");
    }
    *mat = whole;
}

static bool may_lie_over(const vg_op *op, const vg_operand *out, const vg_operand *in)
{
    static const char *const pairs[][2] = {
        {"dh_0", "dh_T"}, {"dc_0", "dc_T"}, {"out_0", "in_0"}, {"out_1", "in_1"}, {"out_2", "in_2"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(pairs[i][0], out->name) == 0 && strcmp(pairs[i][1], in->name) == 0)
            return true;
    return vg_op_mat(op, out)->at == vg_op_mat(op, in)->at;
}

static void break_aliasing(const vg_program *program, vg_op *op, const vg_operand *o)
{
    vg_mat *mat = operand_of(op, o), whole = *mat;
    for (const vg_operand *over = vg_op_operands(op->kind); over->name; over++) {
        const vg_mat *other = vg_op_mat(op, over);
        if (over == o || other->rows == 0 || may_lie_over(op, o, over) || may_lie_over(op, over, o))
            continue;
        mat->at = other->at;
        assert_caught(program, op, o->name, over->name);
        *mat = whole;
    }
}

static void test_broken_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_program *program = lower(cases[i], (vg_lowering){false, true, 3});
        for (uint32_t k = 0; k < program->op_count && k < 400; k++) {
            vg_op *op = &program->ops[k];
            for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++) {
                if (vg_op_mat(op, o)->rows == 0)
                    continue;
                break_window(program, op, o);
                if (o->access == VG_WRITES)
                    break_aliasing(program, op, o);
            }
        }
        assert_int_equal(vg_program_check(program), VG_OK);
        vg_program_free(program);
    }
}

static vg_op *find_op(vg_program *program, vg_op_kind kind, vg_pass pass)
{
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == kind && program->ops[i].pass == pass)
            return &program->ops[i];
    fail_msg("no %s", vg_op_name(kind));
    return NULL;
}

/* One value broken, the check, and the value put back. */
#define BREAK(lvalue, broken)                                                                      \
    do {                                                                                           \
        __typeof__(lvalue) kept = (lvalue);                                                        \
        (lvalue) = (broken);                                                                       \
        if (vg_program_check(program) != VG_INVALID)                                               \
            fail_msg("%s = %s: not caught", #lvalue, #broken);                                     \
        (lvalue) = kept;                                                                           \
        assert_int_equal(vg_program_check(program), VG_OK);                                        \
    } while (0)

static void test_broken_fields(void **state)
{
    (void)state;
    vg_program *program =
        lower("lstm/d2/w5/i7/o4/b3/t33/fp32/uniform/clip1", (vg_lowering){false, true, 4});
    vg_op *fwd = find_op(program, VG_SCAN_FWD, VG_PASS_FWD);
    vg_op *piece = find_op(program, VG_SCAN_BWD, VG_PASS_EXACT);
    vg_op *measure = find_op(program, VG_MEASURE, VG_PASS_PROBE);
    vg_op *rescale = find_op(program, VG_RESCALE, VG_PASS_EXACT);
    vg_op *clip = find_op(program, VG_CLIP, VG_PASS_BWD_WEIGHTS);
    vg_op *dense = find_op(program, VG_DENSE_FWD, VG_PASS_FWD);
    BREAK(fwd->kind, VG_OP_COUNT);
    BREAK(fwd->cell, VG_stack);
    BREAK(fwd->cell, VG_gru);
    BREAK(fwd->batch, 2);
    BREAK(fwd->batch, 0);
    BREAK(fwd->t1, 34);
    BREAK(fwd->t0, 33);
    BREAK(fwd->scan_fwd.state0[0].at, fwd->scan_fwd.state0[0].at + 64);
    BREAK(fwd->scan_fwd.state0[0].at, fwd->scan_fwd.state0[0].at - 64);
    BREAK(fwd->pass, VG_PASS_LOSS);
    BREAK(fwd->pass, VG_PASS_FWD | VG_PASS_LOSS);
    BREAK(fwd->slot, 0);
    BREAK(piece->scan_bwd.dstate0[1].rows, 0);
    BREAK(piece->scan_bwd.dgates_h.at, piece->scan_bwd.dy.at);
    BREAK(measure->slot, program->slot_count);
    BREAK(measure->slot, VG_NO_SLOT);
    BREAK(measure->measure.segment_rows, 0);
    BREAK(rescale->rescale.exponent[0], program->slot_count);
    BREAK(rescale->rescale.in[0].rows, 0);
    BREAK(clip->clip.count, 0);
    BREAK(clip->clip.max_norm, 0);
    BREAK(((vg_mat *)(uintptr_t)clip->clip.grads)[3].at, program->arena_bytes);
    BREAK(dense->activation, VG_maxout);
    BREAK(program->arena_bytes, program->arena_bytes / 2);
    BREAK(program->slot_count, program->slot_count - 1);
    BREAK(program->tensors[0].shape[0], 4);
    BREAK(program->tensors[2].axes, 4);
    BREAK(program->profiles[0].plain, program->slot_count);
    BREAK(program->profiles[1].exponent, program->slot_count);
    BREAK(program->profiles[2].steps, program->slot_count);
    vg_program_free(program);
}

/* --- what stands in a program --- */

static void assert_shape(const vg_program *program, const char *name, vg_role role, uint32_t axes,
                         uint64_t a, uint64_t b, uint64_t c)
{
    const vg_tensor *t = vg_program_tensor(program, name);
    if (!t)
        fail_msg("no tensor %s", name);
    if (t->role != role || t->axes != axes || t->shape[0] != a || (axes > 1 && t->shape[1] != b) ||
        (axes > 2 && t->shape[2] != c))
        fail_msg("tensor %s: another role or shape", name);
}

static void test_tensors(void **state)
{
    (void)state;
    vg_program *p =
        lower("lstm/d2/w5/i7/o4/b3/t6/fp32/uniform/at-all", (vg_lowering){false, false, 0});
    assert_shape(p, "x", VG_ROLE_INPUT, 3, 6, 3, 7);
    assert_shape(p, "target", VG_ROLE_INPUT, 3, 6, 3, 4);
    assert_shape(p, "weight_ih_l0", VG_ROLE_WEIGHT, 2, 20, 7, 0);
    assert_shape(p, "weight_ih_l1", VG_ROLE_WEIGHT, 2, 20, 5, 0);
    assert_shape(p, "weight_hh_l1", VG_ROLE_WEIGHT, 2, 20, 5, 0);
    assert_shape(p, "bias_hh_l0", VG_ROLE_BIAS, 1, 20, 0, 0);
    assert_shape(p, "weight_out", VG_ROLE_WEIGHT, 2, 4, 5, 0);
    assert_shape(p, "h_0_l1", VG_ROLE_INPUT, 3, 1, 3, 5);
    assert_shape(p, "c_n_l1", VG_ROLE_OUTPUT, 3, 1, 3, 5);
    assert_shape(p, "y", VG_ROLE_OUTPUT, 3, 6, 3, 4);
    assert_shape(p, "dy", VG_ROLE_GRADIENT, 3, 6, 3, 4);
    assert_shape(p, "dx", VG_ROLE_GRADIENT, 3, 6, 3, 7);
    assert_shape(p, "dc_0_l0", VG_ROLE_GRADIENT, 3, 1, 3, 5);
    assert_shape(p, "dbias_ih_l1", VG_ROLE_GRADIENT, 1, 20, 0, 0);
    assert_shape(p, "dbias_out", VG_ROLE_GRADIENT, 1, 4, 0, 0);
    assert_null(vg_program_tensor(p, "h_0"));
    vg_program_free(p);
    p = lower("gru/d1/w5/b3/t6/fp32/uniform/loss-ones", (vg_lowering){false, false, 0});
    assert_shape(p, "h_0", VG_ROLE_INPUT, 3, 1, 3, 5);
    assert_shape(p, "dh_0", VG_ROLE_GRADIENT, 3, 1, 3, 5);
    assert_shape(p, "h_n", VG_ROLE_OUTPUT, 3, 1, 3, 5);
    assert_shape(p, "y", VG_ROLE_OUTPUT, 3, 6, 3, 5);
    assert_shape(p, "dy", VG_ROLE_GRADIENT, 2, 3, 5, 0);
    assert_null(vg_program_tensor(p, "target"));
    assert_null(vg_program_tensor(p, "c_0"));
    vg_program_free(p);
    p = lower("stack-maxout/d2/w9/i4/b5/fp32/lecun/pieces3", (vg_lowering){false, false, 0});
    assert_shape(p, "weight_0", VG_ROLE_WEIGHT, 2, 27, 4, 0);
    assert_shape(p, "dbias_1", VG_ROLE_GRADIENT, 1, 27, 0, 0);
    assert_shape(p, "y", VG_ROLE_OUTPUT, 2, 5, 9, 0);
    vg_program_free(p);
}

/* The counts of work: forward, and each backward pass the same. */
static void test_flop(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double forward;
    } rows[] = {
        {"stack-tanh/d3/w9/i4/o2/b5/fp32/xavier", 2 * 5 * (4 * 9 + 2 * 9 * 9 + 9 * 2)},
        {"stack-maxout/d2/w9/i4/b5/fp32/lecun/pieces3", 2 * 5 * 3 * (4 * 9 + 9 * 9)},
        {"lstm/d2/w5/i7/o4/b3/t6/fp32/uniform",
         2 * 6 * 3 * 20 * ((7 + 5) + (5 + 5)) + 2 * 3 * 5 * 4},
        {"lstm/d2/w5/i7/o4/b3/t6/fp32/uniform/at-all",
         2 * 6 * 3 * 20 * ((7 + 5) + (5 + 5)) + 2 * 6 * 3 * 5 * 4},
        {"gru/d1/w5/b3/t6/fp32/uniform/clip1", 2 * 6 * 3 * 15 * 10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_program *p = lower(rows[i].name, (vg_lowering){false, true, 0});
        assert_true(vg_program_flop(p, VG_PASS_FWD) == rows[i].forward);
        assert_true(vg_program_flop(p, VG_PASS_BWD_DATA) == rows[i].forward);
        assert_true(vg_program_flop(p, VG_PASS_BWD_WEIGHTS) == rows[i].forward);
        assert_true(vg_program_flop(p, VG_PASS_LOSS) == 0);
        vg_program_free(p);
    }
    vg_program *p = lower("stack-tanh/d1/w16/b4/fp32/xavier", (vg_lowering){false, false, 0});
    assert_true(vg_program_bytes(p, VG_PASS_FWD) == 4 * (4 * 16 + 16 * 16 + 16 + 4 * 16));
    vg_program_free(p);
    p = lower("stack-identity/d1/w16/b4/fp32/xavier/residual", (vg_lowering){false, false, 0});
    assert_true(vg_program_bytes(p, VG_PASS_FWD) == 4 * (4 * 16 + 16 * 16 + 16 + 2 * 4 * 16));
    assert_true(vg_program_bytes(p, VG_PASS_BWD_DATA) == 4 * (4 * 16 + 16 * 16 + 4 * 16));
    vg_program_free(p);
}

/* Rows are padded to 16 elements and windows stand on cache lines. */
static void test_layout(void **state)
{
    (void)state;
    vg_program *p = lower("gru/d2/w5/i17/b3/t6/bf16/uniform", (vg_lowering){false, false, 0});
    for (uint32_t i = 0; i < p->tensor_count; i++)
        assert_int_equal(p->tensors[i].mat.ld, (p->tensors[i].mat.cols + 15) / 16 * 16);
    assert_int_equal(vg_program_tensor(p, "x")->mat.at % 64, 0);
    assert_int_equal(vg_program_tensor(p, "x")->mat.dtype, VG_BF16);
    assert_int_equal(vg_program_tensor(p, "bias_ih_l0")->mat.dtype, VG_FP32);
    assert_int_equal(vg_program_tensor(p, "dweight_hh_l0")->mat.dtype, VG_FP32);
    assert_int_equal(vg_program_tensor(p, "h_0_l0")->mat.dtype, VG_BF16);
    vg_program_free(p);
    p = lower("stack-tanh/d2/w5/b3/tf32/xavier", (vg_lowering){false, false, 0});
    assert_true(p->storage == VG_FP32 && vg_program_tensor(p, "weight_0")->mat.dtype == VG_FP32);
    vg_program_free(p);
}

/* A million steps: the exact reading in pieces of 16. */
static void test_long_sequence(void **state)
{
    (void)state;
    vg_program *p = lower("lstm/d1/w4/b1/t1000000/fp32/uniform", (vg_lowering){false, true, 0});
    assert_int_equal(p->exact_piece, 16);
    assert_in_range(p->op_count, 2 * 62500, 2 * 62500 + 100);
    vg_program_free(p);
    p = lower("lstm/d1/w4/b1/t4096/fp32/uniform", (vg_lowering){false, true, 0});
    assert_int_equal(p->exact_piece, 1);
    vg_program_free(p);
}

static void test_too_large(void **state)
{
    (void)state;
    static const char *const names[] = {
        "lstm/d65536/w65536/b65536/t16777216/fp32/uniform/seed1",
        "rnn-tanh/d1024/w1/b1/t16777216/fp32/uniform/seed1",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vg_model model;
        vg_program *program = NULL;
        uint64_t bytes = 7;
        vg_lowering how = {false, true, 0};
        assert_int_equal(vg_case_parse(names[i], &model), VG_OK);
        assert_int_equal(vg_lower_bytes(&model, &how, &bytes), VG_NO_MEMORY);
        assert_int_equal(vg_lower(&model, &how, &program), VG_NO_MEMORY);
        assert_true(bytes == 7 && program == NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowers),        cmocka_unit_test(test_broken_windows),
        cmocka_unit_test(test_broken_fields), cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_flop),          cmocka_unit_test(test_layout),
        cmocka_unit_test(test_long_sequence), cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
