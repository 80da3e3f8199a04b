/* A lowered model: a list of coarse ops over one arena of memory. A device is anything that can
 * run it. Row-major throughout; T steps, B batch rows, H units, I inputs, G gates. */
#ifndef VG_PROGRAM_H
#define VG_PROGRAM_H

#include "vg/model.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A window of the arena. `at` in bytes, 64-aligned unless it is a window of a larger one; `ld` in
 * elements; an absent window has rows == 0. Padding (columns cols..ld) is never written, and what
 * it holds never reaches a result. */
typedef struct vg_mat {
    uint64_t at, rows;
    uint32_t cols, ld;
    vg_dtype dtype;
} vg_mat;

/* Rows [first, first + count) of a window. */
static inline vg_mat vg_mat_rows(vg_mat m, uint64_t first, uint64_t count)
{
    m.at += first * m.ld * vg_dtype_size(m.dtype);
    m.rows = count;
    return m;
}

/* Columns [first, first + count) of a window. */
static inline vg_mat vg_mat_cols(vg_mat m, uint32_t first, uint32_t count)
{
    m.at += first * vg_dtype_size(m.dtype);
    m.cols = count;
    return m;
}

/* Passes are bits: `run` takes a set and times it as one region. They run once in this order
 * before any is timed. LOSS, PROBE and EXACT are never timed. PROBE repeats the backward scan with
 * dh and dc written, and measures the plain reading; EXACT is the rescaled reading. */
typedef enum vg_pass {
    VG_PASS_FWD = 1,
    VG_PASS_LOSS = 2,
    VG_PASS_BWD_DATA = 4,
    VG_PASS_BWD_WEIGHTS = 8,
    VG_PASS_PROBE = 16,
    VG_PASS_EXACT = 32
} vg_pass;
enum {
    VG_PASSES_BWD = VG_PASS_BWD_DATA | VG_PASS_BWD_WEIGHTS,
    VG_PASSES_TRAIN = VG_PASS_FWD | VG_PASSES_BWD
};

typedef enum vg_op_kind {
    VG_DENSE_FWD,
    VG_DENSE_BWD_DATA,
    VG_DENSE_BWD_WEIGHTS,
    VG_SCAN_FWD,
    VG_SCAN_BWD,
    VG_LOSS_OP,
    VG_CLIP,
    VG_MEASURE,
    VG_CENSUS,
    VG_RESCALE,
    VG_OP_COUNT
} vg_op_kind;

#define VG_NO_SLOT UINT32_MAX
enum { VG_MAX_SIGNALS = 3 };

/* a = act(x Wᵀ + b); y = a, or a + skip where there is a skip, and then a is written too (without
 * a skip `a` is absent). x [R, I], weight [O, I], bias [1, O], y [R, O].
 * Maxout: weight [p·O, I] and bias [1, p·O], piece-major; y = max over the pieces, winner u8 [R, O]
 * the lowest index on a tie. skip may not alias y. */
typedef struct vg_dense_fwd {
    vg_mat x, weight, bias, skip, y, a, winner;
} vg_dense_fwd;

/* dz = dy ∘ act'(a) (maxout: dy routed to the winner, dz [R, p·O]); dx = dz W, plus dy with
 * `residual`. dy, a [R, O]; dz [R, O]; dx [R, I]. `a` is the activation's output (y itself where
 * there is no skip). With the identity dz is the window dy itself and nothing is written to it. */
typedef struct vg_dense_bwd_data {
    vg_mat dy, a, winner, weight, dz, dx;
    bool residual;
} vg_dense_bwd_data;

/* dweight = dzᵀ x [O, I], dbias = column sums of dz [1, O]; both overwritten. dz [R, O], x [R, I].
 */
typedef struct vg_dense_bwd_weights {
    vg_mat dz, x, dweight, dbias;
} vg_dense_bwd_weights;

/* Steps [t0, t1) of one layer; windows with T·B rows are always those of the whole sequence, row
 * t·B + b (t from 0). preact_x [T·B, G·H] holds W_ih x + b_ih, gate-major; weight_hh [G·H, H],
 * bias_hh [1, G·H]; state0[s] [B, H]; y [T·B, H] = every h_t; reserve [T·B, (kept + states - 1)·H]:
 * kept values, then the states after the first (absent for rnn; FP32 in bf16 with two states). The
 * rows of state0[0] stand right before those of y in the arena, with the same ld: h_{t-1} of step t
 * is row (t - 1)·B of y, also for t = 0. */
