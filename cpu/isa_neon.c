/* Every kernel for the instruction set neon. */
#include "simd/neon.h"

#include "simd/math.inc"

#include "kernels.inc"
