/* Recurrent models whose layers run in pieces, in every regime: on the emulated GPU the bits of the
 * layers run whole, whatever goes first; on another, whose library may multiply fewer rows in
 * another order, the oracle judges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"
#endif

static const char *const cases[] = {
    "rnn-tanh/d3/w9/i5/b3/t7/fp32/uniform/at-all/seed1",
    "lstm/d2/w12/i7/o3/b2/t6/bf16/uniform/clip0.1/seed2",
    "gru/d5/w6/i9/b2/t5/tf32/uniform/h0-0.5/seed2",
    "lstm/d1/w8/b2/t4/fp32/uniform/seed3",
};
enum { CASES = sizeof cases / sizeof *cases };
static const char *const scans[] = {"L", "M", "S", "C"};

static void load(run_model *run, const char *name, const char *scan, const char *pieces)
{
    const vg_setting settings[] = {{"scan", scan}, {"pieces", pieces}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    run_load(run, name, CUDA_DEVICE, &options, 0);
}

#if defined(VG_CUDA_EMULATED)
static void same_bits(const run_model *a, const run_model *b, const char *what)
{
    for (uint32_t i = 0; i < a->program->tensor_count; i++) {
        const vg_tensor *t = &a->program->tensors[i];
        double *x = run_read(a, t->name), *y = run_read(b, t->name);
        if (memcmp(x, y, run_elements(t) * sizeof *x) != 0)
            fail_msg("%s: other bits in %s: %s", a->name, t->name, what);
        free(x);
        free(y);
    }
    if (memcmp(a->slots, b->slots, a->program->slot_count * sizeof *a->slots) != 0)
        fail_msg("%s: other bits in the slots: %s", a->name, what);
}

static void run_set(run_model *run, unsigned passes, uint32_t times)
{
    double seconds = -1;
    run_try(run, "run", run->driver->run(run->exec, passes, times, &seconds));
    run_try(run, "slots", run->driver->slots(run->exec, run->slots));
}

static void whole_and_cut(const char *name, const char *scan, const char *pieces, int policy)
{
    run_model whole, cut;
    char what[96], words[256];
    emu_settings settings = emu_defaults();
    settings.policy = (emu_policy)policy;
    settings.seed = (uint64_t)policy + strlen(name);
    assert_int_equal(emu_reset(&settings), 0);
    snprintf(what, sizeof what, "scan=%s in %s pieces, policy %d", scan, pieces, policy);
    load(&whole, name, scan, "1");
    load(&cut, name, scan, pieces);
    run_try(&cut, "choice", cut.driver->choice(cut.exec, words, sizeof words));
    assert_non_null(strstr(words, " pieces="));
    run_passes(&whole, RUN_ALL);
    run_passes(&cut, RUN_ALL);
    same_bits(&whole, &cut, what);
    run_set(&cut, VG_PASSES_TRAIN, 3);
    run_set(&cut, VG_PASSES_BWD | VG_PASS_LOSS, 2); /* issued one by one */
    run_set(&cut, VG_PASS_FWD, 1);
    same_bits(&whole, &cut, what);
    run_free(&whole);
    run_free(&cut);
}

static void test_pieces(void **unused)
{
    (void)unused;
    for (int i = 0; i < CASES; i++)
        for (int n = 0; n < 4; n++)
            whole_and_cut(cases[i], scans[n], (i + n) % 2 ? "4" : "2", (i + n) % EMU_POLICY_COUNT);
    const emu_settings usual = emu_defaults();
    assert_int_equal(emu_reset(&usual), 0);
}
#else
static void test_pieces(void **unused)
{
    (void)unused;
    for (int i = 0; i < CASES; i++)
        for (int n = 0; n < 4; n++) {
            run_model run;
            if (cuda_refuses(cases[i], scans[n]))
                continue;
            load(&run, cases[i], scans[n], "4");
            run_passes(&run, RUN_ALL);
            run_passes(&run, RUN_ALL);
            cuda_check(&run, 0);
            run_free(&run);
        }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
    };
    CUDA_TESTS(tests);
}
