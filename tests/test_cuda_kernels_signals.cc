/* Loss, clipping and rescaling on the GPU against plain loops: what is written to the bit, sums
 * within the slots' tolerance. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "cuda_windows.h"
#include "reduce_kernels.h"
#include "vg/tolerance.h"

#include <memory>

static const vg_dtype dtypes[] = {VG_FP32, VG_BF16};

/* Slots on the device. */
struct slot_array {
    std::vector<vg_slot> host;
    scratch device;
    explicit slot_array(size_t count) : host(count), device(count * sizeof(vg_slot))
    {
    }
    void up()
    {
        cuda_check(cudaMemcpy(device.at, host.data(), host.size() * sizeof host[0],
                              cudaMemcpyHostToDevice),
                   "copy");
    }
    void down()
    {
        cuda_check(cudaMemcpy((void *)host.data(), device.at, host.size() * sizeof host[0],
                              cudaMemcpyDeviceToHost),
                   "copy");
    }
};

static void check_number(const char *name, double got, double want, double tolerance)
{
    bool right = isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance;
    if (!right)
        fail_msg("%s is %.17g, expected %.17g within %g", name, got, want, tolerance);
}

static void check_element(const char *name, const window &w, uint64_t r, uint32_t j, float want)
{
    if (!same(w.get(r, j), want))
        fail_msg("%s, %llu x %u (+%u, shift %u), %s: [%llu, %u] is %a, expected %a", name,
                 (unsigned long long)w.rows, w.cols, w.ld - w.cols, w.shift, vg_dtype_name(w.dtype),
                 (unsigned long long)r, j, (double)w.get(r, j), (double)want);
}

static const struct shape {
    uint64_t rows;
    uint32_t cols, pad, shift, blocks;
} shapes[] = {{1, 1, 0, 0, 1},    {3, 4, 0, 0, 2},  {5, 7, 9, 0, 1},    {17, 33, 15, 0, 3},
              {64, 128, 0, 0, 2}, {9, 64, 0, 1, 1}, {300, 10, 6, 0, 2}, {2, 3001, 7, 0, 3}};

/* Loss. */

static void loss_case(const shape *s, vg_dtype dtype, vg_loss loss, bool strange)
{
    window y(dtype, s->rows, s->cols, s->pad, s->shift), dy(dtype, s->rows, s->cols, s->pad);
    window target(VG_FP32, loss == VG_LOSS_ONES ? 0 : s->rows, s->cols, s->pad, s->shift);
    strange ? y.fill_strange(1) : y.fill_random(1, 2);
    target.fill_random(2, 2);
    y.up(), dy.up(), target.up();
    vg_loss_args args = {};
    args.y = y, args.target = target, args.dy = dy, args.loss = loss, args.divisor = 7;
    uint64_t each = vg_reduce_part_rows(s->rows, s->cols);
    args.parts_each = (s->rows + each - 1) / each;
    scratch parts(args.parts_each * vg_reduce_part_bytes());
    slot_array slots(3);
    slots.up();
    args.parts = parts.at, args.slots = (vg_slot *)slots.device.at, args.slot = 1;
    launch(vg_loss_kernel(dtype), s->blocks, args);
    launch(vg_loss_join_kernel(), s->blocks, args);
    slots.down(), dy.down("dy"), y.down("y");
    double sum = 0, magnitude = 0;
    for (uint64_t r = 0; r < s->rows; r++)
        for (uint32_t j = 0; j < s->cols; j++) {
            float v = y.get(r, j), t = loss == VG_LOSS_ONES ? 1.0f : target.get(r, j), off = v - t;
            bool mse = loss == VG_LOSS_MSE;
            check_element("dy", dy, r, j, stored(dtype, mse ? off / 7.0f : t));
            double term = mse ? 0.5 * (double)off * (double)off / 7 : (double)v * (double)t;
            sum += term, magnitude += fabs(term);
        }
    check_number("loss", slots.host[1].sum_squares, sum,
                 vg_tolerance_slot(s->rows * s->cols, magnitude));
    assert_true(slots.host[0].sum_squares == 0 && slots.host[2].sum_squares == 0);
}

