/* What the dense layers in bf16 share, forward and backward. A product leaves a block of floats in
 * cache, and what follows it (bias, activation, a skip) rounds once on the way to the window. */
#ifndef VG_BF16_DENSE_H
#define VG_BF16_DENSE_H

#include "bf16_ops.h"
#include "sizes.h"

/* A block of the batch, and of the columns that are computed at a time; panels of B in vectors. */
enum { ROWS = 128, COLS = 48, VECTORS = 2 };

/* The next floats of `memory`; null where that is null and only sizes are asked for. */
static inline float *vg_bf16_take(float *memory, size_t *used, size_t floats)
{
    float *at = memory ? memory + *used : NULL;
    *used += vg_round_up(floats, 16);
    return at;
}

#endif
