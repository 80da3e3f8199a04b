/* The vector loops of the CPU devices, one table per instruction set, built from kernels.inc.
 * Matrices are rows × cols floats, row-major, `ld` elements from row to row (ld >= cols); columns
 * cols..ld are neither read into a result nor written. Sizes may be zero. No alignment is needed.
 * Operands do not overlap but where a kernel says that they may be the same. Nothing is split by
 * threads in here: the same call gives the same bits. */
#ifndef VG_KERNELS_H
#define VG_KERNELS_H

#include "gemm_kernels.h"
#include "vg/program.h"

/* DENSE_FWD's end, [rows, cols]: a = act(z + bias), y = a, or a + skip. z is the bare product.
 * z, a, skip and y may each be the same as another. Not maxout. */
typedef struct vg_epilogue {
    size_t rows, cols;
    vg_activation activation;
    float alpha;
    const float *z, *bias; /* bias [cols]; null: zero */
    const float *skip;     /* null: none */
    float *a, *y;          /* a null: not wanted */
    size_t ld_z, ld_skip, ld_a, ld_y;
} vg_epilogue;

/* The same for maxout: a = max over the pieces k of z[., k·piece + j] + bias[k·piece + j], winner =
 * the lowest k that has it (of NaNs the first). y may be skip or a. */
typedef struct vg_maxout_fwd {
    size_t rows, cols, piece; /* piece: columns from one piece to the next, in z and bias */
    uint32_t pieces;
    const float *z, *bias, *skip; /* skip null: none */
    float *a, *y;                 /* a null: not wanted */
    uint8_t *winner;
    size_t ld_z, ld_skip, ld_a, ld_y, ld_winner;
} vg_maxout_fwd;

/* dz[., k·piece + j] = k is the winner ? dy[., j] : 0. dz [rows, pieces·piece]. */
typedef struct vg_maxout_bwd {
    size_t rows, cols, piece;
    uint32_t pieces;
    const float *dy;
    const uint8_t *winner;
    float *dz;
    size_t ld_dy, ld_winner, ld_dz;
} vg_maxout_bwd;

/* dz = dy ∘ act'(a); dz may be dy. Not maxout. */
typedef struct vg_derivative {
    size_t rows, cols;
    vg_activation activation;
    float alpha;
    const float *dy, *a;
    float *dz;
    size_t ld_dy, ld_a, ld_dz;
} vg_derivative;

/* Gate (or kept value) g of unit u in row r stands at at[r·ld + g·gate + u]. */
typedef struct vg_gates {
    float *at;
    size_t ld, gate;
} vg_gates;
typedef struct vg_gates_in {
    const float *at;
    size_t ld, gate;
} vg_gates_in;

/* State or its derivative of unit u in row r: at[r·ld + u]. */
typedef struct vg_rows {
    float *at;
    size_t ld;
} vg_rows;
typedef struct vg_rows_in {
    const float *at;
    size_t ld;
} vg_rows_in;

/* One step of a cell for some rows and units: (x, h + bias, state) -> (out, kept); pointers are at
 * the first row and unit, and all states' are given. out[i] may be state[i]. */
typedef struct vg_cell_fwd_step {
    vg_model_kind cell;
    vg_activation activation; /* of a cell that takes one */
    size_t rows, units;
    vg_gates_in x;    /* W_ih x + b_ih */
    vg_gates_in h;    /* W_hh h_{t-1}; null: zero */
    vg_gates_in bias; /* bias_hh, ld 0 */
    vg_rows_in state[VG_MAX_STATES];
    vg_rows out[VG_MAX_STATES];
    vg_gates kept;
} vg_cell_fwd_step;

/* One step back: what comes back into the states after the step is
 *   into h: carry[0] + product + dy, into others: carry[i]   (each null: zero)
 * -> dx, dh: derivatives by the two pre-activations (dh only where the cell's gates differ), carry
 * for the step before in dstate (null: not wanted; rnn's and lstm's dstate[0] is zero: the caller
 * leaves it out; may be carry), and in total[i] the whole derivative by the state after the step
 * (null: not wanted). */
