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

/* The driver of that very family in this build, or null. */
const vg_driver *vg_driver_find(const char *family);

/* Families that this build has not, with the reason; a null family ends. */
typedef struct vg_absent_family {
    const char *family, *reason;
} vg_absent_family;
const vg_absent_family *vg_absent_families(void);

/* Lists every driver's devices, absent ones with their reason. Loads hwloc, CUDA ...: only in a
 * worker process. The caller frees *out. VG_NO_MEMORY, or what a driver's list said. */
vg_status vg_devices_find(vg_found_device **out, size_t *count);

#endif
