/* A case loaded on a device, with inputs of the test's own. For tests alone. */
#ifndef LOADED_CASE_H
#define LOADED_CASE_H

#include "vg/case.h"
#include "vg/device.h"
#include "vg/lower.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct loaded_case {
    const vg_driver *driver;
    vg_model model;
    vg_program *program;
    vg_device *device;
    vg_exec *exec;
} loaded_case;

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        if ((expression) != VG_OK)                                                                 \
            fail_msg("%s: %s", #expression, vg_reason());                                          \
    } while (0)

/* `index`: which of the family's listed devices. */
static inline loaded_case load_model(const vg_driver *driver, uint32_t index, const vg_model *model,
                                     const vg_lowering *how)
{
    loaded_case c = {.driver = driver, .model = *model};
    vg_device_info infos[16] = {0};
    size_t count = 0;
    assert_ok(driver->list(infos, 16, &count));
    assert_true(index < count);
    assert_ok(vg_lower(&c.model, how, &c.program));
    assert_ok(driver->open(&infos[index], &(vg_device_options){.threads = 1}, &c.device));
    assert_ok(driver->load(c.device, &c.model, c.program, &c.exec));
    return c;
}

static inline loaded_case load_case(const vg_driver *driver, uint32_t index, const char *name,
                                    const vg_lowering *how)
{
    vg_model model;
    if (vg_case_parse(name, &model) != VG_OK)
        fail_msg("%s: %s", name, vg_reason());
    return load_model(driver, index, &model, how);
}

static inline void unload_case(loaded_case *c)
{
    c->driver->unload(c->exec);
    c->driver->close(c->device);
    vg_program_free(c->program);
}

/* Uniform in (-1, 1); Marsaglia's xorshift64*. */
static inline double random_value(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 2685821657736338717u >> 11) * 0x1p-52 - 1;
}

static inline uint64_t elements_of(const vg_mat *m)
{
    return m->rows * m->cols;
}

static inline double *read_window(const loaded_case *c, vg_mat m)
{
    double *out = calloc(elements_of(&m) + 1, sizeof *out);
    assert_non_null(out);
    assert_ok(c->driver->read(c->exec, m, out));
    return out;
}

static inline bool is_written(const vg_tensor *t)
{
    return t->role == VG_ROLE_INPUT || t->role == VG_ROLE_WEIGHT || t->role == VG_ROLE_BIAS;
}

/* Every input, weight, bias and state: random; weights times gain/√columns. */
static inline void write_random(const loaded_case *c, uint64_t seed, double gain)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (uint32_t i = 0; i < c->program->tensor_count; i++) {
        const vg_tensor *t = &c->program->tensors[i];
        if (!is_written(t))
            continue;
        double *values = calloc(elements_of(&t->mat) + 1, sizeof *values);
        assert_non_null(values);
        double scale = t->role == VG_ROLE_WEIGHT ? gain / sqrt(t->mat.cols) : 1;
        for (uint64_t n = 0; n < elements_of(&t->mat); n++)
            values[n] = vg_dtype_round(c->model.dtype, scale * random_value(&state));
        assert_ok(c->driver->write(c->exec, t->mat, values));
        free(values);
    }
}

static inline void run_passes(const loaded_case *c, unsigned passes)
{
    double seconds = -1;
    assert_ok(c->driver->run(c->exec, passes, 1, &seconds));
    assert_true(seconds >= 0);
}

#endif
