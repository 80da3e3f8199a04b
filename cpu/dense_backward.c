/* Dense layers backward: by the data and by the weights. */
#include "cpu_exec.h"
#include "sizes.h"

/* From so many rows on the weights of dx = dz W are packed. */
enum { PACKED_ROWS = 256 };
/* Up to so many rows, of which each weight serves few multiply-adds, dx takes the weights row after
 * row as they come from memory: short blocks of K, and the next one asked for meanwhile. */
enum { STREAMED_ROWS = 6, STREAMED_BLOCK = 32 };
/* Up to so many rows every thread computes all of dz for itself, and needs no barrier before dx. */
enum { OWN_ROWS = 192 };
/* From so many rows on, both sides of dweight's product are copied in the order of their use. */
enum { COPIED_ROWS = 2 * VG_K_BLOCK };
/* From so many rows a thread on they are shared out whatever the columns. */
enum { MANY_ROWS = 1024 };

/* So many columns pay for the copy of the rows that they are multiplied with. */
enum { STRIPS_COLUMNS = 512 };

bool vg_share_by_rows(const vg_device *device, size_t rows, size_t cols)
{
    size_t threads = vg_pool_threads(device->pool), lanes = device->kernels->lanes;
    size_t units = vg_parts(cols, lanes), row_units = vg_parts(rows, 8);
    return units % threads != 0 && units < 16 * threads && row_units > units;
}

bool vg_share_many_rows(const vg_device *device, size_t rows)
{
    size_t threads = vg_pool_threads(device->pool);
    return threads > 1 && rows / threads >= MANY_ROWS;
}

bool vg_weights_far(const vg_device *device, size_t k, size_t n)
{
    size_t bytes = k * n * sizeof(float);
    return bytes > device->near_bytes || (n >= STRIPS_COLUMNS && 2 * bytes > device->near_bytes);
}

bool vg_share_few_rows(const vg_device *device, size_t rows)
{
    size_t threads = vg_pool_threads(device->pool), vectors = rows / device->kernels->lanes;
    return threads > 1 && rows % device->kernels->lanes == 0 && vectors > 0 &&
           (vectors % threads == 0 || vectors >= 8 * threads);
}

/* Rows that stay with a thread from layer to layer have none but its own to wait for; scratch does
 * where it is laid out the same. Gradients of weights depend on no other gradient of weights. */
bool vg_dense_apart(const vg_device *device, const vg_op *op, const vg_op *next)
{
    if (op->kind != next->kind || op->pass != next->pass)
        return false;
    switch (op->kind) {
    case VG_DENSE_FWD: {
        const vg_dense_fwd *a = &op->dense_fwd, *b = &next->dense_fwd;
        return vg_dense_fwd_by_few_rows(device, a) && a->x.rows == b->x.rows &&
               a->x.cols == b->x.cols && a->y.cols == b->y.cols && !a->winner.rows;
    }
    case VG_DENSE_BWD_DATA: {
        size_t rows = op->dense_bwd_data.dx.rows;
        return rows == next->dense_bwd_data.dx.rows && rows < PACKED_ROWS &&
               vg_share_few_rows(device, rows);
    }
    case VG_DENSE_BWD_WEIGHTS: return true;
    default: return false;
    }
}

/* Rows [row, row_end) and columns [col, end) of dz (one piece's), to `to`, the place of dz[0, 0].
 */
static void derivative(const vg_job *job, size_t row, size_t row_end, size_t col, size_t end,
                       float *to, size_t ld)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_exec *exec = job->exec;
    const float *dy = vg_floats(exec, d->dy) + row * d->dy.ld + col;
    float *dz = to + row * ld + col;
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
            .ld_dz = ld});
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
                                                  .ld_dz = ld});
}

static bool own_dz(const vg_device *device, const vg_dense_bwd_data *d)
{
    return d->dz.at != d->dy.at && d->dy.rows <= OWN_ROWS && vg_pool_threads(device->pool) > 1 &&
           !vg_share_few_rows(device, d->dy.rows);
}

static size_t own_row(const vg_dense_bwd_data *d)
{
    return vg_round_up(d->dz.cols, 16);
}

/* dz where this thread will read it: its own rows in the window where rows are shared out (first,
 * last); else all of it in its own scratch and a share of it in the window, or a share in the
 * window and then a barrier. */
