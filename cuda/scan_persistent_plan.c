/* Regime M's plan: every way to share a scan out is priced by the rates of scan_rates.h, and the
 * cheapest taken. */
#include "scan_persistent.h"

#include "scan_rates.h"
#include "whole_numbers.h"

#include <math.h>
#include <stddef.h>

enum {
    WARP = 32,
    MOST_WARPS = VG_PERSISTENT_THREADS / WARP,
    MOST_RING = 96 * 1024,
    FMA_ROWS = 4 /* up to which nothing but multiply-add is considered */
};
static const double cell_clocks = 350;

typedef struct problem {
    vg_persistent_chip chip;
    vg_persistent_shape shape;
    bool mma;
    uint32_t width;        /* columns of a warp */
    uint32_t width_units;  /* units that they are; mma: 1, they may end amid a unit's gates */
    uint32_t gates;        /* columns of a unit */
    uint32_t depth, bytes; /* of an operand's row; of a number */
    uint32_t step_depth;   /* of a warp */
    uint32_t held;         /* the most steps of a warp with weights in registers */
} problem;

static problem problem_of(vg_persistent_chip chip, vg_persistent_shape shape, bool mma)
{
    uint32_t gates = vg_cell_find(shape.cell)->gates;
    problem p = {.chip = chip, .shape = shape, .mma = mma};
    p.depth = shape.backward ? shape.units * gates : shape.units;
    p.bytes = (uint32_t)vg_dtype_size(shape.dtype);
    p.gates = shape.backward ? 1 : gates;
    if (mma) {
        p.width = VG_PERSISTENT_MMA_COLUMNS;
        p.width_units = 1;
        p.step_depth = VG_PERSISTENT_MMA_BYTES / p.bytes;
        p.held = VG_PERSISTENT_MMA_HELD;
        return p;
    }
    p.width_units = shape.backward ? VG_PERSISTENT_BWD_UNITS
                    : gates == 1   ? VG_PERSISTENT_RNN_UNITS
                                   : VG_PERSISTENT_FWD_UNITS;
    p.width = p.width_units * p.gates;
    p.step_depth = WARP * VG_PERSISTENT_DEEP;
    p.held = VG_PERSISTENT_HELD / p.width;
    return p;
}

/* Warps that hold the columns of so many units. */
static uint32_t columns_of(const problem *p, uint32_t units)
{
    return (uint32_t)vg_divide_up((uint64_t)units * p->gates, p->width);
}

/* Rows of a set, which the block multiplies at once. */
static uint32_t set_rows(const vg_persistent_tiles *t)
{
    return t->fragments ? t->fragments * VG_PERSISTENT_MMA_ROWS
           : t->chunk   ? t->row_warps * VG_PERSISTENT_ROWS
                        : t->row_warps;
}

/* Lays out shared memory; returns its bytes. */
static uint64_t lay_out(const problem *p, vg_persistent_tiles *t)
{
    uint64_t warps = t->column_warps * t->depth_warps;
    uint64_t weights =
        (uint64_t)t->rounds * (t->steps - t->held) * warps * p->width * p->step_depth;
    uint64_t stage = (uint64_t)t->chunk * p->step_depth * t->depth_warps * set_rows(t);
    uint64_t ring_at = weights * p->bytes;
    uint64_t partial_at = ring_at + VG_PERSISTENT_RING * stage * p->bytes;
    uint64_t parts = (uint64_t)t->depth_warps * t->tile_rows * t->stride;
    t->ring_at = (uint32_t)vg_least(ring_at, UINT32_MAX);
    t->partial_at = (uint32_t)vg_least(partial_at, UINT32_MAX);
    return partial_at + parts * sizeof(float);
}

/* Clocks until the numbers of one tile are there, one after the other. */
static double arrival_clocks(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double all = VG_LOAD_BYTES_S / VG_CLOCK_HZ * p->chip.multiprocessors / blocks;
    return (double)t->tile_rows * p->depth * p->bytes /
           (all < VG_L2_BYTES_A_CYCLE ? all : VG_L2_BYTES_A_CYCLE);
}