typedef struct vg_scan_fwd {
    vg_mat preact_x, weight_hh, bias_hh, state0[VG_MAX_STATES], y, reserve;
} vg_scan_fwd;

/* Steps [t0, t1), last to first. dy: absent, [B, H] (added at step t1 - 1) or [T·B, H] (added at
 * every step). dstateT[s] [B, H]: what comes back into the states after step t1 - 1 (absent: zero).
 * Overwrites rows of the steps: dgates_x, dgates_h [T·B, G·H] (one window unless the cell's gates
 * differ), dh, dc [T·B, H] (total derivatives over all paths by h_t and by the second state;
 * absent: not wanted), and dstate0[s] [B, H]: the derivative by the states before step t0. dstate0
 * may be the windows of dstateT. */
typedef struct vg_scan_bwd {
    vg_mat reserve, y, state0[VG_MAX_STATES], dy, dstateT[VG_MAX_STATES], weight_hh;
    vg_mat dgates_x, dgates_h, dstate0[VG_MAX_STATES], dh, dc;
} vg_scan_bwd;

/* mse: dy = (y - target) / divisor, loss = 1/2 Σ (y - target)² / divisor; ones: dy = 1, loss = Σ y;
 * random: dy = target, loss = Σ y target. The loss goes to sum_squares of the slot. */
typedef struct vg_loss_op {
    vg_mat y, target, dy;
    vg_loss loss;
    double divisor;
} vg_loss_op;

/* g = the norm over all grads together; where g > max_norm every element is multiplied by
 * max_norm / g. slot: the norm before (sum_squares = g²), slot + 1: after. */
typedef struct vg_clip {
    const vg_mat *grads; /* owned by the program */
    uint32_t count;
    double max_norm;
} vg_clip;

/* A slot for each `segment_rows` rows of the window (the last segment may be shorter), from `slot`
 * on. */
typedef struct vg_measure {
    vg_mat window;
    uint64_t segment_rows;
} vg_measure;

/* From the activation's output: mean |f'|, the share of elements with |f'| < 0.01 max, and the
 * share of columns with f' = 0 in all rows of the segment. A slot a segment. Maxout: f' = 1. */
typedef struct vg_census {
    vg_mat a;
    uint64_t segment_rows;
} vg_census;

/* Brings signals with exponents of their own to one: signal i is worth in[i] × 2^e, e the exponent
 * of slot exponent[i] (VG_NO_SLOT: e = 0). segment_rows 0: one exponent a signal; else rows
 * [j·segment_rows, (j + 1)·segment_rows) of signal i have that of slot exponent[i] + j, the last
 * segment may be shorter. E is chosen so that the largest finite |element| × 2^(e - E) over all
 * signals lies in [2^60, 2^61); out[i] = in[i] × 2^(e - E), and E goes to `exponent` of the op's
 * slot, so that a value × 2^E is the true one whatever came before. All zero: E = the largest e, a
 * copy. Signals stand without gaps: in[0] is present, an absent one ends the list. out[i] may be
 * in[i]. The slot's elements, zeros and subnormals count signal 0 as it came in. */
typedef struct vg_rescale {
    vg_mat in[VG_MAX_SIGNALS], out[VG_MAX_SIGNALS];
    uint32_t exponent[VG_MAX_SIGNALS];
    uint64_t segment_rows;
} vg_rescale;

typedef struct vg_op {
    vg_op_kind kind;
    vg_pass pass;
    vg_model_kind cell; /* of a scan */
    vg_activation activation;
    double alpha;
    uint32_t pieces;
    uint32_t layer; /* from 1; the read-out is depth + 1 */
    uint32_t batch; /* B of a scan */
    uint64_t t0, t1;
    uint32_t slot;
    union {
        vg_dense_fwd dense_fwd;
        vg_dense_bwd_data dense_bwd_data;
        vg_dense_bwd_weights dense_bwd_weights;
        vg_scan_fwd scan_fwd;
        vg_scan_bwd scan_bwd;
        vg_loss_op loss;
        vg_clip clip;
        vg_measure measure;
        vg_census census;
        vg_rescale rescale;
    };
} vg_op;

