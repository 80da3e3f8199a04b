/* Walking over the rows of windows, a pack of neighbouring columns at a time, 16 bytes where their
 * alignment allows. */
#ifndef VG_ROWS_CUH
#define VG_ROWS_CUH

#include "device.cuh"

/* Where the element [row, col] of a window stands; `row` may be negative where rows of the same ld
 * stand before the window. */
template <typename T> VG_DEVICE T *element(const vg_window &w, uint64_t row, uint32_t col)
{
    return (T *)w.at + (int64_t)row * w.ld + col;
}

/* Whether packs of n numbers of every row can be touched in one access; an absent window never
 * hinders. */
template <int n, typename T> VG_DEVICE bool packs_fit(const vg_window &w)
{
    return (((uintptr_t)w.at | (uint64_t)w.ld * sizeof(T)) & (n * sizeof(T) - 1)) == 0;
}

/* n numbers, no access beyond 16 bytes; `at` is aligned to it. */
template <int n, typename T> VG_DEVICE void load_wide(const T *at, float *to)
{
    enum { most = 16 / sizeof(T), each = n < most ? n : most };
    VG_UNROLL
    for (int i = 0; i < n; i += each)
        load_pack<each>(at + i, to + i);
}
template <int n, typename T> VG_DEVICE void store_wide(T *at, const float *from)
{
    enum { most = 16 / sizeof(T), each = n < most ? n : most };
    VG_UNROLL
    for (int i = 0; i < n; i += each)
        store_pack<each>(at + i, from + i);
}

/* The first `count` of n numbers, at once where `whole` says so; the others are zero and are not
 * touched. */
template <int n, typename T>
VG_DEVICE void load_some(const T *at, uint32_t count, bool whole, float *to)
{
    if (whole && count == n) {
        load_wide<n>(at, to);
        return;
    }
    VG_UNROLL
    for (int i = 0; i < n; i++)
        to[i] = (uint32_t)i < count ? to_float(at[i]) : 0.0f;
}
template <int n, typename T>
VG_DEVICE void store_some(T *at, uint32_t count, bool whole, const float *from)
{
    if (whole && count == n) {
        store_wide<n>(at, from);
        return;
    }
    VG_UNROLL
    for (int i = 0; i < n; i++)
        if ((uint32_t)i < count)
            from_float(from[i], at + i);
}

/* Packs of n that hold `cols` columns. */
VG_DEVICE uint32_t packs_in(uint32_t cols, uint32_t n)
{
    return cols / n + (cols % n != 0);
}

/* Numbers of type T in 16 bytes. */
template <typename T> struct pack_of {
    enum { n = 16 / sizeof(T) };
};

/* Division with the short instruction sequence where it will do. */
VG_DEVICE uint64_t divide(uint64_t a, uint64_t b)
{
    return (a | b) >> 32 ? a / b : (uint64_t)((uint32_t)a / (uint32_t)b);
}

/* The items `first`, `first + stride` ... of `rows` rows of `cols` items, without a division each:
 * for (walk w = walk_from(...); w.row < w.rows; walk_on(&w)). */
struct walk {
    uint64_t row, rows, row_step;
    uint32_t col, cols, col_step;
};
VG_DEVICE walk walk_from(uint64_t first, uint64_t stride, uint64_t rows, uint32_t cols)
{
    walk w;
    w.rows = rows;
    w.cols = cols;
    w.row = divide(first, cols);
    w.col = (uint32_t)(first - w.row * cols);
    w.row_step = divide(stride, cols);
    w.col_step = (uint32_t)(stride - w.row_step * cols);
    return w;
}
VG_DEVICE void walk_on(walk *w)
{
    uint64_t col = (uint64_t)w->col + w->col_step;
    bool turns = col >= w->cols;
    w->row += w->row_step + turns;
    w->col = (uint32_t)(turns ? col - w->cols : col);
}
/* The next item as a place in a window whose rows of `cols` columns are walked n at a time: its
 * first column and how many there are; none beyond the last row. */
struct place {
    uint64_t row;
    uint32_t col, count;
};
VG_DEVICE place walk_take(walk *w, uint32_t cols, uint32_t n)
{
    place at = {w->row, w->col * n, 0};
    if (w->row < w->rows)
        at.count = (uint32_t)least(cols - at.col, n);
    walk_on(w);
    return at;
}
/* All of them, shared out to the threads of the grid. */
VG_DEVICE walk walk_grid(uint64_t rows, uint32_t cols)
{
    return walk_from(grid_index(), grid_threads(), rows, cols);
}

#endif
