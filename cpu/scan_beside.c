/* A recurrent layer of one batch row with its dense product beside the steps. The weights of a row
 * that no other row shares come from their cache at half the rate of the multiply-adds at best. The
 * layer's product of all steps (forward the gates' part of x, backward dx) takes the other half, in
 * tiles of a few steps' rows, each begun once its operands are there, and the time in which a
 * thread waits for another. What is not done when the scan needs it, or ends, is multiplied by
 * itself. An element's sum is the chain that the dense op alone makes of it (gemm.h). */
#include "scan.h"
#include "sizes.h"

#include <string.h>

/* SIDE_VECTORS: columns of a tile (vg_beside). LEAST_GROUPS: fewer are not worth their beginning
 * and end. */
enum { SIDE_VECTORS = 2, LEAST_GROUPS = 4 };
/* Steps of a tile between two looks at whom a thread waits for. */
enum { WAITING_STEPS = 16 };

/* One thread's part of the product: all rows, and of every gate's columns a share. Groups of rows,
 * a tile high each, pass in the scan's order; a group's tiles are the panels. */
struct vg_side {
    const vg_job *job;
    const vg_gemm_kernels *gemm;
    const vg_op *dense;
    bool forward;
    vg_rows_in left;
    vg_rows out;
    size_t rows, k, gates, gate; /* gate: columns from one to the next */
    size_t first, last;          /* this thread's columns of a gate */
    float *packed, *copied, *sums, *row_sums;
    size_t head, groups; /* head: rows before the first group, forward */
    /* How far it is: the tile in progress or the next, and its next step of K; the scan's step. */
    size_t group, panel, at;
    uint64_t step;
};

/* A copied row is no multiple of a page long: such rows would all meet in one set of the cache. */
static size_t copied_row(size_t k)
{
    return vg_round_up(k, VG_TILE_LINE) + VG_TILE_LINE;
}

static size_t side_width(const vg_gemm_kernels *g)
{
    return (size_t)SIDE_VECTORS * g->lanes;
}

static void shape_set(vg_side *s, const vg_layer *l, uint32_t thread, uint32_t threads)
{
    const vg_gemm_kernels *g = s->gemm;
    s->dense = l->dense;
    s->forward = l->dense->kind == VG_DENSE_FWD;
    s->gates = s->forward ? vg_cell_find(l->scan->cell)->gates : 1;
    vg_mat weight = s->forward ? l->dense->dense_fwd.weight : l->dense->dense_bwd_data.weight;
    s->k = s->forward ? weight.cols : weight.rows;
    s->gate = (s->forward ? weight.rows : weight.cols) / s->gates;
    s->rows = l->scan->t1;
    vg_columns_share(g->lanes, s->gate, thread, threads, &s->first, &s->last);
}

static size_t gate_panels(const vg_side *s)
{
    return vg_parts(s->last - s->first, side_width(s->gemm));
}

static size_t panels_of(const vg_side *s)
{
    return s->gates * gate_panels(s);
}

/* Floats of a thread's memory: its packed weights, the rows of a group, the sums of a tile, and of
 * a step's panel. */
static size_t own_floats(const vg_side *s)
{
    const vg_gemm_kernels *g = s->gemm;
    return panels_of(s) * side_width(g) * s->k + g->beside_rows * copied_row(s->k) +
           g->beside_rows * side_width(g) + (size_t)VG_TILE_VECTORS * g->lanes;
}

static double bytes_of(vg_mat weight)
{
    return (double)weight.rows * weight.cols * sizeof(float);
}

/* It pays where a thread's recurrent weights come from beyond the first level, and where the other
 * weights, which pass once more with every group of rows, come from the last: that holds all of
 * them three times over, where they lie, packed, and their gradients. */
static bool pays(const vg_topology *t, const vg_layer *l, const vg_scan_plan *plan)
{
    bool forward = l->dense->kind == VG_DENSE_FWD;
    double all = bytes_of(forward ? l->scan->scan_fwd.weight_hh : l->scan->scan_bwd.weight_hh) +
                 bytes_of(forward ? l->dense->dense_fwd.weight : l->dense->dense_bwd_data.weight);
    return plan->panels * plan->panel_floats * sizeof(float) > t->caches[0].bytes &&
           3 * all <= (double)t->caches[t->cache_count - 1].bytes;
}

