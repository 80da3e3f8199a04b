/* The recurrent cells of every usable instruction set, against the same equations in double. */
#include "kernel_trial.h"
#include "ref_vf.h"

#define EPS 0x1p-23
#define F(blocks, range)                                                                           \
    {                                                                                              \
        blocks, sizeof(float), 0, range                                                            \
    }
#define ROW(blocks, range)                                                                         \
    {                                                                                              \
        blocks, sizeof(float), 1, range                                                            \
    }

/* Cells with an activation to each, where they take one. */
typedef struct instance {
    vg_model_kind cell;
    vg_activation activation;
    size_t gates, states, kept;
    int differ;
} instance;

enum { MAX_INSTANCES = VG_MODEL_COUNT * VG_ACTIVATION_COUNT };
static instance instances[MAX_INSTANCES];
static int instance_count;

static void add_instances(instance each, int takes)
{
    static const int in_rnn[] = {
#define VG_ACTIVATION(id, stack, rnn, bound, kink) [VG_##id] = rnn,
#include "vg/activations.def"
#undef VG_ACTIVATION
    };
    if (!takes)
        instances[instance_count++] = each;
    for (int a = 0; takes && a < VG_ACTIVATION_COUNT; a++)
        if (in_rnn[a]) {
            each.activation = (vg_activation)a;
            instances[instance_count++] = each;
        }
}

