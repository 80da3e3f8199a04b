/* How a recurrence runs: the regimes, and which of them takes a scan. */
#include "cuda_exec.h"

static const vg_scan_regime *const regimes[] = {&vg_scan_l, &vg_scan_m, &vg_scan_s, &vg_scan_c};
enum { REGIMES = sizeof regimes / sizeof *regimes };

/* Whether it fits and launches; the reason is set where it does not. */
static vg_status usable(vg_device *device, const vg_scan_regime *regime, const vg_op *op,
                        vg_dtype dtype, bool *out)
{
    *out = regime->fits(device, op, dtype) == VG_OK;
    return *out && regime->launches ? regime->launches(device, op, dtype, out) : VG_OK;
}

static vg_status forced(vg_device *device, const vg_op *op, vg_dtype dtype,
                        const vg_scan_regime **out)
{
    bool there;
    for (int i = 0; i < REGIMES; i++)
        if (regimes[i]->regime == device->regime) {
            VG_TRY(usable(device, regimes[i], op, dtype, &there));
            *out = regimes[i];
            return there ? VG_OK : VG_UNSUPPORTED;
        }
    VG_FAIL(VG_UNSUPPORTED, "%s: this build has no such regime of a scan", device->name);
}

vg_status vg_scan_pick(vg_device *device, const vg_op *op, vg_dtype dtype,
                       const vg_scan_regime **out)
{
    const vg_scan_regime *best = NULL;
    double least = 0;
    if (device->regime != VG_REGIME_AUTO)
        return forced(device, op, dtype, out);
    for (int i = 0; i < REGIMES; i++) {
        bool there;
        VG_TRY(usable(device, regimes[i], op, dtype, &there));
        const double cost = there ? regimes[i]->cost_s(device, op, dtype) : 0;
        if (there && (!best || cost < least)) {
            best = regimes[i];
            least = cost;
        }
    }
    if (!best)
        return VG_UNSUPPORTED;
    *out = best;
    return VG_OK;
}
