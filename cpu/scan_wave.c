/* Recurrent layers as a wavefront: layer l runs a chunk of steps on its thread while layer l - 1
 * runs the next one on another, each chunk's input product (backward: the product that goes on to
 * the layer below) just beside its steps. What no thread can do alone for one layer without a
 * barrier a step, several do for several layers with one a chunk. The list of ops stays as it is:
 * pairs of neighbours in it run together. For one layer, chunks of its input product just ahead of
 * its steps gain nothing: the windows stream beside the weights, and a whole product packs once. */
#include "scan.h"
#include "sizes.h"

/* Batch rows times steps of a chunk: as many as keep the vectors of its product busy. A product of
 * fewer than these is never cut, so that its sums keep their order (gemm_kernels.h, vg_dot). */
enum { CHUNK_ROWS = 32 };

/* Whether `after` takes what `before` makes. */
static bool follows(const vg_layer *before, const vg_layer *after)
{
    if (before->scan->kind != after->scan->kind)
        return false;
    if (before->scan->kind == VG_SCAN_FWD)
        return vg_same_window(before->scan->scan_fwd.y, after->dense->dense_fwd.x);
    return vg_same_window(before->dense->dense_bwd_data.dx, after->scan->scan_bwd.dy);
}

/* Layers from op `index` on that follow each other, `most` at most. */
static uint32_t chain_length(const vg_program *program, uint32_t index, uint32_t most)
{
    vg_layer before = {0}, now;
    uint32_t count = 0;
    for (; count < most && vg_layer_at(program, index + 2 * count, &now); count++, before = now)
        if (count > 0 && !follows(&before, &now))
            break;
    return count;
}

vg_wave vg_wave_find(const vg_device *device, const vg_ops *ops, const vg_program *program,
                     uint32_t index)
{
    const vg_wave none = {0};
    uint32_t threads = vg_pool_threads(device->pool);
    vg_layer first;
    bool forced = device->scan_split == VG_SCAN_LAYERS;
    if (threads < 2 || !(forced || device->scan_split == VG_SCAN_AUTO) ||
        !vg_layer_at(program, index, &first))
        return none;
    uint64_t steps = first.scan->t1, chunks = steps * first.scan->batch / CHUNK_ROWS;
    vg_wave wave = {.lanes = chain_length(program, index, threads),
                    .chunks = chunks < 1       ? 1
                              : chunks < steps ? chunks
                                               : steps};
    if (wave.lanes < 2 || wave.chunks < wave.lanes)
        return none;
    double alone = vg_scan_step_cycles(device, ops->scan, first.scan, 1);
    double together = vg_scan_step_cycles(device, ops->scan, first.scan, threads);
    double filling = 1 + (wave.lanes - 1.0) / (double)wave.chunks;
    if (!forced && alone * filling >= together * wave.lanes)
        return none;
    wave.layers = chain_length(program, index, UINT32_MAX) / wave.lanes * wave.lanes;
    return wave;
}

/* Steps of chunk c: from the last on backward. */
static void chunk_steps(const vg_op *scan, const vg_wave *wave, uint64_t c, uint64_t *first,
                        uint64_t *last)
{
    uint64_t place = scan->kind == VG_SCAN_FWD ? c : wave->chunks - 1 - c;
    *first = scan->t1 * place / wave->chunks;
    *last = scan->t1 * (place + 1) / wave->chunks;
}

/* The dense op of steps [first, last) alone. */
static vg_op dense_part(const vg_layer *l, uint64_t first, uint64_t last)
{
    uint64_t row = first * l->scan->batch, rows = (last - first) * l->scan->batch;
    vg_op part = *l->dense;
    if (part.kind == VG_DENSE_FWD) {
        part.dense_fwd.x = vg_mat_rows(part.dense_fwd.x, row, rows);
        part.dense_fwd.y = vg_mat_rows(part.dense_fwd.y, row, rows);
    } else {
        part.dense_bwd_data.dy = vg_mat_rows(part.dense_bwd_data.dy, row, rows);
        part.dense_bwd_data.a = vg_mat_rows(part.dense_bwd_data.a, row, rows);
        part.dense_bwd_data.dz = vg_mat_rows(part.dense_bwd_data.dz, row, rows);
        part.dense_bwd_data.dx = vg_mat_rows(part.dense_bwd_data.dx, row, rows);
    }
    return part;
}

