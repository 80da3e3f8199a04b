/* The table of device families, and the list of every device that they find. */
#include "vg/devices.h"

#include <stdlib.h>
#include <string.h>

#define VG_NO_DRIVER(family, reason)
#define VG_DRIVER(symbol) extern const vg_driver symbol;
#include "devices.def"
#undef VG_DRIVER
#define VG_DRIVER(symbol) &symbol,
static const vg_driver *const drivers[] = {
#include "devices.def"
    NULL};
#undef VG_DRIVER
#undef VG_NO_DRIVER

#define VG_DRIVER(symbol)
#define VG_NO_DRIVER(family, reason) {family, reason},
static const vg_absent_family absent_families[] = {
#include "devices.def"
    {NULL, NULL}};
#undef VG_DRIVER
#undef VG_NO_DRIVER

const vg_driver *const *vg_drivers(void)
{
    return drivers;
}

const vg_driver *vg_driver_find(const char *family)
{
    for (const vg_driver *const *driver = drivers; *driver != NULL; driver++)
        if (strcmp((*driver)->family, family) == 0)
            return *driver;
    return NULL;
}

const vg_absent_family *vg_absent_families(void)
{
    return absent_families;
}

/* Appends a driver's devices to *out. */
static vg_status append_devices(const vg_driver *driver, vg_found_device **out, size_t *count)
{
    size_t more = 0;
    VG_TRY(driver->list(NULL, 0, &more));
    if (more == 0)
        return VG_OK;
    vg_device_info *infos = calloc(more, sizeof *infos);
    vg_found_device *grown = realloc(*out, (*count + more) * sizeof *grown);
    if (grown != NULL)
        *out = grown;
    vg_status status = VG_OK;
    size_t listed = 0;
    if (infos == NULL || grown == NULL)
        status = vg_fail(VG_NO_MEMORY, "no memory for the list of devices");
    else
        status = driver->list(infos, more, &listed);
    if (status == VG_OK)
        for (size_t i = 0; i < listed && i < more; i++)
            grown[(*count)++] = (vg_found_device){driver, infos[i]};
    free(infos);
    return status;
}

vg_status vg_devices_find(vg_found_device **out, size_t *count)
{
    vg_found_device *found = NULL;
    size_t n = 0;
    for (const vg_driver *const *driver = drivers; *driver != NULL; driver++) {
        vg_status status = append_devices(*driver, &found, &n);
        if (status != VG_OK) {
            free(found);
            return status;
        }
    }
    *out = found;
    *count = n;
    return VG_OK;
}
