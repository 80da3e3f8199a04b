/* Which GPUs are listed and why others are not, and what an opened one says of itself. On the
 * emulation every trouble is tried; on a GPU what is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_device.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

extern const vg_driver vg_cuda_driver;

enum { MOST = 16 };

static const vg_device_options plain = {.bind = VG_BIND_NONE};

/* --- facts and state: on whatever GPU is there --- */

typedef struct facts {
    char keys[64][48], values[64][128];
    size_t count;
} facts;

static void keep(void *context, const char *key, const char *value)
{
    facts *f = context;
    assert_true(f->count < 64);
    assert_true(strlen(value) > 0);
    snprintf(f->keys[f->count], sizeof f->keys[0], "%s", key);
    snprintf(f->values[f->count++], sizeof f->values[0], "%s", value);
}

static const char *value_of(const facts *f, const char *key)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->keys[i], key) == 0)
            return f->values[i];
    return NULL;
}

static vg_device *opened(const vg_device_options *options)
{
    vg_device_info info[MOST];
    size_t count;
    vg_device *device;
    assert_int_equal(vg_cuda_driver.list(info, MOST, &count), VG_OK);
    if (vg_cuda_driver.open(&info[0], options, &device) != VG_OK)
        fail_msg("%s: %s", info[0].name, vg_reason());
    return device;
}

static void test_facts(void **state)
{
    (void)state;
    static const char *const needed[] = {
        "gpu.name",         "gpu.compute_capability", "gpu.multiprocessors",
        "gpu.memory_bytes", "gpu.l2_bytes",           "cuda.driver",
        "cuda.runtime",     "cuda.products",          "cuda.code",
        "gpu.clusters"};
    vg_device *device = opened(&plain);
    facts *f = calloc(1, sizeof *f);
    assert_int_equal(vg_cuda_driver.facts(device, keep, f), VG_OK);
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!value_of(f, needed[i]))
            fail_msg("no fact %s", needed[i]);
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(f->keys[i], f->keys[k]) == 0)
                fail_msg("%s is told twice", f->keys[i]);
    assert_int_equal(strtoul(value_of(f, "gpu.multiprocessors"), NULL, 10),
                     device->chip.multiprocessors);
    free(f);
    vg_cuda_driver.close(device);
}

static void test_applied(void **state)
{
    (void)state;
    const vg_device_options asked = {.threads = 3, .bind = VG_BIND_NONE};
    vg_device_applied applied;
    vg_device *device = opened(&asked);
    vg_cuda_driver.applied(device, &applied);
    assert_int_equal(applied.threads, 1);
    assert_int_equal(applied.bind, VG_BIND_NONE);
    assert_int_equal(applied.denormals, VG_DENORMALS_KEEP);
    assert_non_null(strstr(applied.implementation, "vgbench "));
    assert_non_null(strstr(applied.implementation, ", cuBLASLt "));
    vg_cuda_driver.close(device);
}

static void test_flush_is_refused(void **state)
{
    (void)state;
    const vg_device_options asked = {.denormals = VG_DENORMALS_FLUSH};
    const vg_device_info info = {.name = "cuda:0"};
    vg_device *device;
    assert_int_equal(vg_cuda_driver.open(&info, &asked, &device), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "cuda:0: --denormals=flush: "));
}

/* Binding keeps within what this process may use, and says whether it was done. */
static void test_binding(void **state)
{
    (void)state;
    const vg_device_options asked = {.bind = VG_BIND_CORE};
    cpu_set_t before, after, both;
    vg_device_applied applied;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    vg_device *device = opened(&asked);
    vg_cuda_driver.applied(device, &applied);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    CPU_AND(&both, &before, &after);
    assert_true(CPU_EQUAL(&both, &after));
    assert_true(applied.bind == VG_BIND_CORE || CPU_EQUAL(&before, &after));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    vg_cuda_driver.close(device);
}

#if defined(VG_CUDA_EMULATED)

/* --- every trouble --- */

static void machine_make(const char *words)
{
    setenv("VG_EMULATION", words, 1);
    const emu_settings settings = emu_defaults();
    assert_int_equal(emu_reset(&settings), 0);
}

static void machine_end(void)
{
    unsetenv("VG_EMULATION");
    const emu_settings settings = emu_defaults();
    assert_int_equal(emu_reset(&settings), 0);
}

