/* The latency probe, on the emulated GPU or a real one: every row is there, finite and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "probe.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

/* How many rows there are of each. */
static const struct {
    const char *what;
    uint32_t rows;
    bool cluster;
} wanted[] = {
    {"block_barrier", 4, false}, {"counter_hop", 1, false},    {"grid_sync", 2, false},
    {"flag_exchange", 2, false}, {"cluster_barrier", 3, true}, {"remote_push", 1, true},
    {"kernel_launch", 1, false}, {"graph_node", 1, false},
};
enum { WANTED = sizeof wanted / sizeof *wanted };

static void count(void *context, const vg_latency *l)
{
    uint32_t *seen = context;
    for (int i = 0; i < WANTED; i++)
        if (strcmp(wanted[i].what, l->what) == 0) {
            seen[i]++;
            if (!(isfinite(l->microseconds) && l->microseconds >= 0 &&
                  l->lower <= l->microseconds && l->microseconds <= l->upper))
                fail_msg("%s of %u blocks: %g in %g..%g", l->what, l->blocks, l->microseconds,
                         l->lower, l->upper);
            return;
        }
    fail_msg("%s: no such row", l->what);
}

static void test_every_row(void **state)
{
    (void)state;
    uint32_t seen[WANTED] = {0};
    int major = 0;
    assert_int_equal(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0),
                     cudaSuccess);
    const vg_probe_how how = {0, 3, 3};
    if (vg_probe_run(&how, count, seen) != VG_OK)
        fail_msg("%s", vg_reason());
    for (int i = 0; i < WANTED; i++)
        if (wanted[i].cluster && major < 9)
            assert_int_equal(seen[i], 0);
        else
            assert_true(seen[i] >= wanted[i].rows);
}

#if defined(VG_CUDA_EMULATED)
/* Code that has no clusters would be fast at them. */
static void test_code_without_clusters(void **state)
{
    (void)state;
    uint32_t seen[WANTED] = {0};
    const vg_probe_how how = {0, 3, 3};
    emu_settings settings = emu_defaults();
    settings.ptx = 80;
    assert_int_equal(emu_reset(&settings), 0);
    assert_int_equal(vg_probe_run(&how, count, seen), VG_OK);
    for (int i = 0; i < WANTED; i++)
        assert_true(wanted[i].cluster == (seen[i] == 0));
    settings.ptx = 0;
    assert_int_equal(emu_reset(&settings), 0);
}
#endif

static void test_refusals(void **state)
{
    (void)state;
    uint32_t seen[WANTED] = {0};
    const vg_probe_how bad[] = {{0, 0, 3}, {0, 3, 0}, {0, 3, 1000}, {99, 3, 3}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(vg_probe_run(&bad[i], count, seen) != VG_OK);
}

int main(void)
{
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        print_message("skipped: no usable GPU: %s\n", cudaGetErrorString(error));
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_code_without_clusters),
#endif
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
