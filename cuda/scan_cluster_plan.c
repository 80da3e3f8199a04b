/* The plans of regime C: every instance, size of cluster and number of slices that fits, by a model
 * of the cycles of a step. */
#include "scan_cluster_plan.h"

#include "scan_rates.h"
#include "whole_numbers.h"

enum { PIECE = VG_SCAN_BLOCK_PIECE, WARP = 32, MOST_SLICES = 32 };

/* Cycles until the sums that came are added up, and of each of them. */
#define PARTS_WAIT 40.0
#define PART_EACH  5.0

static const vg_scan_block_shape shapes[] = {
#define SHAPE(threads, kept, rows, ...) {threads, kept, rows},
    VG_SCAN_CLUSTER_SHAPES(SHAPE, )
#undef SHAPE
};
_Static_assert(sizeof shapes / sizeof *shapes == VG_SCAN_CLUSTER_SHAPE_COUNT, "count the shapes");

/* Clusters of that many blocks which the chip runs at once. */
static uint32_t clusters_of(const vg_chip *chip, uint32_t blocks)
{
    for (uint32_t i = 0; i < VG_CLUSTER_SIZES; i++)
        if (blocks == 2u << i)
            return chip->clusters[i];
    return 0;
}

/* One hop and the bytes of what every block gets; backward the sums of that many blocks. */
static double exchange_cycles(const vg_scan_block_case *c, uint32_t rows, double blocks)
{
    const double bytes = (double)rows * c->units * sizeof(float);
    const double sums = c->forward ? 0 : PARTS_WAIT + PART_EACH * blocks;
    return VG_REMOTE_PUSH_S * VG_CLOCK_HZ + bytes / VG_REMOTE_BYTES_A_CYCLE + sums;
}

static double step_cycles(const vg_scan_block_case *c, const vg_scan_cluster_plan *p)
{
    const vg_scan_block_work work = {.cell = c->cell,
                                     .w = c->w,
                                     .units = p->block_units,
                                     .rows = p->rows,
                                     .workers = p->workers,
                                     .pieces = p->pieces,
                                     .kept = p->kept};
    const double blocks = (double)vg_divide_up(c->units, p->block_units);
    return vg_scan_block_cycles(&work, 1) + VG_BLOCK_BARRIER_CYCLES +
           exchange_cycles(c, p->rows, blocks);
}

bool vg_scan_cluster_lay_out(const vg_chip *chip, const vg_scan_block_case *c,
                             vg_scan_cluster_choice choice, vg_scan_cluster_plan *out)
{
    const uint64_t there = clusters_of(chip, choice.cluster), slices = choice.slices;
    const uint64_t rows = shapes[choice.shape].rows, kept = shapes[choice.shape].kept;
    const uint64_t block_units = vg_round_up(vg_divide_up(c->units, choice.cluster), PIECE);
    const uint64_t gates = vg_cell_find(c->cell)->gates * block_units;
    const uint64_t outputs = c->forward ? gates : c->units,
                   products = c->forward ? c->units : gates;
    const uint64_t workers = vg_round_up(vg_divide_up(outputs, PIECE) * slices, WARP);
    const uint64_t threads = vg_most(workers, vg_round_up(rows * block_units, WARP));
    const uint64_t pieces = vg_most(kept, vg_divide_up(products, PIECE * slices));
    const uint64_t operands = 2 * rows * PIECE * pieces * slices;
    const uint64_t sums = c->forward ? rows * PIECE * (workers / slices)
                                     : 2 * rows * block_units * vg_divide_up(c->units, block_units);
    const uint64_t weights = (pieces - kept) * PIECE * PIECE * workers * vg_dtype_size(c->w);
    const uint64_t shared = VG_SCAN_CLUSTER_BARRIERS + (operands + sums) * sizeof(float) + weights;
    if (!there || threads > shapes[choice.shape].threads || shared > chip->shared_bytes)
        return false;
    const uint64_t tiles = vg_divide_up(c->batch, rows), clusters = vg_least(tiles, there);
    vg_scan_cluster_plan p = {.shape = choice.shape,
                              .kept = (uint32_t)kept,
                              .rows = (uint32_t)rows,
                              .cluster = choice.cluster,
                              .clusters = (uint32_t)clusters,
                              .block_units = (uint32_t)block_units,
                              .threads = (uint32_t)threads,
                              .workers = (uint32_t)workers,
                              .slices = (uint32_t)slices,
                              .pieces = (uint32_t)pieces,
                              .shared_bytes = shared};
    p.step_s = (double)vg_divide_up(tiles, clusters) * step_cycles(c, &p) / VG_CLOCK_HZ;
    p.start_s = VG_GRAPH_NODE_S + VG_CLUSTER_BARRIER_S +
                (double)(outputs * products * vg_dtype_size(c->w)) / VG_LOAD_BYTES_S;
    *out = p;
    return true;
}

bool vg_scan_cluster_plan_make(const vg_chip *chip, const vg_scan_block_case *c,
                               vg_scan_cluster_plan *out)
{
    vg_scan_cluster_plan p;
    vg_scan_cluster_choice choice;
    bool found = false;
    for (choice.shape = 0; choice.shape < VG_SCAN_CLUSTER_SHAPE_COUNT; choice.shape++)
        for (choice.cluster = 2; choice.cluster < 2u << VG_CLUSTER_SIZES; choice.cluster *= 2)
            for (choice.slices = 1; choice.slices <= MOST_SLICES; choice.slices *= 2)
                if (vg_scan_cluster_lay_out(chip, c, choice, &p) &&
                    (!found || p.step_s < out->step_s)) {
                    *out = p;
                    found = true;
                }
    return found;
}
