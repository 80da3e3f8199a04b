/* Verification of what flushes, of peers whose inside cannot be read, and of whole nets by norm. */
#include "verify_case.h"

static vg_status read_flushed(vg_exec *exec, vg_mat from, double *to)
{
    VG_TRY(vg_ref_driver.read(exec, from, to));
    for (uint64_t n = 0; n < from.rows * from.cols; n++)
        to[n] = fabs(to[n]) < 0x1p-126 ? 0 : to[n];
    return VG_OK;
}

static vg_status no_slots(vg_exec *exec, vg_slot *out)
{
    (void)exec;
    (void)out;
    return VG_OK;
}

/* Down to where a flushing device holds nothing but zeros; as one that keeps them it would fail. */
static void flushing_is_no_fault(void **state)
{
    (void)state;
    loaded_case c =
        load_case(&vg_ref_driver, 0, "stack-sigmoid/d70/w32/b4/fp32/xavier/seed1", &as_device);
    vg_driver flushing = vg_ref_driver;
    flushing.read = read_flushed;
    flushing.slots = no_slots;
    vg_verdict_of_run verdict;
    const unsigned passes = VG_PASSES_TRAIN;
    write_random(&c, 3, 1);
    run_passes(&c, passes | VG_PASS_LOSS);
    if (vg_verify(&flushing, c.exec, c.program, passes, VG_DENORMALS_FLUSH, VG_VERIFY_FULL, 0,
                  &verdict) != VG_OK)
        fail_msg("%s", vg_reason());
    assert_int_equal(vg_verify(&flushing, c.exec, c.program, passes, VG_DENORMALS_KEEP,
                               VG_VERIFY_FULL, 0, &verdict),
                     VG_MISMATCH);
    unload_case(&c);
}

static void a_peer_is_compared_by_norm(void **state)
{
    (void)state;
    static const char *const names[] = {"lstm/d2/w9/i5/b3/t5/fp32/uniform/seed1",
                                        "stack-tanh/d3/w19/i7/b3/fp32/xavier/seed1"};
    static const char *const tensors[] = {"y", "dx"};
    vg_driver peer = vg_ref_driver;
    peer.opaque = true;
    for (int i = 0; i < 2; i++) {
        loaded_case c = run_case(names[i], &as_device);
        vg_verdict_of_run verdict;
        assert_ok(verify(&c, &peer, VG_VERIFY_AUTO, &verdict));
        assert_int_equal(verdict.verified, VG_VERIFIED_NORM);
        const vg_tensor *t = vg_program_tensor(c.program, tensors[i]);
        double *values = read_window(&c, t->mat);
        for (uint64_t n = 0; n < elements_of(&t->mat); n++)
            values[n] *= 1.03;
        assert_ok(c.driver->write(c.exec, t->mat, values));
        assert_int_equal(verify(&c, &peer, VG_VERIFY_AUTO, &verdict), VG_MISMATCH);
        assert_non_null(strstr(verdict.where, tensors[i]));
        values[0] = NAN;
        assert_ok(c.driver->write(c.exec, t->mat, values));
        assert_int_equal(verify(&c, &peer, VG_VERIFY_AUTO, &verdict), VG_MISMATCH);
        free(values);
        unload_case(&c);
    }
}

/* What a peer makes of a gradient that flushed terms enter is no fault of its own; where it keeps
 * them, it is. */
static void a_peer_may_flush(void **state)
{
    (void)state;
    vg_driver peer = vg_ref_driver;
    peer.opaque = true;
    loaded_case c =
        load_case(&vg_ref_driver, 0, "stack-sigmoid/d64/w16/b32/fp32/xavier/seed1", &as_device);
    write_random(&c, 3, 0.25);
    run_passes(&c, PASSES);
    uint32_t flushed = 0;
    for (uint32_t i = 0; i < c.program->tensor_count; i++) {
        const vg_tensor *t = &c.program->tensors[i];
        double *values = read_window(&c, t->mat), largest = 0;
        for (uint64_t n = 0; n < elements_of(&t->mat); n++) {
            largest = fmax(largest, fabs(values[n]));
            values[n] = 0;
        }
        if (t->role == VG_ROLE_GRADIENT && largest >= 0x1p-126 && largest < 0x1p-120) {
            assert_ok(c.driver->write(c.exec, t->mat, values));
            flushed++;
        }
        free(values);
    }
    vg_verdict_of_run verdict;
    assert_int_not_equal(flushed, 0);
    assert_ok(vg_verify(&peer, c.exec, c.program, PASSES, VG_DENORMALS_FLUSH, VG_VERIFY_AUTO, 1e9,
                        &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_NORM);
    assert_int_equal(verify(&c, &peer, VG_VERIFY_AUTO, &verdict), VG_MISMATCH);
    unload_case(&c);
}

static void whole_nets_are_compared_by_norm(void **state)
{
    (void)state;
    const vg_lowering oracle = {.profile = true, .oracle = true};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded_case c = run_case(cases[i], &as_device), ref = run_case(cases[i], &oracle);
        vg_slot *slots = calloc(c.program->slot_count, sizeof *slots);
        vg_slot *ref_slots = calloc(ref.program->slot_count, sizeof *ref_slots);
        assert_non_null(slots);
        assert_non_null(ref_slots);
        assert_ok(c.driver->slots(c.exec, slots));
        assert_ok(ref.driver->slots(ref.exec, ref_slots));
        vg_verdict_of_run verdict;
        if (vg_verify_norms(c.program, slots, ref.program, ref_slots, &verdict) != VG_OK)
            fail_msg("%s: %s", cases[i], vg_reason());
        assert_int_equal(verdict.verified, VG_VERIFIED_NORM);
        slots[c.program->profiles[0].exact].sum_squares *= 1.2;
        assert_int_equal(vg_verify_norms(c.program, slots, ref.program, ref_slots, &verdict),
                         VG_MISMATCH);
        free(slots);
        free(ref_slots);
        unload_case(&c);
        unload_case(&ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flushing_is_no_fault),
        cmocka_unit_test(a_peer_is_compared_by_norm),
        cmocka_unit_test(a_peer_may_flush),
        cmocka_unit_test(whole_nets_are_compared_by_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
