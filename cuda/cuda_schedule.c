/* An op waits for those of other lanes that it must come after, unless something that its lane has
 * waited for already did: every lane knows how far each lane has come for it. */
#include "cuda_schedule.h"

#include "cuda_touched.h"

#include <stdlib.h>
#include <string.h>

/* Steps of each lane that are known to be done. */
typedef uint32_t vg_clock[VG_LANES];

typedef struct vg_planner {
    const vg_program *program;
    uint32_t *ops; /* of the set, in the program's order: positions, here from 1 */
    uint8_t *lanes;
    uint32_t count;
    vg_clock *after;             /* [count], as vg_order_find() leaves it */
    uint32_t *steps, *positions; /* [count]: where a position is issued, and back */
    vg_clock *known;             /* [count], by step: when it is done */
    uint32_t *last; /* [count], by step: the last step that waits for it, from 1; 0: none */
    vg_clock lane_known[VG_LANES];
    uint32_t lane_last[VG_LANES]; /* the step that a lane was given last, from 1; 0: none */
    uint32_t wait_count, wait_capacity;
    vg_schedule
        *out; /* its waits: steps, from 1, until the events are numbered; 0: the beginning */
} vg_planner;

static bool on_side(const vg_op *op, unsigned passes)
{
    return (passes & VG_PASSES_BWD) == VG_PASSES_BWD && op->pass == VG_PASS_BWD_WEIGHTS &&
           op->kind == VG_DENSE_BWD_WEIGHTS;
}

