/* Who measures: ids of the run, the machine and the build, and env.json. */
#ifndef VG_RUNINFO_H
#define VG_RUNINFO_H

#include "folder.h"
#include "options.h"

/* Facts by key, in order; starts as zeros. */
typedef struct vg_facts {
    vg_strings keys, values;
} vg_facts;

vg_status vg_facts_add(vg_facts *facts, const char *key, const char *value);
/* Null: there is none. */
const char *vg_facts_find(const vg_facts *facts, const char *key);
void vg_facts_free(vg_facts *facts);

/* One device of the run and what its driver says of it. */
typedef struct vg_device_facts {
    const char *name, *description, *implementation;
    vg_facts facts;
} vg_device_facts;

/* What the kernel says of this machine: cpu_model, cores, memory_bytes, governor, ... */
vg_status vg_machine_facts(vg_facts *out);

/* run_id: the time and eight random digits; hardware_id: a hash of what cannot change between runs;
 * build_id: of commit, compiler, flags and libraries. */
void vg_runinfo_ids(const vg_facts *machine, vg_report_run *out);

/* env.json as text; the caller frees *out. host_name null: a hash of this host's. VG_NO_MEMORY. */
vg_status vg_runinfo_json(const vg_options *options, const vg_report_run *ids,
                          const vg_facts *machine, const vg_device_facts *devices,
                          size_t device_count, char **out);

/* The ids of the run whose env.json this is. VG_INVALID: it is no such file, and where. */
vg_status vg_runinfo_read(const char *json, size_t size, vg_report_run *out);

/* Now, as "2026-01-02T03:04:05Z". */
void vg_time_utc(char out[24]);

#endif
