/* The device family cuda.cudnn: every cell, depth, dtype and form against the oracle, its passes
 * alone, and what it refuses. */
#ifndef VG_CUDA_HAS_CUDNN
#include <stdio.h>

int main(void)
{
    puts("skipped: this build has no cuDNN");
    return 77;
}
#else
#include "cudnn_case.h"

#include <unistd.h>

static const char *const cases[] = {
    "rnn-tanh/d1/w7/b3/t5/fp32/uniform/seed1",
    "rnn-relu/d2/w9/i5/b2/t6/fp32/uniform/at-all/seed2",
    "rnn-tanh/d3/w1/b1/t1/fp32/uniform/loss-ones/seed3",
    "lstm/d1/w5/i3/b2/t7/fp32/uniform/h0-0.5/seed1",
    "lstm/d2/w6/b3/t4/fp32/uniform/loss-random/at-all/seed2",
    "lstm/d3/w8/i11/b1/t9/tf32/uniform/seed3",
    "gru/d1/w7/i9/b3/t5/fp32/uniform/at-all/seed1",
    "gru/d2/w10/b2/t6/fp32/uniform/h0--0.25/seed2",
    "gru/d1/w1/b1/t3/tf32/uniform/seed3",
    "lstm/d2/w6/i5/b2/t5/bf16/uniform/seed1",
    "gru/d1/w9/b3/t4/bf16/uniform/at-all/seed2",
    "rnn-tanh/d2/w8/b3/t3/bf16/uniform/loss-ones/seed3",
};
enum { CASES = sizeof cases / sizeof *cases };

static void choice_of(const cudnn_case *k, char out[256])
{
    assert_ok(vg_cudnn_driver.choice(k->c.exec, out, 256));
}

/* Within the norms' tolerance, and in fp32 far within: nothing was rounded to tf32. */
static void every_model_is_right(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        cudnn_case k;
        vg_verdict_of_run verdict;
        char choice[256];
        load_cudnn(&k, cases[i], "");
        choice_of(&k, choice);
        if (verify_cudnn(&k, &verdict) != VG_OK)
            fail_msg("%s (%s): %s", cases[i], choice, vg_reason());
        assert_int_equal(verdict.verified, VG_VERIFIED_NORM);
        const double most = k.c.model.dtype == VG_FP32 ? 1e-4 : 1;
        if (!(verdict.max_error <= most))
            fail_msg("%s (%s): %.3g of the tolerance, expected at most %.3g", cases[i], choice,
                     verdict.max_error, most);
        if (k.c.model.dtype == VG_FP32 && !strstr(choice, "math=FMA "))
            fail_msg("%s: %s", cases[i], choice);
        unload_cudnn(&k);
    }
}

/* What the host reads back is what it wrote, rounded. */
static void inputs_are_read_back(void **state)
{
    (void)state;
    static const char *const settings[] = {"algo=standard bias=double", "algo=standard bias=input",
                                           "algo=standard bias=recurrent"};
    for (int i = 0; i < 3; i++) {
        cudnn_case k;
        load_cudnn(&k, "lstm/d2/w6/i5/b2/t3/fp32/uniform/seed1", settings[i]);
        write_random(&k.c, 5, 1);
        uint64_t random = 5 * 0x9E3779B97F4A7C15u + 1;
        for (uint32_t t = 0; t < k.c.program->tensor_count; t++) {
            const vg_tensor *tensor = &k.c.program->tensors[t];
            if (!is_written(tensor))
                continue;
            const double scale = tensor->role == VG_ROLE_WEIGHT ? 1 / sqrt(tensor->mat.cols) : 1;
            double *values = read_window(&k.c, tensor->mat);
            for (uint64_t n = 0; n < elements_of(&tensor->mat); n++) {
                const double expected = vg_dtype_round(VG_FP32, scale * random_value(&random));
                if (values[n] != expected)
                    fail_msg("%s, %s[%llu]: %.9g, expected %.9g", settings[i], tensor->name,
                             (unsigned long long)n, values[n], expected);
            }
            free(values);
        }
        unload_cudnn(&k);
    }
}

static const char *const results[] = {"y",           "h_n_l0",     "c_n_l1",        "dx",
                                      "dh_0_l0",     "dc_0_l1",    "dweight_ih_l0", "dweight_hh_l1",
                                      "dbias_ih_l0", "dbias_hh_l1"};

