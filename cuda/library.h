/* Libraries opened when they are first needed: cuBLASLt, cuDNN, NVML. A program built with them
 * starts where they are absent, and says so only where they are asked for. The tests put their
 * emulation in the place of library.c, function by function. */
#ifndef VG_CUDA_LIBRARY_H
#define VG_CUDA_LIBRARY_H

#include "vg/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One function: its name, and where its address goes. */
typedef struct vg_symbol {
    const char *name;
    void **to;
} vg_symbol;

/* Opens the first of `files` (ends with null) that can be opened and finds every symbol (ends with
 * a null name). VG_UNSUPPORTED names the file or the symbol that is missing. The library stays
 * open as long as the process. */
vg_status vg_library_open(const char *const *files, const vg_symbol *symbols);

#ifdef __cplusplus
}
#endif
#endif
