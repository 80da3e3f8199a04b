/* Norms, counts and the census on the GPU against plain loops: counts exact, sums within the slots'
 * tolerance, the same bits whatever the grid. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "cuda_windows.h"
#include "kernels.h"
#include "reduce_kernels.h"
#include "vg/tolerance.h"

enum { FIRST_SLOT = 2 };

/* So that leaky_relu's |f'| stands on the census's bound. */
static const float alpha = 0.01f;

static const vg_dtype dtypes[] = {VG_FP32, VG_BF16};

static const struct shape {
    uint64_t rows, segment_rows;
    uint32_t cols, pad, shift, blocks;
} shapes[] = {
    {1, 1, 1, 0, 0, 1},       {1, 1, 3, 13, 0, 2},     {3, 9, 4, 0, 0, 1},
    {10, 4, 7, 9, 0, 2},      {9, 3, 8, 0, 0, 1},      {64, 64, 33, 15, 0, 3},
    {64, 64, 32, 0, 1, 1},    {130, 50, 129, 7, 0, 4}, {100, 1, 3, 1, 0, 5},
    {257, 256, 16, 0, 0, 2},  {2, 1, 2500, 8, 0, 1},   {1, 1, 9001, 3, 0, 2},
    {300, 300, 101, 3, 0, 3},
};

static uint64_t segments_of(const shape *s)
{
    return (s->rows + s->segment_rows - 1) / s->segment_rows;
}

/* A reduction of a window, both kernels; slots hold a pattern before. */
static std::vector<vg_slot> reduce(const shape *s, const window &w, vg_kernel first, vg_kernel join,
                                   vg_activation activation, uint32_t blocks)
{
    uint64_t segments = segments_of(s), each = vg_reduce_part_rows(s->segment_rows, s->cols);
    std::vector<vg_slot> slots(FIRST_SLOT + segments + 1);
    memset((void *)slots.data(), 0x5a, slots.size() * sizeof slots[0]);
    vg_reduce_args args = {};
    args.window = w, args.segment_rows = s->segment_rows, args.segments = segments;
    args.parts_each = (s->segment_rows + each - 1) / each;
    scratch parts(segments * args.parts_each * vg_reduce_part_bytes());
    scratch device_slots(slots.size() * sizeof slots[0]);
    scratch live(segments * s->cols * sizeof(uint32_t));
    std::vector<uint32_t> zeros(segments * s->cols);
    cuda_check(
        cudaMemcpy(live.at, zeros.data(), zeros.size() * sizeof zeros[0], cudaMemcpyHostToDevice),
        "copy");
    cuda_check(cudaMemcpy(device_slots.at, slots.data(), slots.size() * sizeof slots[0],
                          cudaMemcpyHostToDevice),
               "copy");
    args.parts = parts.at, args.slots = (vg_slot *)device_slots.at, args.slot = FIRST_SLOT;
    args.activation = activation, args.alpha = alpha, args.live = (uint32_t *)live.at;
    static const double bound[] = {
#define VG_ACTIVATION(id, stack, rnn, bound, kink) bound,
#include "vg/activations.def"
#undef VG_ACTIVATION
    };
    args.bound = (float)(0.01 * bound[activation]);
    launch(first, blocks, args);
    launch(join, blocks, args);
    cuda_check(cudaMemcpy((void *)slots.data(), device_slots.at, slots.size() * sizeof slots[0],
                          cudaMemcpyDeviceToHost),
               "copy");
    return slots;
}

/* Slots beside those of the segments still hold the pattern. */
static void check_neighbours(const shape *s, const std::vector<vg_slot> &slots)
{
    vg_slot pattern;
    memset((void *)&pattern, 0x5a, sizeof pattern);
    for (size_t i : {(size_t)0, (size_t)1, (size_t)(FIRST_SLOT + segments_of(s))})
        assert_memory_equal(&slots[i], &pattern, sizeof pattern);
}

