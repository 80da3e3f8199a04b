/* The grammar of axes, numbers and durations: what it takes, and what it says of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "axes.h"
#include "numbers.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const vg_number_range clip = {
    .least = 0, .most = 1e30, .expected = "a number, or off", .word = "off"};
static const vg_number_range alpha = {
    .least = 0, .most = 1, .below_most = true, .expected = "0..1"};
static const char *const names[] = {"sigmoid", "tanh", "relu", NULL};

/* The values as text, or the reason. */
static void show(vg_status status, const vg_values *values, char kind, char *out, size_t size)
{
    size_t n = 0;
    char one[64];
    out[0] = '\0';
    if (status != VG_OK)
        snprintf(out, size, "%s", vg_reason());
    for (size_t i = 0; status == VG_OK && i < values->count && n < size; i++) {
        if (kind == 'w' || kind == 'c')
            snprintf(one, sizeof one, "%llu", (unsigned long long)values->at[i].whole);
        else if (kind == 'i')
            vg_init_name(values->at[i].init, one, sizeof one);
        else
            vg_number_name(values->at[i].number, one, sizeof one);
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? " " : "", one);
    }
}

static vg_status parse(char kind, const char *text, vg_values *out)
{
    switch (kind) {
    case 'w': return vg_axis_whole("width", text, 1, 65536, out);
    case 'z': return vg_axis_number("alpha", text, &alpha, out);
    case 'n': return vg_axis_number("clip", text, &clip, out);
    case 'c': return vg_axis_choice("act", text, names, out);
    default: return vg_axis_init("init", text, out);
    }
}

