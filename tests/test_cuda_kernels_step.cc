/* Regime L's step of every cell, forward and back, over short sequences: the bits of cpu.scalar's
 * step from the same numbers. The products are random, as if their weights were. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
}

#include "cuda_windows.h"
#include "kernels.h"
#include "scan_kernels.h"

#include <memory>

enum { STEPS = 3 };

static const struct cell {
    const char *name;
    vg_model_kind kind;
    uint32_t gates, states, kept;
    bool differ, takes;
} cells[] = {
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    {#id, VG_##id, gates, states, kept, differ, takes},
#include "vg/cells.def"
#undef VG_CELL
};

static const vg_activation activations[] = {VG_identity, VG_sigmoid, VG_tanh, VG_relu};

/* Odd widths leave no pack aligned; the last shapes are wide enough for packs in a small grid. */
static const struct shape {
    uint32_t batch, units, pad, blocks;
} shapes[] = {{1, 1, 0, 1}, {1, 1, 15, 2},  {3, 5, 3, 1},   {2, 33, 7, 2},
              {5, 4, 0, 1}, {2, 64, 16, 1}, {9, 128, 0, 1}, {4, 260, 12, 1}};

/* What a backward scan is asked for. */
static const struct variant {
    uint64_t t0, t1;
    int dy; /* 0: none, 1: the last step's, 2: every step's */
    bool dy_wide, dstateT, dstate0, in_place, total, strange;
} variants[] = {
    {0, STEPS, 1, false, false, true, false, false, false},
    {0, STEPS, 2, false, true, true, true, true, false},
    {1, STEPS, 2, true, true, true, false, true, false},
    {0, 2, 0, false, true, true, false, false, true},
    {0, 1, 2, true, true, false, false, true, false},
    {1, 2, 0, false, true, true, true, false, false},
};

typedef std::unique_ptr<window> owned;
static owned make(bool wanted, vg_dtype dtype, uint64_t rows, uint32_t cols, uint32_t pad)
{
    return owned(new window(dtype, wanted ? rows : 0, cols, pad));
}

/* A window's rows [first, ...) as floats without padding; none where it is absent. */
static std::vector<float> floats_of(const window &w)
{
    std::vector<float> out;
    for (uint64_t r = 0; r < w.rows; r++)
        for (uint32_t j = 0; j < w.cols; j++)
            out.push_back(w.get(r, j));
    return out;
}

/* One layer's windows, forward ones filled. y has the rows of state0[0] before its own. */
struct layer {
    const cell *c;
    const shape *s;
    vg_dtype dtype;
    vg_activation activation;
    uint32_t batch, units, gate_cols;
    owned preact, bias, state1, y, reserve, product;

    layer(const cell *c_, const shape *s_, vg_dtype dtype_, vg_activation activation_)
        : c(c_), s(s_), dtype(dtype_), activation(activation_), batch(s_->batch), units(s_->units),
          gate_cols(c_->gates * s_->units)
    {
        uint64_t rows = (uint64_t)STEPS * batch;
        vg_dtype kept = c->states > 1 ? VG_FP32 : dtype;
        uint32_t kept_cols = (c->kept + c->states - 1) * units;
        preact = make(true, VG_FP32, rows, gate_cols, s->pad);
        bias = make(true, VG_FP32, 1, gate_cols, 0);
        state1 = make(c->states > 1, VG_FP32, batch, units, s->pad);
        y = make(true, dtype, rows + batch, units, s->pad);
        reserve = make(kept_cols > 0, kept, rows, kept_cols, s->pad);
        product = make(true, VG_FP32, batch, gate_cols, s->pad);
    }
    vg_window outputs() const
    {
        vg_window w = *y;
        w.at = (unsigned char *)w.at + (size_t)batch * w.ld * vg_dtype_size(dtype);
        w.rows -= batch;
        return w;
    }
};

