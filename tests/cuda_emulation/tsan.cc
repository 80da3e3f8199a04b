/* What ThreadSanitizer must know to see the races of a kernel and no others: which thread runs,
 * what CUDA orders and, by saying nothing of the switch itself, that nothing else does. */
#include "grid.h"

#include <stdlib.h>

#ifdef EMU_TSAN
extern "C" {
void __tsan_read8(void *at);
void __tsan_write8(void *at);
void __tsan_acquire(void *at);
void __tsan_release(void *at);
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}

enum { NO_SYNC = 1, MOST_IDENTITIES = 2048 };

void emu_unwatched(bool begin)
{
    if (begin) {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    } else {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
}
#else
void emu_unwatched(bool)
{
}
#endif

/* Its allocator takes whoever allocates for one that writes, and what is fresh for forgotten. */
void *emu_allocate(size_t align, size_t bytes)
{
    void *memory = nullptr;
    emu_unwatched(true);
    bool failed = posix_memalign(&memory, align < 16 ? 16 : align, bytes);
    emu_unwatched(false);
    if (failed)
        emu_report("the emulation has no memory for another %zu bytes", bytes);
    return memory;
}

void emu_free(void *memory)
{
    emu_unwatched(true);
    free(memory);
    emu_unwatched(false);
}

#ifdef EMU_TSAN
void emu_grid_release(emu_grid *grid, emu_sync at)
{
    __tsan_release(grid->sync + at);
}

void emu_grid_acquire(emu_grid *grid, emu_sync at)
{
    __tsan_acquire(grid->sync + at);
}

void emu_release(const emu_block *block, uint32_t what, uint32_t phase)
{
    __tsan_release(block->sync + 2 * what + phase % 2);
}

void emu_acquire(const emu_block *block, uint32_t what, uint32_t phase)
{
    __tsan_acquire(block->sync + 2 * what + phase % 2);
}

/* Fresh memory for each block: what was ordered by the barriers of the one before is forgotten. */
void emu_sync_begin(emu_block *block)
{
    uint32_t warps = (block->count + 31) / 32;
    block->sync = (char *)emu_allocate(16, 2 * (EMU_SYNC_LANE + 32 * (size_t)warps));
}

void emu_sync_end(emu_block *block)
{
    emu_free(block->sync);
    block->sync = nullptr;
}

/* First in, first out, each for the launches of one stream: those of two may run at the same time.
 * Making one takes half a millisecond. */
struct identity {
    void *fiber, *launcher;
    uint64_t used; /* the launch */
    identity *next;
};
static __thread identity *first, *last, *spare;
static __thread uint32_t identities;

void emu_identity_join(void *from, void *to)
{
    char sync;
    __tsan_switch_to_fiber(from, NO_SYNC);
    __tsan_release(&sync);
    __tsan_switch_to_fiber(to, NO_SYNC);
    __tsan_acquire(&sync);
}

void *emu_identity_take(emu_grid *grid)
{
    identity **at = &first, *before = nullptr;
    while (*at && ((*at)->launcher != grid->host_identity || (*at)->used == grid->number)) {
        before = *at;
        at = &before->next;
    }
    if (!*at && (!first || identities < MOST_IDENTITIES)) {
        identities++;
        return __tsan_create_fiber(0);
    }
    if (!*at)
        at = &first, before = nullptr;
    identity *taken = *at;
    *at = taken->next;
    if (last == taken)
        last = before;
    taken->next = spare;
    spare = taken;
    return taken->fiber;
}

void emu_identity_give(emu_grid *grid, void *fiber, bool ended)
{
    if (!ended) {
        /* The launch ends here for a thread that was abandoned. */
        emu_identity_join(fiber, __tsan_get_current_fiber());
        identities--;
        __tsan_destroy_fiber(fiber);
        return;
    }
    identity *given = spare;
    if (given)
        spare = given->next;
    else
        given = (identity *)emu_allocate(16, sizeof *given);
    *given = identity{fiber, grid->host_identity, grid->number, nullptr};
    if (first)
        last->next = given;
    else
        first = given;
    last = given;
}

void *emu_identity_now(void)
{
    return __tsan_get_current_fiber();
}

void emu_identity_switch(void *identity)
{
    __tsan_switch_to_fiber(identity, NO_SYNC);
}

void *emu_parcel_sent(void)
{
    void *parcel = emu_allocate(16, 16);
    __tsan_release(parcel);
    return parcel;
}

/* What is released is the courier's own time, so that of all parcels before and none to come. */
void emu_parcel_arrives(emu_grid *grid, void *parcel, const emu_block *block, uint32_t what,
                        uint32_t phase)
{
    void *here = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(grid->courier, NO_SYNC);
    __tsan_acquire(parcel);
    emu_release(block, what, phase);
    __tsan_switch_to_fiber(here, NO_SYNC);
    emu_free(parcel);
}

/* Making it is a write, using it a read: a use that the making does not precede is a race. */
void emu_word_touched(uint64_t *bar, bool written)
{
    if (written)
        __tsan_write8(bar);
    else
        __tsan_read8(bar);
}
#else
void emu_grid_release(emu_grid *, emu_sync)
{
}
void emu_grid_acquire(emu_grid *, emu_sync)
{
}
void emu_release(const emu_block *, uint32_t, uint32_t)
{
}
void emu_acquire(const emu_block *, uint32_t, uint32_t)
{
}
void emu_sync_begin(emu_block *)
{
}
void emu_sync_end(emu_block *)
{
}
void *emu_identity_take(emu_grid *)
{
    return nullptr;
}
void emu_identity_give(emu_grid *, void *, bool)
{
}
void emu_identity_join(void *, void *)
{
}
void *emu_identity_now(void)
{
    return nullptr;
}
void emu_identity_switch(void *)
{
}
void *emu_parcel_sent(void)
{
    return nullptr;
}
void emu_parcel_arrives(emu_grid *, void *, const emu_block *, uint32_t, uint32_t)
{
}
void emu_word_touched(uint64_t *, bool)
{
}
#endif
