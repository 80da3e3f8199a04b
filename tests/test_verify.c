/* Verification finds what is wrong and names it: the oracle, storing in the case's own format,
 * plays a device; after its run one output of one op is spoilt. */
#include "verify_case.h"

#include <stdio.h>

static void a_correct_run_passes(void **state)
{
    (void)state;
    static const char *const others[] = {
        "stack-tanh/d3/w19/b3/bf16/xavier/seed1", "lstm/d2/w9/b3/t5/bf16/uniform/seed1",
        "gru/d1/w9/b3/t5/tf32/uniform/seed1",     "stack-maxout/d2/w9/b3/fp64/lecun/pieces3/seed1",
        "gru/d2/w40/b8/t20/fp32/uniform/seed1",   "lstm/d2/w40/b8/t20/fp64/uniform/seed1",
    };
    const size_t own = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < own + sizeof others / sizeof *others; i++) {
        const char *name = i < own ? cases[i] : others[i - own];
        loaded_case c = run_case(name, &as_device);
        for (vg_verify_mode mode = VG_VERIFY_AUTO; mode <= VG_VERIFY_SAMPLED; mode++) {
            vg_verdict_of_run verdict;
            if (verify(&c, c.driver, mode, &verdict) != VG_OK)
                fail_msg("%s: %s", name, vg_reason());
            assert_true(verdict.max_error <= 1);
            assert_int_equal(verdict.verified,
                             mode == VG_VERIFY_SAMPLED ? VG_VERIFIED_SAMPLED : VG_VERIFIED_FULL);
        }
        unload_case(&c);
    }
}

typedef enum sabotage { SIGN, TAIL, SHIFT, NOT_A_NUMBER, ZEROS, SABOTAGES } sabotage;

/* The written rows of a window; false where this sabotage would change nothing. */
static bool spoil(sabotage how, const vg_mat *window, double *values)
{
    const uint64_t n = window->rows * window->cols;
    uint64_t largest = 0;
    bool changed = false;
    for (uint64_t i = 0; i < n; i++)
        if (fabs(values[i]) > fabs(values[largest]))
            largest = i;
    const double size = fabs(values[largest]);
    double *before = malloc(n * sizeof *before);
    assert_non_null(before);
    memcpy(before, values, n * sizeof *before);
    switch (how) {
    case SIGN: values[largest] = -values[largest]; break;
    case TAIL: values[n - 1] += window->dtype == VG_U8 ? 1 : 1e-3 * size; break;
    case SHIFT: memmove(values + 1, values, (n - 1) * sizeof *values); break;
    case NOT_A_NUMBER: values[n / 2] = NAN; break;
    default: memset(values, 0, n * sizeof *values);
    }
    for (uint64_t i = 0; i < n; i++)
        changed = changed || !(fabs(values[i] - before[i]) <= 1e-5 * size);
    free(before);
    return changed && !(window->dtype == VG_U8 && (how == SIGN || how == NOT_A_NUMBER));
}

/* The name of `op` begins `where`; what only the probe holds is seen where it is compared. */
static void assert_named(const loaded_case *c, const vg_op *op, const vg_operand *operand,
                         const vg_verdict_of_run *verdict)
{
    char name[64];
    snprintf(name, sizeof name, "op %td %s,", op - c->program->ops, vg_op_name(op->kind));
    if (op->pass == VG_PASS_PROBE && strncmp(operand->name, "dgates", 6) == 0) {
        assert_non_null(strstr(verdict->where, "in the probe"));
        return;
    }
    if (strncmp(verdict->where, name, strlen(name)) != 0)
        fail_msg("spoilt %s %s, but found: %s", name, operand->name, verdict->where);
    if (!strstr(verdict->where, operand->name))
        fail_msg("spoilt %s of %s, but found: %s", operand->name, name, verdict->where);
}

static uint32_t spoil_output(const loaded_case *c, const vg_op *op, const vg_operand *operand)
{
    const vg_mat *window = vg_op_mat(op, operand);
    const uint64_t n = elements_of(window);
    double *good = read_window(c, *window), *bad = calloc(n, sizeof *bad);
    assert_non_null(bad);
    uint32_t tried = 0;
    for (sabotage how = SIGN; how < SABOTAGES; how++) {
        memcpy(bad, good, n * sizeof *bad);
        if (!spoil(how, window, bad))
            continue;
        vg_verdict_of_run verdict;
        assert_ok(c->driver->write(c->exec, *window, bad));
        const vg_status status = verify(c, c->driver, VG_VERIFY_FULL, &verdict);
        if (status != VG_MISMATCH && status != VG_UNTRUSTED)
            fail_msg("op %td %s: sabotage %d of %s was not seen: %s", op - c->program->ops,
                     vg_op_name(op->kind), how, operand->name, vg_status_name(status));
        if (how == ZEROS && window->dtype != VG_U8)
            assert_true(status == VG_UNTRUSTED || op->kind == VG_SCAN_BWD ||
                        c->model.activation == VG_relu);
        assert_int_equal(verdict.verified, VG_VERIFIED_NO);
        assert_true(status == VG_UNTRUSTED || !(verdict.max_error <= 1));
        assert_named(c, op, operand, &verdict);
        tried++;
    }
    assert_ok(c->driver->write(c->exec, *window, good));
    free(good);
    free(bad);
    return tried;
}

