/* Every kernel for the instruction set avx512. */
#include "simd/avx512.h"

#include "simd/math.inc"

#include "kernels.inc"
