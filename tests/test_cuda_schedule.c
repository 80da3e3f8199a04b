/* The order of issue on two streams: every op once, nothing before what it depends on, and weights'
 * gradients beside the chain. Needs no GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_schedule.h"

#include "vg/case.h"
#include "vg/lower.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const cases[] = {
    "stack-tanh/d5/w8/b3/fp32/xavier/seed1",
    "stack-relu/d4/w16/i7/o3/b2/fp32/he/residual/clip1/seed1",
    "stack-maxout/d2/w4/b2/bf16/lecun/seed1",
    "stack-identity/d3/w4/b2/fp32/xavier/seed1",
    "rnn-tanh/d3/w4/b2/t5/fp32/uniform/clip1/seed1",
    "lstm/d2/w4/i3/o2/b2/t3/bf16/uniform/at-all/seed1",
    "gru/d2/w4/b2/t4/fp32/uniform/seed1",
};

static const unsigned sets[] = {
    VG_PASS_FWD,   VG_PASS_BWD_DATA, VG_PASS_BWD_WEIGHTS,
    VG_PASSES_BWD, VG_PASSES_TRAIN,  VG_PASSES_TRAIN | VG_PASS_LOSS,
    VG_PASS_PROBE, VG_PASS_EXACT,    0,
};

static vg_program *lowered(const char *name)
{
    vg_model model;
    vg_program *program;
    const vg_lowering how = {.profile = true};
    if (vg_case_parse(name, &model) != VG_OK || vg_lower(&model, &how, &program) != VG_OK)
        fail_msg("%s: %s", name, vg_reason());
    return program;
}

static bool overlap(const vg_mat *a, const vg_mat *b)
{
    const uint64_t a_end = a->at + ((a->rows - 1) * a->ld + a->cols) * vg_dtype_size(a->dtype);
    const uint64_t b_end = b->at + ((b->rows - 1) * b->ld + b->cols) * vg_dtype_size(b->dtype);
    return a->rows && b->rows && a->at < b_end && b->at < a_end;
}

/* Whether an op touches a window that is read, or only written, by another. */
static bool touches(const vg_op *op, const vg_mat *mat, bool only_writes)
{
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++)
        if ((o->access == VG_WRITES || !only_writes) && overlap(vg_op_mat(op, o), mat))
            return true;
    for (uint32_t i = 0; op->kind == VG_CLIP && i < op->clip.count; i++)
        if (overlap(&op->clip.grads[i], mat))
            return true;
    return false;
}

static bool conflict(const vg_op *a, const vg_op *b)
{
    for (const vg_operand *o = vg_op_operands(a->kind); o->name; o++)
        if (touches(b, vg_op_mat(a, o), o->access == VG_READS))
            return true;
    for (uint32_t i = 0; a->kind == VG_CLIP && i < a->clip.count; i++)
        if (touches(b, &a->clip.grads[i], false))
            return true;
    return false;
}

/* Where an op stands: its number on its stream, and how many of the other's are known to be done.
 */
typedef struct place {
    bool issued, side;
    uint32_t index, known;
} place;

static bool is_before(const place *a, const place *b)
{
    return a->side == b->side ? a->index < b->index : a->index < b->known;
}

static place *places_of(const vg_program *program, const vg_schedule *schedule)
{
    place *places = calloc(program->op_count + 1u, sizeof *places);
    uint32_t issued[2] = {0}, known[2] = {0};
    assert_non_null(places);
    for (uint32_t i = 0; i < schedule->count; i++) {
        const vg_step *s = &schedule->steps[i];
        if (s->waits)
            known[s->side] = issued[!s->side];
        assert_true(s->op < program->op_count && !places[s->op].issued);
        places[s->op] = (place){true, s->side, issued[s->side]++, known[s->side]};
    }
    /* What the side stream was given is waited for in the end. */
    assert_int_equal(schedule->joins, known[0] < issued[1]);
    return places;
}

static void check(const char *name, unsigned passes)
{
    vg_program *program = lowered(name);
    vg_schedule schedule;
    assert_int_equal(vg_schedule_make(program, passes, &schedule), VG_OK);
    place *places = places_of(program, &schedule);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        assert_int_equal(places[i].issued, (op->pass & passes) != 0);
        for (uint32_t j = 0; j < i && places[i].issued; j++)
            if (places[j].issued && conflict(&program->ops[j], op) &&
                !is_before(&places[j], &places[i]))
                fail_msg("%s, passes %u: op %u (%s) does not wait for op %u (%s)", name, passes, i,
                         vg_op_name(op->kind), j, vg_op_name(program->ops[j].kind));
    }
    free(places);
    vg_schedule_free(&schedule);
    vg_program_free(program);
}

static void test_order(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n < sizeof sets / sizeof *sets; n++)
            check(cases[i], sets[n]);
}

/* A layer's weights' gradients begin while the chain is at the layer below. */
static void test_beside(void **unused)
{
    (void)unused;
    vg_program *program = lowered(cases[0]);
    vg_schedule schedule;
    uint32_t side = 0, early = 0, main_left = 0;
    assert_int_equal(vg_schedule_make(program, VG_PASSES_BWD, &schedule), VG_OK);
    for (uint32_t i = schedule.count; i-- > 0;) {
        const vg_step *s = &schedule.steps[i];
        main_left += !s->side;
        side += s->side;
        early += s->side && main_left > 0;
        /* The steps before this one: layer l's gradient follows layer l's data. */
        if (s->side)
            assert_int_equal(program->ops[schedule.steps[i - 1].op].layer,
                             program->ops[s->op].layer);
    }
    assert_int_equal(side, 5);
    assert_int_equal(early, 4);
    vg_schedule_free(&schedule);
    /* Alone they stay where they were. */
    assert_int_equal(vg_schedule_make(program, VG_PASS_BWD_WEIGHTS, &schedule), VG_OK);
    for (uint32_t i = 0; i < schedule.count; i++)
        assert_false(schedule.steps[i].side || schedule.steps[i].waits);
    assert_false(schedule.joins);
    vg_schedule_free(&schedule);
    vg_program_free(program);
}

/* Tens of thousands of layers take no longer than their number. */
static void test_long(void **unused)
{
    (void)unused;
    vg_model model;
    vg_program *program;
    vg_schedule schedule;
    assert_int_equal(vg_case_parse("stack-tanh/d20000/w1/b1/fp32/xavier/seed1", &model), VG_OK);
    assert_int_equal(vg_lower(&model, &(vg_lowering){0}, &program), VG_OK);
    assert_int_equal(vg_schedule_make(program, VG_PASSES_TRAIN, &schedule), VG_OK);
    assert_int_equal(schedule.count, 60000);
    vg_schedule_free(&schedule);
    vg_program_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