static uint32_t latest(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Whether the set is on more than one lane. */
static bool choose(vg_planner *p, const uint8_t *lanes, unsigned passes)
{
    bool several = false;
    for (uint32_t i = 0; i < p->program->op_count; i++) {
        const vg_op *op = &p->program->ops[i];
        if (!(op->pass & passes))
            continue;
        const uint8_t lane = lanes ? lanes[i] : VG_LANE_MAIN;
        p->ops[p->count] = i;
        p->lanes[p->count] = on_side(op, passes) ? VG_LANE_SIDE : lane;
        several = several || p->lanes[p->count] != VG_LANE_MAIN;
        p->count++;
    }
    return several;
}

/* --- the order of issue --- */

static void put(vg_planner *p, uint32_t position)
{
    p->steps[position - 1] = p->out->count;
    p->positions[p->out->count] = position;
    p->out->steps[p->out->count++] =
        (vg_step){.op = p->ops[position - 1], .lane = p->lanes[position - 1]};
}

/* What an op on the side lane comes after, on the others. */
static uint32_t ready_at(const vg_planner *p, uint32_t position)
{
    uint32_t ready = 0;
    for (int lane = 0; lane < VG_LANES; lane++)
        if (lane != VG_LANE_SIDE)
            ready = latest(ready, p->after[position - 1][lane]);
    return ready;
}

/* Merges the two lists: an op on the side lane is issued as soon as the last one that it waits for
 * has been. */
static void merge(vg_planner *p)
{
    uint32_t next = 1, ready = 0;
    for (uint32_t position = 0; position <= p->count; position++) {
        if (position && p->lanes[position - 1] != VG_LANE_SIDE)
            put(p, position);
        for (; next <= p->count; next++) {
            if (p->lanes[next - 1] != VG_LANE_SIDE)
                continue;
            ready = latest(ready, ready_at(p, next));
            if (ready > position)
                break;
            put(p, next);
        }
    }
}

/* --- waiting --- */

static vg_status add_wait(vg_planner *p, vg_step *step, uint32_t awaited)
{
    vg_schedule *out = p->out;
    if (p->wait_count == p->wait_capacity) {
        const uint32_t capacity = 2 * p->wait_capacity + 16;
        uint32_t *grown = realloc(out->waits, capacity * sizeof *grown);
        if (!grown)
            VG_FAIL(VG_NO_MEMORY, "no memory for the order of %u ops", p->count);
        out->waits = grown;
        p->wait_capacity = capacity;
    }
    out->waits[p->wait_count++] = awaited;
    step->wait_count++;
    return VG_OK;
}

/* Waits for steps (from 1, by lane; 0: none), the latest first, since it may know of the others.
 * `number`: the step's own, from 1. */
static vg_status await_all(vg_planner *p, vg_step *step, uint32_t number,
                           const vg_clock wanted_steps, const vg_clock wanted_counts)
{
    vg_clock left;
    memcpy(left, wanted_steps, sizeof left);
    step->first_wait = p->wait_count;
    for (;;) {
        int lane = 0;
        for (int other = 1; other < VG_LANES; other++)
            if (left[other] > left[lane])
                lane = other;
        if (left[lane] == 0)
            return VG_OK;
        uint32_t *known = p->lane_known[step->lane];
        if (wanted_counts[lane] > known[lane]) {
            VG_TRY(add_wait(p, step, left[lane]));
            p->last[left[lane] - 1] = number;
            for (int other = 0; other < VG_LANES; other++)
                known[other] = latest(known[other], p->known[left[lane] - 1][other]);
        }
        left[lane] = 0;
    }
}

/* The waits of one step, and what is known when it is done. */
static vg_status find_waits(vg_planner *p, uint32_t index)
{
    vg_step *step = &p->out->steps[index];
    const uint32_t *after = p->after[p->positions[index] - 1];
    vg_clock steps = {0}, counts = {0};
    for (int lane = 0; lane < VG_LANES; lane++)
        if (after[lane] && lane != step->lane) {
            steps[lane] = p->steps[after[lane] - 1] + 1;
            counts[lane] = p->known[steps[lane] - 1][lane];
        }
    VG_TRY(await_all(p, step, index + 1, steps, counts));
    if (step->lane != VG_LANE_MAIN && !p->lane_last[step->lane] && step->wait_count == 0)
        VG_TRY(add_wait(p, step, 0));
    p->lane_known[step->lane][step->lane]++;
    p->lane_last[step->lane] = index + 1;
    memcpy(p->known[index], p->lane_known[step->lane], sizeof p->known[index]);
    return VG_OK;
}

static vg_status find_all_waits(vg_planner *p)
{
    vg_clock steps = {0}, counts = {0};
    for (uint32_t i = 0; i < p->count; i++)
        VG_TRY(find_waits(p, i));
    for (int lane = VG_LANE_MAIN + 1; lane < VG_LANES; lane++) {
        steps[lane] = p->lane_last[lane];
        counts[lane] = p->lane_known[lane][lane];
    }
    return await_all(p, &p->out->join, p->count + 1, steps, counts);
}

/* --- events --- */

/* The steps waited for become events; free: those that nobody waits for any more. */
static void number_events(vg_planner *p, uint32_t *event_of, uint32_t *free_events)
{
    vg_schedule *out = p->out;
    uint32_t free_count = 0;
    out->event_count = 1;
    for (uint32_t i = 0; i <= p->count; i++) {
        vg_step *step = i < p->count ? &out->steps[i] : &out->join;
        for (uint32_t w = step->first_wait; w < step->first_wait + step->wait_count; w++) {
            const uint32_t awaited = out->waits[w];
            if (awaited == 0)
                continue;
            out->waits[w] = event_of[awaited - 1];
            if (p->last[awaited - 1] == i + 1)
                free_events[free_count++] = event_of[awaited - 1];
        }
        if (i < p->count && p->last[i])
            step->event = event_of[i] = free_count ? free_events[--free_count] : out->event_count++;
    }
}

static vg_status plan(vg_planner *p)
{
    const vg_order order = {p->program, p->ops, p->lanes, p->count};
    uint32_t *event_of = calloc(p->count + 1u, sizeof *event_of);
    uint32_t *free_events = calloc(p->count + 1u, sizeof *free_events);
    vg_status status = VG_OK;
    p->after = calloc(p->count + 1u, sizeof *p->after);
    p->known = calloc(p->count + 1u, sizeof *p->known);
    p->last = calloc(p->count + 1u, sizeof *p->last);
    if (!event_of || !free_events || !p->after || !p->known || !p->last)
        status = vg_fail(VG_NO_MEMORY, "no memory for the order of %u ops", p->count);
    if (status == VG_OK)
        status = vg_order_find(&order, p->after);
    if (status == VG_OK) {
        merge(p);
        status = find_all_waits(p);
    }
    if (status == VG_OK)
        number_events(p, event_of, free_events);
    free(event_of);
    free(free_events);
    free(p->after);
    free(p->known);
    free(p->last);
    return status;
}

vg_status vg_schedule_make(const vg_program *program, const uint8_t *lanes, unsigned passes,
                           vg_schedule *out)
{
    const size_t most = program->op_count + (size_t)1;
    vg_planner p = {.program = program, .out = out};
    vg_status status = VG_OK;
    *out = (vg_schedule){.steps = calloc(most, sizeof *out->steps)};
    p.ops = calloc(most, sizeof *p.ops);
    p.lanes = calloc(most, sizeof *p.lanes);
    p.steps = calloc(most, sizeof *p.steps);
    p.positions = calloc(most, sizeof *p.positions);
    if (!out->steps || !p.ops || !p.lanes || !p.steps || !p.positions)
        status = vg_fail(VG_NO_MEMORY, "no memory for the order of %u ops", program->op_count);
    else if (choose(&p, lanes, passes))
        status = plan(&p);
    else
        for (uint32_t position = 1; position <= p.count; position++)
            put(&p, position);
    if (status != VG_OK)
        vg_schedule_free(out);
    free(p.ops);
    free(p.lanes);
    free(p.steps);
    free(p.positions);
    return status;
}

void vg_schedule_free(vg_schedule *schedule)
{
    free(schedule->steps);
    free(schedule->waits);
    *schedule = (vg_schedule){0};
}
