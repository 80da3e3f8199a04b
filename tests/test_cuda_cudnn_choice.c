/* The forms that cuda.cudnn can take, on the emulated cuDNN: each is right, the fastest is taken,
 * what is not supported is passed over, and no place in the weights can be wrong unnoticed. */
#include <stdio.h>
#ifndef VG_CUDA_HAS_CUDNN
int main(void)
{
    puts("skipped: this build has no cuDNN");
    return 77;
}
#elif !defined(VG_CUDA_EMULATED)
int main(void)
{
    puts("skipped: the emulated cuDNN is in builds with VG_CUDA=emulated");
    return 77;
}
#else
#include "cuda_device.h"
#include "cudnn_case.h"
#include "cudnn_emulation.h"
#include "emulation.h"

#include <cudnn.h>

static void choice_of(const cudnn_case *k, char out[256])
{
    assert_ok(vg_cudnn_driver.choice(k->c.exec, out, 256));
}

static int start(void **state)
{
    (void)state;
    emu_cudnn = emu_cudnn_defaults;
    const emu_settings settings = emu_defaults();
    return emu_reset(&settings) != 0;
}

/* The last word is how many forms ran. */
static void assert_choice(const cudnn_case *k, const char *name, const char *settings,
                          const char *expected)
{
    char choice[256];
    choice_of(k, choice);
    if (!strstr(choice, expected))
        fail_msg("%s with '%s': %s, expected %s", name, settings, choice, expected);
}

static void every_form_is_right(void **state)
{
    (void)state;
    static const struct {
        const char *option, *words;
    } algos[] = {{"standard", "algo=STANDARD "},
                 {"static", "algo=PERSIST_STATIC "},
                 {"dynamic", "algo=PERSIST_DYNAMIC "},
                 {"small", "algo=PERSIST_STATIC_SMALL_H "},
                 {"mixed", "algo=PERSIST_STATIC_SMALL_H+STANDARD "}};
    static const char *const biases[] = {"double", "input", "recurrent"};
    static const char *const layouts[] = {"packed", "padded"};
    static const char *const names[] = {"lstm/d2/w4/i3/b2/t3/fp32/uniform/h0-0.5/seed1",
                                        "rnn-tanh/d2/w4/i5/b2/t3/fp32/uniform/at-all/seed2",
                                        "gru/d2/w4/i5/b2/t3/fp32/uniform/seed3"};
    for (int n = 0; n < 3; n++)
        for (int a = 0; a < 5; a++)
            for (int b = 0; b < 3; b++)
                for (int l = 0; l < 2; l++) {
                    char settings[96];
                    cudnn_case k;
                    vg_verdict_of_run verdict;
                    snprintf(settings, sizeof settings, "algo=%s bias=%s layout=%s",
                             algos[a].option, biases[b], layouts[l]);
                    /* No such form: persistent kernels with one bias, a gru with one. */
                    if (b && (a > 0 || n == 2))
                        continue;
                    load_cudnn(&k, names[n], settings);
                    assert_choice(&k, names[n], settings, algos[a].words);
                    assert_choice(&k, names[n], settings, " tried=1");
                    if (verify_cudnn(&k, &verdict) != VG_OK || !(verdict.max_error <= 1e-4))
                        fail_msg("%s with '%s': %.3g of the tolerance: %s", names[n], settings,
                                 verdict.max_error, vg_reason());
                    unload_cudnn(&k);
                }
}

/* Each algorithm in turn is the only one that does not tarry. */
static void the_fastest_is_taken(void **state)
{
    (void)state;
    static const char *const words[] = {"algo=STANDARD ", "algo=PERSIST_STATIC ",
                                        "algo=PERSIST_DYNAMIC ", "algo=PERSIST_STATIC_SMALL_H "};
    static const char name[] = "lstm/d1/w6/b2/t3/fp32/uniform/seed1";
    for (int a = 0; a < EMU_CUDNN_ALGOS; a++) {
        static const char settings[] = "bias=double";
        cudnn_case k;
        for (int i = 0; i < EMU_CUDNN_ALGOS; i++)
            emu_cudnn.delay_ms[i] = i == a ? 0 : 40;
        load_cudnn(&k, name, settings);
        /* Backward is as fast by STANDARD: both are right. */
        char choice[256];
        choice_of(&k, choice);
        if (a != CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H || !strstr(choice, "SMALL_H+STANDARD "))
            assert_choice(&k, name, settings, words[a]);
        /* Five algorithms, and the other layout of the best. */
        assert_choice(&k, name, settings, " tried=6");
        unload_cudnn(&k);
    }
}

