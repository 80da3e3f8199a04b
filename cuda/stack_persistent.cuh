/* The way of a run of layers through one cooperative kernel, forward and backward. Every block owns
 * units of every layer and some rows. The weights of the next layers are always on their way to
 * shared memory; they are asked for as soon as a stage is free, while the block waits for the
 * others. A layer's output goes to a window of its own, so that one exchange of flags a layer is
 * all that is waited for; what the exchange does not need (the bias, the skip, the activation that
 * a derivative is taken of) is on its way to registers before the wait.
 *
 * A thread has the same units and rows of every layer: what it reads of its own columns, it has
 * written itself. */
#ifndef VG_STACK_PERSISTENT_CUH
#define VG_STACK_PERSISTENT_CUH

#include "stack_product.cuh"

/* Rows of a thread whose numbers are loaded before the wait. */
enum { AHEAD = 2 };

/* What a thread does between products: one unit of rows row, row + step ... */
struct unit_rows {
    uint32_t column, row, step, rows; /* column: of the block; rows: 0 where the thread has none */
    uint32_t ld;
    uint64_t first; /* where the unit stands in the block's first row */
};

VG_DEVICE unit_rows unit_rows_of(const vg_stack_args &p, const station &here)
{
    unit_rows u;
    const uint32_t thread = thread_index();
    u.column = thread % p.tiles.units;
    u.row = thread / p.tiles.units;
    u.step = p.tiles.tile_rows;
    u.rows = u.column < here.units && u.row < u.step ? here.rows : 0;
    u.ld = p.ld;
    u.first = (uint64_t)here.row * p.ld + here.unit + u.column;
    return u;
}

/* Where a thread's unit stands in a row. */
VG_DEVICE uint64_t own(const unit_rows &u, uint32_t row)
{
    return u.first + (uint64_t)row * u.ld;
}

/* Those of its first rows, where the window is there. */
VG_DEVICE void load_ahead(const float *from, const unit_rows &u, float *to)
{
    VG_UNROLL
    for (uint32_t n = 0; n < AHEAD; n++)
        if (from && u.row + n * u.step < u.rows)
            to[n] = from[own(u, u.row + n * u.step)];
}

/* Calls each(row, n): n < AHEAD is a constant where the row is one of the first. */
template <typename F> VG_DEVICE void each_row(const unit_rows &u, const F &each)
{
    VG_UNROLL
    for (uint32_t n = 0; n < AHEAD; n++)
        if (u.row + n * u.step < u.rows)
            each(u.row + n * u.step, n);
    for (uint32_t row = u.row + AHEAD * u.step; row < u.rows; row += u.step)
        each(row, (uint32_t)AHEAD);
}

/* The weights' way: stages in shared memory, filled in turn. */
struct weight_stages {
    float *at;
    uint32_t floats, count, asked, to; /* of a stage; layers asked for; the next one's stage */
};

/* Asks for the next layer's, where there is one; its stage is one that nobody reads. */
template <bool backward>
VG_DEVICE void ask_next(const vg_stack_args &p, const station &here, const vg_stack_layer *layers,
                        weight_stages *s)
{
    if (s->asked < p.count)
        ask_slice<backward>(p, here, layers[s->asked].weight, s->at + s->to * s->floats);
    copy_async_commit();
    s->asked++;
    s->to = s->to + 1 < s->count ? s->to + 1 : 0;
}

/* Until this thread's part of the oldest that was asked for is there. */
VG_DEVICE void await_weights(const weight_stages &s)
{
    static_assert(VG_STACK_STAGES == 3, "two or three");
    if (s.count == 2)
        copy_async_wait<1>();
    else
        copy_async_wait<2>();
}

template <bool backward>
VG_DEVICE weight_stages ask_first(const vg_stack_args &p, const station &here,
                                  const vg_stack_layer *layers, unsigned char *shared)
{
    const vg_persistent_tiles &t = p.tiles;
    weight_stages s = {(float *)(void *)shared,
                       t.column_warps * t.steps * t.depth_warps * PIECE_FLOATS, p.stages, 0, 0};
    for (uint32_t n = 0; n < p.stages; n++)
        ask_next<backward>(p, here, layers, &s);
    return s;
}

/* before_wait(finish, layer) and after_product(finish, layer, part) are what is done beside the
 * products. `done`: steps that the blocks have published before the first layer. */
template <bool backward, int ROWS, typename F>
VG_DEVICE void run_layers(const vg_stack_args &p, const station &here, const vg_stack_layer *layers,
                          uint32_t done, weight_stages *stages, float *part, F *finish)
{
    uint32_t stage = 0;
    for (uint32_t n = 0; n < p.count; n++) {
        const vg_stack_layer layer = layers[n];
        const operand<float> a = {layer.operand + (uint64_t)here.row * p.ld,
                                  here.rows,
                                  p.units,
                                  p.ld,
                                  in_packs(layer.operand, p.ld),
                                  false};
        before_wait(finish, layer);
        await_weights(*stages);
        if (n + done > 0)
            await_steps(p.flags, p.tiles, here, n + done);
        else
            sync_block();
        multiply_slice<backward, ROWS>(p.tiles, here, a, stages->at + stage * stages->floats, part);
        stage = stage + 1 < stages->count ? stage + 1 : 0;
        sync_block();
        after_product(finish, layer, part);
        publish_steps(p.flags, here, n + done + 1);
        ask_next<backward>(p, here, layers, stages);
    }
}

#endif
