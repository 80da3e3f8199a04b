/* The kernel tables of the instruction sets that this machine runs; a null table ends. */
#ifndef VG_TESTS_ISA_TABLES_H
#define VG_TESTS_ISA_TABLES_H

#include "cpu_features.h"

static inline const vg_isa *isa_tables(void)
{
    static vg_isa usable[VG_ISA_COUNT + 1];
    vg_isa all[VG_ISA_COUNT];
    size_t count = 0;
    vg_isa_list(all);
    for (size_t i = 0; i < VG_ISA_COUNT; i++)
        if (!all[i].absent[0])
            usable[count++] = all[i];
    return usable;
}

#endif