static void what_is_not_supported_is_passed_over(void **state)
{
    (void)state;
    static const struct {
        const char *name, *settings, *expected;
        uint32_t refused, restless;
        int32_t small_forward, small_backward;
    } rows[] = {
        /* Four algorithms (an odd width: no PERSIST_STATIC), STANDARD with the other biases, and a
         * layout. */
        {"lstm/d1/w5/b2/t3/fp32/uniform/seed1", "", " tried=7", 0, 0, 192, 128},
        {"lstm/d1/w6/b2/t3/fp32/uniform/seed1", "", " tried=8", 0, 0, 192, 128},
        {"gru/d1/w5/b2/t3/fp32/uniform/seed1", "", " tried=5", 0, 0, 192, 128},
        /* Five algorithms with four math types each, then the biases and layouts of the fastest. */
        {"rnn-relu/d1/w6/b2/t3/tf32/uniform/seed1", "", " tried=23", 0, 0, 192, 128},
        {"lstm/d1/w6/b2/t3/fp32/uniform/seed1", "bias=double", "algo=STANDARD ", 0xe, 0, 192, 128},
        {"lstm/d1/w6/b2/t3/fp32/uniform/seed1", "bias=double", "algo=PERSIST_DYNAMIC ", 0xb, 0, 192,
         128},
        /* Too wide to go back by the kernel that goes forward. */
        {"lstm/d1/w6/b2/t3/fp32/uniform/seed1", "algo=mixed", "SMALL_H+STANDARD ", 0, 0, 6, 5},
        /* What gives other bits every time is not taken. */
        {"lstm/d1/w6/b2/t3/fp32/uniform/seed1", "", "algo=PERSIST_STATIC ", 0, 0xd, 192, 128},
        {"lstm/d1/w6/b2/t3/bf16/uniform/seed1", "", "algo=STANDARD ", 0, 0, 192, 128},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cudnn_case k;
        emu_cudnn = emu_cudnn_defaults;
        emu_cudnn.refused = rows[i].refused;
        emu_cudnn.restless = rows[i].restless;
        for (int a = 0; a < EMU_CUDNN_ALGOS; a++) /* STANDARD wins, which takes any bias */
            emu_cudnn.delay_ms[a] = a == CUDNN_RNN_ALGO_STANDARD ? 0 : 10;
        emu_cudnn.small_forward = rows[i].small_forward;
        emu_cudnn.small_backward = rows[i].small_backward;
        load_cudnn(&k, rows[i].name, rows[i].settings);
        assert_choice(&k, rows[i].name, rows[i].settings, rows[i].expected);
        unload_cudnn(&k);
    }
}

static void a_refusal_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *steps, *settings, *words;
        uint32_t refused, restless;
    } rows[] = {
        {"6", "algo=static", "hiddenSize is odd", 0, 0},
        {"6", "", "algorithm not supported on this device", 0xf, 0},
        {"65536", "", "CUDNN_STATUS_NOT_SUPPORTED (65536 steps, batch 2, width 5)", 0, 0},
        {"6", "algo=dynamic", "two runs of it left different bits", 0, 0xf},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cudnn_case k;
        char name[64];
        emu_cudnn = emu_cudnn_defaults;
        emu_cudnn.refused = rows[i].refused;
        emu_cudnn.restless = rows[i].restless;
        snprintf(name, sizeof name, "lstm/d1/w5/b2/t%s/fp32/uniform/seed1", rows[i].steps);
        begin_cudnn(&k, name, rows[i].settings);
        if (k.status != VG_UNSUPPORTED || !strstr(vg_reason(), rows[i].words))
            fail_msg("%s '%s': %s: %s, expected unsupported: ...%s...", name, rows[i].settings,
                     vg_status_name(k.status), vg_reason(), rows[i].words);
        unload_cudnn(&k);
    }
}