static const float *dz_make(const vg_job *job, bool few_rows, size_t first, size_t last, size_t *ld)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    float *window = vg_floats(job->exec, d->dz);
    uint64_t row = 0, row_end = d->dy.rows;
    size_t col = 0, end = d->dy.cols;
    *ld = d->dz.ld;
    if (d->dz.at == d->dy.at)
        return window;
    if (few_rows) {
        derivative(job, first, last, 0, end, window, d->dz.ld);
        return window;
    }
    if (own_dz(job->device, d)) {
        float *own = job->scratch + job->thread * d->dy.rows * own_row(d);
        *ld = own_row(d);
        derivative(job, 0, row_end, 0, end, own, *ld);
        vg_columns_share(job->kernels->lanes, d->dz.cols, job->thread, job->threads, &col, &end);
        job->kernels->copy(row_end, end - col, (vg_rows_in){own + col, *ld},
                           (vg_rows){window + col, d->dz.ld});
        return own;
    }
    if (row_end >= 4 * job->threads)
        vg_pool_share(d->dy.rows, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(job->kernels->lanes, d->dy.cols, job->thread, job->threads, &col, &end);
    derivative(job, row, row_end, col, end, window, d->dz.ld);
    vg_job_barrier(job);
    return window;
}

typedef struct skip_window {
    const vg_job *job;
    size_t row, col;
} skip_window;

static void skip_add(void *context, size_t row, size_t rows, size_t col, size_t cols)
{
    const skip_window *s = context;
    const vg_dense_bwd_data *d = &s->job->op->dense_bwd_data;
    const vg_exec *exec = s->job->exec;
    row += s->row;
    col += s->col;
    s->job->kernels->add(rows, cols,
                         (vg_rows_in){vg_floats(exec, d->dy) + row * d->dy.ld + col, d->dy.ld},
                         (vg_rows){vg_floats(exec, d->dx) + row * d->dx.ld + col, d->dx.ld});
}

/* Floats of the packed weights; the threads' strips follow. */
static size_t packed_floats(const vg_device *device, uint32_t vectors, size_t k, size_t n)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t rest = vg_pool_threads(device->pool) * (size_t)vectors * g->lanes * k;
    return vg_round_up(vg_pack_size(g, vectors, k, n) + rest, 16);
}

static float *packed_strips(const vg_job *job, uint32_t vectors, size_t k, size_t n)
{
    return job->scratch + packed_floats(job->device, vectors, k, n) +
           job->thread * vg_product_strips(job->kernels->gemm, vectors, job->device->near_bytes);
}

void vg_dense_bwd_data_run(const vg_job *job)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    bool packed = d->dx.rows >= PACKED_ROWS;
    bool few_rows = !packed && vg_share_few_rows(job->device, d->dx.rows);
    bool rows_shared = few_rows || vg_share_by_rows(job->device, d->dx.rows, d->dx.cols) ||
                       vg_share_many_rows(job->device, d->dx.rows);
    size_t row = 0, row_end = d->dx.rows, col = 0, end = d->dx.cols, k = d->weight.rows, k0 = 0,
           k1 = k;
    if (few_rows)
        vg_columns_share(g->lanes, d->dx.rows, job->thread, job->threads, &row, &row_end);
    else if (rows_shared)
        vg_columns_share(1, d->dx.rows, job->thread, job->threads, &row, &row_end);
    else
        vg_columns_share(g->lanes, d->dx.cols, job->thread, job->threads, &col, &end);
    size_t dz_row;
    const float *dz = dz_make(job, few_rows, row, row_end, &dz_row);
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    size_t width = (size_t)vectors * g->lanes;
    size_t near_bytes = job->device->near_bytes;
    bool far = packed && vg_weights_far(job->device, k, end - col);
    skip_window skip = {job, row, col};
    vg_product product = {.a = dz + row * dz_row,
                          .a_row = dz_row,
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
                          .prefetch_b = width,
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
        product.prefetch_b = 0;
        product.strips = far ? packed_strips(job, vectors, k, d->dx.cols) : NULL;
        product.ahead = far ? vg_product_round(&product, g->lanes) : 0;
    } else if (d->dx.rows <= STREAMED_ROWS) {
        product.k_block = STREAMED_BLOCK;
        product.prefetch_b = STREAMED_BLOCK * d->weight.ld;
    }
    product.block = far ? vg_product_strips_block(g, vectors, near_bytes)
                        : vg_product_block(g, vectors, product.m, product.n, product.k, near_bytes);
    vg_product_run(g, &product);
}

/* Backward by the weights. */

static bool both_copied(const vg_dense_bwd_weights *d)
{
    return d->dz.rows >= COPIED_ROWS;
}

/* Scratch of a product whose sides are both copied: two blocks of x in panels, which the threads
 * share, and for every thread strips of dz and the sums of their rows. */
typedef struct copies {
    uint32_t vectors;
    size_t width, panels, block, strips;
} copies;

