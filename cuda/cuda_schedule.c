/* Which ops may run beside others is found from the arena alone: its bytes are cut where any window
 * begins or ends, and every cut remembers who touched it last. */
#include "cuda_schedule.h"

#include <stdlib.h>

/* Positions in the program's order of the set, from 1; 0: nobody. */
typedef struct vg_touched {
    uint32_t read, wrote;           /* last, on the stream */
    uint32_t side_read, side_wrote; /* last, on the side stream */
} vg_touched;

typedef struct vg_planner {
    const vg_program *program;
    uint32_t *ops, count; /* of the set */
    uint64_t *cuts;       /* sorted, each once; cut i is the bytes from cuts[i] to cuts[i + 1] */
    size_t cut_count;
    vg_touched *touched;
} vg_planner;

typedef void vg_window_fn(vg_planner *p, const vg_mat *mat, vg_access access, void *context);

/* Every window that an op reads or writes; those of CLIP both. */
static void each_window(vg_planner *p, const vg_op *op, vg_window_fn *f, void *context)
{
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++)
        if (vg_op_mat(op, o)->rows)
            f(p, vg_op_mat(op, o), o->access, context);
    for (uint32_t i = 0; op->kind == VG_CLIP && i < op->clip.count; i++) {
        f(p, &op->clip.grads[i], VG_READS, context);
        f(p, &op->clip.grads[i], VG_WRITES, context);
    }
}

static uint64_t end_of(const vg_mat *m)
{
    return m->at + ((m->rows - 1) * m->ld + m->cols) * vg_dtype_size(m->dtype);
}

static void count_window(vg_planner *p, const vg_mat *mat, vg_access access, void *context)
{
    (void)p, (void)mat, (void)access;
    *(size_t *)context += 2;
}