static int list_instances(void **state)
{
    (void)state;
#define VG_CELL(id, gates, states, kept, differ, takes, forget)                                    \
    add_instances((instance){VG_##id, VG_identity, gates, states, kept, differ}, takes);
#include "vg/cells.def"
#undef VG_CELL
    return 0;
}

static vg_gates_in gates_in(const plane *p)
{
    return (vg_gates_in){plane_floats(p), p->ld, p->cols / VG_MAX_GATES};
}
static vg_gates gates_of(const plane *p)
{
    return (vg_gates){plane_floats(p), p->ld, p->cols / VG_MAX_GATES};
}

/* Forward: x, h, bias, two states -> two states, kept. Odd variants have no h. */
static void call_fwd(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    const instance *i = instances + variant / 2;
    vg_cell_fwd_step c = {.cell = i->cell, .activation = i->activation};
    c.rows = in[3].rows, c.units = in[3].cols;
    c.x = gates_in(in), c.bias = gates_in(in + 2);
    if (variant % 2 == 0)
        c.h = gates_in(in + 1);
    for (size_t s = 0; s < i->states; s++) {
        c.state[s] = rows_in(in + 3 + s);
        c.out[s] = rows_of(out + s);
    }
    c.kept = gates_of(out + 2);
    k->cell_fwd(&c);
}

static double want_fwd(int variant, const plane *in, size_t out, size_t r, size_t j,
                       double *tolerance)
{
    const instance *i = instances + variant / 2;
    double x[VG_MAX_GATES], h[VG_MAX_GATES], s[VG_MAX_STATES], s1[VG_MAX_STATES], k[VG_MAX_KEPT];
    size_t units = in[3].cols, u = j % units, block = j / units;
    for (size_t g = 0; g < i->gates; g++) {
        x[g] = plane_at(in, r, g * units + u);
        h[g] = plane_at(in + 2, 0, g * units + u);
        if (variant % 2 == 0)
            h[g] += plane_at(in + 1, r, g * units + u);
    }
    for (size_t n = 0; n < i->states; n++)
        s[n] = plane_at(in + 3 + n, r, u);
    vg_cell_fwd(i->cell, i->activation, x, h, s, s1, k);
    *tolerance = (out < 2 ? out < i->states : block < i->kept) ? 24 * EPS : UNTOUCHED;
    return *tolerance == UNTOUCHED ? 0 : out < 2 ? s1[out] : k[block];
}

/* Backward: kept, states before and after, carries, product, dy -> dx, dh, dstates, totals. What
 * there is beside the first three: */
enum { HAS_CARRY = 1, HAS_PRODUCT = 2, HAS_DY = 4, HAS_DSTATE = 8, HAS_TOTAL = 16 };
static const int bwd_with[] = {31, 0, HAS_PRODUCT | HAS_DSTATE, HAS_CARRY | HAS_DY | HAS_DSTATE,
                               HAS_DY | HAS_TOTAL};
enum { BWD_WITH = sizeof bwd_with / sizeof *bwd_with };

static void call_bwd(const vg_kernels *k, int variant, const plane *in, const plane *out)
{
    const instance *i = instances + variant / BWD_WITH;
    int with = bwd_with[variant % BWD_WITH];
    vg_cell_bwd_step c = {.cell = i->cell, .activation = i->activation};
    c.rows = in[1].rows, c.units = in[1].cols;
    c.kept = gates_in(in);
    for (size_t s = 0; s < i->states; s++) {
        c.state[s] = rows_in(in + 1 + s);
        c.out[s] = rows_in(in + 3 + s);
        if (with & HAS_CARRY)
            c.carry[s] = rows_in(in + 5 + s);
        if (with & HAS_DSTATE)
            c.dstate[s] = rows_of(out + 2 + s);
        if (with & HAS_TOTAL)
            c.total[s] = rows_of(out + 4 + s);
    }
    if (with & HAS_PRODUCT)
        c.product = rows_in(in + 7);
    if (with & HAS_DY)
        c.dy = rows_in(in + 8);
    c.dx = gates_of(out);
    if (i->differ)
        c.dh = gates_of(out + 1);
    k->cell_bwd(&c);
}

/* Does the instance with these options write this output (and block of it)? */
static int bwd_writes(const instance *i, int with, size_t out, size_t block)
{
    if (out < 2)
        return block < i->gates && (out == 0 || i->differ);
    return (out - 2) % 2 < i->states && (with & (out < 4 ? HAS_DSTATE : HAS_TOTAL));
}

static double want_bwd(int variant, const plane *in, size_t out, size_t r, size_t j,
                       double *tolerance)
{
    const instance *i = instances + variant / BWD_WITH;
    int with = bwd_with[variant % BWD_WITH];
    double k[VG_MAX_KEPT], s[VG_MAX_STATES], s1[VG_MAX_STATES], ds1[VG_MAX_STATES] = {0};
    double dx[VG_MAX_GATES], dh[VG_MAX_GATES], ds[VG_MAX_STATES];
    size_t units = in[1].cols, u = j % units;
    for (size_t n = 0; n < i->kept; n++)
        k[n] = plane_at(in, r, n * units + u);
    for (size_t n = 0; n < i->states; n++) {
        s[n] = plane_at(in + 1 + n, r, u);
        s1[n] = plane_at(in + 3 + n, r, u);
        if (with & HAS_CARRY)
            ds1[n] = plane_at(in + 5 + n, r, u);
    }
    ds1[0] += with & HAS_PRODUCT ? plane_at(in + 7, r, u) : 0;
    ds1[0] += with & HAS_DY ? plane_at(in + 8, r, u) : 0;
    vg_cell_bwd(i->cell, i->activation, k, s, s1, ds1, dx, dh, ds);
    *tolerance = UNTOUCHED;
    if (!bwd_writes(i, with, out, j / units))
        return 0;
    double want = out == 0   ? dx[j / units]
                  : out == 1 ? dh[j / units]
                  : out < 4  ? ds[out - 2]
                             : ds1[out - 4];
    *tolerance = EPS * (32 + 16 * fabs(want));
    return want;
}

static trial forward = {"cell_fwd",
                        5,
                        3,
                        {F(4, 2), F(4, 2), ROW(4, 1), F(1, 1), F(1, 1.5f)},
                        {F(1, 0), F(1, 0), F(4, 0)},
                        0,
                        call_fwd,
                        want_fwd};
static trial backward = {
    "cell_bwd",
    9,
    6,
    {F(4, 1), F(1, 1), F(1, 1.5f), F(1, 1), F(1, 1.5f), F(1, 1), F(1, 1), F(1, 1), F(1, 1)},
    {F(4, 0), F(4, 0), F(1, 0), F(1, 0), F(1, 0), F(1, 0)},
    0,
    call_bwd,
    want_bwd};

static void test_forward(void **state)
{
    (void)state;
    forward.variants = 2 * instance_count;
    trial_run(&forward, NULL);
}

static void test_backward(void **state)
{
    (void)state;
    backward.variants = BWD_WITH * instance_count;
    trial_run(&backward, NULL);
}

/* A NaN in one unit's gates reaches that unit's state and derivatives, and no other unit's. */
static void test_nan_stays(void **state)
{
    (void)state;
    enum { UNITS = 35, BAD = 33 };
    static float x[4 * UNITS], bias[4 * UNITS], s[2][UNITS], s1[2][UNITS], kept[4 * UNITS];
    static float dx[4 * UNITS], dh[4 * UNITS], dy[UNITS];
    x[BAD] = NAN;
    for (size_t u = 0; u < UNITS; u++)
        dy[u] = s[0][u] = s[1][u] = 1;
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (int n = 0; n < instance_count; n++) {
            const instance *i = instances + n;
            vg_cell_fwd_step f = {.cell = i->cell, .activation = i->activation, .rows = 1};
            vg_cell_bwd_step b = {.cell = i->cell, .activation = i->activation, .rows = 1};
            f.units = b.units = UNITS;
            f.x = (vg_gates_in){x, 0, UNITS}, f.bias = (vg_gates_in){bias, 0, UNITS};
            f.kept = (vg_gates){kept, 0, UNITS}, b.kept = (vg_gates_in){kept, 0, UNITS};
            b.dx = (vg_gates){dx, 0, UNITS}, b.dh = (vg_gates){dh, 0, UNITS};
            b.dy = (vg_rows_in){dy, 0};
            for (int m = 0; m < 2; m++) {
                f.state[m] = b.state[m] = (vg_rows_in){s[m], 0};
                f.out[m] = (vg_rows){s1[m], 0}, b.out[m] = (vg_rows_in){s1[m], 0};
            }
            isa->kernels->cell_fwd(&f);
            isa->kernels->cell_bwd(&b);
            for (size_t u = 0; u < UNITS; u++)
                assert_int_equal(isnan(s1[0][u]) && isnan(dx[u]), u == BAD);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_nan_stays),
    };
    return cmocka_run_group_tests(tests, list_instances, NULL);
}
