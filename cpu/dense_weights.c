/* Dense layers backward by the weights. */
#include "cpu_exec.h"
#include "sizes.h"

/* From so many rows on, both sides of dweight's product are copied in the order of their use. */
enum { COPIED_ROWS = 2 * VG_K_BLOCK };
/* Blocks of x that stand copied: the one in use, the next, and the last one, which a thread may
 * still be at. */
enum { BLOCKS = 3 };
/* Parts of dweight's rows that there are at least for every thread, so that a part need not wait
 * for its own sum over the block before, and the threads end together. */
enum { PARTS_A_THREAD = 4 };
/* Ops that may be done as one. */
enum { MOST_OPS = 2 };

static bool is_copied(const vg_op *op)
{
    return op->kind == VG_DENSE_BWD_WEIGHTS && op->dense_bwd_weights.dz.rows >= COPIED_ROWS;
}

bool vg_dense_joint(const vg_op *op, const vg_op *next)
{
    return is_copied(op) && is_copied(next) && op->pass == next->pass &&
           vg_same_window(op->dense_bwd_weights.dz, next->dense_bwd_weights.dz);
}

/* Products of both whose sides are copied, by blocks of K. Scratch: how many parts of blocks of x
 * are copied; BLOCKS blocks of x in panels, those of one op after those of the other; and for every
 * thread strips of dz and the sums of their rows. */
typedef struct copies {
    const vg_job *job;
    const vg_dense_bwd_weights *of[MOST_OPS];
    uint32_t ops, vectors;
    size_t width, panels[MOST_OPS + 1]; /* where an op's begin in a block; last: a block's floats */
    size_t strips, own;                 /* floats of a thread's strips, and with its sums */
    size_t rows, k, parts, blocks;
    vg_pool_count *copied;
    float *x, *mine;
} copies;

enum { COUNT_FLOATS = 128 / sizeof(float) };

static copies copies_of(const vg_device *device, const vg_op *op, const vg_op *next)
{
    const vg_gemm_kernels *g = device->kernels->gemm;
    size_t threads = vg_pool_threads(device->pool), near_bytes = device->near_bytes;
    copies c = {.of = {&op->dense_bwd_weights, next ? &next->dense_bwd_weights : NULL},
                .ops = next ? 2 : 1};
    c.rows = c.of[0]->dweight.rows;
    c.k = c.of[0]->dz.rows;
    c.vectors = vg_product_vectors(g, c.rows);
    c.width = (size_t)c.vectors * g->lanes;
    for (uint32_t i = 0; i < c.ops; i++)
        c.panels[i + 1] =
            c.panels[i] + vg_pack_size(g, c.vectors, VG_K_BLOCK, c.of[i]->dweight.cols);
    size_t block = vg_product_strips_block(g, c.vectors, near_bytes);
    c.strips = vg_product_strips(g, c.vectors, near_bytes);
    c.own = vg_round_up(c.strips + block, 16);
    c.blocks = vg_parts(c.k, VG_K_BLOCK);
    c.parts =
        vg_larger(vg_parts(c.rows, block),
                  vg_least(PARTS_A_THREAD * threads, vg_parts(c.rows, g->max_rows[c.vectors])));
    return c;
}

static size_t copies_floats(const vg_device *device, const copies *c)
{
    return COUNT_FLOATS + BLOCKS * c->panels[c->ops] + vg_pool_threads(device->pool) * c->own;
}

/* Rows of x in block q. */
static size_t block_begin(const copies *c, size_t q)
{
    return c->k * q / c->blocks;
}

/* Share `part` of `parts` of block q of x. */
static void panels_copy(const copies *c, size_t q, size_t part, size_t parts)
{
    size_t k0 = block_begin(c, q), k = block_begin(c, q + 1) - k0;
    size_t first = k * part / parts, last = k * (part + 1) / parts;
    for (uint32_t i = 0; i < c->ops; i++)
        c->job->kernels->gemm->strips(&(vg_strips){
            .to = c->x + q % BLOCKS * c->panels[c->ops] + c->panels[i] + first * c->width,
            .from = vg_floats(c->job->exec, c->of[i]->x) + (k0 + first) * c->of[i]->x.ld,
            .strip = k * c->width,
            .row = c->width,
            .from_row = c->of[i]->x.ld,
            .wide = c->width,
            .cols = c->of[i]->x.cols,
            .k = last - first});
}

