/* Every kernel for the instruction set scalar. */
#include "simd/scalar.h"

#include "simd/math.inc"

#include "kernels.inc"
