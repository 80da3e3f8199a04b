/* A device's windows, read back a row or a whole at a time. */
#include "verify_internal.h"

#include <stdlib.h>

/* Elements up to which a window is read whole even if only samples are wanted. */
enum { WHOLE_ELEMENTS = 1 << 22 };

static uint32_t widest(const vg_program *program)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++)
            if (vg_op_mat(op, o)->cols > most)
                most = vg_op_mat(op, o)->cols;
        for (uint32_t g = 0; op->kind == VG_CLIP && g < op->clip.count; g++)
            if (op->clip.grads[g].cols > most)
                most = op->clip.grads[g].cols;
    }
    return most;
}

vg_status vg_rows_open(vg_rows *rows, const vg_driver *driver, vg_exec *exec,
                       const vg_program *program, bool sparse)
{
    *rows = (vg_rows){.driver = driver, .exec = exec, .sparse = sparse};
    rows->zeros = calloc(widest(program), sizeof *rows->zeros);
    if (!rows->zeros)
        VG_FAIL(VG_NO_MEMORY, "verify: no memory for a row");
    return VG_OK;
}

static double *read_rows(vg_rows *rows, vg_mat mat)
{
    double *out = malloc((size_t)(mat.rows * mat.cols) * sizeof *out);
    if (!out) {
        rows->status = vg_fail(VG_NO_MEMORY, "verify: no memory to read %llu x %u elements",
                               (unsigned long long)mat.rows, mat.cols);
        return NULL;
    }
    rows->status = rows->driver->read(rows->exec, mat, out);
    if (rows->status == VG_OK)
        return out;
    free(out);
    return NULL;
}

static vg_rows_window *open_window(vg_rows *rows, const vg_mat *m)
{
    if (rows->count == VG_ROWS_WINDOWS)
        vg_rows_forget(rows);
    vg_rows_window *w = &rows->windows[rows->count];
    *w = (vg_rows_window){.mat = *m};
    if (rows->sparse && m->rows * m->cols > WHOLE_ELEMENTS) {
        w->row = calloc((size_t)m->rows, sizeof *w->row);
        if (!w->row)
            rows->status = vg_fail(VG_NO_MEMORY, "verify: no memory for the rows of a window");
    } else {
        w->all = read_rows(rows, *m);
    }
    if (!w->row && !w->all)
        return NULL;
    rows->last = rows->count++;
    return w;
}

static vg_rows_window *find_window(vg_rows *rows, const vg_mat *m)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t n = (rows->last + i) % rows->count;
        const vg_mat *other = &rows->windows[n].mat;
        if (other->at == m->at && other->rows == m->rows && other->cols == m->cols) {
            rows->last = n;
            return &rows->windows[n];
        }
    }
    return open_window(rows, m);
}

const double *vg_rows_get(void *context, const vg_mat *window, uint64_t row)
{
    vg_rows *rows = context;
    if (rows->status != VG_OK)
        return rows->zeros;
    vg_rows_window *w = find_window(rows, window);
    if (!w)
        return rows->zeros;
    if (w->all)
        return w->all + row * window->cols;
    if (!w->row[row])
        w->row[row] = read_rows(rows, vg_mat_rows(*window, row, 1));
    return w->row[row] ? w->row[row] : rows->zeros;
}

void vg_rows_forget(vg_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        vg_rows_window *w = &rows->windows[i];
        for (uint64_t r = 0; w->row && r < w->mat.rows; r++)
            free(w->row[r]);
        free(w->row);
        free(w->all);
    }
    rows->count = rows->last = 0;
}

void vg_rows_close(vg_rows *rows)
{
    vg_rows_forget(rows);
    free(rows->zeros);
}
