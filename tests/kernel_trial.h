/* One kernel as a table row: its operands, how it is called, and what it must leave. The loop calls
 * it on every instruction set over all remainders, paddings and places; the scalar table is
 * compared with a plain computation in double, every other one with the scalar bits. */
#ifndef VG_TESTS_KERNEL_TRIAL_H
#define VG_TESTS_KERNEL_TRIAL_H

#include "kernel_planes.h"

#include <float.h>

typedef struct operand {
    size_t blocks, element; /* columns are the shape's times this; bytes an element */
    int single_row;
    float range; /* of an input's numbers */
} operand;

enum { TRIAL_INS = 12, TRIAL_OUTS = 8, UNTOUCHED = -1 };

typedef struct trial {
    const char *name;
    size_t ins, outs;
    operand in[TRIAL_INS], out[TRIAL_OUTS];
    int variants;
    void (*call)(const vg_kernels *k, int variant, const plane *in, const plane *out);
    /* Element (r, j) of an output; *tolerance UNTOUCHED: it still holds poison. */
    double (*want)(int variant, const plane *in, size_t out, size_t r, size_t j, double *tolerance);
} trial;

static inline vg_rows_in rows_in(const plane *p)
{
    return (vg_rows_in){plane_floats(p), p->ld};
}
static inline vg_rows rows_of(const plane *p)
{
    return (vg_rows){plane_floats(p), p->ld};
}

static inline plane trial_plane(const operand *o, const shape *s)
{
    size_t rows = o->single_row ? 1 : s->rows, cols = s->cols * o->blocks;
    return plane_new(o->element, rows, cols, cols + s->pad, s->after);
}

static inline double trial_number(const plane *p, size_t r, size_t j)
{
    return p->element == 1 ? plane_bytes(p)[r * p->ld + j] : (double)plane_at(p, r, j);
}

static inline int trial_poisoned(const plane *p, size_t r, size_t j)
{
    size_t at = p->first + (r * p->ld + j) * p->element;
    for (size_t i = 0; i < p->element; i++)
        if (p->base[at + i] != plane_poison(at + i))
            return 0;
    return 1;
}

static inline void trial_check(const trial *t, const vg_kernels *k, int variant, const shape *s,
                               const plane *in, const plane *out, const plane *scalar)
{
    for (size_t i = 0; i < t->ins + t->outs; i++)
        if (!plane_intact(i < t->ins ? in + i : out + i - t->ins))
            fail_msg("%s on %s, variant %d, %zu x %zu (+%zu, %zu): operand %zu written outside",
                     t->name, k->name, variant, s->rows, s->cols, s->pad, s->after, i);
    for (size_t o = 0; o < t->outs; o++)
        for (size_t r = 0; r < out[o].rows; r++)
            for (size_t j = 0; j < out[o].cols; j++) {
                double tolerance = 0, want = t->want(variant, in, o, r, j, &tolerance);
                double got = trial_number(out + o, r, j);
                int right = tolerance == UNTOUCHED ? trial_poisoned(out + o, r, j)
                            : want != want         ? got != got
                                                   : got == want || fabs(got - want) <= tolerance;
                if (right && scalar && out[o].element == 4)
                    right = floats_equal((float)got, plane_at(scalar + o, r, j));
                if (!right)
                    fail_msg("%s on %s, variant %d, %zu x %zu (+%zu, %zu): output %zu (%zu, %zu) "
                             "is %.9g, expected %.9g within %g%s",
                             t->name, k->name, variant, s->rows, s->cols, s->pad, s->after, o, r, j,
                             got, want, tolerance, scalar ? " and the scalar bits" : "");
            }
}

/* Both instruction sets on the same numbers; `spoil` may put special values into the inputs. */
static inline void trial_one(const trial *t, const vg_kernels *k, int variant, const shape *s,
                             void (*spoil)(plane *in, size_t ins))
{
    plane in[TRIAL_INS], out[2][TRIAL_OUTS];
    for (size_t i = 0; i < t->ins; i++) {
        in[i] = trial_plane(t->in + i, s);
        if (in[i].element == 4)
            plane_random(in + i, i + 100 * (uint64_t)variant, t->in[i].range);
        else
            for (size_t r = 0; r < in[i].rows; r++)
                for (size_t j = 0; j < in[i].cols; j++)
                    plane_bytes(in + i)[r * in[i].ld + j] = (unsigned char)((r + j * 7 / 3) % 3);
    }
    if (spoil)
        spoil(in, t->ins);
    for (size_t o = 0; o < 2 * t->outs; o++)
        out[o / t->outs][o % t->outs] = trial_plane(t->out + o % t->outs, s);
    t->call(&vg_kernels_scalar, variant, in, out[0]);
    t->call(k, variant, in, out[1]);
    trial_check(t, &vg_kernels_scalar, variant, s, in, out[0], NULL);
    trial_check(t, k, variant, s, in, out[1], out[0]);
    for (size_t i = 0; i < t->ins; i++)
        plane_free(in + i);
    for (size_t o = 0; o < 2 * t->outs; o++)
        plane_free(&out[o / t->outs][o % t->outs]);
}

static inline void trial_run(const trial *t, void (*spoil)(plane *in, size_t ins))
{
    for (const vg_isa *isa = isa_tables(); isa->kernels; isa++)
        for (int variant = 0; variant < t->variants; variant++)
            for (size_t i = 0; i < SHAPE_COUNT; i++) {
                shape s = shape_of(i, isa->kernels->lanes);
                trial_one(t, isa->kernels, variant, &s, spoil);
            }
}

#endif
