/* The CPU devices in bf16: every op against the oracle, the same bits for any number of threads,
 * padding left alone, and what is said of subnormals; by every table of kernels that runs here, and
 * by that of AMX on tiles in plain C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bf16/bf16_ops.h"
#include "cpu_features.h"
#include "run_model.h"
#include "verify.h"

static const char *const cases[] = {
    "stack-tanh/d33/w17/b3/bf16/xavier/seed1",
    "stack-sigmoid/d2/w64/b32/bf16/xavier/seed2",
    "stack-relu/d3/w48/b200/bf16/he/seed3",
    "stack-leaky_relu/d2/w17/b300/bf16/he/seed4",
    "stack-maxout/d2/w19/b7/bf16/lecun/seed5",
    "stack-maxout/d2/w9/b260/bf16/lecun/pieces3/seed5",
    "stack-maxout/d2/w5/b33/bf16/lecun/pieces64/seed5",
    "stack-tanh/d4/w40/b33/bf16/xavier/residual/seed6",
    "stack-maxout/d3/w70/b64/bf16/lecun/residual/seed6",
    "stack-tanh/d2/w333/i3/o5/b1/bf16/xavier/clip1e-3/seed7",
    "stack-identity/d1/w1/b1/bf16/xavier/seed8",
    "stack-tanh/d1/w31/i33/b1030/bf16/xavier/seed9", /* two blocks of a weight gradient's K */
    "rnn-tanh/d1/w70/b3/t9/bf16/uniform/seed1",
    "rnn-relu/d2/w17/i5/o3/b1/t77/bf16/uniform/at-all/seed2",
    "rnn-sigmoid/d1/w333/b40/t4/bf16/uniform/seed3",
    "lstm/d1/w65/b2/t7/bf16/uniform/seed1",
    "lstm/d2/w20/i7/b60/t6/bf16/uniform/at-all/seed2",
    "lstm/d1/w130/b17/t5/bf16/uniform/h0-0.5/seed3",
    "gru/d1/w67/b4/t8/bf16/uniform/seed1",
    "gru/d2/w24/i9/o2/b50/t5/bf16/uniform/clip0.01/seed2",
    "gru/d1/w1/b1/t3/bf16/uniform/at-all/seed3",
};
enum { CASES = sizeof cases / sizeof *cases };

static char device[32];

/* Whose kernels the device has. */
static const vg_bf16_kernels *table;

#if defined(__x86_64__)
#include "amx_tiles.h"

#include "bf16/bf16_amx.inc"

static const vg_bf16_kernels emulated = AMX_KERNELS;

/* Every thread that configured tiles has released them. */
static void check_released(const char *name)
{
    if (tiles_configured != 0)
        fail_msg("%s: %d threads keep their tiles", name, (int)tiles_configured);
}
#else
static void check_released(const char *name)
{
    (void)name;
}
#endif

static void table_set(vg_device *opened)
{
    opened->bf16 = table;
}

static void verify(run_model *run)
{
    vg_verdict_of_run verdict;
    run_try(run, "verify",
            vg_verify(run->driver, run->exec, run->program, RUN_ALL, run->applied.denormals,
                      VG_VERIFY_FULL, 60, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_FULL);
}

/* An odd K reads one element of padding: nobody may have written there. */
static void check_padding(const run_model *run)
{
    const vg_program *p = run->program;
    for (uint32_t i = 0; i < p->op_count; i++)
        for (const vg_operand *o = vg_op_operands(p->ops[i].kind); o->name; o++) {
            const vg_mat *m = vg_op_mat(&p->ops[i], o);
            for (uint64_t r = 0; m->dtype == VG_BF16 && r < m->rows; r++)
                for (uint32_t j = m->cols; j < m->ld; j++)
                    if (*vg_bf16_at(run->exec, *m, r, j) != 0)
                        fail_msg("%s: op %u wrote beyond %s, at [%u, %u]", run->name, i, o->name,
                                 (uint32_t)r, j);
        }
}

static void test_oracle(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CASES; i++) {
        run_model run;
        run_start(&run, cases[i], device);
        verify(&run);
        check_padding(&run);
        check_released(cases[i]);
        run_free(&run);
    }
}

static uint64_t checksum(run_model *run)
{
    uint64_t sum;
    run_try(run, "checksum", vg_checksum(run->driver, run->exec, run->program, &sum));
    return sum;
}

static void test_bits(void **unused)
{
    (void)unused;
    static const char *const splits[] = {"auto", "units", "batch"};
    for (size_t i = 0; i < CASES; i++) {
        run_model one, other;
        run_start(&one, cases[i], device);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            vg_setting settings[] = {{"scan", splits[(i + threads) % 3]}, {0}};
            vg_device_options options = {
                .threads = threads, .bind = VG_BIND_NONE, .settings = settings};
            run_load(&other, cases[i], device, &options, 0);
            for (int again = 0; again < 2; again++) {
                run_passes(&other, RUN_ALL);
                check_released(cases[i]);
                if (checksum(&one) != checksum(&other))
                    fail_msg("%s: other bits with %u threads, run %d", cases[i], threads, again);
                assert_memory_equal(one.slots, other.slots,
                                    one.program->slot_count * sizeof *one.slots);
            }
            run_free(&other);
        }
        run_free(&one);
    }
}

