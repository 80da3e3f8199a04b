/* What regime L is held to cost: by the model's dtype, as products of that dtype are priced
 * elsewhere, so that regimes compete. Needs no GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cuda_exec.h"
#include "scan_rates.h"

#include <math.h>

static double step_s(uint32_t units, uint32_t batch, vg_dtype dtype)
{
    const vg_device device = {.name = "cuda:0", .chip = {.multiprocessors = 132}};
    vg_op op = {.kind = VG_SCAN_FWD, .cell = VG_lstm, .batch = batch, .t1 = 1};
    op.scan_fwd.weight_hh = (vg_mat){.rows = 4 * units, .cols = units};
    return vg_scan_l.cost_s(&device, &op, dtype) - 3 * VG_GRAPH_NODE_S;
}

/* Many rows: as the multiply-adds of the dtype take. */
static void test_many_rows(void **state)
{
    (void)state;
    static const struct {
        vg_dtype dtype;
        double faster;
    } rows[] = {{VG_FP32, 1}, {VG_TF32, 8}, {VG_BF16, 16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double expected = step_s(2048, 4096, VG_FP32) / rows[i].faster;
        const double got = step_s(2048, 4096, rows[i].dtype);
        if (!(fabs(got - expected) <= 1e-9 * expected))
            fail_msg("%s: %g s, expected %g", vg_dtype_name(rows[i].dtype), got, expected);
        assert_true(
            fabs(vg_product_rate(rows[i].dtype) - rows[i].faster * vg_product_rate(VG_FP32)) <= 1);
    }
}

/* One row: as its weights take to arrive. */
static void test_one_row(void **state)
{
    (void)state;
    assert_true(step_s(2048, 1, VG_TF32) == step_s(2048, 1, VG_FP32));
    assert_true(fabs(step_s(2048, 1, VG_BF16) / step_s(2048, 1, VG_FP32) - 0.5) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
