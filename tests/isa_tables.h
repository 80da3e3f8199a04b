/* The kernel tables of the instruction sets that this machine runs; a null table ends. */
#ifndef VG_TESTS_ISA_TABLES_H
#define VG_TESTS_ISA_TABLES_H

#include "kernels.h"

typedef struct isa_table {
    const char *name;
    const vg_kernels *kernels;
} isa_table;

static inline const isa_table *isa_tables(void)
{
    static isa_table tables[4];
    size_t count = 0;
    tables[count++] = (isa_table){"scalar", &vg_kernels_scalar};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[count++] = (isa_table){"avx2", &vg_kernels_avx2};
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        tables[count++] = (isa_table){"avx512", &vg_kernels_avx512};
#elif defined(__aarch64__)
    tables[count++] = (isa_table){"neon", &vg_kernels_neon};
#endif
    tables[count] = (isa_table){0};
    return tables;
}

#endif
