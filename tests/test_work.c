/* What a worker verifies: all that no earlier process was found right with, and nothing twice. */
#include "work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const vg_driver vg_ref_driver;

static const char name[] = "lstm/d1/w9/b2/t5/fp32/uniform/seed1";
static bool spoil;

/* The oracle as a device that computes something else when told to. */
static vg_status read_spoilt(vg_exec *exec, vg_mat from, double *to)
{
    VG_TRY(vg_ref_driver.read(exec, from, to));
    for (uint64_t i = 0; spoil && i < from.rows * from.cols; i++)
        to[i] *= 2;
    return VG_OK;
}

/* One process: loaded and verified, with its verdict. */
static vg_status process(bool opaque, bool spoilt, size_t count, const uint64_t *known,
                         vg_wire_verdict *out)
{
    vg_driver driver = vg_ref_driver;
    vg_wire_case asked = {.probe = 1, .verify = VG_VERIFY_FULL, .may_differ = opaque};
    vg_device_info info;
    vg_inbox inbox = {0};
    vg_frame frame;
    size_t devices;
    int ends[2];
    bool closed = false, got = true;
    assert_int_equal(pipe(ends), 0);
    driver.opaque = opaque;
    driver.oracle = false;
    driver.read = read_spoilt;
    spoil = spoilt;
    vg_work work = {.out = ends[1], .driver = &driver};
    asked.known_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        asked.known[i] = known[i];
    strcpy(asked.name, name);
    assert_int_equal(driver.list(&info, 1, &devices), VG_OK);
    assert_int_equal(driver.open(&info, &(vg_device_options){0}, &work.device), VG_OK);
    assert_int_equal(vg_work_begin(&work, &asked, NULL), VG_OK);
    assert_int_equal(vg_work_load(&work), VG_OK);
    const vg_status status = vg_work_verify(&work);
    vg_work_end(&work);
    driver.close(work.device);
    close(ends[1]);
    *out = (vg_wire_verdict){.verified = VG_VERIFIED_NO};
    while (!closed)
        assert_int_equal(vg_inbox_fill(&inbox, ends[0], &closed), VG_OK);
    for (;;) {
        assert_int_equal(vg_inbox_take(&inbox, &got, &frame), VG_OK);
        if (!got)
            break;
        if (frame.type == VG_FRAME_VERDICT)
            *out = frame.body.verdict;
    }
    vg_inbox_free(&inbox);
    close(ends[0]);
    return status;
}

static void a_peer_is_verified_once_for_the_same_bits(void **unused)
{
    (void)unused;
    vg_wire_verdict first, wrong, again;
    assert_int_equal(process(true, false, 0, NULL, &first), VG_OK);
    assert_int_equal(first.verified, VG_VERIFIED_NORM);
    assert_false(first.is_known);
    assert_int_equal(process(true, true, 0, NULL, &wrong), VG_MISMATCH);
    const uint64_t known[] = {first.checksum, wrong.checksum};
    /* Known bits are not compared: the wrong ones pass where they are said to be right. */
    for (int spoilt = 0; spoilt < 2; spoilt++) {
        assert_int_equal(process(true, spoilt, 2, known, &again), VG_OK);
        assert_true(again.is_known && again.checksum == known[spoilt]);
    }
}

static void a_peer_with_other_bits_is_verified(void **unused)
{
    (void)unused;
    vg_wire_verdict first, again;
    assert_int_equal(process(true, false, 0, NULL, &first), VG_OK);
    assert_int_equal(process(true, true, 1, &first.checksum, &again), VG_MISMATCH);
    assert_false(again.is_known);
    const uint64_t other = first.checksum ^ 1;
    assert_int_equal(process(true, false, 1, &other, &again), VG_OK);
    assert_int_equal(again.verified, VG_VERIFIED_NORM);
    assert_false(again.is_known);
}

static void our_own_bits_never_differ(void **unused)
{
    (void)unused;
    vg_wire_verdict first, again;
    assert_int_equal(process(false, false, 0, NULL, &first), VG_OK);
    assert_int_equal(first.verified, VG_VERIFIED_FULL);
    assert_int_equal(process(false, false, 1, &first.checksum, &again), VG_OK);
    assert_true(again.is_known);
    assert_int_equal(process(false, true, 1, &first.checksum, &again), VG_MISMATCH);
    assert_non_null(strstr(vg_reason(), "another process"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_is_verified_once_for_the_same_bits),
        cmocka_unit_test(a_peer_with_other_bits_is_verified),
        cmocka_unit_test(our_own_bits_never_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
