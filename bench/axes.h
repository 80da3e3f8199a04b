/* Values of options: single ones and axes, parsed strictly and in the C locale whatever the user's.
 * AXIS = ITEM{,ITEM}, ITEM = VALUE | FIRST:LAST:*FACTOR | FIRST:LAST:+STEP (LAST included where a
 * step lands on it). Every failure is VG_INVALID with one line: `--width=0: expected 1..65536`. */
#ifndef VG_AXES_H
#define VG_AXES_H

#include "vg/case.h"

#include <stddef.h>

/* Values that one axis may have. */
enum { VG_MAX_AXIS_VALUES = 65536 };

typedef union vg_value {
    uint64_t whole; /* a choice: the index of its name */
    double number;
    vg_init init;
} vg_value;

typedef struct vg_values {
    vg_value *at;
    size_t count;
} vg_values;

/* What a number may be. `word`, where not null, stands for `word_value`. */
typedef struct vg_number_range {
    double least, most;
    bool below_most;      /* most itself is not allowed */
    const char *expected; /* "a number of at least 0, or off" */
    const char *word;
    double word_value;
} vg_number_range;

/* Appends to *out, which stays whole (and the caller's to free) on a failure. `option` is the name
 * that the messages show, without dashes. names: null-terminated. VG_INVALID, VG_NO_MEMORY. */
vg_status vg_axis_whole(const char *option, const char *text, uint64_t least, uint64_t most,
                        vg_values *out);
vg_status vg_axis_number(const char *option, const char *text, const vg_number_range *range,
                         vg_values *out);
vg_status vg_axis_choice(const char *option, const char *text, const char *const *names,
                         vg_values *out);
vg_status vg_axis_init(const char *option, const char *text, vg_values *out);
void vg_values_free(vg_values *values);

/* A duration in seconds, at least `least` and at most a day: "0.2s", "200ms", "50us", "1m", "2". */
vg_status vg_duration_parse(const char *option, const char *text, double least, double *out);

/* `text` fit for a message: at most 60 bytes with the end, what cannot be printed as '?'. */
enum { VG_SHOWN = 64 };
const char *vg_shown(const char *text, size_t length, char out[VG_SHOWN]);

/* "expected NAMES", or "did you mean 'X'? expected NAMES": for a value that is none of them. */
vg_status vg_fail_choice(const char *option, const char *text, size_t length,
                         const char *const *names);

#endif
