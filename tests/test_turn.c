/* Peaks that change around a repetition: it is measured three times at most, each
 * counted, and then marked. */
#include "work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <unistd.h>

extern const vg_driver vg_null_driver;

/* One measurement of the peaks. */
typedef struct seen {
    double flop_per_s, barrier_s;
} seen;

enum { MOST = 8 };
static seen script[MOST];
static size_t taken;

static vg_status scripted_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out)
{
    (void)device, (void)dtype;
    assert_true(taken < MOST);
    *out = (vg_peaks){.flop_per_s = script[taken].flop_per_s,
                      .levels = 1,
                      .level = {{1e9, (double)INFINITY}},
                      .barrier_s = script[taken].barrier_s};
    taken++;
    return VG_OK;
}

/* The row of one repetition of a stack's training step on the null device. */
static vg_wire_timed turn(void)
{
    vg_driver driver = vg_null_driver;
    vg_wire_case asked = {.name = "stack-tanh/d2/w4/b1/fp32/xavier/seed1",
                          .timed = 1u << VG_TIMED_TRAIN};
    vg_wire_timed out = {.timed = UINT32_MAX};
    vg_device_info info;
    vg_inbox inbox = {0};
    vg_frame frame;
    size_t devices;
    int ends[2];
    bool closed = false, got = true;
    driver.peaks = scripted_peaks;
    taken = 0;
    assert_int_equal(pipe(ends), 0);
    vg_work work = {.out = ends[1], .driver = &driver, .applied = {.threads = 2}};
    assert_int_equal(driver.list(&info, 1, &devices), VG_OK);
    assert_int_equal(driver.open(&info, &(vg_device_options){0}, &work.device), VG_OK);
    assert_int_equal(vg_work_begin(&work, &asked, NULL), VG_OK);
    assert_int_equal(vg_work_load(&work), VG_OK);
    assert_int_equal(vg_work_turn(&work, 0), VG_OK);
    vg_work_end(&work);
    driver.close(work.device);
    close(ends[1]);
    while (!closed)
        assert_int_equal(vg_inbox_fill(&inbox, ends[0], &closed), VG_OK);
    for (;;) {
        assert_int_equal(vg_inbox_take(&inbox, &got, &frame), VG_OK);
        if (!got)
            break;
        if (frame.type == VG_FRAME_TIMED)
            out = frame.body.timed;
    }
    vg_inbox_free(&inbox);
    close(ends[0]);
    assert_int_equal(out.timed, VG_TIMED_TRAIN);
    return out;
}

static void peaks_that_change_disturb(void **state)
{
    (void)state;
    static const struct {
        seen script[MOST];
        size_t taken; /* one before, then one after each attempt */
        uint32_t attempts;
        bool disturbed;
        double barrier_s; /* mean around the last attempt; NaN: unknown */
    } rows[] = {
        {{{1e9, 1e-6}, {1.04e9, 1e-6}}, 2, 1, false, 1e-6},
        {{{1e9, 1e-6}, {0.94e9, 1e-6}, {0.94e9, 1e-6}}, 3, 2, false, 1e-6},
        {{{1e9, 1e-6}, {1.06e9, 1e-6}, {1e9, 1e-6}, {1.06e9, 1e-6}}, 4, 3, true, 1e-6},
        /* A barrier that takes several times as long: the cores are elsewhere. */
        {{{1e9, 1e-6}, {1e9, 1.4e-6}}, 2, 1, false, 1.2e-6},
        {{{1e9, 1e-6}, {1e9, 6e-6}, {1e9, 6e-6}}, 3, 2, false, 6e-6},
        {{{1e9, 6e-6}, {1e9, 1e-6}, {1e9, 6e-6}, {1e9, 1e-6}}, 4, 3, true, 3.5e-6},
        /* One thread meets nobody; what is unknown does not change. */
        {{{1e9, 0}, {1e9, 0}}, 2, 1, false, 0},
        {{{(double)NAN, (double)NAN}, {(double)NAN, (double)NAN}}, 2, 1, false, (double)NAN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(script, rows[i].script, sizeof script);
        const vg_wire_timed got = turn();
        const bool same = isnan(rows[i].barrier_s)
                              ? isnan(got.barrier_s)
                              : fabs(got.barrier_s - rows[i].barrier_s) <= 1e-12;
        if (taken != rows[i].taken || got.attempts != rows[i].attempts ||
            got.disturbed != rows[i].disturbed || !same)
            fail_msg("row %zu: %zu measurements, %u attempts, disturbed %u, barrier %g s", i, taken,
                     got.attempts, got.disturbed, got.barrier_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(peaks_that_change_disturb)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
