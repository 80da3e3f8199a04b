/* A program whose recurrent layers run in pieces of their steps: a layer's product of a piece
 * beside the layer's recurrence over the piece before, and the layers one behind the other as a
 * wavefront. The list that is run is another one than the program's; what it computes is the same.
 */
#ifndef VG_CUDA_PIECES_H
#define VG_CUDA_PIECES_H

#include "cuda_device.h"
#include "cuda_schedule.h"

typedef struct vg_pieces {
    uint32_t count;     /* of a sequence; 1: the program as it is */
    vg_program program; /* its ops are its own where there are several pieces */
    uint8_t *lanes;     /* of its ops; null: all on the main lane */
} vg_pieces;

/* As many pieces as the device was asked for, at most one a step, or, left to itself, as many as
 * the cost model finds fastest: they are its predictions. Recurrences that need the whole chip (M)
 * stay on one lane: two of them, each there in part, would wait for ever. The caller frees *out by
 * vg_pieces_free(). VG_NO_MEMORY; VG_UNSUPPORTED where a scan has no regime. */
vg_status vg_pieces_make(vg_device *device, const vg_program *program, vg_pieces *out);
void vg_pieces_free(vg_pieces *pieces);

/* cuda_pieces_cost.c: the number of pieces (powers of two, 1 to 32) that is predicted to be the
 * fastest for a forward and a backward pass. */
vg_status vg_pieces_choose(vg_device *device, const vg_program *program, uint32_t *out);

/* Whether an op is a layer's recurrence, or the product before or behind it, that pieces are made
 * of: of the timed passes alone. */
bool vg_pieces_cuts(const vg_program *program, const vg_op *op);

#endif
