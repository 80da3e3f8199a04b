/* From patterns to devices, and the drivers' own options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const vg_driver cpu = {.family = "cpu"}, peer = {.family = "cpu.onednn"},
                       gpu = {.family = "gpu", .own_memory = true}, tpu = {.family = "tpu"};

enum { MOST = 16 };

/* A machine with two GPUs of a made-up family, none of another, and one CPU device that cannot run
 * on it. */
static size_t machine(vg_found_device found[MOST])
{
    const vg_found_device all[] = {
        {&cpu, {.name = "cpu.scalar", .rank = 0, .automatic = true}},
        {&cpu, {.name = "cpu.avx512", .rank = 4, .automatic = true}},
        {&cpu, {.name = "cpu.avx2", .rank = 3, .automatic = true}},
        {&cpu, {.name = "cpu.neon", .rank = 9, .absent = "this is no Arm CPU"}},
        {&peer, {.name = "cpu.onednn"}},
        {&gpu, {.name = "gpu:0", .description = "A chip", .automatic = true}},
        {&gpu, {.name = "gpu:1", .description = "Another", .automatic = true}},
        {&tpu, {.name = "tpu:0", .absent = "no driver", .automatic = true}},
        {vg_driver_find("null"), {.name = "null"}},
    };
    memcpy(found, all, sizeof all);
    return sizeof all / sizeof all[0];
}

static vg_status plan_on(const vg_found_device *found, size_t count, char *typed, vg_plan *plan)
{
    char program[] = "bench";
    char *argv[8] = {program};
    int argc = 1;
    vg_options o;
    for (char *word = strtok(typed, " "); word != NULL && argc < 8; word = strtok(NULL, " "))
        argv[argc++] = word;
    if (vg_options_parse(argc, argv, &o) != VG_OK)
        fail_msg("%s", vg_reason());
    vg_status status = vg_plan_devices(&o, found, count, plan);
    vg_options_free(&o);
    return status;
}

static const struct {
    const char *typed, *devices; /* or the reason */
    vg_status status;
} rows[] = {
    {"", "cpu.avx512 gpu:0 gpu:1", VG_OK},
    {"--device=auto", "cpu.avx512 gpu:0 gpu:1", VG_OK},
    {"--device=cpu", "cpu.avx512", VG_OK},
    {"--device=gpu", "gpu:0", VG_OK},
    {"--device=gpu:1,cpu.avx2", "gpu:1 cpu.avx2", VG_OK},
    {"--device=cpu.*", "cpu.scalar cpu.avx512 cpu.avx2 cpu.onednn", VG_OK},
    {"--device=cpu.avx*,cpu.avx2,auto", "cpu.avx512 cpu.avx2 gpu:0 gpu:1", VG_OK},
    {"--device=gpu:?", "gpu:0 gpu:1", VG_OK},
    {"--device=*:1", "gpu:1", VG_OK},
    {"--device=**u", "", VG_DEVICE_LOST},
    {"--device=cpu.onednn", "cpu.onednn", VG_OK},
    {"--device=rocm*,null", "null ! --device=rocm*: matches no device that is here", VG_OK},
    {"--device=null --device-option=null.fail=crash", "null", VG_OK},
    {"--device=null --device-option=null.seed=4294967295", "null", VG_OK},
    {"--device=cpu.neon", "--device=cpu.neon: not here: this is no Arm CPU", VG_DEVICE_LOST},
    {"--device=tpu", "--device=tpu: not here: no driver", VG_DEVICE_LOST},
    {"--device=tpu:0", "--device=tpu:0: not here: no driver", VG_DEVICE_LOST},
    {"--device=tpu:7", "--device=tpu:7: not here: no driver", VG_DEVICE_LOST},
    {"--device=gpu:2", "--device=gpu:2: no such device; see --list; did you mean 'gpu:0'?",
     VG_DEVICE_LOST},
    {"--device=null,cpu.avx215",
     "--device=cpu.avx215: no such device; see --list; did you mean 'cpu.avx512'?", VG_DEVICE_LOST},
    {"--device=rocm*", "--device: none of the devices here is meant; see --list", VG_DEVICE_LOST},
    {"--device=cpu --device-option=null.fail=crash",
     "--device-option=null.fail=crash: no device of this plan is of null", VG_INVALID},
    {"--device=null --device-option=null.at=laod",
     "--device-option=null.at=laod: expected run|load|open|peaks", VG_INVALID},
    {"--device=null --device-option=null.at",
     "--device-option=null.at: expected run|load|open|peaks", VG_INVALID},
    {"--device=null --device-option=null.fial=none",
     "--device-option=null.fial=none: did you mean 'fail'? null's options are fail, at, seed, peak",
     VG_INVALID},
    {"--device=null --device-option=null.seed=4294967296",
     "--device-option=null.seed=4294967296: expected 0|1..4294967295", VG_INVALID},
    {"--device=null --device-option=nul.fail=none",
     "--device-option=nul.fail=none: no such family; did you mean 'null'?", VG_INVALID},
    {"--device=null --device-option=x",
     "--device-option=x: expected FAMILY.KEY=VALUE as --list shows", VG_INVALID},
};

