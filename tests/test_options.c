/* The command line: what every option takes, which source wins, and one line for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "option_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORDS = 16 };

/* Words separated by single blanks; `text` is cut up. */
static vg_status parse(char *text, vg_options *out)
{
    char program[] = "bench";
    char *argv[MAX_WORDS + 2] = {program};
    int argc = 1;
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc <= MAX_WORDS);
        argv[argc++] = word;
    }
    return vg_options_parse(argc, argv, out);
}

static vg_status parse_text(const char *text, vg_options *out)
{
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", text);
    return parse(copy, out);
}

static vg_options parsed(const char *text)
{
    vg_options o = {0};
    if (parse_text(text, &o) != VG_OK)
        fail_msg("\"%s\": %s", text, vg_reason());
    return o;
}

/* What is typed, and the one line that answers it; all of them VG_INVALID. */
static const struct {
    const char *typed, *reason;
} mistakes[] = {
    {"--width=0", "--width=0: expected 1..65536"},
    {"--width=", "--width=: a value is empty; expected 1..65536"},
    {"--width", "--width: expected --width=AXIS"},
    {"--width --depth=3", "--width: expected --width=AXIS"},
    {"--depth=65537", "--depth=65537: expected 1..65536"},
    {"--batch=0", "--batch=0: expected 1..65536"},
    {"--seq-len=16777217", "--seq-len=16777217: expected 1..16777216"},
    {"--input=0", "--input=0: expected 1..65536"},
    {"--output=-1", "--output=-1: expected 0..65536"},
    {"--pieces=1", "--pieces=1: expected 2..64"},
    {"--seed=4294967296", "--seed=4294967296: expected 0..4294967295"},
    {"--threads=0", "--threads=0: expected 1..1024"},
    {"--alpha=1", "--alpha=1: expected a number of at least 0 and below 1"},
    {"--clip-norm=-1", "--clip-norm=-1: expected a number of at least 0, or off"},
    {"--forget-bias=x", "--forget-bias=x: expected a number, or drawn"},
    {"--h0=inf", "--h0=inf: expected a number of -1e6..1e6"},
    {"--init=normal", "--init=normal: expected normal:NUMBER"},
    {"--init=he:1", "--init=he:1: expected he with 0 to 0 numbers"},
    {"--model=lstn", "--model=lstn: did you mean 'lstm'? expected stack, rnn, lstm, gru"},
    {"--activation=Tanh",
     "--activation=Tanh: did you mean 'tanh'? expected identity, sigmoid, tanh, relu, leaky_relu, "
     "maxout"},
    {"--output-activation=softmax",
     "--output-activation=softmax: expected identity, sigmoid, tanh, relu, leaky_relu, maxout"},
    {"--dtype=fp16", "--dtype=fp16: did you mean 'fp32'? expected fp32, tf32, bf16, fp64"},
    {"--dtype=u8", "--dtype=u8: expected fp32, tf32, bf16, fp64"},
    {"--pass=forward", "--pass=forward: expected fwd, bwd, train, bwd_data, bwd_weights"},
    {"--pass=", "--pass=: expected fwd, bwd, train, bwd_data, bwd_weights"},
    {"--loss=mae", "--loss=mae: did you mean 'mse'? expected mse, ones, random"},
    {"--loss-at=first", "--loss-at=first: expected last, all"},
    {"--x=one", "--x=one: did you mean 'ones'? expected normal, abs, zero, ones"},
    {"--residual=yes", "--residual=yes: expected off, on"},
    {"--bind=cores", "--bind=cores: did you mean 'core'? expected core, none"},
    {"--denormals=flsuh", "--denormals=flsuh: did you mean 'flush'? expected keep, flush"},
    {"--measure=speed", "--measure=speed: expected throughput, gradient, both"},
    {"--verify=no", "--verify=no: expected auto, full, sampled, off"},
    {"--repetitions=0", "--repetitions=0: expected 1..100000"},
    {"--repetitions=2,3", "--repetitions=2,3: expected 1..100000"},
    {"--processes=1001", "--processes=1001: expected 1..1000"},
    {"--gradient-rows=1", "--gradient-rows=1: expected 2..16777216"},
    {"--min-time=-1", "--min-time=-1: expected a duration as 0.2s, 200ms or 1m, from 0s to 1440m"},
    {"--timeout=0", "--timeout=0: expected a duration as 0.2s, 200ms or 1m, from 0.001s to 1440m"},
    {"--warmup=1h", "--warmup=1h: expected a duration as 0.2s, 200ms or 1m, from 0s to 1440m"},
    {"--color=always", "--color=always: expected auto, off, on"},
    {"--device=", "--device=: a name is empty; expected NAMES"},
    {"--device=cpu,,ref", "--device=cpu,,ref: a name is empty; expected NAMES"},
    {"--device-option=", "--device-option=: expected FAMILY.KEY=VALUE"},
    {"--case=", "--case=: expected NAME"},
    {"--out=", "--out=: expected FOLDER"},
    {"--host-name=a\nb", "--host-name=a?b: a control character in it"},
    {"--case=a\nb", "--case=a?b: a control character in it"},
    {"--device=a\tb", "--device=a?b: a control character in it"},
    {"--yes=1", "--yes=1: --yes takes no value"},
    {"--resume=on", "--resume=on: --resume takes no value"},
    {"--widht=3", "--widht: no such option; did you mean --width?"},
    {"--seq=3", "--seq: no such option; did you mean --seq-len?"},
    {"--seq_len=3", "--seq_len: no such option; did you mean --seq-len?"},
    {"--frobnicate", "--frobnicate: no such option; see --help"},
    {"--", "--: no such option; see --help"},
    {"-depth=3", "-depth: no such option; did you mean --depth?"},
    {"depth=3", "depth: no such option; did you mean --depth?"},
    {"64", "64: no such option; see --help"},
    {"--residual on", "on: no such option; see --help"},
    {"--list --check", "--check: another command stands there already; one at a time"},
    {"--check --verify=off", "--verify=off: --check does nothing but verify; leave one out"},
    {"--case=lstm/d1/w8/b1/t2/fp32/uniform/seed1 --width=3",
     "--width: --case says all of the case already; leave one out"},
    {"--resume", "--resume: expected --out=FOLDER of the run to be completed"},
    {"--resume --out=-", "--resume: there is nothing to be completed in --out=-"},
    {"--quiet --progress=on", "--quiet: --progress=on says the opposite; leave one out"},
    {"--measure=gradient --pass=fwd",
     "--pass: nothing is timed with --measure=gradient; leave one out"},
    {"--measure=gradient --min-time=1s",
     "--min-time: nothing is timed with --measure=gradient; leave one out"},
    {"--measure=throughput --gradient-rows=9",
     "--gradient-rows: no gradient is measured with --measure=throughput; leave one out"},
    {"--benchmark_out=x", "--benchmark_out: use --out"},
    {"--benchmark_filter=.*", "--benchmark_filter: --case or the axes choose the cases"},
    {"--benchmark_repetitions=3", "--benchmark_repetitions: use --repetitions"},
    {"--benchmark_min_time=3", "--benchmark_min_time: use --min-time"},
    {"--benchmark_list_tests", "--benchmark_list_tests: --dry-run lists the cases"},
    {"--benchmark_contxt=a=b",
     "--benchmark_contxt: no such flag; did you mean --benchmark_context?"},
    {"--benchmark_zzz", "--benchmark_zzz: no such flag that can be passed on"},
    {"--preset=quik", "--preset=quik: No such file or directory; did you mean 'quick'?"},
    {"--preset=/no/such", "--preset=/no/such: No such file or directory, and none of ours"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        vg_options o;
        vg_status status = parse_text(mistakes[i].typed, &o);
        if (status != VG_INVALID)
            fail_msg("\"%s\": got %s", mistakes[i].typed, vg_status_name(status));
        if (strcmp(vg_reason(), mistakes[i].reason) != 0)
            fail_msg("\"%s\": got\n%s, expected\n%s", mistakes[i].typed, vg_reason(),
                     mistakes[i].reason);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    vg_options o = parsed("");
    assert_int_equal(o.command, VG_COMMAND_MEASURE);
    assert_int_equal(o.timed, 1 << VG_TIMED_FWD | 1 << VG_TIMED_BWD | 1 << VG_TIMED_TRAIN);
    assert_true(o.throughput && o.gradient);
    assert_int_equal(o.verify, VG_VERIFY_AUTO);
    assert_int_equal(o.repetitions, 5);
    assert_int_equal(o.processes, 1);
    assert_true(o.min_time_s == 0.2 && o.warmup_s == 0.1 && o.timeout_s == 60);
    assert_int_equal(o.gradient_rows, 1024);
    assert_null(o.out);
    assert_null(o.dump);
    assert_null(o.host_name);
    assert_false(o.resume || o.yes || o.quiet);
    assert_int_equal(o.devices.count, 0);
    for (size_t i = 0; i < VG_AXIS_COUNT; i++)
        assert_int_equal(o.axes->at[i].count, 0);
    assert_string_equal(o.command_line, "bench");
    vg_options_free(&o);
}

static void test_values(void **state)
{
    (void)state;
    vg_options o = parsed("--device cpu.*,ref --width 8,16 --min-time=20ms --pass=fwd,bwd_data "
                          "--measure=throughput --verify=full --resume --out /a/b/run/ --h0 -1 "
                          "--device=null");
    assert_int_equal(o.devices.count, 3);
    assert_string_equal(o.devices.at[0], "cpu.*");
    assert_string_equal(o.devices.at[2], "null");
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].count, 2);
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].at[1].whole, 16);
    assert_true(o.axes->at[VG_AXIS_H0].at[0].number == -1);
    assert_true(o.min_time_s == 0.02);
    assert_int_equal(o.timed, 1 << VG_TIMED_FWD | 1 << VG_TIMED_BWD_DATA);
    assert_true(o.throughput && !o.gradient && o.resume);
    assert_int_equal(o.verify, VG_VERIFY_FULL);
    assert_string_equal(o.out, "/a/b/run/");
    assert_int_equal(o.arguments.count, 14);
    assert_string_equal(o.command_line,
                        "bench '--device=cpu.*,ref' --width=8,16 --min-time=20ms "
                        "--pass=fwd,bwd_data --measure=throughput --verify=full --resume "
                        "--out=run --h0=-1 --device=null");
    vg_options_free(&o);
}

