/* Rows of the CSV files byte by byte, and records back into fields. */
#include "../bench/sink_csv.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const vg_report_run run = {"20260102T030405Z-0123abcd", "1111", "2222"};
static const vg_model model = {.kind = VG_stack,
                               .activation = VG_tanh,
                               .output_activation = VG_tanh,
                               .init = {VG_INIT_NORMAL, 1.5, 0.05},
                               .dtype = VG_FP32,
                               .depth = 2,
                               .width = 3,
                               .input = 4,
                               .batch = 5,
                               .seq_len = 1,
                               .seed = 1};

static vg_report_case a_case(void)
{
    return (vg_report_case){.run = &run,
                            .name = "stack-tanh/d2/w3",
                            .model = &model,
                            .device = "null",
                            .device_name = "a \"b\", c",
                            .implementation = "null 1",
                            .algorithm = "",
                            .threads = 2,
                            .bind = "core",
                            .denormals = "keep",
                            .status = "ok",
                            .reason = "",
                            .verified = "no",
                            .max_error = (double)NAN,
                            .memory_bytes = 4096};
}

static vg_result a_result(const vg_report_case *of)
{
    return (vg_result){.of = of,
                       .time_utc = "2026-01-02T03:04:05Z",
                       .pass = "fwd",
                       .status = "ok",
                       .reason = "line\nbreak",
                       .process = 0,
                       .repetition = 3,
                       .iterations = 100,
                       .time_s = 0.5,
                       .flop = 1e9,
                       .bytes = 2e9,
                       .peak_flop_per_s = 4e9,
                       .peak_bytes_per_s = (double)NAN,
                       .barrier_s = 0.125,
                       .floor_s = 0.25,
                       .energy_j = (double)NAN,
                       .power_w = 0.1,
                       .clock_mhz = (double)NAN,
                       .temperature_c = (double)NAN,
                       .checksum = "00ff",
                       .interleaved = true,
                       .attempts = 2};
}

static void results_are_exact(void **state)
{
    (void)state;
    vg_report_case of = a_case();
    vg_result row = a_result(&of);
    vg_text text = {0};
    vg_csv_result(&text, &row);
    vg_text_add(&text, "", 1);
    assert_string_equal(
        text.at,
        "1,20260102T030405Z-0123abcd,2026-01-02T03:04:05Z,stack-tanh/d2/w3,ok,\"line\nbreak\",no,,"
        "null,\"a \"\"b\"\", c\",1111,2222,null 1,,stack,tanh,normal:1.5:0.05,fp32,2,3,4,0,1,5,2,"
        "core,keep,fwd,0,3,1,100,0.5,1000000000,2000000000,4096,2,4,10,4,,50,0.125,0.25,50,,"
        "0.10000000000000001,,,,0,00ff,2\n");
    vg_text_free(&text);
}

static void a_failure_leaves_its_numbers_empty(void **state)
{
    (void)state;
    vg_report_case of = a_case();
    of.threads = -1;
    of.memory_bytes = -1;
    vg_result row = {.of = &of,
                     .time_utc = "2026-01-02T03:04:05Z",
                     .pass = "bwd",
                     .status = "crashed",
                     .reason = "SIGSEGV",
                     .process = 0,
                     .repetition = -1,
                     .iterations = -1,
                     .time_s = (double)NAN,
                     .flop = (double)NAN,
                     .bytes = (double)NAN,
                     .peak_flop_per_s = (double)NAN,
                     .peak_bytes_per_s = (double)NAN,
                     .barrier_s = (double)NAN,
                     .floor_s = (double)NAN,
                     .energy_j = (double)NAN,
                     .power_w = (double)NAN,
                     .clock_mhz = (double)NAN,
                     .temperature_c = (double)NAN,
                     .attempts = -1};
    vg_text text = {0};
    vg_csv_result(&text, &row);
    vg_text_add(&text, "", 1);
    assert_non_null(strstr(text.at, ",crashed,SIGSEGV,no,,null,"));
    assert_non_null(strstr(text.at, ",5,,core,keep,bwd,0,,0,,,,,,,,,,,,,,,,,,,,0,,\n"));
    vg_text_free(&text);
}

static void norms_that_are_not_finite_are_spelled(void **state)
{
    (void)state;
    vg_report_case of = a_case();
    vg_gradient_row row = {&of,
                           {.tensor = "dh",
                            .layer = 2,
                            .plain = {.sum_squares = (double)INFINITY, .elements = 6, .nans = 1},
                            .log10_norm = -(double)INFINITY,
                            .log10_norm_exact = (double)NAN,
                            .mean_abs_derivative = 0.5,
                            .saturated = 0,
                            .dead = (double)NAN,
                            .predicted_log10_norm = (double)NAN}};
    vg_text text = {0};
    vg_csv_gradient(&text, &row);
    row.gradient.has_step = true;
    row.gradient.plain.sum_squares = -(double)NAN;
    vg_csv_gradient(&text, &row);
    vg_text_add(&text, "", 1);
    assert_string_equal(text.at,
                        "1,20260102T030405Z-0123abcd,stack-tanh/d2/w3,null,keep,dh,2,,inf,-inf,,6,"
                        "0,0,0,1,0.5,0,,\n"
                        "1,20260102T030405Z-0123abcd,stack-tanh/d2/w3,null,keep,dh,2,0,nan,-inf,,6,"
                        "0,0,0,1,0.5,0,,\n");
    vg_text_free(&text);
}

