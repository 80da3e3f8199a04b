/* The CPU devices: one for every instruction set of this architecture. */
#ifndef VG_CPU_DEVICE_H
#define VG_CPU_DEVICE_H

#include "vg/device.h"

/* Family "cpu": cpu.scalar, cpu.avx2, cpu.avx512, cpu.neon; "cpu" is the best that runs here. */
extern const vg_driver vg_cpu_driver;

#endif