static void test_long_command_line(void **state)
{
    (void)state;
    char one[] = "--case=stack-tanh/d8/w256/b32/fp32/xavier/seed1", path[600] = "--out=/a/";
    char *argv[42] = {(char[]){"bench"}};
    for (int i = 1; i < 41; i++)
        argv[i] = one;
    memset(path + strlen(path), 'x', sizeof path - strlen(path) - 1);
    argv[41] = path;
    vg_options o;
    assert_int_equal(vg_options_parse(42, argv, &o), VG_OK);
    assert_int_equal(strlen(o.command_line), 5 + 40 * sizeof one + strlen(path) + 1 - 3);
    assert_non_null(strstr(o.command_line, path + strlen("--out=/a/")));
    vg_options_free(&o);
}

static void test_repeated(void **state)
{
    (void)state;
    vg_options o = parsed("--width=8 --width=9 --min-time=1s --min-time=2s --model=rnn "
                          "--model=lstm --color=off --color --out=a --out=b");
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].count, 1); /* an axis: the last */
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].at[0].whole, 9);
    assert_true(o.min_time_s == 2);
    assert_int_equal(o.axes->at[VG_AXIS_MODEL].count, 2); /* a list: both */
    assert_true(o.color);
    assert_string_equal(o.out, "b");
    vg_options_free(&o);
    o = parsed("--case=a --case=b");
    assert_int_equal(o.case_names.count, 2);
    vg_options_free(&o);
}

