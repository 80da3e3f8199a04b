/* A grid that runs, inside the emulation: its threads, what they wait for, and the scheduler. None
 * of these files is instrumented by a sanitizer (fiber.h). A host thread runs one grid at a time;
 * everything here belongs to the host thread that called emu_run(). */
#ifndef VG_EMULATION_GRID_H
#define VG_EMULATION_GRID_H

#include "fiber.h"
#include "internal.h"

#include "device.cuh"

struct emu_block;
struct emu_mbarrier;

enum emu_state { EMU_READY, EMU_RUNS, EMU_WAITS, EMU_ENDED };

/* An asynchronous copy of 16 bytes that has not arrived. */
struct emu_copy {
    void *shared;
    const void *global;
    uint32_t group;
};

struct emu_thread {
    emu_position position;
    emu_block *block;
    emu_stack *stack; /* null: not begun, or ended */
    void *identity;   /* ThreadSanitizer's */
    emu_thread *next; /* in the list it is in */
    emu_state state;
    const char *what; /* waits for what, where */
    emu_site site;
    uint32_t mask, argument; /* of a warp's collective, in and out */
    emu_kind kind;
    uint64_t value;
    const uint32_t *word; /* waits until *word >= least */
    uint32_t least;
    bool cluster_arrived;
    uint32_t cluster_phase;
    emu_copy *copies;
    uint32_t copy_count, copy_capacity, copy_group;
};

/* alive: lanes that have not ended; arrived: those that wait in a collective. While all of them
 * wait with one mask in one kind of it, that is `mask` and `kind`. phase: how often the collectives
 * of masks with that lowest lane were complete. */
struct emu_warp {
    uint32_t alive, arrived, mask;
    emu_kind kind;
    bool mixed;
    uint8_t phase[32];
};

struct emu_barrier {
    uint32_t arrived, threads, phase;
    emu_site site;
};

/* Shared memory that a block has declared; the launch's dynamic memory is the first. */
struct emu_piece {
    const void *declared;
    char *memory;
    size_t bytes, align;
};

struct emu_mbarrier {
    uint64_t *bar;
    emu_block *block;
    emu_thread *waiting, *made_by;
    uint32_t expected, pending, phase;
    int32_t bytes;
    bool fenced;
};

enum { EMU_PIECES = 64, EMU_MBARRIERS = 64, EMU_BARRIERS = 16 };

struct emu_cluster {
    emu_block *first;
    uint32_t blocks, live; /* live: threads */
    uint32_t arrived, phase;
};

struct emu_block {
    emu_cluster *cluster;
    emu_thread *threads;
    emu_warp *warps;
    uint32_t index, count, live;
    emu_thread *ready_first, *ready_last; /* EMU_SKEWED */
    uint64_t priority;
    emu_block *next_ready;
    bool is_ready;
    emu_barrier barriers[EMU_BARRIERS]; /* 0: sync_block() */
    emu_piece pieces[EMU_PIECES];
    size_t shared_bytes;
    uint32_t piece_count, mbarrier_count;
    emu_mbarrier mbarriers[EMU_MBARRIERS];
    char *sync; /* tsan.cc */
};

/* An asynchronous store on its way. */
struct emu_store {
    float *target;
    emu_mbarrier *bar;
    void *parcel;
    float values[4];
    uint32_t count;
};

enum { EMU_WORD_LISTS = 64, EMU_KNOWN = 64 };

struct emu_grid {
    emu_launch launch;
    char *args, *sync;
    emu_policy policy;
    uint64_t random, number;
    bool steps; /* operations that do not wait let others run, now and then */
    emu_stack host;
    void *host_identity, *courier;
    emu_thread *self; /* runs; null: the host */
    bool aborted;
    char ended; /* what ThreadSanitizer knows the end of a thread by */
    emu_cluster *clusters;
    emu_block *blocks;
    emu_thread *threads;
    emu_warp *warps;
    uint32_t cluster_count, cluster_blocks; /* resident */
    uint64_t started, first, stride;        /* clusters, and in which order */
    emu_thread **ready;                     /* a ring */
    uint32_t ready_first, ready_count, ready_mask;
    emu_block *ready_blocks, *running;
    uint32_t watching;
    emu_thread *words[EMU_WORD_LISTS];
    emu_store *stores;
    uint32_t store_count, store_capacity;
    uintptr_t known[EMU_KNOWN]; /* 256 bytes each: device memory */
};

