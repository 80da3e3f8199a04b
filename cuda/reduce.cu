/* Norms and counts of windows, and the census of an activation's derivatives. */
#include "reduce.cuh"
#include "vf_cuda.cuh"

uint64_t vg_reduce_part_rows(uint64_t segment_rows, uint32_t cols)
{
    return VG_PART_ROWS(segment_rows, cols);
}

uint64_t vg_reduce_part_bytes(void)
{
    return sizeof(reduce_part);
}

VG_DEVICE uint64_t segment_elements(const vg_reduce_args &p, uint64_t segment)
{
    return least(p.segment_rows, p.window.rows - segment * p.segment_rows) * p.window.cols;
}

template <typename T> VG_DEVICE void measure(const vg_reduce_args &p)
{
    reduce_part *parts = (reduce_part *)p.parts;
    for (uint64_t i = grid_warp(); i < p.segments * p.parts_each; i += grid_warps()) {
        part_rows rows = part_at(p.window, p.segment_rows, p.parts_each, i);
        reduce_part part = look_at<T>(p.window, rows.first, rows.end);
        if (lane_index() == 0)
            parts[i] = part;
    }
}

VG_KERNEL(measure_f32, THREADS, vg_reduce_args)
{
    measure<float>(p);
}
VG_KERNEL(measure_bf16, THREADS, vg_reduce_args)
{
    measure<bf16>(p);
}

VG_KERNEL(measure_join, THREADS, vg_reduce_args)
{
    VG_SHARED(double, sums, MOST_WARPS);
    VG_SHARED(uint64_t, counts, MOST_WARPS);
    for (uint64_t segment = block_index(); segment < p.segments; segment += block_count()) {
        const reduce_part *parts = (const reduce_part *)p.parts + segment * p.parts_each;
        double sum = 0;
        uint64_t zeros = 0, subnormals = 0, infinities = 0, nans = 0, largest = 0;
        for (uint64_t i = thread_index(); i < p.parts_each; i += block_threads()) {
            sum = sum + parts[i].sum;
            zeros += parts[i].zeros;
            subnormals += parts[i].subnormals;
            infinities += parts[i].infinities;
            nans += parts[i].nans;
            largest = parts[i].largest > largest ? parts[i].largest : largest;
        }
        sum = sum_block(sum, sums);
        zeros = sum_block(zeros, counts);
        subnormals = sum_block(subnormals, counts);
        infinities = sum_block(infinities, counts);
        nans = sum_block(nans, counts);
        largest = max_block(largest, counts);
        if (thread_index() == 0) {
            vg_slot *slot = p.slots + p.slot + segment;
            slot->sum_squares = sum;
            slot->max_abs = widen(bits_float(infinities ? 0x7f800000 : (int32_t)largest));
            slot->elements = segment_elements(p, segment);
            slot->zeros = zeros;
            slot->subnormals = subnormals;
            slot->infinities = infinities;
            slot->nans = nans;
        }
    }
}

/* Census. */

/* |f'| of one column's rows as a lane sees them. */
template <int n> struct slopes {
    double sum[n];
    uint32_t saturated, alive[n]; /* alive: bits of any |f'| */
};
template <int n>
VG_DEVICE void slopes_add(const vg_reduce_args &p, slopes<n> *t, const float *a, uint32_t count)
{
    VG_UNROLL
    for (int i = 0; i < n; i++) {
        if ((uint32_t)i >= count)
            continue;
        float slope = vf_abs(vf_activation_derivative(p.activation, a[i], p.alpha));
        t->sum[i] = t->sum[i] + widen(slope);
        t->saturated += slope < p.bound;
        t->alive[i] |= (uint32_t)float_bits(slope);
    }
}

/* A warp takes a part: some lanes side by side, and the rows in turn where there are more lanes
 * than packs. Parts of a segment share its columns: one that is alive in any is marked once. */
