/* Schedules: the same seed gives the same, seeds and policies differ, blocks of a plain grid come
 * in any order; what is fresh is NaN; asynchronous work lands late. */
#include "grid_trial.h"

#include <cmath>
#include <cstdio>
#include <cstring>

static const float pushed = 1;

enum { MOST = 64 };

/* Everyone writes down when it comes by: before and after a barrier of its block. */
VG_KERNEL(writes_its_name, MOST, trial_args)
{
    for (uint32_t round = 0; round < 2; round++) {
        uint32_t at = add_acq_rel(p.words, 1);
        p.words[1 + at] = (uint32_t)grid_index();
        sync_block();
    }
}

struct passage {
    uint32_t words[TRIAL_WORDS];
};

static passage schedule(emu_policy policy, uint64_t seed, bool cooperative)
{
    passage read;
    trial_args args = trial_begin(policy, seed);
    trial_launch(VG_KERNEL_ENTRY(writes_its_name, MOST, trial_args),
                 trial_shape{8, 48, 0, 0, cooperative}, args);
    trial_read(args.words, read.words);
    trial_end(args);
    assert_int_equal(read.words[0], 8 * 48 * 2);
    return read;
}

static bool differ(const passage &a, const passage &b)
{
    return memcmp(&a, &b, sizeof a) != 0;
}

static void seeds(void **)
{
    for (bool cooperative : {false, true})
        for (int i = 0; i < EMU_POLICY_COUNT; i++) {
            emu_policy policy = (emu_policy)i;
            passage one = schedule(policy, 1, cooperative), two = schedule(policy, 2, cooperative);
            if (differ(one, schedule(policy, 1, cooperative)))
                fail_msg("policy %d: seed 1 gives two schedules", i);
            bool drawn = policy == EMU_RANDOM || policy == EMU_SKEWED;
            if (drawn && !differ(one, two))
                fail_msg("policy %d: seeds 1 and 2 give one schedule", i);
            for (int k = 0; k < i; k++)
                if (!differ(one, schedule((emu_policy)k, 1, cooperative)))
                    fail_msg("policies %d and %d give one schedule", k, i);
        }
}

/* First in, first out: the blocks in order, the threads of a block in order; the last at a barrier
 * is the first to leave it. */
static void in_order(void **)
{
    passage read = schedule(EMU_FIFO, 1, false);
    for (uint32_t i = 0; i < 8 * 48 * 2; i++)
        assert_int_equal(read.words[1 + i], i / 96 * 48 + (i % 96 < 48 ? i : i + 47) % 48);
}

/* A block far ahead: somewhere a block ends before another has begun. */
static void skewed(void **)
{
    uint32_t far = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        passage read = schedule(EMU_SKEWED, seed, true);
        uint32_t last = read.words[1 + 95] / 48, begun = 0;
        for (uint32_t i = 0; i < 96; i++)
            begun |= 1u << read.words[1 + i] / 48;
        far += __builtin_popcount(begun) <= 2 && last < 8;
    }
    assert_true(far > 0);
}

/* What is read before it is written, in static and in dynamic memory, as float and as double. */
VG_KERNEL(reads_fresh, MOST, trial_args)
{
    VG_SHARED(float, fixed, 8);
    VG_SHARED(double, wide, 4);
    VG_DYNAMIC_SHARED(raw);
    float *out = p.numbers + 3 * block_index();
    out[0] = fixed[3];
    out[1] = (float)wide[2];
    out[2] = ((float *)(void *)raw)[5];
    fixed[3] = 1;
    wide[2] = 1;
}

static void fresh_is_nan(void **)
{
    float read[TRIAL_WORDS];
    trial_args args = trial_begin(EMU_FIFO, 1);
    for (uint32_t blocks : {1u, 3u}) {
        trial_launch(VG_KERNEL_ENTRY(reads_fresh, MOST, trial_args),
                     trial_shape{blocks, 1, 0, 64, false}, args);
        trial_read(args.numbers, read);
        for (uint32_t i = 0; i < 3 * blocks; i++)
            assert_true(std::isnan(read[i]));
    }
    trial_end(args);
}

typedef pack<float, 4> four;

/* Without the wait the copy is not there yet, in some schedule; with it, always. */
VG_KERNEL(looks_too_early, MOST, trial_args)
{
    VG_SHARED(four, slot, 1);
    slot[0].v[0] = 7;
    copy_async(slot, p.numbers);
    copy_async_commit();
    p.numbers[16] = slot[0].v[0];
    copy_async_wait<1>();
    p.numbers[17] = slot[0].v[0];
    copy_async_wait<0>();
    p.numbers[18] = slot[0].v[0];
}

/* A store to the other block before its barrier says so. */
VG_KERNEL(peeks, MOST, trial_args)
{
    VG_SHARED(uint64_t, bar, 1);
    VG_SHARED(float, slot, 1);
    float *numbers = p.numbers + 32 + 2 * cluster_rank();
    slot[0] = 7;
    mbar_init(bar, 1);
    mbar_init_fence();
    sync_cluster();
    mbar_arrive_expect(bar, 4);
    remote_store_async<1>(slot, bar, cluster_rank() ^ 1, &pushed);
    numbers[0] = slot[0];
    mbar_wait(bar, 0);
    numbers[1] = slot[0];
    sync_cluster();
}

static void asynchronous(void **)
{
    for (int policy = 0; policy < EMU_POLICY_COUNT; policy++) {
        int late = 0, later = 0, early = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) {
            float read[TRIAL_WORDS];
            trial_args args = trial_begin((emu_policy)policy, seed);
            trial_launch(VG_KERNEL_ENTRY(looks_too_early, MOST, trial_args),
                         trial_shape{1, 1, 0, 0, false}, args);
#ifndef __SANITIZE_THREAD__
            trial_launch(VG_KERNEL_ENTRY(peeks, MOST, trial_args), trial_shape{2, 1, 2, 0, false},
                         args);
#endif
            trial_read(args.numbers, read);
            late += read[16] == 7;
            early += read[16] == 0;
            later += read[32] == 7;
            assert_true(read[17] == read[16] && read[18] == 0);
#ifndef __SANITIZE_THREAD__
            assert_true(read[33] == 1 && read[35] == 1);
#endif
            trial_end(args);
        }
        bool drawn = policy == EMU_RANDOM || policy == EMU_SKEWED;
        assert_int_equal(late + early, 20);
        assert_true(late > 0 && (!drawn || early > 0));
#ifndef __SANITIZE_THREAD__
        assert_true(later > 0);
#endif
        (void)later;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds), cmocka_unit_test(in_order),
                                       cmocka_unit_test(skewed), cmocka_unit_test(fresh_is_nan),
                                       cmocka_unit_test(asynchronous)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
