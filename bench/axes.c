/* Values of options: single ones and axes. */
#include "axes.h"

#include "numbers.h"
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vg_shown(const char *text, size_t length, char out[VG_SHOWN])
{
    const size_t most = VG_SHOWN - 4;
    size_t n = length < most ? length : most;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    snprintf(out + n, VG_SHOWN - n, "%s", length > most ? "..." : "");
    return out;
}

static vg_status push(vg_values *values, vg_value value)
{
    if ((values->count & (values->count + 1)) == 0) { /* full at 2^n - 1 */
        vg_value *grown = realloc(values->at, (2 * values->count + 1) * sizeof *grown);
        if (grown == NULL)
            VG_FAIL(VG_NO_MEMORY, "no memory for an axis");
        values->at = grown;
    }
    values->at[values->count++] = value;
    return VG_OK;
}

void vg_values_free(vg_values *values)
{
    free(values->at);
    *values = (vg_values){0};
}

/* What all kinds of axes share while they are parsed. */
typedef struct axis {
    const char *option, *text;
    const char *expected;
    const vg_number_range *range; /* null: whole numbers of least..most */
    uint64_t least, most;
    const char *const *names;
    vg_values *out;
} axis;

/* "--width=0: expected 1..65536"; of one item among several also which. */
static vg_status fail_item(const axis *a, const char *item, size_t length)
{
    char all[VG_SHOWN], one[VG_SHOWN];
    vg_shown(a->text, strlen(a->text), all);
    if (length == 0)
        VG_FAIL(VG_INVALID, "--%s=%s: a value is empty; expected %s", a->option, all, a->expected);
    if (length == strlen(a->text))
        VG_FAIL(VG_INVALID, "--%s=%s: expected %s", a->option, all, a->expected);
    VG_FAIL(VG_INVALID, "--%s=%s: expected %s, not '%s'", a->option, all, a->expected,
            vg_shown(item, length, one));
}

static vg_status fail_axis(const axis *a, const char *why)
{
    char all[VG_SHOWN];
    VG_FAIL(VG_INVALID, "--%s=%s: %s", a->option, vg_shown(a->text, strlen(a->text), all), why);
}

static vg_status push_item(const axis *a, vg_value value)
{
    if (a->out->count >= VG_MAX_AXIS_VALUES)
        return fail_axis(a, "more than 65536 values");
    return push(a->out, value);
}

static bool parse_value(const axis *a, const char *item, size_t length, vg_value *out)
{
    if (a->range == NULL)
        return vg_whole_parse(item, length, &out->whole) && out->whole >= a->least &&
               out->whole <= a->most;
    const vg_number_range *r = a->range;
    if (r->word != NULL && length == strlen(r->word) && memcmp(item, r->word, length) == 0) {
        out->number = r->word_value;
        return true;
    }
    return vg_number_parse(item, length, &out->number) && out->number >= r->least &&
           (r->below_most ? out->number < r->most : out->number <= r->most);
}

static vg_status push_whole_range(const axis *a, uint64_t first, uint64_t last, char kind,
                                  const char *step, size_t length)
{
    uint64_t by;
    if (!vg_whole_parse(step, length, &by) || by < (kind == '*' ? 2u : 1u))
        return fail_axis(a, "a range grows by *2 or more, or by +1 or more");
    if (kind == '*' && first == 0)
        return fail_axis(a, "a range that starts at 0 cannot grow by a factor");
    if (first > last)
        return fail_axis(a, "the range is reversed: it goes from the smaller to the larger");
    for (uint64_t v = first; v <= last;) {
        VG_TRY(push_item(a, (vg_value){.whole = v}));
        uint64_t room = kind == '*' ? last / by : last - v;
        if (kind == '*' ? v > room : by > room)
            break;
        v = kind == '*' ? v * by : v + by;
    }
    return VG_OK;
}

static vg_status push_number_range(const axis *a, double first, double last, char kind,
                                   const char *step, size_t length)
{
    double by;
    if (!vg_number_parse(step, length, &by) || !(by > (kind == '*' ? 1 : 0)))
        return fail_axis(a, "a range grows by a factor above 1 or by a step above 0");
    if (isnan(first) || isnan(last))
        return fail_axis(a, "a range goes from a number to a number");
    if (kind == '*' && !(first > 0))
        return fail_axis(a, "a range that grows by a factor starts above 0");
    if (first > last)
        return fail_axis(a, "the range is reversed: it goes from the smaller to the larger");
    double before = -INFINITY, v = first;
    for (uint64_t i = 1; v <= last; i++) {
        if (!(v > before))
            return fail_axis(a, "the step is too small for the range's numbers");
        VG_TRY(push_item(a, (vg_value){.number = v}));
        before = v;
        /* so that 3 steps of 0.1 are 0.3 */
        v = vg_number_tidy(kind == '*' ? v * by : first + (double)i * by);
    }
    return VG_OK;
}

