/* The shim over Google Benchmark: calls the region as told, passes everything on, prints nothing.
 */
#include "../bench/timer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct region {
    uint32_t calls, iterations;
    vg_status status;
    double seconds;
} region;

static vg_status run(void *context, uint32_t iterations, double *seconds)
{
    region *r = context;
    r->calls++;
    r->iterations = iterations;
    *seconds = r->seconds;
    return r->status == VG_OK ? VG_OK : vg_fail(r->status, "the device is gone");
}

static void the_region_runs_once_with_all_iterations(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 7, 1000, 1000000000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        region r = {.seconds = 0.25 * (double)(i + 1)};
        vg_timer_result result = {0};
        assert_int_equal(vg_timer_run("lstm/d1+x[y]", run, &r, counts[i], &result), VG_OK);
        assert_int_equal(r.calls, 1);
        assert_int_equal(r.iterations, counts[i]);
        assert_int_equal(result.iterations, counts[i]);
        assert_true(fabs(result.seconds - r.seconds) <= 1e-12);
    }
}

static void a_failure_is_passed_on(void **state)
{
    (void)state;
    region r = {.status = VG_DEVICE_LOST};
    vg_timer_result result = {.iterations = 99};
    assert_int_equal(vg_timer_run("x", run, &r, 10, &result), VG_DEVICE_LOST);
    assert_string_equal(vg_reason(), "the device is gone");
    assert_int_equal(r.calls, 1);
    assert_int_equal(result.iterations, 99);
    r.status = VG_OK;
    assert_int_equal(vg_timer_run("x", run, &r, 10, &result), VG_OK);
    assert_int_equal(vg_timer_run("x", run, &r, 0, &result), VG_INVALID);
}

static void flags_are_checked(void **state)
{
    (void)state;
    const char *good[] = {"--benchmark_counters_tabular=true"};
    const char *unknown[] = {"--benchmark_nonsense=1"};
    assert_int_equal(vg_timer_start(1, good), VG_OK);
    assert_int_equal(vg_timer_start(1, unknown), VG_INVALID);
    assert_non_null(strstr(vg_reason(), "nonsense"));
    assert_int_equal(vg_timer_start(0, NULL), VG_OK);
}

static void nothing_is_printed(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(NULL);
    int out = dup(1), err = dup(2);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    region good = {.seconds = 1}, bad = {.status = VG_TIMEOUT};
    vg_timer_result result;
    vg_status first = vg_timer_run("quiet", run, &good, 3, &result);
    vg_status second = vg_timer_run("quiet", run, &bad, 3, &result);
    fflush(NULL);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    assert_int_equal(first, VG_OK);
    assert_int_equal(second, VG_TIMEOUT);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_region_runs_once_with_all_iterations),
        cmocka_unit_test(a_failure_is_passed_on),
        cmocka_unit_test(flags_are_checked),
        cmocka_unit_test(nothing_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
