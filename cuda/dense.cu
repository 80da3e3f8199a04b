/* What surrounds a dense layer's products: bias, activation and skip after the forward product, the
 * derivative before the backward ones, and the column sums of dz. Memory bound: 16 bytes an access,
 * every number read and written once, and several packs a thread on their way at a time. */
#include "dense_kernels.h"

#include "rows.cuh"
#include "vf_cuda.cuh"

enum { THREADS = 256, IN_FLIGHT = 2 };

/* The first `count` of n bytes, as load_some and store_some. */
template <int n>
VG_DEVICE void load_bytes(const uint8_t *at, uint32_t count, bool whole, uint8_t *to)
{
    if (whole && count == n) {
        pack<uint8_t, n> read = *(const pack<uint8_t, n> *)(const void *)at;
        VG_UNROLL
        for (int i = 0; i < n; i++)
            to[i] = read.v[i];
        return;
    }
    VG_UNROLL
    for (int i = 0; i < n; i++)
        to[i] = (uint32_t)i < count ? at[i] : (uint8_t)0;
}
template <int n>
VG_DEVICE void store_bytes(uint8_t *at, uint32_t count, bool whole, const uint8_t *from)
{
    if (whole && count == n) {
        pack<uint8_t, n> made;
        VG_UNROLL
        for (int i = 0; i < n; i++)
            made.v[i] = from[i];
        *(pack<uint8_t, n> *)(void *)at = made;
        return;
    }
    VG_UNROLL
    for (int i = 0; i < n; i++)
        if ((uint32_t)i < count)
            at[i] = from[i];
}

