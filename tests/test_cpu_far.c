/* Products whose operands stay in no near cache are computed in other blocks, of copies: the same
 * bits, whatever the caches are taken to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cpu_exec.h"
#include "run_model.h"

/* Rows enough for every thread to have its own, and more than two blocks of K back. */
static const char *const cases[] = {
    "stack-tanh/d2/w40/i23/b2100/fp32/xavier/residual/seed1",
    "stack-maxout/d1/w18/i33/b2100/fp32/lecun/seed2",
    "rnn-tanh/d1/w33/b300/t7/fp32/uniform/at-all/seed3",
    "gru/d1/w17/i40/b210/t10/fp32/uniform/seed4",
    "lstm/d1/w21/i50/b190/t17/fp32/uniform/seed5",
};
#if defined(VG_EMULATED)
enum { CASES = 1 };
#else
enum { CASES = sizeof cases / sizeof *cases };
#endif

/* As run_load(), with a nearest cache of so many bytes; 0: of this machine's. */
static void load(run_model *run, const char *name, const char *device, uint32_t threads,
                 uint64_t near_bytes)
{
    vg_device_options options = {.threads = threads, .bind = VG_BIND_NONE};
    run_load(run, name, device, &options, 0);
    if (near_bytes == 0)
        return;
    vg_exec *first = run->exec;
    run->device->near_bytes = near_bytes;
    run_try(run, "load", run->driver->load(run->device, &run->model, run->program, &run->exec));
    for (uint32_t i = 0; i < run->program->tensor_count; i++) {
        const vg_tensor *t = &run->program->tensors[i];
        double *values = malloc(run_elements(t) * sizeof *values);
        assert_non_null(values);
        run_try(run, t->name, run->driver->read(first, t->mat, values));
        run_try(run, t->name, run->driver->write(run->exec, t->mat, values));
        free(values);
    }
    run->driver->unload(first);
}

static void same_bits(const run_model *a, const run_model *b)
{
    for (uint32_t i = 0; i < a->program->tensor_count; i++) {
        const vg_tensor *t = &a->program->tensors[i];
        double *x = run_read(a, t->name), *y = run_read(b, t->name);
        if (memcmp(x, y, run_elements(t) * sizeof *x) != 0)
            fail_msg("%s on %s: other bits in %s", a->name, a->on, t->name);
        free(x);
        free(y);
    }
}

static void test_far(void **unused)
{
    static const char *const families[] = {"cpu", NULL};
    char(*devices)[32];
    size_t count = run_devices_of(families, &devices);
    (void)unused;
    for (size_t d = 0; d < count; d++)
        for (size_t i = 0; i < CASES; i++)
            for (uint32_t threads = 1; threads <= 2; threads++) {
                run_model near, far;
                load(&near, cases[i], devices[d], 1, 0);
                load(&far, cases[i], devices[d], threads, threads == 1 ? 1024 : 2048);
                run_passes(&near, VG_PASSES_TRAIN | VG_PASS_LOSS);
                run_passes(&far, VG_PASSES_TRAIN | VG_PASS_LOSS);
                same_bits(&near, &far);
                run_free(&near);
                run_free(&far);
            }
    free(devices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_far)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
