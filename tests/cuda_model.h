/* Whole models on the first CUDA device: as tests of it begin, and what they compare. Without a
 * usable GPU a test is skipped (exit 77). Include after cmocka. */
#ifndef VG_TEST_CUDA_MODEL_H
#define VG_TEST_CUDA_MODEL_H

#include "run_model.h"
#include "verify.h"

#include <math.h>

#define CUDA_DEVICE "cuda:0"
enum { CUDA_SKIPPED = 77 };

/* Why there is no first CUDA device; null: it is usable. */
static inline const char *cuda_absent(void)
{
    static char why[sizeof((vg_device_info *)0)->absent];
    vg_found_device *found;
    size_t count;
    snprintf(why, sizeof why, "this build has no CUDA devices");
    if (vg_devices_find(&found, &count) != VG_OK)
        return vg_reason();
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].info.name, CUDA_DEVICE) == 0)
            memcpy(why, found[i].info.absent, sizeof why);
    free(found);
    return why[0] ? why : NULL;
}

/* The body of main(). */
#define CUDA_TESTS(tests)                                                                          \
    do {                                                                                           \
        const char *absent = cuda_absent();                                                        \
        if (absent) {                                                                              \
            print_message("skipped: %s\n", absent);                                                \
            return CUDA_SKIPPED;                                                                   \
        }                                                                                          \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    } while (0)

/* One thread, denormals kept, the recurrence as `scan` says ("auto", "L", "M", "S", "C"). */
static inline void cuda_load(run_model *run, const char *name, const char *scan,
                             uint64_t exact_piece)
{
    const vg_setting settings[] = {{"scan", scan}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    run_load(run, name, CUDA_DEVICE, &options, exact_piece);
}

/* Whether the device refuses a case with the recurrence run as `scan`; the reason is set. */
static inline bool cuda_refuses(const char *name, const char *scan)
{
    const vg_setting settings[] = {{"scan", scan}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    run_model run = {.slots = NULL};
    snprintf(run.name, sizeof run.name, "%s", name);
    snprintf(run.on, sizeof run.on, "%s", CUDA_DEVICE);
    run_try(&run, "parse", vg_case_parse(name, &run.model));
    run_open(&run, &options);
    run_try(&run, "lower", vg_lower(&run.model, &(vg_lowering){0}, &run.program));
    (void)vg_fail(VG_OK, "%s", "");
    vg_status status = run.driver->load(run.device, &run.model, run.program, &run.exec);
    if (status != VG_OK && (status != VG_UNSUPPORTED || !vg_reason()[0]))
        fail_msg("%s, scan=%s: %s: %s", name, scan, vg_status_name(status), vg_reason());
    run_free(&run);
    return status == VG_UNSUPPORTED;
}

/* ‖a - b‖ <= relative · ‖b‖, and nothing that is not finite. */
static inline void cuda_near(const run_model *run, const vg_tensor *t, const double *a,
                             const double *b, double relative)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < run_elements(t); i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!(sqrt(difference) <= relative * sqrt(size)))
        fail_msg("%s on %s: %s is off by %g of its norm %g", run->name, run->on, t->name,
                 sqrt(difference / size), sqrt(size));
}

/* Every pass has run: each op against the oracle on its own inputs, and, but where the format
 * itself is coarse, every tensor against a run of the oracle. */
static inline void cuda_check(const run_model *run, uint64_t exact_piece)
{
    vg_verdict_of_run verdict;
    const vg_dtype dtype = run->model.dtype;
    run_try(run, "verify",
            vg_verify(run->driver, run->exec, run->program, RUN_ALL, run->applied.denormals,
                      VG_VERIFY_FULL, 60, &verdict));
    assert_int_equal(verdict.verified, VG_VERIFIED_FULL);
    run_model oracle;
    run_load(&oracle, run->name, "ref", NULL, exact_piece);
    run_passes(&oracle, RUN_ALL);
    run_try(run, "norms",
            vg_verify_norms(run->program, run->slots, oracle.program, oracle.slots, &verdict));
    for (uint32_t i = 0; i < run->program->tensor_count; i++) {
        const vg_tensor *t = &run->program->tensors[i];
        double *a = run_read(run, t->name), *b = run_read(&oracle, t->name);
        cuda_near(run, t, a, b, dtype == VG_FP32 ? 2e-5 : dtype == VG_TF32 ? 5e-3 : 5e-2);
        free(a);
        free(b);
    }
    run_free(&oracle);
}

/* A case on the device, every pass, checked. */
static inline void cuda_against_oracle(const char *name, const char *scan)
{
    run_model run;
    cuda_load(&run, name, scan, 0);
    run_passes(&run, RUN_ALL);
    cuda_check(&run, 0);
    run_free(&run);
}

#endif
