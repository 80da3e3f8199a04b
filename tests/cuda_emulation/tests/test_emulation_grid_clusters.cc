/* What the emulation objects to in a cluster: each report once, under every policy, with the place
 * in this file. */
#include "grid_trial.h"

#include <cstdio>
#include <cstring>

static const float pushed = 1;

enum { MOST = 64 };

VG_KERNEL(arrives_twice, MOST, trial_args)
{
    cluster_arrive();
    cluster_arrive();
}

VG_KERNEL(waits_only, MOST, trial_args)
{
    cluster_wait();
}

VG_KERNEL(ends_before_the_cluster, MOST, trial_args)
{
    if (cluster_rank() || thread_index())
        sync_cluster();
}

VG_KERNEL(no_such_rank, MOST, trial_args)
{
    VG_SHARED(float, slot, 1);
    sync_cluster();
    remote_store(slot, cluster_blocks(), 1);
}

VG_KERNEL(too_early, MOST, trial_args)
{
    VG_SHARED(float, slot, 1);
    remote_store(slot, cluster_rank() ^ 1, 1);
    sync_cluster();
}

VG_KERNEL(too_late, MOST, trial_args)
{
    VG_SHARED(float, slot, 1);
    sync_cluster();
    if (cluster_rank() == 0) {
        wait_at_least(p.words, 1);
        p.numbers[0] = remote_load(slot, 1);
    } else {
        slot[0] = 1;
        store_release(p.words, 1);
    }
}

VG_KERNEL(not_shared, MOST, trial_args)
{
    sync_cluster();
    remote_store(p.numbers, 0, 1);
}

VG_KERNEL(no_barrier_there, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    bar[0] = 1;
    mbar_arrive(bar);
}

VG_KERNEL(overwritten, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 2);
    bar[0] = 0;
    mbar_arrive(bar);
}

VG_KERNEL(made_twice, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 1);
    mbar_init(bar, 1);
}

VG_KERNEL(for_no_one, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 0);
}

VG_KERNEL(crooked, MOST, trial_args)
{
    VG_DYNAMIC_SHARED(raw);
    uintptr_t at = (uintptr_t)raw + 4;
    mbar_init((uint64_t *)at, 1);
}

VG_KERNEL(one_too_many, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    if (thread_index() == 0) {
        mbar_init(bar, 1);
        mbar_arrive_expect(bar, 4);
        mbar_arrive(bar);
    }
}

VG_KERNEL(too_many_bytes, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 1);
    mbar_arrive_expect(bar, 1 << 20);
}

VG_KERNEL(third_parity, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 1);
    mbar_wait(bar, 2);
}

VG_KERNEL(never_complete, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 2);
    mbar_arrive(bar);
    mbar_wait(bar, 0);
}

/* 12 bytes expected, 8 come: the phase cannot end. */
VG_KERNEL(bytes_differ, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slots, 2);
    mbar_init(bar, 1);
    mbar_init_fence();
    sync_cluster();
    mbar_arrive_expect(bar, 12);
    remote_store_async<1>(slots, bar, cluster_rank() ^ 1, &pushed);
    remote_store_async<1>(slots + 1, bar, cluster_rank() ^ 1, &pushed);
    mbar_wait(bar, 0);
    sync_cluster();
}

VG_KERNEL(not_fenced, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    mbar_init(bar, 1);
    sync_cluster();
    mbar_arrive_remote(bar, cluster_rank() ^ 1);
    sync_cluster();
}

VG_KERNEL(ends_under_a_store, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slot, 1);
    mbar_init(bar, 1);
    mbar_init_fence();
    sync_cluster();
    remote_store_async<1>(slot, bar, cluster_rank() ^ 1, &pushed);
    sync_cluster();
}

struct trial {
    vg_kernel kernel;
    trial_shape shape;
    const char *expected;
    bool has_place, random_may_not;
};

#define K(name) VG_KERNEL_ENTRY(name, MOST, trial_args)
#define PAIR                                                                                       \
    {                                                                                              \
        4, 1, 2, 0, false                                                                          \
    }
#define ALONE                                                                                      \
    {                                                                                              \
        1, 1, 0, 0, false                                                                          \
    }

static const trial *all(size_t *count)
{
    static const trial trials[] = {
        {K(arrives_twice), PAIR, "cluster_arrive twice", true, false},
        {K(waits_only), PAIR, "cluster_wait without cluster_arrive", true, false},
        {K(ends_before_the_cluster), {2, 4, 2, 0, false}, " ended", false, false},
        {K(no_such_rank), PAIR, "rank 2 of a cluster of 2", true, false},
        {K(too_early), PAIR, "no cluster barrier so far", true, false},
        {K(too_late), {2, 1, 2, 0, false}, "rank 1 has ended", true, true},
        {K(not_shared), PAIR, "is not shared memory of this block", true, false},
        {K(no_barrier_there), ALONE, "mbar_init has not made it", true, false},
        {K(overwritten), ALONE, "or it was overwritten", true, false},
        {K(made_twice), ALONE, "mbar_init of one that is in use", true, false},
        {K(for_no_one), ALONE, "0 arrivals", true, false},
        {K(crooked), {1, 1, 0, 64, false}, "not aligned", true, false},
        {K(one_too_many), ALONE, "all 1 arrivals of this phase have come", true, false},
        {K(too_many_bytes), ALONE, "1048576 bytes", true, false},
        {K(third_parity), ALONE, "parity 2", true, false},
        {K(never_complete), ALONE, "waits: mbar_wait at", true, false},
        {K(bytes_differ), PAIR, "waits: mbar_wait at", true, false},
        {K(not_fenced), PAIR, "made it without mbar_init_fence", true, false},
        {K(ends_under_a_store),
         {2, 1, 2, 0, false},
         "a remote_store_async to it is on its way",
         false,
         true},
    };
    *count = sizeof trials / sizeof trials[0];
    return trials;
}

struct launch_of {
    const trial *what;
    trial_args args;
};

static void launch(void *context)
{
    launch_of *l = (launch_of *)context;
    trial_launch(l->what->kernel, l->what->shape, l->args);
}

/* Whether it was reported. */
static bool is_reported(const trial *t, emu_policy policy, uint64_t seed)
{
    char report[4096];
    launch_of l = {t, trial_begin(policy, seed)};
    bool reported = emu_expect(launch, &l, report, sizeof report);
    const char *wanted[] = {t->kernel.name, t->expected,
                            t->has_place ? "test_emulation_grid_clusters.cc:" : nullptr};
    for (const char *part : wanted)
        if (reported && part && !strstr(report, part))
            fail_msg("%s, policy %d, seed %d: \"%s\" is not in:\n%s", t->kernel.name, (int)policy,
                     (int)seed, part, report);
    trial_end(l.args);
    return reported;
}

static void reports(void **)
{
    size_t count;
    const trial *trials = all(&count);
    for (size_t i = 0; i < count; i++)
        for (int policy = 0; policy < EMU_POLICY_COUNT; policy++) {
            const int seeds = 8;
            int reported = 0;
            for (uint64_t seed = 1; seed <= seeds; seed++)
                reported += is_reported(&trials[i], (emu_policy)policy, seed);
            /* Some depend on the schedule: several seeds find them. */
            bool may_not = trials[i].random_may_not && policy != EMU_FIFO;
            if (reported < (may_not ? 1 : seeds))
                fail_msg("%s, policy %d: reported by %d of %d seeds", trials[i].kernel.name, policy,
                         reported, seeds);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reports)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
