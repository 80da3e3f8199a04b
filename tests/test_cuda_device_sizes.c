/* The CUDA devices at sizes where something could give way: sequences and layers beyond 65,535, one
 * of everything, windows larger than the staging area. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

/* Loads without PROBE and EXACT, on the device and on the oracle, and runs a training step. */
static void train(run_model *run, const char *name, const char *device, const char *scan)
{
    const vg_setting settings[] = {{"scan", scan}, {0}};
    const bool cuda = strcmp(device, CUDA_DEVICE) == 0;
    const vg_device_options options = {
        .threads = 1, .bind = VG_BIND_NONE, .settings = cuda ? settings : NULL};
    double seconds;
    *run = (run_model){.slots = NULL};
    snprintf(run->name, sizeof run->name, "%s", name);
    snprintf(run->on, sizeof run->on, "%s", device);
    run_try(run, "parse", vg_case_parse(name, &run->model));
    run_open(run, &options);
    const vg_lowering how = {.oracle = run->driver->oracle};
    run_try(run, "lower", vg_lower(&run->model, &how, &run->program));
    run_try(run, "load", run->driver->load(run->device, &run->model, run->program, &run->exec));
    for (uint32_t i = 0; i < run->program->tensor_count; i++) {
        const vg_tensor *t = &run->program->tensors[i];
        if (t->role != VG_ROLE_INPUT && t->role != VG_ROLE_WEIGHT && t->role != VG_ROLE_BIAS)
            continue;
        double *values = malloc(run_elements(t) * sizeof *values);
        assert_non_null(values);
        run_try(run, t->name, vg_fill(run->program, t, values));
        run_try(run, t->name, run->driver->write(run->exec, t->mat, values));
        free(values);
    }
    run_try(run, "run", run->driver->run(run->exec, VG_PASSES_TRAIN | VG_PASS_LOSS, 1, &seconds));
}

static void against_oracle(const char *name, const char *scan)
{
    run_model run, oracle;
    train(&run, name, CUDA_DEVICE, scan);
    train(&oracle, name, "ref", scan);
    for (uint32_t i = 0; i < run.program->tensor_count; i++) {
        const vg_tensor *t = &run.program->tensors[i];
        double *a = run_read(&run, t->name), *b = run_read(&oracle, t->name);
        cuda_near(&run, t, a, b, 1e-4);
        free(a);
        free(b);
    }
    run_free(&run);
    run_free(&oracle);
}

/* More steps than a grid's second dimension has blocks. */
static void test_long_sequence(void **unused)
{
    (void)unused;
    against_oracle("rnn-tanh/d1/w1/b1/t70000/fp32/uniform/at-all/seed1", "L");
}

/* Each op against the oracle on its own inputs. */
static void verified(const run_model *run, unsigned passes)
{
    vg_verdict_of_run verdict;
    run_try(run, "verify",
            vg_verify(run->driver, run->exec, run->program, passes, run->applied.denormals,
                      VG_VERIFY_AUTO, 2, &verdict));
    assert_true(verdict.verified >= VG_VERIFIED_SAMPLED);
}

/* More layers than that, far more ops than a graph is made for, and their order on two streams. */
static void test_deep(void **unused)
{
    (void)unused;
    run_model run;
    train(&run, "stack-tanh/d9000/w1/b1/fp32/identity/residual/seed1", CUDA_DEVICE, "auto");
    verified(&run, VG_PASSES_TRAIN | VG_PASS_LOSS);
    run_free(&run);
}

/* One of everything, and the most of one thing. */
static void test_thin(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "stack-tanh/d1/w1/b1/fp32/xavier/seed1",
        "stack-relu/d1/w1/b65536/fp32/he/seed1",
        "stack-sigmoid/d1/w1/i65536/b3/fp32/xavier/seed1",
        "stack-tanh/d1/w65536/i1/b2/fp32/xavier/seed1",
        "gru/d1/w1/b65536/t2/fp32/uniform/seed1",
        "lstm/d1/w1/i3000/b1/t3/fp32/uniform/at-all/seed1",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run_model run;
        cuda_load(&run, names[i], "L", 0);
        run_passes(&run, RUN_ALL);
        verified(&run, RUN_ALL);
        run_free(&run);
    }
}

/* A window, and a row, larger than the piece of memory through which they travel. */
static void test_large_windows(void **unused)
{
    (void)unused;
    run_model run;
    cuda_load(&run, "stack-maxout/d1/w65536/i2/b1/fp32/lecun/pieces17/seed1", "auto", 0);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "weight_0" : "bias_0";
        const size_t count = run_elements(run_tensor(&run, name));
        double *values = malloc(count * sizeof *values);
        assert_non_null(values);
        for (size_t n = 0; n < count; n++)
            values[n] = (double)(n % 16777213);
        run_write(&run, name, values);
        double *read = run_read(&run, name);
        for (size_t n = 0; n < count; n++)
            if (read[n] != values[n])
                fail_msg("%s[%zu]: %g was written, %g read", name, n, values[n], read[n]);
        free(read);
        free(values);
    }
    run_free(&run);
}

/* Offsets that 32 bits do not hold; --slow. */
static void test_beyond_4_gib(void **unused)
{
    (void)unused;
    run_model run;
    vg_verdict_of_run verdict;
    train(&run, "stack-tanh/d380/w1/b65536/fp32/xavier/seed1", CUDA_DEVICE, "auto");
    assert_true(run.program->arena_bytes > UINT64_C(1) << 32);
    run_try(&run, "verify",
            vg_verify(run.driver, run.exec, run.program, VG_PASSES_TRAIN | VG_PASS_LOSS,
                      run.applied.denormals, VG_VERIFY_SAMPLED, 60, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_SAMPLED);
    run_free(&run);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest slow[] = {cmocka_unit_test(test_beyond_4_gib)};
    if (count > 1 && strcmp(arguments[1], "--slow") == 0)
        CUDA_TESTS(slow);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_sequence),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_thin),
        cmocka_unit_test(test_large_windows),
    };
    CUDA_TESTS(tests);
}
