/* Timing through Google Benchmark behind a plain C face. */
#ifndef VG_TIMER_H
#define VG_TIMER_H

#include "vg/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the region `iterations` times and says how long all of them took, by the device's clock. */
typedef vg_status vg_timer_fn(void *context, uint32_t iterations, double *seconds);

typedef struct vg_timer_result {
    uint64_t iterations;
    double seconds; /* of all iterations */
} vg_timer_result;

/* Before any other: the --benchmark_* flags (argv style), those that fight with this program's own
 * options already refused. VG_INVALID: one that Google Benchmark does not know. */
vg_status vg_timer_start(size_t flag_count, const char *const *flags);

/* One repetition: a benchmark of that name, manual time, that many iterations. The result comes
 * back through a reporter of our own; the library writes nothing. A failure of `region` is passed
 * on. */
vg_status vg_timer_run(const char *name, vg_timer_fn *region, void *context, uint32_t iterations,
                       vg_timer_result *out);

#ifdef __cplusplus
}
#endif
#endif
