/* The threads' barrier under stress, with and without spinning, and how work is shared out. */
#include "pool.h"
#include "topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_THREADS = 7, STEPS = 400 };

typedef struct stress {
    vg_pool *pool;
    uint64_t cell[2][MOST_THREADS]; /* plain memory: only the barrier orders it */
    bool wrong[MOST_THREADS];
} stress;

/* What a thread has to do while it waits. */
typedef struct chores {
    uint32_t left;
    bool ended, wrong;
} chores;

static bool chore(void *context)
{
    chores *c = context;
    c->wrong = c->wrong || c->ended;
    c->ended = c->left == 0;
    c->left -= !c->ended;
    return !c->ended;
}

/* Each step every thread sums what all wrote the step before; a missed arrival shows as a wrong sum
 * (and as a race to the thread sanitizer). Most wait with chores, which are over once one says so.
 */
static void steps(void *context, uint32_t thread, uint32_t threads)
{
    stress *s = context;
    s->cell[0][thread] = 1;
    vg_pool_barrier(s->pool, thread);
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < threads; i++)
            sum += s->cell[(step - 1) % 2][i];
        s->wrong[thread] = s->wrong[thread] || sum != step * threads;
        s->cell[step % 2][thread] = step + 1;
        chores c = {.left = (uint32_t)(step % 3 * 10)};
        if (step % 4 < 3)
            vg_pool_barrier_while(s->pool, thread, chore, &c);
        else
            vg_pool_barrier(s->pool, thread);
        s->wrong[thread] = s->wrong[thread] || c.wrong;
    }
}

static void stress_run(uint32_t threads, bool spin)
{
    stress s = {0};
    assert_int_equal(vg_pool_open(threads, NULL, false, spin, &s.pool), VG_OK);
    for (int round = 0; round < 5; round++) {
        vg_pool_enter(s.pool);
        for (int run = 0; run < 3; run++)
            vg_pool_run(s.pool, steps, &s);
        vg_pool_leave(s.pool);
    }
    vg_pool_close(s.pool);
    for (uint32_t i = 0; i < threads; i++)
        if (s.wrong[i])
            fail_msg("thread %u of %u (spin %d) went on too early, or had ended its chores", i,
                     threads, spin);
}

static void test_barrier(void **unused)
{
    (void)unused;
    static const uint32_t counts[] = {1, 2, 3, 5, 7};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int spin = 0; spin < 2; spin++)
            stress_run(counts[i], spin && counts[i] <= 2);
}

/* Items that are dealt out block after block: each raises its place by one, from what the blocks
 * before have made of it. */
enum { PLACES = 9, DEALS = 5 };
typedef struct deal {
    vg_pool *pool;
    vg_pool_count taken;
    uint64_t height[PLACES]; /* plain memory: only the turns order it */
    bool wrong[MOST_THREADS];
} deal;

static void take_turns(void *context, uint32_t thread, uint32_t threads)
{
    deal *d = context;
    size_t before = 0;
    (void)threads;
    for (size_t n = 0; n < DEALS; n++) {
        size_t blocks = n * 13, items = blocks * PLACES;
        for (size_t i; (i = vg_pool_turn(d->pool, thread, items)) < items;) {
            size_t block = i / PLACES, place = i % PLACES;
            if (block > 0)
                vg_pool_turns_await(d->pool, thread, i - PLACES + 1);
            d->wrong[thread] |= d->height[place] != before + block;
            d->height[place]++;
            atomic_fetch_add(&d->taken, 1);
        }
        before += blocks;
        vg_pool_await(d->pool, &d->taken, before * PLACES);
        d->wrong[thread] |= atomic_load(&d->taken) != before * PLACES;
        vg_pool_barrier(d->pool, thread);
    }
}

