/* Comparisons by norm: of whole nets, and of a peer whose inside cannot be read. */
#include "theory.h"
#include "verify_internal.h"
#include "vg/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ln of the norm in a slot of the exact reading; -inf for zero, NaN where it is not finite. */
static double ln_norm(const vg_slot *slots, const vg_profile *p, uint64_t i)
{
    const uint64_t step = p->first_step + i, piece = p->steps && step ? (step - 1) / p->piece : 0;
    const int64_t exponent = p->exponent == VG_NO_SLOT ? 0 : slots[p->exponent + piece].exponent;
    return vg_slot_log10(&slots[p->exact + i], exponent) * log(10);
}

/* The smallest mean |f'| of any layer and step; 1 where no census was taken. */
static double least_derivative(const vg_program *program, const vg_slot *slots)
{
    double least = 1;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const vg_op *op = &program->ops[i];
        if (op->kind != VG_CENSUS)
            continue;
        for (uint64_t s = 0; s < vg_op_slots(op); s++) {
            const double mean = slots[op->slot + s].mean_abs_derivative;
            least = mean > 0 && mean < least ? mean : least;
        }
    }
    return least;
}

static bool has_kink(const vg_model *m)
{
    return vg_activation_find(m->activation)->kink ||
           vg_activation_find(m->output_activation)->kink;
}

/* Layers or steps after which two correct devices agree no longer (math: two devices part company);
 * infinite where the network is not chaotic. */
static double depth_of_divergence(const vg_model *m)
{
    const double eps = m->dtype == VG_BF16 ? 0x1p-8 : m->dtype == VG_TF32 ? 0x1p-10 : 0x1p-23;
    const double rate = m->kind == VG_stack ? vg_theory_depth_rate(m) : vg_theory_time_rate(m);
    const double chi = rate * rate;
    return chi > 1 ? 2 * log(1 / eps) / log(chi) : INFINITY;
}

static double passed(const vg_model *m, const vg_profile *p, uint64_t i)
{
    const double layers = (double)(m->depth - (p->layer < m->depth ? p->layer : m->depth)) + 1;
    const double steps = p->steps ? (double)(m->seq_len - (p->first_step + i)) : (double)m->seq_len;
    return layers + (m->kind == VG_stack ? 0 : steps);
}

/* Layers or steps of the way forward, on which every norm of the way back rests too. */
static double forward_length(const vg_model *m)
{
    return m->kind == VG_stack ? m->depth : (double)m->seq_len;
}

typedef struct norms {
    const vg_program *program, *ref;
    const vg_slot *slots, *ref_slots;
    double reduction, derivative, divergence;
    vg_verdict_of_run *out;
} norms;

static vg_status compare_norm(norms *n, const char *what, uint32_t layer, uint64_t step,
                              double device, double reference, double tolerance)
{
    const double error = device == reference ? 0 : fabs(device - reference);
    const double share = error == 0 ? 0 : error / tolerance;
    if (!(share <= n->out->max_error))
        n->out->max_error = isnan(share) ? INFINITY : share;
    if (error <= tolerance || (isnan(device) && isnan(reference)))
        return VG_OK;
    snprintf(n->out->where, sizeof n->out->where,
             "%s of layer %u, step %" PRIu64 ": %.9g, expected %.9g within %.3g", what, layer, step,
             device, reference, tolerance);
    VG_FAIL(VG_MISMATCH, "%s", n->out->where);
}

static double tolerance_of(const norms *n, double far)
{
    const vg_model *m = &n->program->model;
    const double forward = forward_length(m);
    if (fmax(far, forward) > n->divergence)
        return vg_tolerance_chaos(fmax(far, forward), m->width, m->batch, n->derivative);
    return vg_tolerance_norm(m->dtype, has_kink(m), n->reduction, far, n->derivative);
}

