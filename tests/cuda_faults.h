/* Cases in which every call of the emulated machine fails once, or the device is lost: what is
 * refused says why, nothing leaks, and the next case runs. Include after cmocka. */
#ifndef VG_TEST_CUDA_FAULTS_H
#define VG_TEST_CUDA_FAULTS_H

#include "cuda_model.h"

/* scan: "L", or with a number of pieces, "L:2". */
static inline vg_status open_first(const vg_driver **driver, const char *scan, vg_device **out)
{
    char regime[8];
    const char *pieces = strchr(scan, ':');
    snprintf(regime, sizeof regime, "%.*s", (int)strcspn(scan, ":"), scan);
    const vg_setting settings[] = {{"scan", regime}, {"pieces", pieces ? pieces + 1 : "auto"}, {0}};
    const vg_device_options options = {.threads = 1, .bind = VG_BIND_NONE, .settings = settings};
    vg_found_device *found = NULL;
    size_t count = 0;
    vg_status status = vg_devices_find(&found, &count);
    if (status != VG_OK)
        return status;
    status = vg_fail(VG_UNSUPPORTED, "no device " CUDA_DEVICE);
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].info.name, CUDA_DEVICE) == 0) {
            *driver = found[i].driver;
            status = found[i].info.absent[0] ? vg_fail(VG_UNSUPPORTED, "%s", found[i].info.absent)
                                             : found[i].driver->open(&found[i].info, &options, out);
        }
    free(found);
    return status;
}

#if defined(VG_CUDA_EMULATED)
#include "emulation.h"

/* dx after every pass, in one way or another: the end of the whole chain. */
typedef struct result {
    double dx[64];
    size_t count;
} result;

static inline vg_status run_case(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                                 result *out)
{
    static const unsigned sets[] = {VG_PASS_FWD,   VG_PASS_LOSS,    VG_PASSES_BWD,  VG_PASS_PROBE,
                                    VG_PASS_EXACT, VG_PASSES_TRAIN, VG_PASSES_TRAIN};
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        if (t->role != VG_ROLE_INPUT && t->role != VG_ROLE_WEIGHT && t->role != VG_ROLE_BIAS)
            continue;
        double values[256] = {0};
        assert_true(run_elements(t) <= 256);
        VG_TRY(vg_fill(program, t, values));
        VG_TRY(driver->write(exec, t->mat, values));
    }
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        double seconds;
        VG_TRY(driver->run(exec, sets[i], 1 + (uint32_t)i % 2, &seconds));
    }
    vg_slot *slots = calloc((size_t)program->slot_count + 1, sizeof *slots);
    assert_non_null(slots);
    vg_status status = driver->slots(exec, slots);
    free(slots);
    VG_TRY(status);
    const vg_tensor *dx = vg_program_tensor(program, "dx");
    out->count = run_elements(dx);
    assert_true(out->count <= 64);
    return driver->read(exec, dx->mat, out->dx);
}

/* An opened device of the emulated machine, and a case for it. */
typedef struct faulty {
    const char *name, *scan;
    const vg_driver *driver;
    vg_device *device;
    vg_model model;
    vg_program *program;
    result expected;
} faulty;

static inline void start(emu_settings settings)
{
    const size_t leaked = emu_reset(&settings);
    if (leaked)
        fail_msg("%zu things were left on the device", leaked);
}

static inline void open_again(faulty *f, emu_settings settings)
{
    if (f->device)
        f->driver->close(f->device);
    f->device = NULL;
    start(settings);
    if (open_first(&f->driver, f->scan, &f->device) != VG_OK)
        fail_msg("%s: %s", f->name, vg_reason());
}

/* The case from loading to unloading. */
static inline vg_status whole_case(const faulty *f, result *out)
{
    vg_exec *exec = NULL;
    vg_status status = f->driver->load(f->device, &f->model, f->program, &exec);
    if (status != VG_OK)
        return status;
    status = run_case(f->driver, exec, f->program, out);
    if (status == VG_DEVICE_LOST) { /* and stays so */
        double seconds;
        const vg_mat dx = vg_program_tensor(f->program, "dx")->mat;
        assert_int_equal(f->driver->run(exec, VG_PASS_FWD, 1, &seconds), VG_DEVICE_LOST);
        assert_int_equal(f->driver->read(exec, dx, out->dx), VG_DEVICE_LOST);
    }
    f->driver->unload(exec);
    return status;
}