/* w: whole 1..65536; n: number >= 0 or off; z: 0 <= number < 1; c: choice; i: initialiser */
static const struct {
    char kind;
    const char *text, *expected;
    vg_status status;
} rows[] = {
    {'w', "8", "8", VG_OK},
    {'w', "8,16,64", "8 16 64", VG_OK},
    {'w', "1:64:*2", "1 2 4 8 16 32 64", VG_OK},
    {'w', "1:100:*10", "1 10 100", VG_OK},
    {'w', "1:99:*10", "1 10", VG_OK},
    {'w', "5:5:*2", "5", VG_OK},
    {'w', "10:40:+10", "10 20 30 40", VG_OK},
    {'w', "3,10:30:+10,65536", "3 10 20 30 65536", VG_OK},
    {'w', "65535:65536:+1", "65535 65536", VG_OK},
    {'w', "65536:65536:*18446744073709551615", "65536", VG_OK},
    {'w', "1:65536:+18446744073709551615", "1", VG_OK},
    {'w', "007", "7", VG_OK},
    {'w', "0", "--width=0: expected 1..65536", VG_INVALID},
    {'w', "65537", "--width=65537: expected 1..65536", VG_INVALID},
    {'w', "-1", "--width=-1: expected 1..65536", VG_INVALID},
    {'w', "+1", "--width=+1: expected 1..65536", VG_INVALID},
    {'w', " 1", "--width= 1: expected 1..65536", VG_INVALID},
    {'w', "1 ", "--width=1 : expected 1..65536", VG_INVALID},
    {'w', "0x10", "--width=0x10: expected 1..65536", VG_INVALID},
    {'w', "1e3", "--width=1e3: expected 1..65536", VG_INVALID},
    {'w', "1.5", "--width=1.5: expected 1..65536", VG_INVALID},
    {'w', "18446744073709551616", "--width=18446744073709551616: expected 1..65536", VG_INVALID},
    {'w', "18446744073709551617", "--width=18446744073709551617: expected 1..65536", VG_INVALID},
    {'w', "", "--width=: a value is empty; expected 1..65536", VG_INVALID},
    {'w', "8,", "--width=8,: a value is empty; expected 1..65536", VG_INVALID},
    {'w', ",8", "--width=,8: a value is empty; expected 1..65536", VG_INVALID},
    {'w', "8,,9", "--width=8,,9: a value is empty; expected 1..65536", VG_INVALID},
    {'w', "8,0", "--width=8,0: expected 1..65536, not '0'", VG_INVALID},
    {'w', "8;9", "--width=8;9: expected 1..65536", VG_INVALID},
    {'w', "8\r", "--width=8?: expected 1..65536", VG_INVALID},
    {'w', "64:1:*2",
     "--width=64:1:*2: the range is reversed: it goes from the smaller to the larger", VG_INVALID},
    {'w', "1:64", "--width=1:64: a range is FIRST:LAST:*FACTOR or FIRST:LAST:+STEP", VG_INVALID},
    {'w', "1:64:", "--width=1:64:: a range is FIRST:LAST:*FACTOR or FIRST:LAST:+STEP", VG_INVALID},
    {'w', "1:64:2", "--width=1:64:2: a range is FIRST:LAST:*FACTOR or FIRST:LAST:+STEP",
     VG_INVALID},
    {'w', "1:64:*", "--width=1:64:*: a range grows by *2 or more, or by +1 or more", VG_INVALID},
    {'w', "1:64:*1", "--width=1:64:*1: a range grows by *2 or more, or by +1 or more", VG_INVALID},
    {'w', "1:64:*0", "--width=1:64:*0: a range grows by *2 or more, or by +1 or more", VG_INVALID},
    {'w', "1:64:+0", "--width=1:64:+0: a range grows by *2 or more, or by +1 or more", VG_INVALID},
    {'w', "1:64:+-1", "--width=1:64:+-1: a range grows by *2 or more, or by +1 or more",
     VG_INVALID},
    {'w', "1:64:*2:3", "--width=1:64:*2:3: a range grows by *2 or more, or by +1 or more",
     VG_INVALID},
    {'w', "0:64:*2", "--width=0:64:*2: expected 1..65536, not '0'", VG_INVALID},
    {'w', "1:65537:*2", "--width=1:65537:*2: expected 1..65536, not '65537'", VG_INVALID},
    {'w', "1:65536:+1,1", "--width=1:65536:+1,1: more than 65536 values", VG_INVALID},
    {'n', "0", "0", VG_OK},
    {'n', "off,1", "0 1", VG_OK},
    {'n', "-0", "-0", VG_OK},
    {'n', "1e-300", "1e-300", VG_OK},
    {'n', ".5,5.,1.25e1", "0.5 5 12.5", VG_OK},
    {'n', "0:1:+0.1", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1", VG_OK},
    {'n', "0.001:1:*10", "1e-3 0.01 0.1 1", VG_OK},
    {'n', "-1", "--clip=-1: expected a number, or off", VG_INVALID},
    {'n', "1,5e", "--clip=1,5e: expected a number, or off, not '5e'", VG_INVALID},
    {'n', "nan", "--clip=nan: expected a number, or off", VG_INVALID},
    {'n', "inf", "--clip=inf: expected a number, or off", VG_INVALID},
    {'n', "1e999", "--clip=1e999: expected a number, or off", VG_INVALID},
    {'n', "1e31", "--clip=1e31: expected a number, or off", VG_INVALID},
    {'n', "0x1p3", "--clip=0x1p3: expected a number, or off", VG_INVALID},
    {'n', ".", "--clip=.: expected a number, or off", VG_INVALID},
    {'n', "1e", "--clip=1e: expected a number, or off", VG_INVALID},
    {'n', "--1", "--clip=--1: expected a number, or off", VG_INVALID},
    {'n', "0:1:*2", "--clip=0:1:*2: a range that grows by a factor starts above 0", VG_INVALID},
    {'n', "1:0:+1", "--clip=1:0:+1: the range is reversed: it goes from the smaller to the larger",
     VG_INVALID},
    {'n', "0:1:+0", "--clip=0:1:+0: a range grows by a factor above 1 or by a step above 0",
     VG_INVALID},
    {'n', "1:2:*1", "--clip=1:2:*1: a range grows by a factor above 1 or by a step above 0",
     VG_INVALID},
    {'n', "1:2:*nan", "--clip=1:2:*nan: a range grows by a factor above 1 or by a step above 0",
     VG_INVALID},
    {'n', "1e20:2e20:+1e-9",
     "--clip=1e20:2e20:+1e-9: the step is too small for the range's numbers", VG_INVALID},
    {'n', "0:1:+1e-9", "--clip=0:1:+1e-9: more than 65536 values", VG_INVALID},
    {'z', "0,0.999", "0 0.999", VG_OK},
    {'z', "1", "--alpha=1: expected 0..1", VG_INVALID},
    {'c', "relu,sigmoid", "2 0", VG_OK},
    {'c', "rely", "--act=rely: did you mean 'relu'? expected sigmoid, tanh, relu", VG_INVALID},
    {'c', "TANH", "--act=TANH: expected sigmoid, tanh, relu", VG_INVALID},
    {'c', "", "--act=: expected sigmoid, tanh, relu", VG_INVALID},
    {'c', "tanh,", "--act=: expected sigmoid, tanh, relu", VG_INVALID},
    {'c', "tanh:relu:*2", "--act=tanh:relu:*2: expected sigmoid, tanh, relu", VG_INVALID},
    {'i', "xavier,he,normal:1.5:0.05", "xavier he normal:1.5:0.05", VG_OK},
    {'i', "identity:0.50", "identity:0.5", VG_OK},
    {'i', "orthogonl",
     "--init=orthogonl: did you mean 'orthogonal'? expected xavier, he, lecun, normal, orthogonal, "
     "identity, spectral, uniform",
     VG_INVALID},
    {'i', "", "--init=: a value is empty; expected an initialiser as xavier or normal:1.5",
     VG_INVALID},
};

static void test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vg_values values = {0};
        char got[512];
        vg_status status = parse(rows[i].kind, rows[i].text, &values);
        show(status, &values, rows[i].kind, got, sizeof got);
        vg_values_free(&values);
        if (status != rows[i].status || strcmp(got, rows[i].expected) != 0)
            fail_msg("%c \"%s\": got %s \"%s\", expected \"%s\"", rows[i].kind, rows[i].text,
                     vg_status_name(status), got, rows[i].expected);
    }
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    vg_values values = {0};
    assert_int_equal(vg_axis_whole("width", text, 1, 2, &values), VG_INVALID);
    assert_true(strlen(vg_reason()) < 120);
    assert_non_null(strstr(vg_reason(), "x...: expected 1..2"));
    vg_values_free(&values);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds; /* NaN: refused */
    } durations[] = {{"0.2s", 0.2},   {"200ms", 0.2}, {"1m", 60},     {"2", 2},
                     {"50us", 50e-6}, {"0", 0},       {"1e-3", 1e-3}, {"1440m", 86400},
                     {"1441m", NAN},  {"", NAN},      {"s", NAN},     {"-1s", NAN},
                     {"1 s", NAN},    {"1h", NAN},    {"1S", NAN},    {"nan", NAN},
                     {"1ss", NAN},    {"1,5s", NAN}};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        double got = NAN;
        vg_status status = vg_duration_parse("warmup", durations[i].text, 0, &got);
        bool refused = isnan(durations[i].seconds);
        if ((status == VG_OK) == refused || (!refused && !(got == durations[i].seconds)))
            fail_msg("\"%s\": got %s %.17g", durations[i].text, vg_status_name(status), got);
    }
    double got;
    assert_int_equal(vg_duration_parse("timeout", "0", 0.001, &got), VG_INVALID);
    assert_string_equal(vg_reason(), "--timeout=0: expected a duration as 0.2s, 200ms or 1m, from "
                                     "0.001s to 1440m");
}

