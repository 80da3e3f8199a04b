/* The one mapping that a loaded program lives in. */
#include "cpu_exec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t number_in(const char *path, const char *key)
{
    char line[256];
    unsigned long long value = 0;
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *at = key ? strstr(line, key) : line;
        found = at && sscanf(key ? at + strlen(key) : at, "%llu", &value) == 1;
    }
    if (f)
        fclose(f);
    return found ? value : UINT64_MAX;
}

/* What the system could still give, so that too large a case is refused rather than killed. */
static uint64_t available_bytes(void)
{
    uint64_t available = number_in("/proc/meminfo", "MemAvailable:");
    if (available != UINT64_MAX)
        available *= 1024;
    uint64_t limit = number_in("/sys/fs/cgroup/memory.max", NULL);
    uint64_t used = number_in("/sys/fs/cgroup/memory.current", NULL);
    if (limit != UINT64_MAX && used != UINT64_MAX) {
        uint64_t left = limit > used ? limit - used : 0;
        available = left < available ? left : available;
    }
    return available;
}

vg_status vg_memory_map(uint64_t bytes, unsigned char **out)
{
    uint64_t available = available_bytes();
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