static vg_status compare_profile(norms *n, const vg_profile *p, const vg_profile *ref)
{
    const uint64_t count = p->steps ? p->steps : 1;
    for (uint64_t i = 0; i < count; i++)
        VG_TRY(compare_norm(n, p->tensor, p->layer, p->first_step + i, ln_norm(n->slots, p, i),
                            ln_norm(n->ref_slots, ref, i),
                            tolerance_of(n, passed(&n->program->model, p, i))));
    return VG_OK;
}

static vg_status compare_census(norms *n, const vg_op *op, const vg_op *ref)
{
    for (uint64_t s = 0; s < vg_op_slots(op); s++)
        VG_TRY(compare_norm(n, "ln of mean |f'|", op->layer, s + 1,
                            log(n->slots[op->slot + s].mean_abs_derivative),
                            log(n->ref_slots[ref->slot + s].mean_abs_derivative),
                            tolerance_of(n, forward_length(&n->program->model))));
    return VG_OK;
}

/* The loss tells that the outputs leave the format's range: what a device made of that is its own.
 */
static bool leaves_range(const vg_program *program, const vg_program *ref, const vg_slot *ref_slots)
{
    const double most =
        vg_precision_of(program->model.dtype, program->storage, VG_DENORMALS_KEEP).most;
    for (uint32_t i = 0; i < ref->op_count; i++) {
        const vg_op *op = &ref->ops[i];
        if (op->kind != VG_LOSS_OP)
            continue;
        const double loss = fabs(ref_slots[op->slot].sum_squares);
        return !((op->loss.loss == VG_LOSS_MSE ? sqrt(loss) : loss) <= most);
    }
    return false;
}

vg_status vg_verify_norms(const vg_program *program, const vg_slot *slots, const vg_program *ref,
                          const vg_slot *ref_slots, vg_verdict_of_run *out)
{
    const vg_model *m = &program->model;
    *out = (vg_verdict_of_run){.verified = VG_VERIFIED_NO};
    if (program->profile_count != ref->profile_count || program->op_count != ref->op_count ||
        program->exact_piece != ref->exact_piece)
        VG_FAIL(VG_INVALID, "verify: the two programs are not of one model and one piece");
    if (leaves_range(program, ref, ref_slots))
        return VG_OK;
    const double widest = m->input > m->width ? m->input : m->width;
    norms n = {program,
               ref,
               slots,
               ref_slots,
               widest * (double)m->seq_len * m->depth,
               least_derivative(ref, ref_slots),
               depth_of_divergence(m),
               out};
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == VG_CENSUS)
            VG_TRY(compare_census(&n, &program->ops[i], &ref->ops[i]));
    for (uint32_t i = 0; i < program->profile_count; i++)
        VG_TRY(compare_profile(&n, &program->profiles[i], &ref->profiles[i]));
    out->verified = VG_VERIFIED_NORM;
    return VG_OK;
}

/* A run of the oracle on the peer's own inputs, in the peer's own program. */
static vg_status run_oracle(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                            unsigned passes, vg_exec *oracle)
{
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        if (t->role == VG_ROLE_OUTPUT || t->role == VG_ROLE_GRADIENT)
            continue;
        double *values = malloc((size_t)(t->mat.rows * t->mat.cols) * sizeof *values);
        if (!values)
            VG_FAIL(VG_NO_MEMORY, "verify: no memory for %s", t->name);
        vg_status status = driver->read(exec, t->mat, values);
        if (status == VG_OK)
            status = vg_ref_driver.write(oracle, t->mat, values);
        free(values);
        VG_TRY(status);
    }
    double seconds;
    return vg_ref_driver.run(oracle, passes & ~(unsigned)(VG_PASS_PROBE | VG_PASS_EXACT), 1,
                             &seconds);
}

/* Σ (a - b)² and Σ b², scaled by the largest |b| so that neither leaves the range. */
static void distances(const double *a, const double *b, uint64_t n, double *distance, double *norm,
                      double *largest)
{
    *distance = *norm = *largest = 0;
    for (uint64_t i = 0; i < n; i++)
        *largest = fabs(b[i]) > *largest ? fabs(b[i]) : *largest;
    for (uint64_t i = 0; i<n && * largest> 0; i++) {
        const double difference = (a[i] - b[i]) / *largest, size = b[i] / *largest;
        *distance += difference * difference;
        *norm += size * size;
    }
    *distance = sqrt(*distance);
    *norm = sqrt(*norm);
}

