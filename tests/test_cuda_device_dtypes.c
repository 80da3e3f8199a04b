/* The CUDA devices in tf32 and bf16, against the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

static const char *const models[] = {
    "stack-tanh/d3/w33/b5/%s/xavier/seed1",
    "stack-relu/d3/w48/b40/%s/he/residual/seed3",
    "stack-sigmoid/d2/w17/i5/o3/b600/%s/xavier/seed3",
    "stack-leaky_relu/d2/w17/b70/%s/he/clip0.1/seed4",
    "stack-maxout/d2/w19/b7/%s/lecun/pieces3/seed5",
    "stack-maxout/d3/w21/b4/%s/lecun/residual/seed6",
    "stack-identity/d1/w1/b1/%s/xavier/seed8",
    "rnn-relu/d2/w16/i5/o3/b1/t12/%s/uniform/at-all/seed2",
    "rnn-tanh/d1/w31/b5/t6/%s/uniform/seed2",
    "lstm/d2/w20/i7/b20/t6/%s/uniform/at-all/seed2",
    "lstm/d1/w33/b3/t5/%s/uniform/h0-0.5/seed3",
    "gru/d2/w24/i9/o2/b10/t5/%s/uniform/clip0.01/seed2",
    "gru/d1/w1/b1/t3/%s/uniform/seed3",
};

/* A stack once, a recurrence in every regime. */
static void against_oracle(const char *dtype)
{
    static const char *const scans[] = {"L", "M", "S"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char name[VG_CASE_NAME];
        snprintf(name, sizeof name, models[i], dtype);
        for (size_t n = 0; n < (name[0] == 's' ? 1 : sizeof scans / sizeof *scans); n++)
            cuda_against_oracle(name, scans[n]);
    }
}

static void test_tf32(void **unused)
{
    (void)unused;
    against_oracle("tf32");
}

static void test_bf16(void **unused)
{
    (void)unused;
    against_oracle("bf16");
}

/* What is written comes back as the format holds it: rounded to nearest even, subnormals kept, NaN
 * and infinities too. */
static void test_conversions(void **unused)
{
    (void)unused;
    static const char *const names[] = {"stack-tanh/d1/w7/b2/bf16/xavier/seed1",
                                        "stack-tanh/d1/w7/b2/fp32/xavier/seed1"};
    static const double values[14] = {1,         1 + 0x1p-8, 1 + 0x1p-9,     1 + 3 * 0x1p-8, -0.0,
                                      0x1p-133,  0x1p-134,   3 * 0x1p-135,   0x1p-149,       1e39,
                                      -INFINITY, NAN,        0x1.fffffep127, -65504.5};
    for (int i = 0; i < 2; i++) {
        run_model run;
        cuda_load(&run, names[i], "auto", 0);
        run_write(&run, "x", values);
        double *read = run_read(&run, "x");
        for (int n = 0; n < 14; n++) {
            const double expected = vg_dtype_round(run.model.dtype, values[n]);
            if (isnan(expected) ? !isnan(read[n])
                                : memcmp(&read[n], &expected, sizeof expected) != 0)
                fail_msg("%s: %g was written, %g read, expected %g", names[i], values[n], read[n],
                         expected);
        }
        free(read);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tf32),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_conversions),
    };
    CUDA_TESTS(tests);
}
