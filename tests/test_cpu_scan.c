/* Ways to share recurrent layers out among threads: the same bits as one thread has, whichever it
 * is and whatever ran before. What one thread computes is verified by test_cpu_device.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cpu_features.h"
#include "run_model.h"
#include "verify.h"

static const struct {
    const char *name;
    bool waves; /* has layers and steps enough for a wavefront of two threads */
} cases[] = {
    {"rnn-tanh/d2/w255/b3/t24/fp32/uniform/seed1", true},
    {"rnn-relu/d3/w17/i5/o3/b3/t64/fp32/uniform/clip0.01/at-all/seed2", true},
    {"lstm/d2/w255/b1/t64/fp32/uniform/seed3", true},
    {"lstm/d5/w17/b3/t77/fp32/uniform/at-all/seed4", true},
    {"gru/d2/w20/i7/b40/t6/fp32/uniform/seed5", true}, /* a chunk a step */
    {"gru/d2/w255/b1/t65/fp32/uniform/h0-0.5/seed6", true},
    {"gru/d5/w1/b1/t128/fp32/uniform/seed7", true},
    {"lstm/d3/w17/b3/t2/fp32/uniform/seed8", false},
    {"gru/d2/w17/b3/t1/fp32/uniform/seed9", false},
    {"lstm/d1/w17/b3/t64/fp32/uniform/seed9", false},
    {"rnn-tanh/d2/w17/b3/t70/bf16/uniform/seed1", true},
    {"lstm/d3/w130/b1/t66/bf16/uniform/at-all/seed2", true},
    {"gru/d5/w17/b3/t64/bf16/uniform/seed3", true},
#if !defined(__SANITIZE_THREAD__) /* which shorter ones tell as much */
    {"rnn-tanh/d2/w17/b3/t777/fp32/uniform/seed9", true},
    {"lstm/d2/w17/b1/t777/fp32/uniform/seed9", true},
    {"gru/d3/w17/b3/t777/fp32/uniform/seed9", true},
#endif
};
/* Emulated: a few. */
#if defined(VG_EMULATED)
enum { CASES = sizeof cases / sizeof *cases, CASE_STEP = 4 };
#else
enum { CASES = sizeof cases / sizeof *cases, CASE_STEP = 1 };
#endif

static void bits_check(run_model *a, run_model *b, const char *what)
{
    uint64_t x, y;
    run_try(a, "checksum", vg_checksum(a->driver, a->exec, a->program, &x));
    run_try(b, "checksum", vg_checksum(b->driver, b->exec, b->program, &y));
    if (x != y || memcmp(a->slots, b->slots, a->program->slot_count * sizeof *a->slots) != 0) {
        char choice[64];
        b->driver->choice(b->exec, choice, sizeof choice);
        fail_msg("%s on %s, %u threads, %s: other bits, %s", b->name, b->on, b->applied.threads,
                 choice, what);
    }
}

/* Passes alone, two at a time that share packed weights, and all that are timed, twice. */
static void ways_check(run_model *one, run_model *other)
{
    static const unsigned sets[] = {VG_PASS_BWD_DATA | VG_PASS_PROBE, VG_PASSES_TRAIN};
    double seconds;
    run_passes(other, RUN_ALL);
    bits_check(one, other, "pass by pass");
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        run_try(other, "run", other->driver->run(other->exec, sets[i], 2, &seconds));
        run_try(other, "slots", other->driver->slots(other->exec, other->slots));
        bits_check(one, other, i ? "passes that are timed together" : "PROBE after BWD_DATA");
    }
}

static void choice_check(const run_model *run, bool waves)
{
    char choice[64];
    run_try(run, "choice", run->driver->choice(run->exec, choice, sizeof choice));
    if ((strstr(choice, "scan=layers") != NULL) != waves)
        fail_msg("%s on %s: %s, and a wavefront is %s", run->name, run->on, choice,
                 waves ? "asked for" : "not possible");
}