static void check_number(const shape *s, const window &w, const char *name, uint64_t segment,
                         double got, double want, double tolerance)
{
    bool right = isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance;
    if (!right)
        fail_msg("%llu x %u in segments of %llu (+%u, shift %u), %s: %s of segment %llu is %.17g, "
                 "expected %.17g within %g",
                 (unsigned long long)s->rows, s->cols, (unsigned long long)s->segment_rows, s->pad,
                 s->shift, vg_dtype_name(w.dtype), name, (unsigned long long)segment, got, want,
                 tolerance);
}

/* Measure. */

static vg_slot slot_of(const window &w, uint64_t first, uint64_t end)
{
    vg_slot slot = {};
    double least = vg_dtype_min_normal(w.dtype);
    long double sum = 0; /* squares of subnormals are no random numbers: in double they drift */
    for (uint64_t r = first; r < end; r++)
        for (uint32_t j = 0; j < w.cols; j++) {
            double x = (double)w.get(r, j), size = fabs(x);
            slot.elements++;
            sum += (long double)x * x;
            slot.zeros += size == 0;
            slot.subnormals += size > 0 && size < least;
            slot.infinities += isinf(x) != 0;
            slot.nans += isnan(x) != 0;
            slot.max_abs = size > slot.max_abs ? size : slot.max_abs;
        }
    slot.sum_squares = (double)sum;
    return slot;
}

static void check_measure(const shape *s, const window &w, const std::vector<vg_slot> &slots)
{
    for (uint64_t i = 0; i < segments_of(s); i++) {
        uint64_t first = i * s->segment_rows, end = first + s->segment_rows;
        vg_slot want = slot_of(w, first, end < s->rows ? end : s->rows);
        const vg_slot &got = slots[FIRST_SLOT + i];
        check_number(s, w, "elements", i, (double)got.elements, (double)want.elements, 0);
        check_number(s, w, "zeros", i, (double)got.zeros, (double)want.zeros, 0);
        check_number(s, w, "subnormals", i, (double)got.subnormals, (double)want.subnormals, 0);
        check_number(s, w, "infinities", i, (double)got.infinities, (double)want.infinities, 0);
        check_number(s, w, "nans", i, (double)got.nans, (double)want.nans, 0);
        check_number(s, w, "max_abs", i, got.max_abs, want.max_abs, 0);
        check_number(s, w, "sum_squares", i, got.sum_squares, want.sum_squares,
                     vg_tolerance_slot(want.elements, want.sum_squares));
        vg_slot pattern;
        memset((void *)&pattern, 0x5a, sizeof pattern);
        assert_true(got.exponent == pattern.exponent);
        assert_memory_equal(&got.mean_abs_derivative, &pattern.mean_abs_derivative,
                            3 * sizeof(double));
    }
    check_neighbours(s, slots);
}

enum { NUMBERS_RANDOM, NUMBERS_STRANGE, NUMBERS_TINY, NUMBERS_ZERO, NUMBERS_COUNT };

static void fill(window *w, int numbers)
{
    if (numbers == NUMBERS_RANDOM)
        w->fill_random(1, 100);
    else if (numbers == NUMBERS_STRANGE)
        w->fill_strange(2);
    else if (numbers == NUMBERS_TINY) /* subnormals alone, and sums far from 1 */
        w->fill([&](uint64_t r, uint32_t j) { return draw(3, r * w->cols + j, 0x1p-127f); });
    else
        w->fill([&](uint64_t r, uint32_t j) { return (r + j) % 2 ? 0.0f : -0.0f; });
}

