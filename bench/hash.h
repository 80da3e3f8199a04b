/* FNV-1a (Fowler, Noll, Vo): hashes of texts, the same on every machine. */
#ifndef VG_HASH_H
#define VG_HASH_H

#include <stdint.h>

#define VG_HASH_START UINT64_C(14695981039346656037)

static inline uint64_t vg_hash_byte(uint64_t hash, unsigned char byte)
{
    return (hash ^ byte) * UINT64_C(1099511628211);
}

/* Continues a hash with a text, its end not among it. */
static inline uint64_t vg_hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = vg_hash_byte(hash, (unsigned char)*text);
    return hash;
}

#endif
