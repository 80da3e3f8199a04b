/* A case on the device family cuda.cudnn, with device options, on the emulated GPU or a real one.
 * For its tests alone; include after loaded_case.h. */
#ifndef CUDNN_CASE_H
#define CUDNN_CASE_H

#include "loaded_case.h"
#include "verify.h"

#include <stdio.h>

extern const vg_driver vg_cudnn_driver;

enum { CUDNN_PASSES = VG_PASSES_TRAIN | VG_PASS_LOSS };

/* "algo=static bias=double" as settings; `text` is cut up and has to stay. */
typedef struct cudnn_settings {
    char text[256];
    vg_setting rows[8];
} cudnn_settings;

static inline const vg_setting *cudnn_split(cudnn_settings *s, const char *words)
{
    size_t count = 0;
    snprintf(s->text, sizeof s->text, "%s", words);
    for (char *at = strtok(s->text, " "); at && count < 7; at = strtok(NULL, " ")) {
        char *equals = strchr(at, '=');
        assert_non_null(equals);
        *equals = 0;
        s->rows[count++] = (vg_setting){at, equals + 1};
    }
    s->rows[count] = (vg_setting){NULL, NULL};
    return s->rows;
}

/* What of a case was reached; unload_cudnn() undoes it. */
typedef struct cudnn_case {
    loaded_case c;
    cudnn_settings settings;
    vg_status status; /* of opening or loading */
} cudnn_case;

static inline void begin_cudnn(cudnn_case *out, const char *name, const char *words)
{
    vg_device_info infos[4] = {0};
    size_t count = 0;
    *out = (cudnn_case){.c = {.driver = &vg_cudnn_driver}};
    loaded_case *c = &out->c;
    if (vg_case_parse(name, &c->model) != VG_OK)
        fail_msg("%s: %s", name, vg_reason());
    assert_ok(vg_lower(&c->model, &(vg_lowering){0}, &c->program));
    const vg_device_options options = {
        .threads = 1, .bind = VG_BIND_NONE, .settings = cudnn_split(&out->settings, words)};
    out->status = vg_cudnn_driver.list(infos, 4, &count);
    if (out->status == VG_OK)
        out->status = vg_cudnn_driver.open(&infos[0], &options, &c->device);
    if (out->status == VG_OK)
        out->status = vg_cudnn_driver.load(c->device, &c->model, c->program, &c->exec);
}

static inline void unload_cudnn(cudnn_case *k)
{
    if (k->c.exec)
        vg_cudnn_driver.unload(k->c.exec);
    if (k->c.device)
        vg_cudnn_driver.close(k->c.device);
    vg_program_free(k->c.program);
    *k = (cudnn_case){.status = VG_OK};
}

static inline void load_cudnn(cudnn_case *out, const char *name, const char *words)
{
    begin_cudnn(out, name, words);
    if (out->status != VG_OK)
        fail_msg("%s with '%s': %s: %s", name, words, vg_status_name(out->status), vg_reason());
}

/* Random inputs, every pass once, and the comparison as a whole with the oracle. */
static inline vg_status verify_cudnn(cudnn_case *k, vg_verdict_of_run *verdict)
{
    write_random(&k->c, 7, 1);
    run_passes(&k->c, VG_PASS_FWD);
    run_passes(&k->c, VG_PASS_LOSS);
    run_passes(&k->c, VG_PASSES_BWD);
    return vg_verify(&vg_cudnn_driver, k->c.exec, k->c.program, CUDNN_PASSES, VG_DENORMALS_KEEP,
                     VG_VERIFY_AUTO, 2, verdict);
}

/* The named tensor as the device has it; the caller frees it. */
static inline double *read_cudnn(const cudnn_case *k, const char *tensor, uint64_t *count)
{
    const vg_tensor *t = vg_program_tensor(k->c.program, tensor);
    if (!t)
        fail_msg("no tensor %s", tensor);
    *count = elements_of(&t->mat);
    return read_window(&k->c, t->mat);
}

/* Without a GPU that cuDNN can use: why. */
static inline const char *cudnn_absent(void)
{
    static vg_device_info info;
    size_t count = 0;
    if (vg_cudnn_driver.list(&info, 1, &count) != VG_OK)
        return vg_reason();
    return info.absent[0] ? info.absent : NULL;
}

#endif
