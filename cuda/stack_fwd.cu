/* A run of dense layers forward. */
#include "stack_product.cuh"

#include "stack_persistent.cuh"

/* What a thread does after a product: bias, activation and skip. */
struct fwd_finish {
    const vg_persistent_tiles &t;
    unit_rows u;
    uint32_t unit; /* of the layer */
    float bias, skip[AHEAD];
};

VG_DEVICE void before_wait(fwd_finish *f, const vg_stack_layer &layer)
{
    f->bias = f->u.rows ? layer.bias[f->unit] : 0;
    load_ahead(layer.skip, f->u, f->skip);
}

VG_DEVICE void after_product(fwd_finish *f, const vg_stack_layer &layer, const float *part)
{
    each_row(f->u, [&](uint32_t row, uint32_t n) {
        const float z = sum_slice(f->t, part, row, f->u.column) + f->bias;
        float y = vf_activate(layer.activation, z, layer.alpha);
        const uint64_t at = own(f->u, row);
        if (layer.a)
            layer.a[at] = y;
        if (layer.skip)
            y = y + (n < AHEAD ? f->skip[n % AHEAD] : layer.skip[at]);
        layer.out[at] = y;
    });
}

template <int ROWS> VG_DEVICE void stack_fwd(const vg_stack_args &p, unsigned char *shared)
{
    const station here = station_of(p.tiles, p.units, p.batch);
    weight_stages stages = ask_first<false>(p, here, p.layers, shared);
    fwd_finish finish = {
        p.tiles, unit_rows_of(p, here), here.unit + thread_index() % p.tiles.units, 0, {}};
    float *part = (float *)(void *)(shared + p.tiles.partial_at);
    run_layers<false, ROWS>(p, here, p.layers, 0, &stages, part, &finish);
}

#define STACK(rows)                                                                                \
    VG_KERNEL_ALONE(stack_fwd_##rows, VG_STACK_THREADS, vg_stack_args)                             \
    {                                                                                              \
        VG_DYNAMIC_SHARED(shared);                                                                 \
        stack_fwd<rows>(p, shared);                                                                \
    }
STACK(1)
STACK(4)
STACK(8)
#undef STACK

vg_kernel vg_stack_fwd_kernel(uint32_t rows)
{
    switch (rows) {
    case 1: return VG_KERNEL_ENTRY(stack_fwd_1, VG_STACK_THREADS, vg_stack_args);
    case 4: return VG_KERNEL_ENTRY(stack_fwd_4, VG_STACK_THREADS, vg_stack_args);
    default: return VG_KERNEL_ENTRY(stack_fwd_8, VG_STACK_THREADS, vg_stack_args);
    }
}
