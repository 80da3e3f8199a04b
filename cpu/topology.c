/* hwloc, and nothing of it in the header. */
#include "topology.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static hwloc_topology_t handle(const vg_topology *topology)
{
    return (hwloc_topology_t)topology->hwloc;
}

static void caches_find(vg_topology *topology, hwloc_obj_t core)
{
    for (hwloc_obj_t o = core; o && topology->cache_count < VG_CACHE_LEVELS; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type) && o->attr->cache.size > 0)
            topology->caches[topology->cache_count++] =
                (vg_cache){.level = o->attr->cache.depth, .bytes = o->attr->cache.size};
    if (topology->cache_count == 0) /* not told (some virtual machines): what every core has */
        topology->caches[topology->cache_count++] = (vg_cache){.level = 1, .bytes = 32768};
}

/* The processors that the calling thread may run on, by the system itself: hwloc takes memory to
 * tell. Not known where hwloc describes another machine. */
static bool affinity_read(hwloc_topology_t all, cpu_set_t *out)
{
    return hwloc_topology_is_thissystem(all) && sched_getaffinity(0, sizeof *out, out) == 0;
}

static bool is_allowed(hwloc_topology_t all, const cpu_set_t *affinity, unsigned cpu)
{
    if (!affinity)
        return hwloc_bitmap_isset(hwloc_topology_get_allowed_cpuset(all), cpu);
    return cpu < CPU_SETSIZE && CPU_ISSET(cpu, affinity);
}

/* Whether a processor is missing, or the core that it is of. */
static bool lacks_a_processor(hwloc_topology_t all)
{
    cpu_set_t affinity;
    if (!affinity_read(all, &affinity))
        return false;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &affinity))
            continue;
        hwloc_obj_t found = hwloc_get_pu_obj_by_os_index(all, cpu);
        if (!found || !hwloc_get_ancestor_obj_by_type(all, HWLOC_OBJ_CORE, found))
            return true;
    }
    return false;
}

static vg_status cores_find(vg_topology *topology)
{
    hwloc_topology_t all = handle(topology);
    cpu_set_t set;
    const cpu_set_t *affinity = affinity_read(all, &set) ? &set : NULL;
    int depth = hwloc_get_type_or_below_depth(all, HWLOC_OBJ_CORE);
    uint32_t count = hwloc_get_nbobjs_by_depth(all, depth);
    topology->cpus = calloc(count + 1, sizeof *topology->cpus);
    if (!topology->cpus)
        VG_FAIL(VG_NO_MEMORY, "no memory for a list of %u cores", count);
    for (uint32_t i = 0; i < count; i++) {
        hwloc_obj_t core = hwloc_get_obj_by_depth(all, depth, i);
        for (int cpu = hwloc_bitmap_first(core->cpuset); cpu >= 0;
             cpu = hwloc_bitmap_next(core->cpuset, cpu)) {
            if (!is_allowed(all, affinity, (unsigned)cpu))
                continue;
            if (topology->cores == 0)
                caches_find(topology, core);
            topology->cpus[topology->cores++] = (uint32_t)cpu;
            break;
        }
    }
    if (topology->cores == 0)
        VG_FAIL(VG_UNSUPPORTED, "hwloc finds no core that this process may use");
    return VG_OK;
}

static vg_status all_load(hwloc_topology_t *out)
{
    hwloc_topology_t all = NULL;
    if (hwloc_topology_init(&all))
        VG_FAIL(VG_NO_MEMORY, "hwloc could not be started");
    if (hwloc_topology_load(all)) {
        const int error = errno;
        hwloc_topology_destroy(all);
        VG_FAIL(error == ENOMEM ? VG_NO_MEMORY : VG_UNSUPPORTED,
                "hwloc could not read this machine's topology");
    }
    *out = all;
    return VG_OK;
}

vg_status vg_topology_open(vg_topology *out)
{
    vg_topology topology = {0};
    hwloc_topology_t all = NULL;
    const unsigned here = hwloc_get_api_version(), built = HWLOC_API_VERSION;
    if (here >> 16 != built >> 16) /* its structures are laid out differently */
        VG_FAIL(VG_UNSUPPORTED,
                "hwloc's interface is version %u.%u here: expected %u, as built with", here >> 16,
                here >> 8 & 255, built >> 16);
    VG_TRY(all_load(&all));
    if (lacks_a_processor(all)) { /* hwloc leaves out, without a word, what it had no memory for */
        hwloc_topology_destroy(all);
        VG_TRY(all_load(&all));
    }
    topology.hwloc = all;
    vg_status status = cores_find(&topology);
    if (status == VG_OK) {
        vg_topology_use(&topology, topology.cores);
        *out = topology;
    } else {
        vg_topology_close(&topology);
    }
    return status;
}

void vg_topology_close(vg_topology *topology)
{
    free(topology->cpus);
    if (topology->hwloc)
        hwloc_topology_destroy(handle(topology));
    *topology = (vg_topology){0};
}

static hwloc_obj_t cache_of(const vg_topology *topology, uint32_t core, uint32_t level)
{
    hwloc_obj_t o = hwloc_get_pu_obj_by_os_index(handle(topology), topology->cpus[core]);
    while (o && !(hwloc_obj_type_is_dcache(o->type) && o->attr->cache.depth == level))
        o = o->parent;
    return o;
}

void vg_topology_use(vg_topology *topology, uint32_t cores)
{
    if (cores > topology->cores)
        cores = topology->cores;
    for (uint32_t c = 0; c < topology->cache_count; c++) {
        vg_cache *cache = &topology->caches[c];
        cache->used_bytes = 0;
        for (uint32_t i = 0; i < cores; i++) {
            hwloc_obj_t mine = cache_of(topology, i, cache->level);
            bool counted = false;
            for (uint32_t j = 0; j < i && !counted; j++)
                counted = mine && cache_of(topology, j, cache->level) == mine;
            if (!counted)
                cache->used_bytes += mine ? mine->attr->cache.size : cache->bytes;
        }
    }
}

/* Removes every line of an exported file that names the host or one of its parts. */
static void lines_remove(char *text)
{
    static const char *const secret[] = {"HostName", "Serial", "UUID",        "AssetTag",
                                         "Address",  "Cgroup", "ProcessName", "GUID"};
    char *to = text;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) + 1 : strlen(line);
        bool keep = true;
        char *info = strstr(line, "<info name=\"");
        if (info && info < line + length)
            for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
                char *found = strstr(info, secret[i]);
                keep = keep && !(found && found < line + length);
            }
        if (keep) {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    *to = '\0';
}

char *vg_topology_xml(const vg_topology *topology)
{
    char *exported = NULL, *copy = NULL;
    int length = 0;
    if (hwloc_topology_export_xmlbuffer(handle(topology), &exported, &length, 0))
        return NULL;
    copy = calloc((size_t)length + 1, 1);
    if (copy) {
        memcpy(copy, exported, (size_t)length);
        lines_remove(copy);
    }
    hwloc_free_xmlbuffer(handle(topology), exported);
    return copy;
}