static bool same_as_an_input(const vg_op *op, const vg_operand *operand)
{
    for (const vg_operand *o = vg_op_operands(op->kind); o != operand; o++)
        if (vg_op_mat(op, o)->rows && vg_op_mat(op, o)->at == vg_op_mat(op, operand)->at)
            return true;
    return false;
}

static void every_spoilt_output_is_found_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded_case c = run_case(cases[i], &as_device);
        uint32_t tried = 0;
        for (uint32_t k = 0; k < c.program->op_count; k++) {
            const vg_op *op = &c.program->ops[k];
            if (op->pass == VG_PASS_EXACT)
                continue;
            for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++)
                if (o->access == VG_WRITES && vg_op_mat(op, o)->rows && !same_as_an_input(op, o))
                    tried += spoil_output(&c, op, o);
        }
        print_message("%s: %u sabotages found\n", cases[i], tried);
        assert_true(tried > 20);
        unload_case(&c);
    }
}

/* A driver whose slots are not what the oracle left. */
static struct {
    uint32_t slot, field, count;
} spoilt_slot;

static vg_status slots_with_one_spoilt(vg_exec *exec, vg_slot *out)
{
    VG_TRY(vg_ref_driver.slots(exec, out));
    vg_slot *slot = &out[spoilt_slot.slot];
    switch (spoilt_slot.field) {
    case 0: slot->sum_squares *= 1.001; break;
    case 1: slot->zeros++; break;
    case 2: slot->max_abs = NAN; break;
    case 3: slot->mean_abs_derivative *= 1.001; break;
    case 4: slot->saturated += 0.25; break;
    default: slot->dead += 0.125; break;
    }
    return VG_OK;
}

static bool field_matters(const vg_op *op, uint32_t slot, uint32_t field)
{
    switch (op->kind) {
    case VG_MEASURE: return field < 3;
    case VG_CENSUS: return field >= 3;
    case VG_LOSS_OP: return field == 0;
    case VG_CLIP: return field == 0 && slot < 2;
    default: return false;
    }
}

static void every_spoilt_slot_is_found(void **state)
{
    (void)state;
    vg_driver fake = vg_ref_driver;
    fake.slots = slots_with_one_spoilt;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded_case c = run_case(cases[i], &as_device);
        for (uint32_t k = 0; k < c.program->op_count; k++) {
            const vg_op *op = &c.program->ops[k];
            for (uint32_t s = 0; s < vg_op_slots(op) && op->pass != VG_PASS_EXACT; s++)
                for (spoilt_slot.field = 0; spoilt_slot.field < 6; spoilt_slot.field++) {
                    if (!field_matters(op, s, spoilt_slot.field))
                        continue;
                    vg_verdict_of_run verdict;
                    spoilt_slot.slot = op->slot + s;
                    if (verify(&c, &fake, VG_VERIFY_FULL, &verdict) != VG_MISMATCH)
                        fail_msg("%s op %u %s slot %u field %u was not seen", cases[i], k,
                                 vg_op_name(op->kind), s, spoilt_slot.field);
                }
        }
        unload_case(&c);
    }
}

/* A driver whose n-th read fails. */
static uint32_t reads, failing_read;

static vg_status one_read_fails(vg_exec *exec, vg_mat window, double *out)
{
    if (++reads == failing_read)
        VG_FAIL(VG_NO_MEMORY, "read %u", reads);
    return vg_ref_driver.read(exec, window, out);
}

/* What could not be read is no number that differs. */
static void a_failed_read_is_no_mismatch(void **state)
{
    (void)state;
    enum { SOME = 24 };
    vg_driver fake = vg_ref_driver;
    vg_verdict_of_run verdict;
    fake.read = one_read_fails;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded_case c = run_case(cases[i], &as_device);
        uint32_t count = 0;
        for (failing_read = 0; failing_read <= count; failing_read += 1 + count / SOME) {
            reads = 0;
            const vg_status status = verify(&c, &fake, VG_VERIFY_FULL, &verdict);
            if (status != (failing_read ? VG_NO_MEMORY : VG_OK))
                fail_msg("%s, read %u: %s: %s", cases[i], failing_read, vg_status_name(status),
                         vg_reason());
            if (failing_read == 0)
                count = reads;
        }
        assert_true(count > 20);
        unload_case(&c);
    }
}

