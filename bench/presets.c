/* Presets: files of option lines, ours built into the program. */
#include "option_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PRESET = 65536 };

#define VG_PRESET(id, name, ...) static const unsigned char id##_bytes[] = {__VA_ARGS__};
#include "presets.inc"
#undef VG_PRESET

static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t length;
} ours[] = {
#define VG_PRESET(id, name, ...) {name, id##_bytes, sizeof id##_bytes},
#include "presets.inc"
#undef VG_PRESET
};

const char *const *vg_preset_names(void)
{
    static const char *const names[] = {
#define VG_PRESET(id, name, ...) name,
#include "presets.inc"
#undef VG_PRESET
        NULL};
    return names;
}

/* The whole file, of at most MAX_PRESET bytes. */
static vg_status read_file(FILE *file, const char *path, char **text, size_t *length)
{
    char *bytes = malloc(MAX_PRESET + 2);
    if (bytes == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for a preset");
    size_t n = fread(bytes, 1, MAX_PRESET + 1, file);
    if (ferror(file) || n > MAX_PRESET) {
        char shown[VG_SHOWN];
        vg_shown(path, strlen(path), shown);
        free(bytes);
        if (n > MAX_PRESET)
            VG_FAIL(VG_INVALID, "--preset=%s: longer than 65536 bytes", shown);
        VG_FAIL(VG_INVALID, "--preset=%s: cannot be read: %s", shown, strerror(errno));
    }
    bytes[n] = '\0';
    *text = bytes;
    *length = n;
    return VG_OK;
}

vg_status vg_preset_read(const char *preset, char **text, size_t *length)
{
    char shown[VG_SHOWN];
    vg_shown(preset, strlen(preset), shown);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(ours[i].name, preset) != 0)
            continue;
        char *copy = malloc(ours[i].length + 1);
        if (copy == NULL)
            VG_FAIL(VG_NO_MEMORY, "no memory for a preset");
        memcpy(copy, ours[i].bytes, ours[i].length);
        copy[ours[i].length] = '\0';
        *text = copy;
        *length = ours[i].length;
        return VG_OK;
    }
    FILE *file = fopen(preset, "rb");
    if (file == NULL) {
        const char *why = strerror(errno);
        const char *near = vg_nearest(preset, vg_preset_names());
        if (near != NULL)
            VG_FAIL(VG_INVALID, "--preset=%s: %s; did you mean '%s'?", shown, why, near);
        VG_FAIL(VG_INVALID, "--preset=%s: %s, and none of ours", shown, why);
    }
    vg_status status = read_file(file, preset, text, length);
    fclose(file);
    return status;
}
