/* The arena and the lists that a lowering fills. */
#include "lower_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows a multiple of CONFLICT_ELEMENTS long would all begin in the same few sets of a cache: they
 * get one line more. */
enum { ROW_ELEMENTS = 16, CONFLICT_ELEMENTS = 512, ALIGNMENT = 64, MAX_OPS = 1 << 24 };

static void fail(vg_builder *b, vg_status status, const char *what)
{
    if (b->status == VG_OK)
        b->status = vg_fail(status, "lowering: %s", what);
}

vg_mat vg_build_window(vg_builder *b, uint64_t rows, uint64_t cols, vg_dtype dtype)
{
    uint64_t ld = (cols + ROW_ELEMENTS - 1) / ROW_ELEMENTS * ROW_ELEMENTS, bytes, end;
    if (b->status != VG_OK)
        return (vg_mat){0};
    if (rows > 1 && ld % CONFLICT_ELEMENTS == 0)
        ld += ROW_ELEMENTS;
    if (ld > UINT32_MAX || __builtin_mul_overflow(rows, ld, &bytes) ||
        __builtin_mul_overflow(bytes, (uint64_t)vg_dtype_size(dtype), &bytes) ||
        __builtin_add_overflow(bytes, (uint64_t)ALIGNMENT - 1, &bytes) ||
        __builtin_add_overflow(bytes, b->bytes, &end) || end > INT64_MAX) {
        fail(b, VG_NO_MEMORY, "the model's size overflows 64 bits");
        return (vg_mat){0};
    }
    vg_mat mat = {b->bytes, rows, (uint32_t)cols, (uint32_t)ld, dtype};
    b->bytes = end / ALIGNMENT * ALIGNMENT;
    return mat;
}

uint32_t vg_build_slots(vg_builder *b, uint64_t count)
{
    uint64_t first = b->slots;
    if (count >= VG_NO_SLOT - first) {
        fail(b, VG_NO_MEMORY, "more gradient norms than slots can be numbered");
        return VG_NO_SLOT;
    }
    b->slots += count;
    return (uint32_t)first;
}

/* Room for one more row in a list, doubling; null on failure. */
static void *grow(vg_builder *b, void *list, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return list;
    uint32_t wanted = *capacity ? *capacity * 2 : 64;
    void *grown = wanted <= 2 * MAX_OPS ? realloc(list, wanted * size) : NULL;
    if (grown)
        *capacity = wanted;
    else
        fail(b, VG_NO_MEMORY, "no memory for the program's lists");
    return grown;
}

vg_op *vg_build_op(vg_builder *b, vg_op_kind kind, vg_pass pass, uint32_t layer)
{
    const vg_model *m = b->model;
    vg_op *op = &b->spare;
    vg_program *p = b->program;
    if (!b->counting && b->status == VG_OK) {
        vg_op *ops = grow(b, p->ops, p->op_count, &b->op_capacity, sizeof *ops);
        if (ops) {
            p->ops = ops;
            op = &ops[p->op_count++];
        }
    }
    *op = (vg_op){.kind = kind,
                  .pass = pass,
                  .cell = m->kind,
                  .activation = VG_identity,
                  .alpha = m->alpha,
                  .pieces = 1,
                  .layer = layer,
                  .batch = m->batch,
                  .t1 = m->seq_len,
                  .slot = VG_NO_SLOT};
    return op;
}

void vg_build_tensor(vg_builder *b, vg_role role, uint32_t layer, vg_mat mat, vg_shape shape,
                     const char *format, ...)
{
    vg_program *p = b->program;
    if (b->counting || b->status != VG_OK)
        return;
    vg_tensor *list = grow(b, p->tensors, p->tensor_count, &b->tensor_capacity, sizeof *list);
    if (!list)
        return;
    p->tensors = list;
    vg_tensor *t = &list[p->tensor_count++];
    *t = (vg_tensor){.role = role, .layer = layer, .axes = shape.axes, .mat = mat};
    memcpy(t->shape, shape.lengths, sizeof t->shape);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->name, sizeof t->name, format, arguments);
    va_end(arguments);
}

void vg_build_measure(vg_builder *b, vg_pass pass, uint32_t layer, vg_mat window,
                      uint64_t segment_rows, uint32_t slot)
{
    vg_op *op = vg_build_op(b, VG_MEASURE, pass, layer);
    op->slot = slot;
    op->measure = (vg_measure){window, segment_rows};
}

