/* sigmoid and tanh of every usable instruction set against the C library's double, in units of the
 * last place, and the same bits on all. `test_math --slow` goes through all 2^32 floats. */
#include "kernel_planes.h"

#include <float.h>

enum { BATCH = 4096 };

/* What tests/test_math --slow found, rounded up; the goal is 2. */
static const struct function {
    const char *name;
    vg_activation activation;
    double worst;
} functions[] = {{"sigmoid", VG_sigmoid, 1.75}, {"tanh", VG_tanh, 1.97}};

#if defined(VG_EMULATED)
enum { STRIDE = 8191 };
#else
enum { STRIDE = 251 };
#endif
static bool slow;

static double exact(vg_activation activation, double z)
{
    if (activation == VG_tanh)
        return tanh(z);
    double e = exp(-fabs(z));
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* Distance in units of the last place of a float in the exact value's binade. */
static double ulp_off(float got, double want)
{
    int binade;
    frexp(want, &binade);
    return fabs((double)got - want) / ldexp(1, binade < -125 ? -149 : binade - 24);
}

static void apply(const vg_kernels *k, vg_activation activation, const float *z, float *y)
{
    vg_epilogue e = {.rows = 1, .cols = BATCH, .activation = activation, .z = z, .y = y};
    k->epilogue(&e);
}

/* Bits first, first + step, ...; returns the worst error. */
static double check_batch(const struct function *f, uint64_t first, uint64_t step, float *at)
{
    static float z[BATCH], y[BATCH], other[BATCH];
    double worst = 0;
    for (uint64_t i = 0; i < BATCH; i++) {
        uint32_t bits = (uint32_t)(first + i * step);
        memcpy(z + i, &bits, sizeof bits);
    }
    const vg_isa *isa = isa_tables();
    const vg_kernels *best = isa->kernels;
    for (; isa->kernels; isa++)
        best = isa->kernels;
    apply(best, f->activation, z, y);
    for (isa = isa_tables(); isa->kernels != best && !slow; isa++) {
        apply(isa->kernels, f->activation, z, other);
        for (size_t i = 0; i < BATCH; i++)
            if (!floats_equal(y[i], other[i]))
                fail_msg("%s(%a) is %a on %s and %a on %s", f->name, (double)z[i], (double)y[i],
                         best->name, (double)other[i], isa->name);
    }
    for (size_t i = 0; i < BATCH; i++) {
        if (isnan(z[i])) {
            assert_true(isnan(y[i]));
            continue;
        }
        double off = ulp_off(y[i], exact(f->activation, z[i]));
        if (!(off <= worst))
            worst = off, *at = z[i];
    }
    return worst;
}

static void test_worst_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const struct function *f = functions + i;
        uint64_t step = slow ? 1 : STRIDE;
        double worst = 0;
        float at = 0, batch_at = 0;
        for (uint64_t first = 0; first < UINT64_C(1) << 32; first += BATCH * step) {
            double here = check_batch(f, first, step, &batch_at);
            if (!(here <= worst))
                worst = here, at = batch_at;
        }
        print_message("%s: worst error %.4f ULP at %a\n", f->name, worst, (double)at);
        if (!(worst <= f->worst))
            fail_msg("%s: %.4f ULP at %a, expected at most %g", f->name, worst, (double)at,
                     f->worst);
    }
}

static void test_special_values(void **state)
{
    (void)state;
    static const struct {
        float z, sigmoid, tanh;
    } table[] = {
        {0.0f, 0.5f, 0.0f},
        {-0.0f, 0.5f, -0.0f},
        {INFINITY, 1, 1},
        {-INFINITY, 0, -1},
        {FLT_MAX, 1, 1},
        {-FLT_MAX, 0, -1},
        {0x1p-149f, 0.5f, 0x1p-149f},
        {-0x1p-149f, 0.5f, -0x1p-149f},
        {0x1.8p-130f, 0.5f, 0x1.8p-130f},
        {-103.0f, 0x1p-149f, -1}, /* e^-103 = 1.35 · 2^-149 */
        {-103.9f, 0x1p-149f, -1}, /* 0.55 · 2^-149 */
        {-104.0f, 0, -1},         /* 0.498 · 2^-149 */
        {20.0f, 1, 1},
        {NAN, NAN, NAN},
    };
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            float z[BATCH] = {table[i].z}, y[BATCH];
            apply(isa->kernels, VG_sigmoid, z, y);
            if (!floats_equal(y[0], table[i].sigmoid))
                fail_msg("sigmoid(%a) is %a on %s", (double)z[0], (double)y[0], isa->name);
            apply(isa->kernels, VG_tanh, z, y);
            if (!floats_equal(y[0], table[i].tanh))
                fail_msg("tanh(%a) is %a on %s", (double)z[0], (double)y[0], isa->name);
        }
}

int main(int argc, char **argv)
{
    slow = argc > 1 && strcmp(argv[1], "--slow") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_worst_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
