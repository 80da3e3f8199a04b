/* The kernels around a dense layer's products: bits as those of cpu.scalar, sums within tolerance,
 * every number of every format, padding untouched. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "cuda_windows.h"
#include "dense_kernels.h"
#include "kernels.h"
#include "vg/tolerance.h"

/* Around packs of 4 and 8, warps and blocks; pad and shift decide whether packs are aligned. */
static const struct shape {
    uint64_t rows;
    uint32_t cols, pad, shift, blocks;
} shapes[] = {
    {1, 1, 0, 0, 1},    {1, 1, 15, 0, 3},   {3, 4, 0, 0, 1},    {5, 7, 9, 0, 2},
    {2, 8, 8, 0, 1},    {7, 9, 0, 0, 1},    {33, 31, 1, 0, 2},  {4, 32, 0, 1, 1},
    {3, 33, 15, 0, 5},  {1, 1023, 1, 0, 1}, {2, 1024, 0, 0, 1}, {2, 1025, 15, 0, 3},
    {40, 120, 8, 0, 2}, {600, 3, 13, 0, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const vg_dtype dtypes[] = {VG_FP32, VG_BF16};

/* A window's numbers as floats without padding. */
static std::vector<float> floats_of(const window &w)
{
    std::vector<float> out;
    for (uint64_t r = 0; r < w.rows; r++)
        for (uint32_t j = 0; j < w.cols; j++)
            out.push_back(w.get(r, j));
    return out;
}

static void compare(const char *kernel, const shape *s, const char *name, const window &got,
                    const std::vector<float> &want)
{
    for (uint64_t r = 0; r < got.rows; r++)
        for (uint32_t j = 0; j < got.cols; j++) {
            float expected = stored(got.dtype, want[r * got.cols + j]);
            if (!same(got.get(r, j), expected))
                fail_msg("%s, %llu x %u (+%u, shift %u), %s: %s[%llu, %u] is %.9g, expected %.9g",
                         kernel, (unsigned long long)s->rows, s->cols, s->pad, s->shift,
                         vg_dtype_name(got.dtype), name, (unsigned long long)r, j,
                         (double)got.get(r, j), (double)expected);
        }
}

/* y of a residual: what is kept of a, plus the skip. */
static void add_kept(vg_dtype dtype, const std::vector<float> &a, const std::vector<float> &skip_in,
                     std::vector<float> *y)
{
    for (size_t i = 0; i < y->size(); i++)
        (*y)[i] = stored(dtype, a[i]) + skip_in[i];
}

/* Epilogue, not maxout. */

static void epilogue_case(const shape *s, vg_dtype dtype, vg_activation activation, bool residual,
                          bool strange, bool in_place)
{
    window z(VG_FP32, s->rows, s->cols, s->pad, s->shift), bias(VG_FP32, 1, s->cols);
    window shortcut(dtype, residual ? s->rows : 0, s->cols, s->pad, s->shift);
    window a(dtype, residual ? s->rows : 0, s->cols, s->pad, s->shift);
    window y(dtype, s->rows, s->cols, s->pad, s->shift);
    strange ? z.fill_strange(1) : z.fill_random(1, 4);
    strange ? bias.fill_strange(2) : bias.fill_random(2, 1);
    strange ? shortcut.fill_strange(3) : shortcut.fill_random(3, 1);
    z.up(), bias.up(), shortcut.up(), a.up(), y.up();
    vg_epilogue_args args = {};
    args.z = z, args.bias = bias, args.skip = shortcut, args.a = a;
    args.y = in_place ? z : y;
    args.activation = activation, args.alpha = 0.25f, args.pieces = 1;

    std::vector<float> in = floats_of(z), b = floats_of(bias), k = floats_of(shortcut);
    std::vector<float> want_a(in.size()), want_y(in.size());
    vg_epilogue e = {};
    e.rows = s->rows, e.cols = s->cols, e.activation = activation, e.alpha = 0.25f;
    e.z = in.data(), e.bias = b.data(), e.skip = residual ? k.data() : nullptr;
    e.a = residual ? want_a.data() : nullptr, e.y = want_y.data();
    e.ld_z = e.ld_skip = e.ld_a = e.ld_y = s->cols;
    vg_kernels_scalar.epilogue(&e);
    if (residual)
        add_kept(dtype, want_a, k, &want_y);

    launch(vg_epilogue_kernel(dtype), s->blocks, args);
    window &out = in_place ? z : y;
    out.down("y"), a.down("a");
    compare("epilogue", s, "y", out, want_y);
    if (residual)
        compare("epilogue", s, "a", a, want_a);
}

static void epilogues(void)
{
    for (size_t i = 0; i < SHAPES && !too_large(shapes[i].rows * shapes[i].cols); i++)
        for (vg_dtype dtype : dtypes)
            for (int variant = 0; variant < 4; variant++)
                for (int f = 0; f < VG_maxout; f++)
                    epilogue_case(shapes + i, dtype, (vg_activation)f, variant & 1, variant & 2,
                                  dtype == VG_FP32 && variant == 2);
}
static void test_epilogue(void **state)
{
    (void)state;
    each_schedule(epilogues);
}

/* Maxout, forward and back. */

static void maxout_case(const shape *s, vg_dtype dtype, uint32_t pieces, bool residual,
                        bool strange)
{
    window z(VG_FP32, s->rows, s->cols * pieces, s->pad, s->shift);
    window bias(VG_FP32, 1, s->cols * pieces);
    window shortcut(dtype, residual ? s->rows : 0, s->cols, s->pad, s->shift);
    window a(dtype, residual ? s->rows : 0, s->cols, s->pad, s->shift);
    window y(dtype, s->rows, s->cols, s->pad, s->shift);
    window winner(VG_U8, s->rows, s->cols, s->pad);
    /* Few different numbers: pieces tie. */
    z.fill([](uint64_t r, uint32_t j) { return floorf(draw(4, r * 1000 + j, 3)); });
    bias.fill([](uint64_t, uint32_t j) { return (float)(j % 2); });
    if (strange)
        z.fill_strange(5);
    shortcut.fill_random(6, 1);
    z.up(), bias.up(), shortcut.up(), a.up(), y.up(), winner.up();
    vg_epilogue_args args = {};
    args.z = z, args.bias = bias, args.skip = shortcut, args.a = a, args.y = y,
    args.winner = winner;
    args.activation = VG_maxout, args.pieces = pieces;

    std::vector<float> in = floats_of(z), b = floats_of(bias), k = floats_of(shortcut);
    std::vector<float> want_a(s->rows * s->cols), want_y(s->rows * s->cols);
    std::vector<uint8_t> want_winner(s->rows * s->cols);
    vg_maxout_fwd m = {};
    m.rows = s->rows, m.cols = s->cols, m.piece = s->cols, m.pieces = pieces;
    m.z = in.data(), m.bias = b.data(), m.skip = residual ? k.data() : nullptr;
    m.a = residual ? want_a.data() : nullptr, m.y = want_y.data(), m.winner = want_winner.data();
    m.ld_z = in.size() / s->rows, m.ld_skip = m.ld_a = m.ld_y = m.ld_winner = s->cols;
    vg_kernels_scalar.maxout_fwd(&m);
    if (residual)
        add_kept(dtype, want_a, k, &want_y);

    launch(vg_epilogue_kernel(dtype), s->blocks, args);
    y.down("y"), a.down("a"), winner.down("winner");
    compare("maxout", s, "y", y, want_y);
    if (residual)
        compare("maxout", s, "a", a, want_a);
    compare("maxout", s, "winner", winner,
            std::vector<float>(want_winner.begin(), want_winner.end()));

    window dy(dtype, s->rows, s->cols, s->pad, s->shift);
    window dz(dtype, s->rows, s->cols * pieces, s->pad, s->shift);
    strange ? dy.fill_strange(7) : dy.fill_random(7, 1);
    dy.up(), dz.up();
    vg_derivative_args back = {};
    back.dy = dy, back.winner = winner, back.dz = dz;
    back.activation = VG_maxout, back.pieces = pieces;
    launch(vg_derivative_kernel(dtype), s->blocks, back);
    dz.down("dz");
    std::vector<float> want_dz(in.size());
    for (uint64_t r = 0; r < s->rows; r++)
        for (uint32_t j = 0; j < dz.cols; j++)
            if (want_winner[r * s->cols + j % s->cols] == j / s->cols)
                want_dz[r * dz.cols + j] = dy.get(r, j % s->cols);
    compare("maxout back", s, "dz", dz, want_dz);
}

static void maxouts(void)
{
    for (size_t i = 0; i < SHAPES && !too_large(shapes[i].rows * shapes[i].cols); i++)
        for (vg_dtype dtype : dtypes)
            for (int variant = 0; variant < 4; variant++)
                maxout_case(shapes + i, dtype, variant == 3 ? 5 : 2, variant & 1, variant & 2);
}
static void test_maxout(void **state)
{
    (void)state;
    each_schedule(maxouts);
}

/* Derivative. */

static void derivative_case(const shape *s, vg_dtype dtype, vg_activation activation, bool strange,
                            bool in_place)
{
    window dy(dtype, s->rows, s->cols, s->pad, s->shift), a(dtype, s->rows, s->cols, s->pad);
    window dz(dtype, s->rows, s->cols, s->pad, s->shift);
    strange ? dy.fill_strange(1) : dy.fill_random(1, 2);
    strange ? a.fill_strange(2) : a.fill_random(2, 1);
    dy.up(), a.up(), dz.up();
    std::vector<float> in = floats_of(dy), out = floats_of(a), want(in.size());
    vg_derivative d = {};
    d.rows = s->rows, d.cols = s->cols, d.activation = activation, d.alpha = 0.25f;
    d.dy = in.data(), d.a = out.data(), d.dz = want.data();
    d.ld_dy = d.ld_a = d.ld_dz = s->cols;
    vg_kernels_scalar.derivative(&d);
    vg_derivative_args args = {};
    args.dy = dy, args.a = a, args.dz = in_place ? dy : dz;
    args.activation = activation, args.alpha = 0.25f, args.pieces = 1;
    launch(vg_derivative_kernel(dtype), s->blocks, args);
    window &got = in_place ? dy : dz;
    got.down("dz");
    compare("derivative", s, "dz", got, want);
}

static void derivatives(void)
{
    for (size_t i = 0; i < SHAPES && !too_large(shapes[i].rows * shapes[i].cols); i++)
        for (vg_dtype dtype : dtypes)
            for (int variant = 0; variant < 3; variant++)
                for (int f = 0; f < VG_maxout; f++)
                    derivative_case(shapes + i, dtype, (vg_activation)f, variant == 1,
                                    variant == 2);
}
static void test_derivative(void **state)
{
    (void)state;
    each_schedule(derivatives);
}

/* Column sums: against double within the tolerance that verification grants, and the same bits
 * whatever the grid. */

static const shape sums[] = {
    {1, 1, 0, 0, 1},      {2, 3, 13, 0, 4},     {15, 16, 0, 0, 1},   {16, 33, 15, 0, 2},
    {127, 128, 0, 0, 1},  {128, 129, 15, 0, 3}, {129, 5, 11, 0, 2},  {129, 256, 0, 1, 2},
    {1000, 260, 0, 0, 7}, {4096, 1, 0, 0, 5},   {70000, 3, 5, 0, 9}, {131073, 2, 14, 0, 3},
};

static void sums_run(const window &dz, uint32_t blocks, window *out)
{
    uint64_t each = vg_column_sums_rows(dz.rows), parts = (dz.rows + each - 1) / each;
    window kept(VG_FP32, parts > 1 ? parts : 0, dz.cols, 3);
    kept.up(), out->up();
    vg_column_sums_args args = {};
    args.dz = dz, args.parts = kept, args.sums = *out;
    launch(vg_column_sums_kernel(dz.dtype), blocks, args);
    if (parts > 1)
        launch(vg_column_sums_add_kernel(), blocks, args);
    kept.down("parts"), out->down("sums");
    assert_true(parts <= 512);
}

static void sums_case(const shape *s, vg_dtype dtype)
{
    window dz(dtype, s->rows, s->cols, s->pad, s->shift), out(VG_FP32, 1, s->cols, 1);
    window again(VG_FP32, 1, s->cols, 1);
    dz.fill([&](uint64_t r, uint32_t j) { return draw(8, r * s->cols + j, 1) + 0.5f; });
    if (s->rows > 2 && s->cols > 2)
        dz.set(s->rows / 2, 1, NAN), dz.set(s->rows - 1, 2, INFINITY);
    dz.up();
    sums_run(dz, s->blocks, &out);
    sums_run(dz, s->blocks + 3, &again);
    vg_precision precision = vg_precision_of(VG_FP32, VG_FP32, VG_DENORMALS_KEEP);
    for (uint32_t j = 0; j < s->cols; j++) {
        double want = 0, magnitude = 0;
        for (uint64_t r = 0; r < s->rows; r++) {
            want += (double)dz.get(r, j);
            magnitude += fabs((double)dz.get(r, j));
        }
        double got = (double)out.get(0, j);
        double tolerance = vg_tolerance_sum(precision, s->rows, magnitude);
        bool right = isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance;
        if (!right)
            fail_msg("column sums, %llu x %u, %s: [%u] is %.9g, expected %.9g within %g",
                     (unsigned long long)s->rows, s->cols, vg_dtype_name(dtype), j, got, want,
                     tolerance);
        if (!same(out.get(0, j), again.get(0, j)))
            fail_msg("column sums, %llu x %u, %s: [%u] is %a and then %a",
                     (unsigned long long)s->rows, s->cols, vg_dtype_name(dtype), j, got,
                     (double)again.get(0, j));
    }
}

static void all_sums(void)
{
    for (const shape &s : sums)
        for (vg_dtype dtype : dtypes)
            if (!too_large(s.rows * s.cols / 300)) /* the largest have the second kernel */
                sums_case(&s, dtype);
}
static void test_column_sums(void **state)
{
    (void)state;
    each_schedule(all_sums);
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epilogue),
        cmocka_unit_test(test_maxout),
        cmocka_unit_test(test_derivative),
        cmocka_unit_test(test_column_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
