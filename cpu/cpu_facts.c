/* What only the device knows of itself: its kernels, and the machine as hwloc shows it to them. */
#include "cpu_exec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void fact_number(vg_fact_fn *emit, void *context, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    emit(context, key, text);
}

vg_status vg_cpu_facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    const vg_topology *t = &device->topology;
    char key[32];
    emit(context, "cpu.kernels", device->kernels->name);
    fact_number(emit, context, "cpu.cores", t->cores);
    for (uint32_t c = 0; c < t->cache_count; c++) {
        snprintf(key, sizeof key, "cpu.cache.l%u_bytes", t->caches[c].level);
        fact_number(emit, context, key, t->caches[c].bytes);
    }
    char *xml = vg_topology_xml(t);
    if (xml)
        emit(context, "topology.xml", xml);
    free(xml);
    return VG_OK;
}