static uint64_t sum_of(const cudnn_case *k)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        uint64_t count, bits;
        double *values = read_cudnn(k, results[i], &count);
        for (uint64_t n = 0; n < count; n++) {
            memcpy(&bits, &values[n], sizeof bits);
            sum = (sum ^ bits) * 0x9E3779B97F4A7C15u + (sum >> 31);
        }
        free(values);
    }
    return sum;
}

/* Any pass can be repeated, alone or together, and gives the same bits: gradients do not add up,
 * and no pass works on what another has spoilt. */
static void passes_repeat_their_bits(void **state)
{
    (void)state;
    static const unsigned sets[] = {VG_PASS_FWD,         VG_PASS_BWD_DATA,
                                    VG_PASS_BWD_WEIGHTS, VG_PASSES_BWD,
                                    VG_PASSES_TRAIN,     VG_PASS_BWD_WEIGHTS,
                                    VG_PASS_BWD_DATA,    VG_PASS_FWD | VG_PASS_BWD_DATA,
                                    VG_PASS_BWD_WEIGHTS, VG_PASSES_BWD};
    cudnn_case k;
    double seconds = -1;
    load_cudnn(&k, "lstm/d2/w6/i5/b3/t4/fp32/uniform/at-all/seed1", "");
    write_random(&k.c, 3, 1);
    run_passes(&k.c, VG_PASS_FWD);
    run_passes(&k.c, VG_PASS_LOSS);
    run_passes(&k.c, VG_PASSES_BWD);
    const uint64_t sum = sum_of(&k);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        for (uint32_t times = 1; times < 4; times++) {
            assert_ok(vg_cudnn_driver.run(k.c.exec, sets[i], times, &seconds));
            assert_true(seconds >= 0);
            if (sum_of(&k) != sum)
                fail_msg("passes %u, %u times: other bits", sets[i], times);
        }
    unload_cudnn(&k);
}

static void passes_it_cannot_run(void **state)
{
    (void)state;
    static const unsigned sets[] = {VG_PASS_PROBE, VG_PASS_EXACT, VG_PASS_FWD | VG_PASS_BWD_WEIGHTS,
                                    VG_PASS_FWD | VG_PASS_LOSS};
    cudnn_case k;
    double seconds;
    load_cudnn(&k, "gru/d1/w4/b2/t3/fp32/uniform/seed1", "algo=standard");
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        assert_int_equal(vg_cudnn_driver.run(k.c.exec, sets[i], 1, &seconds), VG_UNSUPPORTED);
    unload_cudnn(&k);
}

/* Bands of rows, as the checksum reads them; and windows that are no tensor. */
static void rows_are_found_by_their_window(void **state)
{
    (void)state;
    cudnn_case k;
    vg_verdict_of_run verdict;
    double band[64];
    load_cudnn(&k, "gru/d2/w5/i3/b2/t6/fp32/uniform/at-all/seed4", "algo=standard");
    assert_ok(verify_cudnn(&k, &verdict));
    for (uint32_t t = 0; t < k.c.program->tensor_count; t++) {
        const vg_tensor *tensor = &k.c.program->tensors[t];
        double *all = read_window(&k.c, tensor->mat);
        for (uint64_t r = 0; r < tensor->mat.rows; r++) {
            const uint32_t cols = tensor->mat.cols;
            assert_true(cols <= 64);
            assert_ok(vg_cudnn_driver.read(k.c.exec, vg_mat_rows(tensor->mat, r, 1), band));
            for (uint32_t c = 0; c < cols; c++)
                if (band[c] != all[r * cols + c])
                    fail_msg("%s[%llu,%u]: %.9g, expected %.9g", tensor->name,
                             (unsigned long long)r, c, band[c], all[r * cols + c]);
        }
        free(all);
    }
    vg_mat reserve = {0};
    for (uint32_t i = 0; i < k.c.program->op_count; i++)
        if (k.c.program->ops[i].kind == VG_SCAN_FWD)
            reserve = vg_mat_rows(k.c.program->ops[i].scan_fwd.reserve, 0, 1);
    assert_int_equal(vg_cudnn_driver.read(k.c.exec, reserve, band), VG_UNSUPPORTED);
    const vg_mat y = vg_program_tensor(k.c.program, "y")->mat;
    assert_int_equal(vg_cudnn_driver.read(k.c.exec, vg_mat_cols(y, 1, 1), band), VG_UNSUPPORTED);
    assert_int_equal(vg_cudnn_driver.read(k.c.exec, vg_mat_rows(y, 1, y.rows), band),
                     VG_UNSUPPORTED);
    unload_cudnn(&k);
}

