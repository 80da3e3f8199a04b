/* Numbers as text and back, in the C locale whatever the user's. */
#include "numbers.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 64 };

bool vg_whole_parse(const char *text, size_t length, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return length > 0;
}

static size_t skip_digits(const char *text, size_t length, size_t i)
{
    while (i < length && text[i] >= '0' && text[i] <= '9')
        i++;
    return i;
}

static bool is_number(const char *text, size_t length)
{
    size_t i = length > 0 && (text[0] == '+' || text[0] == '-') ? 1 : 0;
    size_t end = skip_digits(text, length, i);
    size_t digits = end - i;
    i = end;
    if (i < length && text[i] == '.') {
        end = skip_digits(text, length, i + 1);
        digits += end - (i + 1);
        i = end;
    }
    if (digits == 0)
        return false;
    if (i < length && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < length && (text[i] == '+' || text[i] == '-'))
            i++;
        end = skip_digits(text, length, i);
        if (end == i)
            return false;
        i = end;
    }
    return i == length;
}

bool vg_number_parse(const char *text, size_t length, double *out)
{
    char copy[MAX_NUMBER];
    if (length >= sizeof copy || !is_number(text, length))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return false;
    double value = strtod_l(copy, NULL, c);
    freelocale(c);
    *out = value;
    return isfinite(value);
}

/* Takes the zeros out of an exponent: "1e-05" -> "1e-5", "1e+20" -> "1e20". */
static void tidy_exponent(char *text)
{
    char *e = strchr(text, 'e');
    if (e == NULL)
        return;
    char *to = e + 1, *from = e + 1;
    if (*from == '+')
        from++;
    else if (*from == '-')
        *to++ = *from++;
    while (*from == '0' && from[1] != '\0')
        from++;
    memmove(to, from, strlen(from) + 1);
}

/* The shorter of the plain and the scientific form, in the thread's present locale. */
static void name_number(double value, char *out, size_t size)
{
    char scientific[MAX_NUMBER], plain[400];
    int digits = 0;
    do {
        snprintf(scientific, sizeof scientific, "%.*e", digits, value);
    } while (strtod(scientific, NULL) != value && isfinite(value) && ++digits < 17);
    int exponent = isfinite(value) && value != 0 ? atoi(strchr(scientific, 'e') + 1) : 0;
    tidy_exponent(scientific);
    snprintf(plain, sizeof plain, "%.*f", digits > exponent ? digits - exponent : 0, value);
    bool fixed = strtod(plain, NULL) == value && strlen(plain) <= strlen(scientific);
    snprintf(out, size, "%s", fixed || value == 0 ? plain : scientific);
}

void vg_number_name(double value, char *out, size_t size)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = c != (locale_t)0 ? uselocale(c) : (locale_t)0;
    name_number(value, out, size);
    if (c != (locale_t)0) {
        uselocale(before);
        freelocale(c);
    }
}

double vg_number_tidy(double value)
{
    char text[MAX_NUMBER];
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return value;
    locale_t before = uselocale(c);
    snprintf(text, sizeof text, "%.14e", value);
    double tidied = strtod(text, NULL);
    uselocale(before);
    freelocale(c);
    return tidied;
}
