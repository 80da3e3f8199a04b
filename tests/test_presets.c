/* Files of option lines: ours all plan, a bad one says where, the command line wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "option_table.h"
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static int make_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/vg_preset_XXXXXX");
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_preset(const char *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* bench WORD --preset=FILE; the word may be null. */
static vg_status parse_with(const char *word, vg_options *out)
{
    char program[] = "bench", preset[128], copy[256];
    snprintf(preset, sizeof preset, "--preset=%s", path);
    snprintf(copy, sizeof copy, "%s", word != NULL ? word : "");
    char *with[] = {program, copy, preset}, *without[] = {program, preset};
    return word != NULL ? vg_options_parse(3, with, out) : vg_options_parse(2, without, out);
}

#define TEXT(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t length;
    const char *where; /* of the reason, after the file's name */
} bad_files[] = {
    {TEXT("--width=0\n"), ":1:9: --width=0: expected 1..65536"},
    {TEXT("--depth=3\n\n  --width=8,x\n"), ":3:11: --width=8,x: expected 1..65536, not 'x'"},
    {TEXT("# fine\n  --widht=3\n"), ":2:3: --widht: no such option; did you mean --width?"},
    {TEXT("--width=8"
          "\r\n"),
     ":1:10: a carriage return; lines end with a line feed alone"},
    {TEXT("--width=8\n--de\0pth=3\n"), ":2:5: a control character"},
    {TEXT("\xef\xbb\xbf--width=8\n"), NULL},
    {TEXT("--width 8\n"), ":1:1: --width 8: no such option; did you mean --width?"},
    {TEXT("--width\n"), ":1:1: --width: expected --width=AXIS"},
    {TEXT("--preset=quick\n"), ":1:1: --preset: a preset names no other"},
    {TEXT("--list\n"), ":1:1: --list: a command, which stands on the command line alone"},
    {TEXT("--yes=1\n"), ":1:1: --yes=1: --yes takes no value"},
    {TEXT("--width=8 --depth=3\n"), ":1:9: --width=8 --depth=3: expected 1..65536"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        vg_options o;
        write_preset(bad_files[i].bytes, bad_files[i].length);
        assert_int_equal(parse_with(NULL, &o), VG_INVALID);
        size_t name = strlen(path);
        assert_memory_equal(vg_reason(), path, name);
        assert_null(strchr(vg_reason(), '\n'));
        if (bad_files[i].where != NULL)
            assert_string_equal(vg_reason() + name, bad_files[i].where);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char *bytes = malloc(70000);
    assert_non_null(bytes);
    memset(bytes, '#', 70000);
    write_preset(bytes, 70000);
    free(bytes);
    vg_options o;
    assert_int_equal(parse_with(NULL, &o), VG_INVALID);
    assert_non_null(strstr(vg_reason(), ": longer than 65536 bytes"));
}

static void test_good_file(void **state)
{
    (void)state;
    static const char text[] = "# a comment\n\n\t--width=8,16  # and another\n--model=lstm\n"
                               "--model=gru\n--device-option=null.at=load\n--min-time=1ms";
    write_preset(text, sizeof text - 1);
    vg_options o;
    assert_int_equal(parse_with(NULL, &o), VG_OK);
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].count, 2);
    assert_int_equal(o.axes->at[VG_AXIS_MODEL].count, 2);
    assert_int_equal(o.device_options.count, 1);
    assert_true(o.min_time_s == 0.001);
    vg_options_free(&o);
    /* The command line replaces, before the preset's place or after it. */
    assert_int_equal(parse_with("--model=rnn", &o), VG_OK);
    assert_int_equal(o.axes->at[VG_AXIS_MODEL].count, 1);
    assert_int_equal(o.axes->at[VG_AXIS_MODEL].at[0].whole, VG_rnn);
    assert_int_equal(o.axes->at[VG_AXIS_WIDTH].count, 2);
    assert_null(strstr(o.command_line, "/tmp"));
    vg_options_free(&o);
}

static void test_ours(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *name = vg_preset_names(); *name != NULL; name++, count++) {
        char program[] = "bench", preset[64];
        char *argv[] = {program, preset};
        snprintf(preset, sizeof preset, "--preset=%s", *name);
        vg_options o;
        vg_plan plan = {0};
        if (vg_options_parse(2, argv, &o) != VG_OK)
            fail_msg("%s", vg_reason());
        if (vg_plan_cases(&o, &plan) != VG_OK)
            fail_msg("%s: %s", *name, vg_reason());
        assert_true(plan.case_count > 1);
        vg_plan_free(&plan);
        vg_options_free(&o);
    }
    assert_true(count >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_ours),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
