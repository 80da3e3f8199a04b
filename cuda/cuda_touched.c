/* The arena's bytes are cut where any window begins or ends, and every cut remembers who touched it
 * last. */
#include "cuda_touched.h"

#include <stdlib.h>

typedef uint32_t vg_positions[VG_LANES]; /* in the set, from 1; 0: nobody */

typedef struct vg_touched {
    vg_positions *read, *wrote; /* a cut's last */
    uint64_t *cuts; /* sorted, each once; cut i is the bytes from cuts[i] to cuts[i + 1] */
    size_t cut_count;
} vg_touched;

typedef void vg_window_fn(vg_touched *t, vg_mat mat, vg_access access, void *context);

static uint64_t end_of(const vg_mat *m)
{
    return m->at + ((m->rows - 1) * m->ld + m->cols) * vg_dtype_size(m->dtype);
}

/* The windows of a scan are those of the whole sequence; it touches the rows of its steps. */
static vg_mat rows_of_steps(const vg_op *op, vg_mat m)
{
    if (m.rows > op->batch && m.rows >= op->t1 * op->batch)
        return vg_mat_rows(m, op->t0 * op->batch, (op->t1 - op->t0) * op->batch);
    return m;
}

/* And reads what the step before its first one left; h_0 is a window of its own. */
static void step_before(vg_touched *t, const vg_op *op, vg_mat m, vg_window_fn *f, void *context)
{
    if (m.rows && op->t0)
        f(t, vg_mat_rows(m, (op->t0 - 1) * op->batch, op->batch), VG_READS, context);
}

static void each_scan_window(vg_touched *t, const vg_op *op, vg_window_fn *f, void *context)
{
    const bool forward = op->kind == VG_SCAN_FWD;
    const size_t weight =
        forward ? offsetof(vg_op, scan_fwd.weight_hh) : offsetof(vg_op, scan_bwd.weight_hh);
    const size_t bias = offsetof(vg_op, scan_fwd.bias_hh);
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++) {
        const vg_mat mat = *vg_op_mat(op, o);
        const bool whole = o->offset == weight || (forward && o->offset == bias);
        if (mat.rows)
            f(t, whole ? mat : rows_of_steps(op, mat), o->access, context);
    }
    step_before(t, op, forward ? op->scan_fwd.y : op->scan_bwd.y, f, context);
    step_before(t, op, forward ? op->scan_fwd.reserve : op->scan_bwd.reserve, f, context);
}

/* Every window that an op reads or writes; those of CLIP both. */
static void each_window(vg_touched *t, const vg_op *op, vg_window_fn *f, void *context)
{
    if (op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD) {
        each_scan_window(t, op, f, context);
        return;
    }
    for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++)
        if (vg_op_mat(op, o)->rows)
            f(t, *vg_op_mat(op, o), o->access, context);
    for (uint32_t i = 0; op->kind == VG_CLIP && i < op->clip.count; i++) {
        f(t, op->clip.grads[i], VG_READS, context);
        f(t, op->clip.grads[i], VG_WRITES, context);
    }
}

static void count_window(vg_touched *t, vg_mat mat, vg_access access, void *context)
{
    (void)t, (void)mat, (void)access;
    *(size_t *)context += 2;
}

static void add_cuts(vg_touched *t, vg_mat mat, vg_access access, void *context)
{
    (void)access, (void)context;
    t->cuts[t->cut_count++] = mat.at;
    t->cuts[t->cut_count++] = end_of(&mat);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static vg_status make_cuts(vg_touched *t, const vg_order *order)
{
    size_t most = 0, kept = 0;
    for (uint32_t i = 0; i < order->count; i++)
        each_window(t, &order->program->ops[order->ops[i]], count_window, &most);
    t->cuts = malloc((most + 1) * sizeof *t->cuts);
    if (!t->cuts)
        VG_FAIL(VG_NO_MEMORY, "no memory for the order of %u ops", order->count);
    for (uint32_t i = 0; i < order->count; i++)
        each_window(t, &order->program->ops[order->ops[i]], add_cuts, NULL);
    qsort(t->cuts, t->cut_count, sizeof *t->cuts, by_value);
    for (size_t i = 0; i < t->cut_count; i++)
        if (kept == 0 || t->cuts[i] != t->cuts[kept - 1])
            t->cuts[kept++] = t->cuts[i];
    t->cut_count = kept;
    t->read = calloc(kept + 1, sizeof *t->read);
    t->wrote = calloc(kept + 1, sizeof *t->wrote);
    if (!t->read || !t->wrote)
        VG_FAIL(VG_NO_MEMORY, "no memory for the order of %u ops", order->count);
    return VG_OK;
}

/* The cut that begins at `at`. */
static size_t cut_at(const vg_touched *t, uint64_t at)
{
    size_t low = 0, high = t->cut_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (t->cuts[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void later(vg_positions a, const vg_positions b)
{
    for (int lane = 0; lane < VG_LANES; lane++)
        if (b[lane] > a[lane])
            a[lane] = b[lane];
}

static void look(vg_touched *t, vg_mat mat, vg_access access, void *after)
{
    for (size_t i = cut_at(t, mat.at); t->cuts[i] < end_of(&mat); i++) {
        later(after, t->wrote[i]);
        if (access == VG_WRITES)
            later(after, t->read[i]);
    }
}

typedef struct vg_touch {
    uint32_t position;
    uint8_t lane;
} vg_touch;

static void touch(vg_touched *t, vg_mat mat, vg_access access, void *context)
{
    const vg_touch *now = context;
    for (size_t i = cut_at(t, mat.at); t->cuts[i] < end_of(&mat); i++)
        (access == VG_WRITES ? t->wrote : t->read)[i][now->lane] = now->position;
}

vg_status vg_order_find(const vg_order *order, uint32_t (*after)[VG_LANES])
{
    vg_touched t = {0};
    const vg_status status = make_cuts(&t, order);
    for (uint32_t i = 0; status == VG_OK && i < order->count; i++) {
        const vg_op *op = &order->program->ops[order->ops[i]];
        vg_touch now = {i + 1, order->lanes[i]};
        each_window(&t, op, look, after[i]);
        each_window(&t, op, touch, &now);
    }
    free(t.cuts);
    free(t.read);
    free(t.wrote);
    return status;
}
