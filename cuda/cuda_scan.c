/* How a recurrence runs: the regimes, and which of them takes a scan. */
#include "cuda_exec.h"

static const vg_scan_regime *const regimes[] = {&vg_scan_l, &vg_scan_m, &vg_scan_s};
enum { REGIMES = sizeof regimes / sizeof *regimes };

static vg_status forced(const vg_device *device, const vg_op *op, vg_dtype storage,
                        const vg_scan_regime **out)
{
    for (int i = 0; i < REGIMES; i++)
        if (regimes[i]->regime == device->regime) {
            VG_TRY(regimes[i]->fits(device, op, storage));
            *out = regimes[i];
            return VG_OK;
        }
    VG_FAIL(VG_UNSUPPORTED, "%s: this build has no such regime of a scan", device->name);
}

vg_status vg_scan_pick(const vg_device *device, const vg_op *op, vg_dtype storage,
                       const vg_scan_regime **out)
{
    if (device->regime != VG_REGIME_AUTO)
        return forced(device, op, storage, out);
    const vg_scan_regime *best = NULL;
    double least = 0;
    vg_status refused = VG_UNSUPPORTED;
    for (int i = 0; i < REGIMES; i++) {
        const vg_status fits = regimes[i]->fits(device, op, storage);
        if (fits != VG_OK) {
            refused = fits;
            continue;
        }
        const double cost = regimes[i]->cost_s(device, op, storage);
        if (!best || cost < least) {
            best = regimes[i];
            least = cost;
        }
    }
    if (!best)
        return refused;
    *out = best;
    return VG_OK;
}
