/* Numbers as text and back, in the C locale whatever the user's. */
#ifndef VG_NUMBERS_H
#define VG_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of [text, text + length): digits alone, without
 * a sign; or [+-]digits[.digits][e[+-]digits] with a digit before or after the point. False where
 * it is not so, does not fit, or is not finite. */
bool vg_whole_parse(const char *text, size_t length, uint64_t *out);
bool vg_number_parse(const char *text, size_t length, double *out);
/* The shortest decimal form of a double that reads back as the same double. */
void vg_number_name(double value, char *out, size_t size);
/* The value that its first 15 decimal digits say: 3 · 0.1 -> 0.3. */
double vg_number_tidy(double value);

#endif
