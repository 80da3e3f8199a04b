/* One row an instruction set, best last. */
#include "cpu_features.h"

static const vg_feature features[] = {
    {"scalar", &vg_kernels_scalar},
#if defined(__x86_64__)
    {"avx2", &vg_kernels_avx2},
    {"avx512", &vg_kernels_avx512},
#elif defined(__aarch64__)
    {"neon", &vg_kernels_neon},
#endif
};

size_t vg_features_count(void)
{
    return sizeof features / sizeof *features;
}

const vg_feature *vg_features_at(size_t index)
{
    return &features[index];
}

/* The builtins look at what the operating system saves, too. */
const char *vg_features_missing(const vg_feature *feature)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (feature->kernels == &vg_kernels_avx2 &&
        !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return "this processor has no AVX2 with FMA";
    if (feature->kernels == &vg_kernels_avx512 &&
        !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")))
        return "this processor has no AVX-512 F, DQ, BW and VL";
#else
    (void)feature;
#endif
    return "";
}
