/* Open addressing, at most half full. */
#include "keys.h"

#include "hash.h"

#include <stdlib.h>
#include <string.h>

/* Where the key stands, or the free slot where it would. */
static char **slot_of(char **slots, size_t capacity, const char *key)
{
    size_t at = (size_t)vg_hash_text(VG_HASH_START, key) & (capacity - 1);
    while (slots[at] && strcmp(slots[at], key) != 0)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static vg_status grow(vg_keys *keys)
{
    size_t capacity = keys->capacity ? 2 * keys->capacity : 64;
    char **slots = calloc(capacity, sizeof *slots);
    if (!slots)
        VG_FAIL(VG_NO_MEMORY, "no memory for %zu keys", capacity);
    for (size_t i = 0; i < keys->capacity; i++)
        if (keys->slots[i])
            *slot_of(slots, capacity, keys->slots[i]) = keys->slots[i];
    free(keys->slots);
    keys->slots = slots;
    keys->capacity = capacity;
    return VG_OK;
}

vg_status vg_keys_add(vg_keys *keys, const char *key)
{
    if (2 * (keys->count + 1) > keys->capacity)
        VG_TRY(grow(keys));
    char **slot = slot_of(keys->slots, keys->capacity, key);
    if (*slot)
        return VG_OK;
    *slot = strdup(key);
    if (!*slot)
        VG_FAIL(VG_NO_MEMORY, "no memory for a key");
    keys->count++;
    return VG_OK;
}

bool vg_keys_has(const vg_keys *keys, const char *key)
{
    return keys->capacity > 0 && *slot_of(keys->slots, keys->capacity, key) != NULL;
}

void vg_keys_free(vg_keys *keys)
{
    for (size_t i = 0; i < keys->capacity; i++)
        free(keys->slots[i]);
    free(keys->slots);
    *keys = (vg_keys){0};
}
