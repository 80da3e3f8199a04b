/* Random numbers that depend on nothing but (seed, tensor, element): no libm function whose last
 * bit differs between machines takes part. */
#ifndef VG_RANDOM_H
#define VG_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "vg/status.h"

/* A stream of independent numbers, one an index. */
typedef struct vg_stream {
    uint64_t seed, tensor;
} vg_stream;

/* The stream of the tensor of that name. */
vg_stream vg_stream_make(uint64_t seed, const char *tensor);

/* U(0, 1), in steps of 2^-52, both ends left out. */
double vg_random_uniform(vg_stream stream, uint64_t index);
/* N(0, 1). */
double vg_random_normal(vg_stream stream, uint64_t index);

/* The inverse of the normal distribution function, 0 < p < 1: algorithm AS 241, PPND16 (Wichura
 * 1988), relative error about 1e-16. */
double vg_normal_quantile(double p);

/* Replaces a matrix [rows, cols] of independent N(0, 1) by one that is uniform among those with
 * orthonormal rows, or columns where there are more rows (Stewart 1980: the Householder QR of a
 * Gaussian matrix with the signs of R's diagonal taken into Q). VG_NO_MEMORY. */
vg_status vg_random_orthogonal(double *matrix, size_t rows, size_t cols);

#endif