/* Floats that a thread has to itself: its scan's, and behind them those of a chunk's product. */
static size_t own_scratch(const vg_device *device, const vg_ops *ops, const vg_op *first,
                          const vg_wave *wave, size_t *scan_floats)
{
    size_t dense = 0;
    *scan_floats = 0;
    for (uint32_t i = 0; i < wave->layers; i++) {
        const vg_op *op = first + 2 * i;
        bool forward = op->kind == VG_DENSE_FWD;
        vg_layer l = {forward ? op : op + 1, forward ? op + 1 : op};
        *scan_floats = vg_larger(*scan_floats, vg_scan_scratch(device, ops, l.scan, 1));
        uint64_t fewest = l.scan->t1 / wave->chunks;
        for (uint64_t steps = fewest; steps <= fewest + 1 && steps <= l.scan->t1; steps++) {
            vg_op part = dense_part(&l, 0, steps);
            dense = vg_larger(dense, ops->scratch(device, &part, NULL));
        }
    }
    *scan_floats = vg_round_up(*scan_floats, 16);
    return *scan_floats + vg_round_up(dense, 16);
}

size_t vg_wave_scratch(const vg_device *device, const vg_ops *ops, const vg_program *program,
                       uint32_t index, const vg_wave *wave)
{
    size_t scan_floats;
    return vg_pool_threads(device->pool) *
           own_scratch(device, ops, &program->ops[index], wave, &scan_floats);
}

/* Chunk c of one layer, by this thread alone. `scan` stays from chunk to chunk. */
static void chunk_run(vg_scan *scan, vg_job *job, float *dense_scratch, const vg_scheduled *pair,
                      uint64_t c)
{
    const vg_ops *ops = job->exec->ops;
    bool forward = pair->op->kind == VG_DENSE_FWD;
    vg_layer l = {pair[!forward].op, pair[forward].op};
    uint64_t first, last;
    chunk_steps(l.scan, &pair->wave, c, &first, &last);
    vg_op part = dense_part(&l, first, last);
    vg_job product = *job;
    product.op = &part;
    product.scratch = dense_scratch;
    job->op = l.scan;
    job->scheduled = &pair[forward];
    if (c == 0)
        vg_scan_begin(scan, job);
    if (forward)
        ops->dense_fwd(&product);
    vg_scan_steps(scan, first, last);
    if (!forward)
        ops->dense_bwd_data(&product);
}

/* In stage s the thread of lane p runs chunk s - p of its layers, which lie one behind the other:
 * those of rounds of `lanes` layers. The layer before is a chunk ahead, or a round. */
void vg_wave_run(const vg_job *job)
{
    const vg_scheduled *first = job->scheduled;
    const vg_wave *wave = &first->wave;
    uint64_t lane = job->thread, chunks = wave->layers / wave->lanes * wave->chunks;
    size_t scan_floats;
    size_t own = own_scratch(job->device, job->exec->ops, first->op, wave, &scan_floats);
    vg_job alone = *job;
    vg_scan scan;
    alone.thread = 0;
    alone.threads = 1;
    alone.scratch += job->thread * own;
    for (uint64_t stage = 0; stage < chunks + wave->lanes - 1; stage++) {
        if (lane < wave->lanes && stage >= lane && stage - lane < chunks) {
            uint64_t round = (stage - lane) / wave->chunks;
            chunk_run(&scan, &alone, alone.scratch + scan_floats,
                      first + 2 * (round * wave->lanes + lane), (stage - lane) % wave->chunks);
        }
        vg_job_barrier(job);
    }
}
