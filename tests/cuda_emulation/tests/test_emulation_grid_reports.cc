/* What the emulation objects to in a block or a grid: each report once, under every policy, with
 * the place in this file. */
#include "grid_trial.h"

#include <cstdio>
#include <cstring>

#include "internal.h"

enum { MOST = 256 };

VG_KERNEL(waits_for_no_one, MOST, trial_args)
{
    wait_at_least(p.words, 1);
}

VG_KERNEL(waits_for_a_later_block, MOST, trial_args)
{
    if (block_index() + 1 < block_count())
        wait_at_least(p.words, 1);
    else
        store_release(p.words, 1);
}

VG_KERNEL(plain_flag, MOST, trial_args)
{
    if (thread_index() == 0)
        wait_at_least(p.words, 1);
    else
        p.words[0] = 1;
}

VG_KERNEL(ends_early, MOST, trial_args)
{
    if (thread_index() != 3)
        sync_block();
}

VG_KERNEL(diverges, MOST, trial_args)
{
    if (thread_index() < 32)
        sync_block();
    else
        sync_block();
}

VG_KERNEL(named_zero, MOST, trial_args)
{
    sync_named(0, 32);
}

VG_KERNEL(named_odd, MOST, trial_args)
{
    sync_named(1, 33);
}

VG_KERNEL(named_differ, MOST, trial_args)
{
    sync_named(1, thread_index() < 32 ? 64 : 96);
}

VG_KERNEL(named_half_warps, MOST, trial_args)
{
    if (thread_index() % 2)
        sync_named(1, 32);
}

VG_KERNEL(mask_without_self, MOST, trial_args)
{
    sync_warp(0xfffffffeu);
}

VG_KERNEL(mask_with_none, MOST, trial_args)
{
    sync_warp(ALL_LANES);
}

VG_KERNEL(mask_with_ended, MOST, trial_args)
{
    if (lane_index() != 7)
        sync_warp(ALL_LANES);
}

VG_KERNEL(masks_differ, MOST, trial_args)
{
    shuffle_xor(lane_index() < 16 ? ALL_LANES : 0xffff0001u, 1.f, 1);
}

VG_KERNEL(kinds_differ, MOST, trial_args)
{
    if (lane_index() == 0)
        ballot(ALL_LANES, true);
    else
        sync_warp(ALL_LANES);
}

VG_KERNEL(takes_from_outside, MOST, trial_args)
{
    if (lane_index() < 16)
        p.numbers[lane_index()] = shuffle(0xffffu, 1.f, 20);
}

VG_KERNEL(too_much_static, MOST, trial_args)
{
    VG_SHARED(double, large, 7000);
    large[thread_index()] = p.numbers[0];
}

VG_KERNEL(too_much_shared, MOST, trial_args)
{
    VG_SHARED(float, fixed, 32);
    VG_DYNAMIC_SHARED(raw);
    fixed[thread_index() % 32] = raw[0];
}

VG_KERNEL(no_dynamic, MOST, trial_args)
{
    VG_DYNAMIC_SHARED(raw);
    raw[thread_index()] = 1;
}

VG_KERNEL(word_is_shared, MOST, trial_args)
{
    VG_SHARED(uint32_t, word, 1);
    add_release(word, 1);
}

VG_KERNEL(word_is_crooked, MOST, trial_args)
{
    (void)load_acquire((const uint32_t *)(const void *)((const char *)p.words + 2));
}

VG_KERNEL(copies_crooked, MOST, trial_args)
{
    VG_SHARED(float, slots, 8);
    copy_async((void *)(((uintptr_t)slots + 15) / 16 * 16), p.numbers + 1);
}

VG_KERNEL(copies_to_global, MOST, trial_args)
{
    copy_async(p.numbers, p.numbers + 4);
}

VG_KERNEL(copies_from_shared, MOST, trial_args)
{
    VG_DYNAMIC_SHARED(raw);
    copy_async(raw, raw + 16);
}

struct trial {
    vg_kernel kernel;
    trial_shape shape;
    const char *expected, *also;
    bool has_place, only_fifo, races;
};

#define K(name)    VG_KERNEL_ENTRY(name, MOST, trial_args)
#define EVERYWHERE true, false, false