static void memory_that_is_not_there(void **state)
{
    (void)state;
    cudnn_case k;
    emu_settings settings = emu_defaults();
    settings.memory_bytes = 64 << 20;
    assert_int_equal(emu_reset(&settings), 0);
    begin_cudnn(&k, "lstm/d1/w64/b64/t400/fp32/uniform/seed1", "algo=standard");
    if (k.status != VG_NO_MEMORY)
        fail_msg("%s: %s, expected no_memory", vg_status_name(k.status), vg_reason());
    assert_non_null(k.c.device);
    /* It says so before it tries; a small model fits. */
    assert_true(vg_cudnn_driver.extra_bytes(k.c.device, k.c.program) + k.c.program->arena_bytes >
                settings.memory_bytes);
    unload_cudnn(&k);
    load_cudnn(&k, "lstm/d1/w4/b2/t3/fp32/uniform/seed1", "algo=standard");
    unload_cudnn(&k);
    assert_int_equal(emu_reset(NULL), 0);
}

static void a_library_that_is_not_there(void **state)
{
    (void)state;
    vg_device_info info = {0};
    size_t count;
    emu_cudnn.absent = true;
    assert_ok(vg_cudnn_driver.list(&info, 1, &count));
    assert_string_equal(info.name, "cuda.cudnn:0");
    assert_non_null(strstr(info.absent, "libcudnn"));
    emu_cudnn.absent = false;
    assert_ok(vg_cudnn_driver.list(&info, 1, &count));
    assert_string_equal(info.absent, "");
    assert_false(info.automatic);
}

/* The places of all gates, one after the other, are off by an element. */
static void a_wrong_place_is_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t depth, ids;
    } rows[] = {{"rnn-relu/d2/w4/i3/b2/t4/fp32/uniform/at-all/seed1", 2, 2},
                {"lstm/d2/w4/i3/b2/t4/fp32/uniform/at-all/seed1", 2, 8},
                {"gru/d2/w4/i3/b2/t4/fp32/uniform/at-all/seed1", 2, 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int32_t layer = 0; layer < rows[i].depth; layer++)
            for (int32_t id = 0; id < rows[i].ids; id++)
                for (int bias = 0; bias < 2; bias++) {
                    cudnn_case k;
                    vg_verdict_of_run verdict;
                    emu_cudnn.lies_bias = bias;
                    emu_cudnn.lies_layer = layer;
                    emu_cudnn.lies_id = id;
                    emu_cudnn.lies_by = 1;
                    load_cudnn(&k, rows[i].name, "algo=standard bias=double layout=packed");
                    if (verify_cudnn(&k, &verdict) != VG_MISMATCH)
                        fail_msg("%s: layer %d, id %d, %s off by one: not noticed", rows[i].name,
                                 layer, id, bias ? "bias" : "matrix");
                    unload_cudnn(&k);
                }
}

/* Everything from the list to the end; what of it fails. *used: the calls up to the last result. */
static vg_status whole_life(const char *name, const char *settings, uint64_t *used)
{
    cudnn_case k;
    double seconds;
    begin_cudnn(&k, name, settings);
    vg_status status = k.status;
    for (uint32_t i = 0; i < k.c.program->tensor_count && status == VG_OK; i++) {
        const vg_tensor *t = &k.c.program->tensors[i];
        double *values = calloc(elements_of(&t->mat), sizeof *values);
        assert_non_null(values);
        if (is_written(t))
            status = vg_cudnn_driver.write(k.c.exec, t->mat, values);
        free(values);
    }
    static const unsigned sets[] = {VG_PASS_FWD, VG_PASS_LOSS, VG_PASSES_BWD};
    for (size_t i = 0; i < sizeof sets / sizeof *sets && status == VG_OK; i++)
        status = vg_cudnn_driver.run(k.c.exec, sets[i], 1, &seconds);
    double y[64];
    if (status == VG_OK)
        status = vg_cudnn_driver.read(k.c.exec, vg_program_tensor(k.c.program, "y")->mat, y);
    *used = emu_calls();
    if (status == VG_OK)
        (void)vg_cudnn_driver.extra_bytes(k.c.device, k.c.program);
    unload_cudnn(&k);
    return status;
}

