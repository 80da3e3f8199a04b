/* Dense layers backward: by the data and by the weights. */
#include "cpu_exec.h"

/* From so many rows on the weights of dx = dz W are packed. */
enum { PACKED_ROWS = 256 };

bool vg_share_by_rows(const vg_device *device, size_t rows, size_t cols)
{
    size_t threads = vg_pool_threads(device->pool), lanes = device->kernels->lanes;
    size_t units = (cols + lanes - 1) / lanes, row_units = (rows + 7) / 8;
    return units % threads != 0 && units < 16 * threads && row_units > units;
}

static void derivative(const vg_job *job)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_exec *exec = job->exec;
    uint64_t row = 0, row_end = d->dy.rows;
    size_t col = 0, end = d->dy.cols;
    if (row_end >= 4 * job->threads)
        vg_pool_share(d->dy.rows, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(job->kernels->lanes, d->dy.cols, job->thread, job->threads, &col, &end);
    const float *dy = vg_floats(exec, d->dy) + row * d->dy.ld + col;
    float *dz = vg_floats(exec, d->dz) + row * d->dz.ld + col;
    if (d->winner.rows)
        job->kernels->maxout_bwd(&(vg_maxout_bwd){
            .rows = row_end - row,
            .cols = end - col,
            .piece = d->dy.cols,
            .pieces = job->op->pieces,
            .dy = dy,
            .dz = dz,
            .winner = (const uint8_t *)vg_at(exec, d->winner) + row * d->winner.ld + col,
            .ld_dy = d->dy.ld,
            .ld_winner = d->winner.ld,
            .ld_dz = d->dz.ld});
    else
        job->kernels->derivative(&(vg_derivative){.rows = row_end - row,
                                                  .cols = end - col,
                                                  .activation = job->op->activation,
                                                  .alpha = (float)job->op->alpha,
                                                  .dy = dy,
                                                  .a = vg_floats(exec, d->a) + row * d->a.ld + col,
                                                  .dz = dz,
                                                  .ld_dy = d->dy.ld,
                                                  .ld_a = d->a.ld,
                                                  .ld_dz = d->dz.ld});
}

typedef struct skip_rows {
    const vg_job *job;
    size_t row, col, cols;
} skip_rows;

static void skip_add(void *context, size_t first, size_t rows)
{
    const skip_rows *s = context;
    const vg_dense_bwd_data *d = &s->job->op->dense_bwd_data;
    const vg_exec *exec = s->job->exec;
    size_t row = s->row + first;
    s->job->kernels->add(rows, s->cols,
                         (vg_rows_in){vg_floats(exec, d->dy) + row * d->dy.ld + s->col, d->dy.ld},
                         (vg_rows){vg_floats(exec, d->dx) + row * d->dx.ld + s->col, d->dx.ld});
}

void vg_dense_bwd_data_run(const vg_job *job)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    if (d->dz.at != d->dy.at) {
        derivative(job);
        vg_job_barrier(job);
    }
    bool rows_shared = vg_share_by_rows(job->device, d->dx.rows, d->dx.cols);
    bool packed = d->dx.rows >= PACKED_ROWS;
    uint64_t row = 0, row_end = d->dx.rows;
    size_t col = 0, end = d->dx.cols, k = d->weight.rows, k0 = 0, k1 = k;
    if (rows_shared)
        vg_pool_share(d->dx.rows, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(g->lanes, d->dx.cols, job->thread, job->threads, &col, &end);
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    size_t width = (size_t)vectors * g->lanes;
    skip_rows skip = {job, row, col, end - col};
    vg_product product = {.a = vg_floats(exec, d->dz) + row * d->dz.ld,
                          .a_row = d->dz.ld,
                          .a_k = 1,
                          .b = vg_floats(exec, d->weight) + col,
                          .b_k = d->weight.ld,
                          .b_panel = width,
                          .c = vg_floats(exec, d->dx) + row * d->dx.ld + col,
                          .c_row = d->dx.ld,
                          .m = row_end - row,
                          .n = end - col,
                          .k = k,
                          .vectors = vectors,
                          .prefetch_b = true,
                          .done = d->residual && d->dx.cols == d->dy.cols ? skip_add : NULL,
                          .context = &skip};
    if (packed) {
        float *to = job->scratch + (rows_shared ? 0 : (col + job->thread * width) * k);
        if (rows_shared)
            vg_columns_share(1, k, job->thread, job->threads, &k0, &k1);
        vg_pack(g, vectors, to, product.b, product.b_k, false, k, k0, k1 - k0, 0, end - col);
        if (rows_shared)
            vg_job_barrier(job);
        product.b = to;
        product.b_k = width;
        product.b_panel = width * k;
        product.prefetch_b = false;
    }
    product.block =
        vg_product_block(g, vectors, product.m, product.n, product.k, job->device->near_bytes);
    vg_product_run(g, &product);
}

/* Backward by the weights. */

void vg_dense_bwd_weights_run(const vg_job *job)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    size_t first, last, row = 0, row_end = d->dweight.rows, col = 0, end = d->dweight.cols;
    vg_columns_share(g->lanes, d->dz.cols, job->thread, job->threads, &first, &last);
    job->kernels->column_sums(d->dz.rows, last - first,
                              (vg_rows_in){vg_floats(exec, d->dz) + first, d->dz.ld},
                              vg_floats(exec, d->dbias) + first);
    if (d->dweight.rows >= d->dweight.cols) {
        row = first;
        row_end = last;
    } else {
        vg_columns_share(g->lanes, d->dweight.cols, job->thread, job->threads, &col, &end);
    }
    uint32_t vectors = vg_product_vectors(g, d->dweight.rows);
    vg_product product = {.a = vg_floats(exec, d->dz) + row,
                          .a_row = 1,
                          .a_k = d->dz.ld,
                          .b = vg_floats(exec, d->x) + col,
                          .b_k = d->x.ld,
                          .b_panel = (size_t)vectors * g->lanes,
                          .c = vg_floats(exec, d->dweight) + row * d->dweight.ld + col,
                          .c_row = d->dweight.ld,
                          .m = row_end - row,
                          .n = end - col,
                          .k = d->dz.rows,
                          .vectors = vectors,
                          .stream = exec->stream_weights && d->dweight.at % 64 == 0 &&
                                    d->dweight.ld % 16 == 0};
    product.block =
        vg_product_block(g, vectors, product.m, product.n, product.k, job->device->near_bytes);
    vg_product_run(g, &product);
}

size_t vg_dense_bwd_scratch(const vg_device *device, const vg_op *op)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t threads = vg_pool_threads(device->pool);
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    if (op->kind != VG_DENSE_BWD_DATA || d->dx.rows < PACKED_ROWS)
        return 0;
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    size_t k = d->weight.rows;
    return vg_pack_size(g, vectors, k, d->dx.cols) + threads * (size_t)vectors * g->lanes * k;
}
