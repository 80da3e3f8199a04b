/* A stack's plan: every way to share a run of equal layers out is priced, and the cheapest taken.
 * What is priced are predictions, for this form and for the graph's, by the rates of scan_rates.h.
 * None of it is measured yet; vg_latency and the presets stacks-cuda are for that. */
#include "stack_kernels.h"

#include "scan_rates.h"
#include "whole_numbers.h"

#include <math.h>
#include <stddef.h>

enum { WARP = 32, DEEP = 4, MOST_WARPS = VG_STACK_THREADS / WARP, MOST_UNITS = 64 };
static const double finish_clocks = 300, first_weights_s = 2e-6;

/* Instructions that a warp issues for ROWS rows of its columns: products, reads, the copies that
 * run ahead, and the sums' exchange. */
static double issued(const vg_stack_plan *plan)
{
    const double rows = plan->at_once, sums = rows * VG_STACK_WIDTH;
    return plan->tiles.steps * (sums * DEEP + VG_STACK_WIDTH + rows * (DEEP + 1) + 12) + 4 * sums +
           20;
}

/* The exchange, the product (rows from the second level, as fast as all multiprocessors can read at
 * once) and what follows it; or the time that the weights and rows take to arrive. */
static double layer_seconds(const vg_stack_plan *plan, vg_persistent_chip chip,
                            vg_stack_shape shape)
{
    const vg_persistent_tiles *t = &plan->tiles;
    const double warps = t->column_warps * t->depth_warps * t->row_warps;
    const double sets = (double)vg_divide_up(t->rows, (uint64_t)plan->at_once * t->row_warps);
    const double depth_bytes = shape.units * (double)sizeof(float);
    const double weight_bytes = VG_STACK_WIDTH * VG_STACK_PIECE * (double)sizeof(float);
    const double shared_clocks = sets * warps * t->steps * weight_bytes / VG_SHARED_BYTES_A_CYCLE;
    const double all = VG_LOAD_BYTES_S * chip.multiprocessors / plan->blocks;
    const double most = VG_L2_BYTES_A_CYCLE * VG_CLOCK_HZ, bytes_s = all < most ? all : most;
    const double busy = vg_larger(sets * ceil(warps / VG_SCHEDULERS) * issued(plan), shared_clocks);
    const double product_s =
        vg_larger(busy / VG_CLOCK_HZ, t->rows * depth_bytes * t->column_warps / bytes_s) +
        sets * VG_L2_WAIT_CYCLES / VG_CLOCK_HZ;
    const double after = finish_clocks * (double)vg_divide_up(t->rows, t->tile_rows);
    const double chain_s = VG_COUNTER_HOP_S + VG_COUNTER_EACH_S * t->slices + product_s +
                           (after + 3 * VG_BLOCK_BARRIER_CYCLES) / VG_CLOCK_HZ;
    return vg_larger(chain_s, t->units * depth_bytes / VG_MEMORY_BYTES_S);
}

/* Two nodes, and the first weights. */
double vg_stack_kernel_s(const vg_stack_plan *plan, uint32_t layers)
{
    return 2 * VG_GRAPH_NODE_S + first_weights_s + layers * plan->layer_s;
}

/* As regime L of a recurrence is priced: a node each, as much as one again until a product's first
 * tile is loaded, and the weights or two thirds of the multiply-adds. */
double vg_stack_graph_s(vg_persistent_chip chip, vg_stack_shape shape, uint32_t layers,
                        uint32_t kernels)
{
    const double weights = (double)shape.units * shape.units;
    const double bytes_s = weights * sizeof(float) / (chip.multiprocessors * VG_MEMORY_BYTES_S);
    const double flop_s = weights * shape.batch / (chip.multiprocessors * vg_product_rate(VG_FP32));
    return layers * ((kernels + 2) * VG_GRAPH_NODE_S + vg_larger(bytes_s, flop_s));
}

