/* Processor features by CPUID and XGETBV (Intel SDM volume 1, 13.2 and 14.3), or the auxiliary
 * vector. AMX besides needs the system's leave (Linux, Documentation/arch/x86/xstate.rst). */
#include "cpu_features.h"

#include <stdio.h>
#include <string.h>

enum {
    XCR0_AVX = 0x06,    /* SSE and AVX registers */
    XCR0_AVX512 = 0xe6, /* and masks, upper halves, upper registers */
    XCR0_TILES = 0x60000
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LEAF7_AMX_BF16 = 1 << 22,
    LEAF7_AMX_TILE = 1 << 24,
    REQUEST_STATE = 0x1023, /* ARCH_REQ_XCOMP_PERM */
    STATE_TILEDATA = 18
};

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

vg_features vg_features_read(void)
{
    vg_features f = {.x86_64 = true};
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        f.fma = c & bit_FMA;
        f.osxsave = c & bit_OSXSAVE;
        f.avx = c & bit_AVX;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        f.avx2 = b & bit_AVX2;
        f.avx512f = b & bit_AVX512F;
        f.avx512dq = b & bit_AVX512DQ;
        f.avx512bw = b & bit_AVX512BW;
        f.avx512vl = b & bit_AVX512VL;
        f.amx_bf16 = d & LEAF7_AMX_BF16;
        f.amx_tile = d & LEAF7_AMX_TILE;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        f.avx512bf16 = a & bit_AVX512BF16;
    if (f.osxsave)
        f.xcr0 = read_xcr0();
    if (f.amx_tile && (f.xcr0 & XCR0_TILES) == XCR0_TILES)
        f.tiles_permitted = syscall(SYS_arch_prctl, REQUEST_STATE, STATE_TILEDATA) == 0;
    return f;
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

vg_features vg_features_read(void)
{
    return (vg_features){.aarch64 = true, .asimd = getauxval(AT_HWCAP) & HWCAP_ASIMD};
}
#else
vg_features vg_features_read(void)
{
    return (vg_features){0};
}
#endif

/* "the processor has no A, B" over the features that are false. */
static void name_missing(char *absent, size_t size, size_t count, const char *const *names,
                         const bool *has)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        if (!has[i] && length < size)
            length += (size_t)snprintf(absent + length, size - length, "%s%s",
                                       length ? ", " : "the processor has no ", names[i]);
}

static void judge_avx2(const vg_features *f, char *absent, size_t size)
{
    static const char *const names[] = {"AVX", "AVX2", "FMA"};
    name_missing(absent, size, 3, names, (bool[]){f->avx, f->avx2, f->fma});
    if (!absent[0] && (f->xcr0 & XCR0_AVX) != XCR0_AVX)
        snprintf(absent, size, "the operating system does not save the AVX registers");
}

static void judge_avx512(const vg_features *f, char *absent, size_t size)
{
    static const char *const names[] = {"FMA", "AVX-512F", "AVX-512DQ", "AVX-512BW", "AVX-512VL"};
    name_missing(absent, size, 5, names,
                 (bool[]){f->fma, f->avx512f, f->avx512dq, f->avx512bw, f->avx512vl});
    if (!absent[0] && (f->xcr0 & XCR0_AVX512) != XCR0_AVX512)
        snprintf(absent, size, "the operating system does not save the AVX-512 registers");
}

void vg_features_judge(const vg_features *features, const char *name, char *absent, size_t size)
{
    absent[0] = '\0';
    bool neon = strcmp(name, "neon") == 0;
    if (strcmp(name, "scalar") == 0)
        return;
    if (neon ? !features->aarch64 : !features->x86_64)
        snprintf(absent, size, "needs an %s processor", neon ? "AArch64" : "x86-64");
    else if (neon && !features->asimd)
        snprintf(absent, size, "the processor has no Advanced SIMD");
    else if (strcmp(name, "avx2") == 0)
        judge_avx2(features, absent, size);
    else if (strcmp(name, "avx512") == 0)
        judge_avx512(features, absent, size);
}

const char *vg_features_no_bf16(const vg_features *features, const char *name)
{
    if (strcmp(name, "avx512") != 0)
        return "of the CPU devices only cpu.avx512 computes in it";
    return features->avx512bf16 ? NULL : "the processor has no AVX512_BF16";
}

const char *vg_features_no_amx(const vg_features *features)
{
    if (!features->amx_tile || !features->amx_bf16)
        return "the processor has no AMX-BF16";
    if ((features->xcr0 & XCR0_TILES) != XCR0_TILES)
        return "the operating system does not save the AMX tiles";
    return features->tiles_permitted
               ? NULL
               : "the operating system does not permit AMX tiles to this process";
}

void vg_isa_list(vg_isa out[VG_ISA_COUNT])
{
    static const vg_isa all[VG_ISA_COUNT] = {
        {.name = "scalar", .kernels = &vg_kernels_scalar},
#if defined(__aarch64__)
        {.name = "avx2"},
        {.name = "avx512"},
        {.name = "neon", .kernels = &vg_kernels_neon},
#elif defined(__x86_64__)
        {.name = "neon"},
        {.name = "avx2", .kernels = &vg_kernels_avx2},
        {.name = "avx512",
         .kernels = &vg_kernels_avx512,
         .bf16 = &vg_bf16_kernels_avx512,
         .amx = &vg_bf16_kernels_amx},
#else
        {.name = "neon"},
        {.name = "avx2"},
        {.name = "avx512"},
#endif
    };
    vg_features features = vg_features_read();
    for (size_t i = 0; i < VG_ISA_COUNT; i++) {
        out[i] = all[i];
        vg_features_judge(&features, out[i].name, out[i].absent, sizeof out[i].absent);
        out[i].bf16_absent = vg_features_no_bf16(&features, out[i].name);
        if (out[i].bf16_absent)
            out[i].bf16 = NULL;
        out[i].amx_absent = out[i].bf16 ? vg_features_no_amx(&features) : out[i].bf16_absent;
        if (out[i].amx_absent)
            out[i].amx = NULL;
    }
}
