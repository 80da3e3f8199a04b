/* The rows of the three CSV files and their columns: one table a file, in the order of the file.
 * Columns are only ever appended. SI units, everything a pass; an empty field is not known. */
#ifndef VG_REPORT_H
#define VG_REPORT_H

#include "vg/measure.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VG_SCHEMA_VERSION = 1 };

/* The types of a column:
 *   TEXT   quoted where it must be          COUNT  a number from 0
 *   INDEX  a number, negative = not known   REAL   %.17g, NaN = not known
 *   VALUE  %.17g, and NaN is spelled nan    FLAG   1 or 0 */

typedef struct vg_report_run {
    char run_id[40], hardware_id[20], build_id[20];
} vg_report_run;

/* What all rows of one case on one device share. */
typedef struct vg_report_case {
    const vg_report_run *run;
    const char *name; /* of the case */
    const vg_model *model;
    const char *device, *device_name, *implementation, *algorithm;
    int64_t threads; /* that really applied; -1: not known */
    const char *bind, *denormals;
    const char *status, *reason, *verified;
    double max_error;     /* NaN: not verified */
    int64_t memory_bytes; /* arena and what the device takes beside it */
} vg_report_case;

/* One pass of one repetition. time_s: of one pass, the mean over `iterations`; energy_j likewise.
 * A failure that leaves no times has pass and repetition where it is known when it failed. */
typedef struct vg_result {
    const vg_report_case *of;
    char time_utc[24];
    const char *pass, *status, *reason;
    int64_t process, repetition, iterations;
    double time_s, flop, bytes, peak_flop_per_s, peak_bytes_per_s, barrier_s, floor_s;
    double energy_j, power_w, clock_mhz, temperature_c;
    char throttle[64], checksum[20];
    bool interleaved; /* with at least one other device */
    bool disturbed;
    int64_t
        attempts; /* measurements of this repetition, of which these are the last one's figures */
} vg_result;

/* Items of a pass: tokens, or samples of a stack. */
static inline double vg_model_items(const vg_model *model)
{
    return (double)model->seq_len * (double)model->batch;
}

/* X(name, type, getter of a vg_result r) */
#define VG_RESULT_COLUMNS(X)                                                                       \
    X(schema_version, COUNT, VG_SCHEMA_VERSION)                                                    \
    X(run_id, TEXT, r->of->run->run_id)                                                            \
    X(time_utc, TEXT, r->time_utc)                                                                 \
    X(case, TEXT, r->of->name)                                                                     \
    X(status, TEXT, r->status)                                                                     \
    X(reason, TEXT, r->reason)                                                                     \
    X(verified, TEXT, r->of->verified)                                                             \
    X(max_error, REAL, r->of->max_error)                                                           \
    X(device, TEXT, r->of->device)                                                                 \
    X(device_name, TEXT, r->of->device_name)                                                       \
    X(hardware_id, TEXT, r->of->run->hardware_id)                                                  \
    X(build_id, TEXT, r->of->run->build_id)                                                        \
    X(implementation, TEXT, r->of->implementation)                                                 \
    X(algorithm, TEXT, r->of->algorithm)                                                           \
    X(model, TEXT, vg_model_kind_name(r->of->model->kind))                                         \
    X(activation, TEXT, vg_report_activation(r->of->model))                                        \
    X(init, TEXT, vg_report_init(r->of->model, text))                                              \
    X(dtype, TEXT, vg_dtype_name(r->of->model->dtype))                                             \
    X(depth, COUNT, r->of->model->depth)                                                           \
    X(width, COUNT, r->of->model->width)                                                           \
    X(input, COUNT, r->of->model->input)                                                           \
    X(output, COUNT, r->of->model->output)                                                         \
    X(seq_len, COUNT, r->of->model->seq_len)                                                       \
    X(batch, COUNT, r->of->model->batch)                                                           \
    X(threads, INDEX, r->of->threads)                                                              \
    X(bind, TEXT, r->of->bind)                                                                     \
    X(denormals, TEXT, r->of->denormals)                                                           \
    X(pass, TEXT, r->pass)                                                                         \
    X(process, INDEX, r->process)                                                                  \
    X(repetition, INDEX, r->repetition)                                                            \
    X(interleaved, FLAG, r->interleaved)                                                           \
    X(iterations, INDEX, r->iterations)                                                            \
    X(time_s, REAL, r->time_s)                                                                     \
    X(flop, REAL, r->flop)                                                                         \
    X(bytes, REAL, r->bytes)                                                                       \
    X(memory_bytes, INDEX, r->of->memory_bytes)                                                    \
    X(gflop_per_s, REAL, r->flop / r->time_s * 1e-9)                                               \
    X(gb_per_s, REAL, r->bytes / r->time_s * 1e-9)                                                 \
    X(items_per_s, REAL, vg_model_items(r->of->model) / r->time_s)                                 \
    X(peak_gflop_per_s, REAL, r->peak_flop_per_s * 1e-9)                                           \
    X(peak_gb_per_s, REAL, r->peak_bytes_per_s * 1e-9)                                             \
    X(percent_of_peak, REAL, r->flop / r->time_s / r->peak_flop_per_s * 100)                       \
    X(barrier_s, REAL, r->barrier_s)                                                               \
    X(floor_s, REAL, r->floor_s)                                                                   \
    X(percent_of_floor, REAL, r->floor_s / r->time_s * 100)                                        \
    X(energy_j, REAL, r->energy_j)                                                                 \
    X(power_w, REAL, r->power_w)                                                                   \
    X(clock_mhz, REAL, r->clock_mhz)                                                               \
    X(temperature_c, REAL, r->temperature_c)                                                       \
    X(throttle, TEXT, r->throttle)                                                                 \
    X(disturbed, FLAG, r->disturbed)                                                               \
    X(checksum, TEXT, r->checksum)                                                                 \
    X(attempts, INDEX, r->attempts)

