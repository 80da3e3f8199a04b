/* Backward is the derivative of forward: central differences of the loss, in double, by every
 * weight, bias, input and state of small models, and along random directions of long sequences. */
#include "loaded_case.h"
#include "ref.h"

#include <stdio.h>

static const vg_lowering oracle = {.oracle = true};

static double loss_of(const loaded_case *c)
{
    double loss = NAN;
    vg_slot *slots = calloc(c->program->slot_count + 1, sizeof *slots);
    assert_non_null(slots);
    run_passes(c, VG_PASS_FWD | VG_PASS_LOSS);
    assert_ok(c->driver->slots(c->exec, slots));
    for (uint32_t i = 0; i < c->program->op_count; i++)
        if (c->program->ops[i].kind == VG_LOSS_OP)
            loss = slots[c->program->ops[i].slot].sum_squares;
    free(slots);
    return loss;
}

/* dweight_0 of weight_0, dx of x, dh_0 of h_0; null: no gradient by this one (target). */
static const vg_tensor *gradient_of(const loaded_case *c, const vg_tensor *t)
{
    char name[40];
    snprintf(name, sizeof name, "d%s", t->name);
    return vg_program_tensor(c->program, name);
}

/* The derivative of the loss along `direction` of one tensor. */
static double difference(const loaded_case *c, const vg_tensor *t, const double *at,
                         const double *direction, double step)
{
    const uint64_t count = elements_of(&t->mat);
    double *moved = calloc(count, sizeof *moved), loss[2];
    assert_non_null(moved);
    for (int side = 0; side < 2; side++) {
        for (uint64_t n = 0; n < count; n++)
            moved[n] = at[n] + (side ? step : -step) * direction[n];
        assert_ok(c->driver->write(c->exec, t->mat, moved));
        loss[side] = loss_of(c);
    }
    assert_ok(c->driver->write(c->exec, t->mat, at));
    free(moved);
    return (loss[1] - loss[0]) / (2 * step);
}

static double norm_of(const double *v, uint64_t count)
{
    double sum = 0;
    for (uint64_t n = 0; n < count; n++)
        sum += v[n] * v[n];
    return sqrt(sum);
}

/* A single parameter: truncation h² and cancellation 2^-52 / h balance near h = 1e-5, and so small
 * a step crosses no kink. A direction: the loss is a long sum and cancellation weighs more, so that
 * a larger step is taken and its h² removed (Richardson 1911). */
static double derivative(const loaded_case *c, const vg_tensor *t, const double *at,
                         const double *direction, double length, bool smooth)
{
    if (!smooth)
        return difference(c, t, at, direction, 0x1p-17 / length);
    const double wide = difference(c, t, at, direction, 0x1p-10 / length);
    return (4 * difference(c, t, at, direction, 0x1p-11 / length) - wide) / 3;
}
static const double difference_tolerance = 1e-8;

static void check_tensor(const loaded_case *c, const vg_tensor *t, bool directions)
{
    const vg_tensor *gradient = gradient_of(c, t);
    if (!gradient) {
        assert_string_equal(t->name, "target");
        return;
    }
    const uint64_t count = elements_of(&t->mat);
    double *at = read_window(c, t->mat), *g = read_window(c, gradient->mat);
    double *direction = calloc(count, sizeof *direction);
    assert_non_null(direction);
    const double norm = norm_of(g, count), loss = loss_of(c);
    uint64_t state = 77;
    assert_true(norm > 0);
    for (uint64_t n = 0; n < (directions ? 3 : count); n++) {
        double expected = 0, length;
        for (uint64_t k = 0; k < count; k++)
            direction[k] = directions ? random_value(&state) : k == n;
        length = norm_of(direction, count);
        for (uint64_t k = 0; k < count; k++)
            expected += g[k] * direction[k];
        const double found = derivative(c, t, at, direction, length, directions);
        const double lost = directions ? 0x1p-46 * fabs(loss) * length / 0x1p-11 : 0;
        if (!(fabs(found - expected) <= difference_tolerance * norm * length + lost))
            fail_msg("%s [%llu]: gradient %.12g, difference %.12g, norm %.3g", t->name,
                     (unsigned long long)n, expected, found, norm);
    }
    free(direction);
    free(g);
    free(at);
}

static void check_case(const char *name, bool directions)
{
    loaded_case c = load_case(&vg_ref_driver, 0, name, &oracle);
    write_random(&c, 5, directions ? 0.9 : 1.7); /* not chaotic where it is long */
    run_passes(&c, VG_PASS_FWD | VG_PASS_LOSS | VG_PASSES_BWD);
    for (uint32_t i = 0; i < c.program->tensor_count; i++)
        if (is_written(&c.program->tensors[i]))
            check_tensor(&c, &c.program->tensors[i], directions);
    unload_case(&c);
}

