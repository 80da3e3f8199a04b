/* One case on one device: load, fill, run, verify, and the rows of its gradients. */
#include "work.h"

#include "bounds.h"
#include "dump.h"
#include "profile.h"
#include "verify.h"

#include "vg/case.h"
#include "vg/fill.h"
#include "vg/lower.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* AUTO verifies fully what is estimated to take less. */
static const double verify_budget_s = 2;

static void exec_drop(vg_work *work)
{
    if (work->exec)
        work->driver->unload(work->exec);
    work->exec = NULL;
    work->ran = 0;
    vg_program_free(work->program);
    work->program = NULL;
    free(work->slots);
    work->slots = NULL;
}

void vg_work_end(vg_work *work)
{
    exec_drop(work);
    memset(work->iterations, 0, sizeof work->iterations);
    work->has_checksum = false;
}

/* exact_piece as in vg_lowering. */
static vg_status program_make(vg_work *work, uint64_t exact_piece)
{
    const vg_lowering how = {.oracle = work->driver->oracle,
                             .profile = work->asked.probe != 0,
                             .exact_piece = exact_piece};
    VG_TRY(vg_lower(&work->model, &how, &work->program));
    return vg_program_check(work->program);
}

static uint64_t extra_bytes(const vg_work *work)
{
    return work->driver->extra_bytes ? work->driver->extra_bytes(work->device, work->program) : 0;
}

/* What a long sequence takes beside the arena: the program itself, its slots here, in the device
 * and in verification, and the largest tensor as doubles while it is filled or read. */
static uint64_t host_bytes(const vg_program *program)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; i < program->tensor_count; i++) {
        uint64_t elements = program->tensors[i].mat.rows * program->tensors[i].mat.cols;
        largest = elements > largest ? elements : largest;
    }
    return program->op_count * sizeof(vg_op) + UINT64_C(3) * program->slot_count * sizeof(vg_slot) +
           largest * sizeof(double);
}

vg_status vg_work_begin(vg_work *work, const vg_wire_case *asked, const char *dump)
{
    vg_work_end(work);
    work->asked = *asked;
    snprintf(work->dump, sizeof work->dump, "%s", dump ? dump : "");
    VG_TRY(vg_case_parse(asked->name, &work->model));
    VG_TRY(program_make(work, 0));
    const vg_lowering plain = {.oracle = work->driver->oracle};
    vg_wire_size size = {.verify_s = vg_verify_estimate(work->program, ~0u),
                         .host = !work->driver->own_memory};
    VG_TRY(vg_lower_bytes(&work->model, &plain, &size.memory_bytes));
    size.memory_bytes += extra_bytes(work);
    size.bytes = work->program->arena_bytes + extra_bytes(work) + host_bytes(work->program);
    return vg_frame_write(work->out, VG_FRAME_SIZE, &size, NULL, 0);
}

static vg_status inputs_write(vg_work *work)
{
    vg_status status = VG_OK;
    for (uint32_t i = 0; i < work->program->tensor_count && status == VG_OK; i++) {
        const vg_tensor *tensor = &work->program->tensors[i];
        if (tensor->role == VG_ROLE_OUTPUT || tensor->role == VG_ROLE_GRADIENT)
            continue;
        double *values = malloc(tensor->mat.rows * tensor->mat.cols * sizeof *values + 1);
        if (!values)
            VG_FAIL(VG_NO_MEMORY, "no memory for the values of %s", tensor->name);
        status = vg_fill(work->program, tensor, values);
        if (status == VG_OK)
            status = work->driver->write(work->exec, tensor->mat, values);
        free(values);
    }
    return status;
}

/* Every pass once, in their order; the two of backward as one set, which a peer that cannot split
 * them understands too. */
static vg_status passes_run(vg_work *work)
{
    const struct {
        unsigned set;
        bool wanted, needed;
    } steps[] = {{VG_PASS_FWD, true, true},
                 {VG_PASS_LOSS, true, true},
                 {VG_PASSES_BWD, true, true},
                 {VG_PASS_PROBE, work->asked.probe, false},
                 {VG_PASS_EXACT, work->asked.exact, false}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && steps[i].wanted; i++) {
        double seconds;
        vg_status status = work->driver->run(work->exec, steps[i].set, 1, &seconds);
        if (status == VG_UNSUPPORTED && !steps[i].needed)
            break;
        VG_TRY(status);
        work->ran |= steps[i].set;
    }
    return VG_OK;
}

static vg_status slots_take(vg_work *work)
{
    work->slots = calloc((size_t)work->program->slot_count + 1, sizeof *work->slots);
    if (!work->slots)
        VG_FAIL(VG_NO_MEMORY, "no memory for %u norms", work->program->slot_count);
    return work->driver->slots(work->exec, work->slots);
}

static bool is_profiled(const vg_work *work)
{
    const unsigned both = VG_PASS_PROBE | VG_PASS_EXACT;
    return (work->ran & both) == both;
}

