/* Barriers of a block and of a cluster, the collectives of a warp, and words in device memory that
 * threads wait for. */
#include "grid.h"

#include <string.h>

static bool same_site(emu_site a, emu_site b)
{
    return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file));
}

static bool is_at(const emu_thread *thread, const char *what, uint32_t number)
{
    return thread->state == EMU_WAITS && thread->what == what && thread->argument == number;
}

/* One more has come; returns when all have. */
static void meet(emu_grid *grid, emu_barrier *barrier, uint32_t threads, const char *what,
                 emu_site site)
{
    emu_thread *self = grid->self;
    emu_block *block = self->block;
    uint32_t phase = barrier->phase, number = (uint32_t)(barrier - block->barriers);
    emu_release(block, number, phase);
    barrier->site = site;
    barrier->threads = threads;
    if (++barrier->arrived < threads) {
        emu_wait(grid, what, site);
        emu_acquire(block, number, phase);
        return;
    }
    barrier->arrived = 0;
    barrier->phase++;
    for (uint32_t i = 0; i < block->count; i++)
        if (is_at(&block->threads[i], what, self->argument))
            emu_make_ready(grid, &block->threads[i]);
    emu_step(grid);
    emu_acquire(block, number, phase);
}

static const char at_block[] = "sync_block", at_named[] = "sync_named",
                  at_cluster[] = "cluster_wait", at_word[] = "wait_at_least";

void emu_sync_block(emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_block *block = self->block;
    emu_barrier *barrier = &block->barriers[0];
    if (block->live < block->count)
        emu_report_at(grid, self, site, "sync_block, but %u of the block's %u threads have ended",
                      block->count - block->live, block->count);
    if (barrier->arrived && !same_site(barrier->site, site))
        emu_report_at(grid, self, site, "sync_block, while others of the block are at another");
    self->argument = 0;
    meet(grid, barrier, block->count, at_block, site);
}

/* Warps come to a named barrier as a whole. `self` is the last of them. */
static void check_warps(emu_grid *grid, emu_thread *self, emu_site site)
{
    const emu_block *block = self->block;
    uint32_t here = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        const emu_thread *thread = &block->threads[i];
        here += thread == self || is_at(thread, at_named, self->argument);
        if (i % 32 != 31 && i + 1 < block->count)
            continue;
        if (here % 32)
            emu_report_at(grid, self, site,
                          "sync_named: only %u threads of warp %u are at barrier %u", here, i / 32,
                          self->argument);
        here = 0;
    }
}

void emu_sync_named(uint32_t number, uint32_t threads, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_block *block = self->block;
    if (number < 1 || number >= EMU_BARRIERS)
        emu_report_at(grid, self, site, "sync_named: barrier %u, expected 1..15", number);
    if (!threads || threads % 32 || threads > block->count)
        emu_report_at(grid, self, site,
                      "sync_named: %u threads, expected a multiple of 32 up to the block's %u",
                      threads, block->count);
    emu_barrier *barrier = &block->barriers[number];
    if (barrier->arrived && barrier->threads != threads)
        emu_report_at(grid, self, site, "sync_named: %u threads at barrier %u, others said %u",
                      threads, number, barrier->threads);
    self->argument = number;
    if (barrier->arrived + 1 == threads)
        check_warps(grid, self, site);
    meet(grid, barrier, threads, at_named, site);
}

/* What the lane takes home once all of its mask are there. */
static uint64_t result(emu_grid *grid, emu_thread *lanes, emu_thread *self, uint32_t lane)
{
    uint32_t from = 0, mask = self->mask;
    switch (self->kind) {
    case EMU_SYNC:
    case EMU_MMA_TF32:
    case EMU_MMA_BF16: return 0;
    case EMU_BALLOT: {
        uint64_t votes = 0;
        for (uint32_t i = 0; i < 32; i++)
            if (mask >> i & 1)
                votes |= (lanes[i].value & 1) << i;
        return votes;
    }
    case EMU_SHUFFLE: from = self->argument % 32; break;
    case EMU_SHUFFLE_XOR: from = lane ^ (self->argument % 32); break;
    case EMU_SHUFFLE_DOWN:
        /* Beyond the warp one's own; from a lane that takes no part, anything: a NaN. */
        from = lane + self->argument;
        if (self->argument >= 32 || from >= 32)
            return self->value;
        if (!(mask >> from & 1))
            return UINT64_MAX;
        break;
    }
    if (!(mask >> from & 1))
        emu_report_at(grid, self, self->site,
                      "a shuffle takes from lane %u, which is not in the mask %08x", from, mask);
    return lanes[from].value;
}

