/* Kernels by name, and a launch from its first block to its last. */
#include "grid.h"

#include <pthread.h>
#include <string.h>

__thread emu_grid *emu_now;
__thread const emu_position *emu_here;

enum { KERNELS = 4096 };

static emu_kernel kernels[KERNELS];
static uint32_t kernel_count;
static pthread_mutex_t kernels_lock = PTHREAD_MUTEX_INITIALIZER;

static emu_kernel *slot_of(const void *function)
{
    uint64_t hash = (uint64_t)(uintptr_t)function * 0x9e3779b97f4a7c15u;
    for (uint32_t i = (uint32_t)(hash >> 52);; i = (i + 1) % KERNELS)
        if (!kernels[i].function || kernels[i].function == function)
            return &kernels[i];
}

vg_kernel emu_kernel_register(const void *function, const char *name, uint32_t threads,
                              size_t args_bytes)
{
    pthread_mutex_lock(&kernels_lock);
    emu_kernel *slot = slot_of(function);
    if (!slot->function && ++kernel_count < KERNELS)
        *slot = emu_kernel{function, name, threads, args_bytes};
    bool wrong = slot->threads != threads || kernel_count == KERNELS;
    pthread_mutex_unlock(&kernels_lock);
    if (wrong)
        emu_report("%s: registered for %u and for %u threads, or one kernel too many", name,
                   slot->threads, threads);
    return vg_kernel{function, name, threads};
}

const emu_kernel *emu_kernel_find(const void *function)
{
    pthread_mutex_lock(&kernels_lock);
    const emu_kernel *slot = slot_of(function);
    pthread_mutex_unlock(&kernels_lock);
    return slot->function ? slot : nullptr;
}

static void check_launch(const emu_launch *launch)
{
    const emu_kernel *kernel = launch->kernel;
    if (!kernel)
        emu_report("launch of a function that no VG_KERNEL_ENTRY has named");
    uint32_t cluster = launch->cluster ? launch->cluster : 1;
    if (!launch->blocks || !launch->threads || launch->threads > 1024)
        emu_report("%s: launched with %u blocks of %u threads", kernel->name, launch->blocks,
                   launch->threads);
    if (launch->threads > kernel->threads)
        emu_report("%s: launched with %u threads, its bounds say %u", kernel->name, launch->threads,
                   kernel->threads);
    if (launch->blocks % cluster)
        emu_report("%s: %u blocks are no multiple of clusters of %u", kernel->name, launch->blocks,
                   cluster);
    if (launch->dynamic_shared > emu_current()->shared_bytes)
        emu_report("%s: %zu bytes of dynamic shared memory, a block may have %zu", kernel->name,
                   launch->dynamic_shared, emu_current()->shared_bytes);
    if (emu_now)
        emu_report("%s: launched by a kernel", kernel->name);
}

/* How many clusters are there at a time, and in which order they come: all of a cooperative grid;
 * else one (FIFO), or a few, as the seed says. */
static void plan_order(emu_grid *grid)
{
    uint64_t count = grid->launch.blocks / grid->cluster_blocks;
    uint64_t resident = grid->policy == EMU_FIFO ? 1 : 1 + emu_random(grid) % 6;
    grid->first = 0;
    grid->stride = 1;
    if (grid->launch.cooperative)
        resident = count;
    else if (grid->policy == EMU_LIFO)
        grid->first = count - 1, grid->stride = count - 1;
    else if (grid->policy != EMU_FIFO) {
        /* Every cluster once: a stride without a divisor of the count. */
        uint64_t a, b, rest;
        do {
            grid->stride = 1 + emu_random(grid) % count;
            for (a = count, b = grid->stride; b; a = b, b = rest)
                rest = a % b;
        } while (a != 1);
        grid->first = emu_random(grid) % count;
    }
    grid->cluster_count = (uint32_t)(resident < count ? resident : count);
}

/* Memory of a host thread's grids, one after the other; as large as the largest so far. */
struct arena {
    char *memory;
    size_t bytes;
    ~arena()
    {
        emu_free(memory);
    }
};
static thread_local arena state;

static void *carve(size_t *used, size_t count, size_t bytes)
{
    void *at = state.memory ? state.memory + *used : nullptr;
    *used += (count * bytes + 63) / 64 * 64;
    return at;
}

static size_t carve_state(emu_grid *grid, size_t blocks, size_t ring)
{
    size_t used = 0, threads = grid->launch.threads;
    grid->clusters = (emu_cluster *)carve(&used, grid->cluster_count, sizeof(emu_cluster));
    grid->blocks = (emu_block *)carve(&used, blocks, sizeof(emu_block));
    grid->threads = (emu_thread *)carve(&used, blocks * threads, sizeof(emu_thread));
    grid->warps = (emu_warp *)carve(&used, blocks * ((threads + 31) / 32), sizeof(emu_warp));
    grid->ready = (emu_thread **)carve(&used, ring, sizeof(emu_thread *));
    return used;
}

