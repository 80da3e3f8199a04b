/* Dense layers in bf16, backward by the data and by the weights. */
#include "bf16_dense.h"

/* Rows of dz and x that are packed at a time for the weights' gradient: a multiple of 2. */
enum { DEPTH = 512 };

/* By the data. */

typedef struct backward {
    const vg_job *job;
    const vg_dense_bwd_data *d;
    size_t pairs, panel_floats;
    float *panels, *dx, *stage; /* this thread's: W in panels, a block of dx */
} backward;

static backward backward_begin(const vg_device *device, const vg_op *op, float *memory,
                               size_t *size)
{
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    const vg_gemm_kernels *g = device->bf16->gemm;
    size_t rows = vg_least(ROWS, d->dx.rows), width = VECTORS * g->lanes;
    backward b = {.d = d, .pairs = vg_bf16_pairs(d->weight.rows)};
    b.panel_floats = width * b.pairs;
    *size = 0;
    b.panels = vg_bf16_take(memory, size, vg_pack_size(g, VECTORS, b.pairs, d->dx.cols));
    b.dx = vg_bf16_take(memory, size, rows * width);
    b.stage = vg_bf16_take(memory, size, (op->pieces + 3) * rows * COLS);
    return b;
}

/* dz of rows [row, +rows) and columns [col, +cols) of one piece. */
static void derivative(const backward *b, size_t row, size_t rows, size_t col, size_t cols)
{
    const vg_job *job = b->job;
    const vg_dense_bwd_data *d = b->d;
    size_t pieces = job->op->pieces;
    vg_stage s = {.job = job, .memory = b->stage};
    vg_rows_in dy = vg_stage_in(&s, d->dy, row, col, rows, cols);
    vg_gates dz = vg_stage_gates_out(&s, d->dz, row, col, rows, cols, d->dy.cols, pieces);
    if (d->winner.rows) {
        job->kernels->maxout_bwd(&(vg_maxout_bwd){
            .rows = rows,
            .cols = cols,
            .piece = dz.gate,
            .pieces = (uint32_t)pieces,
            .dy = dy.at,
            .winner = (const uint8_t *)vg_at(job->exec, d->winner) + row * d->winner.ld + col,
            .dz = dz.at,
            .ld_dy = dy.ld,
            .ld_winner = d->winner.ld,
            .ld_dz = dz.ld});
    } else {
        vg_rows_in a = vg_stage_in(&s, d->a, row, col, rows, cols);
        job->kernels->derivative(&(vg_derivative){.rows = rows,
                                                  .cols = cols,
                                                  .activation = job->op->activation,
                                                  .alpha = (float)job->op->alpha,
                                                  .dy = dy.at,
                                                  .a = a.at,
                                                  .dz = dz.at,
                                                  .ld_dy = dy.ld,
                                                  .ld_a = a.ld,
                                                  .ld_dz = dz.ld});
    }
    vg_stage_end(&s);
}

/* This thread's share of dz, and then everybody's. */
static void dz_make(const backward *b)
{
    const vg_job *job = b->job;
    const vg_dense_bwd_data *d = b->d;
    uint64_t first = 0, last = d->dy.rows;
    size_t col = 0, end = d->dy.cols;
    if (d->dz.at == d->dy.at)
        return;
    if (last >= 4 * job->threads)
        vg_pool_share(d->dy.rows, job->thread, job->threads, &first, &last);
    else
        vg_columns_share(job->kernels->lanes, d->dy.cols, job->thread, job->threads, &col, &end);
    for (size_t row = first; row < last; row += ROWS)
        for (size_t at = col; at < end; at += COLS)
            derivative(b, row, vg_least(ROWS, last - row), at, vg_least(COLS, end - at));
    vg_job_barrier(job);
}

/* dx of rows [row, +n) and a panel of columns. */
static void dx_block(const backward *b, const float *panel, size_t row, size_t n, size_t col,
                     size_t cols)
{
    const vg_job *job = b->job;
    const vg_dense_bwd_data *d = b->d;
    const vg_bf16_kernels *k = job->device->bf16;
    size_t width = VECTORS * k->gemm->lanes;
    vg_product_run(k->gemm, &(vg_product){.a = vg_bf16_row(job->exec, d->dz, row),
                                          .a_row = d->dz.ld / 2,
                                          .a_k = 1,
                                          .b = panel,
                                          .b_k = width,
                                          .b_panel = b->panel_floats,
                                          .c = b->dx,
                                          .c_row = width,
                                          .m = n,
                                          .n = cols,
                                          .k = b->pairs,
                                          .block = n,
                                          .vectors = VECTORS});
    if (d->residual && d->dx.cols == d->dy.cols) {
        vg_stage s = {.job = job, .memory = b->stage};
        job->kernels->add(n, cols, vg_stage_in(&s, d->dy, row, col, n, cols),
                          (vg_rows){b->dx, width});
    }
    k->narrow(n, cols, b->dx, width, vg_bf16_at(job->exec, d->dx, row, col), d->dx.ld);
}

void vg_bf16_dense_bwd_data(const vg_job *job)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_bf16_kernels *k = job->device->bf16;
    size_t size, row = 0, row_end = d->dx.rows, col = 0, end = d->dx.cols;
    size_t width = VECTORS * k->gemm->lanes;
    backward_begin(job->device, job->op, NULL, &size);
    backward b = backward_begin(job->device, job->op, job->scratch + job->thread * size, &size);
    b.job = job;
    dz_make(&b);
    if (vg_share_by_rows(job->device, row_end, end))
        vg_columns_share(1, row_end, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(k->gemm->lanes, end, job->thread, job->threads, &col, &end);
    for (size_t at = row; at < row_end; at += ROWS) {
        float *panel = b.panels;
        for (size_t j = col; j < end; j += width, panel += b.panel_floats) {
            size_t cols = vg_least(width, end - j);
            if (at == row)
                vg_bf16_pack_rows(k, VECTORS, panel, vg_bf16_at(job->exec, d->weight, 0, j),
                                  d->weight.ld, d->weight.rows, 0, cols);
            dx_block(&b, panel, at, vg_least(ROWS, row_end - at), j, cols);
        }
    }
}

