/* The CUDA devices when something fails: what they refuse, and every call of a stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_faults.h"

typedef struct refusal {
    const char *name, *scan;
    vg_status status;
    const char *reason; /* part of it */
} refusal;

static void test_refusals(void **unused)
{
    (void)unused;
    static const refusal refusals[] = {
        {"stack-tanh/d2/w65536/b65536/fp32/xavier/seed1", "auto", VG_NO_MEMORY, "GB are free"},
        {"lstm/d2/w65536/b1/t2/bf16/uniform/seed1", "L", VG_NO_MEMORY, "GB are free"},
        {"stack-tanh/d2/w8/b8/fp64/xavier/seed1", "auto", VG_UNSUPPORTED, "fp64"},
    };
    const vg_driver *driver = NULL;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        const vg_lowering how = {.oracle = strstr(r->name, "fp64") != NULL};
        vg_device *device;
        vg_model model;
        vg_program *program;
        vg_exec *exec = NULL;
        assert_int_equal(open_first(&driver, r->scan, &device), VG_OK);
        assert_int_equal(vg_case_parse(r->name, &model), VG_OK);
        assert_int_equal(vg_lower(&model, &how, &program), VG_OK);
        if (r->status == VG_NO_MEMORY)
            assert_true(driver->extra_bytes(device, program) > 0);
        const vg_status status = driver->load(device, &model, program, &exec);
        if (status != r->status || !strstr(vg_reason(), r->reason))
            fail_msg("%s: %s: %s", r->name, vg_status_name(status), vg_reason());
        vg_program_free(program);
        driver->close(device);
    }
}

/* What is said of the choice. */
static void test_choice(void **unused)
{
    (void)unused;
    static const char *const rows[][3] = {
        {"stack-tanh/d1/w4/b2/fp32/xavier/seed1", "auto", "gemm=cublasLt"},
        {"stack-tanh/d1/w4/b2/tf32/xavier/seed1", "auto", "gemm=cublasLt tf32="},
        {"lstm/d1/w4/b2/t2/bf16/uniform/seed1", "L", "gemm=cublasLt scan=L"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run_model run;
        char words[128];
        cuda_load(&run, rows[i][0], rows[i][1], 0);
        run_try(&run, "choice", run.driver->choice(run.exec, words, sizeof words));
        if (strncmp(words, rows[i][2], strlen(rows[i][2])) != 0)
            fail_msg("%s: chose \"%s\", expected \"%s...\"", run.name, words, rows[i][2]);
        run_free(&run);
    }
}

#if defined(VG_CUDA_EMULATED)
static const char name[] = "stack-maxout/d2/w3/i2/o2/b2/bf16/lecun/residual/clip0.1/seed1";

static void test_failures(void **unused)
{
    (void)unused;
    every_call_fails(name, "auto");
}

static void test_lost(void **unused)
{
    (void)unused;
    every_call_loses(name, "auto");
}

/* A library without epilogues: kernels of our own do their work. */
static void test_plain_library(void **unused)
{
    (void)unused;
    emu_settings settings = emu_defaults();
    settings.plain_library = true;
    start(settings);
    cuda_against_oracle("stack-relu/d2/w17/b9/fp32/he/seed1", "auto");
    cuda_against_oracle("stack-identity/d2/w17/b600/fp32/xavier/seed1", "auto");
    cuda_against_oracle("gru/d1/w9/b3/t4/bf16/uniform/seed1", "L");
    start(emu_defaults());
}

/* What the products of another library or chip may do is found out, said, and worked around. */
static void test_quirks(void **unused)
{
    (void)unused;
    run_model run;
    char words[128];
    emu_settings settings = emu_defaults();
    settings.quirks = EMU_FLUSHES_SUBNORMALS;
    start(settings);
    cuda_load(&run, "stack-tanh/d1/w4/b2/fp32/xavier/seed1", "auto", 0);
    assert_int_equal(run.applied.denormals, VG_DENORMALS_FLUSH);
    run_free(&run);
    settings.quirks = EMU_TF32_TRUNCATES | EMU_RELU_DROPS_NAN;
    start(settings);
    cuda_load(&run, "stack-tanh/d1/w4/b2/tf32/xavier/seed1", "auto", 0);
    run_try(&run, "choice", run.driver->choice(run.exec, words, sizeof words));
    assert_string_equal(words, "gemm=cublasLt tf32=truncated");
    assert_int_equal(run.applied.denormals, VG_DENORMALS_KEEP);
    run_free(&run);
    cuda_against_oracle("stack-tanh/d2/w33/b4/tf32/xavier/seed1", "auto");
    /* A NaN of the input is one in every unit behind it. */
    cuda_load(&run, "stack-relu/d2/w4/b1/fp32/he/seed1", "auto", 0);
    run_write_all(&run, "x", (double)NAN);
    run_passes(&run, VG_PASS_FWD);
    double *y = run_read(&run, "y");
    for (int i = 0; i < 4; i++)
        assert_true(isnan(y[i]));
    free(y);
    run_free(&run);
    start(emu_defaults());
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_choice),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_plain_library),
        cmocka_unit_test(test_quirks),
#endif
    };
    CUDA_TESTS(tests);
}