static inline void same_result(const faulty *f, uint64_t call, const result *got)
{
    for (size_t i = 0; i < f->expected.count; i++)
        if (!(fabs(got->dx[i] - f->expected.dx[i]) <= 1e-6 * fabs(f->expected.dx[i])))
            fail_msg("%s, call %llu failed unnoticed: dx[%zu] is %g, expected %g", f->name,
                     (unsigned long long)call, i, got->dx[i], f->expected.dx[i]);
}

/* A failure has a reason; what is not told of has done no harm. It need not be told: what is only
 * freed, and a product with a ReLU of the library's own, which is made by a kernel where the
 * library refuses to set it up (cublasLtMatmulDescSetAttribute, while the device is learnt). */
static inline void check_outcome(const faulty *f, uint64_t call, vg_status status,
                                 const result *got)
{
    if (status == VG_OK)
        same_result(f, call, got);
    else if (!vg_reason()[0])
        fail_msg("%s, call %llu: %s without a reason", f->name, (unsigned long long)call,
                 vg_status_name(status));
}

/* Opens the device and runs the case once; returns the number of calls from loading to unloading.
 */
static inline uint64_t faulty_open(faulty *f, const char *name, const char *scan)
{
    const vg_lowering how = {.profile = true};
    *f = (faulty){.name = name, .scan = scan};
    if (vg_case_parse(name, &f->model) != VG_OK)
        fail_msg("%s", vg_reason());
    assert_int_equal(vg_lower(&f->model, &how, &f->program), VG_OK);
    open_again(f, emu_defaults());
    const uint64_t before = emu_calls();
    if (whole_case(f, &f->expected) != VG_OK)
        fail_msg("%s: %s", f->name, vg_reason());
    return emu_calls() - before;
}

/* The same device, after all that, works. */
static inline void faulty_close(faulty *f)
{
    result got = {.count = 0};
    open_again(f, emu_defaults());
    assert_int_equal(whole_case(f, &got), VG_OK);
    same_result(f, 0, &got);
    f->driver->close(f->device);
    vg_program_free(f->program);
    start(emu_defaults());
}

static inline void every_call_fails(const char *name, const char *scan)
{
    faulty f;
    const uint64_t calls = faulty_open(&f, name, scan);
    uint64_t missed = 0, lost = 0;
    for (uint64_t n = 1; n <= calls; n++) {
        result got = {.count = 0};
        (void)vg_fail(VG_OK, "%s", "");
        emu_fail_after(n, n); /* the seed says whether it is told at once */
        const vg_status status = whole_case(&f, &got);
        emu_fail_after(0, 0);
        check_outcome(&f, n, status, &got);
        missed += status != VG_OK;
        lost += status == VG_DEVICE_LOST;
        if (status == VG_DEVICE_LOST)
            open_again(&f, emu_defaults());
    }
    print_message("%s, scan=%s: %llu calls, %llu told, %llu of them lost the device\n", name, scan,
                  (unsigned long long)calls, (unsigned long long)missed, (unsigned long long)lost);
    assert_true(missed > calls / 2);
    faulty_close(&f);
}

/* The device is lost at some call, and every later one fails. */
static inline void every_call_loses(const char *name, const char *scan)
{
    faulty f;
    const uint64_t calls = faulty_open(&f, name, scan), opened = emu_calls() - calls;
    for (uint64_t n = 1; n <= calls; n += 13) {
        result got = {.count = 0};
        emu_settings settings = emu_defaults();
        settings.lose_at = opened + n;
        open_again(&f, settings);
        (void)vg_fail(VG_OK, "%s", "");
        check_outcome(&f, n, whole_case(&f, &got), &got);
    }
    faulty_close(&f);
}

#endif
#endif
