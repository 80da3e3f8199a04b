/* Counts that are divided, rounded up and compared; the larger and the smaller of two numbers. */
#ifndef VG_CUDA_WHOLE_NUMBERS_H
#define VG_CUDA_WHOLE_NUMBERS_H

#include <stdint.h>

/* b > 0. */
static inline uint64_t vg_divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}
/* To a multiple of b. */
static inline uint64_t vg_round_up(uint64_t a, uint64_t b)
{
    return vg_divide_up(a, b) * b;
}
static inline uint64_t vg_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t vg_most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline double vg_smaller(double a, double b)
{
    return a < b ? a : b;
}
static inline double vg_larger(double a, double b)
{
    return a > b ? a : b;
}

#endif
