/* Under ThreadSanitizer: a race of CUDA threads is reported, what CUDA orders is not. Each kernel
 * runs in a process of its own, with what orders it and without. */
#include "grid_trial.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static const float pushed = 1;

enum { MOST = 64, RACED = 66 };

/* Each kernel has its race where words[0] is not zero. */
VG_DEVICE bool careless(const trial_args &p)
{
    return p.words[0] != 0;
}

VG_KERNEL(block_barrier, MOST, trial_args)
{
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index(), n = block_threads();
    slots[i] = (float)i;
    if (!careless(p))
        sync_block();
    p.numbers[grid_index()] = slots[(i + 1) % n];
}

/* Read again in the next round without a barrier between. */
VG_KERNEL(second_barrier, MOST, trial_args)
{
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index(), n = block_threads();
    for (int round = 0; round < 3; round++) {
        slots[i] = (float)i;
        sync_block();
        p.numbers[grid_index()] = slots[(i + 1) % n];
        if (!careless(p))
            sync_block();
    }
}

VG_KERNEL(warp_barrier, MOST, trial_args)
{
    VG_SHARED(float, slots, 32);
    uint32_t i = thread_index();
    for (int round = 0; round < 3; round++) {
        slots[i] = (float)i;
        /* A shuffle orders no memory. */
        if (careless(p))
            shuffle(ALL_LANES, i, 0);
        else
            sync_warp(ALL_LANES);
        p.numbers[i] = slots[i ^ 1];
        sync_warp(ALL_LANES);
    }
}

VG_KERNEL(named_barrier, MOST, trial_args)
{
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index();
    slots[i] = (float)i;
    sync_named(1 + (careless(p) ? i / 32 : 0), careless(p) ? 32 : 64);
    p.numbers[i] = slots[i ^ 32];
}

/* Blocks of a grid are not ordered, even where they ran one after the other. */
VG_KERNEL(blocks_apart, MOST, trial_args)
{
    VG_SHARED(float, slots, MOST);
    float kept[8];
    slots[thread_index()] = (float)block_index();
    for (uint32_t i = 0; i < 8; i++)
        kept[i] = slots[thread_index()] + (float)i;
    sync_block();
    p.numbers[careless(p) ? thread_index() : grid_index()] = kept[block_index() % 8];
}

/* Publishing without the barrier before the flag, and looking without the one after. */
VG_KERNEL(flag_published, MOST, trial_args)
{
    uint32_t i = thread_index(), n = block_threads();
    if (block_index() == 0) {
        p.numbers[i] = (float)i;
        if (!careless(p))
            sync_block();
        if (i == 0)
            store_release(p.words + 1, 1);
        return;
    }
    if (i == 0)
        wait_at_least(p.words + 1, 1);
    sync_block();
    p.numbers[n + i] = p.numbers[(i + 1) % n];
}

VG_KERNEL(flag_seen, MOST, trial_args)
{
    uint32_t i = thread_index(), n = block_threads();
    if (block_index() == 0) {
        p.numbers[i] = (float)i;
        sync_block();
        if (i == 0)
            add_release(p.words + 1, 1);
        return;
    }
    if (i == 0)
        wait_at_least(p.words + 1, 1);
    if (!careless(p))
        sync_block();
    p.numbers[n + i] = p.numbers[i];
}

/* The flag is raised with nothing released. */
VG_KERNEL(flag_relaxed, MOST, trial_args)
{
    if (block_index() == 0) {
        p.numbers[0] = 1;
        if (careless(p)) {
            __atomic_store_n(p.words + 1, 1, __ATOMIC_RELAXED);
            emu_word_written(p.words + 1);
        } else
            store_release(p.words + 1, 1);
    } else {
        wait_at_least(p.words + 1, 1);
        p.numbers[1] = p.numbers[0];
    }
}

/* Three blocks: what the first released is seen through the second's own release. */
VG_KERNEL(release_sequence, MOST, trial_args)
{
    p.numbers[block_index()] = 1;
    uint32_t before = 0;
    if (careless(p)) {
        before = __atomic_fetch_add(p.words + 1, 1, __ATOMIC_RELAXED);
        emu_word_written(p.words + 1);
    } else
        before = add_acq_rel(p.words + 1, 1);
    if (before + 1 == block_count())
        for (uint32_t b = 0; b < block_count(); b++)
            p.numbers[64 + b] = p.numbers[b];
}

VG_KERNEL(cluster_barrier, MOST, trial_args)
{
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index();
    sync_cluster();
    remote_store(slots + i, cluster_rank() ^ 1, 1);
    if (careless(p))
        sync_block();
    else
        sync_cluster();
    p.numbers[grid_index()] = slots[i];
    sync_cluster();
}

/* The barrier is used before all know that it was made. */
VG_KERNEL(mbar_made, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    if (thread_index() == 0)
        mbar_init(bar, 64);
    if (!careless(p))
        sync_block();
    else if (thread_index() == 0)
        store_release(p.words + 1, 1);
    else
        while (__atomic_load_n(p.words + 1, __ATOMIC_RELAXED) < 1)
            emu_word_wait(p.words + 1, 1, emu_site{__FILE__, __LINE__});
    mbar_arrive(bar);
    mbar_wait(bar, 0);
}

VG_KERNEL(mbar_waited, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index();
    if (i == 0)
        mbar_init(bar, 64);
    sync_block();
    for (uint32_t round = 0; round < 3; round++) {
        slots[i] = 1;
        mbar_arrive(bar);
        if (!careless(p))
            mbar_wait(bar, round % 2);
        p.numbers[i] = slots[i ^ 1];
        if (careless(p))
            mbar_wait(bar, round % 2);
        sync_block();
    }
}

