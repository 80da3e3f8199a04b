/* Dense layers forward: products with what follows them done while the result is in cache. */
#include "cpu_exec.h"
#include "sizes.h"

/* Up to so many rows a forward product is computed transposed: the weights are read where they lie,
 * a scalar at a time, and the batch fills the vectors. Beyond, packing the weights costs less than
 * turning the result around. */
enum { TRANSPOSED_ROWS = 192, TRANSPOSED_BLOCK = 64 };

typedef struct forward {
    const vg_job *job;
    const vg_dense_fwd *d;
    size_t rows, in, out, wide; /* wide: out of all pieces */
    float *z;                   /* where the bare product goes: y, or scratch */
    size_t z_row;
} forward;

/* Bias, activation and skip for rows [row, +rows) and columns [col, +cols) of y. */
static void forward_finish(const forward *f, size_t row, size_t rows, size_t col, size_t cols)
{
    const vg_exec *exec = f->job->exec;
    const vg_op *op = f->job->op;
    const vg_dense_fwd *d = f->d;
    float *y = vg_floats(exec, d->y) + row * d->y.ld + col;
    float *a = d->a.rows ? vg_floats(exec, d->a) + row * d->a.ld + col : NULL;
    const float *skip = d->skip.rows ? vg_floats(exec, d->skip) + row * d->skip.ld + col : NULL;
    const float *bias = vg_floats(exec, d->bias) + col, *z = f->z + row * f->z_row + col;
    if (d->winner.rows)
        f->job->kernels->maxout_fwd(
            &(vg_maxout_fwd){.rows = rows,
                             .cols = cols,
                             .piece = f->out,
                             .pieces = op->pieces,
                             .z = z,
                             .bias = bias,
                             .skip = skip,
                             .a = a,
                             .y = y,
                             .winner = (uint8_t *)vg_at(exec, d->winner) + row * d->winner.ld + col,
                             .ld_z = f->z_row,
                             .ld_skip = d->skip.ld,
                             .ld_a = d->a.ld,
                             .ld_y = d->y.ld,
                             .ld_winner = d->winner.ld});
    else
        f->job->kernels->epilogue(&(vg_epilogue){.rows = rows,
                                                 .cols = cols,
                                                 .activation = op->activation,
                                                 .alpha = (float)op->alpha,
                                                 .z = z,
                                                 .bias = bias,
                                                 .skip = skip,
                                                 .a = a,
                                                 .y = y,
                                                 .ld_z = f->z_row,
                                                 .ld_skip = d->skip.ld,
                                                 .ld_a = d->a.ld,
                                                 .ld_y = d->y.ld});
}

typedef struct finish_window {
    const forward *f;
    size_t row, col;
} finish_window;

static void finish_block(void *context, size_t row, size_t rows, size_t col, size_t cols)
{
    const finish_window *w = context;
    forward_finish(w->f, w->row + row, rows, w->col + col, cols);
}

/* z[row.., col..] for n rows and at most a block of columns, from those rows' xᵀ in panels. */
static void forward_transposed(const forward *f, const float *panels, uint32_t vectors, float *tile,
                               size_t row, size_t n, size_t col, size_t cols)
{
    const vg_gemm_kernels *g = f->job->kernels->gemm;
    const vg_mat *weight = &f->d->weight;
    size_t width = (size_t)vectors * g->lanes, tile_row = vg_round_up(n, g->lanes);
    vg_product_run(g, &(vg_product){.a = vg_floats(f->job->exec, *weight) + col * weight->ld,
                                    .a_row = weight->ld,
                                    .a_k = 1,
                                    .b = panels,
                                    .b_k = width,
                                    .b_panel = width * f->in,
                                    .c = tile,
                                    .c_row = tile_row,
                                    .m = cols,
                                    .n = n,
                                    .k = f->in,
                                    .block = cols,
                                    .vectors = vectors,
                                    .prefetch_a = true});
    g->transpose(f->z + row * f->z_row + col, f->z_row, tile, tile_row, cols, n);
}

/* Floats of scratch that a thread has to itself: xᵀ, and a tile of zᵀ. */
static size_t transposed_scratch(const vg_device *device, size_t in, size_t rows)
{
    return vg_round_up(vg_pack_size(device->kernels->gemm, 2, in, rows), 16) +
           TRANSPOSED_BLOCK * vg_round_up(rows, 16);
}