static void check(const layer &l, const char *what, const window &got, uint64_t first, uint32_t col,
                  const float *want)
{
    for (uint32_t r = 0; r < l.batch; r++)
        for (uint32_t u = 0; u < l.units; u++) {
            float expected = stored(got.dtype, want[r * l.units + u]);
            if (!same(got.get(first + r, col + u), expected))
                fail_msg("%s %s, batch %u, %u units (+%u), %s: %s of row %llu, column %u is %a, "
                         "expected %a",
                         l.c->name, vg_dtype_name(l.dtype), l.batch, l.units, l.s->pad,
                         vg_activation_find(l.activation)->name, what,
                         (unsigned long long)(first + r), col + u,
                         (double)got.get(first + r, col + u), (double)expected);
        }
}

/* Forward. */

static void forward_step(layer *l, uint64_t t)
{
    vg_scan_fwd_args args = {};
    args.preact_x = *l->preact, args.bias_hh = *l->bias, args.y = l->outputs();
    args.state0[0] = *l->y, args.state0[0].rows = l->batch, args.state0[1] = *l->state1;
    args.reserve = *l->reserve, args.t0 = t, args.t1 = t + 1;
    args.batch = l->batch, args.units = l->units, args.activation = l->activation;
    args.product = *l->product;
    l->product->fill_random(50 + t, 2);
    l->product->up();

    size_t row = (size_t)l->batch * l->units, h = l->units, g = l->gate_cols;
    std::vector<float> x = floats_of(*l->preact), product = floats_of(*l->product);
    std::vector<float> bias = floats_of(*l->bias), y = floats_of(*l->y);
    std::vector<float> reserve = floats_of(*l->reserve), state1 = floats_of(*l->state1);
    std::vector<float> out[VG_MAX_STATES], kept(l->c->kept * row);
    size_t kept_ld = l->reserve->cols;
    vg_cell_fwd_step step = {};
    step.cell = l->c->kind, step.activation = l->activation;
    step.rows = l->batch, step.units = l->units;
    step.x = {x.data() + t * l->batch * g, g, h};
    step.h = {product.data(), g, h};
    step.bias = {bias.data(), 0, h};
    step.state[0] = {y.data() + t * row, h};
    step.state[1] = {state1.data(), h};
    if (t && l->c->states > 1)
        step.state[1] = {reserve.data() + (t - 1) * l->batch * kept_ld + l->c->kept * h, kept_ld};
    for (uint32_t i = 0; i < l->c->states; i++) {
        out[i].resize(row);
        step.out[i] = {out[i].data(), h};
    }
    step.kept = {kept.data(), l->c->kept * h, h};
    vg_kernels_scalar.cell_fwd(&step);

    launch(vg_scan_step_fwd_kernel(l->c->kind, l->dtype), l->s->blocks, args);
    l->y->down("y"), l->reserve->down("reserve");
    check(*l, "y", *l->y, (t + 1) * l->batch, 0, out[0].data());
    for (uint32_t i = 1; i < l->c->states; i++)
        check(*l, "state", *l->reserve, t * l->batch, (l->c->kept + i - 1) * l->units,
              out[i].data());
    for (uint32_t i = 0; i < l->c->kept; i++) {
        std::vector<float> one(row);
        for (size_t k = 0; k < row; k++)
            one[k] = kept[(k / h) * l->c->kept * h + i * h + k % h];
        check(*l, "kept", *l->reserve, t * l->batch, i * l->units, one.data());
    }
}

static void forward(layer *l, bool strange)
{
    strange ? l->preact->fill_strange(1) : l->preact->fill_random(1, 2);
    l->bias->fill_random(2, 1), l->state1->fill_random(3, 1);
    for (uint32_t r = 0; r < l->batch; r++)
        for (uint32_t u = 0; u < l->units; u++)
            l->y->set(r, u, draw(4, r * l->units + u, 1));
    l->preact->up(), l->bias->up(), l->state1->up(), l->y->up(), l->reserve->up();
    for (uint64_t t = 0; t < STEPS; t++)
        forward_step(l, t);
}

/* Backward. */

struct backward {
    layer *l;
    const variant *v;
    owned dy, dstateT[VG_MAX_STATES], dstate0[VG_MAX_STATES], carry[VG_MAX_STATES];
    owned gates_x, gates_h, dh, dc, product;
    vg_scan_bwd_args args;

