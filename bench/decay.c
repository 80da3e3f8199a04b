/* How a gradient decays with its distance from the loss: rate, reach and verdict of one curve. */
#include "vg/measure.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static const double ln_10 = 2.302585092994045684, log10_2 = 0.301029995663981195;

enum { POINTS_NEEDED = 5 };

const char *vg_direction_name(vg_direction direction)
{
    return direction == VG_TIME ? "time" : "depth";
}

const char *vg_verdict_name(vg_verdict verdict)
{
    static const char *const names[] = {
        [VG_OVERFLOW] = "overflow",   [VG_DEAD] = "dead",     [VG_VANISHING] = "vanishing",
        [VG_EXPLODING] = "exploding", [VG_STABLE] = "stable",
    };
    return (unsigned)verdict < VG_VERDICT_COUNT ? names[verdict] : "unknown";
}

double vg_slot_norm(const vg_slot *slot)
{
    return ldexp(sqrt(slot->sum_squares), (int)slot->exponent);
}

double vg_slot_log10(const vg_slot *slot, int64_t exponent)
{
    if (slot->nans > 0 || slot->infinities > 0 || !(slot->sum_squares <= DBL_MAX))
        return NAN;
    return log10(slot->sum_squares) / 2 + (double)(slot->exponent + exponent) * log10_2;
}

/* The least-squares line through ln g_k where g_k is not zero, without the first and last 10 % of
 * the curve. */
static void fit_rate(const double *exact, size_t n, vg_decay *out)
{
    size_t first = n / 10, end = n - n / 10, count = 0;
    double mean_k = 0, mean_g = 0, kk = 0, kg = 0, gg = 0;
    for (size_t k = first; k < end; k++)
        if (isfinite(exact[k])) {
            count++;
            mean_k += ((double)k - mean_k) / (double)count;
            mean_g += (exact[k] * ln_10 - mean_g) / (double)count;
        }
    if (count < POINTS_NEEDED)
        return;
    for (size_t k = first; k < end; k++)
        if (isfinite(exact[k])) {
            double dk = (double)k - mean_k, dg = exact[k] * ln_10 - mean_g;
            kk += dk * dk;
            kg += dk * dg;
            gg += dg * dg;
        }
    double slope = kg / kk;
    out->rate = exp(slope);
    out->half_life = log(2) / fabs(slope);
    out->r2 = gg > 0 ? kg * kg / (kk * gg) : 1;
}

static bool all_finite_or_zero(const double *log10_norm, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (!(log10_norm[k] <= DBL_MAX))
            return false;
    return true;
}

static bool differ(double plain, double exact)
{
    if (plain == exact)
        return false;
    return !(fabs(expm1((plain - exact) * ln_10)) <= 0.01);
}

static vg_verdict verdict_of(const double *exact, size_t n)
{
    double ratio = exact[n - 1] - exact[0];
    if (!all_finite_or_zero(exact, n))
        return VG_OVERFLOW;
    if (isinf(exact[0]) || isinf(exact[n - 1]))
        return VG_DEAD;
    if (ratio < -3)
        return VG_VANISHING;
    return ratio > 3 ? VG_EXPLODING : VG_STABLE;
}

void vg_decay_fit(const double *exact, const double *plain, size_t n, bool fit, vg_decay *out)
{
    assert(n > 0);
    out->rate = out->half_life = out->r2 = NAN;
    out->reach = out->underflow_at = out->subnormal_at = -1;
    out->log10_ratio = exact[n - 1] - exact[0];
    out->verdict = verdict_of(exact, n);
    if (out->verdict == VG_OVERFLOW)
        return;
    if (fit)
        fit_rate(exact, n, out);
    for (size_t k = 0; k < n && isfinite(exact[0]); k++)
        if (exact[k] >= exact[0] - 3)
            out->reach = (int64_t)k;
    for (size_t k = n; k-- > 0;)
        if (differ(plain[k], exact[k]))
            out->underflow_at = (int64_t)k;
}
