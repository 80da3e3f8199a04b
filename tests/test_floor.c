/* The floor of a pass against sums done by hand. */
#include "../bench/floor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* 1 GFLOP/s; 1 KiB at 4 GB/s, 64 KiB at 2 GB/s, memory at 1 GB/s; 1 µs a barrier. */
static const vg_peaks peaks = {.flop_per_s = 1e9,
                               .levels = 3,
                               .level = {{4e9, 1024}, {2e9, 65536}, {1e9, (double)INFINITY}},
                               .barrier_s = 1e-6};

/* Seconds for `bytes` that come round every `distance` bytes: each level keeps its share of them.
 */
static double moved(double bytes, double distance)
{
    const double first = fmin(1, 1024 / distance), second = fmin(1, 65536 / distance);
    return bytes * (first / 4e9 + (second - first) / 2e9 + (1 - second) / 1e9);
}

static vg_mat window(uint64_t at, uint64_t rows, uint32_t cols)
{
    return (vg_mat){.at = at, .rows = rows, .cols = cols, .ld = cols, .dtype = VG_FP32};
}

static void close_to(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-12 * expected))
        fail_msg("%.17g, expected %.17g", got, expected);
}

/* x [1, 16] and bias and y [1, 1024], weight [1024, 8]: 2·8·1024 FLOP; 64 B, twice 4 KiB and once
 * 32 KiB, which all touch in turn: 41,024 B, of which the first level keeps a fortieth. */
static vg_op dense(void)
{
    return (vg_op){.kind = VG_DENSE_FWD,
                   .pass = VG_PASS_FWD,
                   .pieces = 1,
                   .dense_fwd = {.x = window(0, 1, 16),
                                 .weight = window(64, 1024, 8),
                                 .bias = window(100000, 1, 1024),
                                 .y = window(200000, 1, 1024)}};
}

static void operands_come_from_their_level(void **state)
{
    (void)state;
    vg_op op = dense();
    const vg_program program = {.op_count = 1, .ops = &op};
    const double moving = 1024 / 4e9 + (41024 - 1024) / 2e9;
    double flop = vg_op_flop(&op);
    close_to(vg_floor(&program, VG_PASS_FWD, &peaks, 1), fmax(flop / 1e9, moving));
    vg_peaks fast = peaks;
    fast.flop_per_s = 1e15;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), moving);
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 8), moving);
    assert_true(vg_floor(&program, VG_PASS_LOSS, &peaks, 1) == 0);
    /* All together fill the second level to the last byte; then not. */
    op.dense_fwd.weight = window(64, 1, (65536 - 64 - 8192) / 4);
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), 1024 / 4e9 + (65536 - 1024) / 2e9);
    op.dense_fwd.weight.cols++;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1),
             1024 / 4e9 + (65536 - 1024) / 2e9 + 4 / 1e9);
}

/* Two layers with 40,000 B of weights each: either would fit the second level, both do not: it
 * keeps its share. What lies between them, which one writes and the next reads, stays in the first.
 */
static void what_was_long_ago_comes_from_further(void **state)
{
    (void)state;
    vg_op ops[2] = {dense(), dense()};
    ops[0].dense_fwd.weight = window(10000, 10, 1000);
    ops[0].dense_fwd.x = window(0, 1, 10);
    ops[0].dense_fwd.y = window(200000, 1, 10);
    ops[0].dense_fwd.bias = window(250000, 1, 10);
    ops[1] = ops[0];
    ops[1].dense_fwd.x = ops[0].dense_fwd.y;
    ops[1].dense_fwd.weight.at = 60000;
    ops[1].dense_fwd.bias.at = 260000;
    ops[1].dense_fwd.y.at = 300000;
    const vg_program program = {.op_count = 2, .ops = ops};
    vg_peaks fast = peaks;
    fast.flop_per_s = 1e15;
    /* In all: x, y twice and two biases of 40 B, the weights, and y again as the second's x. Order
     * of a layer's windows: x, weight, bias, ..., y; from y of the first to x of the second nothing
     * else. */
    const double far = moved(80000 + 5 * 40, 80000 + 5 * 40), near = 40 / 4e9;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), far + near);
    /* One layer alone runs from the second level. */
    const vg_program alone = {.op_count = 1, .ops = ops};
    close_to(vg_floor(&alone, VG_PASS_FWD, &fast, 1), 1024 / 4e9 + (40120 - 1024) / 2e9);
}

static void a_window_counts_once(void **state)
{
    (void)state;
    vg_op op = {.kind = VG_DENSE_BWD_DATA, .pass = VG_PASS_BWD_DATA, .pieces = 1};
    op.dense_bwd_data.dy = window(0, 4, 8);
    op.dense_bwd_data.dz = op.dense_bwd_data.dy;
    const vg_program program = {.op_count = 1, .ops = &op};
    vg_peaks fast = peaks;
    fast.flop_per_s = (double)INFINITY;
    close_to(vg_floor(&program, VG_PASSES_BWD, &fast, 1), 128 / 4e9);
}