    backward(layer *l_, const variant *v_) : l(l_), v(v_), args()
    {
        uint32_t b = l->batch, h = l->units, pad = l->s->pad;
        uint64_t rows = (uint64_t)STEPS * b;
        dy = make(v->dy > 0, v->dy_wide ? VG_FP32 : l->dtype, v->dy > 1 ? rows : b, h, pad);
        for (uint32_t i = 0; i < VG_MAX_STATES; i++) {
            bool is = i < l->c->states;
            dstateT[i] = make(is && v->dstateT, VG_FP32, b, h, pad);
            dstate0[i] = make(is && v->dstate0 && !v->in_place, VG_FP32, b, h, pad);
            carry[i] = make(is && (i > 0 || l->c->differ), VG_FP32, b, h, 0);
            dstateT[i]->fill_random(30 + i, 1);
            dstateT[i]->up(), dstate0[i]->up(), carry[i]->up();
            args.dstateT[i] = *dstateT[i], args.carry[i] = *carry[i];
            args.dstate0[i] = v->in_place ? *dstateT[i] : *dstate0[i];
        }
        gates_x = make(true, l->dtype, rows, l->gate_cols, pad);
        gates_h = make(l->c->differ, l->dtype, rows, l->gate_cols, pad);
        dh = make(v->total, VG_FP32, rows, h, pad);
        dc = make(v->total && l->c->states > 1, VG_FP32, rows, h, pad);
        product = make(true, VG_FP32, b, h, pad);
        dy->fill_random(40, 1);
        dy->up(), gates_x->up(), gates_h->up(), dh->up(), dc->up();
        args.reserve = *l->reserve, args.y = l->outputs(), args.state0[0] = *l->y;
        args.state0[0].rows = b, args.state0[1] = *l->state1, args.dy = *dy;
        args.dgates_x = *gates_x, args.dgates_h = l->c->differ ? *gates_h : *gates_x;
        args.dh = *dh, args.dc = *dc, args.t0 = v->t0, args.t1 = v->t1;
        args.batch = b, args.units = h, args.activation = l->activation;
        args.dy_wide = v->dy_wide;
    }
    window &first_state(uint32_t i)
    {
        return v->in_place ? *dstateT[i] : *dstate0[i];
    }
    void product_of(uint64_t step)
    {
        product->fill_random(60 + step, 1);
        product->up();
        args.product = *product;
    }
    void take(uint64_t t);
    void take_first();
};

static const float *data_or_null(const std::vector<float> &v)
{
    return v.empty() ? nullptr : v.data();
}

/* Column block `i` of `cols` wide rows. */
static std::vector<float> block_of(const std::vector<float> &from, size_t cols, size_t h, size_t i)
{
    std::vector<float> out;
    for (size_t r = 0; r < from.size() / cols; r++)
        out.insert(out.end(), from.begin() + (ptrdiff_t)(r * cols + i * h),
                   from.begin() + (ptrdiff_t)(r * cols + (i + 1) * h));
    return out;
}

