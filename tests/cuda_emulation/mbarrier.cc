/* Barriers in shared memory that count arrivals and bytes, and the stores that count on them. The
 * word in shared memory holds the number of its state here. */
#include "grid.h"

static const uint64_t MADE = 0x6d62617200000000u;
enum { MOST_BYTES = (1 << 20) - 1 };

/* Loops that copy are over volatile floats, lest they become a call of memcpy: the sanitizers would
 * see that one, as some thread's. */

static uint32_t number_of(const emu_mbarrier *bar)
{
    return (uint32_t)(bar - bar->block->mbarriers);
}

/* Of the barrier that stands in `block` where `own` stands in the thread's own block. */
static emu_mbarrier *find(emu_grid *grid, emu_block *block, const uint64_t *own, const char *what,
                          emu_site site)
{
    emu_thread *self = grid->self;
    const emu_block *mine = self->block;
    uint32_t index = emu_piece_of(mine, own);
    if (index == mine->piece_count || (uintptr_t)own % 8)
        emu_report_at(grid, self, site, "%s: %p is not shared memory of this block or not aligned",
                      what, (const void *)own);
    const emu_piece *piece = &mine->pieces[index];
    size_t offset = (size_t)((const char *)own - piece->memory);
    uint64_t *bar = nullptr;
    for (uint32_t i = 0; i < block->piece_count; i++)
        if (block->pieces[i].declared == piece->declared)
            bar = (uint64_t *)(void *)(block->pieces[i].memory + offset);
    uint64_t number = bar ? *bar - MADE : UINT64_MAX;
    if (number >= block->mbarrier_count || block->mbarriers[number].bar != bar)
        emu_report_at(grid, self, site, "%s: mbar_init has not made it, or it was overwritten",
                      what);
    emu_mbarrier *made = &block->mbarriers[number];
    if (block != mine && !made->fenced)
        emu_report_at(grid, self, site, "%s: rank %u made it without mbar_init_fence", what,
                      block->threads[0].position.rank);
    emu_word_touched(bar, false);
    return made;
}

void emu_mbar_init(uint64_t *bar, uint32_t arrivals, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_block *block = self->block;
    uint32_t number = block->mbarrier_count;
    if (emu_piece_of(block, bar) == block->piece_count || (uintptr_t)bar % 8)
        emu_report_at(grid, self, site,
                      "mbar_init: %p is not shared memory of this block or not aligned",
                      (void *)bar);
    if (!arrivals || arrivals > MOST_BYTES)
        emu_report_at(grid, self, site, "mbar_init: %u arrivals, expected 1..%d", arrivals,
                      MOST_BYTES);
    for (uint32_t i = 0; i < number; i++)
        if (block->mbarriers[i].bar == bar)
            emu_report_at(grid, self, site, "mbar_init of one that is in use");
    if (number == EMU_MBARRIERS)
        emu_report_at(grid, self, site, "mbar_init: a block may have %d", EMU_MBARRIERS);
    emu_mbarrier *made = &block->mbarriers[number];
    *made = emu_mbarrier{};
    made->bar = bar;
    made->block = block;
    made->made_by = self;
    made->expected = made->pending = arrivals;
    block->mbarrier_count++;
    emu_word_touched(bar, true);
    *bar = MADE + number;
}

void emu_mbar_init_fence(void)
{
    emu_thread *self = emu_now->self;
    emu_block *block = self->block;
    for (uint32_t i = 0; i < block->mbarrier_count; i++)
        if (block->mbarriers[i].made_by == self)
            block->mbarriers[i].fenced = true;
}

/* Ends the phase if nothing is missing. */
static void complete(emu_grid *grid, emu_mbarrier *bar)
{
    if (bar->pending || bar->bytes)
        return;
    bar->phase++;
    bar->pending = bar->expected;
    emu_thread *thread = bar->waiting;
    bar->waiting = nullptr;
    while (thread) {
        emu_thread *next = thread->next;
        emu_make_ready(grid, thread);
        thread = next;
    }
}

