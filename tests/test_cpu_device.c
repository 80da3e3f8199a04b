/* The CPU devices on whole programs: against the oracle, and the same bits for any number of
 * threads, any run, and passes alone or together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_model.h"
#include "verify.h"

#include <math.h>
#include <stdio.h>

static const char *const cases[] = {
    "stack-tanh/d3/w33/b5/fp32/xavier/seed1",
    "stack-sigmoid/d2/w64/b32/fp32/xavier/seed2",
    "stack-relu/d3/w48/b200/fp32/he/seed3",
    "stack-leaky_relu/d2/w17/b300/fp32/he/seed4",
    "stack-maxout/d2/w19/b7/fp32/lecun/seed5",
    "stack-maxout/d2/w9/b260/fp32/lecun/pieces3/seed5",
    "stack-tanh/d4/w40/b33/fp32/xavier/residual/seed6",
    "stack-maxout/d3/w21/b4/fp32/lecun/residual/seed6",
    "stack-maxout/d3/w70/b64/fp32/lecun/residual/seed6",
    "stack-tanh/d2/w700/i3/o5/b1/fp32/xavier/clip1e-3/seed7",
    "stack-identity/d1/w1/b1/fp32/xavier/seed8",
    "rnn-tanh/d1/w70/b3/t9/fp32/uniform/seed1",
    "rnn-relu/d2/w16/i5/o3/b1/t12/fp32/uniform/at-all/seed2",
    "rnn-sigmoid/d1/w300/b40/t4/fp32/uniform/seed3",
    "lstm/d1/w65/b2/t7/fp32/uniform/seed1",
    "lstm/d2/w20/i7/b60/t6/fp32/uniform/at-all/seed2",
    "lstm/d1/w130/b17/t5/fp32/uniform/h0-0.5/seed3",
    "gru/d1/w67/b4/t8/fp32/uniform/seed1",
    "gru/d2/w24/i9/o2/b50/t5/fp32/uniform/clip0.01/seed2",
    "gru/d1/w1/b1/t3/fp32/uniform/at-all/seed3",
    /* shapes that no kernel was tuned for */
    "stack-relu/d33/w17/b3/fp32/he/seed9",
    "gru/d1/w333/b3/t9/fp32/uniform/seed9",
#if !defined(__SANITIZE_THREAD__) /* which these and shorter ones tell as much of */
    "stack-sigmoid/d3/w333/b3/fp32/xavier/seed9",
    "rnn-tanh/d1/w333/b3/t9/fp32/uniform/seed9",
    "lstm/d1/w333/b3/t9/fp32/uniform/seed9",
    "rnn-tanh/d1/w17/b3/t777/fp32/uniform/seed9",
    "lstm/d1/w17/b3/t777/fp32/uniform/seed9",
    "gru/d1/w17/b3/t777/fp32/uniform/seed9",
#endif
};
/* Every so manieth case is held to the oracle, and to itself. Under ThreadSanitizer the second
 * tells of races; emulated, a stack and an lstm, and some of every kind. */
enum {
    CASES = sizeof cases / sizeof *cases,
#if defined(VG_EMULATED)
    ORACLE_STEP = 15,
    BITS_STEP = 4
#elif defined(__SANITIZE_THREAD__)
    ORACLE_STEP = 5,
    BITS_STEP = 1
#else
    ORACLE_STEP = 1,
    BITS_STEP = 1
#endif
};

static double *all_of(const run_model *run, const vg_tensor *t)
{
    double *out = malloc((run_elements(t) + 1) * sizeof *out);
    assert_non_null(out);
    run_try(run, t->name, run->driver->read(run->exec, t->mat, out));
    return out;
}

/* ‖a - b‖ <= relative · ‖b‖, and nothing that is not finite. */
static void compare(const run_model *run, const vg_tensor *t, const double *a, const double *b,
                    double relative)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < run_elements(t); i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!(sqrt(difference) <= relative * sqrt(size)))
        fail_msg("%s on %s: %s is off by %g of its norm %g", run->name, run->on, t->name,
                 sqrt(difference / size), sqrt(size));
}

static void compare_slots(const run_model *run, const run_model *oracle)
{
    for (uint32_t i = 0; i < run->program->slot_count; i++) {
        const vg_slot *a = &run->slots[i], *b = &oracle->slots[i];
        double x = sqrt(a->sum_squares) * exp2((double)(a->exponent - b->exponent));
        double y = sqrt(b->sum_squares);
        bool scaled = a->exponent != b->exponent; /* a rescaled norm: only with its exponent */
        if (!scaled && !(fabs(x - y) <= 1e-3 * y) && !(fabs(a->sum_squares) < 1e-30))
            fail_msg("%s on %s: slot %u holds %g, the oracle's %g", run->name, run->on, i, x, y);
        if (!(fabs(a->mean_abs_derivative - b->mean_abs_derivative) <= 1e-3))
            fail_msg("%s on %s: slot %u: mean |f'| %g, the oracle's %g", run->name, run->on, i,
                     a->mean_abs_derivative, b->mean_abs_derivative);
    }
}