static vg_status load_once(vg_work *work)
{
    VG_TRY(work->driver->load(work->device, &work->model, work->program, &work->exec));
    VG_TRY(inputs_write(work));
    VG_TRY(passes_run(work));
    return is_profiled(work) ? slots_take(work) : VG_OK;
}

vg_status vg_work_load(vg_work *work)
{
    VG_TRY(load_once(work));
    if (is_profiled(work) && work->program->exact_piece > 1 &&
        vg_profile_needs_finer(work->program, work->slots)) {
        exec_drop(work);
        VG_TRY(program_make(work, 1));
        VG_TRY(load_once(work));
    }
    vg_wire_loaded loaded = {.algorithm = ""};
    if (work->driver->choice)
        VG_TRY(work->driver->choice(work->exec, loaded.algorithm, sizeof loaded.algorithm));
    return vg_frame_write(work->out, VG_FRAME_LOADED, &loaded, NULL, 0);
}

/* The passes worth verifying: EXACT, which is never timed, only where all fits the budget. */
static unsigned passes_to_verify(const vg_work *work, vg_verify_mode mode)
{
    if (mode == VG_VERIFY_FULL || vg_verify_estimate(work->program, work->ran) < verify_budget_s)
        return work->ran;
    return work->ran & ~(unsigned)VG_PASS_EXACT;
}

static bool is_verified(const vg_work *work)
{
    return work->asked.verify != VG_VERIFY_OFF && !work->driver->hollow;
}

static bool is_known(const vg_work *work)
{
    for (uint32_t i = 0; i < work->asked.known_count; i++)
        if (work->asked.known[i] == work->checksum)
            return true;
    return false;
}

vg_status vg_work_verify(vg_work *work)
{
    vg_verify_mode mode = (vg_verify_mode)work->asked.verify;
    vg_verdict_of_run verdict = {.verified = VG_VERIFIED_NO, .max_error = (double)NAN};
    const vg_denormals denormals =
        vg_denormals_of(work->applied.denormals, work->applied.flushing, work->model.dtype);
    vg_status status = VG_OK;
    VG_TRY(vg_checksum(work->driver, work->exec, work->program, &work->checksum));
    work->has_checksum = true;
    const bool known = is_known(work);
    if (work->asked.known_count > 0 && !known && !work->asked.may_differ)
        status = vg_fail(
            VG_MISMATCH, "another process computed other results: checksum %016llx, not %016llx",
            (unsigned long long)work->asked.known[0], (unsigned long long)work->checksum);
    else if (is_verified(work) && !known)
        status = vg_verify(work->driver, work->exec, work->program, passes_to_verify(work, mode),
                           denormals, mode, verify_budget_s, &verdict);
    const vg_wire_verdict answer = {(uint32_t)verdict.verified, known, verdict.max_error,
                                    work->checksum};
    char reason[VG_WIRE_REASON];
    snprintf(reason, sizeof reason, "%s", vg_reason());
    VG_TRY(vg_frame_write(work->out, VG_FRAME_VERDICT, &answer, NULL, 0));
    if (work->dump[0])
        VG_TRY(vg_dump_tensors(work->driver, work->exec, work->program, work->dump));
    return status == VG_OK ? VG_OK : vg_fail(status, "%s", reason);
}

static vg_status weights_read(void *context, const vg_tensor *tensor, double *out)
{
    const vg_work *work = context;
    return work->driver->read(work->exec, tensor->mat, out);
}

static vg_status gradient_send(const vg_work *work, const vg_gradient *row)
{
    vg_wire_gradient body = {.layer = row->layer,
                             .has_step = row->has_step,
                             .step = row->step,
                             .plain = row->plain,
                             .log10_norm = row->log10_norm,
                             .log10_norm_exact = row->log10_norm_exact,
                             .mean_abs_derivative = row->mean_abs_derivative,
                             .saturated = row->saturated,
                             .dead = row->dead,
                             .predicted_log10_norm = row->predicted_log10_norm};
    snprintf(body.tensor, sizeof body.tensor, "%s", row->tensor);
    return vg_frame_write(work->out, VG_FRAME_GRADIENT, &body, NULL, 0);
}

vg_status vg_work_rows(vg_work *work)
{
    if (!is_profiled(work))
        return VG_OK;
    vg_profile_rows rows = {0};
    VG_TRY(vg_profile_rows_make(work->program, work->slots, weights_read, work,
                                work->asked.gradient_rows, &rows));
    vg_status status = is_verified(work) ? vg_bounds_check(work->program, &rows) : VG_OK;
    for (size_t i = 0; i < rows.gradient_count && status == VG_OK; i++)
        status = gradient_send(work, &rows.gradients[i]);
    for (size_t i = 0; i < rows.decay_count && status == VG_OK; i++)
        status = vg_frame_write(work->out, VG_FRAME_DECAY, &rows.decays[i], NULL, 0);
    vg_profile_rows_free(&rows);
    return status;
}
