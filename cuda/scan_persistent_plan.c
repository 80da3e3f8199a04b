/* Regime M's plan: every way to share a scan out is priced, and the cheapest taken. Clocks are
 * those of an H200 as published: 32 floats from shared memory and 128 multiply-adds a
 * multiprocessor, four schedulers that issue one instruction each, 64 bytes from L2 at most and 24
 * where all multiprocessors read. What is not known better is 0.65 µs for a flag's way through L2.
 */
#include "scan_persistent.h"

#include "scan_rates.h"

#include <math.h>
#include <stddef.h>

enum {
    WARP = 32,
    STEP_DEPTH = WARP * VG_PERSISTENT_DEEP,
    MOST_WARPS = VG_PERSISTENT_THREADS / WARP,
    SCHEDULERS = 4,
    MOST_RING = 96 * 1024,
    MOST_CHUNK = 4
};
static const double clocks_a_second = 1.7e9, flag_s = VG_COUNTER_HOP_S, flag_each_s = 0.5e-9,
                    l2_alone = 64, l2_shared = 24, shared_bytes_a_clock = 128, l2_clocks = 600,
                    barrier_clocks = 40, cell_clocks = 350;

typedef struct problem {
    vg_persistent_chip chip;
    vg_persistent_shape shape;
    uint32_t width;        /* columns of a warp */
    uint32_t width_units;  /* units that they are */
    uint32_t depth, bytes; /* of an operand's row; of a number */
} problem;

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}
static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}
static double larger(double a, double b)
{
    return a > b ? a : b;
}

static problem problem_of(vg_persistent_chip chip, vg_persistent_shape shape)
{
    uint32_t gates = vg_cell_find(shape.cell)->gates;
    problem p = {.chip = chip, .shape = shape};
    p.width_units = shape.backward ? VG_PERSISTENT_BWD_UNITS
                    : gates == 1   ? VG_PERSISTENT_RNN_UNITS
                                   : VG_PERSISTENT_FWD_UNITS;
    p.width = shape.backward ? VG_PERSISTENT_BWD_UNITS : p.width_units * gates;
    p.depth = shape.backward ? shape.units * gates : shape.units;
    p.bytes = (uint32_t)vg_dtype_size(shape.storage);
    return p;
}

/* Rows that a warp multiplies at once. */
static uint32_t rows_at_once(const vg_persistent_tiles *t)
{
    return t->chunk ? VG_PERSISTENT_ROWS : 1;
}

/* Lays out shared memory; returns its bytes. */
static uint64_t lay_out(const problem *p, vg_persistent_tiles *t)
{
    uint64_t warps = t->column_warps * t->depth_warps;
    uint64_t weights = (uint64_t)t->rounds * (t->steps - t->held) * warps * p->width * STEP_DEPTH;
    uint64_t stage = (uint64_t)t->chunk * STEP_DEPTH * t->depth_warps * t->row_warps;
    uint64_t ring_at = weights * p->bytes;
    uint64_t partial_at = ring_at + VG_PERSISTENT_RING * VG_PERSISTENT_ROWS * stage * p->bytes;
    uint64_t parts = (uint64_t)t->depth_warps * t->tile_rows * t->stride;
    t->ring_at = least(ring_at, UINT32_MAX);
    t->partial_at = least(partial_at, UINT32_MAX);
    return partial_at + parts * sizeof(float);
}

/* Clocks of the products of one tile. */
static double tile_clocks(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double at_once = rows_at_once(t), sums = at_once * p->width;
    const double warps = t->column_warps * t->depth_warps * t->row_warps;
    const double sets = (double)divide_up(t->tile_rows, (uint64_t)at_once * t->row_warps);
    const double more = t->steps - t->held, unpacked = p->bytes < sizeof(float);
    const double a = at_once * VG_PERSISTENT_DEEP, w = (double)p->width * VG_PERSISTENT_DEEP;
    /* Instructions of a warp for a set: products, reads, conversions, and the sums' exchange. */
    const double issued = t->steps * (sums * VG_PERSISTENT_DEEP + at_once + unpacked * a + 8) +
                          more * (p->width + unpacked * w) + 4 * sums + 20;
    const double reads =
        WARP * p->bytes * ((t->chunk ? t->steps * a : 0) + more * w) / shared_bytes_a_clock;
    const double l2 = larger(l2_shared * p->chip.multiprocessors / blocks, l2_shared);
    const double bytes = (double)t->tile_rows * p->depth * p->bytes;
    const double busy = larger(ceil(warps / SCHEDULERS) * issued, warps * reads) * sets;
    const double arrival = bytes / (l2 < l2_alone ? l2 : l2_alone);
    if (t->chunk == 0) /* each row's numbers are waited for */
        return t->rounds * larger(sets * l2_clocks + busy, arrival);
    const double chunks = sets * (double)divide_up(t->steps, t->chunk);
    return t->rounds * (larger(busy, arrival) + chunks * barrier_clocks) + l2_clocks;
}

