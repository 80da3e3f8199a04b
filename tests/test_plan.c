/* From axes to cases and from patterns to devices: what is planned, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "option_table.h"
#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 16 };

static vg_options parsed(const char *text)
{
    char copy[1024], program[] = "bench";
    char *argv[MAX_WORDS + 2] = {program};
    int argc = 1;
    vg_options o = {0};
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word != NULL && argc <= MAX_WORDS;
         word = strtok(NULL, " "))
        argv[argc++] = word;
    if (vg_options_parse(argc, argv, &o) != VG_OK)
        fail_msg("\"%s\": %s", text, vg_reason());
    return o;
}

/* What is typed, and all its cases, a line each, then the notes after "! ". */
static const struct {
    const char *typed, *cases;
} plans[] = {
    {"", "stack-sigmoid/d8/w256/b32/fp32/xavier/seed1\n"
         "stack-tanh/d8/w256/b32/fp32/xavier/seed1\n"
         "stack-relu/d8/w256/b32/fp32/he/seed1\n"},
    {"--depth=64", "stack-sigmoid/d64/w256/b32/fp32/xavier/seed1\n"
                   "stack-tanh/d64/w256/b32/fp32/xavier/seed1\n"
                   "stack-relu/d64/w256/b32/fp32/he/seed1\n"},
    {"--seq-len=9", "rnn-tanh/d1/w256/b32/t9/fp32/uniform/seed1\n"
                    "lstm/d1/w256/b32/t9/fp32/uniform/seed1\n"
                    "gru/d1/w256/b32/t9/fp32/uniform/seed1\n"},
    {"--model=lstm,stack --seq-len=2,3 --activation=tanh --depth=2",
     "lstm/d2/w256/b32/t2/fp32/uniform/seed1\n"
     "lstm/d2/w256/b32/t3/fp32/uniform/seed1\n"
     "stack-tanh/d2/w256/b32/fp32/xavier/seed1\n"},
    {"--model=stack --activation=relu --width=4,8 --input=8 --depth=1,1",
     "stack-relu/d1/w4/i8/b32/fp32/he/seed1\n"
     "stack-relu/d1/w8/b32/fp32/he/seed1\n"},
    {"--model=lstm --forget-bias=drawn,1,1.0 --clip-norm=off,0,2",
     "lstm/d1/w256/b32/t128/fp32/uniform/seed1\n"
     "lstm/d1/w256/b32/t128/fp32/uniform/fb1/seed1\n"
     "lstm/d1/w256/b32/t128/fp32/uniform/clip2/seed1\n"
     "lstm/d1/w256/b32/t128/fp32/uniform/clip2/fb1/seed1\n"},
    {"--activation=leaky_relu,tanh --alpha=0.01,0.2",
     "stack-leaky_relu/d8/w256/b32/fp32/he/seed1\n"
     "stack-leaky_relu/d8/w256/b32/fp32/he/alpha0.2/seed1\n"
     "stack-tanh/d8/w256/b32/fp32/xavier/seed1\n"},
    {"--activation=relu --output-activation=sigmoid --residual",
     "stack-relu+sigmoid/d8/w256/b32/fp32/he/residual/seed1\n"},
    {"--model=gru --output=3 --output-activation=sigmoid --loss-at=all --x=abs --h0=0.5",
     "gru+sigmoid/d1/w256/o3/b32/t128/fp32/uniform/at-all/x-abs/h0-0.5/seed1\n"},
    {"--activation=relu --dtype=bf16 --seed=0:2:+1 --loss=random",
     "stack-relu/d8/w256/b32/bf16/he/loss-random/seed0\n"
     "stack-relu/d8/w256/b32/bf16/he/loss-random/seed1\n"
     "stack-relu/d8/w256/b32/bf16/he/loss-random/seed2\n"},
    {"--model=rnn,stack --activation=maxout,relu --pieces=3 --seq-len=4",
     "rnn-relu/d1/w256/b32/t4/fp32/uniform/seed1\n"
     "stack-maxout/d8/w256/b32/fp32/lecun/pieces3/seed1\n"
     "stack-relu/d8/w256/b32/fp32/he/seed1\n"
     "! left out of the plan: --activation=maxout: there is no rnn with it\n"},
    {"--case=lstm/d1/w8/b1/t2/fp32/uniform/seed1 --case=lstm/d1/w8/b1/t2/fp32/uniform/seed1",
     "lstm/d1/w8/b1/t2/fp32/uniform/seed1\n"},
};

static void test_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        vg_options o = parsed(plans[i].typed);
        vg_plan plan = {0};
        char got[4096] = "";
        size_t n = 0;
        if (vg_plan_cases(&o, &plan) != VG_OK)
            fail_msg("\"%s\": %s", plans[i].typed, vg_reason());
        for (size_t c = 0; c < plan.case_count && n < sizeof got; c++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s\n", plan.cases[c].name);
        for (size_t c = 0; c < plan.notes.count && n < sizeof got; c++)
            n += (size_t)snprintf(got + n, sizeof got - n, "! %s\n", plan.notes.at[c]);
        if (strcmp(got, plans[i].cases) != 0)
            fail_msg("\"%s\": got\n%sexpected\n%s", plans[i].typed, got, plans[i].cases);
        vg_plan_free(&plan);
        vg_options_free(&o);
    }
}

