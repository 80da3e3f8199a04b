/* What the reductions share. A warp takes a part of a segment, some whole rows; lanes take packs in
 * turn, so that what is added to what depends on the shape alone. */
#ifndef VG_REDUCE_CUH
#define VG_REDUCE_CUH

#include "reduce_kernels.h"

#include "rows.cuh"

enum { THREADS = 256, JOIN_THREADS = 1024, MOST_WARPS = JOIN_THREADS / WARP };

/* Rows a part of a segment: about PART_ELEMENTS numbers, or so many that a segment has no more than
 * some MOST_PARTS parts. A macro, since host and kernels compute it. */
enum { PART_ELEMENTS = 2048, MOST_PARTS = 8192 };
#define VG_LARGER(a, b) ((a) > (b) ? (a) : (b))
#define VG_PART_ROWS(rows, cols)                                                                   \
    VG_LARGER((uint64_t)1,                                                                         \
              VG_LARGER((uint64_t)PART_ELEMENTS, (rows) * (cols) / MOST_PARTS) / (cols))

/* A partial result. MEASURE and RESCALE: all but `exponent`, which is what the second writes there
 * for its third kernel; CENSUS: sum and saturated. */
typedef struct reduce_part {
    double sum;
    uint32_t zeros, subnormals, infinities, nans, saturated;
    uint32_t largest; /* bits of the largest finite |x| */
    int64_t exponent;
} reduce_part;

/* This warp's number in the grid, and how many warps there are. */
VG_DEVICE uint64_t grid_warp(void)
{
    return (uint64_t)block_index() * (block_threads() / WARP) + warp_index();
}
VG_DEVICE uint64_t grid_warps(void)
{
    return (uint64_t)block_count() * (block_threads() / WARP);
}

/* Rows of part number `index` of a window cut in segments, and in parts within each. */
struct part_rows {
    uint64_t segment, first, end; /* first >= end: empty */
};
VG_DEVICE part_rows part_at(const vg_window &w, uint64_t segment_rows, uint64_t parts_each,
                            uint64_t index)
{
    uint64_t each = VG_PART_ROWS(segment_rows, w.cols);
    uint64_t segment = divide(index, parts_each), part = index - segment * parts_each;
    part_rows p = {segment, segment * segment_rows + part * each, 0};
    p.end = least(p.first + each, (segment + 1) * segment_rows);
    p.end = least(p.end, w.rows);
    return p;
}

/* take(pack, count, place) for all packs of rows [first, end) that are this lane's, `batch` of them
 * on their way at a time. */
template <int batch, typename T, typename F>
VG_DEVICE void each_pack(const vg_window &w, uint64_t first, uint64_t end, F take)
{
    enum { n = pack_of<T>::n };
    if (first >= end)
        return;
    bool whole = packs_fit<n, T>(w);
    walk to = walk_from(lane_index(), WARP, end - first, packs_in(w.cols, n));
    while (to.row < to.rows) {
        float v[batch][n];
        place at[batch];
        VG_UNROLL
        for (int k = 0; k < batch; k++) {
            at[k] = walk_take(&to, w.cols, n);
            at[k].row += first;
            load_some<n>(element<const T>(w, at[k].row, at[k].col), at[k].count, whole, v[k]);
        }
        VG_UNROLL
        for (int k = 0; k < batch; k++)
            take(v[k], at[k]);
    }
}

/* x in double; also where the arithmetic of floats flushes subnormals. */
VG_DEVICE double widen(float x)
{
    int32_t bits = float_bits(x);
    if ((bits & 0x7f800000) || !(bits & 0x7fffff)) /* a zero keeps its sign */
        return (double)x;
    return (double)(bits < 0 ? -(bits & 0x7fffff) : bits) * 0x1p-149;
}

/* Sums and maxima over a warp, the same in every lane, and over a block, in all its threads; every
 * one of them takes part. `shared` has room for a number a warp. */
template <typename V> VG_DEVICE V sum_warp(V v)
{
    for (uint32_t bits = WARP / 2; bits; bits /= 2)
        v = v + shuffle_xor(ALL_LANES, v, bits);
    return v;
}
template <typename V> VG_DEVICE V max_warp(V v)
{
    for (uint32_t bits = WARP / 2; bits; bits /= 2) {
        V other = shuffle_xor(ALL_LANES, v, bits);
        v = other > v ? other : v;
    }
    return v;
}
template <typename V> VG_DEVICE V sum_block(V v, V *shared)
{
    V total = sum_warp(v);
    if (lane_index() == 0)
        shared[warp_index()] = total;
    sync_block();
    total = shared[0];
    for (uint32_t i = 1; i < block_threads() / WARP; i++)
        total = total + shared[i];
    sync_block();
    return total;
}
template <typename V> VG_DEVICE V max_block(V v, V *shared)
{
    V largest = max_warp(v);
    if (lane_index() == 0)
        shared[warp_index()] = largest;
    sync_block();
    largest = shared[0];
    for (uint32_t i = 1; i < block_threads() / WARP; i++)
        largest = shared[i] > largest ? shared[i] : largest;
    sync_block();
    return largest;
}

/* What a lane sees of a window: squares by their place in the pack, and what the numbers are. */
template <int n> struct tally {
    double sum[n];
    uint32_t zeros, subnormals, infinities, nans, largest;
};
template <int n> VG_DEVICE void tally_clear(tally<n> *t)
{
    VG_UNROLL
    for (int i = 0; i < n; i++)
        t->sum[i] = 0;
    t->zeros = t->subnormals = t->infinities = t->nans = t->largest = 0;
}
template <int n> VG_DEVICE void tally_add(tally<n> *t, const float *v, uint32_t count)
{
    VG_UNROLL
    for (int i = 0; i < n; i++) {
        if ((uint32_t)i >= count)
            continue;
        uint32_t bits = (uint32_t)float_bits(v[i]) & 0x7fffffffu;
        double x = widen(v[i]);
        t->sum[i] = fma(x, x, t->sum[i]);
        t->zeros += bits == 0;
        t->subnormals += bits - 1 < 0x7fffffu;
        t->infinities += bits == 0x7f800000u;
        t->nans += bits > 0x7f800000u;
        if (bits < 0x7f800000u && bits > t->largest)
            t->largest = bits;
    }
}
template <int n> VG_DEVICE double fold_sums(double *sum)
{
    VG_UNROLL
    for (int width = n / 2; width; width /= 2) {
        VG_UNROLL
        for (int i = 0; i < width; i++)
            sum[i] = sum[i] + sum[i + width];
    }
    return sum[0];
}
/* All lanes' together. */
template <int n> VG_DEVICE reduce_part tally_fold(tally<n> *t)
{
    reduce_part part = {};
    part.sum = sum_warp(fold_sums<n>(t->sum));
    part.zeros = sum_warp(t->zeros);
    part.subnormals = sum_warp(t->subnormals);
    part.infinities = sum_warp(t->infinities);
    part.nans = sum_warp(t->nans);
    part.largest = max_warp(t->largest);
    return part;
}

/* The tally of rows [first, end), in every lane. */
template <typename T>
VG_DEVICE reduce_part look_at(const vg_window &w, uint64_t first, uint64_t end)
{
    enum { n = pack_of<T>::n };
    tally<n> t;
    tally_clear<n>(&t);
    each_pack<16 / n, T>(w, first, end,
                         [&](const float *v, const place &at) { tally_add<n>(&t, v, at.count); });
    return tally_fold<n>(&t);
}

#endif
