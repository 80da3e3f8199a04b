/* Rows as CSV: RFC 4180, LF, the C locale's numbers whatever the locale is. */
#ifndef VG_SINK_CSV_H
#define VG_SINK_CSV_H

#include "vg/report.h"

#include <stdbool.h>

/* A text that grows; starts as zeros, freed by vg_text_free. Once memory is short it stays
 * `failed`, and what is appended is dropped. */
typedef struct vg_text {
    char *at;
    size_t size, capacity;
    bool failed;
} vg_text;

void vg_text_add(vg_text *text, const char *bytes, size_t size);
void vg_text_free(vg_text *text);

/* Append the header or a row, ended by LF. */
void vg_csv_result_header(vg_text *out);
void vg_csv_result(vg_text *out, const vg_result *row);
void vg_csv_gradient_header(vg_text *out);
void vg_csv_gradient(vg_text *out, const vg_gradient_row *row);
void vg_csv_decay_header(vg_text *out);
void vg_csv_decay(vg_text *out, const vg_decay_row *row);

/* The column of a name in results.csv, -1 where there is none. */
int vg_csv_result_column(const char *name);

/* Splits the record at the start of `bytes` into at most `capacity` fields, unquoted in place and
 * ended by NUL; *count is their number. Returns the bytes of the record with its LF (CR LF is taken
 * too), or 0: no LF ends it, or a quotation is broken, or it has more fields. */
size_t vg_csv_split(char *bytes, size_t size, char **fields, size_t capacity, size_t *count);

#endif
