/* Dense layers in bf16. A product leaves a block of floats in cache, and what follows it (bias,
 * activation, a skip) rounds once on the way to the window. */
#include "bf16_ops.h"
#include "sizes.h"

/* A block of the batch, and of the columns that are computed at a time; panels of B in vectors. */
enum { ROWS = 128, COLS = 48, VECTORS = 2 };
/* Rows of dz and x that are packed at a time for the weights' gradient: a multiple of 2. */
enum { DEPTH = 512 };

/* The next floats of `memory`; null where that is null and only sizes are asked for. */
static float *take(float *memory, size_t *used, size_t floats)
{
    float *at = memory ? memory + *used : NULL;
    *used += vg_round_up(floats, 16);
    return at;
}

/* Forward: zᵀ = W xᵀ, so that the weights are read where they lie, a pair at a time, and the batch
 * fills the vectors. */
typedef struct forward {
    const vg_job *job;
    const vg_dense_fwd *d;
    size_t pieces, out, pairs;
    /* This thread's: xᵀ of a block in panels, zᵀ of some columns of one piece, z and the bias of
     * all pieces, and memory for staging. */
    float *panels, *turned, *z, *bias, *stage;
    size_t z_row;
} forward;

static forward forward_begin(const vg_device *device, const vg_op *op, float *memory, size_t *size)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    size_t rows = vg_least(ROWS, d->x.rows), row = vg_stage_size(1, rows);
    forward f = {.d = d,
                 .pieces = op->pieces,
                 .out = d->y.cols,
                 .pairs = vg_bf16_pairs(d->x.cols),
                 .z_row = op->pieces * COLS};
    *size = 0;
    f.panels = take(memory, size, vg_pack_size(device->bf16->gemm, VECTORS, f.pairs, rows));
    f.turned = take(memory, size, COLS * row);
    f.z = take(memory, size, rows * f.z_row);
    f.bias = take(memory, size, f.z_row);
    f.stage = take(memory, size, 3 * rows * COLS);
    return f;
}

/* Bias and activation for rows [row, +rows) and columns [col, +cols), from f->z, into `to`. */
static void forward_activate(const forward *f, vg_mat to, size_t row, size_t rows, size_t col,
                             size_t cols)
{
    const vg_job *job = f->job;
    const vg_dense_fwd *d = f->d;
    vg_stage s = {.job = job, .memory = f->stage};
    vg_rows y = vg_stage_out(&s, to, row, col, rows, cols);
    const float *bias = vg_floats(job->exec, d->bias) + col;
    if (d->winner.rows) {
        job->kernels->copy(f->pieces, cols, (vg_rows_in){bias, f->out}, (vg_rows){f->bias, COLS});
        job->kernels->maxout_fwd(&(vg_maxout_fwd){.rows = rows,
                                                  .cols = cols,
                                                  .piece = COLS,
                                                  .pieces = (uint32_t)f->pieces,
                                                  .z = f->z,
                                                  .bias = f->bias,
                                                  .y = y.at,
                                                  .winner = (uint8_t *)vg_at(job->exec, d->winner) +
                                                            row * d->winner.ld + col,
                                                  .ld_z = f->z_row,
                                                  .ld_y = y.ld,
                                                  .ld_winner = d->winner.ld});
    } else {
        job->kernels->epilogue(&(vg_epilogue){.rows = rows,
                                              .cols = cols,
                                              .activation = job->op->activation,
                                              .alpha = (float)job->op->alpha,
                                              .z = f->z,
                                              .bias = bias,
                                              .y = y.at,
                                              .ld_z = f->z_row,
                                              .ld_y = y.ld});
    }
    vg_stage_end(&s);
}

/* With a skip, y = a + skip from what was kept of a. */
static void forward_finish(const forward *f, size_t row, size_t rows, size_t col, size_t cols)
{
    const vg_dense_fwd *d = f->d;
    const vg_kernels *k = f->job->kernels;
    if (d->skip.rows == 0) {
        forward_activate(f, d->y, row, rows, col, cols);
        return;
    }
    forward_activate(f, d->a, row, rows, col, cols);
    vg_stage s = {.job = f->job, .memory = f->stage};
    vg_rows y = vg_stage_out(&s, d->y, row, col, rows, cols);
    k->copy(rows, cols, vg_stage_in(&s, d->a, row, col, rows, cols), y);
    k->add(rows, cols, vg_stage_in(&s, d->skip, row, col, rows, cols), y);
    vg_stage_end(&s);
}

