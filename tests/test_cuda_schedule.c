/* The order of issue on several streams: every op once, nothing before what it depends on, weights'
 * gradients beside the chain, and the pieces of recurrent layers beside each other. Needs no GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_pieces.h"

#include "vg/case.h"
#include "vg/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What an op reads or writes of a window: a scan the rows of its steps, and of the states it reads
 * those of the step before. */
static vg_mat part_of(const vg_op *op, const vg_operand *operand, bool reads)
{
    const vg_mat mat = *vg_op_mat(op, operand);
    const bool forward = op->kind == VG_SCAN_FWD;
    const uint64_t all = forward ? op->scan_fwd.y.rows : op->scan_bwd.y.rows;
    if ((!forward && op->kind != VG_SCAN_BWD) || mat.rows != all ||
        strcmp(operand->name, "weight_hh") == 0)
        return mat;
    const bool states = strcmp(operand->name, "y") == 0 || strcmp(operand->name, "reserve") == 0;
    const uint64_t first = reads && states && op->t0 ? op->t0 - 1 : op->t0;
    return vg_mat_rows(mat, first * op->batch, (op->t1 - first) * op->batch);
}

/* Whether an op touches a window that is read, or only written, by another. */
static bool touches(const vg_op *op, const vg_mat *mat, bool only_writes)
{
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++) {
        const vg_mat part = part_of(op, o, !only_writes);
        if ((o->access == VG_WRITES || !only_writes) && overlap(&part, mat))
            return true;
    }
    for (uint32_t i = 0; op->kind == VG_CLIP && i < op->clip.count; i++)
        if (overlap(&op->clip.grads[i], mat))
            return true;
    return false;
}

static bool conflict(const vg_op *a, const vg_op *b)
{
    for (const vg_operand *o = vg_op_operands(a->kind); o->name; o++) {
        const vg_mat part = part_of(a, o, o->access == VG_READS);
        if (touches(b, &part, o->access == VG_READS))
            return true;
    }
    for (uint32_t i = 0; a->kind == VG_CLIP && i < a->clip.count; i++)
        if (touches(b, &a->clip.grads[i], false))
            return true;
    return false;
}

/* How many ops of each lane are known to be done. */
typedef struct clock {
    uint32_t lanes[VG_LANES];
} clock;

/* Where an op stands: its number on its lane, and what is known when it begins. */
typedef struct place {
    bool issued;
    uint8_t lane;
    uint32_t index;
    clock known;
} place;

static bool is_before(const place *a, const place *b)
{
    return a->lane == b->lane ? a->index < b->index : a->index < b->known.lanes[a->lane];
}

static void learn(clock *c, const clock *more)
{
    for (int lane = 0; lane < VG_LANES; lane++)
        if (more->lanes[lane] > c->lanes[lane])
            c->lanes[lane] = more->lanes[lane];
}

/* What the streams would make of it. An event of nobody yet is no event. */
typedef struct machine {
    clock lanes[VG_LANES], *events;
    bool begun[VG_LANES], *recorded;
} machine;

static void await(machine *m, const vg_schedule *schedule, const vg_step *step)
{
    for (uint32_t i = 0; i < step->wait_count; i++) {
        const uint32_t event = schedule->waits[step->first_wait + i];
        assert_true(event < schedule->event_count && m->recorded[event]);
        learn(&m->lanes[step->lane], &m->events[event]);
        m->begun[step->lane] = true;
    }
}

static place *places_of(const vg_program *program, const vg_schedule *schedule)
{
    place *places = calloc(program->op_count + 1u, sizeof *places);
    machine m = {.events = calloc(schedule->event_count + 1u, sizeof *m.events),
                 .begun = {[VG_LANE_MAIN] = true},
                 .recorded = calloc(schedule->event_count + 1u, sizeof *m.recorded)};
    assert_true(places && m.events && m.recorded);
    clock all = {{0}};
    m.recorded[VG_EVENT_BEGIN] = true;
    for (uint32_t i = 0; i < schedule->count; i++) {
        const vg_step *s = &schedule->steps[i];
        await(&m, schedule, s);
        assert_true(s->op < program->op_count && !places[s->op].issued && m.begun[s->lane]);
        clock *known = &m.lanes[s->lane];
        places[s->op] = (place){true, s->lane, all.lanes[s->lane], *known};
        known->lanes[s->lane] = ++all.lanes[s->lane];
        if (s->event == VG_NO_EVENT)
            continue;
        m.events[s->event] = *known;
        m.recorded[s->event] = true;
    }
    /* What any lane was given is waited for in the end. */
    await(&m, schedule, &schedule->join);
    assert_memory_equal(&m.lanes[VG_LANE_MAIN], &all, sizeof all);
    free(m.events);
    free(m.recorded);
    return places;
}

