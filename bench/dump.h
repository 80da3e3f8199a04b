/* --dump: every named tensor of a case as a file of NumPy's. */
#ifndef VG_DUMP_H
#define VG_DUMP_H

#include "vg/device.h"

/* Writes `values` (row-major, as many as the shape says) as NPY format 1.0: FP64 as float64, U8 as
 * uint8, every other dtype as float32. Source: numpy.lib.format. VG_IO, VG_NO_MEMORY. */
vg_status vg_npy_write(const char *path, vg_dtype dtype, uint32_t axes, const uint64_t *shape,
                       const double *values);

/* Every tensor of the program, as the device holds it, to FOLDER/<tensor>.npy; the folder is there.
 * VG_IO, VG_NO_MEMORY, or what the driver's read said. */
vg_status vg_dump_tensors(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                          const char *folder);

#endif
