/* Shared memory: heap blocks of exact size, filled with NaN; the twins of it in other blocks; and
 * asynchronous copies into it. */
#include "grid.h"

static const char dynamic_piece = 0;
enum { STATIC_BYTES = 48 << 10 };

bool emu_known(emu_grid *grid, const void *at, size_t bytes)
{
    uintptr_t grain = (uintptr_t)at / 256;
    uintptr_t *known = &grid->known[grain % EMU_KNOWN];
    if (*known == grain)
        return true;
    if (!emu_is_device_memory(at, bytes))
        return false;
    *known = grain;
    return true;
}

static emu_piece *add_piece(emu_grid *grid, emu_block *block, const void *declared, size_t bytes,
                            size_t align)
{
    emu_piece *piece = &block->pieces[block->piece_count];
    size_t begin = (block->shared_bytes + align - 1) / align * align;
    block->shared_bytes = begin + bytes;
    if (block->shared_bytes - grid->launch.dynamic_shared > STATIC_BYTES)
        emu_report("%s: %zu bytes in static arrays of shared memory, at most %d are possible",
                   grid->launch.kernel->name, block->shared_bytes - grid->launch.dynamic_shared,
                   STATIC_BYTES);
    if (block->piece_count == EMU_PIECES || block->shared_bytes > emu_current()->shared_bytes)
        emu_report("%s: %zu bytes of shared memory in %u pieces, a block may have %zu",
                   grid->launch.kernel->name, block->shared_bytes, block->piece_count + 1,
                   emu_current()->shared_bytes);
    void *memory = emu_allocate(align, bytes);
    *piece = emu_piece{declared, (char *)memory, bytes, align};
    for (size_t i = 0; i < bytes; i++)
        ((volatile char *)piece->memory)[i] = (char)0xff;
    block->piece_count++;
    return piece;
}

void emu_shared_begin(emu_grid *grid, emu_block *block)
{
    block->piece_count = 0;
    block->mbarrier_count = 0;
    block->shared_bytes = 0;
    if (grid->launch.dynamic_shared)
        add_piece(grid, block, &dynamic_piece, grid->launch.dynamic_shared, 128);
}

void emu_shared_end(emu_block *block)
{
    for (uint32_t i = 0; i < block->piece_count; i++)
        emu_free(block->pieces[i].memory);
    block->piece_count = 0;
}

static emu_piece *piece_declared(emu_grid *grid, emu_block *block, const void *declared,
                                 size_t bytes, size_t align)
{
    for (uint32_t i = 0; i < block->piece_count; i++)
        if (block->pieces[i].declared == declared)
            return &block->pieces[i];
    return add_piece(grid, block, declared, bytes, align);
}

void *emu_shared(const void *declared, size_t bytes, size_t align)
{
    emu_grid *grid = emu_now;
    return piece_declared(grid, grid->self->block, declared, bytes, align)->memory;
}

unsigned char *emu_dynamic_shared(void)
{
    emu_grid *grid = emu_now;
    emu_block *block = grid->self->block;
    if (!grid->launch.dynamic_shared)
        emu_report("%s: launched without dynamic shared memory, which it uses",
                   grid->launch.kernel->name);
    return (unsigned char *)block->pieces[0].memory;
}

uint32_t emu_piece_of(const emu_block *block, const void *at)
{
    uint32_t i = 0;
    for (; i < block->piece_count; i++) {
        const emu_piece *piece = &block->pieces[i];
        if ((const char *)at >= piece->memory && (const char *)at < piece->memory + piece->bytes)
            break;
    }
    return i;
}

emu_block *emu_block_of_rank(emu_grid *grid, uint32_t rank, const char *what, emu_site site)
{
    emu_thread *self = grid->self;
    emu_cluster *cluster = self->block->cluster;
    if (rank >= cluster->blocks)
        emu_report_at(grid, self, site, "%s: rank %u of a cluster of %u", what, rank,
                      cluster->blocks);
    emu_block *block = &cluster->first[rank];
    if (block != self->block && !cluster->phase)
        emu_report_at(grid, self, site, "%s: rank %u may not have begun: no cluster barrier so far",
                      what, rank);
    if (!block->live)
        emu_report_at(grid, self, site, "%s: rank %u has ended", what, rank);
    return block;
}

void *emu_remote(const void *own, uint32_t rank, const char *what, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_block *mine = grid->self->block;
    emu_block *block = emu_block_of_rank(grid, rank, what, site);
    uint32_t index = emu_piece_of(mine, own);
    if (index == mine->piece_count)
        emu_report_at(grid, grid->self, site, "%s: %p is not shared memory of this block", what,
                      own);
    const emu_piece *piece = &mine->pieces[index];
    size_t offset = (size_t)((const char *)own - piece->memory);
    emu_step(grid);
    piece = piece_declared(grid, block, piece->declared, piece->bytes, piece->align);
    return piece->memory + offset;
}

void emu_copy_async(void *shared, const void *global, emu_site site)
{
    emu_grid *grid = emu_now;
    emu_thread *self = grid->self;
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16)
        emu_report_at(grid, self, site, "copy_async: %p or %p is not 16-aligned", shared, global);
    if (emu_piece_of(self->block, shared) == self->block->piece_count)
        emu_report_at(grid, self, site, "copy_async: %p is not shared memory of this block",
                      shared);
    if (!emu_known(grid, global, 16))
        emu_report_at(grid, self, site, "copy_async: %p is not device memory", global);
    /* At once, or as late as can be. */
    if (grid->steps && emu_random(grid) % 2) {
        emu_copy_land(shared, global);
        return;
    }
    if (self->copy_count == self->copy_capacity) {
        uint32_t capacity = self->copy_capacity ? 2 * self->copy_capacity : 16;
        emu_copy *copies = (emu_copy *)emu_allocate(16, capacity * sizeof *copies);
        for (uint32_t i = 0; i < self->copy_count; i++)
            copies[i] = self->copies[i];
        emu_free(self->copies);
        self->copies = copies;
        self->copy_capacity = capacity;
    }
    self->copies[self->copy_count++] = emu_copy{shared, global, self->copy_group};
}

void emu_copy_commit(void)
{
    emu_now->self->copy_group++;
}

/* A copy that no group was made of stays on its way. */
void emu_copies_land(emu_thread *thread, uint32_t groups)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < thread->copy_count; i++) {
        emu_copy copy = thread->copies[i];
        if (copy.group + (uint64_t)groups < thread->copy_group)
            emu_copy_land(copy.shared, copy.global);
        else
            thread->copies[kept++] = copy;
    }
    thread->copy_count = kept;
}

void emu_copy_wait(uint32_t groups)
{
    emu_step(emu_now);
    emu_copies_land(emu_now->self, groups);
}
