/* NVIDIA's management library (NVML), opened at run time: what it says of one GPU. It is only read
 * from; no setting is changed. */
#ifndef VG_CUDA_NVML_H
#define VG_CUDA_NVML_H

#include "cuda_device.h"

/* The GPU that the runtime numbers `ordinal`; null where the library or the permission is missing.
 */
vg_nvml *vg_nvml_open(int ordinal);
void vg_nvml_close(vg_nvml *nvml);

/* Of a null nvml everything is NaN and "". */
void vg_nvml_telemetry(const vg_nvml *nvml, vg_telemetry *out);
/* Driver, clocks, ECC, power limit, PCI link: "gpu.driver", ...; what is not known is left out. */
void vg_nvml_facts(const vg_nvml *nvml, vg_fact_fn *emit, void *context);

#endif
