/* Forward is the function that everybody means, and backward its gradient: the oracle against
 * PyTorch in float64 (tests/fixtures, written by scripts/fixtures.py). */
#include "loaded_case.h"
#include "ref.h"
#include "vg/tolerance.h"

#include <inttypes.h>
#include <stdio.h>

static const vg_lowering oracle = {.oracle = true};

typedef struct fixture {
    loaded_case c;
    bool loaded, ran;
    uint32_t given, expected;
} fixture;

static const vg_tensor *find(const fixture *f, const char *name, uint64_t count)
{
    const vg_tensor *t = vg_program_tensor(f->c.program, name);
    if (!t)
        fail_msg("the program has no tensor %s", name);
    assert_int_equal(elements_of(&t->mat), count);
    return t;
}

/* Relative to the tensor's largest element. */
static void compare(const fixture *f, const vg_tensor *t, const double *expected)
{
    const vg_model *m = &f->c.model;
    const double reduction = (double)m->width * (double)m->seq_len * m->depth;
    const double tolerance =
        vg_tolerance_norm(VG_FP64, false, reduction, m->depth + (double)m->seq_len, 1);
    double *found = read_window(&f->c, t->mat), largest = 0;
    for (uint64_t n = 0; n < elements_of(&t->mat); n++)
        largest = fmax(largest, fabs(expected[n]));
    for (uint64_t n = 0; n < elements_of(&t->mat); n++)
        if (!(fabs(found[n] - expected[n]) <= tolerance * largest))
            fail_msg("%s[%" PRIu64 "] is %.17g, in PyTorch %.17g, tolerance %.3g", t->name, n,
                     found[n], expected[n], tolerance * largest);
    free(found);
}

static void finish(fixture *f)
{
    if (!f->loaded)
        return;
    uint32_t written = 0, compared = 0;
    for (uint32_t i = 0; i < f->c.program->tensor_count; i++)
        *(is_written(&f->c.program->tensors[i]) ? &written : &compared) += 1;
    assert_int_equal(f->given, written);
    assert_int_equal(f->expected, compared - 1); /* all but dy */
    unload_case(&f->c);
}

static double *read_values(FILE *file, uint64_t count)
{
    double *values = calloc(count, sizeof *values);
    assert_non_null(values);
    for (uint64_t n = 0; n < count; n++)
        assert_int_equal(fscanf(file, "%lf", &values[n]), 1);
    return values;
}

static void take_tensor(fixture *f, FILE *file, bool given)
{
    char name[32];
    uint64_t count;
    assert_true(f->loaded);
    assert_int_equal(fscanf(file, "%31s %" SCNu64, name, &count), 2);
    double *values = read_values(file, count);
    const vg_tensor *t = find(f, name, count);
    if (given) {
        assert_true(is_written(t) && !f->ran);
        assert_ok(f->c.driver->write(f->c.exec, t->mat, values));
        f->given++;
    } else {
        if (!f->ran)
            run_passes(&f->c, VG_PASS_FWD | VG_PASS_LOSS | VG_PASSES_BWD);
        f->ran = true;
        compare(f, t, values);
        f->expected++;
    }
    free(values);
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    FILE *file = fopen(VG_FIXTURES "/pytorch.txt", "r");
    assert_non_null(file);
    char word[128];
    fixture f = {0};
    uint32_t cases = 0;
    assert_non_null(fgets(word, sizeof word, file));
    print_message("%s", word);
    while (fscanf(file, "%15s", word) == 1) {
        if (strcmp(word, "case") != 0) {
            assert_true(!strcmp(word, "given") || !strcmp(word, "expect"));
            take_tensor(&f, file, word[0] == 'g');
            continue;
        }
        finish(&f);
        assert_int_equal(fscanf(file, "%127s", word), 1);
        print_message("%s\n", word);
        f = (fixture){.c = load_case(&vg_ref_driver, 0, word, &oracle), .loaded = true};
        cases++;
    }
    finish(&f);
    fclose(file);
    assert_int_equal(cases, 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
