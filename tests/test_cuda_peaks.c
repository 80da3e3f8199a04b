/* The measured limits of a GPU: there, finite, by products as fast as an aligned case's, and
 * leaving nothing behind where there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"

#include <cuda_runtime_api.h>
#endif

static const vg_dtype dtypes[] = {VG_FP32, VG_TF32, VG_BF16};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

static void open_device(run_model *run)
{
    *run = (run_model){.name = "peaks", .on = CUDA_DEVICE};
    run_open(run, &(vg_device_options){.threads = 1, .bind = VG_BIND_NONE});
}

static void close_device(run_model *run)
{
    run->driver->close(run->device);
}

static void check_rate(const char *what, double rate)
{
    if (!(rate > 0 && isfinite(rate)))
        fail_msg("%s: %g", what, rate);
}

static void test_peaks(void **state)
{
    (void)state;
    run_model run;
    vg_peaks peaks;
    open_device(&run);
    for (int i = 0; i < DTYPES; i++) {
        run_try(&run, vg_dtype_name(dtypes[i]), run.driver->peaks(run.device, dtypes[i], &peaks));
        check_rate(vg_dtype_name(dtypes[i]), peaks.flop_per_s);
        assert_int_equal(peaks.levels, 2);
        check_rate("cache", peaks.level[0].bytes_per_s);
        check_rate("memory", peaks.level[1].bytes_per_s);
        assert_true(peaks.level[0].capacity_bytes > 0);
        assert_true(isinf(peaks.level[1].capacity_bytes));
        assert_true(isnan(peaks.barrier_s));
    }
    assert_int_equal(run.driver->peaks(run.device, VG_FP64, &peaks), VG_UNSUPPORTED);
    close_device(&run);
}

#if defined(VG_CUDA_EMULATED)

static void machine_make(const char *words)
{
    setenv("VG_EMULATION", words, 1);
    const emu_settings settings = emu_defaults();
    assert_int_equal(emu_reset(&settings), 0);
}

/* The library keeps its fastest kernels from operands whose alignment it is not told. */
static void test_products_are_aligned(void **state)
{
    (void)state;
    run_model run;
    vg_peaks peaks;
    machine_make("");
    open_device(&run);
    for (int i = 0; i < DTYPES; i++) {
        run_try(&run, vg_dtype_name(dtypes[i]), run.driver->peaks(run.device, dtypes[i], &peaks));
        assert_in_range(emu_product_alignment(), 16, 256);
    }
    close_device(&run);
}

/* Peaks need memory; where there is none, they say so and leave nothing behind. */
static void test_without_memory(void **state)
{
    (void)state;
    run_model run;
    vg_peaks peaks;
    machine_make("memory=67108864");
    open_device(&run);
    void *all = NULL;
    size_t bytes = 64 << 20;
    while (cudaMalloc(&all, bytes) != cudaSuccess)
        bytes -= 1 << 20;
    (void)cudaGetLastError();
    assert_int_equal(run.driver->peaks(run.device, VG_FP32, &peaks), VG_NO_MEMORY);
    assert_int_equal(cudaFree(all), cudaSuccess);
    run_try(&run, "peaks", run.driver->peaks(run.device, VG_FP32, &peaks)); /* it is not lost */
    close_device(&run);
    machine_make("");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peaks),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_products_are_aligned),
        cmocka_unit_test(test_without_memory),
#endif
    };
    CUDA_TESTS(tests);
}
