/* The instruction sets that this architecture's kernels are built for, worst first, and what this
 * machine lacks of each. */
#ifndef VG_CPU_FEATURES_H
#define VG_CPU_FEATURES_H

#include "kernels.h"

typedef struct vg_feature {
    const char *name; /* "scalar" "avx2" "avx512" "neon" */
    const vg_kernels *kernels;
} vg_feature;

size_t vg_features_count(void);
const vg_feature *vg_features_at(size_t index);

/* "" where this machine runs it, else what is missing. */
const char *vg_features_missing(const vg_feature *feature);

#endif
