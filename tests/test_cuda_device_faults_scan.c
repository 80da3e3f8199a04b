/* The CUDA devices when something fails: every call of recurrent models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_faults.h"

#if defined(VG_CUDA_EMULATED)
static const char *const cases[][2] = {
    {"rnn-relu/d1/w3/b2/t2/fp32/uniform/at-all/seed1", "M"},
    {"lstm/d1/w3/b2/t1/tf32/uniform/seed1", "L"},
    {"gru/d1/w3/b2/t2/bf16/uniform/seed1", "S"},
    {"gru/d1/w5/b2/t2/fp32/uniform/seed1", "C"},
    {"rnn-tanh/d2/w3/b1/t2/fp32/uniform/seed1", "S:2"},
};

static void test_failures(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        every_call_fails(cases[i][0], cases[i][1]);
}

static void test_lost(void **unused)
{
    (void)unused;
    every_call_loses(cases[0][0], cases[0][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_lost),
    };
    CUDA_TESTS(tests);
}
#else
/* Only the emulation fails when it is asked to. */
int main(void)
{
    print_message("skipped: a GPU that is here does not fail on demand\n");
    return CUDA_SKIPPED;
}
#endif