static void every_parameter_of_small_models(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "stack-identity/d2/w5/b3/fp64/xavier/seed1",
        "stack-sigmoid/d3/w5/b3/fp64/xavier/seed1",
        "stack-tanh/d3/w4/i7/b3/fp64/xavier/seed1",
        "stack-relu/d3/w6/b2/fp64/he/seed1",
        "stack-leaky_relu/d2/w5/b3/fp64/he/alpha0.2/seed1",
        "stack-maxout/d3/w4/i3/b3/fp64/lecun/seed1",
        "stack-maxout/d2/w4/b3/fp64/lecun/pieces3/seed1",
        "stack-relu+sigmoid/d3/w5/b3/fp64/he/seed1",
        "stack-tanh+sigmoid/d2/w5/o3/b3/fp64/xavier/seed1",
        "stack-tanh/d3/w5/b2/fp64/xavier/residual/seed1",
        "stack-maxout/d3/w5/i3/b2/fp64/lecun/residual/seed1",
        "stack-tanh/d2/w5/b3/fp64/xavier/loss-ones/seed1",
        "stack-tanh/d1/w1/b1/fp64/xavier/loss-random/seed1",
        "rnn-tanh/d1/w5/i3/b2/t4/fp64/uniform/seed1",
        "rnn-relu/d2/w4/b3/t3/fp64/uniform/seed1",
        "rnn-sigmoid/d1/w4/b2/t5/fp64/uniform/at-all/seed1",
        "rnn-identity/d3/w3/b2/t3/fp64/uniform/seed1",
        "rnn-tanh/d2/w3/o2/b2/t3/fp64/uniform/at-all/seed1",
        "rnn-tanh/d1/w1/b1/t1/fp64/uniform/seed1",
        "lstm/d1/w5/i3/b2/t4/fp64/uniform/seed1",
        "lstm/d2/w3/b3/t3/fp64/uniform/at-all/seed1",
        "lstm/d3/w3/o2/b2/t2/fp64/uniform/seed1",
        "gru/d1/w5/i3/b2/t4/fp64/uniform/seed1",
        "gru/d2/w3/b3/t3/fp64/uniform/at-all/seed1",
        "gru/d2/w3/o2/b2/t2/fp64/uniform/loss-random/seed1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i]);
        check_case(cases[i], false);
    }
}

static void directions_of_long_sequences(void **state)
{
    (void)state;
    check_case("rnn-tanh/d2/w6/b2/t200/fp64/uniform/at-all/seed1", true);
    check_case("lstm/d2/w5/b2/t200/fp64/uniform/seed1", true);
    check_case("gru/d2/w5/b2/t200/fp64/uniform/at-all/seed1", true);
}

/* Clipped gradients are the others times max_norm / norm, and the norm is then max_norm. */
static void clipping_scales_every_gradient(void **state)
{
    (void)state;
    static const char *const names[] = {"stack-tanh/d3/w5/b3/fp64/xavier/seed1",
                                        "stack-tanh/d3/w5/b3/fp64/xavier/clip0.125/seed1"};
    loaded_case c[2];
    vg_slot slots[256];
    for (int i = 0; i < 2; i++) {
        c[i] = load_case(&vg_ref_driver, 0, names[i], &oracle);
        write_random(&c[i], 9, 1.7);
        run_passes(&c[i], VG_PASS_FWD | VG_PASS_LOSS | VG_PASSES_BWD);
    }
    assert_true(c[1].program->slot_count <= 256);
    assert_ok(c[1].driver->slots(c[1].exec, slots));
    const vg_op *clip = NULL;
    for (uint32_t i = 0; i < c[1].program->op_count; i++)
        if (c[1].program->ops[i].kind == VG_CLIP)
            clip = &c[1].program->ops[i];
    assert_non_null(clip);
    const double norm = sqrt(slots[clip->slot].sum_squares);
    assert_true(norm > 0.125);
    assert_true(fabs(sqrt(slots[clip->slot + 1].sum_squares) - 0.125) <= 1e-15);
    for (uint32_t i = 0; i < c[0].program->tensor_count; i++) {
        const vg_tensor *t = &c[0].program->tensors[i];
        const vg_tensor *other = vg_program_tensor(c[1].program, t->name);
        const bool clipped = !strncmp(t->name, "dweight", 7) || !strncmp(t->name, "dbias", 5);
        double *plain = read_window(&c[0], t->mat), *scaled = read_window(&c[1], other->mat);
        for (uint64_t n = 0; n < elements_of(&t->mat); n++)
            assert_true(fabs(scaled[n] - plain[n] * (clipped ? 0.125 / norm : 1)) <=
                        1e-15 * fabs(plain[n]));
        free(plain);
        free(scaled);
    }
    unload_case(&c[0]);
    unload_case(&c[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_of_small_models),
        cmocka_unit_test(directions_of_long_sequences),
        cmocka_unit_test(clipping_scales_every_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
