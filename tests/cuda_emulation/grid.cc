/* Kernels by name, and a launch from its first block to its last. */
#include "grid.h"

#include <pthread.h>
#include <stdlib.h>
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

/* Zeroed. */
static void *make(size_t count, size_t bytes)
{
    void *made = calloc(count, bytes);
    if (!made)
        emu_report("no memory for %zu times %zu bytes of a grid's state", count, bytes);
    return made;
}

static void make_state(emu_grid *grid)
{
    uint32_t threads = grid->launch.threads, warps = (threads + 31) / 32;
    size_t blocks = (size_t)grid->cluster_count * grid->cluster_blocks;
    size_t capacity = 1;
    while (capacity < blocks * threads)
        capacity *= 2;
    grid->clusters = (emu_cluster *)make(grid->cluster_count, sizeof *grid->clusters);
    grid->blocks = (emu_block *)make(blocks, sizeof *grid->blocks);
    grid->threads = (emu_thread *)make(blocks * threads, sizeof *grid->threads);
    grid->warps = (emu_warp *)make(blocks * warps, sizeof *grid->warps);
    grid->ready = (emu_thread **)make(capacity, sizeof *grid->ready);
    grid->ready_mask = (uint32_t)capacity - 1;
    for (uint32_t c = 0; c < grid->cluster_count; c++)
        grid->clusters[c].first = &grid->blocks[(size_t)c * grid->cluster_blocks];
    for (size_t b = 0; b < blocks; b++) {
        emu_block *block = &grid->blocks[b];
        block->cluster = &grid->clusters[b / grid->cluster_blocks];
        block->threads = &grid->threads[b * threads];
        block->warps = &grid->warps[b * warps];
        block->count = threads;
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
    for (uint32_t w = 0; w < (threads + 31) / 32; w++) {
        uint32_t lanes = threads - w * 32;
        block->warps[w] = emu_warp{};
        block->warps[w].alive = lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
    }
    for (uint32_t i = 0; i < threads; i++) {
        emu_thread *thread = &block->threads[i];
        emu_copy *copies = thread->copies;
        uint32_t capacity = thread->copy_capacity;
        *thread = emu_thread{};
        thread->copies = copies;
        thread->copy_capacity = capacity;
        thread->position =
            emu_position{i, threads, index, grid->launch.blocks, rank, grid->cluster_blocks};
        thread->block = block;
#ifdef EMU_TSAN
        thread->tsan = __tsan_create_fiber(0);
#endif
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
#ifdef EMU_TSAN
            __tsan_destroy_fiber(thread->tsan);
#endif
        }
        emu_shared_end(block);
    }
}

static void free_state(emu_grid *grid)
{
    emu_now = nullptr;
    emu_acquire(&grid->ended);
    size_t threads =
        (size_t)grid->cluster_count * grid->cluster_blocks * (size_t)grid->launch.threads;
    for (size_t i = 0; i < threads; i++)
        emu_free(grid->threads[i].copies);
    free(grid->clusters);
    free(grid->blocks);
    free(grid->threads);
    free(grid->warps);
    free(grid->ready);
    emu_free(grid->stores);
    free((void *)(uintptr_t)grid->args);
}

void emu_drop(emu_grid *grid)
{
    for (uint32_t c = 0; c < grid->cluster_count; c++)
        if (grid->clusters[c].blocks)
            end_cluster(grid, &grid->clusters[c]);
    free_state(grid);
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

void emu_run(const emu_launch *launch)
{
    static __thread uint64_t number, last_call, same_call;
    check_launch(launch);
    emu_grid grid = {};
    const emu_settings *settings = emu_current();
    grid.launch = *launch;
    grid.cluster_blocks = launch->cluster ? launch->cluster : 1;
    grid.policy = settings->policy;
    grid.steps = grid.policy == EMU_RANDOM || grid.policy == EMU_SKEWED;
    grid.number = ++number;
    /* The schedule depends on the seed and on what the program has called so far, no more. */
    same_call = emu_calls() == last_call ? same_call + 1 : 0;
    last_call = emu_calls();
    grid.random = settings->seed * 0xd1342543de82ef95u + last_call;
    grid.random = emu_random(&grid) + same_call;
    size_t bytes = launch->kernel->args_bytes;
    void *args = nullptr;
    if (posix_memalign(&args, 64, bytes))
        emu_report("no memory for the arguments of %s", launch->kernel->name);
    memcpy(args, launch->args, bytes);
    grid.args = args;
#ifdef EMU_TSAN
    grid.host_tsan = __tsan_get_current_fiber();
#endif
    plan_order(&grid);
    make_state(&grid);
    emu_now = &grid;
    run(&grid);
    emu_drop(&grid);
    if (grid.aborted)
        emu_expect_end();
}
