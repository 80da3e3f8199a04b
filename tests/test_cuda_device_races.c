/* A training step of tiny models on several streams, in a graph and issued one by one. Under
 * ThreadSanitizer the emulation tells of everything that one stream does not wait for; elsewhere
 * the bits are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

static const struct {
    const char *name, *scan, *pieces;
} cases[] = {
    {"stack-relu/d3/w2/o1/b1/fp32/he/residual/clip0.1/seed1", "L", "1"},
    {"gru/d2/w2/b1/t2/bf16/uniform/seed1", "L", "1"},
    {"gru/d2/w2/b1/t2/fp32/uniform/at-all/seed1", "L", "2"},
    {"lstm/d3/w2/b1/t2/bf16/uniform/seed1", "S", "2"},
};

static const char *last_of(const run_model *run)
{
    return run->model.kind == VG_stack ? "dweight_0" : "dweight_hh_l0";
}

static double *dweight_after(run_model *run, unsigned passes)
{
    double seconds;
    run_try(run, "run", run->driver->run(run->exec, passes, 2, &seconds));
    return run_read(run, last_of(run));
}

static void test_training_step(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_model run;
        const vg_setting settings[] = {{"scan", cases[i].scan}, {"pieces", cases[i].pieces}, {0}};
        const vg_device_options options = {
            .threads = 1, .bind = VG_BIND_NONE, .settings = settings};
        run_load(&run, cases[i].name, CUDA_DEVICE, &options, 0);
        run_passes(&run, VG_PASS_FWD | VG_PASS_LOSS);
        double *graph = dweight_after(&run, VG_PASSES_TRAIN);
        double *alone = dweight_after(&run, VG_PASSES_TRAIN | VG_PASS_LOSS);
        double *backward = dweight_after(&run, VG_PASSES_BWD);
        const size_t bytes = run_elements(run_tensor(&run, last_of(&run))) * sizeof *graph;
        assert_memory_equal(graph, alone, bytes);
        assert_memory_equal(graph, backward, bytes);
        free(graph);
        free(alone);
        free(backward);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_step),
    };
    CUDA_TESTS(tests);
}
