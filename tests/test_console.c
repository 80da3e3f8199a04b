/* What the sentence under the table says of devices whose times are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sink_console.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct timed_row {
    const char *device, *name;
    double train_s;
} timed_row;

/* What the table of these rows prints. */
static const char *table_of(const timed_row *rows, size_t count)
{
    enum { MOST = 8 };
    static char text[8192];
    vg_summary summaries[MOST] = {0};
    assert_true(count <= MOST);
    for (size_t i = 0; i < count; i++) {
        vg_summary *s = &summaries[i];
        snprintf(s->device, sizeof s->device, "%s", rows[i].device);
        snprintf(s->name, sizeof s->name, "%s", rows[i].name);
        s->status = VG_OK;
        s->verdict = "";
        s->time_s[VG_TIMED_FWD] = s->time_s[VG_TIMED_BWD] = (double)NAN;
        s->time_s[VG_TIMED_TRAIN] = rows[i].train_s;
        s->rate = s->half_life = (double)NAN;
        s->subnormal_at = s->underflow_at = -1;
    }
    vg_console console = {.timed = 1u << VG_TIMED_TRAIN, .rows = summaries, .count = count};
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    assert_true(before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    vg_console_table(&console, 120);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

#define TABLE(...)                                                                                 \
    table_of((const timed_row[]){__VA_ARGS__},                                                     \
             sizeof((const timed_row[]){__VA_ARGS__}) / sizeof(timed_row))

static void assert_ends(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    assert_true(a >= b);
    assert_string_equal(text + a - b, end);
}

static void test_the_fastest_against_the_others(void **state)
{
    (void)state;
    assert_ends(TABLE({"slow", "a", 3.0}, {"quick", "a", 1.5}, {"near", "a", 1.512}),
                "\nquick was 2 times faster than slow,\n    as fast as near, within 1 %.\n");
}

static void test_several_cases_are_one_geometric_mean(void **state)
{
    (void)state;
    assert_ends(
        TABLE({"slow", "a", 4.0}, {"quick", "a", 2.0}, {"slow", "b", 8.0}, {"quick", "b", 1.0}),
        "\nquick was 4 times faster than slow (2 to 8 over 2 cases).\n");
}

/* No sentence of a device alone, and none of devices with no case in common. */
static void test_nothing_to_compare(void **state)
{
    (void)state;
    assert_null(strstr(TABLE({"one", "a", 4.0}, {"one", "b", 4.0}), " was "));
    assert_null(strstr(TABLE({"one", "a", 4.0}, {"other", "b", 2.0}), " was "));
    assert_null(strstr(TABLE({"one", "a", 4.0}, {"failed", "a", (double)NAN}), " was "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fastest_against_the_others),
        cmocka_unit_test(test_several_cases_are_one_geometric_mean),
        cmocka_unit_test(test_nothing_to_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