/* z of piece `piece` for n rows, from their xᵀ in panels `vectors` wide. */
static void forward_tiles(const forward *f, uint32_t vectors, size_t n, size_t piece, size_t col,
                          size_t cols)
{
    const vg_gemm_kernels *g = f->job->device->bf16->gemm;
    const vg_mat *weight = &f->d->weight;
    size_t width = (size_t)vectors * g->lanes, turned_row = vg_stage_size(1, n);
    vg_product_run(g, &(vg_product){.a = vg_bf16_row(f->job->exec, *weight, piece * f->out + col),
                                    .a_row = weight->ld / 2,
                                    .a_k = 1,
                                    .b = f->panels,
                                    .b_k = width,
                                    .b_panel = width * f->pairs,
                                    .c = f->turned,
                                    .c_row = turned_row,
                                    .m = cols,
                                    .n = n,
                                    .k = f->pairs,
                                    .block = cols,
                                    .vectors = vectors,
                                    .prefetch_a = true});
    g->transpose(f->z + piece * COLS, f->z_row, f->turned, turned_row, cols, n);
}

/* The same where the rows are too few for vectors: every weight is read once, along its row. */
static void forward_dots(const forward *f, size_t row, size_t n, size_t piece, size_t col,
                         size_t cols)
{
    const vg_mat *x = &f->d->x, *weight = &f->d->weight;
    f->job->device->bf16->gemm->dot(
        &(vg_dot){.x = vg_bf16_row(f->job->exec, *x, row),
                  .w = vg_bf16_row(f->job->exec, *weight, piece * f->out + col),
                  .c = f->z + piece * COLS,
                  .x_row = x->ld / 2,
                  .w_row = weight->ld / 2,
                  .c_row = f->z_row,
                  .rows = n,
                  .outs = cols,
                  .k = f->pairs});
}

/* Rows [row, +n), at most a block of them, and columns [first, last). */
static void forward_block(const forward *f, size_t row, size_t n, size_t first, size_t last)
{
    const vg_gemm_kernels *g = f->job->device->bf16->gemm;
    const vg_mat *x = &f->d->x;
    bool dots = x->rows <= g->dot_rows;
    uint32_t vectors = n <= g->lanes ? 1 : VECTORS;
    if (!dots && first < last)
        vg_pack(g, vectors, f->panels, vg_bf16_row(f->job->exec, *x, row), x->ld / 2, true,
                f->pairs, 0, f->pairs, 0, n);
    for (size_t col = first; col < last; col += COLS) {
        size_t cols = vg_least(COLS, last - col);
        for (size_t p = 0; p < f->pieces; p++) {
            if (dots)
                forward_dots(f, row, n, p, col, cols);
            else
                forward_tiles(f, vectors, n, p, col, cols);
        }
        forward_finish(f, row, n, col, cols);
    }
}

/* Threads share the batch where that is even, and then each reads all weights; else the columns,
 * and each packs all of xᵀ for itself, which takes less than to fetch what another has packed. */
void vg_bf16_dense_fwd(const vg_job *job)
{
    size_t size, row = 0, row_end = job->op->dense_fwd.x.rows, col = 0;
    size_t end = job->op->dense_fwd.y.cols, lanes = job->kernels->lanes;
    forward_begin(job->device, job->op, NULL, &size);
    forward f = forward_begin(job->device, job->op, job->scratch + job->thread * size, &size);
    f.job = job;
    if (row_end >= 2 * ROWS * job->threads || vg_share_few_rows(job->device, row_end))
        vg_columns_share((uint32_t)lanes, row_end, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share((uint32_t)lanes, end, job->thread, job->threads, &col, &end);
    for (; row < row_end; row += ROWS)
        forward_block(&f, row, vg_least(ROWS, row_end - row), col, end);
}

/* Backward by the data. */

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
    b.panels = take(memory, size, vg_pack_size(g, VECTORS, b.pairs, d->dx.cols));
    b.dx = take(memory, size, rows * width);
    b.stage = take(memory, size, (op->pieces + 3) * rows * COLS);
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

/* Backward by the weights: blocks of rows of dz and x are packed in pairs, x by all threads for all
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
    w.x[0] = take(memory, size, x_floats);
    w.x[1] = take(memory, size, x_floats);
    w.dz = take(memory, size, threads * COLS * pairs);
    if (device->bf16->along) {
        w.turned_row = pairs + 16; /* an odd number of cache lines, mostly */
        w.turned = take(memory, size, threads * COLS * w.turned_row);
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

size_t vg_bf16_dense_scratch(const vg_device *device, const vg_op *op)
{
    size_t size, threads = vg_pool_threads(device->pool);
    if (op->kind == VG_DENSE_BWD_WEIGHTS) {
        weights_begin(device, op, NULL, &size);
        return size;
    }
    if (op->kind == VG_DENSE_FWD)
        forward_begin(device, op, NULL, &size);
    else
        backward_begin(device, op, NULL, &size);
    return threads * size;
}