/* A program in so many pieces, step after step in regime L. */
static void cut(const vg_program *program, uint32_t count, vg_pieces *out)
{
    vg_device device = {.name = "cuda:0", .regime = VG_REGIME_L, .pieces = count};
    device.chip.multiprocessors = 132;
    assert_int_equal(vg_pieces_make(&device, program, out), VG_OK);
}

static void check(const char *name, unsigned passes, uint32_t count)
{
    vg_program *whole = lowered(name);
    vg_pieces pieces;
    vg_schedule schedule;
    cut(whole, count, &pieces);
    const vg_program *program = &pieces.program;
    assert_int_equal(vg_schedule_make(program, pieces.lanes, passes, &schedule), VG_OK);
    place *places = places_of(program, &schedule);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        assert_int_equal(places[i].issued, (op->pass & passes) != 0);
        for (uint32_t j = 0; j < i && places[i].issued; j++)
            if (places[j].issued && conflict(&program->ops[j], op) &&
                !is_before(&places[j], &places[i]))
                fail_msg("%s in %u pieces, passes %u: op %u (%s) does not wait for op %u (%s)",
                         name, count, passes, i, vg_op_name(op->kind), j,
                         vg_op_name(program->ops[j].kind));
    }
    free(places);
    vg_schedule_free(&schedule);
    vg_pieces_free(&pieces);
    vg_program_free(whole);
}

static void test_order(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n < sizeof sets / sizeof *sets; n++)
            for (uint32_t count = 1; count <= 4; count *= 2)
                check(cases[i], sets[n], count);
}

/* A layer's weights' gradients begin while the chain is at the layer below. */
static void test_beside(void **unused)
{
    (void)unused;
    vg_program *program = lowered(cases[0]);
    vg_schedule schedule;
    uint32_t side = 0, early = 0, main_left = 0;
    assert_int_equal(vg_schedule_make(program, NULL, VG_PASSES_BWD, &schedule), VG_OK);
    for (uint32_t i = schedule.count; i-- > 0;) {
        const vg_step *s = &schedule.steps[i];
        const bool aside = s->lane == VG_LANE_SIDE;
        main_left += !aside;
        side += aside;
        early += aside && main_left > 0;
        /* The steps before this one: layer l's gradient follows layer l's data. */
        if (aside)
            assert_int_equal(program->ops[schedule.steps[i - 1].op].layer,
                             program->ops[s->op].layer);
    }
    assert_int_equal(side, 5);
    assert_int_equal(early, 4);
    vg_schedule_free(&schedule);
    /* Alone they stay where they were. */
    assert_int_equal(vg_schedule_make(program, NULL, VG_PASS_BWD_WEIGHTS, &schedule), VG_OK);
    for (uint32_t i = 0; i < schedule.count; i++)
        assert_false(schedule.steps[i].lane || schedule.steps[i].wait_count);
    assert_int_equal(schedule.join.wait_count, 0);
    vg_schedule_free(&schedule);
    vg_program_free(program);
}

/* The op of a kind, layer and piece (by its first step). */
static uint32_t find(const vg_program *program, vg_op_kind kind, uint32_t layer, uint64_t t0)
{
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        const vg_mat *x = &op->dense_fwd.x;
        const bool timed = op->pass == VG_PASS_FWD || op->pass == VG_PASS_BWD_DATA;
        const uint64_t base = program->ops[0].dense_fwd.x.at;
        if (op->kind != kind || op->layer != layer || !timed)
            continue;
        if (kind == VG_DENSE_FWD ? x->at == base + t0 * 2 * x->ld * 4 : op->t0 == t0)
            return i;
    }
    fail_msg("no %s of layer %u from step %llu", vg_op_name(kind), layer, (unsigned long long)t0);
    return 0;
}

/* A layer begins when the piece of the one before it is there; products run ahead of their
 * layer's recurrence; every step of every layer is taken once. */
