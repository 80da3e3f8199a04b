/* The CUDA devices on whole recurrent models, in fp32, against the oracle, in every regime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

static const char *const cases[] = {
    "rnn-tanh/d1/w70/b3/t9/fp32/uniform/seed1",
    "rnn-relu/d2/w16/i5/o3/b1/t12/fp32/uniform/at-all/seed2",
    "rnn-sigmoid/d1/w40/b20/t4/fp32/uniform/seed3",
    "rnn-identity/d1/w8/b2/t40/fp32/orthogonal/seed3",
    "lstm/d1/w65/b2/t7/fp32/uniform/seed1",
    "lstm/d2/w20/i7/b20/t6/fp32/uniform/at-all/seed2",
    "lstm/d1/w33/b17/t5/fp32/uniform/h0-0.5/seed3",
    "gru/d1/w67/b4/t8/fp32/uniform/seed1",
    "gru/d2/w24/i9/o2/b10/t5/fp32/uniform/clip0.01/seed2",
    "gru/d1/w1/b1/t3/fp32/uniform/at-all/seed3",
    "lstm/d1/w1/b1/t1/fp32/uniform/seed4",
};

static void against_oracle(const char *scan)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cuda_against_oracle(cases[i], scan);
}

static void test_auto(void **unused)
{
    (void)unused;
    against_oracle("auto");
}

static void test_l(void **unused)
{
    (void)unused;
    against_oracle("L");
}

/* The regimes that need the weights to fit somewhere take what they can, and say why not. */
static void test_others(void **unused)
{
    (void)unused;
    static const char *const scans[] = {"M", "S", "C"};
    for (size_t n = 0; n < sizeof scans / sizeof *scans; n++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (cuda_refuses(cases[i], scans[n]))
                print_message("%s, scan=%s: %s\n", cases[i], scans[n], vg_reason());
            else
                cuda_against_oracle(cases[i], scans[n]);
        }
}

/* EXACT in pieces of several steps, the last one shorter. */
static void test_pieces(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "rnn-tanh/d2/w9/b3/t10/fp32/uniform/seed1",
        "lstm/d2/w6/b2/t10/fp32/uniform/at-all/seed1",
        "gru/d1/w7/b3/t11/fp32/uniform/at-all/seed1",
    };
    static const char *const scans[] = {"L", "M", "S", "C"};
    for (size_t n = 0; n < 4 * sizeof names / sizeof *names; n++) {
        run_model run;
        if (cuda_refuses(names[n / 4], scans[n % 4]))
            continue;
        cuda_load(&run, names[n / 4], scans[n % 4], 4);
        run_passes(&run, RUN_ALL);
        cuda_check(&run, 4);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_l),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_pieces),
    };
    CUDA_TESTS(tests);
}
