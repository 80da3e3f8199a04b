/* What a list of primitives is made of: buffers, memories, steps, and the tensors in them. */
#include "peer_onednn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vg_status vg_onednn_check(dnnl_status_t status, const char *call)
{
    static const char *const words[] = {
        [dnnl_out_of_memory] = "out of memory",
        [dnnl_invalid_arguments] = "invalid arguments",
        [dnnl_unimplemented] = "no such primitive in this library",
        [dnnl_iterator_ends] = "no implementation left",
        [dnnl_runtime_error] = "runtime error",
        [dnnl_not_required] = "not required",
    };
    if (status == dnnl_success)
        return VG_OK;
    const size_t index = (size_t)status;
    VG_FAIL(status == dnnl_out_of_memory ? VG_NO_MEMORY : VG_UNSUPPORTED, "oneDNN: %.*s: %s",
            (int)strcspn(call, "("), call,
            index < sizeof words / sizeof *words && words[index] ? words[index] : "failed");
}

/* Room for one more in a list, doubling. */
static vg_status grow(void *list, size_t count, size_t *room, size_t size)
{
    void **at = list;
    if (count < *room)
        return VG_OK;
    const size_t wanted = *room ? 2 * *room : 32;
    void *grown = realloc(*at, wanted * size);
    if (!grown)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for a list of %zu", wanted);
    *at = grown;
    *room = wanted;
    return VG_OK;
}

vg_status vg_onednn_floats(vg_exec *exec, size_t n, float **out)
{
    VG_TRY(grow(&exec->buffers, exec->buffer_count, &exec->buffer_room, sizeof *exec->buffers));
    void *made = NULL;
    if (n > SIZE_MAX / 8 || posix_memalign(&made, 4096, (n + 16) * sizeof(float)))
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for %.3g GB", (double)n * 4e-9);
    memset(made, 0, (n + 16) * sizeof(float));
    exec->buffers[exec->buffer_count++] = made;
    *out = made;
    return VG_OK;
}