static void measures(void)
{
    for (const shape &s : shapes)
        for (vg_dtype dtype : dtypes)
            for (int numbers = 0; numbers < NUMBERS_COUNT && !too_large(2 * s.rows * s.cols);
                 numbers++) {
                window w(dtype, s.rows, s.cols, s.pad, s.shift);
                fill(&w, numbers);
                w.up();
                vg_kernel first = vg_measure_kernel(dtype), join = vg_measure_join_kernel();
                std::vector<vg_slot> slots = reduce(&s, w, first, join, VG_identity, s.blocks);
                check_measure(&s, w, slots);
                w.down("window");
                if (numbers == NUMBERS_RANDOM) {
                    std::vector<vg_slot> again =
                        reduce(&s, w, first, join, VG_identity, s.blocks + 4);
                    assert_memory_equal(slots.data(), again.data(), slots.size() * sizeof slots[0]);
                }
            }
}
static void test_measure(void **state)
{
    (void)state;
    each_schedule(measures);
}

/* Census: shares are exact, as cpu.scalar finds them in the same floats. */

static void check_census(const shape *s, const window &w, vg_activation activation,
                         const std::vector<vg_slot> &slots)
{
    std::vector<float> numbers;
    for (uint64_t r = 0; r < s->rows; r++)
        for (uint32_t j = 0; j < s->cols; j++)
            numbers.push_back(w.get(r, j));
    for (uint64_t i = 0; i < segments_of(s); i++) {
        uint64_t first = i * s->segment_rows, left = s->rows - first;
        uint64_t rows = left < s->segment_rows ? left : s->segment_rows;
        vg_slot want = {};
        vg_kernels_scalar.census(rows, s->cols, activation, alpha,
                                 vg_rows_in{numbers.data() + first * s->cols, s->cols}, &want);
        const vg_slot &got = slots[FIRST_SLOT + i];
        check_number(s, w, "saturated", i, got.saturated, want.saturated, 0);
        check_number(s, w, "dead", i, got.dead, want.dead, 0);
        check_number(s, w, "mean_abs_derivative", i, got.mean_abs_derivative,
                     want.mean_abs_derivative,
                     vg_tolerance_slot(rows * s->cols, want.mean_abs_derivative));
        vg_slot pattern;
        memset((void *)&pattern, 0x5a, sizeof pattern);
        assert_memory_equal(&got, &pattern, offsetof(vg_slot, mean_abs_derivative));
    }
    check_neighbours(s, slots);
}

static void censuses(void)
{
    for (const shape &s : shapes)
        for (vg_dtype dtype : dtypes)
            for (int f = 0; f < VG_ACTIVATION_COUNT && !too_large(2 * s.rows * s.cols); f++) {
                window w(dtype, s.rows, s.cols, s.pad, s.shift);
                /* Outputs as an activation gives them, with whole columns and rows at its limits.
                 */
                w.fill([&](uint64_t r, uint32_t j) {
                    float y = draw(4, r * s.cols + j, 1);
                    return j % 3 == 0 ? (j % 2 ? 1.0f : 0.0f) : r % 7 == 0 ? 1.0f : y;
                });
                if (f == VG_relu || f == VG_leaky_relu)
                    w.set(s.rows / 2, s.cols / 2, NAN);
                w.up();
                std::vector<vg_slot> slots =
                    reduce(&s, w, vg_census_kernel(dtype), vg_census_join_kernel(),
                           (vg_activation)f, s.blocks);
                check_census(&s, w, (vg_activation)f, slots);
                w.down("window");
            }
}
static void test_census(void **state)
{
    (void)state;
    each_schedule(censuses);
}

/* Few parts however large the segment, and no part of many rows of a small one. */
static void test_parts(void **state)
{
    (void)state;
    static const struct {
        uint64_t rows;
        uint32_t cols;
    } table[] = {{1, 1},
                 {64, 1024},
                 {1, 65536},
                 {1000000000, 1},
                 {1000000, 4096},
                 {4294967296, 16},
                 {UINT64_C(1) << 40, 3}};
    for (auto &t : table) {
        uint64_t each = vg_reduce_part_rows(t.rows, t.cols);
        uint64_t parts = (t.rows + each - 1) / each;
        assert_true(each >= 1 && parts <= 2 * 8192 + 1);
        assert_true(each == 1 || each * t.cols <= 2048 || parts > 4000);
    }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_census),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
