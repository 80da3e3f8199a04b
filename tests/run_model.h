/* Runs a case by its name on a device by its name, every pass once, and hands out what came of it.
 * A failure on the way fails the test with the case, the device and the reason. Include after
 * cmocka. */
#ifndef VG_TEST_RUN_MODEL_H
#define VG_TEST_RUN_MODEL_H

#include "vg/case.h"
#include "vg/devices.h"
#include "vg/fill.h"
#include "vg/lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_ALL = VG_PASS_FWD | VG_PASS_LOSS | VG_PASSES_BWD | VG_PASS_PROBE | VG_PASS_EXACT };

typedef struct run_model {
    char name[VG_CASE_NAME], on[32];
    vg_model model;
    vg_program *program;
    const vg_driver *driver;
    vg_device *device;
    vg_device_applied applied;
    vg_exec *exec;
    vg_slot *slots; /* as the last run_passes() left them */
} run_model;

static inline void run_try(const run_model *run, const char *what, vg_status status)
{
    if (status != VG_OK)
        fail_msg("%s on %s, %s: %s: %s", run->name, run->on, what, vg_status_name(status),
                 vg_reason());
}

/* Equal, or within an absolute tolerance; NaN is neither. */
static inline void run_near(const run_model *run, const char *what, double value, double expected,
                            double tolerance)
{
    double error = fabs(value - expected);
    if (value != expected && !(error <= tolerance))
        fail_msg("%s on %s, %s: %.17g, expected %.17g, tolerance %g", run->name, run->on, what,
                 value, expected, tolerance);
}

/* Every device of those families that is usable here, as names; `families` ends with null. The
 * caller frees *out. */
static inline size_t run_devices_of(const char *const *families, char (**out)[32])
{
    vg_found_device *found;
    size_t count, kept = 0;
    assert_int_equal(vg_devices_find(&found, &count), VG_OK);
    *out = calloc(count + 1, sizeof **out);
    assert_non_null(*out);
    for (size_t i = 0; i < count; i++) {
        bool wanted = false;
        for (const char *const *family = families; *family; family++)
            wanted = wanted || strcmp(*family, found[i].driver->family) == 0;
        if (wanted && found[i].info.absent[0] == 0)
            memcpy((*out)[kept++], found[i].info.name, sizeof **out);
    }
    free(found);
    return kept;
}

/* "ref" and "cpu.*": a device of another kind has tests of its own. */
static inline size_t run_devices(char (**out)[32])
{
    static const char *const families[] = {"ref", "cpu", NULL};
    return run_devices_of(families, out);
}

/* The same for a group of tests: `for (EACH_DEVICE(name))`, after run_find_devices(). */
static char (*run_usable)[32];
static size_t run_usable_count;

#define EACH_DEVICE(on)                                                                            \
    const char *on = run_usable[0];                                                                \
    on < run_usable[0] + run_usable_count * sizeof *run_usable;                                    \
    on += sizeof *run_usable

static inline int run_find_devices(void **state)
{
    (void)state;
    run_usable_count = run_devices(&run_usable);
    for (size_t i = 0; i < run_usable_count; i++)
        print_message("device: %s\n", run_usable[i]);
    return run_usable_count > 0 ? 0 : -1;
}

static inline int run_free_devices(void **state)
{
    (void)state;
    free(run_usable);
    return 0;
}

/* What a test changes of a device before anything is loaded on it; null: nothing. */
static void (*run_opened)(vg_device *device);

static inline void run_open(run_model *run, const vg_device_options *options)
{
    vg_found_device *found;
    size_t count;
    run_try(run, "list", vg_devices_find(&found, &count));
    for (size_t i = 0; i < count && !run->device; i++)
        if (strcmp(found[i].info.name, run->on) == 0 && found[i].info.absent[0] == 0) {
            run->driver = found[i].driver;
            run_try(run, "open", run->driver->open(&found[i].info, options, &run->device));
        }
    free(found);
    if (!run->device)
        fail_msg("%s: no usable device %s", run->name, run->on);
    if (run_opened)
        run_opened(run->device);
    run->driver->applied(run->device, &run->applied);
    run->applied.denormals =
        vg_denormals_of(run->applied.denormals, run->applied.flushing, run->model.dtype);
}

