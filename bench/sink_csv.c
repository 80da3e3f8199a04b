/* Rows as CSV, and one record of CSV back into fields. */
#include "sink_csv.h"

#include "vg/case.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_text_add(vg_text *text, const char *bytes, size_t size)
{
    if (text->failed || size == 0) /* of nothing, `bytes` may be null */
        return;
    if (size > text->capacity - text->size) {
        size_t capacity = text->capacity ? text->capacity : 4096;
        while (capacity - text->size < size)
            capacity *= 2;
        char *grown = realloc(text->at, capacity);
        if (!grown) {
            text->failed = true;
            return;
        }
        text->at = grown;
        text->capacity = capacity;
    }
    memcpy(text->at + text->size, bytes, size);
    text->size += size;
}

void vg_text_free(vg_text *text)
{
    free(text->at);
    *text = (vg_text){0};
}

static void add_string(vg_text *out, const char *string)
{
    vg_text_add(out, string, strlen(string));
}

/* Quoted where it holds a separator, a quotation mark or a line's end. */
static void add_TEXT(vg_text *out, const char *value)
{
    if (!value)
        return;
    if (!value[strcspn(value, ",\"\r\n")]) {
        add_string(out, value);
        return;
    }
    add_string(out, "\"");
    for (const char *at = value; *at; at++)
        vg_text_add(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    add_string(out, "\"");
}

static void add_COUNT(vg_text *out, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    add_string(out, digits);
}

static void add_INDEX(vg_text *out, int64_t value)
{
    if (value >= 0)
        add_COUNT(out, (uint64_t)value);
}

static void add_VALUE(vg_text *out, double value)
{
    if (isnan(value)) {
        add_string(out, "nan"); /* without the sign that some libraries print */
        return;
    }
    char digits[64];
    snprintf(digits, sizeof digits, "%.17g", value);
    const char *point = localeconv()->decimal_point;
    char *found = strcmp(point, ".") != 0 ? strstr(digits, point) : NULL;
    if (found) {
        size_t length = strlen(point);
        *found = '.';
        memmove(found + 1, found + length, strlen(found + length) + 1);
    }
    add_string(out, digits);
}

static void add_REAL(vg_text *out, double value)
{
    if (!isnan(value))
        add_VALUE(out, value);
}

static void add_FLAG(vg_text *out, bool value)
{
    add_string(out, value ? "1" : "0");
}

/* "relu", or "relu+sigmoid" where the output's differs; lstm and gru have none. */
static const char *vg_report_activation(const vg_model *model)
{
    if (model->kind != VG_stack && !vg_cell_find(model->kind)->takes_activation)
        return "";
    return vg_activation_find(model->activation)->name;
}

static const char *vg_report_init(const vg_model *model, char text[64])
{
    vg_init_name(model->init, text, 64);
    return text;
}

#define COLUMN_NAME(name, type, getter) "," #name
#define COLUMN_VALUE(name, type, getter)                                                           \
    vg_text_add(out, ",", first ? 0 : 1);                                                          \
    add_##type(out, getter);                                                                       \
    first = false;

void vg_csv_result_header(vg_text *out)
{
    add_string(out, &(VG_RESULT_COLUMNS(COLUMN_NAME) "\n")[1]);
}

void vg_csv_result(vg_text *out, const vg_result *r)
{
    bool first = true;
    char text[64];
    VG_RESULT_COLUMNS(COLUMN_VALUE)
    add_string(out, "\n");
}

void vg_csv_gradient_header(vg_text *out)
{
    add_string(out, &(VG_GRADIENT_COLUMNS(COLUMN_NAME) "\n")[1]);
}

void vg_csv_gradient(vg_text *out, const vg_gradient_row *r)
{
    bool first = true;
    VG_GRADIENT_COLUMNS(COLUMN_VALUE)
    add_string(out, "\n");
}

void vg_csv_decay_header(vg_text *out)
{
    add_string(out, &(VG_DECAY_COLUMNS(COLUMN_NAME) "\n")[1]);
}

void vg_csv_decay(vg_text *out, const vg_decay_row *r)
{
    bool first = true;
    VG_DECAY_COLUMNS(COLUMN_VALUE)
    add_string(out, "\n");
}

int vg_csv_result_column(const char *name)
{
#define NAME_ALONE(column, type, getter) #column,
    static const char *const names[] = {VG_RESULT_COLUMNS(NAME_ALONE)};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

/* One field from `in` to `end`, unquoted to *to, which it moves on. Returns what stands after it,
 * or null where a quotation is broken. */
static char *field_take(char *in, const char *end, char **to)
{
    if (in < end && *in == '"') {
        for (in++; in < end; in++) {
            if (*in == '"') {
                in++;
                if (in >= end || *in != '"')
                    return in;
            }
            *(*to)++ = *in;
        }
        return NULL;
    }
    while (in < end && *in != ',' && *in != '\n') {
        if (*in == '"')
            return NULL;
        *(*to)++ = *in++;
    }
    return in;
}

size_t vg_csv_split(char *bytes, size_t size, char **fields, size_t capacity, size_t *count)
{
    char *in = bytes, *to = bytes;
    const char *end = bytes + size;
    for (*count = 0; *count < capacity;) {
        char *start = to;
        in = field_take(in, end, &to);
        if (!in || in >= end)
            return 0;
        bool carriage = *in == '\r' || (to > start && *in == '\n' && to[-1] == '\r');
        if (carriage && *in == '\r')
            in++;
        else if (carriage)
            to--;
        if (in >= end || (*in != ',' && *in != '\n') || (carriage && *in != '\n'))
            return 0;
        bool last = *in++ == '\n';
        *to++ = 0;
        fields[(*count)++] = start;
        if (last)
            return (size_t)(in - bytes);
    }
    return 0;
}