uint32_t vg_build_profile(vg_builder *b, vg_profile profile)
{
    vg_program *p = b->program;
    uint64_t count = profile.steps ? profile.steps : 1;
    profile.plain = vg_build_slots(b, 2 * count);
    profile.exact = profile.plain + (uint32_t)count;
    if (b->counting || b->status != VG_OK)
        return profile.plain;
    vg_profile *list = grow(b, p->profiles, p->profile_count, &b->profile_capacity, sizeof *list);
    if (list) {
        p->profiles = list;
        list[p->profile_count++] = profile;
    }
    return profile.plain;
}

vg_mat vg_build_loss(vg_builder *b, vg_mat y, vg_shape shape)
{
    const vg_model *m = b->model;
    vg_mat target = {0}, dy = vg_build_window(b, y.rows, y.cols, b->storage);
    if (m->loss != VG_LOSS_ONES) {
        target = vg_build_window(b, y.rows, y.cols, b->wide);
        vg_build_tensor(b, VG_ROLE_INPUT, 0, target, shape, "target");
    }
    vg_build_tensor(b, VG_ROLE_GRADIENT, 0, dy, shape, "dy");
    vg_op *op = vg_build_op(b, VG_LOSS_OP, VG_PASS_LOSS, 0);
    op->slot = vg_build_slots(b, 1);
    op->loss = (vg_loss_op){y, target, dy, m->loss, m->batch};
    return dy;
}

void vg_build_clip(vg_builder *b)
{
    vg_program *p = b->program;
    if (!(b->model->clip_norm > 0))
        return;
    vg_op *op = vg_build_op(b, VG_CLIP, VG_PASS_BWD_WEIGHTS, 0);
    op->slot = vg_build_slots(b, 2);
    op->clip.max_norm = b->model->clip_norm;
    if (b->counting || b->status != VG_OK)
        return;
    vg_mat *grads = malloc((p->tensor_count + 1) * sizeof *grads);
    if (!grads) {
        fail(b, VG_NO_MEMORY, "no memory for the program's lists");
        return;
    }
    for (uint32_t i = 0; i < p->tensor_count; i++)
        if (strncmp(p->tensors[i].name, "dweight", 7) == 0 ||
            strncmp(p->tensors[i].name, "dbias", 5) == 0)
            grads[op->clip.count++] = p->tensors[i].mat;
    op->clip.grads = grads;
}

static vg_status build(vg_builder *b)
{
    const vg_model *m = b->model;
    if (m->kind == VG_stack)
        vg_lower_stack(b);
    else
        vg_lower_recurrent(b);
    return b->status;
}

static vg_builder begin(const vg_model *model, const vg_lowering *how)
{
    vg_builder b = {.model = model, .profile = how->profile};
    b.storage = how->oracle ? VG_FP64 : model->dtype == VG_TF32 ? VG_FP32 : model->dtype;
    b.wide = b.storage == VG_BF16 ? VG_FP32 : b.storage;
    b.piece = how->exact_piece ? how->exact_piece : model->seq_len <= 4096 ? 1 : 16;
    if (b.piece > model->seq_len)
        b.piece = model->seq_len;
    return b;
}

vg_status vg_lower_bytes(const vg_model *model, const vg_lowering *how, uint64_t *out)
{
    vg_builder b = begin(model, how);
    b.counting = true;
    VG_TRY(build(&b));
    *out = b.bytes;
    return VG_OK;
}

vg_status vg_lower(const vg_model *model, const vg_lowering *how, vg_program **out)
{
    vg_builder b = begin(model, how);
    b.program = calloc(1, sizeof *b.program);
    if (!b.program)
        VG_FAIL(VG_NO_MEMORY, "no memory for a program");
    b.program->model = *model;
    b.program->storage = b.storage;
    vg_status status = build(&b);
    if (status != VG_OK) {
        vg_program_free(b.program);
        return status;
    }
    b.program->exact_piece = how->profile ? b.piece : 0;
    b.program->arena_bytes = b.bytes;
    b.program->slot_count = (uint32_t)b.slots;
    *out = b.program;
    return VG_OK;
}