static inline const vg_tensor *run_tensor(const run_model *run, const char *tensor)
{
    const vg_tensor *found = vg_program_tensor(run->program, tensor);
    if (!found)
        fail_msg("%s: no tensor %s", run->name, tensor);
    return found;
}

static inline size_t run_elements(const vg_tensor *tensor)
{
    return (size_t)tensor->mat.rows * tensor->mat.cols;
}

/* A tensor's values, row-major rows × cols without padding; the caller frees them. */
static inline double *run_read(const run_model *run, const char *tensor)
{
    const vg_tensor *t = run_tensor(run, tensor);
    double *out = malloc(run_elements(t) * sizeof *out);
    assert_non_null(out);
    run_try(run, tensor, run->driver->read(run->exec, t->mat, out));
    return out;
}

static inline void run_write(const run_model *run, const char *tensor, const double *values)
{
    run_try(run, tensor, run->driver->write(run->exec, run_tensor(run, tensor)->mat, values));
}

/* Every element of a tensor := value. */
static inline void run_write_all(const run_model *run, const char *tensor, double value)
{
    size_t count = run_elements(run_tensor(run, tensor));
    double *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    run_write(run, tensor, values);
    free(values);
}

/* Loads the case and writes what vg_fill() says; nothing has run yet. exact_piece as in
 * vg_lowering; options null: one thread, denormals kept. */
static inline void run_load(run_model *run, const char *name, const char *device,
                            const vg_device_options *options, uint64_t exact_piece)
{
    const vg_device_options usual = {.threads = 1, .bind = VG_BIND_NONE};
    *run = (run_model){.slots = NULL};
    snprintf(run->name, sizeof run->name, "%s", name);
    snprintf(run->on, sizeof run->on, "%s", device);
    run_try(run, "parse", vg_case_parse(name, &run->model));
    run_open(run, options ? options : &usual);
    vg_lowering how = {run->driver->oracle, true, exact_piece};
    run_try(run, "lower", vg_lower(&run->model, &how, &run->program));
    run_try(run, "check", vg_program_check(run->program));
    run_try(run, "load", run->driver->load(run->device, &run->model, run->program, &run->exec));
    run->slots = calloc((size_t)run->program->slot_count + 1, sizeof *run->slots);
    assert_non_null(run->slots);
    for (uint32_t i = 0; i < run->program->tensor_count; i++) {
        const vg_tensor *t = &run->program->tensors[i];
        if (t->role != VG_ROLE_INPUT && t->role != VG_ROLE_WEIGHT && t->role != VG_ROLE_BIAS)
            continue;
        double *values = malloc(run_elements(t) * sizeof *values);
        assert_non_null(values);
        run_try(run, t->name, vg_fill(run->program, t, values));
        run_try(run, t->name, run->driver->write(run->exec, t->mat, values));
        free(values);
    }
}

/* Runs the set of passes, one after the other, and reads the slots. */
static inline void run_passes(run_model *run, unsigned passes)
{
    double seconds;
    for (unsigned pass = VG_PASS_FWD; pass <= VG_PASS_EXACT; pass <<= 1)
        if (passes & pass)
            run_try(run, "run", run->driver->run(run->exec, pass, 1, &seconds));
    run_try(run, "slots", run->driver->slots(run->exec, run->slots));
}

/* run_load() and every pass. */
static inline void run_start(run_model *run, const char *name, const char *device)
{
    run_load(run, name, device, NULL, 0);
    run_passes(run, RUN_ALL);
}

static inline void run_free(run_model *run)
{
    if (run->exec)
        run->driver->unload(run->exec);
    if (run->device)
        run->driver->close(run->device);
    vg_program_free(run->program);
    free(run->slots);
}

/* The profile of a tensor and layer, or null. */
static inline const vg_profile *run_profile(const run_model *run, const char *tensor,
                                            uint32_t layer)
{
    for (uint32_t i = 0; i < run->program->profile_count; i++) {
        const vg_profile *p = &run->program->profiles[i];
        if (p->layer == layer && strcmp(p->tensor, tensor) == 0)
            return p;
    }
    return NULL;
}

#endif