/* Clocks of the products of one tile on tensor cores: a prediction. */
static double mma_clocks(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double fragments = t->fragments, steps = t->steps, more = t->steps - t->held;
    const double warps = t->column_warps * t->depth_warps;
    const double sets = (double)vg_divide_up(t->tile_rows, set_rows(t));
    const double rounds_to = p->bytes == sizeof(float) ? 4 * VG_PREDICTED_TF32_CYCLES : 0;
    const double pipe = steps * 2 * fragments * VG_PREDICTED_MMA_CYCLES;
    const double issued = steps * (fragments * (3 + rounds_to) + 8) + more * 4 + 8 * fragments;
    const double chain = steps * (t->fragments == 1 ? 1 : 2) * VG_PREDICTED_MMA_WAIT_CYCLES;
    const double reads =
        warps * VG_PERSISTENT_MMA_BYTES *
        (steps * fragments * VG_PERSISTENT_MMA_ROWS + more * VG_PERSISTENT_MMA_COLUMNS) /
        VG_SHARED_BYTES_A_CYCLE;
    const double each = vg_larger(ceil(warps / VG_SCHEDULERS) * vg_larger(pipe, issued), chain);
    const double chunks = sets * (double)vg_divide_up(t->steps, t->chunk);
    const double parts = 2.0 * t->depth_warps * t->tile_rows * t->stride * sizeof(float);
    return t->rounds * (vg_larger(sets * vg_larger(each, reads), arrival_clocks(p, t, blocks)) +
                        chunks * VG_BLOCK_BARRIER_CYCLES) +
           VG_L2_WAIT_CYCLES + parts / VG_SHARED_BYTES_A_CYCLE;
}

/* The same by multiply-add. */
static double fma_clocks(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double at_once = t->chunk ? VG_PERSISTENT_ROWS : 1, sums = at_once * p->width;
    const double warps = t->column_warps * t->depth_warps * t->row_warps;
    const double sets = (double)vg_divide_up(t->tile_rows, set_rows(t));
    const double more = t->steps - t->held, unpacked = p->bytes < sizeof(float);
    const double a = at_once * VG_PERSISTENT_DEEP, w = (double)p->width * VG_PERSISTENT_DEEP;
    /* Instructions of a warp for a set: products, reads, conversions, and the sums' exchange. */
    const double issued = t->steps * (sums * VG_PERSISTENT_DEEP + at_once + unpacked * a + 8) +
                          more * (p->width + unpacked * w) + 4 * sums + 20;
    const double reads =
        WARP * p->bytes * ((t->chunk ? t->steps * a : 0) + more * w) / VG_SHARED_BYTES_A_CYCLE;
    const double busy = vg_larger(ceil(warps / VG_SCHEDULERS) * issued, warps * reads) * sets;
    const double arrival = arrival_clocks(p, t, blocks);
    if (t->chunk == 0) /* each row's numbers are waited for */
        return t->rounds * vg_larger(sets * VG_L2_WAIT_CYCLES + busy, arrival);
    const double chunks = sets * (double)vg_divide_up(t->steps, t->chunk);
    return t->rounds * (vg_larger(busy, arrival) + chunks * VG_BLOCK_BARRIER_CYCLES) +
           VG_L2_WAIT_CYCLES;
}

static double step_seconds(const problem *p, const vg_persistent_tiles *t, uint32_t blocks)
{
    const double tiles = (double)vg_divide_up(t->rows, t->tile_rows);
    const double products = p->mma ? mma_clocks(p, t, blocks) : fma_clocks(p, t, blocks);
    const double clocks =
        tiles * (products + cell_clocks + 2 * VG_BLOCK_BARRIER_CYCLES) + VG_BLOCK_BARRIER_CYCLES;
    return clocks / VG_CLOCK_HZ + VG_COUNTER_HOP_S + VG_COUNTER_EACH_S * t->slices;
}

/* Rows that the block's threads follow together; of fragments whole ones where there are many. */
static uint32_t tile_rows_of(const problem *p, uint32_t rows, uint32_t follow)
{
    const uint32_t tile = (uint32_t)vg_least(rows, follow);
    return p->mma && tile < rows && tile > VG_PERSISTENT_MMA_ROWS
               ? tile / VG_PERSISTENT_MMA_ROWS * VG_PERSISTENT_MMA_ROWS
               : tile;
}

/* 1, 2 or 4 that hold the rows, or as many as there may be. */
static uint32_t fragments_of(uint32_t rows)
{
    uint32_t fragments = 1;
    while (fragments < VG_PERSISTENT_MMA_FRAGMENTS && fragments * VG_PERSISTENT_MMA_ROWS < rows)
        fragments *= 2;
    return fragments;
}