void emu_mbar_arrive(uint64_t *own, uint32_t rank, uint32_t bytes, const char *what, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    emu_step(grid);
    emu_block *block = emu_block_of_rank(grid, rank, what, site);
    emu_mbarrier *bar = find(grid, block, own, what, site);
    if (!bar->pending)
        emu_report_at(grid, self, site, "%s: all %u arrivals of this phase have come", what,
                      bar->expected);
    if (bar->bytes + (int64_t)bytes > MOST_BYTES)
        emu_report_at(grid, self, site, "%s: %lld bytes, expected at most %d", what,
                      (long long)bar->bytes + bytes, MOST_BYTES);
    emu_release(bar->block, EMU_SYNC_MBARRIER + number_of(bar), bar->phase);
    bar->bytes += (int32_t)bytes;
    bar->pending--;
    complete(grid, bar);
}

void emu_mbar_wait(uint64_t *own, uint32_t parity, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    if (parity > 1)
        emu_report_at(grid, self, site, "mbar_wait: parity %u, expected 0 or 1", parity);
    emu_step(grid);
    emu_mbarrier *bar = find(grid, self->block, own, "mbar_wait", site);
    while ((bar->phase & 1) == parity) {
        emu_thread **link = &bar->waiting;
        while (*link)
            link = &(*link)->next;
        *link = self;
        self->next = nullptr;
        emu_wait(grid, "mbar_wait", site);
    }
    emu_acquire(bar->block, EMU_SYNC_MBARRIER + number_of(bar), parity);
}

void emu_store_async(float *target, uint64_t *own_bar, uint32_t rank, const float *values,
                     uint32_t count, emu_site site)
{
    emu_grid *grid = emu_now;
    if ((uintptr_t)target % (count * sizeof(float)))
        emu_report_at(grid, grid->self, site, "remote_store_async: %p is not aligned to %u bytes",
                      (void *)target, count * (uint32_t)sizeof(float));
    emu_block *block = emu_block_of_rank(grid, rank, "remote_store_async", site);
    emu_mbarrier *bar = find(grid, block, own_bar, "remote_store_async", site);
    if (grid->store_count == grid->store_capacity) {
        uint32_t capacity = grid->store_capacity ? 2 * grid->store_capacity : 256;
        emu_store *stores = (emu_store *)emu_allocate(16, capacity * sizeof *stores);
        for (uint32_t i = 0; i < grid->store_count; i++)
            stores[i] = grid->stores[i];
        emu_free(grid->stores);
        grid->stores = stores;
        grid->store_capacity = capacity;
    }
    emu_store *store = &grid->stores[grid->store_count++];
    *store = emu_store{target, bar, emu_parcel_sent(), {}, count};
    for (uint32_t i = 0; i < count; i++)
        ((volatile float *)store->values)[i] = values[i];
}

bool emu_store_land(emu_grid *grid)
{
    uint32_t count = grid->store_count, drawn = count - 1;
    if (!count)
        return false;
    if (grid->policy != EMU_LIFO)
        drawn = (uint32_t)(emu_random(grid) % count);
    emu_store store = grid->stores[drawn];
    grid->stores[drawn] = grid->stores[count - 1];
    grid->store_count--;
    emu_mbarrier *bar = store.bar;
    for (uint32_t i = 0; i < store.count; i++)
        ((volatile float *)store.target)[i] = store.values[i];
    emu_parcel_arrives(grid, store.parcel, bar->block, EMU_SYNC_MBARRIER + number_of(bar),
                       bar->phase);
    bar->bytes -= (int32_t)(store.count * sizeof(float));
    if (bar->bytes < -MOST_BYTES)
        emu_report_at(grid, nullptr, emu_site{nullptr, 0},
                      "remote_store_async: %d bytes more than its barrier expects", -bar->bytes);
    complete(grid, bar);
    return true;
}

void emu_stores_check(emu_grid *grid, const emu_block *block)
{
    for (uint32_t i = 0; i < grid->store_count; i++)
        if (grid->stores[i].bar->block == block)
            emu_report_at(grid, nullptr, emu_site{nullptr, 0},
                          "block %u ends while a remote_store_async to it is on its way",
                          block->index);
}