/* One row of gradients.csv. A norm that is not finite is spelled; what was not measured is empty.
 */
typedef struct vg_gradient_row {
    const vg_report_case *of;
    vg_gradient gradient;
} vg_gradient_row;

/* X(name, type, getter of a vg_gradient_row r) */
#define VG_GRADIENT_COLUMNS(X)                                                                     \
    X(schema_version, COUNT, VG_SCHEMA_VERSION)                                                    \
    X(run_id, TEXT, r->of->run->run_id)                                                            \
    X(case, TEXT, r->of->name)                                                                     \
    X(device, TEXT, r->of->device)                                                                 \
    X(denormals, TEXT, r->of->denormals)                                                           \
    X(tensor, TEXT, r->gradient.tensor)                                                            \
    X(layer, COUNT, r->gradient.layer)                                                             \
    X(step, INDEX, r->gradient.has_step ? (int64_t)r->gradient.step : -1)                          \
    X(norm, VALUE, vg_slot_norm(&r->gradient.plain))                                               \
    X(log10_norm, VALUE, r->gradient.log10_norm)                                                   \
    X(log10_norm_exact, REAL, r->gradient.log10_norm_exact)                                        \
    X(elements, COUNT, r->gradient.plain.elements)                                                 \
    X(zeros, COUNT, r->gradient.plain.zeros)                                                       \
    X(subnormals, COUNT, r->gradient.plain.subnormals)                                             \
    X(infinities, COUNT, r->gradient.plain.infinities)                                             \
    X(nans, COUNT, r->gradient.plain.nans)                                                         \
    X(mean_abs_derivative, REAL, r->gradient.mean_abs_derivative)                                  \
    X(saturated, REAL, r->gradient.saturated)                                                      \
    X(dead, REAL, r->gradient.dead)                                                                \
    X(predicted_log10_norm, REAL, r->gradient.predicted_log10_norm)

/* One row of decay.csv. */
typedef struct vg_decay_row {
    const vg_report_case *of;
    vg_decay decay;
} vg_decay_row;

/* X(name, type, getter of a vg_decay_row r) */
#define VG_DECAY_COLUMNS(X)                                                                        \
    X(schema_version, COUNT, VG_SCHEMA_VERSION)                                                    \
    X(run_id, TEXT, r->of->run->run_id)                                                            \
    X(case, TEXT, r->of->name)                                                                     \
    X(device, TEXT, r->of->device)                                                                 \
    X(denormals, TEXT, r->of->denormals)                                                           \
    X(direction, TEXT, vg_direction_name(r->decay.direction))                                      \
    X(layer, INDEX, r->decay.layer > 0 ? (int64_t)r->decay.layer : -1)                             \
    X(rate, REAL, r->decay.rate)                                                                   \
    X(half_life, REAL, r->decay.half_life)                                                         \
    X(reach, INDEX, r->decay.reach)                                                                \
    X(underflow_at, INDEX, r->decay.underflow_at)                                                  \
    X(log10_ratio, REAL, r->decay.log10_ratio)                                                     \
    X(verdict, TEXT, vg_verdict_name(r->decay.verdict))                                            \
    X(r2, REAL, r->decay.r2)                                                                       \
    X(predicted_rate, REAL, r->decay.predicted_rate)                                               \
    X(predicted_log10_ratio, REAL, r->decay.predicted_log10_ratio)                                 \
    X(sigma_max, REAL, r->decay.sigma_max)                                                         \
    X(spectral_radius, REAL, r->decay.spectral_radius)                                             \
    X(bound_log10_ratio, REAL, r->decay.bound_log10_ratio)                                         \
    X(subnormal_at, INDEX, r->decay.subnormal_at)

#ifdef __cplusplus
}
#endif
#endif