/* The store is on its way until its barrier says so. */
VG_KERNEL(store_waited, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index();
    if (i == 0) {
        mbar_init(bar, 1);
        mbar_init_fence();
        mbar_arrive_expect(bar, 4 * block_threads());
    }
    sync_cluster();
    remote_store_async<1>(slots + i, bar, cluster_rank() ^ 1, &pushed);
    if (!careless(p))
        mbar_wait(bar, 0);
    p.numbers[grid_index()] = slots[i];
    mbar_wait(bar, 0);
    sync_cluster();
}

/* The next store comes while the last one's value is still read. */
VG_KERNEL(store_again, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slots, MOST);
    uint32_t i = thread_index();
    if (i == 0) {
        mbar_init(bar, 1);
        mbar_init_fence();
    }
    sync_cluster();
    for (uint32_t round = 0; round < 4; round++) {
        if (i == 0)
            mbar_arrive_expect(bar, 4 * block_threads());
        remote_store_async<1>(slots + i, bar, cluster_rank() ^ 1, &pushed);
        mbar_wait(bar, round % 2);
        p.numbers[grid_index()] = slots[i];
        if (!careless(p))
            sync_cluster();
    }
    sync_cluster();
}

VG_KERNEL(copy_shown, MOST, trial_args)
{
    VG_DYNAMIC_SHARED(raw);
    float *slots = (float *)(void *)raw;
    uint32_t i = thread_index();
    copy_async(slots + 4 * i, p.numbers + 4 * i);
    copy_async_commit();
    copy_async_wait<0>();
    if (!careless(p))
        sync_block();
    p.numbers[512 + i] = slots[4 * (i ^ 1)];
}

/* Two launches in one stream are ordered. */
VG_KERNEL(launches_in_order, MOST, trial_args)
{
    p.numbers[thread_index()] += 1;
    if (careless(p))
        p.numbers[thread_index() ^ 1] += 1;
}

struct trial {
    vg_kernel kernel;
    trial_shape shape;
    int launches = 1;
};

#define K(name) VG_KERNEL_ENTRY(name, MOST, trial_args)

static const trial *all(size_t *count)
{
    static const trial trials[] = {
        {K(block_barrier), {2, 64, 0, 0, false}},  {K(second_barrier), {1, 64, 0, 0, false}},
        {K(warp_barrier), {1, 32, 0, 0, false}},   {K(named_barrier), {1, 64, 0, 0, false}},
        {K(blocks_apart), {7, 32, 0, 0, false}},   {K(flag_published), {2, 32, 0, 0, true}},
        {K(flag_seen), {2, 32, 0, 0, true}},       {K(flag_relaxed), {2, 1, 0, 0, true}},
        {K(release_sequence), {3, 1, 0, 0, true}}, {K(cluster_barrier), {2, 32, 2, 0, false}},
        {K(mbar_made), {1, 64, 0, 0, false}},      {K(mbar_waited), {1, 64, 0, 0, false}},
        {K(store_waited), {2, 32, 2, 0, false}},   {K(store_again), {2, 32, 2, 0, false}},
        {K(copy_shown), {1, 32, 0, 2048, false}},  {K(launches_in_order), {1, 32, 0, 0, false}, 2},
    };
    *count = sizeof trials / sizeof trials[0];
    return trials;
}

/* In the child: 0, or what ThreadSanitizer exits with. */
static int run(const trial *t, emu_policy policy, bool is_careless)
{
    trial_args args = trial_begin(policy, 1);
    uint32_t one = is_careless;
    assert_int_equal(cudaMemcpy(args.words, &one, sizeof one, cudaMemcpyHostToDevice), cudaSuccess);
    for (int i = 0; i < t->launches; i++)
        trial_launch(t->kernel, t->shape, args);
    trial_end(args);
    return 0;
}

/* The exit status of this program, called for one kernel. */
static int exit_of(const char *self, size_t index, int policy, bool is_careless)
{
    char number[32], which[32];
    snprintf(number, sizeof number, "%zu", index);
    snprintf(which, sizeof which, "%d", 2 * policy + is_careless);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const char *options = getenv("TSAN_OPTIONS");
        char all_options[1024];
        snprintf(all_options, sizeof all_options, "%s atexit_sleep_ms=0", options ? options : "");
        setenv("TSAN_OPTIONS", all_options, 1);
        int nowhere = open("/dev/null", O_WRONLY);
        if (is_careless && nowhere >= 0)
            dup2(nowhere, 2);
        execl(self, self, number, which, (char *)nullptr);
        _exit(127);
    }
    int status = 0;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void races(void **state)
{
    const char *self = (const char *)*state;
    size_t count;
    const trial *trials = all(&count);
    for (size_t i = 0; i < count; i++)
        for (int policy : {EMU_FIFO, EMU_RANDOM}) {
            int right = exit_of(self, i, policy, false), wrong = exit_of(self, i, policy, true);
            if (right != 0)
                fail_msg("%s, policy %d: no race, but exit status %d", trials[i].kernel.name,
                         policy, right);
            if (wrong != RACED)
                fail_msg("%s, policy %d: a race, but exit status %d", trials[i].kernel.name, policy,
                         wrong);
        }
}

int main(int argc, char **argv)
{
    size_t count;
    const trial *trials = all(&count);
    if (argc == 3) {
        size_t index = strtoul(argv[1], nullptr, 10);
        int which = atoi(argv[2]);
        return index < count ? run(&trials[index], (emu_policy)(which / 2), which % 2) : 2;
    }
#ifndef __SANITIZE_THREAD__
    printf("skipped: built without ThreadSanitizer\n");
    return 77;
#endif
    static char self[] = "/proc/self/exe";
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(races, self)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