static void check_mask(emu_grid *grid, const emu_warp *warp, emu_thread *self, uint32_t lane,
                       emu_site site)
{
    uint32_t mask = self->mask;
    if (!(mask >> lane & 1))
        emu_report_at(grid, self, site, "lane %u is not in its own mask %08x", lane, mask);
    if (mask & ~warp->alive)
        emu_report_at(grid, self, site,
                      "the mask %08x has lanes which have ended or are not in the block: %08x",
                      mask, mask & ~warp->alive);
}

/* Whether all of the mask are there now. Lanes that wait for one another must agree; one that waits
 * for others may still come. */
static bool all_there(emu_grid *grid, emu_warp *warp, const emu_thread *lanes, emu_thread *self,
                      uint32_t lane, emu_site site)
{
    uint32_t mask = self->mask, here = 1u << lane;
    if (!warp->arrived) {
        warp->mask = mask;
        warp->kind = self->kind;
        warp->mixed = false;
    }
    warp->mixed = warp->mixed || warp->mask != mask || warp->kind != self->kind;
    warp->arrived |= here;
    if (!warp->mixed)
        return (warp->arrived & mask) == mask;
    uint32_t agree = here;
    for (uint32_t rest = warp->arrived & mask & ~here; rest; rest &= rest - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(rest);
        const emu_thread *other = &lanes[i];
        if (!(other->mask & here))
            continue;
        if (other->mask != mask || other->kind != self->kind)
            emu_report_at(grid, self, site,
                          "the mask %08x, while lane %u waits for this one with %08x or in another "
                          "collective",
                          mask, i, other->mask);
        agree |= 1u << i;
    }
    return agree == mask;
}

/* Whether a lane waits for this one. */
static bool is_awaited(const emu_warp *warp, const emu_thread *lanes, uint32_t lane)
{
    for (uint32_t rest = warp->arrived; rest; rest &= rest - 1)
        if (lanes[__builtin_ctz(rest)].mask >> lane & 1)
            return true;
    return false;
}

static const char *const at_warp[] = {"sync_warp", "shuffle",  "shuffle_xor", "shuffle_down",
                                      "ballot",    "mma_tf32", "mma_bf16"};

uint64_t emu_collective(emu_kind kind, uint32_t mask, uint64_t value, uint32_t argument,
                        emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    uint32_t index = self->position.thread, lane = index % 32;
    emu_warp *warp = &self->block->warps[index / 32];
    emu_thread *lanes = &self->block->threads[index - lane];
    self->mask = mask;
    self->kind = kind;
    self->value = value;
    self->argument = argument;
    self->site = site;
    check_mask(grid, warp, self, lane, site);
    /* Only sync_warp() orders memory; a shuffle does not. */
    uint32_t lowest = (uint32_t)__builtin_ctz(mask);
    uint32_t sync = EMU_SYNC_LANE + index - lane + lowest, phase = warp->phase[lowest];
    if (kind == EMU_SYNC)
        emu_release(self->block, sync, phase);
    if (!all_there(grid, warp, lanes, self, lane, site)) {
        emu_wait(grid, at_warp[kind], site);
    } else {
        if (kind == EMU_MMA_TF32 || kind == EMU_MMA_BF16)
            emu_multiply(kind, lanes);
        uint64_t results[32];
        for (uint32_t rest = mask; rest; rest &= rest - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(rest);
            results[i] = result(grid, lanes, &lanes[i], i);
        }
        for (uint32_t rest = mask; rest; rest &= rest - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(rest);
            lanes[i].value = results[i];
            if (i != lane)
                emu_make_ready(grid, &lanes[i]);
        }
        warp->arrived &= ~mask;
        warp->phase[lowest]++;
        emu_step(grid);
    }
    if (kind == EMU_SYNC)
        emu_acquire(self->block, sync, phase);
    return self->value;
}

