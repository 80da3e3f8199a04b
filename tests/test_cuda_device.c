/* The CUDA devices on whole stacks, in fp32, against the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

static const char *const cases[] = {
    "stack-tanh/d3/w33/b5/fp32/xavier/seed1",
    "stack-sigmoid/d2/w64/b32/fp32/xavier/seed2",
    "stack-relu/d3/w48/b40/fp32/he/seed3",
    "stack-leaky_relu/d2/w17/b70/fp32/he/seed4",
    "stack-identity/d2/w12/b9/fp32/xavier/seed4",
    "stack-maxout/d2/w19/b7/fp32/lecun/seed5",
    "stack-maxout/d2/w9/b60/fp32/lecun/pieces3/seed5",
    "stack-tanh/d4/w40/b33/fp32/xavier/residual/seed6",
    "stack-relu/d3/w20/b6/fp32/he/residual/seed6",
    "stack-maxout/d3/w21/b4/fp32/lecun/residual/seed6",
    "stack-tanh/d2/w150/i3/o5/b1/fp32/xavier/clip1e-3/seed7",
    "stack-tanh/d70/w2/b2/fp32/xavier/clip0.1/seed7",
    "stack-identity/d1/w1/b1/fp32/xavier/seed8",
    "stack-relu/d1/w1/b700/fp32/he/seed8",
};

static void test_oracle(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cuda_against_oracle(cases[i], "auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),
    };
    CUDA_TESTS(tests);
}