/* v = f(v), v = f'(v): the switch stands outside the loop over the pack. */
template <int n> VG_DEVICE void activate(vg_activation activation, float alpha, float *v)
{
    switch (activation) {
#define VG_ACTIVATION(id, stack, rnn, bound, kink)                                                 \
    case VG_##id:                                                                                  \
        VG_UNROLL                                                                                  \
        for (int i = 0; i < n; i++)                                                                \
            v[i] = vf_activate(VG_##id, v[i], alpha);                                              \
        break;
#include "vg/activations.def"
#undef VG_ACTIVATION
    default: break;
    }
}
template <int n> VG_DEVICE void differentiate(vg_activation activation, float alpha, float *v)
{
    switch (activation) {
#define VG_ACTIVATION(id, stack, rnn, bound, kink)                                                 \
    case VG_##id:                                                                                  \
        VG_UNROLL                                                                                  \
        for (int i = 0; i < n; i++)                                                                \
            v[i] = vf_activation_derivative(VG_##id, v[i], alpha);                                 \
        break;
#include "vg/activations.def"
#undef VG_ACTIVATION
    default: break;
    }
}

/* z and bias of piece k. */
template <int n>
VG_DEVICE void load_piece(const vg_epilogue_args &p, place at, uint32_t k, bool whole, float *z,
                          float *bias)
{
    uint32_t col = k * p.y.cols + at.col;
    load_some<n>(element<const float>(p.z, at.row, col), at.count, whole, z);
    load_some<n>(element<const float>(p.bias, 0, col), at.count, whole, bias);
}

template <int n> VG_DEVICE void add(const float *more, float *to)
{
    VG_UNROLL
    for (int i = 0; i < n; i++)
        to[i] = to[i] + more[i];
}

/* The largest of the pieces, the first of those that tie; a NaN that is the first wins. */
template <int n>
VG_DEVICE void take_largest(const vg_epilogue_args &p, place at, bool whole, float *best)
{
    uint8_t winner[n];
    VG_UNROLL
    for (int i = 0; i < n; i++)
        winner[i] = 0;
    for (uint32_t k = 1; k < p.pieces; k++) {
        float z[n], bias[n];
        load_piece<n>(p, at, k, whole, z, bias);
        add<n>(bias, z);
        VG_UNROLL
        for (int i = 0; i < n; i++) {
            bool wins = best[i] == best[i] && !(z[i] <= best[i]);
            best[i] = wins ? z[i] : best[i];
            winner[i] = wins ? (uint8_t)k : winner[i];
        }
    }
    store_bytes<n>(element<uint8_t>(p.winner, at.row, at.col), at.count, whole, winner);
}

/* As a window of Y holds them. */
template <typename Y, int n> VG_DEVICE void round_to(float *v)
{
    VG_UNROLL
    for (int i = 0; i < n; i++) {
        Y stored;
        from_float(v[i], &stored);
        v[i] = to_float(stored);
    }
}

/* Of z + bias in `v`. With a skip y is the sum of two windows: `a` counts as it is kept. */
template <typename Y>
VG_DEVICE void epilogue_finish(const vg_epilogue_args &p, place at, bool whole, const float *skip,
                               float *v)
{
    enum { n = pack_of<Y>::n };
    if (p.winner.at)
        take_largest<n>(p, at, whole, v);
    else
        activate<n>(p.activation, p.alpha, v);
    if (p.a.at)
        store_some<n>(element<Y>(p.a, at.row, at.col), at.count, whole, v);
    if (p.skip.at) {
        round_to<Y, n>(v);
        add<n>(skip, v);
    }
    store_some<n>(element<Y>(p.y, at.row, at.col), at.count, whole, v);
}

template <typename Y> VG_DEVICE void epilogue(const vg_epilogue_args &p)
{
    enum { n = pack_of<Y>::n, in_flight = 8 / n }; /* z is fp32: 32 bytes on their way */
    bool whole = packs_fit<4, float>(p.z) && packs_fit<4, float>(p.bias) &&
                 packs_fit<n, Y>(p.skip) && packs_fit<n, Y>(p.a) && packs_fit<n, Y>(p.y) &&
                 packs_fit<n, uint8_t>(p.winner) && (!p.winner.at || p.y.cols % n == 0);
    walk w = walk_grid(p.y.rows, packs_in(p.y.cols, n));
    while (w.row < w.rows) {
        place at[in_flight];
        float v[in_flight][n], bias[in_flight][n], skip[in_flight][n];
        VG_UNROLL
        for (int k = 0; k < in_flight; k++) {
            at[k] = walk_take(&w, p.y.cols, n);
            load_piece<n>(p, at[k], 0, whole, v[k], bias[k]);
            if (p.skip.at)
                load_some<n>(element<const Y>(p.skip, at[k].row, at[k].col), at[k].count, whole,
                             skip[k]);
        }
        VG_UNROLL
        for (int k = 0; k < in_flight; k++) {
            add<n>(bias[k], v[k]);
            epilogue_finish<Y>(p, at[k], whole, skip[k], v[k]);
        }
    }
}

VG_KERNEL(epilogue_f32, THREADS, vg_epilogue_args)
{
    epilogue<float>(p);
}
VG_KERNEL(epilogue_bf16, THREADS, vg_epilogue_args)
{
    epilogue<bf16>(p);
}

/* dy to the winner's piece, zeros to the others. */
template <typename T>
VG_DEVICE void route(const vg_derivative_args &p, place at, bool whole, const float *dy)
{
    enum { n = pack_of<T>::n };
    uint8_t winner[n];
    load_bytes<n>(element<const uint8_t>(p.winner, at.row, at.col), at.count, whole, winner);
    for (uint32_t k = 0; k < p.pieces; k++) {
        float dz[n];
        VG_UNROLL
        for (int i = 0; i < n; i++)
            dz[i] = winner[i] == k ? dy[i] : 0.0f;
        store_some<n>(element<T>(p.dz, at.row, k * p.dy.cols + at.col), at.count, whole, dz);
    }
}

/* a in `slope`. */
template <typename T>
VG_DEVICE void derivative_finish(const vg_derivative_args &p, place at, bool whole, float *slope,
                                 float *dy)
{
    enum { n = pack_of<T>::n };
    if (p.winner.at) {
        route<T>(p, at, whole, dy);
        return;
    }
    differentiate<n>(p.activation, p.alpha, slope);
    VG_UNROLL
    for (int i = 0; i < n; i++)
        dy[i] = dy[i] * slope[i];
    store_some<n>(element<T>(p.dz, at.row, at.col), at.count, whole, dy);
}

template <typename T> VG_DEVICE void derivative(const vg_derivative_args &p)
{
    enum { n = pack_of<T>::n };
    bool whole = packs_fit<n, T>(p.dy) && packs_fit<n, T>(p.a) && packs_fit<n, T>(p.dz) &&
                 packs_fit<n, uint8_t>(p.winner) && (!p.winner.at || p.dy.cols % n == 0);
    walk w = walk_grid(p.dy.rows, packs_in(p.dy.cols, n));
    while (w.row < w.rows) {
        place at[IN_FLIGHT];
        float dy[IN_FLIGHT][n], a[IN_FLIGHT][n];
        VG_UNROLL
        for (int k = 0; k < IN_FLIGHT; k++) {
            at[k] = walk_take(&w, p.dy.cols, n);
            load_some<n>(element<const T>(p.dy, at[k].row, at[k].col), at[k].count, whole, dy[k]);
            if (!p.winner.at)
                load_some<n>(element<const T>(p.a, at[k].row, at[k].col), at[k].count, whole, a[k]);
        }
        VG_UNROLL
        for (int k = 0; k < IN_FLIGHT; k++)
            derivative_finish<T>(p, at[k], whole, a[k], dy[k]);
    }
}

VG_KERNEL(derivative_f32, THREADS, vg_derivative_args)
{
    derivative<float>(p);
}
VG_KERNEL(derivative_bf16, THREADS, vg_derivative_args)
{
    derivative<bf16>(p);
}

/* Column sums. A block takes a tile of columns and a part of the rows: `across` threads side by
 * side, the other way round threads that take the rows in turn. Four rows are added in fp32, then
 * in double, of which there is a quarter as many: even a slow unit keeps up with the memory. */

enum { SUM_ROWS = 128, SUM_PARTS = 512, ADD_COLUMNS = 32, BATCH = 4 };

/* Folds the totals of threads `across` apart into those of the first `across`. No two folds meet in
 * a place of `fold` without a barrier between them: each is of lower threads than the one before.
 */
template <int n> VG_DEVICE void fold_groups(double *fold, uint32_t across, double *total)
{
    uint32_t thread = thread_index();
    for (uint32_t half = THREADS / 2; half >= across; half /= 2) {
        if (thread >= half && thread < 2 * half) {
            VG_UNROLL
            for (int i = 0; i < n; i++)
                fold[i * THREADS + thread] = total[i];
        }
        sync_block();
        if (thread < half) {
            VG_UNROLL
            for (int i = 0; i < n; i++)
                total[i] = total[i] + fold[i * THREADS + thread + half];
        }
    }
}

/* Rows row, row + stride ... before `end` of n columns. */
template <int n, typename T>
VG_DEVICE void sum_rows(const vg_window &w, uint64_t row, uint64_t stride, uint64_t end,
                        uint32_t col, uint32_t count, bool whole, double *total)
{
    VG_UNROLL
    for (int i = 0; i < n; i++)
        total[i] = 0;
    float x[BATCH][n];
    for (; row + (BATCH - 1) * stride < end; row += BATCH * stride) {
        VG_UNROLL
        for (int k = 0; k < BATCH; k++)
            load_some<n>(element<const T>(w, row + (uint64_t)k * stride, col), count, whole, x[k]);
        VG_UNROLL
        for (int i = 0; i < n; i++)
            total[i] = total[i] + (double)((x[0][i] + x[1][i]) + (x[2][i] + x[3][i]));
    }
    for (; row < end; row += stride) {
        load_some<n>(element<const T>(w, row, col), count, whole, x[0]);
        VG_UNROLL
        for (int i = 0; i < n; i++)
            total[i] = total[i] + (double)x[0][i];
    }
}

uint64_t vg_column_sums_rows(uint64_t rows)
{
    uint64_t each = (uint64_t)SUM_ROWS * SUM_PARTS;
    return SUM_ROWS * (rows / each + (rows % each != 0));
}

VG_DEVICE uint64_t parts_of(uint64_t rows, uint64_t each)
{
    return rows / each + (rows % each != 0);
}

template <typename T> VG_DEVICE void column_sums(const vg_column_sums_args &p)
{
    enum { n = pack_of<T>::n };
    VG_SHARED(double, fold, THREADS *n);
    uint32_t packs = packs_in(p.dz.cols, n), across = 1;
    while (across < WARP && across < packs)
        across *= 2;
    uint64_t span = (uint64_t)SUM_ROWS * SUM_PARTS, each = SUM_ROWS * parts_of(p.dz.rows, span);
    uint64_t tiles = parts_of(packs, across), parts = parts_of(p.dz.rows, each);
    uint32_t group = thread_index() / across, groups = THREADS / across;
    bool whole = packs_fit<n, T>(p.dz);
    vg_window to = parts > 1 ? p.parts : p.sums;
    for (uint64_t item = block_index(); item < parts * tiles; item += block_count()) {
        uint64_t part = item / tiles, first = part * each;
        uint64_t pack = (item - part * tiles) * across + thread_index() % across;
        uint32_t col = (uint32_t)pack * n, count = 0;
        if (pack < packs)
            count = (uint32_t)least(p.dz.cols - col, n);
        double total[n];
        sum_rows<n, T>(p.dz, first + group, groups, count ? least(first + each, p.dz.rows) : 0, col,
                       count, whole, total);
        fold_groups<n>(fold, across, total);
        VG_UNROLL
        for (int i = 0; i < n; i++)
            if (group == 0 && (uint32_t)i < count)
                *element<float>(to, part, col + (uint32_t)i) = round_once(total[i]);
    }
}

VG_KERNEL(column_sums_f32, THREADS, vg_column_sums_args)
{
    column_sums<float>(p);
}
VG_KERNEL(column_sums_bf16, THREADS, vg_column_sums_args)
{
    column_sums<bf16>(p);
}

VG_KERNEL(column_sums_add, THREADS, vg_column_sums_args)
{
    VG_SHARED(double, fold, THREADS);
    uint32_t lane = thread_index() % ADD_COLUMNS, group = thread_index() / ADD_COLUMNS;
    for (uint64_t first = (uint64_t)block_index() * ADD_COLUMNS; first < p.sums.cols;
         first += (uint64_t)block_count() * ADD_COLUMNS) {
        bool there = first + lane < p.sums.cols;
        uint32_t col = (uint32_t)first + lane;
        double total = 0;
        for (uint64_t row = group; there && row < p.parts.rows; row += THREADS / ADD_COLUMNS)
            total = total + (double)*element<const float>(p.parts, row, col);
        fold_groups<1>(fold, ADD_COLUMNS, &total);
        if (there && group == 0)
            *element<float>(p.sums, 0, col) = round_once(total);
    }
}

vg_kernel vg_epilogue_kernel(vg_dtype y)
{
    return y == VG_BF16 ? VG_KERNEL_ENTRY(epilogue_bf16, THREADS, vg_epilogue_args)
                        : VG_KERNEL_ENTRY(epilogue_f32, THREADS, vg_epilogue_args);
}
vg_kernel vg_derivative_kernel(vg_dtype storage)
{
    return storage == VG_BF16 ? VG_KERNEL_ENTRY(derivative_bf16, THREADS, vg_derivative_args)
                              : VG_KERNEL_ENTRY(derivative_f32, THREADS, vg_derivative_args);
}
vg_kernel vg_column_sums_kernel(vg_dtype storage)
{
    return storage == VG_BF16 ? VG_KERNEL_ENTRY(column_sums_bf16, THREADS, vg_column_sums_args)
                              : VG_KERNEL_ENTRY(column_sums_f32, THREADS, vg_column_sums_args);
}
vg_kernel vg_column_sums_add_kernel(void)
{
    return VG_KERNEL_ENTRY(column_sums_add, THREADS, vg_column_sums_args);
}