/* The identity's derivative reads no output: 128 B of dy, and of dx, and nothing between. */
static void an_idle_window_costs_nothing(void **state)
{
    (void)state;
    vg_op op = {.kind = VG_DENSE_BWD_DATA,
                .pass = VG_PASS_BWD_DATA,
                .activation = VG_identity,
                .pieces = 1,
                .dense_bwd_data = {.dy = window(0, 4, 8),
                                   .a = window(1000, 100, 1000),
                                   .dz = window(0, 4, 8),
                                   .dx = window(500000, 4, 8)}};
    const vg_program program = {.op_count = 1, .ops = &op};
    vg_peaks fast = peaks;
    fast.flop_per_s = (double)INFINITY;
    close_to(vg_floor(&program, VG_PASSES_BWD, &fast, 1), 256 / 4e9);
}

static void recurrent_weights_count_every_step(void **state)
{
    (void)state;
    vg_op op = {.kind = VG_SCAN_FWD,
                .pass = VG_PASS_FWD,
                .cell = VG_rnn,
                .pieces = 1,
                .batch = 2,
                .t1 = 10,
                .scan_fwd = {.weight_hh = window(0, 8, 8), .y = window(1024, 20, 8)}};
    const vg_program program = {.op_count = 1, .ops = &op};
    vg_peaks fast = peaks;
    fast.flop_per_s = 1e15;
    const double moving = 640 / 4e9, weights = 10 * 256 / 4e9;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), moving + weights);
    /* One thread alone is not held up by barriers. */
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 3), moving + weights);
    /* Nor are they read again where they stay in registers. */
    fast.held_bytes = 256;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), moving + weights / 10);
    fast.held_bytes = 255;
    close_to(vg_floor(&program, VG_PASS_FWD, &fast, 1), moving + weights);
}

static void threads_share_a_scan_as_is_cheapest(void **state)
{
    (void)state;
    vg_op op = {.kind = VG_SCAN_FWD,
                .pass = VG_PASS_FWD,
                .cell = VG_rnn,
                .pieces = 1,
                .batch = 1,
                .t1 = 10,
                .scan_fwd = {.weight_hh = window(0, 80, 80), .y = window(102400, 10, 80)}};
    const vg_program program = {.op_count = 1, .ops = &op};
    const double moving = moved(3200, 28800), again = moved(25600, 25600);
    const double weights = moved(25600, 28800) + 9 * again;
    vg_peaks some = peaks;
    some.flop_per_s = vg_op_flop(&op) / (moving + weights);
    /* A single row: by units, or alone, at half of the peak. */
    close_to(vg_floor(&program, VG_PASS_FWD, &some, 2), moving + weights + 10e-6);
    some.barrier_s = 1;
    close_to(vg_floor(&program, VG_PASS_FWD, &some, 2), 2 * (moving + weights));
    /* Rows for both: no barrier, and the weights twice. */
    op.batch = 2;
    op.scan_fwd.y.rows = 20;
    const double both = moved(6400, 32000), read = moved(25600, 32000) + 9 * again;
    some.flop_per_s = vg_op_flop(&op) / (both + read);
    close_to(vg_floor(&program, VG_PASS_FWD, &some, 2), both + 2 * read);
    some.flop_per_s = 1e15;
    some.barrier_s = 1e-9;
    close_to(vg_floor(&program, VG_PASS_FWD, &some, 2), both + read);
}

/* Two layers on two threads, one each, a step apart: as fast as the peak, without a barrier. */
static void layers_share_threads(void **state)
{
    (void)state;
    vg_op ops[2] = {{.kind = VG_SCAN_FWD,
                     .pass = VG_PASS_FWD,
                     .cell = VG_rnn,
                     .pieces = 1,
                     .batch = 1,
                     .t1 = 10,
                     .scan_fwd = {.weight_hh = window(0, 8, 8), .y = window(1024, 10, 8)}}};
    ops[1] = ops[0];
    vg_program program = {.op_count = 1, .ops = ops};
    vg_peaks slow = peaks;
    slow.flop_per_s = 1e3;
    slow.barrier_s = 1e3;
    const double one = vg_op_flop(&ops[0]) / 1e3;
    close_to(vg_floor(&program, VG_PASS_FWD, &slow, 2), 2 * one);
    program.op_count = 2;
    close_to(vg_floor(&program, VG_PASS_FWD, &slow, 2), 2 * one);
    close_to(vg_floor(&program, VG_PASS_FWD, &slow, 4), 4 * one);
}

static void what_is_not_known_stays_unknown(void **state)
{
    (void)state;
    vg_op op = dense();
    const vg_program program = {.op_count = 1, .ops = &op};
    vg_peaks some = peaks;
    some.flop_per_s = (double)NAN;
    assert_true(isnan(vg_floor(&program, VG_PASS_FWD, &some, 1)));
    some = peaks;
    some.levels = 0;
    assert_true(isnan(vg_floor(&program, VG_PASS_FWD, &some, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_come_from_their_level),
        cmocka_unit_test(what_was_long_ago_comes_from_further),
        cmocka_unit_test(a_window_counts_once),
        cmocka_unit_test(an_idle_window_costs_nothing),
        cmocka_unit_test(recurrent_weights_count_every_step),
        cmocka_unit_test(threads_share_a_scan_as_is_cheapest),
        cmocka_unit_test(layers_share_threads),
        cmocka_unit_test(what_is_not_known_stays_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