/* One value, or FIRST:LAST:*FACTOR, or FIRST:LAST:+STEP. */
static vg_status push_number_item(const axis *a, const char *item, size_t length)
{
    vg_value value, last;
    const char *colon = memchr(item, ':', length);
    if (colon == NULL) {
        if (!parse_value(a, item, length, &value))
            return fail_item(a, item, length);
        return push_item(a, value);
    }
    const char *end = item + length;
    const char *second = memchr(colon + 1, ':', (size_t)(end - (colon + 1)));
    if (second == NULL || end - second < 2 || (second[1] != '*' && second[1] != '+'))
        return fail_axis(a, "a range is FIRST:LAST:*FACTOR or FIRST:LAST:+STEP");
    if (!parse_value(a, item, (size_t)(colon - item), &value))
        return fail_item(a, item, (size_t)(colon - item));
    if (!parse_value(a, colon + 1, (size_t)(second - (colon + 1)), &last))
        return fail_item(a, colon + 1, (size_t)(second - (colon + 1)));
    size_t step_length = (size_t)(end - (second + 2));
    if (a->range == NULL)
        return push_whole_range(a, value.whole, last.whole, second[1], second + 2, step_length);
    return push_number_range(a, value.number, last.number, second[1], second + 2, step_length);
}

vg_status vg_fail_choice(const char *option, const char *text, size_t length,
                         const char *const *names)
{
    char shown[VG_SHOWN], all[320] = "";
    vg_shown(text, length, shown);
    for (size_t i = 0, n = 0; names[i] != NULL && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? ", " : "", names[i]);
    const char *near = vg_nearest(shown, names);
    if (near != NULL)
        VG_FAIL(VG_INVALID, "--%s=%s: did you mean '%s'? expected %s", option, shown, near, all);
    VG_FAIL(VG_INVALID, "--%s=%s: expected %s", option, shown, all);
}

static vg_status push_choice_item(const axis *a, const char *item, size_t length)
{
    for (uint64_t i = 0; a->names[i] != NULL; i++)
        if (strlen(a->names[i]) == length && memcmp(a->names[i], item, length) == 0)
            return push_item(a, (vg_value){.whole = i});
    return vg_fail_choice(a->option, item, length, a->names);
}

static vg_status push_init_item(const axis *a, const char *item, size_t length)
{
    vg_value value;
    if (length == 0)
        return fail_item(a, item, length);
    if (vg_init_parse(item, length, &value.init) != VG_OK) {
        static const char *const names[] = {
#define NAME(id, name, least, most) name,
            VG_INITIALISERS(NAME)
#undef NAME
                NULL};
        size_t word = 0;
        while (word < length && item[word] != ':')
            word++;
        for (size_t i = 0; names[i] != NULL; i++)
            if (strlen(names[i]) == word && memcmp(names[i], item, word) == 0)
                return VG_INVALID; /* the numbers: the reason says so */
        return vg_fail_choice(a->option, item, word, names);
    }
    return push_item(a, value);
}

/* Every item of the text, separated by commas. */
static vg_status push_items(const axis *a,
                            vg_status (*push_one)(const axis *, const char *item, size_t length))
{
    for (const char *item = a->text;;) {
        size_t length = strcspn(item, ",");
        VG_TRY(push_one(a, item, length));
        if (item[length] == '\0')
            return VG_OK;
        item += length + 1;
    }
}

vg_status vg_axis_whole(const char *option, const char *text, uint64_t least, uint64_t most,
                        vg_values *out)
{
    char expected[64];
    snprintf(expected, sizeof expected, "%llu..%llu", (unsigned long long)least,
             (unsigned long long)most);
    const axis a = {.option = option,
                    .text = text,
                    .expected = expected,
                    .least = least,
                    .most = most,
                    .out = out};
    return push_items(&a, push_number_item);
}

vg_status vg_axis_number(const char *option, const char *text, const vg_number_range *range,
                         vg_values *out)
{
    const axis a = {
        .option = option, .text = text, .expected = range->expected, .range = range, .out = out};
    return push_items(&a, push_number_item);
}

vg_status vg_axis_choice(const char *option, const char *text, const char *const *names,
                         vg_values *out)
{
    const axis a = {.option = option, .text = text, .names = names, .out = out};
    return push_items(&a, push_choice_item);
}

vg_status vg_axis_init(const char *option, const char *text, vg_values *out)
{
    const axis a = {.option = option,
                    .text = text,
                    .expected = "an initialiser as xavier or normal:1.5",
                    .out = out};
    return push_items(&a, push_init_item);
}

vg_status vg_duration_parse(const char *option, const char *text, double least, double *out)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"", 1}};
    size_t length = strlen(text);
    char shown[VG_SHOWN];
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit = strlen(units[i].unit);
        double value;
        if (length < unit || memcmp(text + length - unit, units[i].unit, unit) != 0)
            continue;
        if (!vg_number_parse(text, length - unit, &value))
            break;
        /* 200ms is 0.2 s to the last bit: divided where the unit is a whole part of a second. */
        value =
            units[i].seconds < 1 ? value / round(1 / units[i].seconds) : value * units[i].seconds;
        if (!(value >= least && value <= 86400))
            break;
        *out = value;
        return VG_OK;
    }
    VG_FAIL(VG_INVALID, "--%s=%s: expected a duration as 0.2s, 200ms or 1m, from %gs to 1440m",
            option, vg_shown(text, length, shown), least);
}