static void the_loss_is_a_slot(void **state)
{
    (void)state;
    cudnn_case k;
    uint64_t count;
    load_cudnn(&k, "rnn-tanh/d1/w4/b2/t3/fp32/uniform/at-all/seed1", "algo=standard");
    write_random(&k.c, 2, 1);
    run_passes(&k.c, VG_PASS_FWD);
    run_passes(&k.c, VG_PASS_LOSS);
    double *y = read_cudnn(&k, "y", &count), *target = read_cudnn(&k, "target", &count), loss = 0;
    for (uint64_t i = 0; i < count; i++)
        loss += (y[i] - target[i]) * (y[i] - target[i]) / 2 / 2;
    vg_slot *slots = calloc(k.c.program->slot_count, sizeof *slots);
    assert_non_null(slots);
    assert_ok(vg_cudnn_driver.slots(k.c.exec, slots));
    bool found = false;
    for (uint32_t i = 0; i < k.c.program->slot_count; i++)
        found = found || fabs(slots[i].sum_squares - loss) <= 1e-12 * loss;
    assert_true(found);
    free(slots);
    free(y);
    free(target);
    unload_cudnn(&k);
}

static void what_it_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *settings, *words;
    } rows[] = {
        {"stack-tanh/d2/w4/b2/fp32/xavier/seed1", "", "stacks"},
        {"rnn-sigmoid/d1/w4/b2/t3/fp32/uniform/seed1", "", "no rnn with sigmoid"},
        {"rnn-identity/d1/w4/b2/t3/fp32/uniform/seed1", "", "no rnn with identity"},
        {"lstm/d1/w4/o2/b2/t3/fp32/uniform/seed1", "", "read-out"},
        {"lstm/d1/w4/b2/t3/fp32/uniform/clip0.5/seed1", "", "clip"},
        {"lstm/d1/w4/b2/t3/fp64/uniform/seed1", "", "--dtype=fp64"},
        {"lstm/d1/w4/b2/t3/fp32/uniform/seed1", "math=default", "math=default does not compute"},
        {"lstm/d1/w4/b2/t3/fp32/uniform/seed1", "math=tensor", "math=tensor does not compute"},
        {"lstm/d1/w4/b2/t3/bf16/uniform/seed1", "math=conversion", "math=conversion"},
        {"gru/d1/w4/b2/t3/fp32/uniform/seed1", "bias=input", "a gru has two biases"},
        {"gru/d1/w4/b2/t3/fp32/uniform/seed1", "bias=recurrent", "a gru has two biases"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cudnn_case k;
        begin_cudnn(&k, rows[i].name, rows[i].settings);
        if (k.status != VG_UNSUPPORTED || !strstr(vg_reason(), rows[i].words))
            fail_msg("%s '%s': %s: %s, expected unsupported: ...%s...", rows[i].name,
                     rows[i].settings, vg_status_name(k.status), vg_reason(), rows[i].words);
        unload_cudnn(&k);
    }
}

/* The variable would turn fp32 into tf32, or tf32 into fp32, inside of cuDNN. */
static void the_environment_does_not_choose(void **state)
{
    (void)state;
    cudnn_case k;
    setenv("NVIDIA_TF32_OVERRIDE", "1", 1);
    load_cudnn(&k, "lstm/d1/w4/b2/t3/fp32/uniform/seed1", "algo=standard");
    assert_null(getenv("NVIDIA_TF32_OVERRIDE"));
    unload_cudnn(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_is_right),
        cmocka_unit_test(inputs_are_read_back),
        cmocka_unit_test(passes_repeat_their_bits),
        cmocka_unit_test(passes_it_cannot_run),
        cmocka_unit_test(rows_are_found_by_their_window),
        cmocka_unit_test(the_loss_is_a_slot),
        cmocka_unit_test(what_it_refuses),
        cmocka_unit_test(the_environment_does_not_choose),
    };
    const char *absent = cudnn_absent();
    if (absent) {
        printf("skipped: %s\n", absent);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