/* Help is given whatever else is there, and before it. */
static void test_help_ends_parsing(void **state)
{
    (void)state;
    vg_options o = parsed("--help --case=x --width=3");
    assert_int_equal(o.command, VG_COMMAND_HELP);
    vg_options_free(&o);
    o = parsed("--version");
    assert_int_equal(o.command, VG_COMMAND_VERSION);
    vg_options_free(&o);
}

/* Every option stands in --help, in lines that fit. */
static void test_help_text(void **state)
{
    (void)state;
    char text[16384] = "";
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    vg_options_help(to);
    fclose(to);
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++) {
        char option[64];
        snprintf(option, sizeof option, "  --%s", row->name);
        if (strstr(text, option) == NULL)
            fail_msg("--%s is not in --help", row->name);
    }
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 100);
        assert_true(length == 0 || line[length - 1] != ' ');
        line += length + (line[length] == '\n');
    }
}

/* The option table's names are those of the enumerations. */
static void test_names_agree(void **state)
{
    (void)state;
    const char *const *loss = vg_option_find("loss", 4)->names;
    for (int i = 0; i < VG_LOSS_COUNT; i++)
        assert_string_equal(loss[i], vg_loss_name((vg_loss)i));
    const char *const *at = vg_option_find("loss-at", 7)->names;
    for (int i = 0; i < VG_LOSS_AT_COUNT; i++)
        assert_string_equal(at[i], vg_loss_at_name((vg_loss_at)i));
    const char *const *x = vg_option_find("x", 1)->names;
    for (int i = 0; i < VG_X_COUNT; i++)
        assert_string_equal(x[i], vg_input_name((vg_input)i));
    const char *const *dtype = vg_option_find("dtype", 5)->names;
    for (int i = 0; dtype[i] != NULL; i++)
        assert_string_equal(dtype[i], vg_dtype_name((vg_dtype)i));
    const char *const *model = vg_option_find("model", 5)->names;
    for (int i = 0; i < VG_MODEL_COUNT; i++)
        assert_string_equal(model[i], vg_model_kind_name((vg_model_kind)i));
    const char *const *act = vg_option_find("activation", 10)->names;
    for (int i = 0; i < VG_ACTIVATION_COUNT; i++)
        assert_string_equal(act[i], vg_activation_find((vg_activation)i)->name);
    for (vg_axis_id axis = 0; axis < VG_AXIS_COUNT; axis++)
        assert_non_null(vg_option_of_axis(axis));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"width", "depth", "dump", "denormals", "on", NULL};
    assert_string_equal(vg_nearest("widht", names), "width");
    assert_string_equal(vg_nearest("no", names), "on"); /* a swap is one */
    assert_string_equal(vg_nearest("dmp", names), "dump");
    assert_string_equal(vg_nearest("deno", names), "denormals"); /* a beginning */
    assert_null(vg_nearest("colour", names));
    assert_null(vg_nearest("", names));
    assert_null(vg_nearest("x", names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_long_command_line),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_help_text),
        cmocka_unit_test(test_help_ends_parsing),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_names_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