/* Rows [row, + rows) of every dbias get the column sums of block q of dz. */
static void sums_block(const copies *c, size_t q, const float *dz, size_t row, size_t rows)
{
    const vg_exec *exec = c->job->exec;
    const vg_kernels *kernels = c->job->kernels;
    float *sums = c->mine + c->strips;
    kernels->column_sums(block_begin(c, q + 1) - block_begin(c, q), rows,
                         (vg_rows_in){dz, c->of[0]->dz.ld}, sums);
    for (uint32_t i = 0; i < c->ops; i++) {
        vg_rows dbias = {vg_floats(exec, c->of[i]->dbias) + row, rows};
        if (q)
            kernels->add(1, rows, (vg_rows_in){sums, rows}, dbias);
        else
            kernels->copy(1, rows, (vg_rows_in){sums, rows}, dbias);
    }
}

/* Part `part` of the rows of every dweight and dbias gets the sums over block q. */
static void weights_block(const copies *c, size_t q, size_t part)
{
    const vg_gemm_kernels *g = c->job->kernels->gemm;
    const vg_exec *exec = c->job->exec;
    size_t k0 = block_begin(c, q), k = block_begin(c, q + 1) - k0;
    size_t row = c->rows * part / c->parts, rows = c->rows * (part + 1) / c->parts - row;
    const float *dz = vg_floats(exec, c->of[0]->dz) + k0 * c->of[0]->dz.ld + row;
    sums_block(c, q, dz, row, rows);
    vg_product products[MOST_OPS];
    for (uint32_t i = 0; i < c->ops; i++) {
        const vg_dense_bwd_weights *d = c->of[i];
        products[i] = (vg_product){.a = dz,
                                   .a_row = 1,
                                   .a_k = d->dz.ld,
                                   .b = c->x + q % BLOCKS * c->panels[c->ops] + c->panels[i],
                                   .b_k = c->width,
                                   .b_panel = c->width * k,
                                   .c = vg_floats(exec, d->dweight) + row * d->dweight.ld,
                                   .c_row = d->dweight.ld,
                                   .m = rows,
                                   .n = d->dweight.cols,
                                   .k = k,
                                   .block = rows,
                                   .vectors = c->vectors,
                                   .accumulate = q > 0,
                                   .strips = c->mine};
        products[i].ahead = vg_product_round(&products[i], g->lanes);
        if (i > 0)
            products[i - 1].also = &products[i];
    }
    vg_product_run(g, products);
}

/* The threads take turns at the parts of all blocks, and copy a share of the next block in each. */
static void weights_copied(const vg_job *job)
{
    const vg_op *next = job->scheduled->joint ? job->scheduled[1].op : NULL;
    vg_pool *pool = job->device->pool;
    copies c = copies_of(job->device, job->op, next);
    c.job = job;
    c.copied = (vg_pool_count *)(void *)job->scratch;
    c.x = job->scratch + COUNT_FLOATS;
    c.mine = c.x + BLOCKS * c.panels[c.ops] + job->thread * c.own;
    vg_job_barrier(job); /* an op before this one may have the scratch in use */
    if (job->thread == 0)
        atomic_init(c.copied, 0);
    panels_copy(&c, 0, job->thread, job->threads);
    vg_job_barrier(job);
    size_t turns = c.blocks * c.parts;
    for (size_t i; (i = vg_pool_turn(pool, job->thread, turns)) < turns;) {
        size_t q = i / c.parts, part = i % c.parts;
        if (q > 0) {
            vg_pool_turns_await(pool, job->thread, i - c.parts + 1);
            vg_pool_await(pool, c.copied, q * c.parts);
        }
        if (q + 1 < c.blocks) {
            panels_copy(&c, q + 1, part, c.parts);
            atomic_fetch_add(c.copied, 1);
        }
        weights_block(&c, q, part);
    }
}

void vg_dense_bwd_weights_run(const vg_job *job)
{
    const vg_dense_bwd_weights *d = &job->op->dense_bwd_weights;
    const vg_gemm_kernels *g = job->kernels->gemm;
    const vg_exec *exec = job->exec;
    if (is_copied(job->op)) {
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

size_t vg_dense_bwd_weights_scratch(const vg_device *device, const vg_op *op, const vg_op *next)
{
    if (!is_copied(op))
        return 0;
    copies c = copies_of(device, op, next);
    return copies_floats(device, &c);
}