vg_stack_plan vg_stack_plan_with(vg_persistent_chip chip, vg_stack_shape shape, vg_stack_choice c)
{
    const vg_stack_plan none = {.blocks = 0};
    const uint32_t columns = c.units / VG_STACK_WIDTH,
                   warps = columns * c.depth_warps * c.row_warps;
    vg_stack_plan plan = {.at_once = c.at_once, .stages = c.stages, .threads = WARP * warps};
    vg_persistent_tiles *t = &plan.tiles;
    if (warps > MOST_WARPS || c.stages < 2 || c.stages > VG_STACK_STAGES)
        return none;
    t->slices = (uint32_t)vg_divide_up(shape.units, c.units);
    t->units = c.units;
    t->rows = c.rows;
    t->column_warps = columns;
    t->depth_warps = c.depth_warps;
    t->row_warps = c.row_warps;
    t->rounds = 1;
    t->steps = (uint32_t)vg_divide_up(shape.units, (uint64_t)VG_STACK_PIECE * c.depth_warps);
    t->tile_rows = WARP * warps / c.units;
    t->stride = c.units + (c.units % 16 ? 0 : VG_STACK_WIDTH); /* rows begin in other banks */
    const uint64_t pieces = (uint64_t)columns * t->steps * c.depth_warps;
    const uint64_t weights = pieces * VG_STACK_WIDTH * VG_STACK_PIECE * sizeof(float) * plan.stages;
    plan.shared_bytes = weights + (uint64_t)c.depth_warps * c.rows * t->stride * sizeof(float);
    plan.blocks = t->slices * (uint32_t)vg_divide_up(shape.batch, c.rows);
    if (plan.shared_bytes > chip.shared_bytes || plan.blocks > chip.multiprocessors)
        return none;
    t->partial_at = (uint32_t)weights;
    plan.layer_s = layer_seconds(&plan, chip, shape);
    return plan;
}

/* Keeps the cheaper plan, with as many stages as fit. */
static void consider(vg_persistent_chip chip, vg_stack_shape shape, vg_stack_choice c,
                     vg_stack_plan *best)
{
    vg_stack_plan plan = {.blocks = 0};
    for (c.stages = VG_STACK_STAGES; c.stages >= 2 && plan.blocks == 0; c.stages--)
        plan = vg_stack_plan_with(chip, shape, c);
    if (plan.blocks && (best->blocks == 0 || plan.layer_s < best->layer_s))
        *best = plan;
}

/* Every division of a block's warps. */
static void consider_warps(vg_persistent_chip chip, vg_stack_shape shape, vg_stack_choice c,
                           vg_stack_plan *best)
{
    static const uint32_t rows[] = {1, 4, 8};
    const uint32_t columns = c.units / VG_STACK_WIDTH;
    for (c.depth_warps = 1; c.depth_warps * columns <= MOST_WARPS; c.depth_warps *= 2) {
        if (c.depth_warps > 1 && VG_STACK_PIECE * c.depth_warps / 2 >= shape.units)
            break;
        const uint32_t most = MOST_WARPS / (c.depth_warps * columns);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            c.at_once = rows[i];
            for (c.row_warps = 1; c.row_warps <= most; c.row_warps++)
                if (c.row_warps <= vg_divide_up(c.rows, c.at_once))
                    consider(chip, shape, c, best);
        }
    }
}

vg_stack_plan vg_stack_plan_make(vg_persistent_chip chip, vg_stack_shape shape)
{
    vg_stack_plan best = {.blocks = 0};
    for (uint32_t units = VG_STACK_WIDTH; units <= MOST_UNITS; units += VG_STACK_WIDTH) {
        const uint64_t slices = vg_divide_up(shape.units, units);
        const uint64_t most = slices <= chip.multiprocessors ? chip.multiprocessors / slices : 0;
        for (uint32_t groups = 1, rows = 0; groups <= most && groups <= shape.batch; groups++) {
            vg_stack_choice c = {.units = units,
                                 .rows = (uint32_t)vg_divide_up(shape.batch, groups)};
            if (c.rows != rows)
                consider_warps(chip, shape, c, &best);
            rows = c.rows;
        }
        if (slices == 1)
            break;
    }
    return best;
}