static void losses(void)
{
    for (const shape &s : shapes)
        for (vg_dtype dtype : dtypes)
            for (int strange = 0; strange < 2 && !too_large(s.rows * s.cols / 10); strange++)
                for (vg_loss loss : {VG_LOSS_MSE, VG_LOSS_ONES, VG_LOSS_RANDOM})
                    loss_case(&s, dtype, loss, strange);
}
static void test_loss(void **state)
{
    (void)state;
    each_schedule(losses);
}

/* Clipping. */

enum { GRADS = VG_CLIP_GRADS + 6 };

static double sum_of_squares(const std::vector<std::unique_ptr<window>> &grads, uint64_t *elements)
{
    double sum = 0;
    *elements = 0;
    for (auto &g : grads)
        for (uint64_t r = 0; r < g->rows; r++)
            for (uint32_t j = 0; j < g->cols; j++) {
                sum += (double)g->get(r, j) * (double)g->get(r, j);
                ++*elements;
            }
    return sum;
}

static void clip_case(double max_norm, bool with_nan, bool with_slot)
{
    std::vector<std::unique_ptr<window>> grads;
    std::vector<vg_clip_args> launches;
    uint64_t parts_all = 0;
    for (uint32_t i = 0; i < GRADS; i++) {
        const shape &s = shapes[i % (sizeof shapes / sizeof *shapes)];
        grads.emplace_back(new window(VG_FP32, i % 2 ? 1 : s.rows, s.cols, s.pad, s.shift));
        grads[i]->fill_random(10 + i, 1);
        if (with_nan && i == GRADS - 1)
            grads[i]->set(0, 0, NAN);
        grads[i]->up();
        if (i % VG_CLIP_GRADS == 0)
            launches.push_back(vg_clip_args{});
        vg_clip_args &args = launches.back();
        uint64_t each = vg_reduce_part_rows(grads[i]->rows, s.cols);
        args.grads[args.count] = *grads[i];
        args.first_part[args.count] = parts_all;
        parts_all += (grads[i]->rows + each - 1) / each;
        args.first_part[++args.count] = parts_all;
    }
    scratch parts(parts_all * vg_reduce_part_bytes()), scale(sizeof(float));
    slot_array slots(3);
    slots.up();
    for (vg_clip_args &args : launches) {
        args.parts_all = parts_all, args.parts = parts.at, args.max_norm = max_norm;
        args.scale = (float *)scale.at, args.slots = (vg_slot *)slots.device.at;
        args.slot = with_slot ? 1 : VG_NO_SLOT;
        launch(vg_clip_squares_kernel(), 3, args);
    }
    launch(vg_clip_join_kernel(), 2, launches[0]);
    for (vg_clip_args &args : launches)
        launch(vg_clip_scale_kernel(), 2, args);
    launch(vg_clip_join_after_kernel(), 1, launches[0]);
    slots.down();

    uint64_t elements;
    double before = sum_of_squares(grads, &elements), norm = sqrt(slots.host[1].sum_squares);
    if (!with_slot)
        norm = sqrt(before);
    float factor = norm > max_norm ? (float)(max_norm / norm) : 1.0f;
    for (auto &g : grads) {
        std::unique_ptr<window> now(
            new window(VG_FP32, g->rows, g->cols, g->ld - g->cols, g->shift));
        now->host = g->host;
        g->down("gradient");
        for (uint64_t r = 0; r < g->rows && with_slot; r++)
            for (uint32_t j = 0; j < g->cols; j++)
                check_element("gradient", *g, r, j, factor * now->get(r, j));
    }
    double after = sum_of_squares(grads, &elements);
    if (!with_slot) {
        check_number("norm after", sqrt(after), max_norm, 1e-6 * max_norm);
        assert_true(slots.host[1].sum_squares == 0 && slots.host[2].sum_squares == 0);
        return;
    }
    check_number("before", slots.host[1].sum_squares, before, vg_tolerance_slot(elements, before));
    check_number("after", slots.host[2].sum_squares, after, vg_tolerance_slot(elements, after));
    if (factor == 1)
        assert_true(
            memcmp(&slots.host[1].sum_squares, &slots.host[2].sum_squares, sizeof(double)) == 0);
}

