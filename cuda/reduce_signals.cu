/* Loss, clipping and rescaling: passes over signals that write as well as sum. */
#include "reduce.cuh"

#include <string.h>

/* Loss. */

/* One pack: dy is made of y and target, and what is summed is added. */
template <int n>
VG_DEVICE void loss_at(const vg_loss_args &p, uint32_t count, const float *y, const float *target,
                       float *dy, double *sum)
{
    float divisor = (float)p.divisor;
    VG_UNROLL
    for (int i = 0; i < n; i++) {
        float off = y[i] - target[i];
        dy[i] = p.loss == VG_LOSS_MSE ? off / divisor : p.loss == VG_LOSS_ONES ? 1.0f : target[i];
        double a = p.loss == VG_LOSS_MSE ? off : y[i], b = p.loss == VG_LOSS_MSE ? off : dy[i];
        if ((uint32_t)i < count)
            sum[i] = fma(a, b, sum[i]);
    }
}

template <typename T> VG_DEVICE void loss(const vg_loss_args &p)
{
    enum { n = pack_of<T>::n };
    bool whole = packs_fit<n, T>(p.y) && packs_fit<n, T>(p.dy) && packs_fit<4, float>(p.target);
    for (uint64_t index = grid_warp(); index < p.parts_each; index += grid_warps()) {
        part_rows rows = part_at(p.y, p.y.rows, p.parts_each, index);
        double sum[n] = {};
        each_pack<2, T>(p.y, rows.first, rows.end, [&](const float *y, const place &at) {
            float target[n] = {}, dy[n];
            if (p.target.at)
                load_some<n>(element<const float>(p.target, at.row, at.col), at.count, whole,
                             target);
            loss_at<n>(p, at.count, y, target, dy, sum);
            store_some<n>(element<T>(p.dy, at.row, at.col), at.count, whole, dy);
        });
        double total = sum_warp(fold_sums<n>(sum));
        if (lane_index() == 0)
            ((double *)p.parts)[index] = total;
    }
}

VG_KERNEL(loss_f32, THREADS, vg_loss_args)
{
    loss<float>(p);
}
VG_KERNEL(loss_bf16, THREADS, vg_loss_args)
{
    loss<bf16>(p);
}

/* The sum of parts, in every thread of the block. */
VG_DEVICE double join_parts(const void *parts, uint64_t count, double *shared)
{
    double sum = 0;
    for (uint64_t i = thread_index(); i < count; i += block_threads())
        sum = sum + ((const double *)parts)[i];
    return sum_block(sum, shared);
}

VG_KERNEL(loss_join, JOIN_THREADS, vg_loss_args)
{
    VG_SHARED(double, shared, MOST_WARPS);
    if (block_index() != 0)
        return;
    double sum = join_parts(p.parts, p.parts_each, shared);
    if (thread_index() == 0 && p.slot != VG_NO_SLOT)
        p.slots[p.slot].sum_squares = p.loss == VG_LOSS_MSE ? 0.5 * sum / p.divisor : sum;
}

/* Clipping. */