static void test_turns(void **unused)
{
    (void)unused;
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads++)
        for (int spin = 0; spin < 2; spin++) {
            deal d = {0};
            assert_int_equal(vg_pool_open(threads, NULL, false, spin && threads <= 2, &d.pool),
                             VG_OK);
            vg_pool_enter(d.pool);
            vg_pool_run(d.pool, take_turns, &d);
            vg_pool_leave(d.pool);
            vg_pool_close(d.pool);
            for (uint32_t i = 0; i < threads; i++)
                assert_false(d.wrong[i]);
            for (size_t i = 0; i < PLACES; i++)
                assert_int_equal(d.height[i], DEALS * (DEALS - 1) / 2 * 13);
        }
}

/* Opened and closed without work, and closed while asleep. */
static void test_idle(void **unused)
{
    (void)unused;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        vg_pool *pool = NULL;
        assert_int_equal(vg_pool_open(threads, NULL, false, true, &pool), VG_OK);
        assert_int_equal(vg_pool_threads(pool), threads);
        vg_pool_close(pool);
    }
}

static void tiny_product(void *context, uint32_t thread, uint32_t threads)
{
    (void)threads;
    volatile float tiny = 0x1p-100f;
    ((float *)context)[thread] = tiny * 0x1p-40f;
}

/* Flushing holds in every thread while entered, and not after. */
static void test_denormals(void **unused)
{
    (void)unused;
#if defined(__x86_64__) || defined(__aarch64__)
    float tiny[3], after;
    for (int flush = 0; flush < 2; flush++) {
        vg_pool *pool = NULL;
        assert_int_equal(vg_pool_open(3, NULL, flush, false, &pool), VG_OK);
        vg_pool_enter(pool);
        vg_pool_run(pool, tiny_product, tiny);
        vg_pool_leave(pool);
        for (int i = 0; i < 3; i++)
            assert_true((tiny[i] == 0) == flush);
        tiny_product(&after, 0, 1);
        assert_true(after > 0);
        vg_pool_close(pool);
    }
#endif
}

static void test_bound(void **unused)
{
    (void)unused;
    vg_topology topology;
    assert_int_equal(vg_topology_open(&topology), VG_OK);
    assert_true(topology.cores >= 1);
    assert_true(topology.cache_count >= 1);
    for (uint32_t c = 1; c < topology.cache_count; c++)
        assert_true(topology.caches[c].bytes > topology.caches[c - 1].bytes);
    vg_pool *pool = NULL;
    assert_int_equal(vg_pool_open(topology.cores, topology.cpus, false, true, &pool), VG_OK);
    vg_pool_enter(pool);
    vg_topology inside;
    assert_int_equal(vg_topology_open(&inside), VG_OK);
    assert_int_equal(inside.cores, 1);
    assert_int_equal(inside.cpus[0], topology.cpus[0]);
    vg_topology_close(&inside);
    vg_pool_leave(pool);
    assert_int_equal(vg_topology_open(&inside), VG_OK);
    assert_int_equal(inside.cores, topology.cores);
    vg_topology_close(&inside);
    vg_pool_close(pool);
    char *xml = vg_topology_xml(&topology);
    assert_non_null(xml);
    assert_non_null(strstr(xml, "<topology"));
    assert_null(strstr(xml, "HostName"));
    assert_null(strstr(xml, "Serial"));
    free(xml);
    vg_topology_close(&topology);
}

static void test_share(void **unused)
{
    (void)unused;
    for (uint64_t count = 0; count < 20; count++)
        for (uint32_t threads = 1; threads < 9; threads++) {
            uint64_t next = 0;
            for (uint32_t p = 0; p < threads; p++) {
                uint64_t first, last;
                vg_pool_share(count, p, threads, &first, &last);
                assert_int_equal(first, next);
                assert_true(last - first <= count / threads + 1);
                next = last;
            }
            assert_int_equal(next, count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),   cmocka_unit_test(test_idle),
        cmocka_unit_test(test_barrier), cmocka_unit_test(test_denormals),
        cmocka_unit_test(test_bound),   cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
