/* A set of short texts: keys of measurements, warnings already given. */
#ifndef VG_KEYS_H
#define VG_KEYS_H

#include "vg/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { VG_KEY = 512 };

/* Starts as zeros. */
typedef struct vg_keys {
    char **slots;
    size_t count, capacity;
} vg_keys;

/* VG_NO_MEMORY; adding one that is there is no error. */
vg_status vg_keys_add(vg_keys *keys, const char *key);
bool vg_keys_has(const vg_keys *keys, const char *key);
void vg_keys_free(vg_keys *keys);

#endif