/* Which of `count` runs of numbers, run i from first[i] up to first[i + 1], has `number`. */
VG_DEVICE uint32_t run_of(const uint64_t *first, uint32_t count, uint64_t number)
{
    uint32_t low = 0, high = count;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (first[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

template <bool scales> VG_DEVICE void clip(const vg_clip_args &p, float scale)
{
    double *parts = (double *)p.parts;
    uint64_t end = p.first_part[p.count];
    for (uint64_t index = p.first_part[0] + grid_warp(); index < end; index += grid_warps()) {
        uint32_t i = run_of(p.first_part, p.count, index);
        vg_window grad = p.grads[i];
        bool whole = packs_fit<4, float>(grad);
        part_rows rows = part_at(grad, grad.rows, p.first_part[i + 1] - p.first_part[i],
                                 index - p.first_part[i]);
        double sum[4] = {};
        each_pack<4, float>(grad, rows.first, rows.end, [&](float *v, const place &at) {
            VG_UNROLL
            for (int k = 0; k < 4; k++) {
                if (scales)
                    v[k] = scale * v[k];
                if ((uint32_t)k < at.count)
                    sum[k] = fma((double)v[k], (double)v[k], sum[k]);
            }
            if (scales)
                store_some<4>(element<float>(grad, at.row, at.col), at.count, whole, v);
        });
        double total = sum_warp(fold_sums<4>(sum));
        if (lane_index() == 0)
            parts[index] = total;
    }
}

VG_KERNEL(clip_squares, THREADS, vg_clip_args)
{
    clip<false>(p, 1);
}
VG_KERNEL(clip_scale, THREADS, vg_clip_args)
{
    float scale = *p.scale;
    if (scale != 1)
        clip<true>(p, scale);
}

VG_KERNEL(clip_join, JOIN_THREADS, vg_clip_args)
{
    VG_SHARED(double, shared, MOST_WARPS);
    if (block_index() != 0)
        return;
    double sum = join_parts(p.parts, p.parts_all, shared), norm = sqrt(sum);
    if (thread_index() == 0) {
        *p.scale = norm > p.max_norm ? round_once(p.max_norm / norm) : 1.0f;
        if (p.slot != VG_NO_SLOT)
            p.slots[p.slot].sum_squares = sum;
    }
}
/* Where nothing was scaled, the norm is what it was. */
VG_KERNEL(clip_join_after, JOIN_THREADS, vg_clip_args)
{
    VG_SHARED(double, shared, MOST_WARPS);
    if (block_index() != 0 || p.slot == VG_NO_SLOT)
        return;
    double sum = join_parts(p.parts, p.parts_all, shared);
    if (thread_index() == 0)
        p.slots[p.slot + 1].sum_squares = *p.scale == 1 ? p.slots[p.slot].sum_squares : sum;
}

/* Rescaling. */

VG_DEVICE part_rows rescale_part(const vg_rescale_args &p, uint64_t index, uint32_t *signal)
{
    uint32_t n = run_of(p.first_part, p.signals, index);
    *signal = n;
    return part_at(p.in[n], p.segment_rows[n], p.parts_each[n], index - p.first_part[n]);
}

VG_KERNEL(rescale_look, THREADS, vg_rescale_args)
{
    reduce_part *parts = (reduce_part *)p.parts;
    for (uint64_t i = grid_warp(); i < p.first_part[p.signals]; i += grid_warps()) {
        uint32_t n;
        part_rows rows = rescale_part(p, i, &n);
        reduce_part part = p.dtype[n] == VG_BF16 ? look_at<bf16>(p.in[n], rows.first, rows.end)
                                                 : look_at<float>(p.in[n], rows.first, rows.end);
        if (lane_index() == 0)
            parts[i] = part;
    }
}

/* b such that the positive number of these bits lies in [2^(b - 1), 2^b). */
VG_DEVICE int64_t binary_exponent(uint32_t bits)
{
    if (bits >> 23)
        return (int64_t)(bits >> 23) - 126;
    int64_t b = -149;
    for (; bits; bits >>= 1)
        b++;
    return b;
}

/* The exponent that the numbers of part `index` come with. */
VG_DEVICE int64_t exponent_of(const vg_rescale_args &p, uint64_t index)
{
    uint32_t n = run_of(p.first_part, p.signals, index);
    uint64_t segment = divide(index - p.first_part[n], p.parts_each[n]);
    return p.exponent[n] == VG_NO_SLOT ? 0 : p.slots[p.exponent[n] + segment].exponent;
}

VG_KERNEL(rescale_join, JOIN_THREADS, vg_rescale_args)
{
    VG_SHARED(int64_t, exponents, MOST_WARPS);
    VG_SHARED(uint64_t, counts, MOST_WARPS);
    if (block_index() != 0)
        return;
    reduce_part *parts = (reduce_part *)p.parts;
    uint64_t all = p.first_part[p.signals], zeros = 0, subnormals = 0;
    int64_t common = INT64_MIN, most = INT64_MIN;
    for (uint64_t i = thread_index(); i < all; i += block_threads()) {
        int64_t e = exponent_of(p, i);
        most = e > most ? e : most;
        if (parts[i].largest) {
            int64_t needed = e + binary_exponent(parts[i].largest) - 61;
            common = needed > common ? needed : common;
        }
        if (i < p.first_part[1]) {
            zeros += parts[i].zeros;
            subnormals += parts[i].subnormals;
        }
    }
    most = max_block(most, exponents);
    common = max_block(common, exponents);
    zeros = sum_block(zeros, counts);
    subnormals = sum_block(subnormals, counts);
    if (common == INT64_MIN)
        common = most;
    /* 2^±600 makes zeros and infinities of all floats. */
    for (uint64_t i = thread_index(); i < all; i += block_threads()) {
        int64_t by = exponent_of(p, i) - common;
        parts[i].exponent = by < -600 ? -600 : by > 600 ? 600 : by;
    }
    sync_block(); /* the slot may be one that was read */
    if (thread_index() == 0) {
        vg_slot slot = {};
        slot.elements = p.in[0].rows * p.in[0].cols;
        slot.zeros = zeros;
        slot.subnormals = subnormals;
        slot.exponent = common;
        p.slots[p.slot] = slot;
    }
}

/* 2^by for a by that double holds. */
VG_DEVICE double power_of_two(int64_t by)
{
    uint64_t bits = (uint64_t)(by + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* Through double, which holds every product: rounded once. */
template <typename T>
VG_DEVICE void write_scaled(const vg_window &in, const vg_window &out, const part_rows &rows,
                            double factor)
{
    enum { n = pack_of<T>::n };
    bool whole = packs_fit<n, T>(out);
    each_pack<2, T>(in, rows.first, rows.end, [&](float *v, const place &at) {
        VG_UNROLL
        for (int i = 0; i < n; i++)
            v[i] = round_once(factor * widen(v[i]));
        store_some<n>(element<T>(out, at.row, at.col), at.count, whole, v);
    });
}

VG_KERNEL(rescale_write, THREADS, vg_rescale_args)
{
    const reduce_part *parts = (const reduce_part *)p.parts;
    for (uint64_t i = grid_warp(); i < p.first_part[p.signals]; i += grid_warps()) {
        uint32_t n;
        part_rows rows = rescale_part(p, i, &n);
        double factor = power_of_two(parts[i].exponent);
        if (p.dtype[n] == VG_BF16)
            write_scaled<bf16>(p.in[n], p.out[n], rows, factor);
        else
            write_scaled<float>(p.in[n], p.out[n], rows, factor);
    }
}

vg_kernel vg_loss_kernel(vg_dtype storage)
{
    return storage == VG_BF16 ? VG_KERNEL_ENTRY(loss_bf16, THREADS, vg_loss_args)
                              : VG_KERNEL_ENTRY(loss_f32, THREADS, vg_loss_args);
}
vg_kernel vg_loss_join_kernel(void)
{
    return VG_KERNEL_ENTRY(loss_join, JOIN_THREADS, vg_loss_args);
}
vg_kernel vg_clip_squares_kernel(void)
{
    return VG_KERNEL_ENTRY(clip_squares, THREADS, vg_clip_args);
}
vg_kernel vg_clip_join_kernel(void)
{
    return VG_KERNEL_ENTRY(clip_join, JOIN_THREADS, vg_clip_args);
}
vg_kernel vg_clip_scale_kernel(void)
{
    return VG_KERNEL_ENTRY(clip_scale, THREADS, vg_clip_args);
}
vg_kernel vg_clip_join_after_kernel(void)
{
    return VG_KERNEL_ENTRY(clip_join_after, JOIN_THREADS, vg_clip_args);
}
vg_kernel vg_rescale_look_kernel(void)
{
    return VG_KERNEL_ENTRY(rescale_look, THREADS, vg_rescale_args);
}
vg_kernel vg_rescale_join_kernel(void)
{
    return VG_KERNEL_ENTRY(rescale_join, JOIN_THREADS, vg_rescale_args);
}
vg_kernel vg_rescale_write_kernel(void)
{
    return VG_KERNEL_ENTRY(rescale_write, THREADS, vg_rescale_args);
}
