/* Which instruction sets this build has kernels for, which of them this processor and operating
 * system run, and why not the others. */
#ifndef VG_CPU_FEATURES_H
#define VG_CPU_FEATURES_H

#include "bf16/bf16.h"
#include "kernels.h"

#include <stdbool.h>

/* What the processor says of itself, and the registers that the operating system saves. */
typedef struct vg_features {
    bool x86_64, aarch64;
    bool osxsave, avx, avx2, fma, avx512f, avx512dq, avx512bw, avx512vl, avx512bf16, amx_tile,
        amx_bf16;
    uint64_t xcr0;        /* 0 where osxsave is false */
    bool tiles_permitted; /* by the system, to this process */
    bool asimd;
} vg_features;

typedef struct vg_isa {
    const char *name;            /* "scalar" "avx2" "avx512" "neon" */
    const vg_kernels *kernels;   /* null where this build has none */
    char absent[96];             /* why it cannot be used here; "" = usable */
    const vg_bf16_kernels *bf16; /* null: it does not compute in bf16 here */
    const char *bf16_absent;     /* and why */
    const vg_bf16_kernels *amx;  /* the same in AMX tiles */
    const char *amx_absent;
} vg_isa;

enum { VG_ISA_COUNT = 4 };

/* Reads the running machine. Where it has AMX, asks the system for leave to use the tiles: that is
 * the process's from then on, and no state is saved for a thread that uses none. */
vg_features vg_features_read(void);

/* Writes into `absent` why a machine with these features cannot run the instruction set ("" where
 * it can); the name is one of the above. */
void vg_features_judge(const vg_features *features, const char *name, char *absent, size_t size);

/* Why a machine with these features does not compute in bf16 with the instruction set; null where
 * it does, if it can run it at all. */
const char *vg_features_no_bf16(const vg_features *features, const char *name);
/* The same of AMX, for an instruction set that computes in bf16. */
const char *vg_features_no_amx(const vg_features *features);

/* All instruction sets, each better than the ones before it, so that the last usable one is this
 * machine's best; scalar is always usable. */
void vg_isa_list(vg_isa out[VG_ISA_COUNT]);

#endif