static vg_persistent_plan plan_with(const problem *p, vg_persistent_choice c)
{
    const vg_persistent_plan none = {.blocks = 0};
    const uint32_t columns = columns_of(p, c.units);
    const uint32_t threads = WARP * c.column_warps * c.depth_warps * c.row_warps;
    vg_persistent_plan plan = {.threads = threads};
    vg_persistent_tiles *t = &plan.tiles;
    if (threads > VG_PERSISTENT_THREADS || threads < c.units || c.units % p->width_units)
        return none;
    t->slices = (uint32_t)vg_divide_up(p->shape.units, c.units);
    t->units = c.units;
    t->rows = c.rows;
    t->column_warps = c.column_warps;
    t->depth_warps = c.depth_warps;
    t->row_warps = c.row_warps;
    t->rounds = (uint32_t)vg_divide_up(columns, c.column_warps);
    t->steps = (uint32_t)vg_divide_up(p->depth, (uint64_t)p->step_depth * c.depth_warps);
    t->held = t->rounds > 1 ? 0 : (uint32_t)vg_least(t->steps, c.held);
    t->chunk = c.chunk;
    t->tile_rows = tile_rows_of(p, t->rows, threads / t->units);
    t->fragments = p->mma ? fragments_of(t->tile_rows) : 0;
    t->stride = t->rounds * t->column_warps * p->width;
    if (t->stride % 16 == 0) /* rows of sums that are written together begin in other banks */
        t->stride += p->mma ? 4 : 8;
    plan.shared_bytes = lay_out(p, t);
    plan.blocks = t->slices * (uint32_t)vg_divide_up(p->shape.batch, t->rows);
    if (plan.shared_bytes > p->chip.shared_bytes || plan.blocks > p->chip.multiprocessors)
        return none;
    plan.step_s = step_seconds(p, t, plan.blocks);
    return plan;
}

vg_persistent_plan vg_persistent_plan_with(vg_persistent_chip chip, vg_persistent_shape shape,
                                           vg_persistent_choice choice)
{
    const problem p = problem_of(chip, shape, choice.mma);
    return plan_with(&p, choice);
}

/* Keeps the cheaper plan, the ring within reason. */
static void consider(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const vg_persistent_plan plan = plan_with(p, c);
    const uint32_t ring = plan.tiles.partial_at - plan.tiles.ring_at;
    if (plan.blocks && ring <= MOST_RING && (best->blocks == 0 || plan.step_s < best->step_s))
        *best = plan;
}

/* Every depth of the ring's stages. */
static void consider_rings(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const uint32_t depth = p->step_depth * c.depth_warps;
    for (c.chunk = 1; c.chunk <= VG_PERSISTENT_MOST_CHUNK; c.chunk *= 2) {
        consider(p, c, best);
        if ((uint64_t)c.chunk * depth >= p->depth)
            return;
    }
}

/* Every division of a block's warps. */
static void consider_warps(const problem *p, vg_persistent_choice c, vg_persistent_plan *best)
{
    const uint32_t columns = columns_of(p, c.units);
    const uint32_t rounds = (uint32_t)vg_divide_up(columns, MOST_WARPS);
    c.column_warps = (uint32_t)vg_divide_up(columns, rounds);
    for (c.depth_warps = 1; c.depth_warps * c.column_warps <= MOST_WARPS; c.depth_warps *= 2) {
        if (c.depth_warps > 1 && p->step_depth * c.depth_warps / 2 >= p->depth)
            break;
        if (p->mma) {
            c.row_warps = 1;
            consider_rings(p, c, best);
            continue;
        }
        const uint32_t most = MOST_WARPS / (c.depth_warps * c.column_warps);
        for (c.row_warps = 1; c.row_warps <= most; c.row_warps++) {
            c.chunk = 0;
            if (c.row_warps <= c.rows)
                consider(p, c, best);
            if (c.row_warps <= vg_divide_up(c.rows, VG_PERSISTENT_ROWS))
                consider_rings(p, c, best);
        }
    }
}

/* Every number of units a block; blocks that are left take rows of their own. */
static void consider_units(const problem *p, vg_persistent_plan *best)
{
    const uint32_t most = p->chip.multiprocessors ? p->chip.multiprocessors : 1;
    const uint32_t least_units = (uint32_t)vg_divide_up(p->shape.units, most);
    /* mma: half a warp's columns more each time. */
    const uint32_t each = p->mma ? p->width / 2 : p->width;
    for (uint32_t columns = each;; columns += each) {
        vg_persistent_choice c = {.units = columns / p->gates, .held = p->held, .mma = p->mma};
        if (c.units > VG_PERSISTENT_THREADS)
            return;
        if (c.units < least_units || c.units == 0)
            continue;
        const uint32_t slices = (uint32_t)vg_divide_up(p->shape.units, c.units);
        c.rows = (uint32_t)vg_divide_up(p->shape.batch, most / slices);
        consider_warps(p, c, best);
        if (slices == 1)
            return;
    }
}

vg_persistent_plan vg_persistent_plan_make(vg_persistent_chip chip, vg_persistent_shape shape,
                                           uint64_t *needs)
{
    const uint32_t most = chip.multiprocessors ? chip.multiprocessors : 1;
    const problem fma = problem_of(chip, shape, false), mma = problem_of(chip, shape, true);
    vg_persistent_plan best = {.blocks = 0};
    if (needs)
        *needs = vg_divide_up(vg_divide_up(shape.units, most), fma.width_units) * fma.width *
                 fma.depth * fma.bytes;
    if (shape.dtype != VG_FP32 && shape.batch > FMA_ROWS)
        consider_units(&mma, &best);
    consider_units(&fma, &best);
    return best;
}
