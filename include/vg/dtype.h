/* Number formats: of a case (fp32, tf32, bf16, fp64) and of a window of memory (u8 besides). */
#ifndef VG_DTYPE_H
#define VG_DTYPE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(enumerator, name, bytes an element, usable as a case's dtype) */
#define VG_DTYPES(X)                                                                               \
    X(VG_FP32, "fp32", 4, 1)                                                                       \
    X(VG_TF32, "tf32", 4, 1)                                                                       \
    X(VG_BF16, "bf16", 2, 1)                                                                       \
    X(VG_FP64, "fp64", 8, 1)                                                                       \
    X(VG_U8, "u8", 1, 0)

#define VG_DTYPE_ENUMERATOR(id, name, bytes, of_a_case) id,
typedef enum vg_dtype { VG_DTYPES(VG_DTYPE_ENUMERATOR) VG_DTYPE_COUNT } vg_dtype;
#undef VG_DTYPE_ENUMERATOR

const char *vg_dtype_name(vg_dtype dtype);
size_t vg_dtype_size(vg_dtype dtype);

/* `value` rounded to the nearest value of the dtype, ties to even; NaN and infinities stay.
 * TF32 keeps 10 bits of mantissa, BF16 7. U8 is left as it is. */
double vg_dtype_round(vg_dtype dtype, double value);

/* Smallest positive normal and subnormal value (of the storage: TF32 as FP32). */
double vg_dtype_min_normal(vg_dtype dtype);
double vg_dtype_min_subnormal(vg_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