static void case_check(size_t index, const char *device)
{
    static const char *const splits[] = {"units", "batch", "auto"};
    const char *name = cases[index].name;
    run_model one, other;
    run_start(&one, name, device);
    for (uint32_t threads = 2; threads <= 3; threads++)
        for (int layers = 0; layers < 2; layers++) {
            vg_setting settings[] = {{"scan", layers ? "layers" : splits[(index + threads) % 3]},
                                     {0}};
            vg_device_options options = {
                .threads = threads, .bind = VG_BIND_NONE, .settings = settings};
            run_load(&other, name, device, &options, 0);
            if (layers && threads == 2)
                choice_check(&other, cases[index].waves);
            ways_check(&one, &other);
            run_free(&other);
        }
    run_free(&one);
}

static bool computes_bf16(const char *device)
{
    vg_isa isa[VG_ISA_COUNT];
    vg_isa_list(isa);
    for (size_t i = 0; i < VG_ISA_COUNT; i++)
        if (strcmp(device + strlen("cpu."), isa[i].name) == 0)
            return isa[i].bf16 != NULL;
    return false;
}

/* Each case on one of the devices in turn, those of bf16 where it is computed. */
static void test_ways(void **unused)
{
    (void)unused;
    size_t turn = 0;
    for (size_t i = 0; i < CASES; i += CASE_STEP) {
        const char *device = NULL;
        for (size_t tried = 0; tried < run_usable_count && !device; tried++, turn++) {
            const char *next = run_usable[turn % run_usable_count];
            if (strcmp(next, "ref") != 0 &&
                (!strstr(cases[i].name, "/bf16/") || computes_bf16(next)))
                device = next;
        }
        if (device)
            case_check(i, device);
    }
}

/* Layers of one row: more inputs than find room beside the steps, and fewer, several blocks of K
 * both ways, last panels that are narrow, hardly enough steps, and more threads than have columns
 * of one product or of both. */
static const char *const beside_cases[] = {
#if !defined(__SANITIZE_THREAD__) /* which shorter ones tell as much */
    "rnn-relu/d1/w300/i37/b1/t95/fp32/uniform/seed1",
    "lstm/d1/w150/i530/b1/t49/fp32/uniform/at-all/seed2",
    "gru/d2/w144/i600/b1/t40/fp32/uniform/h0-0.5/seed3",
    "lstm/d1/w256/b1/t101/fp32/uniform/seed5",
#endif
    "gru/d1/w96/i7/b1/t50/fp32/uniform/clip0.01/seed4",
    "lstm/d2/w17/i100/b1/t55/fp32/uniform/seed6",
    "gru/d2/w1/i9/b1/t41/fp32/uniform/at-all/seed7",
};

/* The dense product beside the steps gives the bits that the two ops give one after the other. */
static void test_beside(void **unused)
{
    (void)unused;
    const char *device = "cpu.avx512";
    const uint32_t counts[] = {1, 2, 3, 5};
    bool usable = false;
    for (EACH_DEVICE(on))
        usable = usable || strcmp(on, device) == 0;
    for (size_t i = 0; usable && i < sizeof beside_cases / sizeof *beside_cases; i++) {
        vg_setting units[] = {{"scan", "units"}, {0}}, beside[] = {{"scan", "beside"}, {0}};
        vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = units};
        run_model one, other;
        run_load(&one, beside_cases[i], device, &options, 0);
        run_passes(&one, RUN_ALL);
        options.settings = beside;
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            char choice[64];
            options.threads = counts[c];
            run_load(&other, beside_cases[i], device, &options, 0);
            run_try(&other, "choice", other.driver->choice(other.exec, choice, sizeof choice));
            assert_string_equal(choice, "scan=beside");
            ways_check(&one, &other);
            run_free(&other);
        }
        run_free(&one);
    }
    if (!usable)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ways), cmocka_unit_test(test_beside)};
    return cmocka_run_group_tests(tests, run_find_devices, run_free_devices);
}