static const trial *all(size_t *count)
{
    static const trial trials[] = {
        {K(waits_for_no_one),
         {2, 40, 0, 0, true},
         "deadlock: all threads wait",
         "block 1 thread 0..39 waits: wait_at_least at",
         EVERYWHERE},
        {K(waits_for_a_later_block),
         {9, 1, 0, 0, false},
         "the launch is not cooperative",
         "block 0 thread 0 waits",
         true,
         true,
         false},
        {K(plain_flag),
         {1, 2, 0, 0, true},
         "a plain store wrote the word",
         "(1, wants 1)",
         true,
         true,
         true},
        {K(ends_early), {1, 64, 0, 0, false}, " ended", nullptr, EVERYWHERE},
        {K(diverges),
         {1, 64, 0, 0, false},
         "sync_block, while others of the block are at another",
         "waits: sync_block at",
         EVERYWHERE},
        {K(named_zero), {1, 32, 0, 0, false}, "barrier 0, expected 1..15", nullptr, EVERYWHERE},
        {K(named_odd),
         {1, 64, 0, 0, false},
         "33 threads, expected a multiple of 32",
         nullptr,
         EVERYWHERE},
        {K(named_differ), {1, 96, 0, 0, false}, "at barrier 1, others said", nullptr, EVERYWHERE},
        {K(named_half_warps),
         {1, 64, 0, 0, false},
         "of warp 0 are at barrier 1",
         nullptr,
         EVERYWHERE},
        {K(mask_without_self),
         {1, 1, 0, 0, false},
         "lane 0 is not in its own mask fffffffe",
         nullptr,
         EVERYWHERE},
        {K(mask_with_none),
         {1, 48, 0, 0, false},
         "not in the block: ffff0000",
         nullptr,
         EVERYWHERE},
        {K(mask_with_ended), {1, 32, 0, 0, false}, " ended", nullptr, EVERYWHERE},
        {K(masks_differ),
         {1, 32, 0, 0, false},
         "waits for this one with",
         "shuffle_xor at",
         EVERYWHERE},
        {K(kinds_differ), {1, 32, 0, 0, false}, "or in another collective", nullptr, EVERYWHERE},
        {K(takes_from_outside), {1, 32, 0, 0, false}, "takes from lane 20", nullptr, EVERYWHERE},
        {K(too_much_static),
         {1, 32, 0, 0, false},
         "56000 bytes in static arrays",
         nullptr,
         false,
         false,
         false},
        {K(too_much_shared),
         {1, 32, 0, 232448, false},
         "232576 bytes of shared memory",
         nullptr,
         false,
         false,
         false},
        {K(no_dynamic),
         {1, 32, 0, 0, false},
         "without dynamic shared memory",
         nullptr,
         false,
         false,
         false},
        {K(word_is_shared), {1, 1, 0, 0, false}, "is not device memory", nullptr, EVERYWHERE},
        {K(word_is_crooked), {1, 1, 0, 0, false}, "is not aligned", nullptr, EVERYWHERE},
        {K(copies_crooked), {1, 1, 0, 0, false}, "is not 16-aligned", nullptr, EVERYWHERE},
        {K(copies_to_global),
         {1, 1, 0, 0, false},
         "is not shared memory of this block",
         nullptr,
         EVERYWHERE},
        {K(copies_from_shared), {1, 1, 0, 64, false}, "is not device memory", nullptr, EVERYWHERE},
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
    if (l->what->shape.dynamic > 49152)
        cudaFuncSetAttribute(l->what->kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)l->what->shape.dynamic);
    trial_launch(l->what->kernel, l->what->shape, l->args);
}

static void expect_report(const trial *t, emu_policy policy, uint64_t seed)
{
    char report[4096];
    launch_of l = {t, trial_begin(policy, seed)};
    if (!emu_expect(launch, &l, report, sizeof report))
        fail_msg("%s, policy %d, seed %d: no report", t->kernel.name, (int)policy, (int)seed);
    const char *wanted[] = {t->kernel.name, t->expected, t->also,
                            t->has_place ? "test_emulation_grid_reports.cc:" : nullptr};
    for (const char *part : wanted)
        if (part && !strstr(report, part))
            fail_msg("%s, policy %d, seed %d: \"%s\" is not in:\n%s", t->kernel.name, (int)policy,
                     (int)seed, part, report);
    trial_end(l.args);
}

static void reports(void **)
{
    size_t count;
    const trial *trials = all(&count);
    for (size_t i = 0; i < count; i++)
        for (int policy = 0; policy < (trials[i].only_fifo ? 1 : EMU_POLICY_COUNT); policy++)
            for (uint64_t seed = 1; seed <= 3; seed++) {
#ifdef __SANITIZE_THREAD__
                if (trials[i].races)
                    continue;
#endif
                expect_report(&trials[i], (emu_policy)policy, seed);
            }
}

static emu_launch wrong_launch;

static void run_wrong(void *)
{
    emu_run(&wrong_launch);
}

/* What the runtime would have refused before. */
static void launches(void **)
{
    const vg_kernel known = K(waits_for_no_one);
    const emu_kernel *kernel = emu_kernel_find(known.function);
    trial_args args = {};
    assert_non_null(kernel);
    assert_null(emu_kernel_find(&args));
    const struct {
        emu_launch launch;
        const char *expected;
    } wrong[] = {
        {{nullptr, &args, 1, 32, 0, 0, false}, "no VG_KERNEL_ENTRY has named"},
        {{kernel, &args, 1, MOST + 1, 0, 0, false}, "its bounds say 256"},
        {{kernel, &args, 0, 32, 0, 0, false}, "0 blocks of 32 threads"},
        {{kernel, &args, 3, 32, 2, 0, false}, "no multiple of clusters of 2"},
        {{kernel, &args, 1, 32, 0, 232449, false}, "a block may have 232448"},
    };
    emu_reset(nullptr);
    for (const auto &w : wrong) {
        char report[4096];
        wrong_launch = w.launch;
        assert_true(emu_expect(run_wrong, nullptr, report, sizeof report));
        if (!strstr(report, w.expected))
            fail_msg("\"%s\" is not in: %s", w.expected, report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reports), cmocka_unit_test(launches)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