void emu_cluster_arrive(emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_cluster *cluster = self->block->cluster;
    uint32_t threads = cluster->blocks * self->block->count;
    if (self->cluster_arrived)
        emu_report_at(grid, self, site, "cluster_arrive twice without cluster_wait");
    if (cluster->live < threads)
        emu_report_at(grid, self, site, "cluster_arrive, but threads of the cluster have ended");
    self->cluster_arrived = true;
    self->cluster_phase = cluster->phase;
    emu_release(cluster->first, EMU_SYNC_CLUSTER, cluster->phase);
    if (++cluster->arrived < threads)
        return;
    cluster->arrived = 0;
    cluster->phase++;
    for (uint32_t b = 0; b < cluster->blocks; b++)
        for (uint32_t i = 0; i < self->block->count; i++) {
            emu_thread *thread = &cluster->first[b].threads[i];
            if (thread->state == EMU_WAITS && thread->what == at_cluster)
                emu_make_ready(grid, thread);
        }
}

void emu_cluster_wait(emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_cluster *cluster = self->block->cluster;
    if (!self->cluster_arrived)
        emu_report_at(grid, self, site, "cluster_wait without cluster_arrive");
    if (self->cluster_phase == cluster->phase)
        emu_wait(grid, at_cluster, site);
    else
        emu_step(grid);
    self->cluster_arrived = false;
    emu_acquire(cluster->first, EMU_SYNC_CLUSTER, self->cluster_phase);
}

void emu_leave_barriers(emu_grid *grid, emu_thread *thread)
{
    emu_block *block = thread->block;
    uint32_t index = thread->position.thread, bit = 1u << index % 32;
    emu_warp *warp = &block->warps[index / 32];
    emu_site nowhere = {nullptr, 0};
    if (block->barriers[0].arrived)
        emu_report_at(grid, thread, nowhere,
                      "a thread has ended, but others of the block wait in sync_block");
    if (thread->cluster_arrived || block->cluster->arrived)
        emu_report_at(grid, thread, nowhere,
                      "a thread has ended, but the cluster's barrier is not complete");
    if (is_awaited(warp, &block->threads[index - index % 32], index % 32))
        emu_report_at(grid, thread, nowhere,
                      "a thread has ended, but lanes of its warp wait for it");
    warp->alive &= ~bit;
}

static emu_thread **list_of(emu_grid *grid, const uint32_t *at)
{
    uint64_t hash = (uint64_t)(uintptr_t)at * 0x9e3779b97f4a7c15u;
    return &grid->words[hash >> 58];
}

void emu_word(const uint32_t *at, const char *what, emu_site site)
{
    emu_grid *grid = emu_now;
    if ((uintptr_t)at % 4)
        emu_report_at(grid, grid->self, site, "%s: %p is not aligned", what, (const void *)at);
    if (!emu_known(grid, at, 4))
        emu_report_at(grid, grid->self, site, "%s: %p is not device memory", what,
                      (const void *)at);
    emu_step(grid);
}

void emu_word_written(const uint32_t *at)
{
    emu_grid *grid = emu_now;
    if (!grid->watching)
        return;
    /* In the order in which they came. */
    emu_thread **link = list_of(grid, at);
    uint32_t now = *at;
    while (*link) {
        emu_thread *thread = *link;
        if (thread->word != at || now < thread->least) {
            link = &thread->next;
            continue;
        }
        *link = thread->next;
        thread->word = nullptr;
        grid->watching--;
        emu_make_ready(grid, thread);
    }
}

void emu_word_wait(const uint32_t *at, uint32_t value, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self, **link = list_of(grid, at);
    while (*link)
        link = &(*link)->next;
    *link = self;
    self->next = nullptr;
    self->word = at;
    self->least = value;
    grid->watching++;
    emu_wait(grid, at_word, site);
}
