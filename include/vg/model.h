/* What is measured: one model with its data, as a case's name says it. Pure description. */
#ifndef VG_MODEL_H
#define VG_MODEL_H

#include "vg/dtype.h"
#include "vg/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VG_CELL(id, gates, states, kept, differ, activation, forget) VG_##id,
typedef enum vg_model_kind {
    VG_stack,
#include "vg/cells.def"
    VG_MODEL_COUNT
} vg_model_kind;
#undef VG_CELL

#define VG_ACTIVATION(id, stack, rnn, bound, kink) VG_##id,
typedef enum vg_activation {
#include "vg/activations.def"
    VG_ACTIVATION_COUNT
} vg_activation;
#undef VG_ACTIVATION

enum { VG_MAX_STATES = 2, VG_MAX_GATES = 4, VG_MAX_KEPT = 4 };

/* The largest sizes of a model, inclusive; the smallest is 1 (output: 0, pieces: 2, seed: 0). */
enum {
    VG_MAX_DEPTH = 65536,
    VG_MAX_WIDTH = 65536, /* input and output too */
    VG_MAX_BATCH = 65536,
    VG_MAX_SEQ_LEN = 16777216,
    VG_MAX_PIECES = 64
};
#define VG_MAX_SEED UINT32_MAX

typedef struct vg_cell_info {
    const char *name;
    uint32_t gates, states, kept;
    bool gates_differ, takes_activation;
    int32_t forget_gate; /* -1: none */
} vg_cell_info;

typedef struct vg_activation_info {
    const char *name;
    bool in_stack, in_rnn, kink;
    double bound; /* on |f'| */
} vg_activation_info;

/* The tables; a cell's kind is not VG_stack. */
const vg_cell_info *vg_cell_find(vg_model_kind kind);
const vg_activation_info *vg_activation_find(vg_activation activation);
const char *vg_model_kind_name(vg_model_kind kind);

/* X(enumerator, name, smallest and largest number of parameters) */
#define VG_INITIALISERS(X)                                                                         \
    X(VG_INIT_XAVIER, "xavier", 0, 0)                                                              \
    X(VG_INIT_HE, "he", 0, 0)                                                                      \
    X(VG_INIT_LECUN, "lecun", 0, 0)                                                                \
    X(VG_INIT_NORMAL, "normal", 1, 2)                                                              \
    X(VG_INIT_ORTHOGONAL, "orthogonal", 0, 1)                                                      \
    X(VG_INIT_IDENTITY, "identity", 0, 1)                                                          \
    X(VG_INIT_SPECTRAL, "spectral", 1, 1)                                                          \
    X(VG_INIT_UNIFORM, "uniform", 0, 0)

#define VG_INIT_ENUMERATOR(id, name, least, most) id,
typedef enum vg_init_kind { VG_INITIALISERS(VG_INIT_ENUMERATOR) VG_INIT_COUNT } vg_init_kind;
#undef VG_INIT_ENUMERATOR

/* a: sigma_w, gain or spectral radius (gain 1 where not given); b: sigma_b. */
typedef struct vg_init {
    vg_init_kind kind;
    double a, b;
} vg_init;

typedef enum vg_loss { VG_LOSS_MSE, VG_LOSS_ONES, VG_LOSS_RANDOM, VG_LOSS_COUNT } vg_loss;
typedef enum vg_loss_at { VG_LOSS_AT_LAST, VG_LOSS_AT_ALL, VG_LOSS_AT_COUNT } vg_loss_at;
typedef enum vg_input { VG_X_NORMAL, VG_X_ABS, VG_X_ZERO, VG_X_ONES, VG_X_COUNT } vg_input;

/* Every field is meaningful after vg_model_complete(); a field that does not concern the kind
 * holds its default, so that two equal cases are equal structs, field by field. */
typedef struct vg_model {
    vg_model_kind kind;
    vg_activation activation;        /* of the hidden layers; lstm, gru: identity */
    vg_activation output_activation; /* of the read-out, or else of a stack's last layer */
    vg_init init;
    vg_dtype dtype;
    uint32_t depth, width, input, output; /* output 0: no read-out */
    uint32_t batch;
    uint64_t seq_len; /* 1 for a stack */
    bool residual;
    double clip_norm;   /* 0: off */
    double forget_bias; /* NaN: as drawn */
    double alpha;       /* leaky_relu */
    uint32_t pieces;    /* maxout */
    vg_loss loss;
    vg_loss_at loss_at;
    vg_input x;
    double h0;
    uint64_t seed;
} vg_model;

#ifdef __cplusplus
}
#endif
#endif
