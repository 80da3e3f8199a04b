/* A run of dense layers backward by the data. The block that makes columns of dx makes those of
 * the next dz from them at once: dz is what the blocks exchange. */
#include "stack_product.cuh"

#include "stack_persistent.cuh"

/* What a thread does after a product: the residual's dy, and the next derivative. */
struct bwd_finish {
    const vg_persistent_tiles &t;
    unit_rows u;
    float skip[AHEAD], a[AHEAD];
};

VG_DEVICE void before_wait(bwd_finish *f, const vg_stack_layer &layer)
{
    load_ahead(layer.skip, f->u, f->skip);
    load_ahead(layer.a, f->u, f->a);
}

/* dz = dx ∘ act'(a), where it is a window of its own. */
VG_DEVICE void store_dz(const bwd_finish &f, const vg_stack_layer &layer, uint32_t row, uint32_t n,
                        float dx)
{
    if (!layer.dz)
        return;
    const float a = n < AHEAD ? f.a[n % AHEAD] : layer.a[own(f.u, row)];
    layer.dz[own(f.u, row)] = dx * vf_activation_derivative(layer.activation, a, layer.alpha);
}

VG_DEVICE void after_product(bwd_finish *f, const vg_stack_layer &layer, const float *part)
{
    each_row(f->u, [&](uint32_t row, uint32_t n) {
        float dx = sum_slice(f->t, part, row, f->u.column);
        const uint64_t at = own(f->u, row);
        if (layer.skip)
            dx = dx + (n < AHEAD ? f->skip[n % AHEAD] : layer.skip[at]);
        layer.out[at] = dx;
        store_dz(*f, layer, row, n, dx);
    });
}

/* The first dz, from the dy that comes in. */
VG_DEVICE void begin(bwd_finish *f, const vg_stack_layer &layer)
{
    load_ahead(layer.a, f->u, f->a);
    each_row(f->u, [&](uint32_t row, uint32_t n) {
        store_dz(*f, layer, row, n, layer.out[own(f->u, row)]);
    });
}

template <int ROWS> VG_DEVICE void stack_bwd(const vg_stack_args &p, unsigned char *shared)
{
    const station here = station_of(p.tiles, p.units, p.batch);
    weight_stages stages = ask_first<true>(p, here, p.layers + 1, shared);
    bwd_finish finish = {p.tiles, unit_rows_of(p, here), {}, {}};
    float *part = (float *)(void *)(shared + p.tiles.partial_at);
    begin(&finish, p.layers[0]);
    publish_steps(p.flags, here, 1);
    run_layers<true, ROWS>(p, here, p.layers + 1, 1, &stages, part, &finish);
}

#define STACK(rows)                                                                                \
    VG_KERNEL_ALONE(stack_bwd_##rows, VG_STACK_THREADS, vg_stack_args)                             \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        stack_bwd<rows>(p, shared);                                                                \
    }
STACK(1)
STACK(4)
STACK(8)
#undef STACK

vg_kernel vg_stack_bwd_kernel(uint32_t rows)
{
    switch (rows) {
    case 1: return VG_KERNEL_ENTRY(stack_bwd_1, VG_STACK_THREADS, vg_stack_args);
    case 4: return VG_KERNEL_ENTRY(stack_bwd_4, VG_STACK_THREADS, vg_stack_args);
    default: return VG_KERNEL_ENTRY(stack_bwd_8, VG_STACK_THREADS, vg_stack_args);
    }
}