bool vg_beside_find(const vg_device *device, const vg_ops *ops, const vg_program *program,
                    uint32_t index)
{
    const vg_gemm_kernels *g = ops->scan->gemm(device);
    bool forced = device->scan_split == VG_SCAN_BESIDE;
    uint32_t threads = vg_pool_threads(device->pool);
    vg_layer l;
    if (ops->scan->elements > 1 || g->beside_rows == 0 ||
        !(forced || device->scan_split == VG_SCAN_AUTO) || !vg_layer_at(program, index, &l) ||
        l.scan->batch > 1 || l.scan->t1 < (uint64_t)LEAST_GROUPS * g->beside_rows)
        return false;
    vg_scan_plan plan = vg_scan_plan_make(device, ops->scan, l.scan, 0, threads);
    return !plan.by_batch && (forced || pays(&device->topology, &l, &plan));
}

/* In the op's scratch: the scan's, from `begin` on each thread's in turn, of `each` floats. */
typedef struct side_memory {
    size_t begin, each;
} side_memory;

static side_memory memory_of(const vg_device *device, const vg_ops *ops, const vg_layer *l,
                             uint32_t threads)
{
    vg_side first = {.gemm = ops->scan->gemm(device)};
    shape_set(&first, l, 0, threads); /* whose share is the largest */
    return (side_memory){vg_round_up(vg_scan_scratch(device, ops, l->scan, threads), 16),
                         vg_round_up(own_floats(&first), 16)};
}

size_t vg_beside_scratch(const vg_device *device, const vg_ops *ops, const vg_program *program,
                         uint32_t index)
{
    vg_layer l = vg_layer_of(&program->ops[index]);
    uint32_t threads = vg_pool_threads(device->pool);
    side_memory memory = memory_of(device, ops, &l, threads);
    return memory.begin + threads * memory.each;
}

/* The product by itself. */

/* Where a panel's columns stand in the product. */
static size_t panel_column(const vg_side *s, size_t panel, size_t *n)
{
    size_t per_gate = gate_panels(s), width = side_width(s->gemm);
    size_t col = s->first + panel % per_gate * width;
    *n = vg_least(width, s->last - col);
    return panel / per_gate * s->gate + col;
}

static float *panel_weights(const vg_side *s, size_t panel)
{
    return s->packed + panel * side_width(s->gemm) * s->k;
}

/* Null where the sums are the product. */
static const float *bias_at(const vg_side *s, size_t col)
{
    return s->forward ? vg_floats(s->job->exec, s->dense->dense_fwd.bias) + col : NULL;
}

/* Rows [row, + rows) of the panels from `panel` on. */
static void multiply(const vg_side *s, size_t row, size_t rows, size_t panel)
{
    for (size_t width = side_width(s->gemm), n; panel < panels_of(s); panel++) {
        size_t col = panel_column(s, panel, &n);
        vg_product_run(s->gemm, &(vg_product){.a = s->left.at + row * s->left.ld,
                                              .a_row = s->left.ld,
                                              .a_k = 1,
                                              .b = panel_weights(s, panel),
                                              .b_k = width,
                                              .b_panel = width * s->k,
                                              .c = s->out.at + row * s->out.ld + col,
                                              .c_row = s->out.ld,
                                              .m = rows,
                                              .n = n,
                                              .k = s->k,
                                              .block = rows,
                                              .bias = bias_at(s, col),
                                              .vectors = SIDE_VECTORS});
    }
}

static void pack(const vg_side *s)
{
    const vg_op *op = s->dense;
    vg_mat weight = s->forward ? op->dense_fwd.weight : op->dense_bwd_data.weight;
    const float *from = vg_floats(s->job->exec, weight);
    for (size_t gate = 0; gate < s->gates; gate++) {
        size_t col = gate * s->gate + s->first;
        vg_pack(s->gemm, SIDE_VECTORS, panel_weights(s, gate * gate_panels(s)),
                from + (s->forward ? col * weight.ld : col), weight.ld, s->forward, s->k, 0, s->k,
                0, s->last - s->first);
    }
}