static void add_cuts(vg_planner *p, const vg_mat *mat, vg_access access, void *context)
{
    (void)access, (void)context;
    p->cuts[p->cut_count++] = mat->at;
    p->cuts[p->cut_count++] = end_of(mat);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static vg_status make_cuts(vg_planner *p)
{
    size_t most = 0, kept = 0;
    for (uint32_t i = 0; i < p->count; i++)
        each_window(p, &p->program->ops[p->ops[i]], count_window, &most);
    p->cuts = malloc((most + 1) * sizeof *p->cuts);
    p->touched = calloc(most + 1, sizeof *p->touched);
    if (!p->cuts || !p->touched)
        VG_FAIL(VG_NO_MEMORY, "no memory for the order of %u ops", p->count);
    for (uint32_t i = 0; i < p->count; i++)
        each_window(p, &p->program->ops[p->ops[i]], add_cuts, NULL);
    qsort(p->cuts, p->cut_count, sizeof *p->cuts, by_value);
    for (size_t i = 0; i < p->cut_count; i++)
        if (kept == 0 || p->cuts[i] != p->cuts[kept - 1])
            p->cuts[kept++] = p->cuts[i];
    p->cut_count = kept;
    return VG_OK;
}

/* The cut that begins at `at`. */
static size_t cut_at(const vg_planner *p, uint64_t at)
{
    size_t low = 0, high = p->cut_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (p->cuts[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t latest(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* What an op must come after, on either stream. */
typedef struct vg_after {
    uint32_t stream, side;
} vg_after;

static void look(vg_planner *p, const vg_mat *mat, vg_access access, void *context)
{
    vg_after *after = context;
    for (size_t i = cut_at(p, mat->at); p->cuts[i] < end_of(mat); i++) {
        const vg_touched *t = &p->touched[i];
        after->stream = latest(after->stream, t->wrote);
        after->side = latest(after->side, t->side_wrote);
        if (access == VG_WRITES) {
            after->stream = latest(after->stream, t->read);
            after->side = latest(after->side, t->side_read);
        }
    }
}

typedef struct vg_touch {
    uint32_t position;
    bool side;
} vg_touch;

static void touch(vg_planner *p, const vg_mat *mat, vg_access access, void *context)
{
    const vg_touch *now = context;
    for (size_t i = cut_at(p, mat->at); p->cuts[i] < end_of(mat); i++) {
        vg_touched *t = &p->touched[i];
        if (access == VG_WRITES)
            *(now->side ? &t->side_wrote : &t->wrote) = now->position;
        else
            *(now->side ? &t->side_read : &t->read) = now->position;
    }
}

static bool on_side(const vg_op *op, unsigned passes)
{
    return (passes & VG_PASSES_BWD) == VG_PASSES_BWD && op->pass == VG_PASS_BWD_WEIGHTS &&
           op->kind == VG_DENSE_BWD_WEIGHTS;
}

static bool any_on_side(const vg_planner *p, unsigned passes)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (on_side(&p->program->ops[p->ops[i]], passes))
            return true;
    return false;
}

/* Position i + 1 of the set. after[i].stream of an op on the side stream: the position on the
 * stream that it waits for, never less than that of the one before it there; after[i].side of an op
 * on the stream: the position on the side stream that it waits for. */
static void find_order(vg_planner *p, unsigned passes, vg_after *after)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const vg_op *op = &p->program->ops[p->ops[i]];
        vg_touch now = {i + 1, on_side(op, passes)};
        each_window(p, op, look, &after[i]);
        each_window(p, op, touch, &now);
        if (now.side)
            after[i].stream = ready = latest(ready, after[i].stream);
    }
}

/* Merges the two lists: an op on the side stream is issued as soon as the one that it waits for has
 * been. */
static void merge(const vg_planner *p, unsigned passes, const vg_after *after, vg_schedule *out)
{
    uint32_t next = 0;               /* among the ops on the side stream */
    uint32_t forked = UINT32_MAX;    /* the position that the side stream last waited for */
    uint32_t issued = 0, joined = 0; /* positions on the side stream */
    for (uint32_t position = 0; position <= p->count; position++) {
        const vg_op *op = position ? &p->program->ops[p->ops[position - 1]] : NULL;
        if (op && !on_side(op, passes)) {
            const bool waits = after[position - 1].side > joined;
            out->steps[out->count++] = (vg_step){p->ops[position - 1], false, waits};
            joined = waits ? issued : joined;
        }
        for (; next < p->count; next++) {
            if (!on_side(&p->program->ops[p->ops[next]], passes))
                continue;
            if (after[next].stream > position)
                break;
            const bool waits = forked == UINT32_MAX || after[next].stream > forked;
            out->steps[out->count++] = (vg_step){p->ops[next], true, waits};
            forked = waits ? position : forked;
            issued = next + 1;
        }
    }
    out->joins = issued > joined;
}

vg_status vg_schedule_make(const vg_program *program, unsigned passes, vg_schedule *out)
{
    vg_planner p = {.program = program};
    vg_after *after = calloc(program->op_count + 1u, sizeof *after);
    vg_status status = VG_OK;
    p.ops = malloc((program->op_count + 1u) * sizeof *p.ops);
    *out = (vg_schedule){.steps = malloc((program->op_count + 1u) * sizeof *out->steps)};
    if (!p.ops || !after || !out->steps)
        status = vg_fail(VG_NO_MEMORY, "no memory for the order of %u ops", program->op_count);
    for (uint32_t i = 0; status == VG_OK && i < program->op_count; i++)
        if (program->ops[i].pass & passes)
            p.ops[p.count++] = i;
    if (status == VG_OK && any_on_side(&p, passes))
        status = make_cuts(&p);
    if (status == VG_OK && p.cuts)
        find_order(&p, passes, after);
    if (status == VG_OK)
        merge(&p, passes, after, out);
    else
        vg_schedule_free(out);
    free(p.ops);
    free(p.cuts);
    free(p.touched);
    free(after);
    return status;
}

void vg_schedule_free(vg_schedule *schedule)
{
    free(schedule->steps);
    *schedule = (vg_schedule){0};
}
