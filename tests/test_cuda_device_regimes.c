/* Which regime takes a recurrence on the machines that the emulation can be: the cheapest of those
 * that the device launches, and why the others do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_model.h"

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"

static void become(emu_settings settings)
{
    assert_int_equal(emu_reset(&settings), 0);
}

/* What the device says of a case that it has loaded. */
static void choice_of(const char *name, char *out, size_t size)
{
    run_model run;
    cuda_load(&run, name, "auto", 0);
    run_try(&run, "choice", run.driver->choice(run.exec, out, size));
    run_free(&run);
}

static void assert_refused(const char *name, const char *scan, const char *reason)
{
    assert_true(cuda_refuses(name, scan));
    if (!strstr(vg_reason(), reason))
        fail_msg("scan=%s is refused with \"%s\", expected \"%s\"", scan, vg_reason(), reason);
}

static const char *const small = "lstm/d1/w20/b2/t3/fp32/uniform/seed1";

/* Before sm_90 there is no regime C. */
static void test_without_clusters(void **unused)
{
    (void)unused;
    emu_settings settings = emu_defaults();
    settings.major = 8;
    settings.minor = 0;
    become(settings);
    char words[256];
    choice_of(small, words, sizeof words);
    assert_null(strstr(words, "scan=C"));
    assert_null(strstr(words, "back=C"));
    assert_refused(small, "C",
                   "cuda.scan=C needs clusters of blocks, which came with sm_90: this is sm_80");
    cuda_against_oracle(small, "auto");
}

/* Nor where the kernels are translated from code older than sm_90's, which had no clusters. */
static void test_code_without_clusters(void **unused)
{
    (void)unused;
    emu_settings settings = emu_defaults();
    settings.ptx = 80;
    become(settings);
    char words[256];
    choice_of(small, words, sizeof words);
    assert_null(strstr(words, "scan=C"));
    assert_null(strstr(words, "back=C"));
    assert_refused(small, "C", "cuda.scan=C: this build's code for sm_90 has no clusters: ");
    cuda_against_oracle(small, "auto");
}

/* A part of a chip that no cluster fits on. */
static void test_one_multiprocessor(void **unused)
{
    (void)unused;
    emu_settings settings = emu_defaults();
    settings.multiprocessors = 1;
    become(settings);
    assert_refused(small, "C", "no cluster of whole multiprocessors can be launched here");
    cuda_against_oracle(small, "auto");
}

/* Where neither all blocks nor a cluster can be resident, what needs neither is taken. */
static void test_occupied(void **unused)
{
    (void)unused;
    static const char *const wide = "lstm/d1/w160/b1/t2/fp32/uniform/seed1"; /* too wide for S */
    emu_settings settings = emu_defaults();
    settings.multiprocessors = 132;
    become(settings);
    char words[256];
    choice_of(wide, words, sizeof words);
    assert_non_null(strstr(words, "scan=C cluster="));
    settings.occupied = true;
    become(settings);
    assert_refused(small, "C", "no cluster of whole multiprocessors can be launched here");
    assert_refused(small, "M", "only 0 can be there at once");
    choice_of(wide, words, sizeof words);
    assert_non_null(strstr(words, "scan=L"));
    cuda_against_oracle(wide, "auto");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_clusters),
        cmocka_unit_test(test_code_without_clusters),
        cmocka_unit_test(test_one_multiprocessor),
        cmocka_unit_test(test_occupied),
    };
    CUDA_TESTS(tests);
}
#else
/* Only the emulation is another machine when it is asked to. */
int main(void)
{
    print_message("skipped: a GPU that is here is the one it is\n");
    return CUDA_SKIPPED;
}
#endif
