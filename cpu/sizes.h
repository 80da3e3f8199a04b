/* Arithmetic on sizes and counts. */
#ifndef VG_SIZES_H
#define VG_SIZES_H

#include <stddef.h>

static inline size_t vg_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t vg_larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* How many parts of `most` it takes for all of `count`. */
static inline size_t vg_parts(size_t count, size_t most)
{
    return (count + most - 1) / most;
}

static inline size_t vg_round_up(size_t n, size_t unit)
{
    return vg_parts(n, unit) * unit;
}

#endif
