/* What the fuzz targets share. */
#ifndef VG_TEST_FUZZ_H
#define VG_TEST_FUZZ_H

#include "vg/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline void require(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "%s: \"%s\"\n", what, vg_reason());
    abort();
}

/* A refusal says why, in one line. */
static inline void require_reason(void)
{
    require(vg_reason()[0] != '\0' && strchr(vg_reason(), '\n') == NULL, "not one line");
}

/* The bytes with a NUL after them; the caller frees. */
static inline char *text_of(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    require(text != NULL, "no memory");
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

#endif
