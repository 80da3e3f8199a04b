/* The cases of the tests of verification, run by the oracle in the device's place. */
#ifndef VG_TEST_VERIFY_CASE_H
#define VG_TEST_VERIFY_CASE_H

#include "loaded_case.h"
#include "ref.h"
#include "verify.h"

enum { PASSES = VG_PASSES_TRAIN | VG_PASS_LOSS | VG_PASS_PROBE | VG_PASS_EXACT };

static const vg_lowering as_device = {.profile = true};

static const char *const cases[] = {
    "stack-tanh/d3/w19/i7/b3/fp32/xavier/seed1",
    "stack-sigmoid/d2/w17/o5/b5/fp32/xavier/seed1",
    "stack-relu/d3/w19/b4/fp32/he/residual/seed1",
    "stack-maxout/d2/w9/b3/fp32/lecun/seed1",
    "stack-leaky_relu/d2/w9/b3/fp32/he/clip0.125/alpha0.2/seed1",
    "rnn-tanh/d2/w11/b3/t5/fp32/uniform/seed1",
    "rnn-relu/d1/w11/b3/t5/fp32/uniform/at-all/seed1",
    "lstm/d2/w9/i5/b3/t5/fp32/uniform/seed1",
    "gru/d2/w9/b2/t6/fp32/uniform/at-all/seed1",
    "gru/d1/w7/o3/b2/t3/fp32/uniform/clip0.125/seed1",
};

static inline vg_status verify(const loaded_case *c, const vg_driver *driver, vg_verify_mode mode,
                               vg_verdict_of_run *out)
{
    return vg_verify(driver, c->exec, c->program, PASSES, VG_DENORMALS_KEEP, mode, 1e9, out);
}

static inline loaded_case run_case(const char *name, const vg_lowering *how)
{
    loaded_case c = load_case(&vg_ref_driver, 0, name, how);
    write_random(&c, 3, 1.7);
    run_passes(&c, PASSES);
    return c;
}

#endif
