/* Verification of a run: which ops, how thoroughly, and what the verdict is. */
#include "verify_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *vg_verified_name(vg_verified verified)
{
    static const char *const names[] = {"no", "norm", "sampled", "full"};
    return (unsigned)verified < 4 ? names[verified] : "no";
}

/* The oracle's rates on one core of an EPYC, measured with full verification of five cases (stack,
 * rnn, lstm, gru): multiplications with their magnitudes, elements of a window, elements of a scan
 * (each several cells). */
static const double products_per_s = 1.2e9, elements_per_s = 1e8, scan_elements_per_s = 4e6;

double vg_verify_estimate(const vg_program *program, unsigned passes)
{
    double seconds = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (!(op->pass & passes) || op->pass == VG_PASS_EXACT)
            continue;
        const bool scan = op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
        /* y and the reserve are computed apart. */
        const double twice = op->kind == VG_SCAN_FWD && op->scan_fwd.reserve.rows ? 2 : 1;
        seconds += twice * vg_op_flop(op) / 2 / products_per_s;
        for (const vg_operand *o = vg_op_operands(op->kind); o->name; o++) {
            const vg_mat *m = vg_op_mat(op, o);
            const double elements = (double)m->rows * m->cols;
            seconds +=
                elements / (scan && o->access == VG_WRITES ? scan_elements_per_s : elements_per_s);
        }
    }
    return seconds;
}

static const vg_op *clip_of(const vg_program *program, unsigned passes)
{
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == VG_CLIP && (program->ops[i].pass & passes))
            return &program->ops[i];
    return NULL;
}

static double clip_scale(const vg_op *clip, const vg_slot *slots)
{
    if (!clip)
        return 1;
    const double norm = sqrt(slots[clip->slot].sum_squares);
    return norm > clip->clip.max_norm ? clip->clip.max_norm / norm : 1;
}

static vg_status check_program(vg_verifier *v)
{
    for (uint32_t i = 0; i < v->program->op_count; i++) {
        const vg_op *op = &v->program->ops[i];
        if (!(op->pass & v->passes) || op->pass == VG_PASS_EXACT)
            continue;
        VG_TRY(vg_verifier_op(v, op));
        VG_TRY(vg_verifier_slots(v, op));
    }
    return VG_OK;
}

static bool wanted_in_full(const vg_program *program, unsigned passes, vg_verify_mode mode,
                           double budget_s)
{
    return mode == VG_VERIFY_FULL ||
           (mode == VG_VERIFY_AUTO && vg_verify_estimate(program, passes) < budget_s);
}

vg_status vg_verify(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                    unsigned passes, vg_denormals denormals, vg_verify_mode mode, double budget_s,
                    vg_verdict_of_run *out)
{
    *out = (vg_verdict_of_run){.verified = VG_VERIFIED_NO};
    if (mode == VG_VERIFY_OFF)
        return VG_OK;
    if (driver->opaque)
        return vg_verify_opaque(driver, exec, program, passes, denormals, out);
    vg_slot *slots = calloc((size_t)program->slot_count + 1, sizeof *slots);
    if (!slots)
        VG_FAIL(VG_NO_MEMORY, "verify: no memory for %u slots", program->slot_count);
    vg_verifier v = {.driver = driver,
                     .exec = exec,
                     .program = program,
                     .passes = passes,
                     .precision =
                         vg_precision_of(program->model.dtype, program->storage, denormals),
                     .min_normal = vg_dtype_min_normal(program->storage),
                     .full = wanted_in_full(program, passes, mode, budget_s),
                     .random = program->model.seed,
                     .slots = slots,
                     .out = out};
    vg_status status = driver->slots(exec, slots);
    v.clip_scale = clip_scale(clip_of(program, passes), slots);
    if (status == VG_OK)
        status = vg_rows_open(&v.rows, driver, exec, program, !v.full);
    if (status == VG_OK)
        status = check_program(&v);
    vg_rows_close(&v.rows);
    free(slots);
    if (status == VG_OK && (!v.gradients || v.gradients_not_zero))
        out->verified = v.full ? VG_VERIFIED_FULL : VG_VERIFIED_SAMPLED;
    return status;
}

/* Elements read at once. */
enum { CHUNK = 1 << 18 };

static vg_status add_to_checksum(const vg_driver *driver, vg_exec *exec, const vg_mat *m,
                                 double *buffer, uint64_t *sum)
{
    const uint64_t band = m->cols < CHUNK ? CHUNK / m->cols : 1;
    for (uint64_t r = 0; r < m->rows; r += band) {
        const uint64_t rows = m->rows - r < band ? m->rows - r : band;
        VG_TRY(driver->read(exec, vg_mat_rows(*m, r, rows), buffer));
        for (uint64_t i = 0; i < rows * m->cols; i++) {
            uint64_t bits;
            memcpy(&bits, &buffer[i], sizeof bits);
            *sum = (*sum ^ bits) * 0x9E3779B97F4A7C15u;
            *sum ^= *sum >> 29;
        }
    }
    return VG_OK;
}

static bool in_checksum(const vg_tensor *t)
{
    return t->role == VG_ROLE_GRADIENT || strcmp(t->name, "y") == 0;
}

vg_status vg_checksum(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                      uint64_t *out)
{
    uint32_t widest = CHUNK;
    for (uint32_t i = 0; i < program->tensor_count; i++)
        if (program->tensors[i].mat.cols > widest)
            widest = program->tensors[i].mat.cols;
    double *buffer = malloc(widest * sizeof *buffer);
    if (!buffer)
        VG_FAIL(VG_NO_MEMORY, "checksum: no memory for %u elements", widest);
    uint64_t sum = 0xCBF29CE484222325u;
    vg_status status = VG_OK;
    for (uint32_t i = 0; i < program->tensor_count && status == VG_OK; i++)
        if (in_checksum(&program->tensors[i]))
            status = add_to_checksum(driver, exec, &program->tensors[i].mat, buffer, &sum);
    free(buffer);
    if (status == VG_OK)
        *out = sum;
    return status;
}
