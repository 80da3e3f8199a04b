/* The element-wise kernels of every usable instruction set. */
#include "kernel_trial.h"
#include "ref_vf.h"

#define EPS 0x1p-23
#define F(blocks, range)                                                                           \
    {                                                                                              \
        blocks, sizeof(float), 0, range                                                            \
    }
#define ROW(blocks, range)                                                                         \
    {                                                                                              \
        blocks, sizeof(float), 1, range                                                            \
    }
#define BYTES                                                                                      \
    {                                                                                              \
        1, 1, 0, 0                                                                                 \
    }

static const float alpha = 0.01f;

/* Variants of an epilogue: bit 0 bias, bit 1 skip, bit 2 also `a`, then the activation. */
static vg_activation epilogue_activation(int variant)
{
    return (vg_activation)(variant / 8);
}

static void call_epilogue(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    vg_epilogue e = {.rows = in[0].rows, .cols = in[0].cols};
    e.activation = epilogue_activation(variant);
    e.alpha = alpha;
    e.z = plane_floats(in), e.ld_z = in[0].ld;
    e.bias = variant & 1 ? plane_floats(in + 1) : NULL;
    e.skip = variant & 2 ? plane_floats(in + 2) : NULL, e.ld_skip = in[2].ld;
    e.a = variant & 4 ? plane_floats(out + 1) : NULL, e.ld_a = out[1].ld;
    e.y = plane_floats(out), e.ld_y = out[0].ld;
    k->epilogue(&e);
}

static double want_epilogue(int variant, const plane *in, size_t out, size_t r, size_t j,
                            double *tolerance)
{
    /* The sum is rounded in float before the function sees it: both sides of a kink agree. */
    float z = plane_at(in, r, j) + (variant & 1 ? plane_at(in + 1, 0, j) : 0);
    double a = vf_activate(epilogue_activation(variant), z, alpha);
    double skip = variant & 2 && out == 0 ? plane_at(in + 2, r, j) : 0;
    *tolerance = 2 * EPS * (fabs(a) + fabs(skip)) + 0x1p-149;
    if (out == 1 && !(variant & 4))
        *tolerance = UNTOUCHED;
    return a + skip;
}

static void call_derivative(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    vg_derivative d = {.rows = in[0].rows, .cols = in[0].cols};
    d.activation = (vg_activation)variant;
    d.alpha = alpha;
    d.dy = plane_floats(in), d.ld_dy = in[0].ld;
    d.a = plane_floats(in + 1), d.ld_a = in[1].ld;
    d.dz = plane_floats(out), d.ld_dz = out[0].ld;
    k->derivative(&d);
}

static double want_derivative(int variant, const plane *in, size_t out, size_t r, size_t j,
                              double *tolerance)
{
    (void)out;
    double a = plane_at(in + 1, r, j);
    double dz = plane_at(in, r, j) * vf_activation_derivative((vg_activation)variant, a, alpha);
    *tolerance = 3 * EPS * fabs(dz) + 0x1p-149;
    return dz;
}

/* Three pieces; bits of the variant as above. The number of ties is not left to chance: pieces are
 * drawn from few values. */
static float maxout_z(const plane *in, int variant, size_t r, size_t j, size_t k, size_t cols)
{
    return plane_at(in, r, k * cols + j) + (variant & 1 ? plane_at(in + 1, 0, k * cols + j) : 0);
}

static void call_maxout_fwd(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    vg_maxout_fwd m = {.rows = out[0].rows, .cols = out[0].cols, .piece = out[0].cols};
    m.pieces = 3;
    m.z = plane_floats(in), m.ld_z = in[0].ld;
    m.bias = variant & 1 ? plane_floats(in + 1) : NULL;
    m.skip = variant & 2 ? plane_floats(in + 2) : NULL, m.ld_skip = in[2].ld;
    m.a = variant & 4 ? plane_floats(out + 1) : NULL, m.ld_a = out[1].ld;
    m.y = plane_floats(out), m.ld_y = out[0].ld;
    m.winner = plane_bytes(out + 2), m.ld_winner = out[2].ld;
    k->maxout_fwd(&m);
}

static double want_maxout_fwd(int variant, const plane *in, size_t out, size_t r, size_t j,
                              double *tolerance)
{
    size_t cols = in[2].cols, winner = 0;
    for (size_t k = 1; k < 3; k++) {
        float best = maxout_z(in, variant, r, j, winner, cols);
        float z = maxout_z(in, variant, r, j, k, cols);
        if (!isnan(best) && (isnan(z) || z > best))
            winner = k;
    }
    double a = maxout_z(in, variant, r, j, winner, cols);
    double skip = variant & 2 && out == 0 ? plane_at(in + 2, r, j) : 0;
    *tolerance = out == 1 && !(variant & 4) ? UNTOUCHED : EPS * fabs(a + skip);
    return out == 2 ? (double)winner : a + skip;
}

static void call_maxout_bwd(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    (void)variant;
    vg_maxout_bwd m = {.rows = in[0].rows, .cols = in[0].cols, .piece = in[0].cols};
    m.pieces = 3;
    m.dy = plane_floats(in), m.ld_dy = in[0].ld;
    m.winner = plane_bytes(in + 1), m.ld_winner = in[1].ld;
    m.dz = plane_floats(out), m.ld_dz = out[0].ld;
    k->maxout_bwd(&m);
}

