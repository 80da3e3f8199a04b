/* The one mapping that a loaded program lives in. */
#include "cpu_exec.h"

#include "vg/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

vg_status vg_memory_map(uint64_t bytes, unsigned char **out)
{
    /* too large a case is refused rather than killed */
    uint64_t available = vg_memory_available();
    if (bytes > SIZE_MAX / 2 || bytes > available)
        VG_FAIL(VG_NO_MEMORY, "the case needs %.2f GB of memory, and %.2f GB are free",
                (double)bytes / 1e9, (double)available / 1e9);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        VG_FAIL(VG_NO_MEMORY, "%.2f GB of memory could not be mapped: %s", (double)bytes / 1e9,
                strerror(errno));
    madvise(at, bytes, MADV_HUGEPAGE); /* only ever a help */
    *out = at;
    return VG_OK;
}

void vg_memory_unmap(unsigned char *at, uint64_t bytes)
{
    munmap(at, bytes);
}