static void test_wave(void **unused)
{
    (void)unused;
    vg_program *whole = lowered("rnn-tanh/d3/w4/b2/t8/fp32/uniform/seed1");
    vg_pieces pieces;
    vg_schedule schedule;
    cut(whole, 4, &pieces);
    const vg_program *program = &pieces.program;
    assert_int_equal(vg_schedule_make(program, pieces.lanes, VG_PASSES_TRAIN, &schedule), VG_OK);
    place *places = places_of(program, &schedule);
#define BEFORE(a, b) is_before(&places[a], &places[b])
    for (uint32_t layer = 1; layer < 3; layer++)
        for (uint64_t t0 = 0; t0 < 6; t0 += 2) {
            const uint32_t below = find(program, VG_SCAN_FWD, layer, t0),
                           beside = find(program, VG_SCAN_FWD, layer, t0 + 2),
                           above = find(program, VG_SCAN_FWD, layer + 1, t0),
                           back = find(program, VG_SCAN_BWD, layer + 1, t0 + 2),
                           back_beside = find(program, VG_SCAN_BWD, layer + 1, t0),
                           back_below = find(program, VG_SCAN_BWD, layer, t0 + 2);
            assert_true(BEFORE(below, above) && !BEFORE(beside, above) && !BEFORE(above, beside));
            assert_true(BEFORE(back, back_below) && !BEFORE(back_beside, back_below) &&
                        !BEFORE(back_below, back_beside));
        }
    const uint32_t ahead = find(program, VG_DENSE_FWD, 1, 2);
    assert_false(BEFORE(find(program, VG_SCAN_FWD, 1, 0), ahead));
    uint64_t steps[2] = {0};
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (op->kind == VG_SCAN_FWD || (op->kind == VG_SCAN_BWD && op->pass == VG_PASS_BWD_DATA))
            steps[op->kind == VG_SCAN_BWD] += op->t1 - op->t0;
    }
    assert_true(steps[0] == 3 * 8 && steps[1] == 3 * 8);
    free(places);
    vg_schedule_free(&schedule);
    vg_pieces_free(&pieces);
    vg_program_free(whole);
}

/* The number of pieces: as asked for, at most one a step, one of a stack; of itself more than one
 * only where the model promises something, and never in a regime that keeps the whole chip. */
static void test_count(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        vg_regime regime;
        uint32_t asked, least, most;
    } rows[] = {
        {"stack-tanh/d5/w8/b3/fp32/xavier/seed1", VG_REGIME_L, 8, 1, 1},
        {"rnn-tanh/d2/w4/b2/t5/fp32/uniform/seed1", VG_REGIME_L, 8, 5, 5},
        {"rnn-tanh/d2/w4/b2/t5/fp32/uniform/seed1", VG_REGIME_L, 4, 4, 4},
        {"lstm/d4/w512/b16/t512/fp32/uniform/seed1", VG_REGIME_L, 0, 1, 1},
        {"lstm/d4/w128/b8/t1024/fp32/uniform/seed1", VG_REGIME_S, 0, 2, 32},
        {"lstm/d1/w16/b1/t4/fp32/uniform/seed1", VG_REGIME_S, 0, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_program *program = lowered(rows[i].name);
        vg_pieces pieces;
        vg_device device = {.name = "cuda:0", .regime = rows[i].regime, .pieces = rows[i].asked};
        device.chip = (vg_chip){.multiprocessors = 132,
                                .shared_bytes = 232448,
                                .registers = 65536,
                                .threads = 2048,
                                .major = 9};
        assert_int_equal(vg_pieces_make(&device, program, &pieces), VG_OK);
        if (pieces.count < rows[i].least || pieces.count > rows[i].most)
            fail_msg("%s: %u pieces, expected %u to %u", rows[i].name, pieces.count, rows[i].least,
                     rows[i].most);
        vg_pieces_free(&pieces);
        vg_program_free(program);
    }
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
    assert_int_equal(vg_schedule_make(program, NULL, VG_PASSES_TRAIN, &schedule), VG_OK);
    assert_int_equal(schedule.count, 60000);
    assert_true(schedule.event_count <= 4); /* used again and again */
    vg_schedule_free(&schedule);
    vg_program_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_beside), cmocka_unit_test(test_wave),
        cmocka_unit_test(test_count), cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
