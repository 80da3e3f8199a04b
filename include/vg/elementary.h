/* sigmoid and tanh over the vector type `vf`: correctly rounded operations alone (+ - · / fma and
 * bit moves), so every instruction set, and every GPU, gives the same bits. NaN stays NaN. Worst
 * error against double over all floats, as tests/test_math.c --slow finds it: sigmoid 1.75 ULP,
 * tanh 1.97 ULP (of the exact value's binade; in the subnormals 2^-149).
 * Before including, define `vf`, lanes of float with their operators + - * / (unary minus too),
 * and:
 *   vf_set1(c)              every lane c
 *   vf_fma(a, b, c)         a·b + c, rounded once
 *   vf_max(a, b), vf_min(a, b)   a > b ? a : b, a < b ? a : b: b where either is NaN
 *   vf_abs(v), vf_copysign(a, b) |a| with the sign of b
 *   vf_bits(v), vi_float(i)      the same bits as integers, and back
 *   vi_shift_left(i, by)    of all 32 bits
 * VF_FN is what a function is declared with (static inline by default). */
#ifndef VF_FN
#define VF_FN static inline
#endif

/* x = n·ln 2 + r, |r| <= ln 2 / 2: returns p with e^x = 2^n (1 + p), p = e^r - 1 relatively
 * accurate for small r; *scale = 2^(n + lift). Polynomial: minimax in relative error, 2^-26. For
 * |x| <= 2^21 as far as n + lift is in [-126, 127]. */
VF_FN vf vf_exp_reduced(vf x, int lift, vf *scale)
{
    /* Added to 1.5 · 2^23, a number is rounded to an integer, which then is the low bits. */
    vf magic = vf_set1((float)(0xc00000 + 127 + lift));
    vf shifted = vf_fma(x, vf_set1(0x1.715476p+0f), magic);
    vf n = shifted - magic;
    *scale = vi_float(vi_shift_left(vf_bits(shifted), 23));
    vf r = vf_fma(n, vf_set1(-0x1.62e4p-1f), x);
    r = vf_fma(n, vf_set1(-0x1.7f7d1cp-20f), r);
    vf q = vf_set1(0x1.6e4feep-10f);
    q = vf_fma(q, r, vf_set1(0x1.12342ap-7f));
    q = vf_fma(q, r, vf_set1(0x1.555448p-5f));
    q = vf_fma(q, r, vf_set1(0x1.5554a0p-3f));
    q = vf_fma(q, r, vf_set1(0.5f));
    return vf_fma(q, r * r, r);
}

/* 1 / (1 + e^-z). All is lifted by 2^-64 until the last product, which rounds once into the
 * subnormals: no tail overflows. */
VF_FN vf vf_sigmoid(vf z)
{
    vf lifted_one = vf_set1(0x1p-64f), scale;
    /* The limits first: NaN passes. e^-20 is lost beside 1, and e^-104 is zero. */
    vf x = vf_min(vf_set1(104), vf_max(vf_set1(-20), -z));
    vf p = vf_exp_reduced(x, -64, &scale);
    /* scale + 1 rounds from 2^24 on: what it lost comes back with the product. */
    vf sum = scale + lifted_one, lost = (scale - sum) + lifted_one;
    vf denominator = vf_fma(p, scale, lost) + sum;
    return vf_set1(1) / denominator * lifted_one;
}

/* |tanh z| = (1 - e) / (1 + e), e = e^(-2|z|); both sums round once, and 1 - e keeps its relative
 * accuracy for small z, where the scale is 1. From |z| = 9.02 on the result is 1. */
VF_FN vf vf_tanh(vf z)
{
    vf one = vf_set1(1), scale;
    vf x = vf_min(vf_set1(10), vf_abs(z)) * vf_set1(-2);
    vf p = vf_exp_reduced(x, 0, &scale);
    return vf_copysign(vf_fma(p, scale, scale - one) / vf_fma(p, scale, scale + one), z);
}
