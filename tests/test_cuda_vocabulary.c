/* Every word of device.cuh that any chip has, in a kernel of its own or two: what it gives. On a
 * GPU these are the tests of its PTX, in the emulation those of the emulation. */
#include "vocabulary_trial.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void check_shared(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t n = t->threads;
    for (uint32_t i = 0; i < n; i++) {
        same(t, "static", i, got[i], in[n - 1 - i]);
        same(t, "dynamic", i, got[n + i], 2 * in[(i + 1) % n]);
        same(t, "alignment", i, got[2 * n + i], 0);
    }
}

static void check_named(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t half = t->threads / 2;
    for (uint32_t i = 0; i < t->threads; i++) {
        const uint32_t part = i / half, moved = t->rounds + 3 * part;
        same(t, "named", i, got[i], in[part * half + (i + moved) % half]);
    }
}

static int64_t value_of(uint32_t type, uint32_t lane)
{
    const int64_t values[6] = {2 * lane + 1,
                               2 * lane + 1,
                               -(int64_t)lane,
                               0xf0000000 + (int64_t)lane,
                               -((int64_t)1 << 40) - lane,
                               ((int64_t)1 << 62) + lane};
    return values[type];
}

static void check_warp(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)in, (void)words;
    const int64_t *got = out;
    for (uint32_t type = 0; type < 6; type++)
        for (uint32_t lane = 0; lane < 32; lane++) {
            const uint32_t from[3] = {(lane + 5) % 32, lane ^ 25, lane + 7 < 32 ? lane + 7 : lane};
            for (uint32_t k = 0; k < 3; k++)
                if (got[(type * 3 + k) * 32 + lane] != value_of(type, from[k]))
                    fail_msg("%s: type %u, exchange %u, lane %u: %lld, expected %lld", t->name,
                             type, k, lane, (long long)got[(type * 3 + k) * 32 + lane],
                             (long long)value_of(type, from[k]));
        }
}

static void check_masks(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)in, (void)words;
    const uint32_t *got = out;
    uint32_t thirds = 0, fifths = 0, sevenths = 0;
    for (uint32_t i = 0; i < 32; i++) {
        thirds |= (uint32_t)(i < 16 && i % 3 == 0) << i;
        fifths |= (uint32_t)(i >= 16 && i % 5 == 0) << i;
        sevenths |= (uint32_t)(i % 7 == 1) << i;
    }
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t other = i ^ (i < 16 ? 3u : 6u);
        same(t, "ballot of a half", i, got[i], i < 16 ? thirds : fifths);
        same(t, "shuffle_xor", i, got[32 + i], other * other);
        same(t, "shuffle_down", i, got[64 + i], i % 16 < 12 ? i + 104 : 0);
        same(t, "sync_warp", i, got[96 + i], (i ^ 1) + 7);
        same(t, "ballot", i, got[128 + i], sevenths);
    }
}

