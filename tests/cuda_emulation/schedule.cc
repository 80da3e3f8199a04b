/* Who runs next, and the switch to it. */
#include "grid.h"

/* A step now and then: one in so many. */
enum { STEP_ODDS = 4, LAND_ODDS = 16, PRIORITIES_HOLD = 64 };

uint64_t emu_random(emu_grid *grid)
{
    uint64_t x = grid->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void skewed_push(emu_grid *grid, emu_thread *thread)
{
    emu_block *block = thread->block;
    thread->next = nullptr;
    if (block->ready_first)
        block->ready_last->next = thread;
    else
        block->ready_first = thread;
    block->ready_last = thread;
    if (!block->is_ready) {
        block->is_ready = true;
        block->next_ready = grid->ready_blocks;
        grid->ready_blocks = block;
    }
}

/* The block that runs goes on until it cannot; then that of the highest priority, which are drawn
 * anew from time to time. */
static emu_thread *skewed_pop(emu_grid *grid)
{
    emu_block *block = grid->running;
    if (!block || !block->ready_first) {
        bool draw = emu_random(grid) % PRIORITIES_HOLD == 0;
        emu_block *best = nullptr, **link = &grid->ready_blocks;
        while (*link) {
            emu_block *here = *link;
            if (!here->ready_first) {
                here->is_ready = false;
                *link = here->next_ready;
                continue;
            }
            if (draw)
                here->priority = emu_random(grid);
            if (!best || here->priority > best->priority)
                best = here;
            link = &here->next_ready;
        }
        grid->running = block = best;
    }
    emu_thread *thread = block->ready_first;
    block->ready_first = thread->next;
    return thread;
}

void emu_make_ready(emu_grid *grid, emu_thread *thread)
{
    thread->state = EMU_READY;
    if (grid->policy == EMU_SKEWED)
        skewed_push(grid, thread);
    else
        grid->ready[(grid->ready_first + grid->ready_count) & grid->ready_mask] = thread;
    grid->ready_count++;
}

emu_thread *emu_pick(emu_grid *grid)
{
    if (grid->store_count && grid->steps && emu_random(grid) % LAND_ODDS == 0)
        emu_store_land(grid);
    while (!grid->ready_count)
        if (!emu_store_land(grid))
            return nullptr;
    emu_thread **ready = grid->ready;
    uint32_t mask = grid->ready_mask, count = grid->ready_count--;
    if (grid->policy == EMU_SKEWED)
        return skewed_pop(grid);
    if (grid->policy == EMU_LIFO)
        return ready[(grid->ready_first + count - 1) & mask];
    uint32_t first = grid->ready_first++ & mask;
    if (grid->policy == EMU_RANDOM) {
        uint32_t drawn = (uint32_t)((emu_random(grid) >> 32) * count >> 32);
        drawn = (first + drawn) & mask;
        emu_thread *thread = ready[drawn];
        ready[drawn] = ready[first];
        return thread;
    }
    return ready[first];
}

static void run_threads(void);

/* Makes `thread` the one that runs; its stack is the next to switch to. */
static void enter(emu_grid *grid, emu_thread *thread)
{
    grid->self = thread;
    emu_here = &thread->position;
    thread->state = EMU_RUNS;
    if (!thread->stack)
        thread->stack = emu_stack_take(run_threads, grid->number, grid->host_identity);
    emu_identity_switch(thread->identity);
}

void emu_resume(emu_grid *grid, emu_thread *thread)
{
    enter(grid, thread);
    emu_stack_switch(&grid->host, thread->stack, false);
}

static void enter_host(emu_grid *grid)
{
    grid->self = nullptr;
    emu_here = nullptr;
    emu_identity_switch(grid->host_identity);
}

[[noreturn]] void emu_abandon(emu_grid *grid)
{
    emu_stack *mine = grid->self->stack;
    grid->aborted = true;
    enter_host(grid);
    emu_stack_switch(mine, &grid->host, false);
    __builtin_unreachable();
}

[[noreturn]] static void deadlock(emu_grid *grid)
{
    const char *why = "all threads wait";
    if (grid->started * grid->cluster_blocks < grid->launch.blocks)
        why = "the blocks that run wait, and no other can begin before one of them ends (the "
              "launch is not cooperative)";
    for (uint32_t i = 0; i < EMU_WORD_LISTS; i++)
        for (emu_thread *thread = grid->words[i]; thread; thread = thread->next)
            if (*thread->word >= thread->least)
                why = "a plain store wrote the word that wait_at_least looks at";
    emu_report_at(grid, nullptr, emu_site{nullptr, 0}, "deadlock: %s", why);
}

void emu_wait(emu_grid *grid, const char *what, emu_site site)
{
    emu_thread *self = grid->self;
    self->state = EMU_WAITS;
    self->what = what;
    self->site = site;
    emu_thread *next = emu_pick(grid);
    if (!next)
        deadlock(grid);
    if (next == self) {
        self->state = EMU_RUNS;
        return;
    }
    enter(grid, next);
    emu_stack_switch(self->stack, next->stack, false);
}

void emu_step(emu_grid *grid)
{
    if (!grid->steps || emu_random(grid) % STEP_ODDS)
        return;
    emu_thread *self = grid->self;
    emu_make_ready(grid, self);
    emu_thread *next = emu_pick(grid);
    if (next != self) {
        enter(grid, next);
        emu_stack_switch(self->stack, next->stack, false);
    }
    self->state = EMU_RUNS;
}

/* Whether it was the last of its cluster. */
static bool end_thread(emu_grid *grid, emu_thread *thread)
{
    thread->copy_group++;
    emu_copies_land(thread, 0);
    emu_leave_barriers(grid, thread);
    thread->state = EMU_ENDED;
    emu_block *block = thread->block;
    block->live--;
    if (!block->live)
        emu_stores_check(grid, block);
    emu_grid_release(grid, EMU_LAUNCH_ENDS);
    return --block->cluster->live == 0;
}

/* What a stack runs: one thread, and, as a thread that has not begun needs a stack, those after
 * it that have not (unless ThreadSanitizer would take the one for the other). */
static void run_threads(void)
{
    emu_grid *grid = emu_now;
    emu_stack_entered(&grid->host);
    for (;;) {
        emu_thread *self = grid->self;
        emu_grid_acquire(grid, EMU_LAUNCH_BEGINS);
        ((void (*)(const void *))grid->launch.kernel->function)(grid->args);
        bool last = end_thread(grid, self);
        emu_stack *mine = self->stack;
        self->stack = nullptr;
        emu_thread *next = last ? nullptr : emu_pick(grid);
        if (!last && !next) {
            self->stack = mine;
            deadlock(grid);
        }
#ifndef EMU_TSAN
        if (next && !next->stack) {
            next->stack = mine;
            enter(grid, next);
            continue;
        }
#endif
        if (next)
            enter(grid, next);
        else
            enter_host(grid);
        emu_stack_give(mine, false);
        emu_stack_switch(mine, next ? next->stack : &grid->host, true);
    }
}
