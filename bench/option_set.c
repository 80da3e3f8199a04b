/* How one option changes what the parser holds. */
#include "option_set.h"

#include "numbers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool vg_option_typed(const vg_parser *p, const char *name)
{
    return p->set_by[vg_option_find(name, strlen(name)) - vg_option_rows] == p->command_line;
}

static void *field(const vg_parser *p, const vg_option_row *row)
{
    return (char *)p->options + row->at;
}

static vg_status set_command(vg_parser *p, const vg_option_row *row)
{
    vg_command command = (vg_command)row->at;
    if (p->options->command != VG_COMMAND_MEASURE && p->options->command != command)
        VG_FAIL(VG_INVALID, "--%s: another command stands there already; one at a time", row->name);
    p->options->command = command;
    return VG_OK;
}

/* No control characters: they would break a message's line, and a file's. */
static vg_status check_text(const vg_option_row *row, const char *value)
{
    char shown[VG_SHOWN];
    size_t length = strlen(value);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            VG_FAIL(VG_INVALID, "--%s=%s: a control character in it", row->name,
                    vg_shown(value, length, shown));
    return VG_OK;
}

static vg_status set_text(vg_parser *p, const vg_option_row *row, const char *value)
{
    if (value[0] == '\0')
        VG_FAIL(VG_INVALID, "--%s=: expected %s", row->name, row->values);
    char *copy = strdup(value);
    if (copy == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for a text");
    char **text = field(p, row);
    free(*text);
    *text = copy;
    return VG_OK;
}

static vg_status set_strings(vg_parser *p, const vg_option_row *row, const char *value)
{
    vg_strings *strings = field(p, row);
    if (row->kind == VG_OPTION_STRING) {
        if (value[0] == '\0')
            VG_FAIL(VG_INVALID, "--%s=: expected %s", row->name, row->values);
        return vg_strings_add(strings, value, strlen(value));
    }
    for (const char *item = value;; item++) {
        size_t length = strcspn(item, ",");
        char shown[VG_SHOWN];
        if (length == 0)
            VG_FAIL(VG_INVALID, "--%s=%s: a name is empty; expected %s", row->name,
                    vg_shown(value, strlen(value), shown), row->values);
        VG_TRY(vg_strings_add(strings, item, length));
        item += length;
        if (*item == '\0')
            return VG_OK;
    }
}

/* A flag for Google Benchmark is kept as "--benchmark_name=value". */
static vg_status set_benchmark(vg_parser *p, const vg_argument *a)
{
    VG_TRY(vg_benchmark_flag_check(a->shown + 2));
    return vg_strings_add(field(p, a->row), a->shown, strlen(a->shown));
}

/* One of the row's names, one alone. */
static vg_status parse_choice(const vg_option_row *row, const char *value, unsigned *out)
{
    for (unsigned i = 0; row->names[i] != NULL; i++)
        if (strcmp(row->names[i], value) == 0) {
            *out = i;
            return VG_OK;
        }
    return vg_fail_choice(row->name, value, strlen(value), row->names);
}

static vg_status set_choice(vg_parser *p, const vg_option_row *row, const char *value)
{
    unsigned index = 0;
    VG_TRY(parse_choice(row, value, &index));
    if (row->kind == VG_OPTION_MEASURE) { /* throughput, gradient, both */
        p->options->throughput = index != 1;
        p->options->gradient = index != 0;
    } else if (row->kind == VG_OPTION_VERIFY) {
        p->options->verify = (vg_verify_mode)index;
    } else { /* auto, off, on */
        *(bool *)field(p, row) = index == 0 ? isatty(STDERR_FILENO) == 1 : index == 2;
    }
    return VG_OK;
}

static vg_status set_bits(vg_parser *p, const vg_option_row *row, const char *value)
{
    vg_values chosen = {0};
    vg_status status = vg_axis_choice(row->name, value, row->names, &chosen);
    for (size_t i = 0; status == VG_OK && i < chosen.count; i++)
        *(unsigned *)field(p, row) |= 1u << chosen.at[i].whole;
    vg_values_free(&chosen);
    return status;
}

static vg_status set_whole(vg_parser *p, const vg_option_row *row, const char *value)
{
    uint64_t whole;
    char shown[VG_SHOWN];
    if (!vg_whole_parse(value, strlen(value), &whole) || whole < row->least || whole > row->most)
        VG_FAIL(VG_INVALID, "--%s=%s: expected %llu..%llu", row->name,
                vg_shown(value, strlen(value), shown), (unsigned long long)row->least,
                (unsigned long long)row->most);
    if (row->kind == VG_OPTION_WHOLE64)
        *(uint64_t *)field(p, row) = whole;
    else
        *(uint32_t *)field(p, row) = (uint32_t)whole;
    return VG_OK;
}

static vg_status set_axis(vg_parser *p, const vg_option_row *row, const char *value)
{
    vg_values *axis = &p->options->axes->at[row->at];
    switch (row->kind) {
    case VG_OPTION_AXIS_WHOLE: return vg_axis_whole(row->name, value, row->least, row->most, axis);
    case VG_OPTION_AXIS_NUMBER: return vg_axis_number(row->name, value, &row->range, axis);
    case VG_OPTION_AXIS_CHOICE: return vg_axis_choice(row->name, value, row->names, axis);
    default: return vg_axis_init(row->name, value, axis);
    }
}

/* Takes back what a list or an axis held before. */
static void clear(vg_parser *p, const vg_option_row *row)
{
    switch (row->kind) {
    case VG_OPTION_LIST:
    case VG_OPTION_STRING:
    case VG_OPTION_BENCHMARK: vg_strings_free(field(p, row)); break;
    case VG_OPTION_SET: *(unsigned *)field(p, row) = 0; break;
    case VG_OPTION_AXIS_WHOLE:
    case VG_OPTION_AXIS_NUMBER:
    case VG_OPTION_AXIS_CHOICE:
    case VG_OPTION_AXIS_INIT: vg_values_free(&p->options->axes->at[row->at]); break;
    default: break;
    }
}

vg_status vg_option_set(vg_parser *p, const vg_argument *a)
{
    const vg_option_row *row = a->row;
    if (a->value != NULL)
        VG_TRY(check_text(row, a->value));
    int *source = &p->set_by[row - vg_option_rows];
    if (!row->list || *source != p->source)
        clear(p, row);
    *source = p->source;
    switch (row->kind) {
    case VG_OPTION_COMMAND: return set_command(p, row);
    case VG_OPTION_FLAG: *(bool *)field(p, row) = true; return VG_OK;
    case VG_OPTION_TEXT: return set_text(p, row, a->value);
    case VG_OPTION_LIST:
    case VG_OPTION_STRING: return set_strings(p, row, a->value);
    case VG_OPTION_BENCHMARK: return set_benchmark(p, a);
    case VG_OPTION_WHOLE:
    case VG_OPTION_WHOLE64: return set_whole(p, row, a->value);
    case VG_OPTION_SECONDS:
        return vg_duration_parse(row->name, a->value, row->range.least, field(p, row));
    case VG_OPTION_SET: return set_bits(p, row, a->value);
    case VG_OPTION_SWITCH:
    case VG_OPTION_MEASURE:
    case VG_OPTION_VERIFY: return set_choice(p, row, a->value);
    case VG_OPTION_PRESET: return VG_OK; /* read before all others */
    default: return set_axis(p, row, a->value);
    }
}