static uint16_t narrow(float x)
{
    const uint32_t bits = bits_of(x);
    if (isnan(x))
        return (uint16_t)((bits | 0x400000) >> 16);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widen(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

/* To nearest, ties away from zero. */
static float tf32(float x)
{
    if (!isfinite(x))
        return x;
    uint32_t bits = (bits_of(x) + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* NaN for NaN; a conversion may choose its payload. */
static void same_bits(const trial *t, const char *what, uint64_t i, uint32_t got, float expected)
{
    float value;
    memcpy(&value, &got, sizeof value);
    if (got != bits_of(expected) && !(isnan(value) && isnan(expected)))
        fail_msg("%s: %s [%llu]: %08x (%.9g), expected %08x (%.9g)", t->name, what,
                 (unsigned long long)i, got, (double)value, bits_of(expected), (double)expected);
}

static void check_numbers(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    static const float table[4] = {1, -2, 0.5f, 1e30f};
    const uint32_t *got = out, n = t->threads;
    for (uint32_t i = 0; i < n; i++) {
        const float x = in[i], square = x * x;
        same_bits(t, "float_bits", i, got[i], x);
        same_bits(t, "bits_float", i, got[n + i], -x);
        same_bits(t, "round_tf32", i, got[2 * n + i], tf32(x));
        same_bits(t, "round_once", i, got[3 * n + i], (float)((double)x * (1 + 0x1p-30)));
        same_bits(t, "from_float", i, got[4 * n + i] << 16, widen(narrow(x)));
        same_bits(t, "to_float", i, got[5 * n + i], widen(narrow(x)));
        same_bits(t, "fmaf", i, got[6 * n + i], fmaf(x, x, -0.7f));
        same_bits(t, "constant, no fma", i, got[7 * n + i], square + table[i % 4]);
    }
}

static void check_packs(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const uint16_t *got = out;
    const float *wide = (const float *)out + 2 * t->threads;
    for (uint32_t i = 0; i < 4 * t->threads; i++) {
        same_bits(t, "store_pack", i, (uint32_t)got[i] << 16, widen(narrow(in[i])));
        same_bits(t, "load_pack", i, bits_of(wide[i]), widen(narrow(in[i])));
    }
}

static void check_flag(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    const float *got = out;
    same(t, "the flag", 0, words[1], 5);
    for (uint32_t i = 0; i < t->threads; i++)
        same(t, "seen after the flag", i, got[t->threads + i], 3 * in[(i + 1) % t->threads]);
}

static void check_grid_barrier(const trial *t, const float *in, const void *out,
                               const uint32_t *words)
{
    const float *got = out;
    const uint32_t n = t->blocks * t->threads;
    same(t, "the count", 0, words[0], t->rounds * t->blocks);
    for (uint32_t i = 0; i < n; i++)
        same(t, "seen after the barrier", i, got[t->rounds % 2 * n + i],
             in[(i + t->rounds * t->threads) % n]);
}

static void check_add(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)in;
    const uint32_t *got = out, n = t->blocks * t->threads;
    bool seen[INPUTS] = {false};
    same(t, "the sum", 0, words[0], 3 * n);
    for (uint32_t i = 0; i < n; i++) {
        if (got[i] % 3 || got[i] / 3 >= n || seen[got[i] / 3])
            fail_msg("%s: thread %u found %u", t->name, i, got[i]);
        seen[got[i] / 3] = true;
    }
}

static void check_copy(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)words;
    const float *got = out;
    const uint32_t n = t->threads;
    for (uint32_t i = 0; i < 2 * n; i++) {
        const uint32_t from = i < n ? n - 1 - i : 3 * n - 1 - i;
        for (uint32_t k = 0; k < 4; k++)
            same(t, "copied", 4 * i + k, got[4 * i + k], in[4 * from + k]);
    }
}

/* Of the products' operands: small whole numbers, no two rows or columns alike. */
static double weight_of(uint32_t column, uint32_t depth)
{
    return (double)((column * 37 + depth * 11 + column * depth) % 29) - 14;
}
static double operand_of(uint32_t row, uint32_t depth)
{
    return (double)((row * 23 + depth * 13 + row * depth) % 31) - 15;
}

static void check_mma(const trial *t, const float *in, const void *out, const uint32_t *words)
{
    (void)in, (void)words;
    static const char *const kinds[] = {"mma_tf32", "mma_bf16", "mma_step, fp32", "mma_step, bf16"};
    static const uint32_t depths[] = {8, 16, 16, 32};
    const float *got = out;
    for (uint32_t kind = 0; kind < 4; kind++)
        for (uint32_t column = 0; column < 16; column++)
            for (uint32_t row = 0; row < 8; row++, got++) {
                double sum = kind < 2 ? (double)(column * 8 + row) : 0;
                for (uint32_t k = 0; k < depths[kind]; k++)
                    sum += weight_of(column, k) * operand_of(row, k);
                same(t, kinds[kind], column * 8 + row, got[0], sum);
            }
    /* tf32 takes what is given as it is, rounded by mma_pack() or cut off by the product. */
    same(t, "an operand that was rounded", 0, got[0], 8 * (1 + 0x1p-10));
    same(t, "an operand that was not", 0, got[1], 8);
}

static const trial trials[] = {
    {"indexes", VOCABULARY_INDEXES, 5, 70, 0, 0, 0, false, check_indexes},
    {"shared memory", VOCABULARY_SHARED, 1, 96, 0, 0, 96 * 4, false, check_shared},
    {"named barriers", VOCABULARY_NAMED, 1, 128, 0, 4, 0, false, check_named},
    {"shuffles", VOCABULARY_WARP, 1, 32, 0, 0, 0, false, check_warp},
    {"masks", VOCABULARY_MASKS, 1, 32, 0, 0, 0, false, check_masks},
    {"numbers", VOCABULARY_NUMBERS, 1, 128, 0, 0, 0, false, check_numbers},
    {"packs", VOCABULARY_PACKS, 1, 128, 0, 0, 0, false, check_packs},
    {"a flag", VOCABULARY_FLAG, 2, 128, 0, 0, 0, true, check_flag},
    {"a barrier of the grid", VOCABULARY_GRID_BARRIER, 4, 128, 0, 5, 0, true, check_grid_barrier},
    {"add_acq_rel", VOCABULARY_ADD, 7, 100, 0, 0, 0, false, check_add},
    {"copy_async", VOCABULARY_COPY, 1, 128, 0, 0, 0, false, check_copy},
    {"tensor cores", VOCABULARY_MMA, 1, 32, 0, 0, 0, false, check_mma},
};

static void every_word(void **state)
{
    (void)state;
    trials_run_all(trials, sizeof trials / sizeof trials[0]);
}

int main(void)
{
    return trials_main(every_word, 0);
}
