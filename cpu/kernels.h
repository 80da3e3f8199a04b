/* The vector loops of the CPU devices, one table per instruction set, built from kernels.inc. */
#ifndef VG_KERNELS_H
#define VG_KERNELS_H

#include "gemm_kernels.h"
#include "vg/program.h"

typedef struct vg_kernels {
    const char *name; /* "scalar" "avx2" "avx512" "neon" */
    uint32_t lanes;   /* floats a vector */
    const vg_gemm_kernels *gemm;
} vg_kernels;

/* Only those of the target architecture are linked. */
extern const vg_kernels vg_kernels_scalar, vg_kernels_avx2, vg_kernels_avx512, vg_kernels_neon;

#endif
