/* The activations and their derivatives on the GPU against cpu.scalar over a sample of all floats:
 * the same bits, so that what test_math proves of the one holds for the other. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "cuda_windows.h"
#include "dense_kernels.h"
#include "kernels.h"

enum { ROWS = 64, COLS = 4096, STRIDE = 1009 };

static const float alpha = 0.01f;

static const struct {
    const char *name;
    vg_activation activation;
} activations[] = {
#define VG_ACTIVATION(id, stack, rnn, bound, kink) {#id, VG_##id},
#include "vg/activations.def"
#undef VG_ACTIVATION
};

/* Every STRIDE-th float from `first` on. */
static void fill_bits(window *z, uint64_t first)
{
    z->fill([&](uint64_t r, uint32_t j) {
        return float_of((uint32_t)(first + (r * COLS + j) * STRIDE));
    });
    z->up();
}

static void compare(const char *what, const char *name, const window &z, const window &got,
                    const std::vector<float> &want)
{
    for (uint64_t r = 0; r < ROWS; r++)
        for (uint32_t j = 0; j < COLS; j++)
            if (!same(got.get(r, j), want[r * COLS + j]))
                fail_msg("%s %s of %a is %a on the GPU, %a on cpu.scalar", what, name,
                         (double)z.get(r, j), (double)got.get(r, j), (double)want[r * COLS + j]);
}

/* y = f(z + -0), for adding -0 changes no float. */
static void forward(size_t i, window &z, window &bias, window &y)
{
    std::vector<float> want(ROWS * COLS);
    vg_epilogue_args args = {};
    args.z = z, args.bias = bias, args.y = y;
    args.activation = activations[i].activation, args.alpha = alpha, args.pieces = 1;
    launch(vg_epilogue_kernel(VG_FP32), 8, args);
    y.down("y");
    vg_epilogue e = {};
    e.rows = ROWS, e.cols = COLS, e.activation = activations[i].activation, e.alpha = alpha;
    e.z = (const float *)(const void *)&z.host[z.offset(0, 0)], e.ld_z = z.ld;
    e.y = want.data(), e.ld_y = COLS;
    vg_kernels_scalar.epilogue(&e);
    compare("forward", activations[i].name, z, y, want);
}

/* dz = 1 · f'(a). */
static void backward(size_t i, window &a, window &dy, window &dz)
{
    std::vector<float> want(ROWS * COLS), ones(COLS, 1.0f);
    vg_derivative_args args = {};
    args.dy = dy, args.a = a, args.dz = dz;
    args.activation = activations[i].activation, args.alpha = alpha, args.pieces = 1;
    launch(vg_derivative_kernel(VG_FP32), 8, args);
    dz.down("dz");
    vg_derivative d = {};
    d.rows = ROWS, d.cols = COLS, d.activation = activations[i].activation, d.alpha = alpha;
    d.a = (const float *)(const void *)&a.host[a.offset(0, 0)], d.ld_a = a.ld;
    d.dy = ones.data(), d.dz = want.data(), d.ld_dz = COLS;
    vg_kernels_scalar.derivative(&d);
    compare("derivative", activations[i].name, a, dz, want);
}

static void test_bits(void **state)
{
    (void)state;
    window z(VG_FP32, ROWS, COLS), bias(VG_FP32, 1, COLS), dy(VG_FP32, ROWS, COLS),
        y(VG_FP32, ROWS, COLS);
    bias.fill([](uint64_t, uint32_t) { return -0.0f; });
    dy.fill([](uint64_t, uint32_t) { return 1.0f; });
    bias.up(), dy.up();
    uint64_t batch = (uint64_t)ROWS * COLS * STRIDE;
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += batch) {
        if (first && too_large(batch))
            break;
        fill_bits(&z, first);
        for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
            y.up();
            forward(i, z, bias, y);
            backward(i, z, dy, y);
        }
    }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