/* The library's arrays of lengths have room for more axes than there are. */
dnnl_memory_desc_t vg_onednn_strided(int axes, const dnnl_dim_t *shape, const dnnl_dim_t *strides)
{
    dnnl_memory_desc_t desc;
    dnnl_dims_t lengths = {0}, steps = {0};
    memcpy(lengths, shape, (size_t)axes * sizeof *shape);
    memcpy(steps, strides, (size_t)axes * sizeof *strides);
    const dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(&desc, axes, lengths, dnnl_f32, steps);
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

dnnl_memory_desc_t vg_onednn_plain(int axes, const dnnl_dim_t *shape)
{
    dnnl_dims_t strides;
    dnnl_dim_t stride = 1;
    for (int i = axes; i-- > 0;) {
        strides[i] = stride;
        stride *= shape[i];
    }
    return vg_onednn_strided(axes, shape, strides);
}

dnnl_memory_desc_t vg_onednn_any(int axes, const dnnl_dim_t *shape)
{
    dnnl_memory_desc_t desc;
    dnnl_dims_t lengths = {0};
    memcpy(lengths, shape, (size_t)axes * sizeof *shape);
    const dnnl_status_t status =
        dnnl_memory_desc_init_by_tag(&desc, axes, lengths, dnnl_f32, dnnl_format_tag_any);
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

vg_status vg_onednn_memory(vg_exec *exec, const dnnl_memory_desc_t *desc, float *at,
                           dnnl_memory_t *out)
{
    VG_TRY(grow(&exec->memories, exec->memory_count, &exec->memory_room, sizeof *exec->memories));
    if (!at)
        VG_TRY(vg_onednn_floats(exec, dnnl_memory_desc_get_size(desc) / sizeof(float) + 1, &at));
    VG_ONEDNN(dnnl_memory_create(out, desc, exec->engine, at));
    exec->memories[exec->memory_count++] = *out;
    return VG_OK;
}

const dnnl_memory_desc_t *vg_onednn_wanted(dnnl_primitive_desc_t primitive, int argument)
{
    return dnnl_primitive_desc_query_md(primitive, dnnl_query_exec_arg_md, argument);
}

vg_status vg_onednn_add(vg_exec *exec, vg_pass pass, dnnl_primitive_desc_t primitive,
                        vg_onednn_step **out)
{
    vg_status status = grow(&exec->steps, exec->step_count, &exec->step_room, sizeof *exec->steps);
    vg_onednn_step step = {.pass = pass};
    if (status == VG_OK)
        status = vg_onednn_check(dnnl_primitive_create(&step.primitive, primitive),
                                 "dnnl_primitive_create");
    dnnl_primitive_desc_destroy(primitive);
    VG_TRY(status);
    *out = &exec->steps[exec->step_count++];
    **out = step;
    return VG_OK;
}

void vg_onednn_arg(vg_onednn_step *step, int argument, dnnl_memory_t memory)
{
    assert(step->arg_count < VG_ONEDNN_ARGS);
    step->args[step->arg_count++] = (dnnl_exec_arg_t){argument, memory};
}

vg_status vg_onednn_loop(vg_exec *exec, vg_onednn_step step)
{
    VG_TRY(grow(&exec->steps, exec->step_count, &exec->step_room, sizeof *exec->steps));
    exec->steps[exec->step_count++] = step;
    return VG_OK;
}

static vg_status desc_of(dnnl_memory_t memory, const dnnl_memory_desc_t **out)
{
    VG_ONEDNN(dnnl_memory_get_memory_desc(memory, out));
    return VG_OK;
}

static vg_status copy(vg_exec *exec, vg_pass pass, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_memory_desc_t *from_desc, *to_desc;
    dnnl_primitive_desc_t primitive;
    vg_onednn_step *step;
    VG_TRY(desc_of(from, &from_desc));
    VG_TRY(desc_of(to, &to_desc));
    VG_ONEDNN(dnnl_reorder_primitive_desc_create(&primitive, from_desc, exec->engine, to_desc,
                                                 exec->engine, NULL));
    VG_TRY(vg_onednn_add(exec, pass, primitive, &step));
    vg_onednn_arg(step, DNNL_ARG_FROM, from);
    vg_onednn_arg(step, DNNL_ARG_TO, to);
    return VG_OK;
}

vg_status vg_onednn_brought(vg_exec *exec, vg_pass pass, dnnl_memory_t from,
                            const dnnl_memory_desc_t *wanted, dnnl_memory_t *out)
{
    VG_TRY(vg_onednn_made(exec, from, wanted, out));
    return *out == from ? VG_OK : copy(exec, pass, from, *out);
}

vg_status vg_onednn_made(vg_exec *exec, dnnl_memory_t to, const dnnl_memory_desc_t *wanted,
                         dnnl_memory_t *out)
{
    const dnnl_memory_desc_t *desc;
    VG_TRY(desc_of(to, &desc));
    if (!dnnl_memory_desc_equal(desc, wanted))
        return vg_onednn_memory(exec, wanted, NULL, out);
    *out = to;
    return VG_OK;
}

vg_status vg_onednn_fetched(vg_exec *exec, vg_pass pass, dnnl_memory_t from, dnnl_memory_t to)
{
    return from == to ? VG_OK : copy(exec, pass, from, to);
}

vg_status vg_onednn_place(vg_exec *exec, float *at, const uint32_t *order, uint32_t gates,
                          const char *format, ...)
{
    char name[32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const vg_tensor *tensor = vg_program_tensor(exec->program, name);
    assert(tensor);
    VG_TRY(grow(&exec->regions, exec->region_count, &exec->region_room, sizeof *exec->regions));
    exec->regions[exec->region_count++] =
        (vg_onednn_region){.window = tensor->mat, .at = at, .order = order, .gates = gates};
    return VG_OK;
}

vg_onednn_mark vg_onednn_here(const vg_exec *exec)
{
    return (vg_onednn_mark){exec->step_count, exec->memory_count, exec->buffer_count};
}

void vg_onednn_undo(vg_exec *exec, vg_onednn_mark mark)
{
    for (; exec->step_count > mark.steps; exec->step_count--)
        if (exec->steps[exec->step_count - 1].primitive)
            dnnl_primitive_destroy(exec->steps[exec->step_count - 1].primitive);
    for (; exec->memory_count > mark.memories; exec->memory_count--)
        dnnl_memory_destroy(exec->memories[exec->memory_count - 1]);
    for (; exec->buffer_count > mark.buffers; exec->buffer_count--)
        free(exec->buffers[exec->buffer_count - 1]);
}

void vg_onednn_net_free(vg_exec *exec)
{
    vg_onednn_undo(exec, (vg_onednn_mark){0});
    free(exec->steps);
    free(exec->memories);
    free(exec->buffers);
    free(exec->regions);
}
