/* A case's name: defaults, ranges, and that what is written reads back, and nothing else does. */
#include "vg/case.h"

#include "numbers.h"
#include "random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        vg_model_kind kind;
        vg_activation activation;
        const char *name;
    } rows[] = {
        {VG_stack, VG_sigmoid, "stack-sigmoid/d8/w256/b32/fp32/xavier/seed1"},
        {VG_stack, VG_tanh, "stack-tanh/d8/w256/b32/fp32/xavier/seed1"},
        {VG_stack, VG_identity, "stack-identity/d8/w256/b32/fp32/xavier/seed1"},
        {VG_stack, VG_relu, "stack-relu/d8/w256/b32/fp32/he/seed1"},
        {VG_stack, VG_leaky_relu, "stack-leaky_relu/d8/w256/b32/fp32/he/seed1"},
        {VG_stack, VG_maxout, "stack-maxout/d8/w256/b32/fp32/lecun/seed1"},
        {VG_rnn, VG_tanh, "rnn-tanh/d1/w256/b32/t128/fp32/uniform/seed1"},
        {VG_rnn, VG_relu, "rnn-relu/d1/w256/b32/t128/fp32/uniform/seed1"},
        {VG_lstm, VG_tanh, "lstm/d1/w256/b32/t128/fp32/uniform/seed1"},
        {VG_gru, VG_identity, "gru/d1/w256/b32/t128/fp32/uniform/seed1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_model model;
        char name[VG_CASE_NAME];
        vg_model_defaults(rows[i].kind, rows[i].activation, &model);
        assert_int_equal(vg_model_complete(&model), VG_OK);
        vg_case_name(&model, name);
        assert_string_equal(name, rows[i].name);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *name;
    } rows[] = {
        {0, "0"},
        {0.1, "0.1"},
        {1e-5, "1e-5"},
        {100, "100"},
        {1000, "1e3"},
        {1.5, "1.5"},
        {-2.5, "-2.5"},
        {123456, "123456"},
        {0.01, "0.01"},
        {0.001, "1e-3"},
        {5e-324, "5e-324"},
        {1e300, "1e300"},
        {0.00025, "2.5e-4"},
        {1200, "1200"},
        {0.5, "0.5"},
        {1.0 / 3, "0.3333333333333333"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[32];
        vg_number_name(rows[i].value, name, sizeof name);
        assert_string_equal(name, rows[i].name);
    }
    vg_stream stream = vg_stream_make(1, "numbers");
    for (uint64_t i = 0; i < 20000; i++) {
        char name[32];
        double value = ldexp(vg_random_normal(stream, i), (int)(i % 2000) - 1000), back;
        vg_number_name(value, name, sizeof name);
        assert_true(vg_number_parse(name, strlen(name), &back));
        assert_true(back == value);
    }
    static const char *const wrong[] = {"",    " 1",    "1 ",  "0x1",  "inf",
                                        "nan", "1e999", "--1", "1.2.3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        double value;
        if (vg_number_parse(wrong[i], strlen(wrong[i]), &value))
            fail_msg("\"%s\" was taken for the number %g", wrong[i], value);
    }
}

/* --- random models --- */

static uint64_t below(vg_stream *stream, uint64_t count)
{
    stream->seed++;
    return (uint64_t)(vg_random_uniform(*stream, 0) * (double)count);
}

static double some_number(vg_stream *stream)
{
    static const double often[] = {0, 0.5, 1, 2, 0.1, 1e-3, 1e3, 0.25};
    uint64_t i = below(stream, 16);
    return i < 8 ? often[i] : vg_random_uniform(*stream, 1);
}

/* Every field, valid or not; what does not concern the kind is set too. */
static vg_model some_model(vg_stream *s)
{
    vg_model m;
    vg_model_defaults((vg_model_kind)below(s, VG_MODEL_COUNT),
                      (vg_activation)below(s, VG_ACTIVATION_COUNT), &m);
    m.output_activation = (vg_activation)below(s, VG_ACTIVATION_COUNT + 1);
    m.init = (vg_init){(vg_init_kind)below(s, VG_INIT_COUNT + 1), some_number(s), some_number(s)};
    m.dtype = (vg_dtype)below(s, VG_U8);
    m.depth = 1 + (uint32_t)below(s, VG_MAX_DEPTH);
    m.width = 1 + (uint32_t)below(s, VG_MAX_WIDTH);
    m.input = below(s, 2) ? (uint32_t)below(s, VG_MAX_WIDTH) : 0;
    m.output = below(s, 2) ? (uint32_t)below(s, VG_MAX_WIDTH) : 0;
    m.batch = 1 + (uint32_t)below(s, VG_MAX_BATCH);
    m.seq_len = 1 + below(s, VG_MAX_SEQ_LEN);
    m.residual = below(s, 2);
    m.clip_norm = below(s, 2) ? some_number(s) : 0;
    m.forget_bias = below(s, 2) ? -some_number(s) : (double)NAN;
    m.alpha = below(s, 2) ? some_number(s) : m.alpha;
    m.pieces = below(s, 2) ? 2 + (uint32_t)below(s, 4) : 2;
    m.loss = (vg_loss)below(s, VG_LOSS_COUNT);
    m.loss_at = (vg_loss_at)below(s, VG_LOSS_AT_COUNT);
    m.x = (vg_input)below(s, VG_X_COUNT);
    m.h0 = below(s, 2) ? -some_number(s) : 0;
    m.seed = below(s, 2) ? VG_MAX_SEED - below(s, 9) : below(s, 9);
    return m;
}

/* Field by field, as bits: a NaN is one value. */
static bool same_model(const vg_model *a, const vg_model *b)
{
    return a->kind == b->kind && a->activation == b->activation &&
           a->output_activation == b->output_activation && a->init.kind == b->init.kind &&
           a->init.a == b->init.a && a->init.b == b->init.b && a->dtype == b->dtype &&
           a->depth == b->depth && a->width == b->width && a->input == b->input &&
           a->output == b->output && a->batch == b->batch && a->seq_len == b->seq_len &&
           a->residual == b->residual && a->clip_norm == b->clip_norm &&
           (a->forget_bias == b->forget_bias || (isnan(a->forget_bias) && isnan(b->forget_bias))) &&
           a->alpha == b->alpha && a->pieces == b->pieces && a->loss == b->loss &&
           a->loss_at == b->loss_at && a->x == b->x && a->h0 == b->h0 && a->seed == b->seed;
}

static void test_names_read_back(void **state)
{
    (void)state;
    vg_stream stream = vg_stream_make(0, "models");
    size_t complete = 0;
    for (size_t i = 0; i < 20000; i++) {
        vg_model model = some_model(&stream), back;
        char name[VG_CASE_NAME];
        if (vg_model_complete(&model) != VG_OK)
            continue;
        complete++;
        vg_case_name(&model, name);
        if (vg_case_parse(name, &back) != VG_OK)
            fail_msg("%s: %s", name, vg_reason());
        if (!same_model(&model, &back))
            fail_msg("%s reads back as another model", name);
        assert_true(strlen(name) < VG_CASE_NAME - 1);
        /* any one byte changed, left out or doubled is another name or none */
        size_t at = below(&stream, strlen(name)), kind = below(&stream, 3);
        char other[VG_CASE_NAME + 1], again[VG_CASE_NAME];
        memcpy(other, name, sizeof name);
        if (kind == 0)
            other[at] = (char)(33 + below(&stream, 94));
        else if (kind == 1)
            memmove(other + at, name + at + 1, strlen(name + at));
        else
            memmove(other + at + 1, name + at, strlen(name + at) + 1);
        if (vg_case_parse(other, &back) == VG_OK) {
            vg_case_name(&back, again);
            assert_string_equal(other, again);
        }
    }
    assert_in_range(complete, 8000, 20000);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vg_status status;
        const char *reason; /* a part of it */
    } rows[] = {
        {"", VG_INVALID, "column 1"},
        {"stack", VG_INVALID, "the case's name is"},
        {"stack-tanh", VG_INVALID, "column 11"},
        {"lstm-tanh/d1/w256/b32/t128/fp32/uniform/seed1", VG_INVALID, "column 5"},
        {"rnn/d1/w256/b32/t128/fp32/uniform/seed1", VG_INVALID, "rnn-tanh/"},
        {"cnn-tanh/d1", VG_INVALID, "column 1"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/seed1/", VG_INVALID, "column 42"},
        {"stack-tanh//d8/w256/b32/fp32/xavier/seed1", VG_INVALID, "column 12"},
        {"stack-tanh/d8/w256/b32/fp32/xavier", VG_INVALID, "column 35"},
        {"stack-tanh/d08/w256/b32/fp32/xavier/seed1", VG_INVALID, "column 13"},
        {"stack-tanh/d8/w256/i256/b32/fp32/xavier/seed1", VG_INVALID, "column 20"},
        {"stack-tanh/d8/w256/b32/t1/fp32/xavier/seed1", VG_INVALID, "column 24"},
        {"stack-tanh/w256/d8/b32/fp32/xavier/seed1", VG_INVALID, "column 12"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/seed1/seed1", VG_INVALID, "column 41"},
        {"stack-tanh/d8/w256/b32/fp32/normal/seed1", VG_INVALID, "\"normal\""},
        {"stack-tanh/d8/w256/b32/fp32/normal:1:0/seed1", VG_INVALID, "column 37"},
        {"stack-tanh/d8/w256/b32/fp32/normal:1.0/seed1", VG_INVALID, "column 37"},
        {"stack-tanh/d8/w256/b32/fp32/normal:-1/seed1", VG_INVALID, "--init=normal:-1"},
        {"stack-tanh/d8/w256/b32/fp32/normal:1:2:3/seed1", VG_INVALID, "normal:1:2:3"},
        {"stack-tanh/d8/w256/b32/fp32/xavier:1/seed1", VG_INVALID, "xavier:1"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/clip0/seed1", VG_INVALID, "column 36"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/clip-1/seed1", VG_INVALID, "--clip-norm=-1"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/clipnan/seed1", VG_INVALID, "clipnan"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/alpha0.2/seed1", VG_INVALID, "column 36"},
        {"stack-leaky_relu/d8/w256/b32/fp32/he/alpha1/seed1", VG_INVALID, "--alpha=1"},
        {"stack-maxout/d8/w256/b32/fp32/lecun/pieces1/seed1", VG_INVALID, "--pieces=1"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/loss-mse/seed1", VG_INVALID, "column 36"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/at-all/seed1", VG_INVALID, "column 36"},
        {"stack-tanh/d8/w256/b32/u8/xavier/seed1", VG_INVALID, "\"u8\""},
        {"stack-tanh/d0/w256/b32/fp32/xavier/seed1", VG_INVALID, "--depth=0: expected 1..65536"},
        {"stack-tanh/d8/w65537/b32/fp32/xavier/seed1", VG_INVALID, "--width=65537"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/seed18446744073709551616", VG_INVALID, "column 36"},
        {"stack-tanh/d8/w256/b32/fp32/xavier/seed4294967296", VG_INVALID, "--seed=4294967296"},
        {"stack-tanh/d4294967297/w256/b32/fp32/xavier/seed1", VG_INVALID, "column 12"},
        {"stack-tanh+tanh/d8/w256/b32/fp32/xavier/seed1", VG_INVALID, "column 11"},
        {"stack-tanh+/d8/w256/b32/fp32/xavier/seed1", VG_INVALID, "column 1"},
        {"rnn-maxout/d1/w256/b32/t128/fp32/uniform/seed1", VG_UNSUPPORTED, "--activation=maxout"},
        {"rnn-leaky_relu/d1/w256/b32/t9/fp32/uniform/seed1", VG_UNSUPPORTED, "no rnn with it"},
        {"rnn-tanh/d1/w256/b32/t0/fp32/uniform/seed1", VG_INVALID, "--seq-len=0"},
        {"rnn-tanh/d1/w256/b32/t128/fp32/uniform/fb1/seed1", VG_INVALID, "column 40"},
        {"lstm/d1/w256/b32/t128/fp32/uniform/residual/seed1", VG_INVALID, "column 36"},
        {"gru/d1/w256/b32/t128/fp32/uniform/h0-0/seed1", VG_INVALID, "column 35"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vg_model model;
        vg_status status = vg_case_parse(rows[i].name, &model);
        if (status != rows[i].status || !strstr(vg_reason(), rows[i].reason))
            fail_msg("%s: %s, \"%s\"; expected \"%s\"", rows[i].name, vg_status_name(status),
                     vg_reason(), rows[i].reason);
    }
}

/* A failed completion leaves the model as it was; what does not concern a kind is reset. */
static void test_complete(void **state)
{
    (void)state;
    vg_model model, before;
    vg_model_defaults(VG_lstm, VG_relu, &model);
    model.residual = true;
    model.forget_bias = -0.0;
    model.output_activation = VG_relu;
    model.batch = 0;
    before = model;
    assert_int_equal(vg_model_complete(&model), VG_INVALID);
    assert_true(model.residual && model.activation == VG_relu && model.input == before.input);
    model.batch = 3;
    assert_int_equal(vg_model_complete(&model), VG_OK);
    assert_true(!model.residual && model.activation == VG_identity && model.input == model.width);
    assert_true(model.output_activation == VG_identity && !signbit(model.forget_bias));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_names_read_back), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