static const struct {
    const char *machine, *visible;
    const char *absent[3]; /* of each device listed; "" = usable */
} rows[] = {
    {"devices=1", NULL, {""}},
    {"devices=2", NULL, {"", ""}},
    {"devices=0", NULL, {"the NVIDIA driver shows no GPU: see nvidia-smi -L"}},
    {"devices=0", "", {"CUDA_VISIBLE_DEVICES= shows no GPU: unset it"}},
    {"devices=0", "7", {"CUDA_VISIBLE_DEVICES=7 shows no GPU: unset it"}},
    {"driver=0", NULL, {"no NVIDIA driver: install version "}},
    {"driver=11040", NULL, {"the NVIDIA driver is for CUDA 11.4, this build needs "}},
    {"cc=75", NULL, {"this GPU is sm_75: sm_80 or newer is needed"}},
    {"cc=80", NULL, {""}},
    {"cc=89", NULL, {""}},
    {"cc=103", NULL, {""}},
    {"cc=120",
     NULL,
     {"built for sm_80 sm_90 sm_100; this GPU is sm_120: configure with "
      "-DVG_CUDA_ARCHITECTURES=120"}},
    {"fail=2", NULL, {"the NVIDIA driver answers: "}},
};

static void test_list(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vg_device_info info[3] = {{.name = ""}};
        size_t count = 0, wanted = 0;
        machine_make(rows[i].machine);
        unsetenv("CUDA_VISIBLE_DEVICES");
        if (rows[i].visible)
            setenv("CUDA_VISIBLE_DEVICES", rows[i].visible, 1);
        assert_int_equal(vg_cuda_driver.list(info, 3, &count), VG_OK);
        while (wanted < 3 && rows[i].absent[wanted])
            wanted++;
        if (count != wanted)
            fail_msg("%s: %zu devices, expected %zu", rows[i].machine, count, wanted);
        for (size_t d = 0; d < count; d++) {
            const char *expected = rows[i].absent[d], *got = info[d].absent;
            char name[32];
            snprintf(name, sizeof name, "cuda:%zu", d);
            assert_string_equal(info[d].name, name);
            if (strncmp(got, expected, strlen(expected)) != 0 || (!expected[0] && got[0]))
                fail_msg("%s: %s: \"%s\", expected \"%s\"", rows[i].machine, name, got, expected);
            if (strlen(got) + 1 >= sizeof info[d].absent)
                fail_msg("%s: the reason is cut off: %s", rows[i].machine, got);
        }
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
    machine_end();
}

static void test_list_counts_without_room(void **state)
{
    (void)state;
    size_t count = 0;
    machine_make("devices=2");
    assert_int_equal(vg_cuda_driver.list(NULL, 0, &count), VG_OK);
    assert_int_equal(count, 2);
    machine_end();
}

/* Whichever call fails, opening says why, or goes on without NVML; nothing stays behind. */
static void test_open_fails_at_every_call(void **state)
{
    (void)state;
    const vg_device_info info = {.name = "cuda:0"};
    uint64_t calls = 0;
    size_t failures = 0, silent = 0;
    for (uint64_t at = 0; at == 0 || at <= calls; at++) {
        vg_device *device = NULL;
        char words[64];
        snprintf(words, sizeof words, "fail=%llu", (unsigned long long)at);
        machine_make(words);
        vg_status status = vg_cuda_driver.open(&info, &plain, &device);
        if (at == 0)
            calls = emu_calls();
        if (status != VG_OK && strncmp(vg_reason(), "cuda", 4) != 0)
            fail_msg("call %llu: \"%s\"", (unsigned long long)at, vg_reason());
        failures += status != VG_OK;
        silent += at > 0 && status == VG_OK;
        vg_cuda_driver.close(device);
    }
    machine_end();
    assert_true(failures > 10);
    assert_true(silent < calls / 2);
}

static void test_open_on_a_lost_device(void **state)
{
    (void)state;
    const vg_device_info info = {.name = "cuda:0"};
    vg_device *device = NULL;
    machine_make("lose=9");
    assert_int_equal(vg_cuda_driver.open(&info, &plain, &device), VG_DEVICE_LOST);
    machine_end();
}

/* The kernels' code is asked for once, when a device is opened. */
static void test_no_kernel_image(void **state)
{
    (void)state;
    const vg_device_info info = {.name = "cuda:0"};
    bool seen = false;
    for (uint64_t at = 1; at < 16 && !seen; at++) {
        vg_device *device = NULL;
        char words[64];
        snprintf(words, sizeof words, "fail=%llu,with=%d", (unsigned long long)at,
                 (int)cudaErrorNoKernelImageForDevice);
        machine_make(words);
        vg_status status = vg_cuda_driver.open(&info, &plain, &device);
        seen = status == VG_UNSUPPORTED &&
               strstr(vg_reason(), "cuda:0: built for sm_80 sm_90 sm_100; this GPU is sm_90: ");
        vg_cuda_driver.close(device);
    }
    machine_end();
    assert_true(seen);
}

static void test_without_products(void **state)
{
    (void)state;
    const vg_device_info info = {.name = "cuda:0"};
    vg_device *device = NULL;
    machine_make("noproducts=1");
    assert_int_equal(vg_cuda_driver.open(&info, &plain, &device), VG_UNSUPPORTED);
    assert_non_null(strstr(vg_reason(), "libcublasLt.so"));
    machine_end();
}