static vg_status compare_tensor(const vg_program *program, const vg_tensor *t, const double *peer,
                                const double *ref, double least, bool *proven,
                                vg_verdict_of_run *out)
{
    double distance, norm, largest;
    distances(peer, ref, t->mat.rows * t->mat.cols, &distance, &norm, &largest);
    if (largest < least)
        return VG_OK;
    *proven = *proven || t->role == VG_ROLE_GRADIENT;
    const vg_model *m = &program->model;
    double error = distance / norm, tolerance = vg_tolerance_opaque();
    if (forward_length(m) > depth_of_divergence(m)) {
        double other, peer_norm, peer_largest;
        distances(ref, peer, t->mat.rows * t->mat.cols, &other, &peer_norm, &peer_largest);
        error = fabs(log(peer_norm * peer_largest) - log(norm * largest));
        tolerance = vg_tolerance_chaos(0, m->width, m->batch, 1);
    }
    const double share = error / tolerance;
    if (!(share <= out->max_error))
        out->max_error = isnan(share) ? INFINITY : share;
    if (error <= tolerance)
        return VG_OK;
    snprintf(out->where, sizeof out->where, "%s: off by %.3g of its norm, expected at most %.3g",
             t->name, error, tolerance);
    VG_FAIL(VG_MISMATCH, "%s", out->where);
}

static vg_status compare_tensors(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                                 vg_exec *oracle, vg_denormals denormals, bool *proven,
                                 vg_verdict_of_run *out)
{
    const vg_model *m = &program->model;
    const uint64_t rows = (uint64_t)m->batch * m->seq_len,
                   widest = m->width > m->input ? m->width : m->input;
    const double least = vg_tolerance_opaque_least(vg_dtype_min_normal(program->storage), denormals,
                                                   rows > widest ? rows : widest);
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        const vg_tensor *t = &program->tensors[i];
        if (t->role != VG_ROLE_OUTPUT && t->role != VG_ROLE_GRADIENT)
            continue;
        const uint64_t count = t->mat.rows * t->mat.cols;
        double *two = malloc(2 * (size_t)count * sizeof *two);
        if (!two)
            VG_FAIL(VG_NO_MEMORY, "verify: no memory for %s", t->name);
        vg_status status = driver->read(exec, t->mat, two);
        if (status == VG_OK)
            status = vg_ref_driver.read(oracle, t->mat, two + count);
        if (status == VG_OK)
            status = compare_tensor(program, t, two, two + count, least, proven, out);
        free(two);
        VG_TRY(status);
    }
    return VG_OK;
}

vg_status vg_verify_opaque(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                           unsigned passes, vg_denormals denormals, vg_verdict_of_run *out)
{
    const unsigned all = VG_PASSES_TRAIN | VG_PASS_LOSS;
    if ((passes & all) != all)
        VG_FAIL(VG_INVALID, "verify: a peer is compared after fwd, loss and both backward passes");
    vg_device_info info;
    size_t count;
    vg_device *device = NULL;
    vg_exec *oracle = NULL;
    bool proven = false;
    VG_TRY(vg_ref_driver.list(&info, 1, &count));
    VG_TRY(vg_ref_driver.open(&info, &(vg_device_options){0}, &device));
    vg_status status = vg_ref_driver.load(device, &program->model, program, &oracle);
    if (status == VG_OK)
        status = run_oracle(driver, exec, program, passes, oracle);
    if (status == VG_OK)
        status = compare_tensors(driver, exec, program, oracle, denormals, &proven, out);
    vg_ref_driver.unload(oracle);
    vg_ref_driver.close(device);
    if (status == VG_OK && proven)
        out->verified = VG_VERIFIED_NORM;
    return status;
}
