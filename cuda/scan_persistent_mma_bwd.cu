/* Regime M backward on tensor cores. */
#include "scan_persistent_bwd.cuh"
#include "scan_persistent_mma.cuh"

#define WAY bwd
#include "scan_persistent_mma_table.cuh"
