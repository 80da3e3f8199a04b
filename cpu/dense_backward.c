/* Dense layers backward by the data. */
#include "cpu_exec.h"
#include "sizes.h"

/* From so many rows on the weights of dx = dz W are packed. */
enum { PACKED_ROWS = 256 };
/* Up to so many rows, of which each weight serves few multiply-adds, dx takes the weights row after
 * row as they come from memory: short blocks of K, and the next one asked for meanwhile. */
enum { STREAMED_ROWS = 6, STREAMED_BLOCK = 32 };
/* Up to so many rows every thread computes all of dz for itself, and needs no barrier before dx. */
enum { OWN_ROWS = 192 };
/* From so many rows a thread on they are dealt out whatever the columns, some at a time. */
enum { MANY_ROWS = 1024 };

/* So many columns pay for the copy of the rows that they are multiplied with. */
enum { STRIPS_COLUMNS = 512 };

bool vg_share_by_rows(const vg_device *device, size_t rows, size_t cols)
{
    size_t threads = vg_pool_threads(device->pool), lanes = device->kernels->lanes;
    size_t units = vg_parts(cols, lanes), row_units = vg_parts(rows, 8);
    return units % threads != 0 && units < 16 * threads && row_units > units;
}

bool vg_deal_rows(const vg_job *job, size_t rows)
{
    return job->threads > 1 && rows / job->threads >= MANY_ROWS;
}

/* Blocks for the first three quarters, then quarters of blocks, so that all end together. */
bool vg_rows_deal(const vg_job *job, size_t rows, size_t block, size_t *first, size_t *last)
{
    size_t blocks = rows / block * 3 / 4, part = vg_parts(block, 4);
    size_t turns = blocks + vg_parts(rows - blocks * block, part);
    size_t turn = vg_pool_turn(job->device->pool, job->thread, turns);
    *first = turn < blocks ? turn * block : blocks * block + (turn - blocks) * part;
    *last = vg_least(*first + (turn < blocks ? block : part), rows);
    return turn < turns;
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

/* The product for rows [row, row_end) of dz and columns from `col` on. */
static void rows_run(const vg_job *job, vg_product product, const float *dz, size_t row,
                     size_t row_end, size_t col)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    skip_window skip = {job, row, col};
    product.a = dz + row * product.a_row;
    product.c = vg_floats(job->exec, d->dx) + row * d->dx.ld + col;
    product.m = row_end - row;
    product.context = &skip;
    vg_product_run(job->kernels->gemm, &product);
}

void vg_dense_bwd_data_run(const vg_job *job)
{
    const vg_dense_bwd_data *d = &job->op->dense_bwd_data;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    bool packed = d->dx.rows >= PACKED_ROWS;
    bool few_rows = !packed && vg_share_few_rows(job->device, d->dx.rows);
    bool dealt = vg_deal_rows(job, d->dx.rows);
    bool rows_shared = few_rows || dealt || vg_share_by_rows(job->device, d->dx.rows, d->dx.cols);
    size_t row = 0, row_end = d->dx.rows, col = 0, end = d->dx.cols, k = d->weight.rows, k0 = 0,
           k1 = k;
    if (few_rows)
        vg_columns_share(g->lanes, d->dx.rows, job->thread, job->threads, &row, &row_end);
    else if (!rows_shared)
        vg_columns_share(g->lanes, d->dx.cols, job->thread, job->threads, &col, &end);
    else if (!dealt)
        vg_columns_share(1, d->dx.rows, job->thread, job->threads, &row, &row_end);
    size_t dz_row;
    const float *dz = dz_make(job, few_rows, row, row_end, &dz_row);
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    size_t width = (size_t)vectors * g->lanes;
    size_t near_bytes = job->device->near_bytes;
    bool far = packed && vg_weights_far(job->device, k, end - col);
    vg_product product = {.a_row = dz_row,
                          .a_k = 1,
                          .b = vg_floats(exec, d->weight) + col,
                          .b_k = d->weight.ld,
                          .b_panel = width,
                          .c_row = d->dx.ld,
                          .n = end - col,
                          .k = k,
                          .vectors = vectors,
                          .prefetch_b = width,
                          .done = d->residual && d->dx.cols == d->dy.cols ? skip_add : NULL};
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
                        : vg_product_block(g, vectors, row_end - row, product.n, k, near_bytes);
    if (!dealt)
        rows_run(job, product, dz, row, row_end, col);
    else
        while (vg_rows_deal(job, d->dx.rows, product.block, &row, &row_end))
            rows_run(job, product, dz, row, row_end, col);
}

size_t vg_dense_bwd_data_scratch(const vg_device *device, const vg_op *op)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t threads = vg_pool_threads(device->pool);
    const vg_dense_bwd_data *d = &op->dense_bwd_data;
    if (d->dx.rows < PACKED_ROWS)
        return own_dz(device, d) ? threads * d->dy.rows * own_row(d) : 0;
    uint32_t vectors = vg_product_vectors(g, d->dx.rows);
    return packed_floats(device, vectors, d->weight.rows, d->dx.cols) +
           threads * vg_product_strips(g, vectors, device->near_bytes);
}