static copies copies_of(const vg_device *device, const vg_dense_bwd_weights *d)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    copies c = {.vectors = vg_product_vectors(g, d->dweight.rows)};
    c.width = (size_t)c.vectors * g->lanes;
    c.panels = vg_pack_size(g, c.vectors, VG_K_BLOCK, d->dweight.cols);
    c.block = vg_product_strips_block(g, c.vectors, device->near_bytes);
    c.strips = vg_product_strips(g, c.vectors, device->near_bytes);
    return c;
}

static size_t copies_own(const copies *c)
{
    return vg_round_up(c->strips + c->block, 16);
}

/* This thread's share of block q of x. */
static void panels_copy(const vg_job *job, const copies *c, size_t q, size_t k0, size_t k)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    size_t first, last;
    vg_columns_share(1, k, job->thread, job->threads, &first, &last);
    job->kernels->gemm->strips(
        &(vg_strips){.to = job->scratch + q % 2 * c->panels + first * c->width,
                     .from = vg_floats(job->exec, d->x) + (k0 + first) * d->x.ld,
                     .strip = k * c->width,
                     .row = c->width,
                     .from_row = d->x.ld,
                     .wide = c->width,
                     .cols = d->x.cols,
                     .k = last - first});
}

/* dweight and dbias of rows [row, + rows) get the part of steps [k0, + k), in block q. */
static void weights_block(const vg_job *job, const copies *c, size_t q, size_t k0, size_t k,
                          size_t row, size_t rows)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const float *dz = vg_floats(job->exec, d->dz) + k0 * d->dz.ld + row;
    float *dbias = vg_floats(job->exec, d->dbias) + row;
    float *strips = job->scratch + 2 * c->panels + job->thread * copies_own(c);
    float *sums = q ? strips + c->strips : dbias;
    job->kernels->column_sums(k, rows, (vg_rows_in){dz, d->dz.ld}, sums);
    if (q)
        job->kernels->add(1, rows, (vg_rows_in){sums, rows}, (vg_rows){dbias, rows});
    vg_product product = {.a = dz,
                          .a_row = 1,
                          .a_k = d->dz.ld,
                          .b = job->scratch + q % 2 * c->panels,
                          .b_k = c->width,
                          .b_panel = c->width * k,
                          .c = vg_floats(job->exec, d->dweight) + row * d->dweight.ld,
                          .c_row = d->dweight.ld,
                          .m = rows,
                          .n = d->dweight.cols,
                          .k = k,
                          .block = rows,
                          .vectors = c->vectors,
                          .accumulate = q > 0,
                          .strips = strips};
    product.ahead = vg_product_round(&product, job->kernels->lanes);
    vg_product_run(job->kernels->gemm, &product);
}

/* Many rows of dz and x, by the blocks of K that a product has: the threads copy a block of x while
 * the one before is in use, and each multiplies its own rows of dweight. */
static void weights_copied(const vg_job *job)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    copies c = copies_of(job->device, d);
    size_t first, last, k = d->dz.rows, blocks = vg_parts(k, VG_K_BLOCK);
    vg_columns_share(job->kernels->lanes, d->dweight.rows, job->thread, job->threads, &first,
                     &last);
    size_t rows = last - first, parts = vg_parts(rows, c.block);
    vg_job_barrier(job); /* an op before this one may have the scratch in use */
    panels_copy(job, &c, 0, 0, k / blocks);
    for (size_t q = 0; q < blocks; q++) {
        size_t k0 = k * q / blocks, k1 = k * (q + 1) / blocks, k2 = k * (q + 2) / blocks;
        vg_job_barrier(job);
        if (q + 1 < blocks)
            panels_copy(job, &c, q + 1, k1, k2 - k1);
        for (size_t r = 0; r < parts; r++)
            weights_block(job, &c, q, k0, k1 - k0, first + rows * r / parts,
                          rows * (r + 1) / parts - rows * r / parts);
    }
}

void vg_dense_bwd_weights_run(const vg_job *job)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    if (both_copied(d)) {
        weights_copied(job);
        return;
    }
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
    if (op->kind == VG_DENSE_BWD_WEIGHTS) {
        copies c = copies_of(device, &op->dense_bwd_weights);
        return both_copied(&op->dense_bwd_weights) ? 2 * c.panels + threads * copies_own(&c) : 0;
    }
    if (d->dx.rows < PACKED_ROWS)
        return own_dz(device, d) ? threads * d->dy.rows * own_row(d) : 0;
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    return packed_floats(device, vectors, d->weight.rows, d->dx.cols) +
           threads * vg_product_strips(g, vectors, device->near_bytes);
}