static void test_telemetry(void **state)
{
    (void)state;
    vg_telemetry first, t;
    machine_make("");
    vg_device *device = opened(&plain);
    assert_int_equal(vg_cuda_driver.telemetry(device, &first), VG_OK);
    assert_int_equal(vg_cuda_driver.telemetry(device, &t), VG_OK);
    assert_true(t.clock_mhz > 100 && t.clock_mhz < 1e4);
    assert_true(t.power_w > 10 && t.power_w < 2000);
    assert_true(t.temperature_c > 0 && t.temperature_c < 120);
    assert_true(t.energy_j > first.energy_j);
    assert_string_equal(t.throttle, "power_cap");
    facts *f = calloc(1, sizeof *f);
    assert_int_equal(vg_cuda_driver.facts(device, keep, f), VG_OK);
    assert_string_equal(value_of(f, "gpu.clusters"), "2,1,0,0");
    assert_string_equal(value_of(f, "gpu.driver"), "580.65.06");
    assert_string_equal(value_of(f, "gpu.ecc"), "on");
    assert_string_equal(value_of(f, "gpu.power_limit_w"), "700");
    assert_string_equal(value_of(f, "gpu.pci_link_max"), "generation 5, 16 lanes");
    free(f);
    vg_cuda_driver.close(device);
    machine_end();
}

/* Whatever NVML refuses is unknown, and nothing else is lost. */
static void test_telemetry_refused(void **state)
{
    (void)state;
    machine_make("");
    vg_device *device = opened(&plain);
    const unsigned long long before = emu_calls();
    vg_cuda_driver.close(device);
    for (unsigned call = 1; call <= 5; call++) {
        vg_telemetry t;
        char words[64];
        snprintf(words, sizeof words, "fail=%llu,with=%d", before + call,
                 (int)cudaErrorNotPermitted);
        machine_make(words);
        device = opened(&plain);
        assert_int_equal(vg_cuda_driver.telemetry(device, &t), VG_OK);
        int unknown = isnan(t.clock_mhz) + isnan(t.power_w) + isnan(t.energy_j) +
                      isnan(t.temperature_c) + (t.throttle[0] == '\0');
        if (unknown != 1)
            fail_msg("call %u refused: %d values are unknown, expected 1", call, unknown);
        vg_cuda_driver.close(device);
    }
    machine_end();
}

static void test_without_nvml(void **state)
{
    (void)state;
    vg_telemetry t;
    machine_make("nonvml=1");
    vg_device *device = opened(&plain);
    assert_int_equal(vg_cuda_driver.telemetry(device, &t), VG_OK);
    assert_true(isnan(t.clock_mhz) && isnan(t.power_w));
    assert_true(isnan(t.energy_j) && isnan(t.temperature_c));
    assert_string_equal(t.throttle, "");
    facts *f = calloc(1, sizeof *f);
    assert_int_equal(vg_cuda_driver.facts(device, keep, f), VG_OK);
    assert_null(value_of(f, "gpu.driver"));
    assert_non_null(value_of(f, "gpu.name"));
    free(f);
    vg_cuda_driver.close(device);
    machine_end();
}

/* The second of two is opened as itself. */
static void test_second_device(void **state)
{
    (void)state;
    vg_device_info info[MOST];
    size_t count;
    vg_device *device;
    machine_make("devices=2");
    assert_int_equal(vg_cuda_driver.list(info, MOST, &count), VG_OK);
    assert_int_equal(vg_cuda_driver.open(&info[1], &plain, &device), VG_OK);
    assert_int_equal(device->ordinal, 1);
    assert_string_equal(device->name, "cuda:1");
    vg_cuda_driver.close(device);
    machine_end();
}

#endif

/* Without a GPU that can be used there is nothing to test. */
static void need_gpu(void)
{
    vg_device_info info[MOST];
    size_t count;
    if (vg_cuda_driver.list(info, MOST, &count) != VG_OK || info[0].absent[0]) {
        printf("skipped: %s: %s\n", info[0].name, info[0].absent);
        exit(77);
    }
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_applied),
        cmocka_unit_test(test_binding),
        cmocka_unit_test(test_flush_is_refused),
#if defined(VG_CUDA_EMULATED)
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_counts_without_room),
        cmocka_unit_test(test_open_fails_at_every_call),
        cmocka_unit_test(test_open_on_a_lost_device),
        cmocka_unit_test(test_no_kernel_image),
        cmocka_unit_test(test_without_products),
        cmocka_unit_test(test_telemetry),
        cmocka_unit_test(test_telemetry_refused),
        cmocka_unit_test(test_without_nvml),
        cmocka_unit_test(test_second_device),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
