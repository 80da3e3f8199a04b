/* The peer cpu.onednn: every model that it takes against the oracle, the same bits for the same
 * work, and what it refuses. */
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_model.h"
#include "verify.h"

static const char peer[] = "cpu.onednn";
enum { WORK = VG_PASS_FWD | VG_PASS_LOSS | VG_PASSES_BWD };

static const char *const cases[] = {
    "stack-tanh/d3/w33/b5/fp32/xavier/seed1",
    "stack-sigmoid/d2/w64/b32/fp32/xavier/seed2",
    "stack-relu+sigmoid/d3/w48/i7/o3/b200/fp32/he/seed3",
    "stack-leaky_relu/d2/w17/b3/fp32/he/seed4",
    "stack-identity/d1/w1/b1/fp32/xavier/seed8",
    "rnn-tanh/d1/w70/b3/t9/fp32/uniform/seed1",
    "rnn-relu/d2/w16/i5/b1/t12/fp32/uniform/at-all/seed2",
    "rnn-sigmoid/d1/w30/b4/t4/fp32/uniform/loss-ones/seed3",
    "lstm/d1/w65/b2/t7/fp32/uniform/fb1/seed1",
    "lstm/d2/w20/i7/b6/t6/fp32/uniform/at-all/seed2",
    "lstm/d3/w13/b17/t5/fp32/uniform/loss-random/h0-0.5/seed3",
    "gru/d1/w67/b4/t8/fp32/uniform/seed1",
    "gru/d2/w24/i9/b5/t5/fp32/uniform/at-all/h0-0.5/seed2",
    "gru/d1/w1/b1/t3/fp32/uniform/seed3",
};
enum { CASES = sizeof cases / sizeof *cases };

static int find_peer(void **state)
{
    (void)state;
    if (vg_driver_find(peer))
        return 0;
    print_message("skipped: this build has no oneDNN\n");
    exit(77);
}

/* Forward, loss and backward as the harness runs them. */
static void start(run_model *run, const char *name, const vg_device_options *options)
{
    double seconds;
    run_load(run, name, peer, options, 0);
    run_passes(run, VG_PASS_FWD);
    run_passes(run, VG_PASS_LOSS);
    run_try(run, "run", run->driver->run(run->exec, VG_PASSES_BWD, 1, &seconds));
}

static uint64_t bits(const run_model *run)
{
    uint64_t checksum;
    run_try(run, "checksum", vg_checksum(run->driver, run->exec, run->program, &checksum));
    return checksum;
}

static void verify(const run_model *run)
{
    vg_verdict_of_run verdict;
    run_try(run, "verify",
            vg_verify(run->driver, run->exec, run->program, WORK, VG_DENORMALS_KEEP, VG_VERIFY_FULL,
                      60, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_NORM);
    assert_true(verdict.max_error < 0.01);
}

static void test_oracle(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CASES; i++) {
        run_model run;
        start(&run, cases[i], NULL);
        verify(&run);
        run_free(&run);
    }
}

/* Whichever way it is asked for a product; by itself it chooses one for each pass, and says so. */
static void test_forms(void **unused)
{
    (void)unused;
    static const char *const forms[] = {"packed", "plain", "matmul", "auto"};
    for (size_t f = 0; f < 4; f++)
        for (size_t i = 0; i < 5; i++) {
            const vg_setting settings[] = {{"product", forms[f]}, {NULL, NULL}};
            const vg_device_options options = {
                .threads = 1, .bind = VG_BIND_NONE, .settings = settings};
            run_model run;
            char said[160], fwd[16], data[16], weights[16];
            start(&run, cases[i], &options);
            verify(&run);
            run_try(&run, "choice", run.driver->choice(run.exec, said, sizeof said));
            assert_int_equal(
                sscanf(said, "fwd=%15s bwd_data=%15s bwd_weights=%15s", fwd, data, weights), 3);
            if (f < 3)
                assert_true(strcmp(fwd, forms[f]) == 0 && strcmp(data, forms[f]) == 0);
            run_free(&run);
        }
}

/* Nothing is spoilt or left over that a repetition would see. */
static void test_repeats(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < CASES; i++)
        for (uint32_t threads = 1; threads <= 2; threads++) {
            const vg_device_options options = {.threads = threads, .bind = VG_BIND_NONE};
            run_model run;
            double seconds;
            start(&run, cases[i], &options);
            assert_int_equal(run.applied.threads, threads);
            const uint64_t once = bits(&run);
            run_try(&run, "run", run.driver->run(run.exec, VG_PASSES_BWD, 3, &seconds));
            assert_int_equal(bits(&run), once);
            run_try(&run, "run", run.driver->run(run.exec, VG_PASSES_TRAIN, 2, &seconds));
            assert_int_equal(bits(&run), once);
            run_free(&run);
        }
}