/* With a decimal comma in force, everything is read and written as ever. */
static void test_other_locale(void **state)
{
    (void)state;
    char folder[] = "/tmp/vg_locale_XXXXXX", command[256];
    if (mkdtemp(folder) == NULL)
        skip();
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
             folder);
    int made = system(command);
    setenv("LOCPATH", folder, 1);
    bool set =
        setlocale(LC_ALL, "de_DE.UTF-8") != NULL && strcmp(localeconv()->decimal_point, ",") == 0;
    char got[256] = "", name[64];
    vg_values values = {0};
    vg_status status = parse('n', "0.25,0:1:+0.5", &values);
    show(status, &values, 'n', got, sizeof got);
    vg_values_free(&values);
    vg_number_name(1.5e-7, name, sizeof name);
    double seconds = 0;
    vg_status duration = vg_duration_parse("warmup", "0.2s", 0, &seconds);
    setlocale(LC_ALL, "C");
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0)
        print_message("%s was left behind\n", folder);
    if (made != 0 || !set) {
        print_message("no locale with a decimal comma could be made\n");
        skip();
    }
    assert_string_equal(got, "0.25 0 0.5 1");
    assert_string_equal(name, "1.5e-7");
    assert_int_equal(duration, VG_OK);
    assert_true(seconds == 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_other_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
