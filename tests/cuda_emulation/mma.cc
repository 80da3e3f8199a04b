/* A warp's product on the emulated tensor cores: the lanes leave their fragments, the last one to
 * come multiplies. Products and their sum are exact, and cut off to a float once: the real ones
 * keep a few bits more than a float's and cut off too. */
#include "grid.h"

#include <math.h>
#include <string.h>

struct fragments {
    float *c;
    const uint32_t *a, *b;
};

static double number(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Number i of a word: tf32 has one and its upper 19 bits count. */
static double part(emu_kind kind, uint32_t word, int i)
{
    if (kind == EMU_MMA_TF32)
        return number(word & ~0x1fffu);
    return number(i ? word & 0xffff0000u : word << 16);
}

static float cut_off(double x)
{
    const float nearest = (float)x;
    const bool over = fabs((double)nearest) > fabs(x) && isfinite(nearest);
    return over ? nextafterf(nearest, 0) : nearest;
}

/* [column, row] of the product; sums belong to the lane of that column's group and row's quad. */
static void sum(emu_kind kind, const emu_thread *lanes, int column, int row)
{
    const int group = column % 8, upper = column / 8;
    const fragments *to = (const fragments *)lanes[4 * group + row / 2].value;
    float *c = to->c + 2 * upper + row % 2;
    double total = (double)*c;
    for (int word = 0; word < 8; word++) {
        const fragments *w = (const fragments *)lanes[4 * group + word % 4].value;
        const fragments *v = (const fragments *)lanes[4 * row + word % 4].value;
        for (int i = 0; i < (kind == EMU_MMA_TF32 ? 1 : 2); i++)
            total += part(kind, w->a[upper + word / 4 * 2], i) * part(kind, v->b[word / 4], i);
    }
    *c = cut_off(total);
}

void emu_multiply(emu_kind kind, const emu_thread *lanes)
{
    for (int column = 0; column < 16; column++)
        for (int row = 0; row < 8; row++)
            sum(kind, lanes, column, row);
}

void emu_mma(emu_kind kind, float *c, const uint32_t *a, const uint32_t *b, emu_site site)
{
    const fragments mine = {c, a, b};
    emu_collective(kind, UINT32_MAX, (uint64_t)(uintptr_t)&mine, 0, site);
}