static void clips(void)
{
    clip_case(0.5, false, true);
    clip_case(0.5, false, false);
    clip_case(1e6, false, true);
    clip_case(0.5, true, true);
}
static void test_clip(void **state)
{
    (void)state;
    each_schedule(clips);
}

/* Rescaling. */

/* Exponents of the segments of each signal stand in slots 10·(n + 1) and on, the result in `slot`.
 */
struct rescale_test {
    const char *name;
    uint64_t rows[VG_MAX_SIGNALS]; /* 0: the list ends */
    uint64_t segment_rows;         /* 0: one exponent a signal */
    uint32_t cols, pad, slot;
    bool has_exponent[VG_MAX_SIGNALS], in_place;
    int64_t exponent, exponent_step; /* of signal n, segment i: exponent + n · 17 + i · step */
    float range;                     /* 0: zeros; NAN: numbers of every kind */
    bool bf16_second;                /* signal 1 in bf16 */
};
static const rescale_test rescales[] = {
    {"one", {5}, 0, 7, 9, 1, {false}, false, 0, 0, 1, false},
    {"one, tiny", {3}, 0, 33, 0, 1, {true}, false, 300, 0, 0x1p-130f, false},
    {"two", {40, 3}, 0, 16, 0, 1, {true, true}, false, -1000, 0, 3, false},
    {"mixed", {8, 9}, 0, 12, 4, 1, {true, true}, true, 50, 0, 3, true},
    {"segments", {10, 10, 10}, 4, 8, 0, 1, {true, true, false}, false, -60, 40, 2, false},
    {"far apart", {12, 12}, 2, 5, 3, 1, {true, true}, false, -9000, 4000, 2, false},
    {"zeros", {6, 6}, 3, 5, 3, 1, {true, true}, false, -70, 9, 0, false},
    {"zeros, none", {6}, 0, 5, 3, 1, {false}, false, 0, 0, 0, false},
    {"strange", {50, 20}, 5, 31, 1, 1, {true, false}, false, 3, -7, NAN, false},
    {"own slot", {300}, 0, 50, 2, 10, {true}, true, 77, 0, 5, false},
    {"into subnormals", {4, 4}, 0, 40, 0, 1, {true, true}, false, -178, 178, 1, true},
    {"many parts", {700, 300}, 0, 50, 14, 1, {true, true}, false, 5, 0, 9, false},
};

static int64_t exponent_of(const rescale_test *t, uint32_t n, uint64_t segment)
{
    return t->has_exponent[n] ? t->exponent + n * 17 + (int64_t)segment * t->exponent_step : 0;
}

