/* Stacks whose equal layers are one kernel, as loaded from a program: every op against the oracle,
 * what is said of the choice, what is refused, and every call that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_faults.h"

static void stack_load(run_model *run, const char *name, const char *form)
{
    const vg_setting settings[] = {{"stack", form}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    run_load(run, name, CUDA_DEVICE, &options, 0);
}

static void test_against_oracle(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "stack-tanh/d1/w17/b3/fp32/xavier/seed1",
        "stack-sigmoid/d5/w33/b8/fp32/xavier/seed2",
        "stack-relu/d4/w24/i7/o5/b9/fp32/he/residual/clip0.1/seed3",
        "stack-leaky_relu/d2/w64/o64/b33/fp32/he/seed4",
        "stack-identity/d3/w10/i3/b2/fp32/orthogonal/seed5",
        "stack-tanh/d3/w12/b2/fp32/xavier/residual/seed6",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run_model run;
        stack_load(&run, names[i], "persistent");
        run_passes(&run, RUN_ALL);
        cuda_check(&run, 0);
        run_free(&run);
    }
}

/* Both forms within rounding of each other, a set as a graph as its passes one by one. */
static void test_forms_agree(void **unused)
{
    (void)unused;
    static const char *const name = "stack-tanh/d6/w20/o3/b5/fp32/xavier/seed1";
    run_model kernel, graph;
    stack_load(&kernel, name, "persistent");
    stack_load(&graph, name, "graph");
    run_passes(&kernel, RUN_ALL);
    run_passes(&graph, RUN_ALL);
    for (uint32_t i = 0; i < kernel.program->tensor_count; i++) {
        const vg_tensor *t = &kernel.program->tensors[i];
        double seconds, *once = run_read(&kernel, t->name), *other = run_read(&graph, t->name);
        cuda_near(&kernel, t, once, other, 2e-5);
        run_try(&kernel, "run", kernel.driver->run(kernel.exec, VG_PASSES_TRAIN, 2, &seconds));
        double *again = run_read(&kernel, t->name);
        assert_memory_equal(once, again, run_elements(t) * sizeof *once);
        free(once);
        free(other);
        free(again);
    }
    run_free(&kernel);
    run_free(&graph);
}

static void test_choice(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *form, *words;
    } rows[] = {
        {"stack-tanh/d4/w16/b2/fp32/xavier/seed1", "persistent",
         "gemm=cublasLt stack=persistent blocks="},
        {"stack-tanh/d4/w16/b2/fp32/xavier/seed1", "auto",
         "gemm=cublasLt stack=persistent blocks="},
        {"stack-tanh/d4/w16/b2/fp32/xavier/seed1", "graph", "gemm=cublasLt stack=graph"},
        {"stack-tanh/d1/w16/b2/fp32/xavier/seed1", "auto", "gemm=cublasLt stack=graph"},
        {"stack-tanh/d4/w16/b2/tf32/xavier/seed1", "auto", "gemm=cublasLt tf32="},
        {"lstm/d1/w4/b2/t2/fp32/uniform/seed1", "persistent", "gemm=cublasLt scan="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run_model run;
        char words[256];
        stack_load(&run, rows[i].name, rows[i].form);
        run_try(&run, "choice", run.driver->choice(run.exec, words, sizeof words));
        if (strncmp(words, rows[i].words, strlen(rows[i].words)) != 0)
            fail_msg("%s, stack=%s: chose \"%s\", expected \"%s...\"", run.name, rows[i].form,
                     words, rows[i].words);
        run_free(&run);
    }
}

static void assert_refused(const char *name, const char *reason)
{
    const vg_setting settings[] = {{"stack", "persistent"}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    run_model run = {.slots = NULL};
    snprintf(run.name, sizeof run.name, "%s", name);
    snprintf(run.on, sizeof run.on, "%s", CUDA_DEVICE);
    run_try(&run, "parse", vg_case_parse(name, &run.model));
    run_open(&run, &options);
    run_try(&run, "lower", vg_lower(&run.model, &(vg_lowering){0}, &run.program));
    const vg_status status = run.driver->load(run.device, &run.model, run.program, &run.exec);
    if (status != VG_UNSUPPORTED || !strstr(vg_reason(), reason))
        fail_msg("%s: %s: %s, expected \"%s\"", name, vg_status_name(status), vg_reason(), reason);
    run_free(&run);
}

static void test_refusals(void **unused)
{
    (void)unused;
    assert_refused("stack-maxout/d3/w8/b2/fp32/lecun/seed1",
                   "cuda:0: cuda.stack=persistent takes no maxout");
    assert_refused("stack-tanh/d3/w8/b2/bf16/xavier/seed1", "takes products in fp32 alone");
    assert_refused("stack-tanh/d1/w8/i5/b2/fp32/xavier/seed1",
                   "takes layers as wide as their input alone");
}

#if defined(VG_CUDA_EMULATED)
/* Chips on which there is no such kernel. */
static void test_other_chips(void **unused)
{
    (void)unused;
    static const char *const name = "stack-tanh/d4/w16/b2/fp32/xavier/seed1";
    emu_settings settings = emu_defaults();
    settings.occupied = true;
    start(settings);
    assert_refused(name, "only 0 can be there at once");
    cuda_against_oracle(name, "auto");
    settings = emu_defaults();
    settings.shared_bytes = 4096;
    start(settings);
    assert_refused(name, "too large: 16 units of 2 rows");
    start(emu_defaults());
}

static void test_failures(void **unused)
{
    (void)unused;
    every_call_fails("stack-tanh/d3/w6/b2/fp32/xavier/residual/seed1", "auto");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_oracle),
        cmocka_unit_test(test_forms_agree),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_refusals),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_other_chips),
        cmocka_unit_test(test_failures),
#endif
    };
    CUDA_TESTS(tests);
}
