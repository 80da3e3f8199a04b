/* Programs in bf16 on the CPU: what an instruction set brings for them, and the table of their ops.
 *
 * A product reads its operands two elements of K at a time: a pair is 32 bits, the lower half the
 * even k, and one instruction multiplies 16 pairs and adds both products to 16 floats. To
 * everything that moves, packs or tiles operands (gemm.h) a pair is an element like a float, and K
 * counts pairs. Where K is odd the last pair of a row has the row's padding for its upper half,
 * which is zero from the load of a program on, or a zero that packing put there. */
#ifndef VG_BF16_H
#define VG_BF16_H

#include "gemm_kernels.h"
#include "vg/dtype.h"

#include <string.h>

typedef uint16_t vg_bf16;
typedef struct vg_ops vg_ops;

static inline double vg_bf16_value(vg_bf16 bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

/* Rounded to nearest even. */
static inline vg_bf16 vg_bf16_of(double value)
{
    const float rounded = (float)vg_dtype_round(VG_BF16, value);
    uint32_t wide;
    memcpy(&wide, &rounded, sizeof wide);
    return (vg_bf16)(wide >> 16);
}

/* Matrices as in kernels.h. The conversion to bf16 rounds to nearest even; it and the products take
 * subnormal numbers for zero and return none, whatever the thread's mode is. */
typedef struct vg_bf16_kernels {
    const char *name;            /* of what multiplies: "vdpbf16ps" "amx" */
    const vg_gemm_kernels *gemm; /* of pairs: its floats are pairs, but for C */
    bool along;                  /* its tiles are slow where A's rows do not lie along K */
    /* Before a thread's first tile and after its last; null: nothing to do. */
    void (*enter)(void);
    void (*leave)(void);
    /* `rounds` rounds of independent products of pairs in registers; returns the FLOP done. */
    double (*dot_burst)(uint64_t rounds, float *sink);
    void (*widen)(size_t rows, size_t cols, const vg_bf16 *from, size_t from_row, float *to,
                  size_t to_row);
    void (*narrow)(size_t rows, size_t cols, const float *from, size_t from_row, vg_bf16 *to,
                   size_t to_row);
    /* Rows 2p and 2p + 1 become row p of pairs, to[p·to_row + j]; a zero for a row beyond the last.
     * sums (null: none): += the columns' sums, one pair after the other. */
    void (*pair_rows)(size_t rows, size_t cols, const vg_bf16 *from, size_t from_row, float *to,
                      size_t to_row, float *sums);
} vg_bf16_kernels;

extern const vg_bf16_kernels vg_bf16_kernels_avx512;
extern const vg_bf16_kernels vg_bf16_kernels_amx;

extern const vg_ops vg_bf16_ops;

#endif
