/* How much main memory there is to take. */
#ifndef VG_MEMORY_H
#define VG_MEMORY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of main memory that can be had without swapping; a control group's limit counts, and what
 * of its use are files that the kernel drops when asked does not. UINT64_MAX: the kernel does not
 * say. Takes no memory itself. */
uint64_t vg_memory_available(void);

#ifdef __cplusplus
}
#endif

#endif
