/* Dense layers in bf16, forward: zᵀ = W xᵀ, so that the weights are read where they lie, a pair at
 * a time, and the batch fills the vectors. */
#include "bf16_dense.h"

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
    f.panels = vg_bf16_take(memory, size, vg_pack_size(device->bf16->gemm, VECTORS, f.pairs, rows));
    f.turned = vg_bf16_take(memory, size, COLS * row);
    f.z = vg_bf16_take(memory, size, rows * f.z_row);
    f.bias = vg_bf16_take(memory, size, f.z_row);
    f.stage = vg_bf16_take(memory, size, 3 * rows * COLS);
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

size_t vg_bf16_dense_fwd_scratch(const vg_device *device, const vg_op *op)
{
    size_t size;
    forward_begin(device, op, NULL, &size);
    return vg_pool_threads(device->pool) * size;
}
