/* Between the two halves of the emulation: the grid (grid.cc, fiber.cc, device_emulated.cuh) runs
 * kernels, the runtime (runtime*.cc, cublaslt.cc) is what the host calls. */
#ifndef VG_EMULATION_INTERNAL_H
#define VG_EMULATION_INTERNAL_H

#include "emulation.h"

#include <stddef.h>
#include <stdint.h>

const emu_settings *emu_current(void); /* runtime.cc */

/* Prints, and aborts or ends the body of emu_expect(). grid.cc */
[[noreturn]] void emu_report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A kernel that VG_KERNEL_ENTRY has named: args_bytes of its one struct. grid.cc */
struct emu_kernel {
    const void *function; /* void (*)(const void *args) */
    const char *name;
    uint32_t threads;
    size_t args_bytes;
};
const emu_kernel *emu_kernel_find(const void *function);

/* Runs a grid to its end on the calling host thread; args is copied. The caller has checked the
 * limits that a launch has. */
struct emu_launch {
    const emu_kernel *kernel;
    const void *args;
    uint32_t blocks, threads, cluster; /* cluster 0: none */
    size_t dynamic_shared;
    bool cooperative;
};
void emu_run(const emu_launch *launch);
void emu_grid_reset(void); /* the next launch's schedule is the first again */

/* Whether [at, at + bytes) may be touched by kernels now: device memory that is allocated. What a
 * kernel touches elsewhere ASan sees. runtime_memory.cc */
bool emu_is_device_memory(const void *at, size_t bytes);

/* What a library that is opened at run time exports; ends with a null name. Null: it is not
 * installed. The emulated cuDNN, where it is linked, defines its own. emulated_library.cc */
struct emu_function {
    const char *name;
    void *function;
};
extern "C" const emu_function *emu_cudnn_functions(void) __attribute__((weak));
const emu_function *emu_nvml_functions(void);

#endif
