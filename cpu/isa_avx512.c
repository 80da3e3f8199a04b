/* Every kernel for the instruction set avx512. */
#include "simd/avx512.h"

#include "vg/elementary.h"

#include "kernels.inc"