static void check_rescaled(const rescale_test *t, uint32_t signals, std::unique_ptr<window> *in,
                           std::unique_ptr<window> *out, const vg_slot *slot)
{
    int64_t common = INT64_MIN, most = INT64_MIN;
    uint64_t zeros = 0, subnormals = 0;
    for (uint32_t n = 0; n < signals; n++)
        for (uint64_t r = 0; r < in[n]->rows; r++) {
            int64_t e = exponent_of(t, n, t->segment_rows ? r / t->segment_rows : 0);
            most = e > most ? e : most;
            for (uint32_t j = 0; j < t->cols; j++) {
                double x = (double)in[n]->get(r, j), size = fabs(x);
                int binary;
                zeros += n == 0 && x == 0;
                subnormals += n == 0 && size > 0 && size < 0x1p-126;
                if (x == 0 || !(size < (double)INFINITY))
                    continue;
                (void)frexp(x, &binary);
                common = e + binary - 61 > common ? e + binary - 61 : common;
            }
        }
    common = common == INT64_MIN ? most : common;
    check_number("exponent", (double)slot->exponent, (double)common, 0);
    check_number("elements", (double)slot->elements, (double)(in[0]->rows * t->cols), 0);
    check_number("zeros", (double)slot->zeros, (double)zeros, 0);
    check_number("subnormals", (double)slot->subnormals, (double)subnormals, 0);
    assert_true(slot->sum_squares == 0 && slot->max_abs == 0 && slot->nans == 0);
    for (uint32_t n = 0; n < signals; n++)
        for (uint64_t r = 0; r < in[n]->rows; r++)
            for (uint32_t j = 0; j < t->cols; j++) {
                int64_t by = exponent_of(t, n, t->segment_rows ? r / t->segment_rows : 0) - common;
                int shift = by < -5000 ? -5000 : by > 5000 ? 5000 : (int)by;
                double scaled = ldexp((double)in[n]->get(r, j), shift);
                check_element(t->name, *out[n], r, j, (float)vg_dtype_round(out[n]->dtype, scaled));
            }
}

static void rescale_case(const rescale_test *t)
{
    std::unique_ptr<window> in[VG_MAX_SIGNALS], out[VG_MAX_SIGNALS], before[VG_MAX_SIGNALS];
    vg_rescale_args args = {};
    slot_array slots(60);
    while (args.signals < VG_MAX_SIGNALS && t->rows[args.signals]) {
        uint32_t n = args.signals++;
        vg_dtype dtype = n == 1 && t->bf16_second ? VG_BF16 : VG_FP32;
        uint64_t rows = t->rows[n], segment = t->segment_rows ? t->segment_rows : rows;
        in[n].reset(new window(dtype, rows, t->cols, t->pad));
        out[n].reset(new window(dtype, rows, t->cols, t->pad + n));
        if (isnan(t->range))
            in[n]->fill_strange(n);
        else
            in[n]->fill_random(20 + n, t->range);
        in[n]->up(), out[n]->up();
        before[n].reset(new window(dtype, rows, t->cols, t->pad));
        before[n]->host = in[n]->host;
        uint64_t each = vg_reduce_part_rows(segment, t->cols);
        uint64_t segments = (rows + segment - 1) / segment;
        args.in[n] = *in[n], args.out[n] = t->in_place ? *in[n] : *out[n];
        args.exponent[n] = t->has_exponent[n] ? 10 * (n + 1) : VG_NO_SLOT;
        args.segment_rows[n] = segment, args.dtype[n] = dtype;
        args.parts_each[n] = (segment + each - 1) / each;
        args.first_part[n + 1] = args.first_part[n] + segments * args.parts_each[n];
        for (uint64_t i = 0; i < segments && t->has_exponent[n]; i++)
            slots.host[10 * (n + 1) + i].exponent = exponent_of(t, n, i);
    }
    scratch parts(args.first_part[args.signals] * vg_reduce_part_bytes());
    slots.up();
    args.parts = parts.at, args.slots = (vg_slot *)slots.device.at, args.slot = t->slot;
    launch(vg_rescale_look_kernel(), 2, args);
    launch(vg_rescale_join_kernel(), 2, args);
    launch(vg_rescale_write_kernel(), 3, args);
    slots.down();
    for (uint32_t n = 0; n < args.signals; n++) {
        in[n]->down("signal"), out[n]->down("scaled");
        for (uint64_t r = 0; r < in[n]->rows && !t->in_place; r++)
            for (uint32_t j = 0; j < t->cols; j++)
                check_element("left as it was", *in[n], r, j, before[n]->get(r, j));
    }
    check_rescaled(t, args.signals, before, t->in_place ? in : out, &slots.host[t->slot]);
}

static void all_rescales(void)
{
    for (const rescale_test &t : rescales)
        rescale_case(&t);
}
static void test_rescale(void **state)
{
    (void)state;
    each_schedule(all_rescales);
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_rescale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