static double step_seconds(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double tiles = (double)divide_up(t->rows, t->tile_rows);
    const double clocks =
        tiles * (tile_clocks(p, t, blocks) + cell_clocks + 2 * barrier_clocks) + barrier_clocks;
    return clocks / clocks_a_second + flag_s + flag_each_s * t->slices;
}

static vg_persistent_plan plan_with(const problem *p, vg_persistent_choice c)
{
    const vg_persistent_plan none = {.blocks = 0};
    const uint32_t columns = (uint32_t)divide_up(c.units, p->width_units);
    const uint32_t threads = WARP * c.column_warps * c.depth_warps * c.row_warps;
    vg_persistent_plan plan = {.threads = threads};
    vg_persistent_tiles *t = &plan.tiles;
    if (threads > VG_PERSISTENT_THREADS || threads < c.units || c.units % p->width_units)
        return none;
    t->slices = (uint32_t)divide_up(p->shape.units, c.units);
    t->units = c.units;
    t->rows = c.rows;
    t->column_warps = c.column_warps;
    t->depth_warps = c.depth_warps;
    t->row_warps = c.row_warps;
    t->rounds = (uint32_t)divide_up(columns, c.column_warps);
    t->steps = (uint32_t)divide_up(p->depth, (uint64_t)STEP_DEPTH * c.depth_warps);
    t->held = t->rounds > 1 ? 0 : least(t->steps, c.held);
    t->chunk = c.chunk;
    t->tile_rows = least(t->rows, threads / t->units);
    t->stride = t->rounds * t->column_warps * p->width;
    if (t->stride % 16 == 0) /* rows of sums that are written together begin in other banks */
        t->stride += 8;
    plan.shared_bytes = lay_out(p, t);
    plan.blocks = t->slices * (uint32_t)divide_up(p->shape.batch, t->rows);
    if (plan.shared_bytes > p->chip.shared_bytes || plan.blocks > p->chip.multiprocessors)
        return none;
    plan.step_s = step_seconds(p, t, plan.blocks);
    return plan;
}

vg_persistent_plan vg_persistent_plan_with(vg_persistent_chip chip, vg_persistent_shape shape,
                                           vg_persistent_choice choice)
{
    const problem p = problem_of(chip, shape);
    return plan_with(&p, choice);
}

/* Keeps the cheaper plan. */
static void consider(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const vg_persistent_plan plan = plan_with(p, c);
    if (plan.blocks && (best->blocks == 0 || plan.step_s < best->step_s))
        *best = plan;
}

/* Every depth of the ring's stages, within reason. */
static void consider_rings(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const uint32_t depth = STEP_DEPTH * c.depth_warps;
    const uint64_t stages = (uint64_t)VG_PERSISTENT_RING * VG_PERSISTENT_ROWS * c.row_warps;
    for (c.chunk = 1; c.chunk <= MOST_CHUNK; c.chunk *= 2) {
        if (stages * c.chunk * depth * p->bytes > MOST_RING)
            return;
        consider(p, c, best);
        if ((uint64_t)c.chunk * depth >= p->depth)
            return;
    }
}

/* Every division of a block's warps. */
static void consider_warps(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const uint32_t columns = (uint32_t)divide_up(c.units, p->width_units);
    const uint32_t rounds = (uint32_t)divide_up(columns, MOST_WARPS);
    c.column_warps = (uint32_t)divide_up(columns, rounds);
    for (c.depth_warps = 1; c.depth_warps * c.column_warps <= MOST_WARPS; c.depth_warps *= 2) {
        if (c.depth_warps > 1 && STEP_DEPTH * c.depth_warps / 2 >= p->depth)
            break;
        const uint32_t most = MOST_WARPS / (c.depth_warps * c.column_warps);
        for (c.row_warps = 1; c.row_warps <= most; c.row_warps++) {
            c.chunk = 0;
            if (c.row_warps <= c.rows)
                consider(p, c, best);
            if (c.row_warps <= divide_up(c.rows, VG_PERSISTENT_ROWS))
                consider_rings(p, c, best);
        }
    }
}

vg_persistent_plan vg_persistent_plan_make(vg_persistent_chip chip, vg_persistent_shape shape,
                                           uint64_t *needs)
{
    const problem p = problem_of(chip, shape);
    const uint32_t most = chip.multiprocessors ? chip.multiprocessors : 1;
    const uint32_t least_units = (uint32_t)divide_up(divide_up(shape.units, most), p.width_units);
    vg_persistent_plan best = {.blocks = 0};
    if (needs)
        *needs = (uint64_t)least_units * p.width * p.depth * p.bytes;
    for (uint32_t columns = least_units; columns <= VG_PERSISTENT_THREADS; columns++) {
        vg_persistent_choice c = {.units = columns * p.width_units,
                                  .held = VG_PERSISTENT_HELD / p.width};
        const uint32_t slices = (uint32_t)divide_up(shape.units, c.units);
        /* Blocks that are left take rows of their own. */
        c.rows = (uint32_t)divide_up(shape.batch, most / slices);
        consider_warps(&p, c, &best);
        if (slices == 1)
            break;
    }
    return best;
}
