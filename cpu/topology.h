/* The processors that this process may use, as hwloc sees them. */
#ifndef VG_TOPOLOGY_H
#define VG_TOPOLOGY_H

#include "vg/status.h"

#include <stdint.h>

enum { VG_CACHE_LEVELS = 4 };

typedef struct vg_cache {
    uint32_t level;      /* 1, 2, ... */
    uint64_t bytes;      /* of one */
    uint64_t used_bytes; /* of all that the first n cores have together: see vg_topology_use */
} vg_cache;

typedef struct vg_topology {
    uint32_t cores; /* physical ones that this thread is allowed to run on */
    uint32_t *cpus; /* one processor of each, as the operating system numbers them */
    uint32_t cache_count;
    vg_cache caches[VG_CACHE_LEVELS]; /* data or unified, of the first core; smallest first */
    void *hwloc;
} vg_topology;

/* Respects the affinity of the calling thread and the control group. Where hwloc leaves out a
 * processor of these, it is asked once more, then believed. VG_UNSUPPORTED where hwloc finds
 * nothing, VG_NO_MEMORY. */
vg_status vg_topology_open(vg_topology *out);
void vg_topology_close(vg_topology *topology);

/* Fills used_bytes for the first `cores` cores; shared caches count once. */
void vg_topology_use(vg_topology *topology, uint32_t cores);

/* hwloc's own export without host name, serial numbers, addresses and paths; the caller frees it.
 * Null where it could not be made. */
char *vg_topology_xml(const vg_topology *topology);

#endif
