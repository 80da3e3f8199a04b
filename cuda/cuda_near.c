/* The processors that share a memory controller with a GPU, as the kernel tells them. */
#include "cuda_device.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* "0-15,32-47": the processors of the list. */
static void list_read(const char *text, cpu_set_t *out)
{
    CPU_ZERO(out);
    while (isdigit((unsigned char)*text)) {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, out);
        text = end + (*end == ',');
    }
}

bool vg_cuda_bind_near(int ordinal)
{
    char bus_id[32], path[128], line[1024] = "";
    cpu_set_t near, allowed;
    if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, ordinal) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    for (char *at = bus_id; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/local_cpulist", bus_id);
    FILE *file = fopen(path, "re");
    bool got = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    if (!got || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return false;
    list_read(line, &near);
    CPU_AND(&near, &near, &allowed);
    return CPU_COUNT(&near) > 0 && sched_setaffinity(0, sizeof near, &near) == 0;
}
