/* The nearest of some names to what somebody typed. */
#include "options.h"

#include <string.h>

enum { LONGEST = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment (Damerau-Levenshtein without editing twice): insertions, deletions,
 * substitutions and swaps of neighbours. Both at most LONGEST bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t n = strlen(a), m = strlen(b);
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3], *before2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t substituted = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = smaller(substituted, smaller(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *vg_nearest(const char *typed, const char *const *names)
{
    const char *nearest = NULL;
    size_t length = strlen(typed);
    if (length == 0 || length > LONGEST)
        return NULL;
    size_t least = 1 + length / 3; /* farther is not near */
    if (least >= length)
        least = length - 1;
    for (; *names != NULL; names++) {
        if (strlen(*names) > LONGEST)
            continue;
        size_t d = distance(typed, *names);
        if (strncmp(typed, *names, length) == 0)
            d = smaller(d, 1); /* the beginning of a name */
        if (d <= least && (nearest == NULL || d < least)) {
            nearest = *names;
            least = d;
        }
    }
    return nearest;
}