static void decays_are_exact(void **state)
{
    (void)state;
    vg_report_case of = a_case();
    vg_decay_row row = {&of,
                        {.direction = VG_TIME,
                         .layer = 1,
                         .rate = 0.5,
                         .half_life = 1,
                         .reach = 9,
                         .underflow_at = -1,
                         .subnormal_at = 7,
                         .log10_ratio = -30.103,
                         .verdict = VG_VANISHING,
                         .r2 = 1,
                         .predicted_rate = (double)NAN,
                         .predicted_log10_ratio = (double)NAN,
                         .sigma_max = 0.5,
                         .spectral_radius = 0.5,
                         .bound_log10_ratio = (double)NAN}};
    vg_text text = {0};
    vg_csv_decay(&text, &row);
    vg_text_add(&text, "", 1);
    assert_string_equal(text.at, "1,20260102T030405Z-0123abcd,stack-tanh/d2/w3,null,keep,time,1,"
                                 "0.5,1,9,,-30.103000000000002,vanishing,1,,,0.5,0.5,,7\n");
    vg_text_free(&text);
}

static size_t commas(const char *line)
{
    size_t count = 0;
    for (; *line; line++)
        count += *line == ',';
    return count;
}

static void headers_name_every_column(void **state)
{
    (void)state;
    vg_text text = {0};
    vg_csv_result_header(&text);
    vg_text_add(&text, "", 1);
    assert_int_equal(strncmp(text.at, "schema_version,run_id,time_utc,case,status,reason,", 50), 0);
    assert_int_equal(commas(text.at), 52);
    assert_string_equal(text.at + strlen(text.at) - 28, "disturbed,checksum,attempts\n");
    assert_int_equal(vg_csv_result_column("case"), 3);
    assert_int_equal(vg_csv_result_column("checksum"), 51);
    assert_int_equal(vg_csv_result_column("nonsense"), -1);
    vg_text_free(&text);
    vg_csv_gradient_header(&text);
    vg_text_add(&text, "", 1);
    assert_int_equal(commas(text.at), 19);
    vg_text_free(&text);
    vg_csv_decay_header(&text);
    vg_text_add(&text, "", 1);
    assert_int_equal(commas(text.at), 19);
    vg_text_free(&text);
}

static void another_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++)
        set = setlocale(LC_ALL, names[i]);
    if (!set)
        skip();
    vg_report_case of = a_case();
    vg_result row = a_result(&of);
    vg_text text = {0};
    vg_csv_result(&text, &row);
    vg_text_add(&text, "", 1);
    setlocale(LC_ALL, "C");
    assert_non_null(strstr(text.at, ",0.10000000000000001,"));
    vg_text_free(&text);
}

static void records_split(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t used, count;
        const char *fields[4];
    } table[] = {
        {"a,b\n", 4, 2, {"a", "b"}},
        {"a,b\r\nrest", 5, 2, {"a", "b"}},
        {"\"a\",b\r\n", 7, 2, {"a", "b"}},
        {"b,\"a\"\r\n", 7, 2, {"b", "a"}},
        {",\n", 2, 2, {"", ""}},
        {"\n", 1, 1, {""}},
        {"\"a \"\"b\"\", c\",d\nnext\n", 15, 2, {"a \"b\", c", "d"}},
        {"\"two\nlines\",x\n", 14, 2, {"two\nlines", "x"}},
        {"torn,off", 0, 0, {0}},
        {"\"torn\n", 0, 0, {0}},
        {"\"a\"b,c\n", 0, 0, {0}},
        {"a\"b,c\n", 0, 0, {0}},
        {"a,b,c,d,e\n", 0, 0, {0}},
        {"\"a\"\r", 0, 0, {0}},
        {"", 0, 0, {0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t size = strlen(table[i].bytes), count;
        char *copy = malloc(size ? size : 1), *fields[4]; /* exact: reading beyond is seen */
        memcpy(copy, table[i].bytes, size);
        size_t used = vg_csv_split(copy, size, fields, 4, &count);
        if (used != table[i].used)
            fail_msg("%s: used %zu, expected %zu", table[i].bytes, used, table[i].used);
        if (used > 0)
            assert_int_equal(count, table[i].count);
        for (size_t f = 0; used > 0 && f < count; f++)
            assert_string_equal(fields[f], table[i].fields[f]);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_exact),
        cmocka_unit_test(a_failure_leaves_its_numbers_empty),
        cmocka_unit_test(norms_that_are_not_finite_are_spelled),
        cmocka_unit_test(decays_are_exact),
        cmocka_unit_test(headers_name_every_column),
        cmocka_unit_test(another_locale_changes_nothing),
        cmocka_unit_test(records_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
