/* The topology where hwloc is not to be had (cross builds): every allowed processor is a core, and
 * caches are of the usual sizes. */
#include "topology.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

vg_status vg_topology_open(vg_topology *out)
{
    cpu_set_t allowed;
    vg_topology topology = {.cache_count = 2};
    topology.caches[0] = (vg_cache){.level = 1, .bytes = 32 << 10};
    topology.caches[1] = (vg_cache){.level = 2, .bytes = 512 << 10};
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        VG_FAIL(VG_UNSUPPORTED, "the processors that this process may use are not known");
    topology.cpus = calloc(CPU_SETSIZE, sizeof *topology.cpus);
    if (!topology.cpus)
        VG_FAIL(VG_NO_MEMORY, "no memory for a list of %d processors", CPU_SETSIZE);
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            topology.cpus[topology.cores++] = cpu;
    vg_topology_use(&topology, topology.cores);
    *out = topology;
    return VG_OK;
}

void vg_topology_close(vg_topology *topology)
{
    free(topology->cpus);
    *topology = (vg_topology){0};
}

void vg_topology_use(vg_topology *topology, uint32_t cores)
{
    for (uint32_t c = 0; c < topology->cache_count; c++)
        topology->caches[c].used_bytes = cores * topology->caches[c].bytes;
}

char *vg_topology_xml(const vg_topology *topology)
{
    (void)topology;
    return strdup("<topology/>\n");
}