static double want_maxout_bwd(int variant, const plane *in, size_t out, size_t r, size_t j,
                              double *tolerance)
{
    (void)variant, (void)out, (void)tolerance;
    size_t cols = in[0].cols, unit = j % cols;
    return plane_bytes(in + 1)[r * in[1].ld + unit] == j / cols ? plane_at(in, r, unit) : 0;
}

/* Variants: add, copy, fill, scale, then powers of two; the second input is what y held before. */
static const int powers[] = {0, -1, 3, -140, 200, -300, 5000};
enum { SIMPLE_ADD, SIMPLE_COPY, SIMPLE_FILL, SIMPLE_SCALE, SIMPLE_POWER };

static void call_simple(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    size_t rows = in[0].rows, cols = in[0].cols;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < cols; j++)
            plane_floats(out)[r * out[0].ld + j] = plane_at(in + 1, r, j);
    vg_rows_in x = rows_in(in);
    vg_rows y = rows_of(out);
    switch (variant) {
    case SIMPLE_ADD: k->add(rows, cols, x, y); break;
    case SIMPLE_COPY: k->copy(rows, cols, x, y); break;
    case SIMPLE_FILL: k->fill(rows, cols, 1.5f, y); break;
    case SIMPLE_SCALE: k->scale(rows, cols, 0.3f, x, y); break;
    default: k->scale_by_power(rows, cols, powers[variant - SIMPLE_POWER], x, y);
    }
}

static double want_simple(int variant, const plane *in, size_t out, size_t r, size_t j,
                          double *tolerance)
{
    (void)out, (void)tolerance;
    float x = plane_at(in, r, j), y = plane_at(in + 1, r, j);
    switch (variant) {
    case SIMPLE_ADD: return y + x;
    case SIMPLE_COPY: return x;
    case SIMPLE_FILL: return 1.5;
    case SIMPLE_SCALE: return 0.3f * x;
    default: return (float)ldexp(x, powers[variant - SIMPLE_POWER]);
    }
}

static const trial trials[] = {
    {"epilogue",
     3,
     2,
     {F(1, 4), ROW(1, 1), F(1, 2)},
     {F(1, 0), F(1, 0)},
     8 * VG_maxout,
     call_epilogue,
     want_epilogue},
    {"derivative",
     2,
     1,
     {F(1, 2), F(1, 1)},
     {F(1, 0)},
     VG_maxout,
     call_derivative,
     want_derivative},
    {"maxout_fwd",
     3,
     3,
     {F(3, 1), ROW(3, 1), F(1, 1)},
     {F(1, 0), F(1, 0), BYTES},
     8,
     call_maxout_fwd,
     want_maxout_fwd},
    {"maxout_bwd", 2, 1, {F(1, 2), BYTES}, {F(3, 0)}, 1, call_maxout_bwd, want_maxout_bwd},
    {"simple",
     2,
     1,
     {F(1, 3), F(1, 2)},
     {F(1, 0)},
     SIMPLE_POWER + sizeof powers / sizeof *powers,
     call_simple,
     want_simple},
};

static void test_all_remainders(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++)
        trial_run(trials + i, NULL);
}

static void spoil_with_specials(plane *in, size_t ins)
{
    static const float special[] = {NAN,       INFINITY,   -INFINITY, 0.0f, -0.0f,
                                    0x1p-149f, -0x1p-130f, 100.0f,    1.0f, -1.0f};
    const size_t count = sizeof special / sizeof *special;
    for (size_t i = 0; i < ins; i++)
        for (size_t r = 0; r < in[i].rows && in[i].element == 4; r++)
            for (size_t j = 0; j < in[i].cols; j++)
                if ((r + j) % 2 == 0 && !(i == 1 && j % 3))
                    plane_floats(in + i)[r * in[i].ld + j] = special[(j / 2 + 3 * r + i) % count];
}

static void test_special_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++)
        trial_run(trials + i, spoil_with_specials);
}

/* Equal pieces: the lowest index wins. */
static void spoil_with_ties(plane *in, size_t ins)
{
    for (size_t i = 0; i < ins; i++)
        for (size_t r = 0; r < in[i].rows; r++)
            for (size_t j = 0; j < in[i].cols; j++)
                plane_floats(in + i)[r * in[i].ld + j] = (float)((j * 5 + r) % 3 / 2);
}

static void test_ties(void **state)
{
    (void)state;
    trial_run(trials + 2, spoil_with_ties);
}

/* z = a = y, then skip = y. */
static void test_in_place(void **state)
{
    (void)state;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++) {
        float z[37], plain[37], in_place[37];
        for (size_t j = 0; j < 37; j++)
            in_place[j] = z[j] = plane_draw(7, j, 3);
        vg_epilogue e = {.rows = 1, .cols = 37, .activation = VG_tanh};
        e.z = e.skip = z, e.y = plain;
        isa->kernels->epilogue(&e);
        e.z = e.skip = e.a = e.y = in_place;
        isa->kernels->epilogue(&e);
        assert_memory_equal(plain, in_place, sizeof plain);
        vg_derivative d = {.rows = 1, .cols = 37, .activation = VG_sigmoid, .dy = z, .a = plain};
        float dz[37];
        d.dz = dz;
        isa->kernels->derivative(&d);
        d.dz = z;
        isa->kernels->derivative(&d);
        assert_memory_equal(z, dz, sizeof dz);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_remainders),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
