/* AMX tiles in plain C: the vocabulary of simd/amx.h by the manual's word, for processors that have
 * none. Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG to
 * TILEZERO: TDPBF16PS sums the even and the odd products of a row and a column apart, each by a
 * chain of fused multiply-adds from zero on, adds the two, and then the sum to what was there; to
 * nearest even, subnormals zero on the way in and out, MXCSR neither read nor written. Where an
 * instruction would fault, the test dies. Include after bf16.h. */
#ifndef VG_TESTS_AMX_TILES_H
#define VG_TESTS_AMX_TILES_H

#include "simd/amx_shapes.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct tile_state {
    amx_shapes shapes; /* palette 0: not configured */
    unsigned char data[AMX_REGISTERS][AMX_ROWS][AMX_ROW_BYTES];
} tile_state;

static _Thread_local tile_state tiles;
static atomic_int tiles_configured; /* threads that are, and how often one has been */
static atomic_int tiles_configurations;

#define TILES_MUST(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s: a fault: not %s\n", __func__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void tiles_configure(const amx_shapes *shapes)
{
    static const amx_shapes zeros;
    TILES_MUST(shapes->palette == 1 && shapes->start_row < AMX_ROWS);
    TILES_MUST(memcmp(shapes->reserved, zeros.reserved, sizeof zeros.reserved) == 0);
    for (int i = 0; i < 16; i++) {
        TILES_MUST(shapes->row_bytes[i] <= (i < AMX_REGISTERS ? AMX_ROW_BYTES : 0));
        TILES_MUST(shapes->rows[i] <= (i < AMX_REGISTERS ? AMX_ROWS : 0));
        TILES_MUST(!shapes->rows[i] == !shapes->row_bytes[i]);
    }
    if (tiles.shapes.palette == 0)
        atomic_fetch_add(&tiles_configured, 1);
    atomic_fetch_add(&tiles_configurations, 1);
    tiles = (tile_state){.shapes = *shapes};
}

static inline void tiles_release(void)
{
    if (tiles.shapes.palette)
        atomic_fetch_sub(&tiles_configured, 1);
    tiles = (tile_state){.shapes = {.palette = 0}};
}

static inline void tile_is_here(int tile)
{
    TILES_MUST(tile >= 0 && tile < AMX_REGISTERS && tiles.shapes.palette == 1 &&
               tiles.shapes.rows[tile]);
}

static inline void tile_zero(int tile)
{
    tile_is_here(tile);
    memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
}

static inline void tile_load(int tile, const void *from, size_t row_bytes)
{
    const unsigned char *at = from;
    tile_zero(tile);
    for (int i = 0; i < tiles.shapes.rows[tile]; i++, at += row_bytes)
        memcpy(tiles.data[tile][i], at, tiles.shapes.row_bytes[tile]);
}

static inline void tile_store(int tile, void *to, size_t row_bytes)
{
    unsigned char *at = to;
    tile_is_here(tile);
    for (int i = 0; i < tiles.shapes.rows[tile]; i++, at += row_bytes)
        memcpy(at, tiles.data[tile][i], tiles.shapes.row_bytes[tile]);
}

static inline float tile_flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* Whether a result is subnormal is asked of it before it is rounded to that range, but after it is
 * to 24 bits (SDM volume 1, 4.9.1.5); near there a double holds it exactly. */
static inline float tile_fma_flushed(float a, float b, float sum, float rounded)
{
    return fabs((double)a * (double)b + (double)sum) < 0x1p-126 - 0x1p-151 ? copysignf(0, rounded)
                                                                           : rounded;
}

/* A call and checks for every element would take minutes. Whatever computes in bf16 has these
 * instructions, and no memory but a tile's is touched. */
#define TILES_FAST                                                                                 \
    __attribute__((target("avx2,fma"), optimize("O3"), no_sanitize("address", "undefined")))

/* sum[n] += a[n] b[n] */
static inline TILES_FAST void tile_fma(const float *a, const float *b, float *sum)
{
    float rounded[AMX_ROW_BYTES / 2];
    bool tiny = false;
    for (int n = 0; n < AMX_ROW_BYTES / 2; n++)
        rounded[n] = fmaf(a[n], b[n], sum[n]);
    for (int n = 0; n < AMX_ROW_BYTES / 2; n++)
        tiny |= fabsf(rounded[n]) <= 0x1p-126f && rounded[n] != 0;
    for (int n = 0; n < AMX_ROW_BYTES / 2 && tiny; n++)
        if (fabsf(rounded[n]) <= 0x1p-126f)
            rounded[n] = tile_fma_flushed(a[n], b[n], sum[n], rounded[n]);
    memcpy(sum, rounded, sizeof rounded);
}

/* The numbers of a tile. */
static inline TILES_FAST void tile_halves(int tile, float (*out)[AMX_ROW_BYTES / 2])
{
    for (int i = 0; i < AMX_ROWS; i++)
        for (int j = 0; j < AMX_ROW_BYTES / 2; j++) {
            vg_bf16 half;
            memcpy(&half, &tiles.data[tile][i][2 * j], sizeof half);
            out[i][j] = tile_flushed((float)vg_bf16_value(half));
        }
}

static inline TILES_FAST void tile_dot(int sum, int a, int b)
{
    const amx_shapes *s = &tiles.shapes;
    float left[AMX_ROWS][AMX_ROW_BYTES / 2], right[AMX_ROWS][AMX_ROW_BYTES / 2];
    tile_is_here(sum);
    tile_is_here(a);
    tile_is_here(b);
    TILES_MUST(sum != a && sum != b && a != b && s->rows[sum] == s->rows[a]);
    TILES_MUST(s->row_bytes[sum] == s->row_bytes[b] && s->row_bytes[a] == 4 * s->rows[b]);
    tile_halves(a, left);
    tile_halves(b, right);
    for (int m = 0; m < s->rows[sum]; m++) {
        float apart[AMX_ROW_BYTES / 2] = {0}, sums[AMX_ROW_BYTES / 4];
        for (int k = 0; k < s->row_bytes[a] / 4; k++) {
            float pair[AMX_ROW_BYTES / 2];
            for (int n = 0; n < AMX_ROW_BYTES / 2; n++)
                pair[n] = left[m][2 * k + n % 2];
            tile_fma(pair, right[k], apart);
        }
        memcpy(sums, tiles.data[sum][m], sizeof sums);
        for (int n = 0; n < s->row_bytes[sum] / 4; n++) {
            float both = tile_flushed(apart[2 * n] + apart[2 * n + 1]);
            sums[n] = tile_flushed(tile_flushed(sums[n]) + both);
        }
        memcpy(tiles.data[sum][m], sums, sizeof sums);
    }
}

#define AMX_CONFIGURE(shapes)           tiles_configure(shapes)
#define AMX_RELEASE()                   tiles_release()
#define AMX_LOAD(tile, from, row_bytes) tile_load(tile, from, row_bytes)
#define AMX_STORE(tile, to, row_bytes)  tile_store(tile, to, row_bytes)
#define AMX_ZERO(tile)                  tile_zero(tile)
#define AMX_DOT(sum, a, b)              tile_dot(sum, a, b)

#endif