template <typename T>
VG_DEVICE reduce_part census_part(const vg_reduce_args &p, const part_rows &rows)
{
    enum { n = pack_of<T>::n };
    bool whole = packs_fit<n, T>(p.window);
    uint32_t packs = packs_in(p.window.cols, n), across = 1;
    while (across < WARP && across < packs)
        across *= 2;
    slopes<n> t = {};
    for (uint32_t pack = lane_index() % across; pack < packs; pack += across) {
        uint32_t col = pack * n, count = (uint32_t)least(p.window.cols - col, n);
        float a[n];
        VG_UNROLL
        for (int i = 0; i < n; i++)
            t.alive[i] = 0;
        for (uint64_t r = rows.first + lane_index() / across; r < rows.end; r += WARP / across) {
            load_some<n>(element<const T>(p.window, r, col), count, whole, a);
            slopes_add<n>(p, &t, a, count);
        }
        uint32_t *live = p.live + rows.segment * p.window.cols + col;
        VG_UNROLL
        for (int i = 0; i < n; i++)
            if (t.alive[i] && !load_acquire(live + i))
                store_release(live + i, 1);
    }
    reduce_part part = {};
    part.sum = sum_warp(fold_sums<n>(t.sum));
    part.saturated = sum_warp(t.saturated);
    return part;
}

template <typename T> VG_DEVICE void census(const vg_reduce_args &p)
{
    reduce_part *parts = (reduce_part *)p.parts;
    for (uint64_t i = grid_warp(); i < p.segments * p.parts_each; i += grid_warps()) {
        part_rows rows = part_at(p.window, p.segment_rows, p.parts_each, i);
        reduce_part part = census_part<T>(p, rows);
        if (lane_index() == 0)
            parts[i] = part;
    }
}

VG_KERNEL(census_f32, THREADS, vg_reduce_args)
{
    census<float>(p);
}
VG_KERNEL(census_bf16, THREADS, vg_reduce_args)
{
    census<bf16>(p);
}

VG_KERNEL(census_join, THREADS, vg_reduce_args)
{
    VG_SHARED(double, sums, MOST_WARPS);
    VG_SHARED(uint64_t, counts, MOST_WARPS);
    for (uint64_t segment = block_index(); segment < p.segments; segment += block_count()) {
        const reduce_part *parts = (const reduce_part *)p.parts + segment * p.parts_each;
        const uint32_t *live = p.live + segment * p.window.cols;
        double sum = 0;
        uint64_t saturated = 0, dead = 0;
        for (uint64_t i = thread_index(); i < p.parts_each; i += block_threads()) {
            sum = sum + parts[i].sum;
            saturated += parts[i].saturated;
        }
        for (uint32_t j = thread_index(); j < p.window.cols; j += block_threads())
            dead += live[j] == 0;
        sum = sum_block(sum, sums);
        saturated = sum_block(saturated, counts);
        dead = sum_block(dead, counts);
        if (thread_index() == 0) {
            vg_slot *slot = p.slots + p.slot + segment;
            double elements = (double)segment_elements(p, segment);
            slot->mean_abs_derivative = sum / elements;
            slot->saturated = (double)saturated / elements;
            slot->dead = (double)dead / (double)p.window.cols;
        }
    }
}

vg_kernel vg_measure_kernel(vg_dtype window)
{
    return window == VG_BF16 ? VG_KERNEL_ENTRY(measure_bf16, THREADS, vg_reduce_args)
                             : VG_KERNEL_ENTRY(measure_f32, THREADS, vg_reduce_args);
}
vg_kernel vg_measure_join_kernel(void)
{
    return VG_KERNEL_ENTRY(measure_join, THREADS, vg_reduce_args);
}
vg_kernel vg_census_kernel(vg_dtype window)
{
    return window == VG_BF16 ? VG_KERNEL_ENTRY(census_bf16, THREADS, vg_reduce_args)
                             : VG_KERNEL_ENTRY(census_f32, THREADS, vg_reduce_args);
}
vg_kernel vg_census_join_kernel(void)
{
    return VG_KERNEL_ENTRY(census_join, THREADS, vg_reduce_args);
}