static void test_refusals(void **unused)
{
    (void)unused;
    static const char *const refused[] = {
        "stack-tanh/d2/w8/b2/fp32/xavier/residual/seed1",
        "stack-maxout/d2/w8/b2/fp32/lecun/seed1",
        "rnn-identity/d1/w8/b2/t3/fp32/uniform/seed1",
        "lstm/d1/w8/o3/b2/t3/fp32/uniform/seed1",
        "stack-tanh/d2/w8/b2/fp32/xavier/clip1/seed1",
        "stack-tanh/d2/w8/b2/bf16/xavier/seed1",
        "gru/d1/w8/b2/t3/tf32/uniform/seed1",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        run_model run = {.slots = NULL};
        const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE};
        snprintf(run.name, sizeof run.name, "%s", refused[i]);
        snprintf(run.on, sizeof run.on, "%s", peer);
        run_try(&run, "parse", vg_case_parse(run.name, &run.model));
        run_open(&run, &options);
        run_try(&run, "lower", vg_lower(&run.model, &(vg_lowering){0}, &run.program));
        if (run.driver->load(run.device, &run.model, run.program, &run.exec) != VG_UNSUPPORTED)
            fail_msg("%s was not refused", refused[i]);
        assert_true(strncmp(vg_reason(), "oneDNN", 6) == 0);
        run_free(&run);
    }
}

/* A stack's backward passes can be run alone, a recurrent net's cannot. */
static void test_passes(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        vg_status alone;
    } table[] = {{"stack-tanh/d2/w8/b2/fp32/xavier/seed1", VG_OK},
                 {"lstm/d1/w8/b2/t3/fp32/uniform/seed1", VG_UNSUPPORTED}};
    for (size_t i = 0; i < 2; i++) {
        run_model run;
        double seconds;
        start(&run, table[i].name, NULL);
        const unsigned sets[] = {VG_PASS_BWD_DATA, VG_PASS_BWD_WEIGHTS,
                                 VG_PASS_FWD | VG_PASS_BWD_DATA};
        for (int s = 0; s < 3; s++)
            assert_int_equal(run.driver->run(run.exec, sets[s], 1, &seconds), table[i].alone);
        assert_int_equal(run.driver->run(run.exec, VG_PASS_PROBE, 1, &seconds), VG_UNSUPPORTED);
        run_free(&run);
    }
}

/* A product below the smallest normal is zero in every one of OpenMP's threads. */
static void test_flushing(void **unused)
{
    (void)unused;
    for (int flush = 0; flush < 2; flush++) {
        const vg_device_options options = {.threads = 2,
                                           .bind = VG_BIND_NONE,
                                           .denormals =
                                               flush ? VG_DENORMALS_FLUSH : VG_DENORMALS_KEEP};
        run_model run;
        bool any = false;
        start(&run, "stack-identity/d3/w64/b64/fp32/normal:1e-14/seed1", &options);
        double *dx = run_read(&run, "dx");
        for (size_t i = 0; i < run_elements(run_tensor(&run, "dx")); i++)
            any = any || (dx[i] != 0 && fabs(dx[i]) < 0x1p-126);
        free(dx);
        assert_int_equal(any, !flush);
        run_free(&run);
    }
}

/* The threads of this process that may run on fewer processors than the first. */
static int threads_confined(void)
{
    int confined = 0;
    cpu_set_t all, set;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        const int id = atoi(task->d_name);
        if (id > 0 && sched_getaffinity(id, sizeof set, &set) == 0)
            confined += CPU_COUNT(&set) < CPU_COUNT(&all);
    }
    closedir(tasks);
    return confined;
}

/* OpenMP's threads outlive the device that bound them. */
static void test_binding_ends(void **unused)
{
    (void)unused;
    static const vg_bind binds[] = {VG_BIND_CORE, VG_BIND_NONE};
    for (int i = 0; i < 2; i++) {
        const vg_device_options options = {.threads = 2, .bind = binds[i]};
        run_model run;
        start(&run, "stack-tanh/d2/w8/b2/fp32/xavier/seed1", &options);
        if (run.applied.threads == 2 && run.applied.bind == (uint32_t)binds[i])
            assert_int_equal(threads_confined() > 0, binds[i] == VG_BIND_CORE);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),       cmocka_unit_test(test_forms),
        cmocka_unit_test(test_repeats),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_passes),       cmocka_unit_test(test_flushing),
        cmocka_unit_test(test_binding_ends),
    };
    return cmocka_run_group_tests(tests, find_peer, NULL);
}
