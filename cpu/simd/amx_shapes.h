/* What LDTILECFG reads: the shapes of the eight tiles (SDM volume 2, LDTILECFG). */
#ifndef VG_SIMD_AMX_SHAPES_H
#define VG_SIMD_AMX_SHAPES_H

#include <stdint.h>

enum { AMX_REGISTERS = 8, AMX_ROWS = 16, AMX_ROW_BYTES = 64 };

typedef struct amx_shapes {
    uint8_t palette; /* 1: tiles as above */
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16]; /* of the first eight; zeros after them */
    uint8_t rows[16];
} amx_shapes;

_Static_assert(sizeof(amx_shapes) == 64, "as the instruction reads it");

#endif
