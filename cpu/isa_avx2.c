/* Every kernel for the instruction set avx2. */
#include "simd/avx2.h"

#include "vg/elementary.h"

#include "kernels.inc"