bool vg_dense_fwd_by_few_rows(const vg_device *device, const vg_dense_fwd *d)
{
    return d->x.rows > device->kernels->gemm->dot_rows && d->x.rows <= TRANSPOSED_ROWS &&
           vg_share_few_rows(device, d->x.rows);
}

/* Threads share the batch where it has vectors enough, and then never wait for each other's y; else
 * the columns, and every thread packs all of xᵀ for itself, which takes less than to fetch what
 * another has packed. */
static void forward_few_rows(const forward *f)
{
    const vg_job *job = f->job;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_mat *x = &f->d->x;
    size_t row = 0, row_end = f->rows, col = 0, end = f->out;
    float *panels = job->scratch + job->thread * transposed_scratch(job->device, f->in, f->rows);
    float *tile = panels + vg_round_up(vg_pack_size(g, 2, f->in, f->rows), 16);
    if (vg_share_few_rows(job->device, f->rows))
        vg_columns_share(g->lanes, f->rows, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(g->lanes, f->out, job->thread, job->threads, &col, &end);
    size_t n = row_end - row;
    uint32_t vectors = n <= g->lanes ? 1 : 2;
    vg_pack(g, vectors, panels, vg_floats(job->exec, *x) + row * x->ld, x->ld, true, f->in, 0,
            f->in, 0, n);
    for (size_t at = col; at < end; at += TRANSPOSED_BLOCK) {
        size_t cols = vg_least(TRANSPOSED_BLOCK, end - at);
        for (uint32_t p = 0; p < job->op->pieces; p++)
            forward_transposed(f, panels, vectors, tile, row, n, p * f->out + at, cols);
        forward_finish(f, row, n, at, cols);
    }
}

/* Rows too few for the vectors: every weight is read once, along its row. */
static void forward_dots(const forward *f)
{
    const vg_job *job = f->job;
    const vg_mat *x = &f->d->x, *weight = &f->d->weight;
    size_t col, end;
    vg_columns_share(job->kernels->lanes, f->out, job->thread, job->threads, &col, &end);
    for (uint32_t p = 0; p < job->op->pieces; p++)
        job->kernels->gemm->dot(
            &(vg_dot){.x = vg_floats(job->exec, *x),
                      .w = vg_floats(job->exec, *weight) + (p * f->out + col) * weight->ld,
                      .c = f->z + p * f->out + col,
                      .x_row = x->ld,
                      .w_row = weight->ld,
                      .c_row = f->z_row,
                      .rows = f->rows,
                      .outs = end - col,
                      .k = f->in});
    forward_finish(f, 0, f->rows, col, end - col);
}

/* Floats of the packed weights of one piece. */
static size_t packed_piece(const vg_device *device, uint32_t vectors, size_t in, size_t out)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t threads = vg_pool_threads(device->pool);
    return vg_pack_size(g, vectors, in, out) + threads * (size_t)vectors * g->lanes * in;
}

/* Columns [col, end) of all rows, from packed weights, a piece's behind those of the one before. */
typedef struct many_rows {
    const forward *f;
    const float *packed;
    size_t piece, col, end, block;
    float *strips; /* null: x is read where it lies */
    uint32_t vectors;
} many_rows;

/* Whether nothing follows the product but the bias, which it can add itself. */
static bool bias_alone(const forward *f)
{
    return f->job->op->activation == VG_identity && !f->d->winner.rows && !f->d->skip.rows &&
           !f->d->a.rows;
}

static void many_rows_run(const many_rows *m, size_t row, size_t row_end)
{
    const forward *f = m->f;
    const vg_gemm_kernels *g = f->job->kernels->gemm;
    const vg_mat *x = &f->d->x;
    size_t width = (size_t)m->vectors * g->lanes;
    finish_window finish = {f, row, m->col};
    bool finished = bias_alone(f);
    for (uint32_t p = 0; p < f->job->op->pieces; p++) {
        vg_product product = {
            .a = vg_floats(f->job->exec, *x) + row * x->ld,
            .a_row = x->ld,
            .a_k = 1,
            .b = m->packed + p * m->piece,
            .b_k = width,
            .b_panel = width * f->in,
            .c = f->z + row * f->z_row + p * f->out + m->col,
            .c_row = f->z_row,
            .m = row_end - row,
            .n = m->end - m->col,
            .k = f->in,
            .block = m->block,
            .vectors = m->vectors,
            .strips = m->strips,
            .bias = finished ? vg_floats(f->job->exec, f->d->bias) + m->col : NULL,
            .done = p + 1 == f->job->op->pieces && !finished ? finish_block : NULL,
            .context = &finish};
        product.ahead = m->strips ? vg_product_round(&product, g->lanes) : 0;
        vg_product_run(g, &product);
    }
}