/* By the weights: blocks of rows of dz and x are packed in pairs, x by all threads for all
 * and dz by each for itself, with its column sums. Two blocks of x, so that one barrier a block
 * keeps the threads apart. */
typedef struct weights {
    const vg_job *job;
    float *x[2], *dz;
    float *turned; /* dz with its rows along K, `turned_row` from one to the next, or null */
    size_t turned_row;
} weights;

static weights weights_begin(const vg_device *device, const vg_op *op, float *memory, size_t *size)
{
    const vg_dense_bwd_weights *d = &op->dense_bwd_weights;
    const vg_gemm_kernels *g = device->bf16->gemm;
    size_t pairs = vg_bf16_pairs(vg_least(DEPTH, d->dz.rows)),
           threads = vg_pool_threads(device->pool);
    size_t x_floats = vg_pack_size(g, VECTORS, pairs, d->x.cols);
    weights w = {.job = NULL};
    *size = 0;
    w.x[0] = vg_bf16_take(memory, size, x_floats);
    w.x[1] = vg_bf16_take(memory, size, x_floats);
    w.dz = vg_bf16_take(memory, size, threads * COLS * pairs);
    if (device->bf16->along) {
        w.turned_row = pairs + 16; /* an odd number of cache lines, mostly */
        w.turned = vg_bf16_take(memory, size, threads * COLS * w.turned_row);
    }
    return w;
}

/* Adds the column sums of a block to dbias, or begins them. */
static void bias_add(const vg_job *job, const float *sums, size_t col, size_t cols, bool first)
{
    float *to = vg_floats(job->exec, job->op->dense_bwd_weights.dbias) + col;
    if (first)
        job->kernels->copy(1, cols, (vg_rows_in){sums, COLS}, (vg_rows){to, COLS});
    else
        job->kernels->add(1, cols, (vg_rows_in){sums, COLS}, (vg_rows){to, COLS});
}

/* Rows [row, +n) of dz and x into rows [col, +cols) of dweight. */
static void weights_block(const weights *w, const float *x, size_t row, size_t n, size_t col,
                          size_t cols)
{
    const vg_job *job = w->job;
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const vg_bf16_kernels *k = job->device->bf16;
    size_t pairs = vg_bf16_pairs(n), width = VECTORS * k->gemm->lanes;
    float sums[COLS] = {0};
    k->pair_rows(n, cols, vg_bf16_at(job->exec, d->dz, row, col), d->dz.ld, w->dz, COLS, sums);
    bias_add(job, sums, col, cols, row == 0);
    if (w->turned)
        k->gemm->transpose(w->turned, w->turned_row, w->dz, COLS, pairs, cols);
    vg_product_run(k->gemm,
                   &(vg_product){.a = w->turned ? w->turned : w->dz,
                                 .a_row = w->turned ? w->turned_row : 1,
                                 .a_k = w->turned ? 1 : COLS,
                                 .b = x,
                                 .b_k = width,
                                 .b_panel = width * pairs,
                                 .c = vg_floats(job->exec, d->dweight) + col * d->dweight.ld,
                                 .c_row = d->dweight.ld,
                                 .m = cols,
                                 .n = d->x.cols,
                                 .k = pairs,
                                 .block = cols,
                                 .vectors = VECTORS,
                                 .accumulate = row > 0,
                                 .stream = job->exec->stream_weights && d->dz.rows <= DEPTH &&
                                           d->dweight.at % 64 == 0 && d->dweight.ld % 16 == 0});
}

void vg_bf16_dense_bwd_weights(const vg_job *job)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const vg_bf16_kernels *k = job->device->bf16;
    size_t size, col, end, first, last, width = VECTORS * k->gemm->lanes;
    weights w = weights_begin(job->device, job->op, job->scratch, &size);
    w.job = job;
    w.dz += job->thread * COLS * vg_bf16_pairs(vg_least(DEPTH, d->dz.rows));
    if (w.turned)
        w.turned += job->thread * COLS * w.turned_row;
    vg_columns_share(k->gemm->lanes, d->dweight.rows, job->thread, job->threads, &col, &end);
    vg_columns_share((uint32_t)width, d->x.cols, job->thread, job->threads, &first, &last);
    for (size_t row = 0; row < d->x.rows; row += DEPTH) {
        size_t n = vg_least(DEPTH, d->x.rows - row);
        float *x = w.x[row / DEPTH % 2];
        vg_bf16_pack_rows(k, VECTORS, x, vg_bf16_at(job->exec, d->x, row, 0), d->x.ld, n, first,
                          last - first);
        vg_job_barrier(job);
        for (size_t at = col; at < end; at += COLS)
            weights_block(&w, x, row, n, at, vg_least(COLS, end - at));
    }
}

size_t vg_bf16_dense_bwd_scratch(const vg_device *device, const vg_op *op)
{
    size_t size;
    if (op->kind == VG_DENSE_BWD_WEIGHTS) {
        weights_begin(device, op, NULL, &size);
        return size;
    }
    backward_begin(device, op, NULL, &size);
    return vg_pool_threads(device->pool) * size;
}