static void against_oracle(const char *name, const char *device)
{
    run_model run, oracle;
    run_start(&oracle, name, "ref");
    run_start(&run, name, device);
    for (uint32_t i = 0; i < run.program->tensor_count; i++) {
        const vg_tensor *t = &run.program->tensors[i];
        double *a = all_of(&run, t), *b = all_of(&oracle, &oracle.program->tensors[i]);
        compare(&run, t, a, b, 2e-5);
        free(a);
        free(b);
    }
    compare_slots(&run, &oracle);
    vg_verdict_of_run verdict;
    run_try(&run, "verify",
            vg_verify(run.driver, run.exec, run.program, RUN_ALL, run.applied.denormals,
                      VG_VERIFY_FULL, 60, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_FULL);
    run_free(&run);
    run_free(&oracle);
}

static void test_oracle(void **unused)
{
    char(*devices)[32];
    size_t count = run_devices(&devices);
    (void)unused;
    for (size_t d = 0; d < count; d++)
        for (size_t i = 0; i < CASES && strcmp(devices[d], "ref") != 0; i += ORACLE_STEP)
            against_oracle(cases[i], devices[d]);
    free(devices);
}

/* Every byte of the arena that a window can show, as one number a tensor. */
static void same_tensors(const run_model *a, const run_model *b, const char *what)
{
    for (uint32_t i = 0; i < a->program->tensor_count; i++) {
        const vg_tensor *t = &a->program->tensors[i];
        double *x = all_of(a, t), *y = all_of(b, &b->program->tensors[i]);
        if (memcmp(x, y, run_elements(t) * sizeof *x) != 0)
            fail_msg("%s on %s: other bits in %s: %s", a->name, a->on, t->name, what);
        free(x);
        free(y);
    }
    if (a->program->slot_count &&
        memcmp(a->slots, b->slots, a->program->slot_count * sizeof *a->slots) != 0)
        fail_msg("%s on %s: other slots: %s", a->name, a->on, what);
}

static void same_bits(const char *name, const char *device, size_t turn)
{
    static const char *const splits[] = {"auto", "units", "batch"};
    run_model one, other;
    run_start(&one, name, device);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        vg_setting settings[] = {{"scan", splits[(turn + threads) % 3]}, {0}};
        vg_device_options options = {
            .threads = threads, .bind = VG_BIND_NONE, .settings = settings};
        double seconds;
        run_load(&other, name, device, &options, 0);
        assert_int_equal(other.applied.threads, threads);
        run_passes(&other, RUN_ALL);
        same_tensors(&one, &other, "another number of threads");
        run_passes(&other, RUN_ALL);
        same_tensors(&one, &other, "a second run");
        run_try(&other, "run", other.driver->run(other.exec, VG_PASSES_TRAIN, 2, &seconds));
        run_try(&other, "slots", other.driver->slots(other.exec, other.slots));
        same_tensors(&one, &other, "passes run together");
        run_free(&other);
    }
    run_free(&one);
}

/* Every case meets two or three threads with each way to share a step on one device or another. */
static void test_bits(void **unused)
{
    char(*devices)[32];
    size_t count = run_devices(&devices);
    (void)unused;
    for (size_t d = 0; d < count; d++)
        for (size_t i = 0; i < CASES && strcmp(devices[d], "ref") != 0; i += BITS_STEP)
            same_bits(cases[i], devices[d], d + i);
    free(devices);
}

/* So does the oracle, whose threads share out rows and columns. */
static void test_oracle_bits(void **unused)
{
    (void)unused;
    same_bits("stack-tanh/d2/w140/i90/b70/fp32/xavier/seed1", "ref", 0);
    same_bits("gru/d1/w130/b35/t3/fp32/uniform/seed1", "ref", 0);
}

/* All terms of a sum are lost one by one where each is below the smallest normal: every IRNN step
 * from k = 126 on, and dx before that. No fault of a device that flushes. */
static void test_flushed_sums(void **unused)
{
    (void)unused;
    static const char name[] = "rnn-relu/d1/w16/b32/t160/fp32/identity:0.5/loss-ones/x-abs/seed1";
    const vg_device_options options = {
        .threads = 2, .bind = VG_BIND_NONE, .denormals = VG_DENORMALS_FLUSH};
    char(*devices)[32];
    size_t count = run_devices(&devices);
    for (size_t d = 0; d < count; d++) {
        run_model run;
        vg_verdict_of_run verdict;
        if (strcmp(devices[d], "ref") == 0)
            continue;
        run_load(&run, name, devices[d], &options, 0);
        run_passes(&run, RUN_ALL);
        run_try(&run, "verify",
                vg_verify(run.driver, run.exec, run.program, RUN_ALL, run.applied.denormals,
                          VG_VERIFY_FULL, 60, &verdict));
        run_free(&run);
    }
    free(devices);
}

