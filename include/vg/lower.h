/* From a model to its program: a pure function. */
#ifndef VG_LOWER_H
#define VG_LOWER_H

#include "vg/program.h"

typedef struct vg_lowering {
    bool oracle;          /* FP64 storage throughout */
    bool profile;         /* with PROBE and EXACT */
    uint64_t exact_piece; /* steps a piece of EXACT; 0: 1 up to T = 4,096, else 16 */
} vg_lowering;

/* The model is complete (vg_model_complete). VG_NO_MEMORY, also where a
 * size overflows: no machine has that much. */
vg_status vg_lower(const vg_model *model, const vg_lowering *how, vg_program **out);

/* The arena's bytes without building the lists; for the plan. */
vg_status vg_lower_bytes(const vg_model *model, const vg_lowering *how, uint64_t *out);

#endif
