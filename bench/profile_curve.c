/* Reading a program's slots as curves. */
#include "profile_curve.h"

#include <math.h>
#include <string.h>

const vg_profile *vg_curve_profile(const vg_program *program, const char *tensor, uint32_t layer)
{
    for (uint32_t i = 0; i < program->profile_count; i++) {
        const vg_profile *p = &program->profiles[i];
        if (p->layer == layer && strcmp(p->tensor, tensor) == 0)
            return p;
    }
    return NULL;
}

uint64_t vg_curve_length(const vg_profile *profile)
{
    return profile->steps ? profile->steps : 1;
}

double vg_curve_plain(vg_reading reading, const vg_profile *profile, uint64_t i)
{
    return vg_slot_log10(&reading.slots[profile->plain + i], 0);
}

double vg_curve_exact(vg_reading reading, const vg_profile *profile, uint64_t i)
{
    uint64_t step = profile->first_step + i;
    int64_t exponent = 0;
    if (profile->exponent != VG_NO_SLOT)
        exponent =
            reading.slots[profile->exponent + (step ? step - 1 : 0) / profile->piece].exponent;
    return vg_slot_log10(&reading.slots[profile->exact + i], exponent);
}

/* The first slot that is a step, not the initial state. */
static uint64_t first_of_steps(const vg_profile *profile)
{
    return profile->steps > 0 && profile->first_step == 0;
}

vg_slot vg_curve_total(vg_reading reading, const vg_profile *profile)
{
    vg_slot total = {0};
    for (uint64_t i = first_of_steps(profile); i < vg_curve_length(profile); i++) {
        const vg_slot *s = &reading.slots[profile->plain + i];
        total.sum_squares += ldexp(s->sum_squares, (int)(2 * s->exponent));
        total.max_abs = fmax(total.max_abs, s->max_abs);
        total.elements += s->elements;
        total.zeros += s->zeros;
        total.subnormals += s->subnormals;
        total.infinities += s->infinities;
        total.nans += s->nans;
    }
    return total;
}

typedef double curve_fn(vg_reading, const vg_profile *, uint64_t);

/* 1/2 log10 of the sum of 10^(2 v), with the largest v taken out. NaN where one of them is. */
static double total_of(vg_reading reading, const vg_profile *profile, curve_fn *value)
{
    const uint64_t first = first_of_steps(profile), length = vg_curve_length(profile);
    double most = -INFINITY, sum = 0;
    for (uint64_t i = first; i < length; i++) {
        double v = value(reading, profile, i);
        if (isnan(v))
            return v;
        most = v > most ? v : most;
    }
    if (isinf(most))
        return most;
    for (uint64_t i = first; i < length; i++)
        sum += pow(10, 2 * (value(reading, profile, i) - most));
    return most + log10(sum) / 2;
}

double vg_curve_total_plain(vg_reading reading, const vg_profile *profile)
{
    return total_of(reading, profile, vg_curve_plain);
}

double vg_curve_total_exact(vg_reading reading, const vg_profile *profile)
{
    return total_of(reading, profile, vg_curve_exact);
}

void vg_curve_depth(vg_reading reading, bool exact, double *out)
{
    const uint32_t depth = reading.program->model.depth;
    for (uint32_t k = 0; k <= depth; k++) {
        const vg_profile *dh = vg_curve_profile(reading.program, "dh", depth - k);
        out[k] = NAN;
        if (dh)
            out[k] = total_of(reading, dh, exact ? vg_curve_exact : vg_curve_plain);
    }
}

void vg_curve_time(vg_reading reading, const vg_profile *dh, bool exact, double *out)
{
    for (uint64_t i = 0; i < dh->steps; i++)
        out[dh->steps - 1 - i] =
            exact ? vg_curve_exact(reading, dh, i) : vg_curve_plain(reading, dh, i);
}
