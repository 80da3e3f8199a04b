/* Every device family that this build has, and every device that they list here. */
#ifndef VG_DEVICES_H
#define VG_DEVICES_H

#include "vg/device.h"

typedef struct vg_found_device {
    const vg_driver *driver;
    vg_device_info info;
} vg_found_device;

/* The drivers of this build in the order of devices.def; null ends. */
const vg_driver *const *vg_drivers(void);

/* Lists every driver's devices, absent ones with their reason. Loads hwloc, CUDA ...: only in a
 * worker process. The caller frees *out. */
vg_status vg_devices_find(vg_found_device **out, size_t *count);

#endif
