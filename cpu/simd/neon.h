/* The vector vocabulary (scalar.h) over Advanced SIMD of AArch64: 4 lanes. */
#ifndef VG_SIMD_H
#define VG_SIMD_H

#include <arm_neon.h>
#include <stdint.h>

#define VF_ISA    neon
#define VF_LANES  4
#define VF_HALVES 2
#define VF_FN     static inline __attribute__((always_inline, unused))

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef float64x2_t vd;

VF_FN vf vf_set1(float c)
{
    return vdupq_n_f32(c);
}
VF_FN vf vf_zero(void)
{
    return vdupq_n_f32(0);
}
VF_FN vf vf_load(const float *p)
{
    return vld1q_f32(p);
}
VF_FN void vf_store(float *p, vf v)
{
    vst1q_f32(p, v);
}
VF_FN void vf_stream(float *p, vf v)
{
    vf_store(p, v);
}
VF_FN vf vf_load_n(const float *p, unsigned n)
{
    vf v = vdupq_n_f32(0);
    switch (n) {
    case 0: return v;
    case 1: return vld1q_lane_f32(p, v, 0);
    case 2: return vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    case 3: return vld1q_lane_f32(p + 2, vcombine_f32(vld1_f32(p), vdup_n_f32(0)), 2);
    default: return vld1q_f32(p);
    }
}
VF_FN void vf_store_n(float *p, vf v, unsigned n)
{
    switch (n) {
    case 0: return;
    case 1: vst1q_lane_f32(p, v, 0); return;
    case 3: vst1q_lane_f32(p + 2, v, 2); /* fall through */
    case 2: vst1_f32(p, vget_low_f32(v)); return;
    default: vst1q_f32(p, v);
    }
}
VF_FN vf vf_broadcast(const float *p)
{
    return vld1q_dup_f32(p);
}
VF_FN vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
VF_FN vf vf_mul_add(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
VF_FN vf vf_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
VF_FN vf vf_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
VF_FN vf vf_abs(vf v)
{
    return vabsq_f32(v);
}
VF_FN vf vf_copysign(vf a, vf b)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), b, a);
}
VF_FN vf vf_select_gt(vf x, vf y, vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(x, y), a, b);
}
VF_FN vf vf_select_le0(vf z, vf a, vf b)
{
    return vbslq_f32(vclezq_f32(z), a, b);
}
VF_FN vf vf_select_nan(vf z, vf a, vf b)
{
    return vbslq_f32(vceqq_f32(z, z), b, a);
}
VF_FN float vf_sum(vf v)
{
    float32x2_t two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
VF_FN void vf_transpose(vf r[VF_LANES])
{
    float32x4x2_t top = vtrnq_f32(r[0], r[1]), low = vtrnq_f32(r[2], r[3]);
    for (int i = 0; i < 2; i++) {
        r[i] = vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(low.val[i]));
        r[i + 2] = vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(low.val[i]));
    }
}

VF_FN vi vf_bits(vf v)
{
    return vreinterpretq_s32_f32(v);
}
VF_FN vf vi_float(vi v)
{
    return vreinterpretq_f32_s32(v);
}
VF_FN vi vi_set1(int32_t c)
{
    return vdupq_n_s32(c);
}
VF_FN vi vi_shift_left(vi v, int by)
{
    return vshlq_s32(v, vdupq_n_s32(by));
}
VF_FN vi vi_flag_lt(vi a, vi b)
{
    return -(a < b);
}
VF_FN vi vi_flag_eq(vi a, vi b)
{
    return -(a == b);
}
VF_FN vi vi_max(vi a, vi b)
{
    return vmaxq_s32(a, b);
}
VF_FN void vi_store(int32_t *p, vi v)
{
    vst1q_s32(p, v);
}

VF_FN vd vd_zero(void)
{
    return vdupq_n_f64(0);
}
VF_FN vd vd_half(vf v, int i)
{
    return i ? vcvt_high_f64_f32(v) : vcvt_f64_f32(vget_low_f32(v));
}
VF_FN vd vd_fma(vd a, vd b, vd c)
{
    return vfmaq_f64(c, a, b);
}
VF_FN void vd_store(double *p, vd v)
{
    vst1q_f64(p, v);
}

#endif