void backward::take(uint64_t t)
{
    const cell *c = l->c;
    bool last = t + 1 == v->t1;
    size_t h = l->units, row = (size_t)l->batch * h, ld = l->reserve->cols, g = l->gate_cols;
    if (!last)
        product_of(t + 1);
    std::vector<float> y = floats_of(*l->y), reserve = floats_of(*l->reserve);
    std::vector<float> state1 = floats_of(*l->state1), up = floats_of(*dy);
    std::vector<float> back = last ? std::vector<float>() : floats_of(*product);
    std::vector<float> in[VG_MAX_STATES], out[VG_MAX_STATES], total[VG_MAX_STATES];
    std::vector<float> dx(g * l->batch), dgates(g * l->batch);
    vg_cell_bwd_step step = {};
    step.cell = c->kind, step.activation = l->activation, step.rows = l->batch, step.units = h;
    step.state[0] = {y.data() + t * row, h}, step.out[0] = {y.data() + (t + 1) * row, h};
    if (c->kept)
        step.kept = {reserve.data() + t * l->batch * ld, ld, h};
    for (uint32_t i = 0; i < c->states; i++) {
        bool carried = i > 0 || c->differ;
        in[i] = last ? floats_of(*dstateT[i]) : carried ? floats_of(*carry[i]) : in[i];
        out[i].resize(row), total[i].resize(row);
        step.carry[i] = {data_or_null(in[i]), h};
        step.dstate[i] = {out[i].data(), h}, step.total[i] = {total[i].data(), h};
    }
    if (c->states > 1) {
        const float *states = reserve.data() + c->kept * h;
        step.out[1] = {states + t * l->batch * ld, ld};
        step.state[1] = {state1.data(), h};
        if (t)
            step.state[1] = {states + (t - 1) * l->batch * ld, ld};
    }
    step.product = {data_or_null(back), h};
    if (v->dy > 1)
        step.dy = {up.data() + t * row, h};
    else if (v->dy && last)
        step.dy = {up.data(), h};
    step.dx = {dx.data(), g, h}, step.dh = {dgates.data(), g, h};
    vg_kernels_scalar.cell_bwd(&step);

    args.step = t;
    launch(vg_scan_step_bwd_kernel(c->kind, l->dtype), l->s->blocks, args);
    gates_x->down("dgates_x"), gates_h->down("dgates_h"), dh->down("dh"), dc->down("dc");
    for (uint32_t i = 0; i < c->states; i++)
        carry[i]->down("carry"), dstate0[i]->down("dstate0"), dstateT[i]->down("dstateT");
    for (uint32_t i = 0; i < c->gates; i++) {
        uint32_t col = i * l->units;
        check(*l, "dgates_x", *gates_x, t * l->batch, col, block_of(dx, g, h, i).data());
        if (c->differ)
            check(*l, "dgates_h", *gates_h, t * l->batch, col, block_of(dgates, g, h, i).data());
    }
    if (c->differ)
        check(*l, "carry", *carry[0], 0, 0, out[0].data());
    for (uint32_t i = 1; i < c->states; i++)
        if (t > v->t0)
            check(*l, "carry", *carry[i], 0, 0, out[i].data());
        else if (v->dstate0)
            check(*l, "dstate0", first_state(i), 0, 0, out[i].data());
    if (v->total)
        check(*l, "dh", *dh, t * l->batch, 0, total[0].data());
    if (v->total && c->states > 1)
        check(*l, "dc", *dc, t * l->batch, 0, total[1].data());
}

void backward::take_first()
{
    product_of(v->t0);
    args.step = v->t0 - 1;
    std::vector<float> want = floats_of(*product), more = floats_of(*carry[0]);
    for (size_t k = 0; k < want.size() && l->c->differ; k++)
        want[k] = want[k] + more[k];
    launch(vg_scan_step_bwd_kernel(l->c->kind, l->dtype), l->s->blocks, args);
    for (uint32_t i = 0; i < l->c->states; i++)
        carry[i]->down("carry"), dstate0[i]->down("dstate0"), dstateT[i]->down("dstateT");
    if (v->dstate0)
        check(*l, "dstate0", first_state(0), 0, 0, want.data());
}

static void all(void)
{
    for (const cell &c : cells)
        for (const shape &s : shapes)
            for (vg_dtype dtype : {VG_FP32, VG_BF16})
                for (vg_activation f : activations) {
                    /* No thread meets another here. */
                    bool large = too_large((uint64_t)s.batch * s.units * (f ? 600 : 50));
                    if (large || (!c.takes && f != VG_identity))
                        continue;
                    for (const variant &v : variants) {
                        layer l(&c, &s, dtype, f);
                        forward(&l, v.strange);
                        backward b(&l, &v);
                        for (uint64_t t = v.t1; t-- > v.t0;)
                            b.take(t);
                        b.take_first();
                    }
                }
}
static void test_steps(void **state)
{
    (void)state;
    each_schedule(all);
}

int main(void)
{
    need_gpu();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