static void test_patterns(void **state)
{
    (void)state;
    vg_found_device found[MOST];
    size_t count = machine(found);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char typed[256], got[512] = "";
        size_t n = 0;
        vg_plan plan = {0};
        snprintf(typed, sizeof typed, "%s", rows[i].typed);
        vg_status status = plan_on(found, count, typed, &plan);
        if (status != VG_OK)
            n += (size_t)snprintf(got, sizeof got, "%s", vg_reason());
        for (size_t d = 0; status == VG_OK && d < plan.device_count; d++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", d > 0 ? " " : "",
                                  plan.devices[d].info.name);
        for (size_t d = 0; status == VG_OK && d < plan.notes.count; d++)
            n += (size_t)snprintf(got + n, sizeof got - n, " ! %s", plan.notes.at[d]);
        vg_plan_free(&plan);
        if (status != rows[i].status || (rows[i].devices[0] && strcmp(got, rows[i].devices) != 0))
            fail_msg("\"%s\": got %s\n%s, expected\n%s", rows[i].typed, vg_status_name(status), got,
                     rows[i].devices);
    }
}

/* What identifies the machine does not depend on what is measured. */
static void test_accelerators(void **state)
{
    (void)state;
    static const char *const asked[] = {"", "--device=cpu", "--device=gpu:1"};
    vg_found_device found[MOST];
    size_t count = machine(found);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        char typed[64];
        vg_plan plan = {0};
        snprintf(typed, sizeof typed, "%s", asked[i]);
        assert_int_equal(plan_on(found, count, typed, &plan), VG_OK);
        assert_int_equal(plan.accelerators.count, 2);
        assert_string_equal(plan.accelerators.at[0], "A chip");
        assert_string_equal(plan.accelerators.at[1], "Another");
        vg_plan_free(&plan);
    }
}

/* Whatever this build has not, the answer says why. */
static void test_absent_families(void **state)
{
    (void)state;
    vg_found_device found[MOST];
    size_t count = machine(found);
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++) {
        char typed[128];
        vg_plan plan = {0};
        snprintf(typed, sizeof typed, "--device=%s:3", a->family);
        assert_int_equal(plan_on(found, count, typed, &plan), VG_DEVICE_LOST);
        assert_non_null(strstr(vg_reason(), a->reason));
        vg_plan_free(&plan);
        snprintf(typed, sizeof typed, "--device=null --device-option=%s.key=1", a->family);
        assert_int_equal(plan_on(found, count, typed, &plan), VG_INVALID);
        assert_non_null(strstr(vg_reason(), a->reason));
        vg_plan_free(&plan);
    }
}

static void test_settings(void **state)
{
    (void)state;
    char program[] = "bench", first[] = "--device-option=null.fail=crash",
         second[] = "--device-option=null.seed=3", third[] = "--device-option=null.fail=hang";
    char *argv[] = {program, first, second, third};
    vg_options o;
    vg_setting *settings;
    assert_int_equal(vg_options_parse(4, argv, &o), VG_OK);
    assert_int_equal(vg_plan_settings(&o, vg_driver_find("null"), &settings), VG_OK);
    assert_string_equal(settings[0].name, "fail");
    assert_string_equal(settings[0].value, "hang"); /* the last of two */
    assert_string_equal(settings[1].name, "seed");
    assert_string_equal(settings[1].value, "3");
    assert_null(settings[2].name);
    free(settings);
    assert_int_equal(vg_plan_settings(&o, &cpu, &settings), VG_OK);
    assert_null(settings[0].name);
    free(settings);
    vg_options_free(&o);
}

/* What the build itself finds: null at the least, every one usable or with a reason. */
static void test_find(void **state)
{
    (void)state;
    vg_found_device *found;
    size_t count, nulls = 0;
    assert_int_equal(vg_devices_find(&found, &count), VG_OK);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(found[i].driver);
        assert_true(found[i].info.name[0] != '\0');
        assert_ptr_equal(vg_driver_find(found[i].driver->family), found[i].driver);
        nulls += strcmp(found[i].info.name, "null") == 0;
    }
    assert_int_equal(nulls, 1);
    free(found);
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        assert_null(vg_driver_find(a->family));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_accelerators),
        cmocka_unit_test(test_absent_families),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
