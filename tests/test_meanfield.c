/* Wide random stacks against mean-field theory, within theory's own tolerance: over S seeds of the
 * weights the mean of ln(g_L² / g_0²) lies within 4 sqrt(1.5 β/S) + 0.02 of L ln χ₁ - β/2, with β =
 * L (3 μ₂/μ₁² - 1)/W and μ_k = E[f'^{2k}]. */
#include "numbers.h"
#include "profile_curve.h"
#include "theory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run_model.h"

enum { DEPTH = 12, WIDTH = 128, SEEDS = 120 };

/* Writes the weights of another seed; the model that the program was lowered from is ours. */
static void draw_weights(run_model *run, uint64_t seed)
{
    run->program->model.seed = seed;
    for (uint32_t i = 0; i < run->program->tensor_count; i++) {
        const vg_tensor *t = &run->program->tensors[i];
        if (t->role == VG_ROLE_OUTPUT || t->role == VG_ROLE_GRADIENT)
            continue;
        double *values = malloc(run_elements(t) * sizeof *values);
        assert_non_null(values);
        run_try(run, t->name, vg_fill(run->program, t, values));
        run_write(run, t->name, values);
        free(values);
    }
}

/* Scales x so that the mean of its squares is `square`: the first layer's q is then the wanted one.
 */
static void start_at(const run_model *run, double square)
{
    double *x = run_read(run, "x"), sum = 0;
    for (size_t i = 0; i < WIDTH; i++)
        sum += x[i] * x[i];
    for (size_t i = 0; i < WIDTH; i++)
        x[i] *= sqrt(square * WIDTH / sum);
    run_write(run, "x", x);
    free(x);
}

typedef struct point {
    const char *activation;
    double sigma_w, sigma_b;
    double chi; /* as published */
} point;

static const point points[] = {
    {"tanh", 0.9, 0, 0.8100},    {"tanh", 1.1, 0, 1.01019},
    {"tanh", 2.0, 0, 1.36267},   {"tanh", 1.3270098, 0.2236068, 1},
    {"sigmoid", 1, 0, 0.055721}, {"sigmoid", 4, 0, 0.398879},
    {"relu", 1.2, 0, 0.72},      {"leaky_relu", 1.2, 0, 0.720072},
    {"maxout", 1.2, 0, 1.44},    {"identity", 1.2, 0, 1.44},
};

static double mean_log_ratio(const char *device, const point *p, double square)
{
    char name[VG_CASE_NAME], init[96], numbers[2][32];
    vg_number_name(p->sigma_w, numbers[0], sizeof numbers[0]);
    vg_number_name(p->sigma_b, numbers[1], sizeof numbers[1]);
    snprintf(init, sizeof init, "normal:%s%s%s", numbers[0], p->sigma_b > 0 ? ":" : "",
             p->sigma_b > 0 ? numbers[1] : "");
    snprintf(name, sizeof name, "stack-%s/d%d/w%d/b1/fp32/%s/loss-random/seed1", p->activation,
             DEPTH, WIDTH, init);
    run_model run;
    double sum = 0, curve[DEPTH + 1];
    run_load(&run, name, device, NULL, 0);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        draw_weights(&run, seed);
        start_at(&run, square);
        run_passes(&run, VG_PASS_FWD | VG_PASS_LOSS | VG_PASS_EXACT);
        vg_curve_depth((vg_reading){run.program, run.slots}, true, curve);
        sum += 2 * log(10) * (curve[DEPTH] - curve[0]);
    }
    run_free(&run);
    return sum / SEEDS;
}

static void check_point(const char *device, const point *p)
{
    vg_activation activation = VG_identity;
    for (int a = 0; a < VG_ACTIVATION_COUNT; a++)
        if (strcmp(vg_activation_find((vg_activation)a)->name, p->activation) == 0)
            activation = (vg_activation)a;
    double q, chi, sw2 = p->sigma_w * p->sigma_w, sb2 = p->sigma_b * p->sigma_b;
    vg_theory_fixed_point(activation, 0.01, sw2, sb2, &q, &chi);
    /* Without a fixed point of its own any q will do; tanh under χ = 1 falls towards 0. */
    if (!(q > 0 && q < INFINITY))
        q = activation == VG_tanh ? 1e-6 : 1;
    vg_moments m = vg_theory_moments(activation, 0.01, q);
    double beta = DEPTH * (3 * m.d4 / (m.d2 * m.d2) - 1) / WIDTH;
    double tolerance = 4 * sqrt(1.5 * beta / SEEDS) + 0.02;
    double expected = DEPTH * log(p->chi) - beta / 2;
    double measured = mean_log_ratio(device, p, (q - sb2) / sw2);
    print_message("%s, sigma_w = %g: %.4f, theory %.4f, tolerance %.4f\n", p->activation,
                  p->sigma_w, measured, expected, tolerance);
    if (!(fabs(measured - expected) <= tolerance))
        fail_msg("%s on %s, sigma_w = %g: %.4f, theory %.4f, tolerance %.4f", p->activation, device,
                 p->sigma_w, measured, expected, tolerance);
}

static void points_of_mean_field(void **state)
{
    (void)state;
    /* The best CPU device comes last of its family; ref where there is none. */
    const char *device = "ref";
    for (EACH_DEVICE(on))
        if (strncmp(on, "cpu.", 4) == 0)
            device = on;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        check_point(device, &points[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(points_of_mean_field)};
    return cmocka_run_group_tests(tests, run_find_devices, run_free_devices);
}
