/* Threads and their barrier, over C11 atomics and the futex. */
#include "pool.h"

#include "denormals.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* How often a waiting thread looks before it sleeps: some 0.2 ms, far longer than an uneven share
 * of a step, far shorter than a scheduler's time slice. ALL_TO_ALL: up to so many threads look at
 * each other's flags (one hop), more of them gather at thread 0 (two hops). */
enum { SPINS = 20000, ALL_TO_ALL = 4 };
/* How long one that waits for a count sleeps, once it has spun, before it looks again. */
enum { SLEEP_NS = 50000 };

/* A counter that one thread raises and others wait for; alone on its cache lines. */
typedef struct flag {
    _Alignas(128) atomic_uint value;
    atomic_uint sleepers;
} flag;

typedef struct worker {
    _Alignas(128) flag arrived;
    flag released;                    /* of thread 0: everybody has arrived */
    _Alignas(128) vg_pool_count turn; /* of all that were ever dealt, the one that it is at */
    size_t first_turn;                /* of those dealt now */
    unsigned epoch;
    uint32_t index;
    vg_pool *pool;
    pthread_t thread;
    bool started;
} worker;

struct vg_pool {
    flag job;                          /* raised for every run */
    _Alignas(128) vg_pool_count turns; /* dealt so far */
    vg_pool_fn *work;
    void *context;
    atomic_uint spins;
    bool flush, spin, stop;
    uint32_t threads;
    int32_t first_cpu; /* of thread 0; -1: not bound */
    cpu_set_t callers_cpus;
    uint64_t callers_mode;
    worker *workers;
};

static void relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void flag_raise(flag *f, unsigned value)
{
    atomic_store(&f->value, value);
    if (atomic_load(&f->sleepers))
        syscall(SYS_futex, &f->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Waits until the flag is no longer `old`. */
static void flag_wait(flag *f, unsigned old, unsigned spins)
{
    for (unsigned i = 0; i < spins; i++) {
        if (atomic_load_explicit(&f->value, memory_order_acquire) != old)
            return;
        relax();
    }
    atomic_fetch_add(&f->sleepers, 1);
    while (atomic_load(&f->value) == old)
        syscall(SYS_futex, &f->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&f->sleepers, 1);
}

static void *worker_main(void *argument)
{
    worker *self = argument;
    vg_pool *pool = self->pool;
    vg_denormals_set(pool->flush);
    for (unsigned seen = 0;; seen++) {
        flag_wait(&pool->job, seen, atomic_load_explicit(&pool->spins, memory_order_relaxed));
        if (pool->stop)
            return NULL;
        pool->work(pool->context, self->index, pool->threads);
        vg_pool_barrier(pool, self->index);
    }
}

static vg_status worker_start(worker *self, const uint32_t *cpus)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes))
        VG_FAIL(VG_NO_MEMORY, "no memory for a thread's attributes");
    int error = 0;
    if (cpus) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpus[self->index], &set);
        error = pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    if (!error)
        error = pthread_create(&self->thread, &attributes, worker_main, self);
    pthread_attr_destroy(&attributes);
    if ((error == EINVAL || error == EPERM) && cpus)
        VG_FAIL(VG_UNSUPPORTED, "thread %u could not be bound to processor %u", self->index,
                cpus[self->index]);
    if (error)
        VG_FAIL(VG_NO_MEMORY, "thread %u could not be started", self->index);
    self->started = true;
    return VG_OK;
}

/* Binds the caller to a processor; where that is not permitted, nothing changes. */
static bool caller_bind(int32_t cpu, cpu_set_t *before)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    return sched_getaffinity(0, sizeof *before, before) == 0 &&
           sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Whether the caller, who is thread 0 in every job, can be bound as the others are. */
static vg_status caller_try(int32_t cpu)
{
    cpu_set_t before;
    if (!caller_bind(cpu, &before))
        VG_FAIL(errno == ENOMEM ? VG_NO_MEMORY : VG_UNSUPPORTED,
                "thread 0 could not be bound to processor %d: %s", cpu, strerror(errno));
    sched_setaffinity(0, sizeof before, &before);
    return VG_OK;
}

vg_status vg_pool_open(uint32_t threads, const uint32_t *cpus, bool flush, bool spin, vg_pool **out)
{
    vg_pool *pool = aligned_alloc(_Alignof(vg_pool), sizeof *pool);
    worker *workers = aligned_alloc(_Alignof(worker), threads * sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        VG_FAIL(VG_NO_MEMORY, "no memory for %u threads", threads);
    }
    *pool = (vg_pool){.flush = flush,
                      .spin = spin,
                      .threads = threads,
                      .first_cpu = cpus ? (int32_t)cpus[0] : -1,
                      .workers = workers};
    for (uint32_t i = 0; i < threads; i++)
        workers[i] = (worker){.index = i, .pool = pool};
    vg_status status = cpus ? caller_try(pool->first_cpu) : VG_OK;
    for (uint32_t i = 1; i < threads && status == VG_OK; i++)
        status = worker_start(&workers[i], cpus);
    if (status == VG_OK)
        *out = pool;
    else
        vg_pool_close(pool);
    return status;
}