static void make_state(emu_grid *grid)
{
    uint32_t threads = grid->launch.threads, warps = (threads + 31) / 32;
    size_t blocks = (size_t)grid->cluster_count * grid->cluster_blocks;
    size_t ring = 1;
    while (ring < blocks * threads)
        ring *= 2;
    size_t bytes = carve_state(grid, blocks, ring);
    if (bytes > state.bytes) {
        emu_free(state.memory);
        state.bytes = 0;
        state.memory = nullptr;
        state.memory = (char *)emu_allocate(64, bytes);
        state.bytes = bytes;
        carve_state(grid, blocks, ring);
    }
    grid->ready_mask = (uint32_t)ring - 1;
    for (uint32_t c = 0; c < grid->cluster_count; c++)
        grid->clusters[c] =
            emu_cluster{&grid->blocks[(size_t)c * grid->cluster_blocks], 0, 0, 0, 0};
    for (size_t b = 0; b < blocks; b++) {
        emu_block *block = &grid->blocks[b];
        block->cluster = &grid->clusters[b / grid->cluster_blocks];
        block->threads = &grid->threads[b * threads];
        block->warps = &grid->warps[b * warps];
        block->count = threads;
        block->ready_first = block->ready_last = nullptr;
        block->next_ready = nullptr;
        block->is_ready = false;
    }
}

static void begin_block(emu_grid *grid, emu_block *block, uint32_t index, uint32_t rank)
{
    uint32_t threads = block->count;
    block->index = index;
    block->live = threads;
    block->priority = emu_random(grid);
    memset(block->barriers, 0, sizeof block->barriers);
    emu_shared_begin(grid, block);
    emu_sync_begin(block);
    for (uint32_t w = 0; w < (threads + 31) / 32; w++) {
        uint32_t lanes = threads - w * 32;
        block->warps[w] = emu_warp{};
        block->warps[w].alive = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
    }
    for (uint32_t i = 0; i < threads; i++) {
        emu_thread *thread = &block->threads[i];
        *thread = emu_thread{};
        thread->position =
            emu_position{i, threads, index, grid->launch.blocks, rank, grid->cluster_blocks};
        thread->block = block;
        thread->identity = emu_identity_take(grid);
        emu_make_ready(grid, thread);
    }
}

static void begin_cluster(emu_grid *grid, emu_cluster *cluster)
{
    uint64_t count = grid->launch.blocks / grid->cluster_blocks;
    uint64_t index = (grid->first + grid->started++ * grid->stride) % count;
    cluster->blocks = grid->cluster_blocks;
    cluster->live = grid->cluster_blocks * grid->launch.threads;
    cluster->arrived = 0;
    cluster->phase = 0;
    for (uint32_t rank = 0; rank < grid->cluster_blocks; rank++)
        begin_block(grid, &cluster->first[rank], (uint32_t)index * grid->cluster_blocks + rank,
                    rank);
}

/* Also of one that was abandoned. */
static void end_cluster(emu_grid *grid, emu_cluster *cluster)
{
    for (uint32_t rank = 0; rank < grid->cluster_blocks; rank++) {
        emu_block *block = &cluster->first[rank];
        for (uint32_t i = 0; i < block->count; i++) {
            emu_thread *thread = &block->threads[i];
            if (thread->stack)
                emu_stack_give(thread->stack, true);
            thread->stack = nullptr;
            emu_identity_give(grid, thread->identity, thread->state == EMU_ENDED);
            if (thread->copies)
                emu_free(thread->copies);
        }
        emu_shared_end(block);
        emu_sync_end(block);
    }
}

void emu_drop(emu_grid *grid)
{
    for (uint32_t c = 0; c < grid->cluster_count; c++)
        if (grid->clusters[c].blocks)
            end_cluster(grid, &grid->clusters[c]);
    emu_now = nullptr;
    emu_grid_acquire(grid, EMU_LAUNCH_ENDS);
    for (uint32_t i = 0; i < grid->store_count; i++)
        emu_free(grid->stores[i].parcel);
    emu_identity_give(grid, grid->courier, true);
    emu_free(grid->stores);
    emu_free(grid->args);
    emu_free(grid->sync);
}

static void run(emu_grid *grid)
{
    uint64_t count = grid->launch.blocks / grid->cluster_blocks, left = count;
    for (uint32_t c = 0; c < grid->cluster_count; c++)
        begin_cluster(grid, &grid->clusters[c]);
    while (left && !grid->aborted) {
        emu_resume(grid, emu_pick(grid));
        for (uint32_t c = 0; c < grid->cluster_count && !grid->aborted; c++) {
            emu_cluster *cluster = &grid->clusters[c];
            if (cluster->live || !cluster->blocks)
                continue;
            end_cluster(grid, cluster);
            cluster->blocks = 0;
            left--;
            if (grid->started < count)
                begin_cluster(grid, cluster);
        }
    }
}

static uint64_t launches;

void emu_grid_reset(void)
{
    launches = 0;
}

void emu_run(const emu_launch *launch)
{
    static __thread uint64_t number;
    check_launch(launch);
    emu_grid grid = {};
    const emu_settings *settings = emu_current();
    grid.launch = *launch;
    grid.cluster_blocks = launch->cluster ? launch->cluster : 1;
    grid.policy = settings->policy;
    grid.steps = grid.policy == EMU_RANDOM || grid.policy == EMU_SKEWED;
    grid.number = ++number;
    /* The schedule depends on the seed and on what the program has called so far, no more. */
    grid.random = settings->seed * 0xd1342543de82ef95u + emu_calls();
    grid.random = emu_random(&grid) + launches++;
    size_t bytes = launch->kernel->args_bytes;
    grid.args = (char *)emu_allocate(64, bytes);
    grid.sync = (char *)emu_allocate(16, 2);
    memcpy(grid.args, launch->args, bytes);
    grid.host_identity = emu_identity_now();
    grid.courier = emu_identity_take(&grid);
    emu_grid_release(&grid, EMU_LAUNCH_BEGINS);
    plan_order(&grid);
    make_state(&grid);
    emu_now = &grid;
    run(&grid);
    emu_drop(&grid);
    if (grid.aborted)
        emu_expect_end();
}
