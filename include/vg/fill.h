/* The values of every input, weight and bias of a case: the same bits on every machine. */
#ifndef VG_FILL_H
#define VG_FILL_H

#include "vg/program.h"

/* Philox4x32-10 (Salmon et al. 2011): four words from a counter and a key. */
void vg_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Values of `tensor` (role INPUT, WEIGHT or BIAS) of the program's model, row-major rows × cols.
 * Element i comes from Philox with the seed as key and (i, hash of the tensor's name) as counter,
 * so that no other tensor, size or thread count changes it. Drawn in double, shaped gate by gate
 * (or piece by piece of a maxout), then rounded: x and weights to the model's dtype, h_0 to that of
 * y, the rest to FP32 at least. VG_NO_MEMORY; VG_INVALID for a tensor that is a result. */
vg_status vg_fill(const vg_program *program, const vg_tensor *tensor, double *out);

#endif
