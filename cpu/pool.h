/* Persistent threads, each on its own core, and a barrier among them that spins first and then
 * sleeps. The thread that calls is thread 0; it is bound, and its rounding mode set, only between
 * vg_pool_enter and vg_pool_leave. */
#ifndef VG_POOL_H
#define VG_POOL_H

#include "vg/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vg_pool vg_pool;
typedef void vg_pool_fn(void *context, uint32_t thread, uint32_t threads);

/* `threads` >= 1, the caller among them. cpus: the processor that each is bound to, or null: not
 * bound. flush: subnormal operands and results count as zero in every thread while it works.
 * spin: false where threads have to share cores, so that waiting yields at once.
 * VG_NO_MEMORY: a thread could not be started, or not bound for want of memory. VG_UNSUPPORTED: a
 * thread could not be bound. */
vg_status vg_pool_open(uint32_t threads, const uint32_t *cpus, bool flush, bool spin,
                       vg_pool **out);
void vg_pool_close(vg_pool *pool);

/* Around every use: wakes the threads, binds the caller, and undoes both. */
void vg_pool_enter(vg_pool *pool);
void vg_pool_leave(vg_pool *pool);

/* Calls work(context, p, threads) on every thread p, and returns when all have. Memory written
 * before is seen by all, and what they wrote is seen afterwards. */
void vg_pool_run(vg_pool *pool, vg_pool_fn *work, void *context);

/* Inside of work: nobody goes on before everybody has arrived; every thread must take part. */
void vg_pool_barrier(vg_pool *pool, uint32_t thread);

/* The same; while others are missing, `meanwhile` is called, until it has nothing more to do (and
 * returns false). */
typedef bool vg_pool_meanwhile_fn(void *context);
void vg_pool_barrier_while(vg_pool *pool, uint32_t thread, vg_pool_meanwhile_fn *meanwhile,
                           void *context);

/* Turns: work dealt out in order to whichever thread is free. The number of this thread's next turn
 * of `count`, from 0 on; `count`: none is left. Every thread takes turns until none is left, and
 * meets the others at a barrier before others are dealt. */
size_t vg_pool_turn(vg_pool *pool, uint32_t thread, size_t count);

/* Waits until those of the other threads' turns that come before `turn` are over; what was written
 * in them is seen. */
void vg_pool_turns_await(vg_pool *pool, uint32_t thread, size_t turn);

/* Waits until a count that other threads add to has reached `least`. */
typedef atomic_size_t vg_pool_count;
void vg_pool_await(vg_pool *pool, vg_pool_count *count, size_t least);

uint32_t vg_pool_threads(const vg_pool *pool);

/* The even share [*first, *last) of `count` items that thread p of `threads` does. */
void vg_pool_share(uint64_t count, uint32_t p, uint32_t threads, uint64_t *first, uint64_t *last);

#endif