/* Gradients that are all zero are compared, but prove nothing. */
static void zero_gradients_prove_nothing(void **state)
{
    (void)state;
    loaded_case c = load_case(&vg_ref_driver, 0, cases[0], &as_device);
    vg_verdict_of_run verdict;
    run_passes(&c, PASSES); /* all inputs zero, and so y and target */
    assert_ok(verify(&c, c.driver, VG_VERIFY_FULL, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_NO);
    unload_case(&c);
}

/* What leaves the format's range is a result like any other. */
static void an_overflow_is_no_mismatch(void **state)
{
    (void)state;
    loaded_case c =
        load_case(&vg_ref_driver, 0, "stack-identity/d9/w8/b3/fp32/xavier/seed1", &as_device);
    vg_verdict_of_run verdict;
    write_random(&c, 3, 1e8);
    run_passes(&c, PASSES);
    if (verify(&c, c.driver, VG_VERIFY_FULL, &verdict) != VG_OK)
        fail_msg("%s", vg_reason());
    unload_case(&c);
}

static void one_bit_changes_the_checksum(void **state)
{
    (void)state;
    loaded_case c = run_case(cases[0], &as_device);
    uint64_t first, again, other;
    assert_ok(vg_checksum(c.driver, c.exec, c.program, &first));
    run_passes(&c, PASSES);
    assert_ok(vg_checksum(c.driver, c.exec, c.program, &again));
    assert_true(first == again);
    const vg_tensor *t = vg_program_tensor(c.program, "dx");
    double *values = read_window(&c, t->mat);
    values[3] = (double)nextafterf((float)values[3], 1);
    assert_ok(c.driver->write(c.exec, t->mat, values));
    assert_ok(vg_checksum(c.driver, c.exec, c.program, &other));
    assert_true(first != other);
    free(values);
    unload_case(&c);
}

static void without_the_probe_a_scan_cannot_be_checked(void **state)
{
    (void)state;
    const vg_lowering plain = {0};
    loaded_case c = load_case(&vg_ref_driver, 0, cases[7], &plain);
    vg_verdict_of_run verdict;
    write_random(&c, 3, 1.7);
    run_passes(&c, VG_PASSES_TRAIN | VG_PASS_LOSS);
    assert_int_equal(vg_verify(c.driver, c.exec, c.program, VG_PASSES_TRAIN | VG_PASS_LOSS,
                               VG_DENORMALS_KEEP, VG_VERIFY_FULL, 0, &verdict),
                     VG_INVALID);
    unload_case(&c);
}

/* Windows too large to be read whole: single rows of them are enough, and enough to find what is
 * wrong in many places. */
static void samples_of_large_windows(void **state)
{
    (void)state;
    static const char *const names[] = {"stack-tanh/d1/w32/i80/b65536/fp32/xavier/seed1",
                                        "rnn-tanh/d1/w16/b1024/t300/fp32/uniform/seed1"};
    static const char *const kinds[] = {"dense_fwd", "scan_fwd"};
    for (int i = 0; i < 2; i++) {
        loaded_case c = load_case(&vg_ref_driver, 0, names[i], &as_device);
        vg_verdict_of_run verdict;
        write_random(&c, 3, 1);
        run_passes(&c, (unsigned)PASSES & ~(unsigned)VG_PASS_EXACT);
        if (verify(&c, c.driver, VG_VERIFY_SAMPLED, &verdict) != VG_OK)
            fail_msg("%s: %s", names[i], vg_reason());
        assert_int_equal(verdict.verified, VG_VERIFIED_SAMPLED);
        const vg_tensor *y = vg_program_tensor(c.program, "y");
        double *values = read_window(&c, y->mat);
        for (uint64_t n = 0; n < elements_of(&y->mat); n += 100)
            values[n] = -values[n];
        assert_ok(c.driver->write(c.exec, y->mat, values));
        assert_int_equal(verify(&c, c.driver, VG_VERIFY_SAMPLED, &verdict), VG_MISMATCH);
        assert_non_null(strstr(verdict.where, kinds[i]));
        free(values);
        unload_case(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_correct_run_passes),
        cmocka_unit_test(every_spoilt_output_is_found_and_named),
        cmocka_unit_test(every_spoilt_slot_is_found),
        cmocka_unit_test(a_failed_read_is_no_mismatch),
        cmocka_unit_test(samples_of_large_windows),
        cmocka_unit_test(zero_gradients_prove_nothing),
        cmocka_unit_test(an_overflow_is_no_mismatch),
        cmocka_unit_test(one_bit_changes_the_checksum),
        cmocka_unit_test(without_the_probe_a_scan_cannot_be_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