typedef struct vg_cell_bwd_step {
    vg_model_kind cell;
    vg_activation activation;
    size_t rows, units;
    vg_gates_in kept;
    vg_rows_in state[VG_MAX_STATES]; /* before the step */
    vg_rows_in out[VG_MAX_STATES];   /* after it; of both, all are given */
    vg_rows_in carry[VG_MAX_STATES];
    vg_rows_in product; /* dgates_h of the step after, times W_hh */
    vg_rows_in dy;
    vg_gates dx, dh;
    vg_rows dstate[VG_MAX_STATES], total[VG_MAX_STATES];
} vg_cell_bwd_step;

/* LOSS: writes dy (may be y or target), returns the loss. Formulas: vg_loss_op. */
typedef struct vg_loss_rows {
    size_t rows, cols;
    vg_loss loss;
    double divisor;
    vg_rows_in y, target;
    vg_rows dy;
} vg_loss_rows;

typedef struct vg_kernels {
    const char *name; /* "scalar" "avx2" "avx512" "neon" */
    uint32_t lanes;   /* floats a vector */
    const vg_gemm_kernels *gemm;

    void (*epilogue)(const vg_epilogue *args);
    void (*maxout_fwd)(const vg_maxout_fwd *args);
    void (*maxout_bwd)(const vg_maxout_bwd *args);
    void (*derivative)(const vg_derivative *args);
    void (*cell_fwd)(const vg_cell_fwd_step *args);
    void (*cell_bwd)(const vg_cell_bwd_step *args);
    /* Ask the memory for a window; for what such a step reads and writes and no step just before
     * has touched, so that it comes while the product is computed. Nothing is changed. */
    void (*fetch)(size_t rows, size_t cols, vg_rows_in x);
    void (*cell_fwd_ahead)(const vg_cell_fwd_step *args);
    void (*cell_bwd_ahead)(const vg_cell_bwd_step *args);
    double (*loss)(const vg_loss_rows *args);

    /* y += x */
    void (*add)(size_t rows, size_t cols, vg_rows_in x, vg_rows y);
    void (*copy)(size_t rows, size_t cols, vg_rows_in x, vg_rows y);
    void (*fill)(size_t rows, size_t cols, float value, vg_rows y);
    /* y = factor · x; y may be x */
    void (*scale)(size_t rows, size_t cols, float factor, vg_rows_in x, vg_rows y);
    /* y = 2^exponent · x, rounded once, for any exponent; y may be x */
    void (*scale_by_power)(size_t rows, size_t cols, int exponent, vg_rows_in x, vg_rows y);
    /* sums[j] = Σ over the rows, in blocks of 32 rows, first to last; overwrites */
    void (*column_sums)(size_t rows, size_t cols, vg_rows_in x, float *sums);
    /* Σ x² in double; the same bits on every instruction set (16 partial sums, column mod 16) */
    double (*sum_squares)(size_t rows, size_t cols, vg_rows_in x);
    /* Writes the slot's sum_squares (as above), max_abs (of what is not NaN), elements, zeros,
     * subnormals, infinities and nans, whatever the thread's denormal mode is. Returns the largest
     * finite |x|. */
    float (*measure)(size_t rows, size_t cols, vg_rows_in x, vg_slot *slot);
    /* Writes the slot's mean_abs_derivative, saturated (|f'| < 0.01 bound) and dead (columns with
     * f' = 0 in all rows) from the output `a`. Same bits on every instruction set. */
    void (*census)(size_t rows, size_t cols, vg_activation activation, float alpha, vg_rows_in a,
                   vg_slot *slot);
} vg_kernels;

/* Only those of the target architecture are linked. */
extern const vg_kernels vg_kernels_scalar, vg_kernels_avx2, vg_kernels_avx512, vg_kernels_neon;

#endif
