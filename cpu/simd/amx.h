/* The vocabulary of AMX tiles: eight registers of at most 16 rows of 64 bytes, whose shapes a
 * thread configures. Semantics: Intel 64 and IA-32 Architectures Software Developer's Manual,
 * volume 2, LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBF16PS, TILERELEASE. Tiles are named by
 * literal numbers, for they are part of the instruction. The tests have the same vocabulary in
 * plain C. */
#ifndef VG_SIMD_AMX_H
#define VG_SIMD_AMX_H

#include "amx_shapes.h"

#include <immintrin.h>

/* Neither gcc's load nor its configuration says that it reads memory. */
#define AMX_FENCE() __asm__ volatile("" ::: "memory")

#define AMX_CONFIGURE(shapes)                                                                      \
    do {                                                                                           \
        AMX_FENCE();                                                                               \
        _tile_loadconfig(shapes);                                                                  \
    } while (0)
#define AMX_RELEASE() _tile_release()

/* row_bytes: from one row to the next. */
#define AMX_LOAD(tile, from, row_bytes)                                                            \
    do {                                                                                           \
        AMX_FENCE();                                                                               \
        _tile_loadd(tile, from, row_bytes);                                                        \
    } while (0)
#define AMX_STORE(tile, to, row_bytes) _tile_stored(tile, to, row_bytes)
#define AMX_ZERO(tile)                 _tile_zero(tile)
/* sum[m, n] += Σ_k a[m, k] b[k, n] over pairs of bf16. */
#define AMX_DOT(sum, a, b) _tile_dpbf16ps(sum, a, b)

#endif
