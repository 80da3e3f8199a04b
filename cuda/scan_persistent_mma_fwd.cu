/* Regime M forward on tensor cores. */
#include "scan_persistent_fwd.cuh"
#include "scan_persistent_mma.cuh"

#define WAY fwd
#include "scan_persistent_mma_table.cuh"
