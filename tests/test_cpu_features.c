/* Which instruction sets a machine can run, and the words where it cannot. */
#include "cpu_features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#define AVX2_MACHINE                                                                               \
    .x86_64 = true, .osxsave = true, .avx = true, .avx2 = true, .fma = true, .xcr0 = 0x07
#define AVX512_MACHINE                                                                             \
    AVX2_MACHINE, .avx512f = true, .avx512dq = true, .avx512bw = true, .avx512vl = true

static const struct {
    vg_features features;
    const char *isa, *absent;
} table[] = {
    {{0}, "scalar", ""},
    {{.x86_64 = true}, "neon", "needs an AArch64 processor"},
    {{.aarch64 = true}, "avx512", "needs an x86-64 processor"},
    {{.aarch64 = true, .asimd = true}, "neon", ""},
    {{.aarch64 = true}, "neon", "the processor has no Advanced SIMD"},
    {{AVX2_MACHINE}, "avx2", ""},
    {{.x86_64 = true}, "avx2", "the processor has no AVX, AVX2, FMA"},
    {{.x86_64 = true, .osxsave = true, .avx = true, .fma = true, .xcr0 = 7},
     "avx2",
     "the processor has no AVX2"},
    {{.x86_64 = true, .avx = true, .avx2 = true, .fma = true},
     "avx2",
     "the operating system does not save the AVX registers"},
    {{AVX2_MACHINE}, "avx512", "the processor has no AVX-512F, AVX-512DQ, AVX-512BW, AVX-512VL"},
    {{AVX512_MACHINE}, "avx512", "the operating system does not save the AVX-512 registers"},
};

static void test_judgement(void **state)
{
    (void)state;
    char absent[96];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        vg_features_judge(&table[i].features, table[i].isa, absent, sizeof absent);
        assert_string_equal(absent, table[i].absent);
    }
    vg_features whole = {AVX512_MACHINE};
    whole.xcr0 = 0xe7;
    vg_features_judge(&whole, "avx512", absent, sizeof absent);
    assert_string_equal(absent, "");
    vg_features_judge(&table[6].features, "avx2", absent, 8);
    assert_string_equal(absent, "the pro");
}

/* bf16 takes one instruction set and one feature more. */
static void test_bf16(void **state)
{
    (void)state;
    vg_features whole = {AVX512_MACHINE};
    whole.avx512bf16 = false;
    assert_string_equal(vg_features_no_bf16(&whole, "avx512"), "the processor has no AVX512_BF16");
    whole.avx512bf16 = true;
    assert_null(vg_features_no_bf16(&whole, "avx512"));
    assert_non_null(strstr(vg_features_no_bf16(&whole, "avx2"), "cpu.avx512"));
}

/* AMX takes the processor, the system's saving of its registers, and the system's leave. */
static void test_amx(void **state)
{
    (void)state;
    vg_features f = {AVX512_MACHINE, .avx512bf16 = true};
    f.xcr0 = 0x600e7;
    f.tiles_permitted = true;
    assert_string_equal(vg_features_no_amx(&f), "the processor has no AMX-BF16");
    f.amx_bf16 = true;
    assert_string_equal(vg_features_no_amx(&f), "the processor has no AMX-BF16");
    f.amx_tile = true;
    assert_null(vg_features_no_amx(&f));
    f.tiles_permitted = false;
    assert_non_null(strstr(vg_features_no_amx(&f), "does not permit AMX tiles"));
    f.tiles_permitted = true;
    for (unsigned bit = 17; bit <= 18; bit++) {
        f.xcr0 = 0x600e7 & ~(UINT64_C(1) << bit);
        assert_non_null(strstr(vg_features_no_amx(&f), "does not save the AMX tiles"));
    }
    f = vg_features_read();
    assert_true(!f.tiles_permitted || f.amx_tile);
}

/* Usable tables are linked and say the name they stand under. */
static void test_this_machine(void **state)
{
    (void)state;
    vg_isa isa[VG_ISA_COUNT];
    vg_isa_list(isa);
    assert_string_equal(isa[0].name, "scalar");
    assert_string_equal(isa[0].absent, "");
    for (size_t i = 0; i < VG_ISA_COUNT; i++) {
        if (isa[i].absent[0])
            continue;
        const vg_kernels *kernels = isa[i].kernels;
        assert_non_null(kernels);
        assert_string_equal(kernels->name, isa[i].name);
        assert_true(kernels->gemm->lanes == kernels->lanes);
        assert_true(!isa[i].bf16 == (isa[i].bf16_absent != NULL));
        assert_true(!isa[i].amx == (isa[i].amx_absent != NULL));
        assert_true(isa[i].bf16 || !isa[i].amx);
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
    assert_int_equal(!isa[2].absent[0],
                     __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(!isa[3].absent[0],
                     __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_amx),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
