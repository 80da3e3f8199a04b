/* Every tolerance of the project. They follow from the format's eps and a growth law; nothing is
 * tuned by hand. Compare with !(error <= tolerance), so that NaN fails. */
#ifndef VG_TOLERANCE_H
#define VG_TOLERANCE_H

#include "vg/device.h"

#include <float.h>
#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a device computes with: eps of its accumulator, what rounding its GEMM operands costs, and
 * twice the most that one operation loses at the low end of its range: rounding loses up to half
 * the smallest subnormal, flushing a whole number below the smallest normal. */
typedef struct vg_precision {
    double eps, tiny, most; /* most: the largest finite number */
    bool tf32;
} vg_precision;

static inline vg_precision vg_precision_of(vg_dtype dtype, vg_dtype storage, vg_denormals denormals)
{
    const bool wide = storage == VG_FP64;
    vg_precision p = {wide ? 0x1p-52 : 0x1p-23, 0, wide ? DBL_MAX : (double)FLT_MAX,
                      dtype == VG_TF32 && !wide};
    /* An accumulator of bf16 operands is fp32, and so is its range. */
    p.tiny = wide ? (denormals == VG_DENORMALS_FLUSH ? 0x1p-1021 : 0x1p-1074)
                  : (denormals == VG_DENORMALS_FLUSH ? 0x1p-125 : 0x1p-149);
    return p;
}

/* Worst error of the elementary functions, in units of the last place. */
enum { VG_ELEMENTARY_ULP = 2 };

/* How rounding grows along a reduction of `length` terms (Higham 2002, ch. 4: blocked and fused
 * sums, with a constant of 4). */
static inline double vg_growth(uint64_t length)
{
    double levels = 0;
    for (uint64_t n = 1; n < length; n *= 2)
        levels++;
    return 1 + levels;
}

/* A sum of `length` products whose absolute values sum to `magnitude`. Infinite where a partial sum
 * may leave the format's range: what comes of that proves nothing. */
static inline double vg_tolerance_sum(vg_precision p, uint64_t length, double magnitude)
{
    if (!(magnitude <= p.most))
        return INFINITY;
    return 4 * p.eps * vg_growth(length) * magnitude + 0.5 * (double)(length + 1) * p.tiny;
}

/* The same in a GEMM: tf32 rounds the operands; `squares` is Σ a²b². */
static inline double vg_tolerance_product(vg_precision p, uint64_t length, double value,
                                          double magnitude, double squares)
{
    double operands = p.tf32 ? 0x1p-9 * (fabs(value) + 4 * sqrt(squares)) : 0;
    return vg_tolerance_sum(p, length, magnitude) + operands;
}

/* An elementary function's value, and what its argument's error does to it: `slope` is the
 * derivative there, and no second derivative here exceeds 1. */
static inline double vg_tolerance_function(vg_precision p, double value, double slope,
                                           double argument)
{
    return 2 * VG_ELEMENTARY_ULP * p.eps * fabs(value) + (fabs(slope) + argument) * argument +
           p.tiny;
}

/* A product with a derivative in it: every rounding counts twice. */
static inline double vg_tolerance_derivative(vg_precision p, uint64_t length, double magnitude)
{
    return 2 * vg_tolerance_sum(p, length, magnitude);
}

/* What rounding to the format of the window adds. */
static inline double vg_tolerance_stored(vg_dtype window, double value)
{
    return window == VG_BF16 ? 0x1p-8 * fabs(value) : 0;
}

/* Sums in double of `length` terms, one after the other, that a slot holds. */
static inline double vg_tolerance_slot(uint64_t length, double magnitude)
{
    return 4 * 0x1p-52 * (1 + sqrt((double)length)) * magnitude;
}

/* |ln| of the ratio of two norms beyond the depth at which chaos parts two correct devices: they
 * are then two draws of a random net, whose squared norm spreads by 1.5 β / B in ln, β = L (3
 * μ₂/μ₁² - 1)/W over L layers or steps of W units; μ₂/μ₁² is about 1/mean |f'| where that is far
 * from 1. */
static inline double vg_tolerance_chaos(double layers, double width, double batch,
                                        double derivative)
{
    const double beta = layers * (3 / derivative - 1) / width;
    const double spread = 4 * sqrt(2 * 1.5 * beta / batch) / 2;
    return spread > 0.5 ? spread : 0.5;
}

/* The same within that depth (exact reading). reduction: K·T·L; passed: layers or steps from the
 * loss; derivative: mean |f'| of the census (1 where unknown). */
static inline double vg_tolerance_norm(vg_dtype dtype, bool kink, double reduction, double passed,
                                       double derivative)
{
    const double eps = dtype == VG_TF32   ? 0x1p-10
                       : dtype == VG_BF16 ? 0x1p-8
                       : dtype == VG_FP64 ? 0x1p-52
                                          : 0x1p-23;
    const double least = dtype == VG_TF32 || dtype == VG_BF16 || kink ? 0.02
                         : dtype == VG_FP64                           ? 1e-12
                                                                      : 1e-5;
    const double slope = derivative > 0 && derivative < 1 ? derivative : 1;
    const double grown = 4 * eps * (1 + ceil(log2(reduction))) * (passed < 1 ? 1 : passed) / slope;
    return grown > least ? grown : least;
}

/* ‖peer - ref‖ / ‖ref‖ of a tensor of a peer whose inside cannot be read. */
static inline double vg_tolerance_opaque(void)
{
    return 0.02;
}

/* The largest element of a reference below which such a tensor says nothing: the smallest normal
 * number, and where a device flushes, what `length` flushed terms may make of the tensor. */
static inline double vg_tolerance_opaque_least(double min_normal, vg_denormals denormals,
                                               uint64_t length)
{
    return denormals == VG_DENORMALS_FLUSH ? min_normal * (double)length / vg_tolerance_opaque()
                                           : min_normal;
}

/* Share of zeros where the reference has none, beyond which an output is not trusted. */
static inline double vg_tolerance_zeros(void)
{
    return 0.3;
}

#ifdef __cplusplus
}
#endif
#endif