/* Flushing holds in every op: a gradient below the smallest normal is zero, and verified as such.
 */
static void test_flushing(void **unused)
{
    (void)unused;
    static const char name[] = "stack-identity/d3/w32/b32/fp32/normal:1e-14/seed1";
    run_model run;
    for (int flush = 0; flush < 2; flush++) {
        vg_device_options options = {.threads = 2,
                                     .bind = VG_BIND_NONE,
                                     .denormals = flush ? VG_DENORMALS_FLUSH : VG_DENORMALS_KEEP};
        vg_verdict_of_run verdict;
        run_load(&run, name, "cpu.scalar", &options, 0);
        run_passes(&run, RUN_ALL);
        double *dx = run_read(&run, "dx");
        bool any = false;
        for (size_t i = 0; i < run_elements(run_tensor(&run, "dx")); i++)
            any = any || (dx[i] != 0 && fabs(dx[i]) < 0x1p-126);
        free(dx);
        assert_int_equal(any, !flush);
        assert_int_equal(run.applied.denormals == VG_DENORMALS_FLUSH, flush);
        run_try(&run, "verify",
                vg_verify(run.driver, run.exec, run.program, VG_PASSES_TRAIN, run.applied.denormals,
                          VG_VERIFY_FULL, 60, &verdict));
        run_free(&run);
    }
}

/* A case beyond all memory is refused before anything is touched, other dtypes with a reason. */
static void test_refusals(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        vg_status status;
    } refused[] = {
        {"stack-tanh/d2/w65536/b65536/fp32/xavier/seed1", VG_NO_MEMORY},
        {"stack-tanh/d2/w8/b8/bf16/xavier/seed1", VG_UNSUPPORTED},
        {"stack-tanh/d2/w8/b8/tf32/xavier/seed1", VG_UNSUPPORTED},
        {"stack-tanh/d2/w8/b8/fp64/xavier/seed1", VG_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        run_model run = {.on = "cpu.scalar"};
        vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE};
        snprintf(run.name, sizeof run.name, "%s", refused[i].name);
        run_try(&run, "parse", vg_case_parse(run.name, &run.model));
        run_open(&run, &options);
        run_try(&run, "lower", vg_lower(&run.model, &(vg_lowering){0}, &run.program));
        assert_true(run.driver->extra_bytes(run.device, run.program) > 0);
        assert_int_equal(run.driver->load(run.device, &run.model, run.program, &run.exec),
                         refused[i].status);
        assert_true(vg_reason()[0] != 0);
        run_free(&run);
    }
}

static void count_fact(void *context, const char *key, const char *value)
{
    int *seen = context;
    assert_true(key[0] != 0 && value[0] != 0);
    *seen += strcmp(key, "topology.xml") == 0 || strcmp(key, "cpu.cores") == 0;
}

/* Peaks are plausible, facts are there, telemetry answers. */
static void test_limits(void **unused)
{
    (void)unused;
    run_model run = {.on = "cpu.scalar", .name = "limits"};
    vg_device_options options = {.threads = 2, .bind = VG_BIND_NONE};
    vg_peaks peaks;
    vg_telemetry telemetry;
    int seen = 0;
    run_open(&run, &options);
    run_try(&run, "peaks", run.driver->peaks(run.device, VG_FP32, &peaks));
    assert_true(peaks.flop_per_s > 1e7 && peaks.flop_per_s < 1e13);
    assert_true(peaks.levels >= 2 && isinf(peaks.level[peaks.levels - 1].capacity_bytes));
    for (uint32_t i = 0; i < peaks.levels; i++)
        assert_true(peaks.level[i].bytes_per_s > 1e7 && peaks.level[i].bytes_per_s < 1e14);
    assert_true(peaks.barrier_s > 0);
    assert_int_equal(run.driver->peaks(run.device, VG_BF16, &peaks), VG_UNSUPPORTED);
    run_try(&run, "telemetry", run.driver->telemetry(run.device, &telemetry));
    assert_true(isnan(telemetry.clock_mhz) || telemetry.clock_mhz > 10);
    run_try(&run, "facts", run.driver->facts(run.device, count_fact, &seen));
    assert_int_equal(seen, 2);
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),      cmocka_unit_test(test_bits),
        cmocka_unit_test(test_oracle_bits),

        cmocka_unit_test(test_flushing),    cmocka_unit_test(test_flushed_sums),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