/* Subnormals are flushed whatever is asked for, in results too, and that is what is said. */
static void test_flushing(void **unused)
{
    (void)unused;
    static const char name[] = "stack-identity/d3/w32/b32/bf16/normal:1e-14/seed1";
    for (int flush = 0; flush < 2; flush++) {
        run_model run;
        vg_device_options options = {.threads = 2,
                                     .bind = VG_BIND_NONE,
                                     .denormals = flush ? VG_DENORMALS_FLUSH : VG_DENORMALS_KEEP};
        run_load(&run, name, device, &options, 0);
        assert_int_equal(run.applied.denormals, VG_DENORMALS_FLUSH);
        assert_int_equal(vg_denormals_of(VG_DENORMALS_KEEP, run.applied.flushing, VG_FP32),
                         VG_DENORMALS_KEEP);
        run_passes(&run, RUN_ALL);
        double *dx = run_read(&run, "dx");
        for (size_t i = 0; i < run_elements(run_tensor(&run, "dx")); i++)
            assert_true(dx[i] == 0 || fabs(dx[i]) >= 0x1p-126);
        free(dx);
        verify(&run);
        run_free(&run);
    }
}

/* A peak of its own. */
static void test_peak(void **unused)
{
    (void)unused;
    run_model run = {.name = "peak"};
    vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE};
    vg_peaks peaks;
    memcpy(run.on, device, sizeof run.on);
    run_open(&run, &options);
    run_try(&run, "peaks", run.driver->peaks(run.device, VG_BF16, &peaks));
    assert_true(peaks.flop_per_s > 1e7 && peaks.flop_per_s < 1e14);
    check_released("peaks");
    run_free(&run);
}

static vg_isa own; /* the device's instruction set */

/* What is asked for is what multiplies, and said; or why it cannot is. */
static void check_choice(const char *asked, const vg_bf16_kernels *expected)
{
    run_model run = {.name = "gru/d1/w4/b2/t2/bf16/uniform/seed1"};
    vg_setting settings[] = {{"bf16", asked}, {0}};
    vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    vg_lowering how = {.exact_piece = 0};
    char said[64], wanted[64];
    memcpy(run.on, device, sizeof run.on);
    run_try(&run, "parse", vg_case_parse(run.name, &run.model));
    run_try(&run, "lower", vg_lower(&run.model, &how, &run.program));
    run_open(&run, &options);
    assert_ptr_equal(run.device->bf16, expected);
    vg_status status = run.driver->load(run.device, &run.model, run.program, &run.exec);
    if (!expected) {
        snprintf(wanted, sizeof wanted, "bf16: %s", own.amx_absent);
        assert_int_equal(status, VG_UNSUPPORTED);
        assert_string_equal(vg_reason(), wanted);
    } else {
        snprintf(wanted, sizeof wanted, "bf16=%s scan=units", expected->name);
        run_try(&run, "load", status);
        run_try(&run, "choice", run.driver->choice(run.exec, said, sizeof said));
        assert_string_equal(said, wanted);
    }
    run_free(&run);
}

static void test_choice(void **unused)
{
    (void)unused;
    run_opened = NULL;
    check_choice("auto", own.amx ? own.amx : own.bf16);
    check_choice("amx", own.amx);
    check_choice("vdpbf16ps", own.bf16);
}

/* --list says by what, and why not by AMX. */
static void test_note(void **unused)
{
    (void)unused;
    vg_found_device *found;
    size_t count, seen = 0;
    assert_int_equal(vg_devices_find(&found, &count), VG_OK);
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].info.name, device) == 0) {
            const char *note = found[i].info.note;
            assert_non_null(strstr(note, "bf16 by "));
            assert_true(own.amx || strstr(note, own.amx_absent));
            seen++;
        } else if (strncmp(found[i].info.name, "cpu.", 4) == 0) {
            assert_string_equal(found[i].info.note, "");
        }
    assert_int_equal(seen, 1);
    free(found);
}

static int test_table(const char *name, const vg_bf16_kernels *kernels)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_flushing),
        cmocka_unit_test(test_peak),
    };
    table = kernels;
    run_opened = table_set;
    print_message("%s\n", name);
    return kernels ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}

int main(void)
{
    const struct CMUnitTest choice_tests[] = {cmocka_unit_test(test_choice),
                                              cmocka_unit_test(test_note)};
    vg_isa isa[VG_ISA_COUNT];
    vg_isa_list(isa);
    for (size_t i = 0; i < VG_ISA_COUNT; i++)
        if (!isa[i].absent[0] && isa[i].bf16)
            own = isa[i];
    if (!own.name) {
        printf("skipped: no CPU device computes in bf16 here\n");
        return 77;
    }
    snprintf(device, sizeof device, "cpu.%s", own.name);
    int failed = cmocka_run_group_tests(choice_tests, NULL, NULL);
    failed += test_table("vdpbf16ps", own.bf16);
    failed += test_table("AMX", own.amx);
#if defined(__x86_64__)
    failed += test_table("AMX in plain C", &emulated);
    if (tiles_configurations == 0) {
        printf("no thread ever configured tiles\n");
        failed++;
    }
#endif
    return failed;
}