/* Beside the steps. */

/* The current group's first row. */
static size_t group_row(const vg_side *s)
{
    return s->forward ? s->head + s->group * s->gemm->beside_rows
                      : s->rows - (s->group + 1) * s->gemm->beside_rows;
}

/* Whether a tile is in progress or may be begun: backward once the scan has passed its rows. */
static bool tile_ready(vg_side *s)
{
    if (s->at > 0)
        return true;
    if (s->panel == panels_of(s)) {
        s->panel = 0;
        s->group++;
    }
    return s->group < s->groups && (s->forward || group_row(s) > s->step);
}

static void group_copy(const vg_side *s)
{
    for (size_t i = 0; i < s->gemm->beside_rows; i++)
        memcpy(s->copied + i * copied_row(s->k), s->left.at + (group_row(s) + i) * s->left.ld,
               s->k * sizeof(float));
}

/* The tile's block of K that holds its next step. */
static void block_of(const vg_side *s, size_t *begin, size_t *end)
{
    size_t blocks = vg_parts(s->k, VG_K_BLOCK), q = 0;
    while (s->k * (q + 1) / blocks <= s->at)
        q++;
    *begin = s->k * q / blocks;
    *end = s->k * (q + 1) / blocks;
}

/* The lines where a block's sums go, before its last steps. */
static void sums_ask(const vg_side *s)
{
    size_t n, col = panel_column(s, s->panel, &n);
    s->job->kernels->fetch(s->gemm->beside_rows, n,
                           (vg_rows_in){s->out.at + group_row(s) * s->out.ld + col, s->out.ld});
}

/* A block's sums go where the tile goes; after the last block the next tile is in turn. */
static void block_end(vg_side *s, bool first)
{
    const vg_kernels *kernels = s->job->kernels;
    size_t n, rows = s->gemm->beside_rows, col = panel_column(s, s->panel, &n);
    vg_rows out = {s->out.at + group_row(s) * s->out.ld + col, s->out.ld};
    const float *bias = bias_at(s, col);
    (first ? kernels->copy : kernels->add)(rows, n, (vg_rows_in){s->sums, side_width(s->gemm)},
                                           out);
    if (s->at < s->k)
        return;
    if (bias)
        kernels->add(rows, n, (vg_rows_in){bias, 0}, out);
    s->at = 0;
    s->panel++;
}

/* Up to `most` steps of the tile that is ready, put into the piece; none beyond its block of K.
 * Returns whether they end the block; *first: it is K's first. */
static bool steps_take(vg_side *s, size_t most, vg_beside *piece, bool *first)
{
    size_t begin, end;
    if (s->panel == 0 && s->at == 0)
        group_copy(s);
    block_of(s, &begin, &end);
    piece->side_k = vg_least(most, end - s->at);
    piece->side_a = s->copied + s->at;
    piece->side_b = panel_weights(s, s->panel) + s->at * side_width(s->gemm);
    piece->side_c = s->sums;
    piece->side_row = copied_row(s->k);
    piece->side_resumes = s->at > begin;
    s->at += piece->side_k;
    *first = begin == 0;
    if (s->at == end)
        sums_ask(s);
    return s->at == end;
}

/* As many steps of the tile as find room in a piece of the row's product. Of the piece's k steps
 * this takes all, or as many as the tile has to the end of its block. */
static void piece_run(vg_side *s, vg_beside *piece, size_t vectors)
{
    size_t ratio = s->gemm->beside[vectors].ratio;
    bool first = false, ends = false;
    if (piece->k >= ratio && tile_ready(s)) {
        ends = steps_take(s, piece->k / ratio, piece, &first);
        if (ends)
            piece->k = piece->side_k * ratio;
    }
    s->gemm->beside[vectors].run(piece);
    if (ends)
        block_end(s, first);
}

