/* Matrices for tests of kernels: between poison, and ending at a page that cannot be touched. */
#ifndef VG_TESTS_KERNEL_PLANES_H
#define VG_TESTS_KERNEL_PLANES_H

#include "isa_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* rows × cols elements, ld from row to row; what is no element holds poison (a NaN). */
typedef struct plane {
    unsigned char *base;
    size_t bytes, first, element; /* of the mapping; of the first element; size of one */
    size_t rows, cols, ld;
} plane;

enum { PLANE_HEAD = 128 }; /* bytes of poison before the first element */

static inline unsigned char plane_poison(size_t byte)
{
    static const unsigned char nan[4] = {0xad, 0x0b, 0xc0, 0x7f};
    return nan[byte % 4];
}

/* `after`: elements of poison between the last one and the forbidden page. */
static inline plane plane_new(size_t element, size_t rows, size_t cols, size_t ld, size_t after)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t data = rows ? ((rows - 1) * ld + cols) * element : 0;
    size_t bytes = (PLANE_HEAD + data + after * element + page - 1) / page * page;
    plane p = {.bytes = bytes, .element = element, .rows = rows, .cols = cols, .ld = ld};
    p.base = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p.base != MAP_FAILED);
    assert_int_equal(mprotect(p.base + bytes, page, PROT_NONE), 0);
    p.first = bytes - after * element - data;
    for (size_t i = p.first - PLANE_HEAD; i < bytes; i++)
        p.base[i] = plane_poison(i);
    return p;
}

static inline void plane_free(plane *p)
{
    munmap(p->base, p->bytes + (size_t)sysconf(_SC_PAGESIZE));
}

static inline float *plane_floats(const plane *p)
{
    return (float *)(void *)(p->base + p->first);
}

static inline unsigned char *plane_bytes(const plane *p)
{
    return p->base + p->first;
}

static inline float plane_at(const plane *p, size_t r, size_t j)
{
    return plane_floats(p)[r * p->ld + j];
}

/* Uniform in [-range, range), by a hash of seed and index. */
static inline float plane_draw(uint64_t seed, uint64_t index, float range)
{
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + index * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return range * ((float)(x >> 40) * 0x1p-23f - 1);
}

static inline void plane_random(plane *p, uint64_t seed, float range)
{
    for (size_t r = 0; r < p->rows; r++)
        for (size_t j = 0; j < p->cols; j++)
            plane_floats(p)[r * p->ld + j] = plane_draw(seed, r * p->cols + j, range);
}

/* Every byte that belongs to no element still holds poison. */
static inline int plane_intact(const plane *p)
{
    size_t data = p->rows ? ((p->rows - 1) * p->ld + p->cols) * p->element : 0;
    for (size_t i = p->first - PLANE_HEAD; i < p->bytes; i++) {
        size_t at = i - p->first;
        int inside = i >= p->first && at < data && at / p->element % p->ld < p->cols;
        if (!inside && p->base[i] != plane_poison(i))
            return 0;
    }
    return 1;
}

/* The same bits, NaN like NaN. */
static inline int floats_equal(float a, float b)
{
    return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0;
}

/* Sizes and places that every kernel is tried with. */
typedef struct shape {
    size_t rows, cols, pad, after;
} shape;

#define SHAPE_COUNT 72

static inline shape shape_of(size_t i, size_t lanes)
{
    const size_t cols[6] = {0, 1, lanes > 1 ? lanes - 1 : 2, lanes, lanes + 1, 3 * lanes + 2};
    const size_t rows[3] = {0, 1, 3}, pad[2] = {0, 5}, after[2] = {0, 3};
    return (shape){rows[i / 6 % 3], cols[i % 6], pad[i / 18 % 2], after[i / 36 % 2]};
}

static inline plane shape_plane(const shape *s, size_t blocks)
{
    size_t cols = s->cols * blocks;
    return plane_new(sizeof(float), s->rows, cols, cols + s->pad, s->after);
}

#endif
