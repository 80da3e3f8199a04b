/* Σ ab, Σ|ab| and Σ a²b² in double, row by row of the stored operands. */
#include "ref_product.h"

#include <string.h>

uint64_t vg_ref_length(const vg_ref_factors *factors)
{
    return factors->form == VG_REF_TN ? factors->a->rows : factors->a->cols;
}

enum { LANES = 8 };

/* Partial sums side by side, so that the compiler makes vectors of them. */
static void dot(const double *a, const double *b, uint64_t n, double *value, double *magnitude,
                double *squares)
{
    double v[LANES] = {0}, m[LANES] = {0}, s[LANES] = {0};
    uint64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++) {
            double p = a[k + (unsigned)l] * b[k + (unsigned)l];
            v[l] += p;
            m[l] += fabs(p);
            s[l] += p * p;
        }
    for (int l = 0; k < n; k++, l++) {
        double p = a[k] * b[k];
        v[l] += p;
        m[l] += fabs(p);
        s[l] += p * p;
    }
    *value = *magnitude = *squares = 0;
    for (int l = 0; l < LANES; l++) {
        *value += v[l];
        *magnitude += m[l];
        *squares += s[l];
    }
}

static void add_scaled(double by, const double *restrict row, uint32_t n, double *restrict value,
                       double *restrict magnitude, double *restrict squares)
{
    for (uint32_t j = 0; j < n; j++) {
        double p = by * row[j];
        value[j] += p;
        magnitude[j] += fabs(p);
        squares[j] += p * p;
    }
}

static void clear(vg_ref_sums sums, uint64_t count)
{
    memset(sums.value, 0, count * sizeof(double));
    memset(sums.magnitude, 0, count * sizeof(double));
    memset(sums.squares, 0, count * sizeof(double));
}

void vg_ref_product(const vg_ref_ask *ask, const vg_ref_factors *f, vg_ref_area area,
                    vg_ref_sums sums)
{
    const uint64_t length = vg_ref_length(f);
    if (f->form != VG_REF_NT)
        clear(sums, (uint64_t)area.rows * area.cols);
    for (uint32_t i = 0; i < area.rows; i++) {
        const uint64_t at = (uint64_t)i * area.cols, row = area.row + i;
        double *value = sums.value + at, *magnitude = sums.magnitude + at;
        double *squares = sums.squares + at;
        const double *a =
            f->form == VG_REF_TN ? NULL : ask->read(ask->context, f->a, row + (uint64_t)f->shift);
        for (uint32_t j = 0; j < area.cols && f->form == VG_REF_NT; j++)
            dot(a, ask->read(ask->context, f->b, area.col + j), length, &value[j], &magnitude[j],
                &squares[j]);
        for (uint64_t k = 0; k < length && f->form != VG_REF_NT; k++) {
            const double by = a ? a[k] : ask->read(ask->context, f->a, k)[row];
            const double *b = ask->read(ask->context, f->b, k);
            add_scaled(by, b + area.col, area.cols, value, magnitude, squares);
        }
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
        sums.value += count;
        sums.magnitude += count;
        sums.squares += count;
    }
}