bool vg_side_product(vg_side *s, const vg_scan_panel *panel, size_t k, const float *row, float *to)
{
    size_t vectors = panel->width / s->gemm->lanes, blocks = vg_parts(k, VG_K_BLOCK);
    bool runs = s->gemm->beside[vectors].run && tile_ready(s);
    for (size_t q = 0; runs && q < blocks; q++) {
        size_t begin = k * q / blocks, end = k * (q + 1) / blocks;
        vg_beside piece = {
            .c = q ? s->row_sums : to, .side_c = s->sums, .side_row = copied_row(s->k)};
        for (size_t at = begin; at < end; at += piece.k) {
            piece.a = row + at;
            piece.b = panel->weights + at * panel->width;
            piece.k = end - at;
            piece.side_k = 0;
            piece.side_resumes = true;
            piece.resumes = at > begin;
            piece_run(s, &piece, vectors);
        }
        if (q)
            s->job->kernels->add(1, panel->width, (vg_rows_in){s->row_sums, 0}, (vg_rows){to, 0});
    }
    return runs;
}

/* Up to `most` steps of the tile that is ready, by themselves. */
static void steps_run(vg_side *s, size_t most)
{
    vg_beside piece = {0};
    bool first, ends = steps_take(s, most, &piece, &first);
    s->gemm->beside[0].run(&piece);
    if (ends)
        block_end(s, first);
}

bool vg_side_meanwhile(void *side)
{
    bool ready = tile_ready(side);
    if (ready)
        steps_run(side, WAITING_STEPS);
    return ready;
}

/* What is left of the group. */
static void group_end(vg_side *s)
{
    while (s->at > 0)
        steps_run(s, s->k);
    multiply(s, group_row(s), s->gemm->beside_rows, s->panel);
    s->panel = 0;
    s->group++;
}

void vg_side_step(vg_side *s, uint64_t t)
{
    s->step = t;
    if (s->forward && s->group < s->groups && group_row(s) == t)
        group_end(s); /* it is needed now */
}

/* All of the product that is left after the scan backward. */
static void multiply_rest(vg_side *s)
{
    if (s->panel > 0 || s->at > 0)
        group_end(s);
    multiply(s, 0, s->rows - s->group * s->gemm->beside_rows, 0);
}

static void side_begin(vg_side *s, const vg_job *job, const vg_layer *l, const vg_scan *scan)
{
    const vg_exec *exec = job->exec;
    const vg_gemm_kernels *g = scan->gemm;
    side_memory memory = memory_of(job->device, exec->ops, l, job->threads);
    *s = (vg_side){.job = job, .gemm = g};
    shape_set(s, l, job->thread, job->threads);
    vg_mat left = s->forward ? l->dense->dense_fwd.x : l->dense->dense_bwd_data.dz;
    vg_mat out = s->forward ? l->dense->dense_fwd.y : l->dense->dense_bwd_data.dx;
    s->left = (vg_rows_in){vg_floats(exec, left), left.ld};
    s->out = (vg_rows){vg_floats(exec, out), out.ld};
    s->packed = job->scratch + memory.begin + job->thread * memory.each;
    s->copied = s->packed + panels_of(s) * side_width(g) * s->k;
    s->sums = s->copied + g->beside_rows * copied_row(s->k);
    s->row_sums = s->sums + g->beside_rows * side_width(g);
    s->groups = panels_of(s) ? s->rows / g->beside_rows - s->forward : 0;
    s->head = s->rows - s->groups * g->beside_rows;
    pack(s);
}

void vg_beside_run(const vg_job *job)
{
    vg_layer l = vg_layer_of(job->scheduled->op);
    bool forward = l.dense->kind == VG_DENSE_FWD;
    vg_job scan_job = *job;
    vg_scan scan;
    vg_side side;
    scan_job.op = l.scan;
    scan_job.scheduled = job->scheduled + forward;
    vg_scan_begin(&scan, &scan_job);
    side_begin(&side, job, &l, &scan);
    scan.side = &side;
    if (forward)
        multiply(&side, 0, side.head, 0);
    vg_scan_steps(&scan, 0, l.scan->t1);
    if (!forward)
        multiply_rest(&side);
}