void vg_pool_close(vg_pool *pool)
{
    if (!pool)
        return;
    pool->stop = true;
    flag_raise(&pool->job, atomic_load(&pool->job.value) + 1);
    for (uint32_t i = 1; i < pool->threads; i++)
        if (pool->workers[i].started)
            pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    free(pool);
}

static void nothing(void *context, uint32_t thread, uint32_t threads)
{
    (void)context;
    (void)thread;
    (void)threads;
}

void vg_pool_enter(vg_pool *pool)
{
    pool->callers_mode = vg_denormals_set(pool->flush);
    if (pool->first_cpu >= 0)
        (void)caller_bind(pool->first_cpu, &pool->callers_cpus);
    atomic_store(&pool->spins, pool->spin ? SPINS : 0);
    vg_pool_run(pool, nothing, NULL);
}

void vg_pool_leave(vg_pool *pool)
{
    atomic_store(&pool->spins, 0);
    vg_pool_run(pool, nothing, NULL); /* whoever spins looks at it again, and sleeps */
    if (pool->first_cpu >= 0)
        sched_setaffinity(0, sizeof pool->callers_cpus, &pool->callers_cpus);
    vg_denormals_restore(pool->callers_mode);
}

void vg_pool_run(vg_pool *pool, vg_pool_fn *work, void *context)
{
    if (pool->threads == 1) {
        work(context, 0, 1);
        return;
    }
    pool->work = work;
    pool->context = context;
    flag_raise(&pool->job, atomic_load_explicit(&pool->job.value, memory_order_relaxed) + 1);
    work(context, 0, pool->threads);
    vg_pool_barrier(pool, 0);
}

/* Whether a thread that has arrived may go on. */
static bool is_open(const vg_pool *pool, uint32_t thread, unsigned before)
{
    const worker *all = pool->workers;
    if (pool->threads > ALL_TO_ALL && thread > 0)
        return atomic_load_explicit(&all[0].released.value, memory_order_acquire) != before;
    for (uint32_t i = 0; i < pool->threads; i++)
        if (i != thread &&
            atomic_load_explicit(&all[i].arrived.value, memory_order_acquire) == before)
            return false;
    return true;
}

void vg_pool_barrier(vg_pool *pool, uint32_t thread)
{
    vg_pool_barrier_while(pool, thread, NULL, NULL);
}

void vg_pool_barrier_while(vg_pool *pool, uint32_t thread, vg_pool_meanwhile_fn *meanwhile,
                           void *context)
{
    uint32_t threads = pool->threads;
    if (threads == 1)
        return;
    worker *all = pool->workers, *self = &all[thread];
    unsigned before = self->epoch++, now = self->epoch;
    unsigned spins = atomic_load_explicit(&pool->spins, memory_order_relaxed);
    flag_raise(&self->arrived, now);
    while (meanwhile && !is_open(pool, thread, before) && meanwhile(context))
        ;
    if (threads > ALL_TO_ALL && thread > 0) {
        flag_wait(&all[0].released, before, spins);
        return;
    }
    for (uint32_t i = 0; i < threads; i++)
        if (i != thread)
            flag_wait(&all[i].arrived, before, spins);
    if (threads > ALL_TO_ALL)
        flag_raise(&all[0].released, now);
}

size_t vg_pool_turn(vg_pool *pool, uint32_t thread, size_t count)
{
    worker *self = &pool->workers[thread];
    size_t turn = atomic_fetch_add_explicit(&pool->turns, 1, memory_order_relaxed);
    atomic_store_explicit(&self->turn, turn, memory_order_release);
    if (turn - self->first_turn < count)
        return turn - self->first_turn;
    self->first_turn += count + pool->threads; /* each takes one too many */
    return count;
}

void vg_pool_await(vg_pool *pool, vg_pool_count *count, size_t least)
{
    unsigned spins = atomic_load_explicit(&pool->spins, memory_order_relaxed);
    for (unsigned i = 0; atomic_load_explicit(count, memory_order_acquire) < least; i++) {
        if (i < spins)
            relax();
        else
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

void vg_pool_turns_await(vg_pool *pool, uint32_t thread, size_t turn)
{
    const worker *self = &pool->workers[thread];
    for (uint32_t i = 0; i < pool->threads; i++)
        if (i != thread)
            vg_pool_await(pool, &pool->workers[i].turn, self->first_turn + turn);
}

uint32_t vg_pool_threads(const vg_pool *pool)
{
    return pool->threads;
}

void vg_pool_share(uint64_t count, uint32_t p, uint32_t threads, uint64_t *first, uint64_t *last)
{
    *first = count * p / threads;
    *last = count * (p + 1) / threads;
}
