/* What the kernel says of the memory that is left. */
#include "vg/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number behind `key` at the start of a line of a file, "" = its first; or `otherwise`. */
static uint64_t number_read(const char *path, const char *key, uint64_t otherwise)
{
    char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    const size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        char *end;
        if (strncmp(line, key, length) != 0)
            continue;
        const uint64_t number = strtoull(line + length, &end, 10);
        return end > line + length ? number : otherwise;
    }
    return otherwise;
}

/* Of control groups of version 2, the one that is this process's root. */
static uint64_t group_available(void)
{
    const uint64_t most = number_read("/sys/fs/cgroup/memory.max", "", UINT64_MAX);
    const uint64_t now = number_read("/sys/fs/cgroup/memory.current", "", 0);
    const uint64_t files = number_read("/sys/fs/cgroup/memory.stat", "inactive_file ", 0);
    const uint64_t held = now > files ? now - files : 0;
    if (most == UINT64_MAX)
        return most;
    return most > held ? most - held : 0;
}

uint64_t vg_memory_available(void)
{
    const uint64_t system = number_read("/proc/meminfo", "MemAvailable:", UINT64_MAX / 1024);
    const uint64_t group = group_available();
    return system * 1024 < group ? system * 1024 : group;
}