/* What one segment's reduction leaves; only the fields that the op names are meant. MEASURE: the
 * sum of squares is sum_squares × 4^exponent; exponent is 0 unless double does not hold that sum,
 * which only FP64 windows can cause. RESCALE: exponent alone, and counts. */
typedef struct vg_slot {
    double sum_squares, max_abs;
    uint64_t elements, zeros, subnormals, infinities, nans;
    int64_t exponent;
    double mean_abs_derivative, saturated, dead;
} vg_slot;

/* A named tensor: an input to be written before the passes run, or a result worth reading. */
typedef enum vg_role {
    VG_ROLE_INPUT,
    VG_ROLE_WEIGHT,
    VG_ROLE_BIAS,
    VG_ROLE_OUTPUT,
    VG_ROLE_GRADIENT
} vg_role;

typedef struct vg_tensor {
    char name[32]; /* as PyTorch's: "weight_ih_l0", "dweight_0", "h_n" ... */
    vg_role role;
    uint32_t layer; /* from 1; 0: none; the read-out is depth + 1 */
    uint32_t axes;  /* of the dumped array */
    uint64_t shape[3];
    vg_mat mat;
} vg_tensor;

/* Where the norms of one tensor and layer are found: `steps` consecutive slots from `plain` and
 * from `exact` on, step first_step + i at slot i; a single value over all steps has steps == 0 and
 * one slot. A value of the exact reading × 2^E is the true one, E the `exponent` of slot exponent +
 * (step - 1) / piece (step 0 as step 1; a single value: of slot `exponent`). The census of step s
 * is slot census + s - 1, step 0 has none (a single value: slot `census`; VG_NO_SLOT: none). */
typedef struct vg_profile {
    const char *tensor; /* "dh", "dc", "dweight", "dbias", "dweight_ih", ... */
    uint32_t layer;     /* 0: the input */
    uint64_t first_step, steps;
    uint32_t plain, exact, exponent, census;
    uint64_t piece;
} vg_profile;

typedef struct vg_program {
    vg_model model;
    vg_dtype
        storage; /* of x, weights, y ...: FP64 for the oracle, else the model's, TF32 as FP32 */
    uint64_t arena_bytes;
    uint32_t op_count, tensor_count, profile_count, slot_count;
    uint64_t exact_piece; /* steps a piece of EXACT; 0: not lowered */
    vg_op *ops;
    vg_tensor *tensors;
    vg_profile *profiles;
} vg_program;

/* One operand of an op kind: its name and where its window stands in vg_op. */
typedef enum vg_access { VG_READS, VG_WRITES } vg_access;
typedef struct vg_operand {
    const char *name;
    size_t offset; /* of the vg_mat in vg_op */
    vg_access access;
} vg_operand;

const char *vg_op_name(vg_op_kind kind);
/* The operands of a kind (CLIP's gradients are not among them); ends with a null name. */
const vg_operand *vg_op_operands(vg_op_kind kind);
static inline const vg_mat *vg_op_mat(const vg_op *op, const vg_operand *operand)
{
    return (const vg_mat *)(const void *)((const char *)op + operand->offset);
}
/* Whether the op neither reads nor writes a window of its operands: the identity's derivative needs
 * no output of the activation, and its dz is dy. */
bool vg_op_leaves(const vg_op *op, const vg_mat *mat);
/* The number of slots from op->slot on that the op writes. */
uint64_t vg_op_slots(const vg_op *op);

/* FLOP (math: forward counts once, each backward pass once) and bytes (each operand once). */
double vg_op_flop(const vg_op *op);
double vg_op_bytes(const vg_op *op);
double vg_program_flop(const vg_program *program, unsigned passes);
double vg_program_bytes(const vg_program *program, unsigned passes);

const vg_tensor *vg_program_tensor(const vg_program *program, const char *name);

/* Every window inside the arena and aligned to its element, shapes as the ops say, slots in range,
 * and no output over another operand where aliasing is not allowed. VG_INVALID names the op. */
vg_status vg_program_check(const vg_program *program);

void vg_program_free(vg_program *program);

#ifdef __cplusplus
}
#endif
#endif
