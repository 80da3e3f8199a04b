/* The CUDA devices give the same bits: twice, loaded anew, passes alone or together, captured in a
 * graph or issued one by one; emulated, whatever thread runs first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

static const char *const cases[] = {
    "stack-relu/d3/w48/i7/b300/fp32/he/residual/clip0.1/seed3",
    "stack-maxout/d3/w21/b4/bf16/lecun/seed6",
    "stack-sigmoid/d4/w17/o3/b70/tf32/xavier/seed2",
    "rnn-tanh/d2/w17/b3/t9/fp32/uniform/at-all/seed1",
    "lstm/d2/w20/i7/b5/t6/bf16/uniform/clip0.1/at-all/seed2",
    "gru/d2/w24/i9/o2/b10/t5/tf32/uniform/seed2",
};
enum { CASES = sizeof cases / sizeof *cases };

/* The values of every tensor, and the slots. */
static void same_bits(const run_model *a, const run_model *b, const char *what)
{
    for (uint32_t i = 0; i < a->program->tensor_count; i++) {
        const vg_tensor *t = &a->program->tensors[i];
        double *x = run_read(a, t->name), *y = run_read(b, t->name);
        if (memcmp(x, y, run_elements(t) * sizeof *x) != 0)
            fail_msg("%s on %s: other bits in %s: %s", a->name, a->on, t->name, what);
        free(x);
        free(y);
    }
    for (uint32_t i = 0; i < a->program->slot_count; i++)
        if (memcmp(&a->slots[i], &b->slots[i], sizeof *a->slots) != 0)
            fail_msg("%s on %s: other bits in slot %u: %s", a->name, a->on, i, what);
}

/* One region. */
static void run_set(run_model *run, unsigned passes, uint32_t times)
{
    double seconds = -1;
    run_try(run, "run", run->driver->run(run->exec, passes, times, &seconds));
    assert_true(seconds >= 0);
    run_try(run, "slots", run->driver->slots(run->exec, run->slots));
}

static void test_sets(void **unused)
{
    static const struct {
        unsigned passes;
        uint32_t times;
        const char *what;
    } sets[] = {
        {RUN_ALL, 1, "all passes as one set"},
        {VG_PASSES_BWD, 1, "both backward passes together"},
        {VG_PASSES_TRAIN, 3, "a training step, three times"},
        {VG_PASSES_TRAIN | VG_PASS_LOSS, 2, "the same, issued one by one"},
        {VG_PASS_BWD_WEIGHTS, 2, "the weights' gradients again"},
        {VG_PASSES_TRAIN, 1, "a training step again"},
    };
    (void)unused;
    for (int i = 0; i < CASES; i++) {
        run_model one, other;
        run_start(&one, cases[i], CUDA_DEVICE);
        run_start(&other, cases[i], CUDA_DEVICE);
        same_bits(&one, &other, "loaded anew");
        run_passes(&other, RUN_ALL);
        same_bits(&one, &other, "a second run");
        for (size_t n = 0; n < sizeof sets / sizeof *sets; n++) {
            run_set(&other, sets[n].passes, sets[n].times);
            same_bits(&one, &other, sets[n].what);
        }
        run_free(&one);
        run_free(&other);
    }
}

#if defined(VG_CUDA_EMULATED)
/* The first runs under the usual schedule of threads, the others under a drawn one; nothing of the
 * first is left on the device then, but its values. */
static void test_schedules(void **unused)
{
    (void)unused;
    for (int i = 0; i < CASES; i++) {
        double *first[64] = {0};
        for (int policy = EMU_FIFO; policy < EMU_POLICY_COUNT; policy++) {
            emu_settings settings = emu_defaults();
            settings.policy = (emu_policy)policy;
            settings.seed = (uint64_t)(10 * i + policy);
            assert_int_equal(emu_reset(&settings), 0);
            run_model run;
            run_start(&run, cases[i], CUDA_DEVICE);
            assert_true(run.program->tensor_count <= 64);
            for (uint32_t t = 0; t < run.program->tensor_count; t++) {
                const vg_tensor *tensor = &run.program->tensors[t];
                double *values = run_read(&run, tensor->name);
                if (policy == EMU_FIFO) {
                    first[t] = values;
                    continue;
                }
                if (memcmp(values, first[t], run_elements(tensor) * sizeof *values) != 0)
                    fail_msg("%s: other bits in %s under policy %d", cases[i], tensor->name,
                             policy);
                free(values);
            }
            run_free(&run);
        }
        for (int t = 0; t < 64; t++)
            free(first[t]);
    }
    const emu_settings usual = emu_defaults();
    assert_int_equal(emu_reset(&usual), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_schedules),
#endif
    };
    CUDA_TESTS(tests);
}