/* The grid that this host thread runs; null: none. */
extern __thread emu_grid *emu_now;

uint64_t emu_random(emu_grid *grid);

/* schedule.cc */
void emu_make_ready(emu_grid *grid, emu_thread *thread);
/* The next to run; null: no one can. */
emu_thread *emu_pick(emu_grid *grid);
/* From the host into `thread`, until a cluster has ended or the grid is aborted. */
void emu_resume(emu_grid *grid, emu_thread *thread);
/* Lets others run until someone makes this thread ready. */
void emu_wait(emu_grid *grid, const char *what, emu_site site);
/* Lets others run, if the policy says so. */
void emu_step(emu_grid *grid);
/* On a fiber: back to the host, which ends emu_expect(). */
[[noreturn]] void emu_abandon(emu_grid *grid);

/* mma.cc: the product of a warp whose lanes have left their fragments. */
void emu_multiply(emu_kind kind, const emu_thread *lanes);

/* barriers.cc: what a thread's end means to those who wait for it. */
void emu_leave_barriers(emu_grid *grid, emu_thread *thread);

/* tsan.cc: memory of the emulation's own, whoever runs. Reports where there is none. */
void *emu_allocate(size_t align, size_t bytes);
void emu_free(void *memory);

/* shared_memory.cc */
void emu_shared_begin(emu_grid *grid, emu_block *block);
void emu_shared_end(emu_block *block);
/* emu_is_device_memory(), remembered for a launch; ASan knows the exact end of an allocation. */
bool emu_known(emu_grid *grid, const void *at, size_t bytes);
/* The index of the piece of this block that holds `at`, or piece_count. */
uint32_t emu_piece_of(const emu_block *block, const void *at);
emu_block *emu_block_of_rank(emu_grid *grid, uint32_t rank, const char *what, emu_site site);
/* Ends the asynchronous copies of all groups but the last `groups`. */
void emu_copies_land(emu_thread *thread, uint32_t groups);
void emu_copy_land(void *shared, const void *global); /* async_copy.cc */

/* mbarrier.cc */
/* Lets one asynchronous store arrive; false: none was on its way. */
bool emu_store_land(emu_grid *grid);
void emu_stores_check(emu_grid *grid, const emu_block *block);

/* grid.cc: ends a grid that was aborted, on the host. */
void emu_drop(emu_grid *grid);

/* report.cc */
/* emu_report() about a thread, with all that wait. `site.file` null: no place. */
[[noreturn]] void emu_report_at(emu_grid *grid, const emu_thread *thread, emu_site site,
                                const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Whether a test wants the next report; ends its body. */
[[noreturn]] void emu_expect_end(void);

/* tsan.cc: what ThreadSanitizer is told; nothing where it does not watch. */
enum emu_sync { EMU_LAUNCH_BEGINS, EMU_LAUNCH_ENDS };
void emu_grid_release(emu_grid *grid, emu_sync at);
void emu_grid_acquire(emu_grid *grid, emu_sync at);
/* What synchronises threads of a block: a barrier's number, or these. */
enum {
    EMU_SYNC_MBARRIER = EMU_BARRIERS,
    EMU_SYNC_CLUSTER = EMU_SYNC_MBARRIER + EMU_MBARRIERS, /* of the cluster's first block */
    EMU_SYNC_LANE                                         /* 32 a warp: its masks' lowest lane */
};
void emu_release(const emu_block *block, uint32_t what, uint32_t phase);
void emu_acquire(const emu_block *block, uint32_t what, uint32_t phase);
void emu_sync_begin(emu_block *block);
void emu_sync_end(emu_block *block);
/* A thread's identity. Of one that ended it goes to another, of a later launch if that can be. */
void *emu_identity_take(emu_grid *grid);
void emu_identity_give(emu_grid *grid, void *identity, bool ended);
void *emu_identity_now(void);
void emu_identity_switch(void *identity);
/* Goes on as `to`, after all that `from` has done. */
void emu_identity_join(void *from, void *to);
/* From here to there nothing that this thread does is looked at. */
void emu_unwatched(bool begin);
/* What this thread has done so far is on its way, and later arrives at a barrier. */
void *emu_parcel_sent(void);
void emu_parcel_arrives(emu_grid *grid, void *parcel, const emu_block *block, uint32_t what,
                        uint32_t phase);
/* What the emulation does to a mbarrier's word. */
void emu_word_touched(uint64_t *bar, bool written);

#endif
