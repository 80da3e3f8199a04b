/* The plans of regime S: every instance and number of slices that fits, by a model of the cycles of
 * a step. */
#include "scan_block_plan.h"

#include "scan_rates.h"
#include "whole_numbers.h"

enum { PIECE = VG_SCAN_BLOCK_PIECE, WARP = 32, LANES = 128, MOST_SLICES = 32 };

/* What a step waits for whatever its size, in cycles. A multiprocessor's four quarters multiply 32
 * lanes each; where the lanes of a warp read few different pieces of v, that takes half of the time
 * that as many different ones would. */
#define PRODUCT_WAIT      120.0
#define CELL_WAIT         300.0
#define GATE_INSTRUCTIONS 60.0
#define RESERVED_SHARED   1024u /* of a block, by the system */
#define MOST_REGISTERS    255u

static const vg_scan_block_shape shapes[] = {
#define SHAPE(threads, kept, rows, ...) {threads, kept, rows},
    VG_SCAN_BLOCK_SHAPES(SHAPE, )
#undef SHAPE
};
_Static_assert(sizeof shapes / sizeof *shapes == VG_SCAN_BLOCK_SHAPE_COUNT, "count the shapes");

/* Registers of a thread that an instance may have. */
static uint64_t registers_of(const vg_chip *chip, const vg_scan_block_shape *shape)
{
    uint64_t warps = vg_round_up(vg_divide_up(shape->threads, WARP), 4);
    return vg_least(MOST_REGISTERS, chip->registers / (warps * WARP) / 8 * 8);
}

/* Blocks that are on a multiprocessor at once. */
static uint64_t resident(const vg_chip *chip, const vg_scan_block_plan *p)
{
    uint64_t threads = vg_round_up(p->threads, 4 * WARP);
    uint64_t by_registers = chip->registers / (threads * registers_of(chip, &shapes[p->shape]));
    uint64_t by_shared =
        (chip->shared_bytes + RESERVED_SHARED) / (p->shared_bytes + RESERVED_SHARED);
    return vg_most(1, vg_least(chip->threads / p->threads, vg_least(by_registers, by_shared)));
}

double vg_scan_block_cycles(const vg_scan_block_work *w, double blocks)
{
    double busiest = (double)vg_divide_up(w->workers, LANES); /* warps of a quarter */
    double sums = busiest * w->pieces * PIECE * PIECE * w->rows;
    double rest = (double)(w->pieces - w->kept) * w->workers;
    double weights = rest * PIECE * PIECE * (double)vg_dtype_size(w->w);
    double operands = (double)w->pieces * w->workers * PIECE * sizeof(float) * w->rows / 2;
    double product = vg_larger(sums, (weights + operands) / VG_SHARED_BYTES_A_CYCLE);
    double cells = (double)vg_divide_up((uint64_t)w->units * w->rows, LANES) * GATE_INSTRUCTIONS *
                   vg_cell_find(w->cell)->gates;
    return blocks * product + PRODUCT_WAIT + vg_larger(blocks * cells, CELL_WAIT);
}

/* Cycles of a step of a multiprocessor's blocks together. */
static double step_cycles(const vg_scan_block_case *c, const vg_scan_block_plan *p, double blocks)
{
    const vg_scan_block_work work = {.cell = c->cell,
                                     .w = c->w,
                                     .units = c->units,
                                     .rows = p->rows,
                                     .workers = p->workers,
                                     .pieces = p->pieces,
                                     .kept = p->kept};
    return vg_scan_block_cycles(&work, blocks) + 2 * VG_BLOCK_BARRIER_CYCLES;
}

bool vg_scan_block_lay_out(const vg_chip *chip, const vg_scan_block_case *c, uint32_t shape,
                           uint32_t slices, vg_scan_block_plan *out)
{
    uint64_t gates = vg_cell_find(c->cell)->gates * (uint64_t)c->units;
    uint64_t outputs = c->forward ? gates : c->units, products = c->forward ? c->units : gates;
    uint64_t workers = vg_round_up(vg_divide_up(outputs, PIECE) * slices, WARP);
    uint64_t rows = shapes[shape].rows, kept = shapes[shape].kept;
    uint64_t threads = vg_most(workers, vg_round_up(rows * c->units, WARP));
    uint64_t pieces = vg_most(kept, vg_divide_up(products, PIECE * slices));
    uint64_t floats = rows * PIECE * (pieces * slices + workers / slices);
    uint64_t weights = (pieces - kept) * PIECE * PIECE * workers;
    uint64_t shared = floats * sizeof(float) + weights * vg_dtype_size(c->w);
    if (threads > shapes[shape].threads || shared > chip->shared_bytes)
        return false;
    vg_scan_block_plan p = {.shape = shape,
                            .kept = (uint32_t)kept,
                            .rows = (uint32_t)rows,
                            .threads = (uint32_t)threads,
                            .workers = (uint32_t)workers,
                            .slices = slices,
                            .pieces = (uint32_t)pieces,
                            .shared_bytes = shared};
    uint64_t tiles = vg_divide_up(c->batch, rows);
    uint64_t blocks = vg_least(tiles, chip->multiprocessors * resident(chip, &p));
    double turns = (double)vg_divide_up(tiles, blocks);
    double together = (double)vg_divide_up(blocks, chip->multiprocessors);
    p.blocks = (uint32_t)blocks;
    p.step_s = turns * step_cycles(c, &p, together) / VG_CLOCK_HZ;
    p.start_s =
        VG_GRAPH_NODE_S + (double)(outputs * products * vg_dtype_size(c->w)) / VG_LOAD_BYTES_S;
    *out = p;
    return true;
}

bool vg_scan_block_plan_make(const vg_chip *chip, const vg_scan_block_case *c,
                             vg_scan_block_plan *out)
{
    vg_scan_block_plan p;
    bool found = false;
    for (uint32_t shape = 0; shape < VG_SCAN_BLOCK_SHAPE_COUNT; shape++)
        for (uint32_t slices = 1; slices <= MOST_SLICES; slices *= 2)
            if (vg_scan_block_lay_out(chip, c, shape, slices, &p) &&
                (!found || p.step_s < out->step_s)) {
                *out = p;
                found = true;
            }
    return found;
}
