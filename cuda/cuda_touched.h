/* Which ops of a program must come after which, found from the arena alone. */
#ifndef VG_CUDA_TOUCHED_H
#define VG_CUDA_TOUCHED_H

#include "cuda_schedule.h"

/* Ops of a set in the program's order, and the lane of each. */
typedef struct vg_order {
    const vg_program *program;
    const uint32_t *ops;
    const uint8_t *lanes; /* of the set: [count] */
    uint32_t count;
} vg_order;

/* after[i][l]: the position, from 1, of the last op of lane l that op i of the set must come after;
 * 0: none. `after` comes zeroed. VG_NO_MEMORY. */
vg_status vg_order_find(const vg_order *order, uint32_t (*after)[VG_LANES]);

#endif
