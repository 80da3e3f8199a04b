/* Σ ab, Σ|ab| and Σ a²b² in double, row by row of the stored operands. */
#include "ref_product.h"

#include <string.h>

uint64_t vg_ref_length(const vg_ref_factors *factors)
{
    return factors->form == VG_REF_TN ? factors->a->rows : factors->a->cols;
}

enum { LANES = 8, ROWS = 4 };

/* Partial sums side by side, so that the compiler makes vectors of them. Squares only where
 * `squares` is not null. */
static void dot(const double *a, const double *b, uint64_t n, double *value, double *magnitude,
                double *squares)
{
    double v[LANES] = {0}, m[LANES] = {0}, s = 0;
    uint64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (unsigned l = 0; l < LANES; l++) {
            const double p = a[k + l] * b[k + l];
            v[l] += p;
            m[l] += fabs(p);
        }
    for (unsigned l = 0; k < n; k++, l++) {
        v[l] += a[k] * b[k];
        m[l] += fabs(a[k] * b[k]);
    }
    *value = *magnitude = 0;
    for (int l = 0; l < LANES; l++) {
        *value += v[l];
        *magnitude += m[l];
    }
    for (k = 0; squares && k < n; k++)
        s += a[k] * b[k] * (a[k] * b[k]);
    if (squares)
        *squares = s;
}

/* Adds ROWS rows, each times its own number: one load and store of the sums for all of them. */
static void add_scaled(const double *by, const double *const *row, uint32_t n,
                       double *restrict value, double *restrict magnitude, double *restrict squares)
{
    const double *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
    for (uint32_t j = 0; j < n; j++) {
        const double p0 = by[0] * r0[j], p1 = by[1] * r1[j], p2 = by[2] * r2[j], p3 = by[3] * r3[j];
        value[j] += (p0 + p1) + (p2 + p3);
        magnitude[j] += (fabs(p0) + fabs(p1)) + (fabs(p2) + fabs(p3));
    }
    for (uint32_t j = 0; squares && j < n; j++)
        for (int i = 0; i < ROWS; i++)
            squares[j] += by[i] * row[i][j] * (by[i] * row[i][j]);
}

static void clear(vg_ref_sums sums, uint64_t count)
{
    memset(sums.value, 0, count * sizeof(double));
    memset(sums.magnitude, 0, count * sizeof(double));
    if (sums.squares)
        memset(sums.squares, 0, count * sizeof(double));
}

static void add_one(double by, const double *row, uint32_t n, vg_ref_sums sums)
{
    for (uint32_t j = 0; j < n; j++) {
        const double p = by * row[j];
        sums.value[j] += p;
        sums.magnitude[j] += fabs(p);
        if (sums.squares)
            sums.squares[j] += p * p;
    }
}

/* One row of the output, NN and TN: Σ_k by_k b[k][col ...]. a: the row of the first factor (NN). */
static void combine(const vg_ref_ask *ask, const vg_ref_factors *f, uint64_t row, const double *a,
                    const vg_ref_area *area, vg_ref_sums sums)
{
    const uint64_t length = vg_ref_length(f);
    double by[ROWS];
    const double *rows[ROWS];
    unsigned held = 0;
    for (uint64_t k = 0; k < length; k++) {
        by[held] = a ? a[k] : ask->read(ask->context, f->a, k)[row];
        rows[held] = ask->read(ask->context, f->b, k) + area->col;
        if (++held < ROWS)
            continue;
        add_scaled(by, rows, area->cols, sums.value, sums.magnitude, sums.squares);
        held = 0;
    }
    for (unsigned i = 0; i < held; i++)
        add_one(by[i], rows[i], area->cols, sums);
}

void vg_ref_product(const vg_ref_ask *ask, const vg_ref_factors *f, vg_ref_area area,
                    vg_ref_sums sums)
{
    if (f->form != VG_REF_NT)
        clear(sums, (uint64_t)area.rows * area.cols);
    for (uint32_t i = 0; i < area.rows; i++) {
        const uint64_t row = area.row + i;
        const vg_ref_sums of_row = vg_ref_sums_from(sums, (uint64_t)i * area.cols);
        const double *a =
            f->form == VG_REF_TN ? NULL : ask->read(ask->context, f->a, row + (uint64_t)f->shift);
        if (f->form != VG_REF_NT) {
            combine(ask, f, row, a, &area, of_row);
            continue;
        }
        for (uint32_t j = 0; j < area.cols; j++)
            dot(a, ask->read(ask->context, f->b, area.col + j), f->a->cols, &of_row.value[j],
                &of_row.magnitude[j], of_row.squares ? &of_row.squares[j] : NULL);
    }
}

/* Many single elements: the long operands pass once, a row at a time. */
static void scattered(const vg_ref_ask *ask, const vg_ref_factors *f, vg_ref_sums sums)
{
    clear(sums, ask->area_count);
    for (uint64_t k = 0; k < f->a->rows; k++) {
        const double *a = ask->read(ask->context, f->a, k);
        const double *b = ask->read(ask->context, f->b, k);
        for (size_t i = 0; i < ask->area_count; i++) {
            double p = a[ask->areas[i].row] * b[ask->areas[i].col];
            sums.value[i] += p;
            sums.magnitude[i] += fabs(p);
            if (sums.squares)
                sums.squares[i] += p * p;
        }
    }
}

void vg_ref_products(const vg_ref_ask *ask, const vg_ref_factors *f, vg_ref_sums sums)
{
    if (f->form == VG_REF_TN && vg_ref_area_elements(ask) == ask->area_count) {
        scattered(ask, f, sums);
        return;
    }
    for (size_t i = 0; i < ask->area_count; i++) {
        vg_ref_product(ask, f, ask->areas[i], sums);
        const uint64_t count = (uint64_t)ask->areas[i].rows * ask->areas[i].cols;
        sums = vg_ref_sums_from(sums, count);
    }
}
