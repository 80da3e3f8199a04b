/* The words of device.cuh that came with clusters of blocks (sm_90), as test_cuda_vocabulary.c has
 * the others. */
#include "vocabulary_trial.h"

/* The thread of the grid whose place in its block is i's, in the block `by` ranks on. */
static uint32_t on(const trial *t, uint32_t i, uint32_t by)
{
    const uint32_t block = i / t->threads, rank = block % t->cluster;
    return (block - rank + (rank + by) % t->cluster) * t->threads + i % t->threads;
}

static void check_cluster(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t n = t->blocks * t->threads;
    for (uint32_t i = 0; i < n; i++) {
        same(t, "remote_store", i, got[i], in[on(t, i, t->cluster - 1)]);
        same(t, "remote_load", i, got[n + i], 2 * in[on(t, i, 1)]);
    }
}

static void check_mbar(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t n = t->threads;
    for (uint32_t i = 0; i < t->blocks * n; i++)
        same(t, "seen after mbar_wait", i, got[i], in[i / n * n + (i + t->rounds) % n]);
}

static void check_mbar_remote(const trial *t, const float *in, const void *out,
                              const uint32_t *words)
{
    (void)words;
    const float *got = out;
    for (uint32_t b = 0; b < t->blocks; b++)
        for (uint32_t i = 0; i < t->threads; i++) {
            const bool given = b % t->cluster == 0 && i < t->cluster;
            same(t, "arrived", b * t->threads + i, got[b * t->threads + i], given ? in[b + i] : 0);
        }
}

static void check_async(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t back = (t->cluster - 1) * t->rounds % t->cluster;
    for (uint32_t i = 0; i < t->blocks * t->threads; i++) {
        float expected = in[on(t, i, back)];
        for (uint32_t r = 0; r < t->rounds; r++)
            expected += 1;
        same(t, "remote_store_async", i, got[i], expected);
    }
}

static const trial trials[] = {
    {"indexes of a cluster", VOCABULARY_INDEXES, 8, 70, 4, 0, 0, false, check_indexes},
    {"remote store and load", VOCABULARY_CLUSTER, 8, 64, 4, 0, 0, false, check_cluster},
    {"mbarrier", VOCABULARY_MBAR, 2, 128, 2, 5, 0, false, check_mbar},
    {"a remote mbarrier", VOCABULARY_MBAR_REMOTE, 8, 32, 8, 0, 0, false, check_mbar_remote},
    {"asynchronous stores", VOCABULARY_ASYNC, 8, 64, 4, 6, 0, false, check_async},
};

static void every_word(void **state)
{
    (void)state;
    trials_run_all(trials, sizeof trials / sizeof trials[0]);
}

int main(void)
{
    return trials_main(every_word, 9);
}
