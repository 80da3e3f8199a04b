/* Every kernel for the instruction set neon. */
#include "simd/neon.h"

#include "vg/elementary.h"

#include "kernels.inc"
