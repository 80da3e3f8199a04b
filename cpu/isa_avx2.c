/* Every kernel for the instruction set avx2. */
#include "simd/avx2.h"

#include "simd/math.inc"

#include "kernels.inc"
