/* Every kernel for the instruction set scalar. */
#include "simd/scalar.h"

#include "vg/elementary.h"

#include "kernels.inc"
