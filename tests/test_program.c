/* Every kind of model, with every option that changes its program, lowers to one that checks. */
#include "case.h"
#include "lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Cases without seed; each with and without profile, for a device and for the oracle. */
static const char *const cases[] = {
    "stack-sigmoid/d1/w1/b1/fp32/xavier",
    "stack-tanh/d64/w256/b32/fp32/xavier",
    "stack-relu/d3/w17/i5/o3/b7/fp32/he/residual",
    "stack-relu+sigmoid/d2/w8/b4/fp32/he",
    "stack-identity/d3/w8/o8/b4/fp32/orthogonal/residual/clip1",
    "stack-maxout/d3/w9/i4/b5/fp32/lecun/residual/pieces3/loss-ones",
    "stack-tanh+maxout/d2/w9/o4/b5/bf16/xavier/loss-random",
    "stack-leaky_relu/d2/w33/b3/tf32/he/alpha0.2",
    "stack-tanh/d2/w3/b3/fp64/normal:1.5:0.05",
    "rnn-tanh/d1/w1/b1/t1/fp32/uniform",
    "rnn-relu/d3/w17/i5/b3/t7/fp32/identity:0.5/at-all",
    "rnn-sigmoid/d2/w8/o3/b2/t5/bf16/uniform/clip1/loss-ones",
    "lstm/d1/w16/b4/t9/fp32/uniform",
    "lstm/d3/w5/i7/o4/b3/t33/fp32/uniform/fb1/at-all",
    "lstm+maxout/d2/w5/i7/o4/b3/t6/bf16/uniform/clip0.5/pieces3",
    "gru/d2/w20/i3/b2/t40/fp32/orthogonal/loss-random",
    "gru+tanh/d1/w6/o6/b5/t3/fp64/uniform/at-all/h0-0.5",
};

static vg_program *lower(const char *name, vg_lowering how)
{
    char full[VG_CASE_NAME];
    vg_model model;
    vg_program *program = NULL;
    uint64_t bytes = 0;
    snprintf(full, sizeof full, "%s/seed1", name);
    if (vg_case_parse(full, &model) || vg_lower(&model, &how, &program) ||
        vg_program_check(program) || vg_lower_bytes(&model, &how, &bytes))
        fail_msg("%s: %s", full, vg_reason());
    assert_int_equal(bytes, program->arena_bytes);
    return program;
}

static void test_lowers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int flags = 0; flags < 4; flags++)
            for (uint64_t piece = 0; piece < 40; piece += 13)
                vg_program_free(lower(cases[i], (vg_lowering){flags & 1, flags & 2, piece}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lowers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
