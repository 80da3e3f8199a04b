/* What a plan is said to take, against the programs themselves; and the texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plan.h"

#include "vg/lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const cases[] = {
    "stack-tanh/d3/w7/i5/b2/fp32/xavier/seed1",
    "stack-maxout/d4/w6/i3/o2/b3/fp32/lecun/pieces3/seed1",
    "stack-relu+maxout/d2/w4/o3/b2/fp32/he/seed1",
    "stack-tanh+sigmoid/d1/w7/i5/b2/fp32/xavier/residual/seed1",
    "rnn-tanh/d1/w5/i3/b2/t4/fp32/uniform/seed1",
    "lstm/d2/w5/i3/o4/b2/t7/fp32/uniform/clip1/seed1",
    "gru/d3/w5/o4/b3/t7/bf16/uniform/at-all/seed1",
};

static vg_planned_case planned(const char *name)
{
    vg_planned_case c = {0};
    if (vg_case_parse(name, &c.model) != VG_OK)
        fail_msg("%s", vg_reason());
    vg_case_name(&c.model, c.name);
    return c;
}

static vg_options parsed(char *argument)
{
    char program[] = "bench";
    char *argv[] = {program, argument};
    vg_options o = {0};
    if (vg_options_parse(argument != NULL ? 2 : 1, argv, &o) != VG_OK)
        fail_msg("%s", vg_reason());
    return o;
}

static void test_estimate_is_the_program(void **state)
{
    (void)state;
    vg_options o = parsed(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const vg_planned_case c = planned(cases[i]);
        vg_estimate estimate;
        vg_program *program;
        const vg_lowering how = {.profile = true};
        assert_int_equal(vg_plan_estimate(&o, &c, &estimate), VG_OK);
        assert_int_equal(vg_lower(&c.model, &how, &program), VG_OK);
        assert_int_equal(estimate.bytes, program->arena_bytes);
        double flop = vg_program_flop(program, VG_PASSES_TRAIN);
        if (!(estimate.flop == flop))
            fail_msg("%s: estimated %g FLOP, the program has %g", cases[i], estimate.flop, flop);
        vg_program_free(program);
    }
    vg_options_free(&o);
}

static double seconds_with(const char *option)
{
    char argument[64];
    snprintf(argument, sizeof argument, "%s", option);
    vg_options o = parsed(argument);
    const vg_planned_case c = planned(cases[0]);
    vg_estimate estimate;
    assert_int_equal(vg_plan_estimate(&o, &c, &estimate), VG_OK);
    vg_options_free(&o);
    return estimate.seconds;
}

/* A case so small that warm-up and the repetitions' least time are all of it. */
static void test_estimated_time(void **state)
{
    (void)state;
    assert_true(fabs(seconds_with("--warmup=0.1s") - 3 * (0.1 + 5 * 0.2)) < 0.01);
    assert_true(fabs(seconds_with("--pass=train") - (0.1 + 5 * 0.2)) < 0.01);
    assert_true(fabs(seconds_with("--processes=3") - 9 * (0.1 + 5 * 0.2)) < 0.01);
    assert_true(seconds_with("--measure=gradient") < 0.01);
    assert_true(seconds_with("--check") < 0.01);
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(vg_plan_exit(VG_OK), 0);
    assert_int_equal(vg_plan_exit(VG_NO_MEMORY), 1);
    assert_int_equal(vg_plan_exit(VG_INVALID), 2);
    assert_int_equal(vg_plan_exit(VG_DEVICE_LOST), 3);
    assert_int_equal(vg_plan_exit(VG_IO), 4);
}

static void test_texts(void **state)
{
    (void)state;
    static const char expected[] =
        "2 cases on 1 device: null\n"
        "    1  gru/d1/w64/b1/t3/fp32/uniform/seed1 threads=1   270 KiB     3.3 s\n"
        "    2  gru/d1/w64/b1/t3/fp32/uniform/seed1 threads=2   270 KiB     3.3 s\n"
        "about 6.6 s in all, guessed for devices of 50 GFLOP/s; memory is a device's arena\n"
        "a note\n";
    char program[] = "bench", name[] = "--case=gru/d1/w64/b1/t3/fp32/uniform/seed1";
    char device[] = "--device=null", threads[] = "--threads=1,2", text[4096] = "";
    char *argv[] = {program, name, device, threads};
    vg_options o;
    vg_plan plan = {0};
    vg_found_device *found;
    size_t count;
    assert_int_equal(vg_options_parse(4, argv, &o), VG_OK);
    assert_int_equal(vg_devices_find(&found, &count), VG_OK);
    assert_int_equal(vg_plan_cases(&o, &plan), VG_OK);
    assert_int_equal(vg_plan_devices(&o, found, count, &plan), VG_OK);
    assert_int_equal(vg_strings_add(&plan.notes, "a note", 6), VG_OK);
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    assert_int_equal(vg_plan_print(to, &o, &plan), VG_OK);
    fclose(to);
    /* The bytes are the lowering's to decide. */
    vg_estimate estimate;
    char bytes[32];
    assert_int_equal(vg_plan_estimate(&o, &plan.cases[0], &estimate), VG_OK);
    snprintf(bytes, sizeof bytes, "%.0f KiB", (double)estimate.bytes / 1024);
    assert_int_equal(strlen(bytes), 7);
    for (char *at = text; (at = strstr(at, bytes)) != NULL;)
        memcpy(at, "270 KiB", 7);
    assert_string_equal(text, expected);

    memset(text, 0, sizeof text);
    to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].info.name, "null") == 0)
            snprintf(found[i].info.note, sizeof found[i].info.note, "and says so");
    vg_list_print(to, found, count);
    fclose(to);
    assert_non_null(
        strstr(text, "\n  null          computes nothing\n                and says so\n"));
    assert_non_null(strstr(text, "\n  null.fail=none|"));
    assert_non_null(strstr(text, "\n  lstm          recurrent: 4 gates, 2 states\n"));
    assert_non_null(strstr(text, "\n  maxout        stack, derivative at most 1\n"));
    assert_non_null(strstr(text, "\n  golden\n"));
    for (size_t i = 0; i < count; i++)
        assert_non_null(strstr(text, found[i].info.name));
    free(found);
    vg_plan_free(&plan);
    vg_options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimate_is_the_program),
        cmocka_unit_test(test_estimated_time),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