static void forward_many_rows(const forward *f)
{
    const vg_job *job = f->job;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_mat *weight = &f->d->weight;
    bool dealt = vg_deal_rows(job, f->rows);
    bool rows_shared = dealt || vg_share_by_rows(job->device, f->rows, f->out);
    uint32_t pieces = job->op->pieces;
    many_rows m = {.f = f, .vectors = vg_product_vectors(g, f->rows), .end = f->out};
    size_t k0, k1, near_bytes = job->device->near_bytes;
    size_t row = 0, row_end = f->rows;
    m.piece = packed_piece(job->device, m.vectors, f->in, f->out);
    if (!rows_shared)
        vg_columns_share(g->lanes, f->out, job->thread, job->threads, &m.col, &m.end);
    else if (!dealt)
        vg_columns_share(1, f->rows, job->thread, job->threads, &row, &row_end);
    size_t width = (size_t)m.vectors * g->lanes;
    float *packed = job->scratch + (rows_shared ? 0 : (m.col + job->thread * width) * f->in);
    vg_columns_share(g->lanes, f->in, rows_shared ? job->thread : 0, rows_shared ? job->threads : 1,
                     &k0, &k1);
    for (uint32_t p = 0; p < pieces; p++)
        vg_pack(g, m.vectors, packed + p * m.piece,
                vg_floats(job->exec, *weight) + (p * f->out + m.col) * weight->ld, weight->ld, true,
                f->in, k0, k1 - k0, 0, m.end - m.col);
    m.packed = packed;
    if (rows_shared)
        vg_job_barrier(job);
    if (vg_weights_far(job->device, f->in, m.end - m.col))
        m.strips = job->scratch + vg_round_up(pieces * m.piece, 16) +
                   job->thread * vg_product_strips(g, m.vectors, near_bytes);
    m.block = m.strips
                  ? vg_product_strips_block(g, m.vectors, near_bytes)
                  : vg_product_block(g, m.vectors, row_end - row, m.end - m.col, f->in, near_bytes);
    if (!dealt)
        many_rows_run(&m, row, row_end);
    else
        while (vg_rows_deal(job, f->rows, m.block, &row, &row_end))
            many_rows_run(&m, row, row_end);
}

static size_t scratch_size(const vg_device *device, const vg_op *op, size_t *z_at)
{
    const vg_dense_fwd *d = &op->dense_fwd;
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t threads = vg_pool_threads(device->pool), rows = d->x.rows, in = d->x.cols;
    size_t out = d->y.cols, size;
    if (rows <= TRANSPOSED_ROWS) {
        size = threads * transposed_scratch(device, in, rows);
    } else {
        uint32_t vectors = vg_product_vectors(g, rows);
        size = vg_round_up(op->pieces * packed_piece(device, vectors, in, out), 16) +
               threads * vg_product_strips(g, vectors, device->near_bytes);
    }
    *z_at = vg_round_up(size, 16);
    return d->winner.rows ? *z_at + rows * vg_round_up(op->pieces * out, 16) : *z_at;
}

void vg_dense_fwd_run(const vg_job *job)
{
    const vg_dense_fwd *d = &job->op->dense_fwd;
    size_t z_at;
    scratch_size(job->device, job->op, &z_at);
    forward f = {.job = job,
                 .d = d,
                 .rows = d->x.rows,
                 .in = d->x.cols,
                 .out = d->y.cols,
                 .wide = d->weight.rows,
                 .z = vg_floats(job->exec, d->y),
                 .z_row = d->y.ld};
    if (d->winner.rows) {
        f.z = job->scratch + z_at;
        f.z_row = vg_round_up(f.wide, 16);
    }
    if (f.rows <= job->kernels->gemm->dot_rows)
        forward_dots(&f);
    else if (f.rows <= TRANSPOSED_ROWS)
        forward_few_rows(&f);
    else
        forward_many_rows(&f);
}

size_t vg_dense_fwd_scratch(const vg_device *device, const vg_op *op)
{
    size_t z_at;
    return scratch_size(device, op, &z_at);
}