static const struct {
    const char *typed, *reason;
} refused[] = {
    {"--model=stack --seq-len=3",
     "--seq-len: no case of this plan uses it; it is for recurrent models"},
    {"--model=stack --loss-at=all",
     "--loss-at: no case of this plan uses it; it is for recurrent models"},
    {"--h0=1", "--h0: no case of this plan uses it; it is for recurrent models"},
    {"--model=rnn --forget-bias=1",
     "--forget-bias: no case of this plan uses it; it is for lstm and gru"},
    {"--model=lstm --residual=off", "--residual: no case of this plan uses it; it is for stacks"},
    {"--model=lstm,gru --activation=tanh",
     "--activation: no case of this plan uses it; stack and rnn have one to choose"},
    {"--alpha=0.5", "--alpha: no case of this plan uses it; it is for --activation=leaky_relu"},
    {"--activation=tanh --pieces=2",
     "--pieces: no case of this plan uses it; it is for --activation=maxout"},
    {"--model=lstm --output-activation=tanh",
     "--output-activation: no case of this plan uses it; a recurrent model has one with --output"},
    {"--model=rnn --activation=maxout",
     "no case is left; left out of the plan: --activation=maxout: there is no rnn with it"},
    {"--width=1:3334:+1", "the plan has more than 10000 cases; --yes runs them"},
    {"--width=1:1001:+1 --batch=1:1000:+1",
     "--batch: the axes make more than 1000000 combinations with it"},
    {"--width=1:65536:+1 --input=1:65536:+1 --yes",
     "--input: the axes make more than 1000000 combinations with it"},
    {"--case=lstm/d1/w8/b1/t2/fp32/uniform/seed01",
     "--case: case \"lstm/d1/w8/b1/t2/fp32/uniform/seed01\", column 35: the case's name is "
     "\"lstm/d1/w8/b1/t2/fp32/uniform/seed1\""},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        vg_options o = parsed(refused[i].typed);
        vg_plan plan = {0};
        vg_status status = vg_plan_cases(&o, &plan);
        if (status != VG_INVALID || strcmp(vg_reason(), refused[i].reason) != 0)
            fail_msg("\"%s\": got %s\n%s, expected\n%s", refused[i].typed, vg_status_name(status),
                     vg_reason(), refused[i].reason);
        vg_plan_free(&plan);
        vg_options_free(&o);
    }
}

static size_t count_cases(const char *typed)
{
    vg_options o = parsed(typed);
    vg_plan plan = {0};
    if (vg_plan_cases(&o, &plan) != VG_OK)
        fail_msg("\"%s\": %s", typed, vg_reason());
    size_t count = plan.case_count;
    vg_plan_free(&plan);
    vg_options_free(&o);
    return count;
}

static void test_counts(void **state)
{
    (void)state;
    assert_int_equal(count_cases("--threads=1,2 --bind=core,none --denormals=keep,flush"), 24);
    assert_int_equal(count_cases("--threads=1,2,1 --activation=tanh"), 2);
    assert_int_equal(count_cases("--case=gru/d1/w8/b1/t2/fp32/uniform/seed1 --threads=1,2"), 2);
    assert_int_equal(count_cases("--width=1:10000:+1 --activation=tanh"), 10000);
    assert_int_equal(count_cases("--width=1:10001:+1 --activation=tanh --yes"), 10001);
}

/* Every axis that a plan calls unused really changes nothing, and every other one something. */
static void test_usage_is_true(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value;
    } axes[] = {{"output-activation", "relu"},
                {"depth", "3"},
                {"width", "5"},
                {"input", "7"},
                {"output", "2"},
                {"batch", "3"},
                {"seq-len", "17"},
                {"dtype", "fp64"},
                {"init", "orthogonal"},
                {"residual", "on"},
                {"clip-norm", "2"},
                {"forget-bias", "3"},
                {"alpha", "0.3"},
                {"pieces", "4"},
                {"loss", "ones"},
                {"loss-at", "all"},
                {"x", "zero"},
                {"h0", "0.25"},
                {"seed", "9"}};
    static const char *const models[] = {"--model=stack --activation=tanh",
                                         "--model=stack --activation=leaky_relu",
                                         "--model=stack --activation=maxout",
                                         "--model=rnn --activation=sigmoid",
                                         "--model=lstm",
                                         "--model=gru --output=4"};
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++)
        for (size_t a = 0; a < sizeof axes / sizeof axes[0]; a++) {
            char typed[256];
            vg_plan base = {0}, with = {0};
            vg_options o = parsed(models[m]);
            assert_int_equal(vg_plan_cases(&o, &base), VG_OK);
            vg_options_free(&o);
            snprintf(typed, sizeof typed, "%s --%s=%s", models[m], axes[a].option, axes[a].value);
            o = parsed(typed);
            vg_status status = vg_plan_cases(&o, &with);
            bool same = with.case_count == 1 && strcmp(base.cases[0].name, with.cases[0].name) == 0;
            if (same == (status == VG_OK))
                fail_msg("\"%s\": %s, but the case is %s", typed, vg_status_name(status),
                         same ? "the same" : "another");
            vg_options_free(&o);
            vg_plan_free(&base);
            vg_plan_free(&with);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_usage_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
