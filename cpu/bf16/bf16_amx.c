/* The kernels of bf16 for AMX, whose products are in tiles. They were never run on a processor that
 * has them, and so not timed: what is proved is what bf16_amx.inc makes of tiles of the tests' own,
 * which follow the manual. */
#include "simd/amx.h"

#include "bf16_amx.inc"

const vg_bf16_kernels vg_bf16_kernels_amx = AMX_KERNELS;
