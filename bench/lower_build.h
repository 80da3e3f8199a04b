/* What the lowerings share: an arena that grows by windows, lists that grow by ops, and the dense
 * layer in every pass. While `counting` the lists stay empty and only sizes are summed. */
#ifndef VG_LOWER_BUILD_H
#define VG_LOWER_BUILD_H

#include "vg/lower.h"

typedef struct vg_builder {
    const vg_model *model;
    bool counting, profile;
    uint64_t piece;   /* steps a piece of EXACT */
    vg_status status; /* the first failure; every later call is without effect */
    uint64_t bytes, slots;
    vg_dtype storage, wide; /* of the model's own windows; of those that are never below FP32 */
    vg_program *program;
    uint32_t op_capacity, tensor_capacity, profile_capacity;
    vg_op spare; /* what is written while nothing is kept */
} vg_builder;

typedef struct vg_shape {
    uint32_t axes;
    uint64_t lengths[3];
} vg_shape;

/* A window with rows padded to 16 elements, 64-aligned. */
vg_mat vg_build_window(vg_builder *b, uint64_t rows, uint64_t cols, vg_dtype dtype);
/* The first of `count` consecutive slots. */
uint32_t vg_build_slots(vg_builder *b, uint64_t count);
/* A new op with its common fields set, valid until the next; never null. */
vg_op *vg_build_op(vg_builder *b, vg_op_kind kind, vg_pass pass, uint32_t layer);
/* A tensor named by `format` (printf). */
void vg_build_tensor(vg_builder *b, vg_role role, uint32_t layer, vg_mat mat, vg_shape shape,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));
void vg_build_measure(vg_builder *b, vg_pass pass, uint32_t layer, vg_mat window,
                      uint64_t segment_rows, uint32_t slot);
/* A profile's plain slots, `steps` of them (0: one), from the returned one on; as many of the exact
 * reading follow them. */
uint32_t vg_build_profile(vg_builder *b, vg_profile profile);

/* y, target [rows, cols] -> the new window dy, with tensors target and dy of that shape. */
vg_mat vg_build_loss(vg_builder *b, vg_mat y, vg_shape shape);
/* CLIP over every dweight and dbias, where the model asks for it. */
void vg_build_clip(vg_builder *b);

/* A dense layer with its own weights: windows of forward and backward, and its slots. */
typedef struct vg_dense_layer {
    uint32_t layer;
    vg_activation activation;
    bool residual;
    vg_mat x, weight, bias, y, a, winner; /* a: the activation's output, y where no skip */
    vg_mat dy, dz, dx, dweight, dbias;
    uint32_t exponent, dweight_slot, dbias_slot; /* plain; exact is the next */
} vg_dense_layer;

/* Weights of a layer as tensors: weight_<suffix>, bias_<suffix> and their gradients. */
void vg_build_weights(vg_builder *b, uint32_t layer, uint64_t rows, uint64_t cols, const char *kind,
                      const char *suffix, vg_mat *weight, vg_mat *bias, vg_mat *dweight,
                      vg_mat *dbias);
/* Forward, from d->layer, activation, residual and x. */
void vg_build_dense_fwd(vg_builder *b, vg_dense_layer *d, uint64_t out, const char *suffix);
/* Backward by the data, from d->dy; allocates dz and dx. */
void vg_build_dense_bwd_data(vg_builder *b, vg_dense_layer *d);
void vg_build_dense_bwd_weights(vg_builder *b, vg_pass pass, uint32_t layer, vg_mat dz, vg_mat x,
                                vg_mat dweight, vg_mat dbias);
/* PROBE: profiles and plain readings of dweight and dbias; reserves the layer's exponent slot. */
void vg_build_dense_probe(vg_builder *b, vg_dense_layer *d);
/* EXACT: one piece, from the signal dy with its exponent's slot; *scaled: the rescaled dy. The
 * exponent of all that comes out is that of d->exponent. Returns dx. */
vg_mat vg_build_dense_exact(vg_builder *b, const vg_dense_layer *d, vg_mat dy, uint32_t exponent,
                            vg_mat *scaled);

/* A recurrent layer: windows of forward and backward, and its slots. */
typedef struct vg_recurrent_layer {
    uint32_t layer;
    vg_mat x, preact, reserve, y, state0[VG_MAX_STATES];
    vg_mat history; /* h_{t-1} of every step: the rows of state0[0], then those of y but the last */
    vg_mat weight_ih, weight_hh, bias_ih, bias_hh;
    vg_mat dweight_ih, dweight_hh, dbias_ih, dbias_hh;
    vg_mat dy, dgates_x, dgates_h, dstate0[VG_MAX_STATES], dx;
    uint32_t exponents, gates_exponent;         /* a slot a piece; of all pieces brought to one */
    uint32_t dh_slot, dc_slot, weight_slots[4]; /* plain: see vg_build_profile() */
} vg_recurrent_layer;

/* A SCAN_BWD op of a layer, all steps, with dgates, dstate0, dh and dc to be filled in. */
vg_op *vg_build_scan_bwd(vg_builder *b, const vg_recurrent_layer *r, vg_pass pass);
/* dx [T·B, I] in a new window from dgates_x. */
vg_mat vg_build_scan_dx(vg_builder *b, const vg_recurrent_layer *r, vg_mat dgates_x, vg_pass pass);
/* PROBE and EXACT of all layers and of the read-out (null: none). */
void vg_build_recurrent_probe(vg_builder *b, vg_recurrent_layer *layers, vg_dense_layer *readout);

void vg_lower_stack(vg_builder *b);
void vg_lower_recurrent(vg_builder *b);

#endif