/* The calls of opening the device without its library, which has tests of its own. */
static uint64_t calls_before(void)
{
    vg_device_info info;
    size_t count;
    vg_device *device;
    assert_ok(vg_cuda_list("cuda", &info, 1, &count));
    assert_ok(vg_cuda_open(&info, &(vg_device_options){.threads = 1}, &device));
    const uint64_t calls = emu_calls();
    vg_cuda_close(device);
    assert_int_equal(emu_reset(NULL), 0);
    return calls;
}

/* The n-th call of any library fails: what has been made is given back. Every n until a form has
 * been described, given memory and run; then, as the trial's calls repeat themselves eight by
 * eight, every third. */
static void whatever_fails_nothing_leaks(void **state)
{
    (void)state;
    static const char name[] = "lstm/d1/w2/b1/t1/fp32/uniform/seed1";
    static const char settings[] = "bias=double layout=packed math=fma algo=standard";
    enum { EACH = 120 };
    uint64_t used, failed = 0, tries = 0;
    assert_int_equal(emu_reset(NULL), 0);
    assert_ok(whole_life(name, settings, &used));
    const uint64_t calls = emu_calls();
    assert_int_equal(emu_reset(NULL), 0);
    const uint64_t before = calls_before();
    for (uint64_t n = before + 1; n <= calls; n += n < before + EACH ? 1 : 3) {
        emu_settings failing = emu_defaults();
        failing.fail_at = n;
        assert_int_equal(emu_reset(&failing), 0);
        const vg_status status = whole_life(name, settings, &used);
        failed += status != VG_OK;
        tries++;
        if (status != VG_OK && !vg_reason()[0])
            fail_msg("call %llu failed without a reason", (unsigned long long)n);
        if (emu_reset(NULL) != 0)
            fail_msg("call %llu failed, %s: leaks", (unsigned long long)n, vg_status_name(status));
    }
    if (tries < EACH || failed < tries / 2)
        fail_msg("%llu of %llu calls failed", (unsigned long long)failed,
                 (unsigned long long)tries);
}

/* The device is lost at some call: everything ends, with that status. */
static void a_lost_device_is_reported(void **state)
{
    (void)state;
    static const char name[] = "gru/d1/w2/b1/t1/fp32/uniform/seed1";
    assert_int_equal(emu_reset(NULL), 0);
    uint64_t used, ignored;
    assert_ok(whole_life(name, "algo=standard", &used));
    for (uint64_t n = 1; n <= used; n += 41) {
        emu_settings losing = emu_defaults();
        losing.lose_at = n;
        (void)emu_reset(&losing);
        if (whole_life(name, "algo=standard", &ignored) == VG_OK)
            fail_msg("lost at call %llu of %llu: ok", (unsigned long long)n,
                     (unsigned long long)used);
    }
    (void)emu_reset(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_form_is_right, start),
        cmocka_unit_test_setup(the_fastest_is_taken, start),
        cmocka_unit_test_setup(what_is_not_supported_is_passed_over, start),
        cmocka_unit_test_setup(a_refusal_says_why, start),
        cmocka_unit_test_setup(memory_that_is_not_there, start),
        cmocka_unit_test_setup(a_library_that_is_not_there, start),
        cmocka_unit_test_setup(a_wrong_place_is_noticed, start),
        cmocka_unit_test_setup(whatever_fails_nothing_leaks, start),
        cmocka_unit_test_setup(a_lost_device_is_reported, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
