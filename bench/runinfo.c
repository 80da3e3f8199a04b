/* Ids and env.json. No path of the file system goes into it, and no name that was not asked for. */
#include "runinfo.h"

#include "hash.h"

#include "build_info.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

vg_status vg_facts_add(vg_facts *facts, const char *key, const char *value)
{
    VG_TRY(vg_strings_add(&facts->keys, key, strlen(key)));
    return vg_strings_add(&facts->values, value, strlen(value));
}

const char *vg_facts_find(const vg_facts *facts, const char *key)
{
    for (size_t i = 0; i < facts->values.count; i++)
        if (strcmp(facts->keys.at[i], key) == 0)
            return facts->values.at[i];
    return NULL;
}

void vg_facts_free(vg_facts *facts)
{
    vg_strings_free(&facts->keys);
    vg_strings_free(&facts->values);
}

/* With the end of each text. */
static uint64_t hash_add(uint64_t hash, const char *text)
{
    return vg_hash_byte(vg_hash_text(hash, text ? text : ""), 0);
}

static uint64_t hardware_hash(const vg_facts *machine)
{
    /* Not microcode, kernel or governor: those may change, and are compared by eye. */
    static const char *const lasting[] = {"architecture", "cpu_model",    "cpu_family",
                                          "cpu_stepping", "logical_cpus", "memory_gib",
                                          "gpus",         "hypervisor"};
    uint64_t hash = VG_HASH_START;
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
        hash = hash_add(hash, vg_facts_find(machine, lasting[i]));
    return hash;
}

static uint64_t build_hash(void)
{
    const vg_build_info *build = vg_build_info_get();
    const char *const parts[] = {build->version,   build->commit,  build->dirty ? "dirty" : "",
                                 build->compiler,  build->flags,   build->hwloc,
                                 build->benchmark, build->jansson, build->parts};
    uint64_t hash = VG_HASH_START;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        hash = hash_add(hash, parts[i]);
    return hash;
}

void vg_time_utc(char out[24])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void vg_runinfo_ids(const vg_facts *machine, vg_report_run *out)
{
    uint32_t noise = 0;
    if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        noise = (uint32_t)getpid();
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    char stamp[24];
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    *out = (vg_report_run){.run_id = ""};
    snprintf(out->run_id, sizeof out->run_id, "%s-%08" PRIx32, stamp, noise);
    snprintf(out->hardware_id, sizeof out->hardware_id, "%016" PRIx64, hardware_hash(machine));
    snprintf(out->build_id, sizeof out->build_id, "%016" PRIx64, build_hash());
}

/* Texts of the system need not be UTF-8, which JSON wants. */
static json_t *text_json(const char *text)
{
    json_t *made = json_string(text);
    if (made)
        return made;
    char *ascii = strdup(text);
    for (char *at = ascii; at && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    made = json_string(ascii);
    free(ascii);
    return made;
}

/* A key that names a file is written as that file: topology.xml. */
static bool names_file(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot && strcmp(dot, ".xml") == 0;
}

static json_t *facts_json(const vg_facts *facts)
{
    json_t *object = json_object();
    for (size_t i = 0; i < facts->values.count; i++)
        if (!names_file(facts->keys.at[i]))
            json_object_set_new(object, facts->keys.at[i], text_json(facts->values.at[i]));
    return object;
}

static json_t *build_json(void)
{
    const vg_build_info *build = vg_build_info_get();
    return json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s}", "version", build->version,
                     "commit", build->commit, "dirty", (int)build->dirty, "compiler",
                     build->compiler, "flags", build->flags, "hwloc", build->hwloc,
                     "google_benchmark", build->benchmark, "parts", build->parts, "jansson",
                     jansson_version_str());
}

static json_t *device_json(const vg_device_facts *device)
{
    json_t *object = facts_json(&device->facts);
    json_object_set_new(object, "name", text_json(device->name));
    json_object_set_new(object, "description", text_json(device->description));
    json_object_set_new(object, "implementation", text_json(device->implementation));
    return object;
}

static void host_name(const vg_options *options, char out[72])
{
    char name[256] = "";
    if (options->host_name) {
        snprintf(out, 72, "%s", options->host_name);
        return;
    }
    gethostname(name, sizeof name - 1);
    snprintf(out, 72, "%016" PRIx64, hash_add(hash_add(VG_HASH_START, "vgbench host"), name));
}

vg_status vg_runinfo_json(const vg_options *options, const vg_report_run *ids,
                          const vg_facts *machine, const vg_device_facts *devices,
                          size_t device_count, char **out)
{
    char host[72], now[24];
    host_name(options, host);
    vg_time_utc(now);
    errno = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < device_count; i++)
        json_array_append_new(list, device_json(&devices[i]));
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "schema_version", VG_SCHEMA_VERSION,
        "run_id", ids->run_id, "time_utc", now, "hardware_id", ids->hardware_id, "build_id",
        ids->build_id, "host", text_json(host), "command_line", text_json(options->command_line),
        "machine", facts_json(machine), "build", build_json(), "devices", list);
    char *made = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    bool whole = made && errno != ENOMEM; /* a part that failed is left out without a word */
    *out = whole ? made : NULL;
    if (!whole)
        free(made);
    if (!whole)
        VG_FAIL(VG_NO_MEMORY, "no memory for env.json");
    return VG_OK;
}

/* Jansson 2.14 drops a byte of a string whose buffer cannot grow, and then reads beyond it. So all
 * that parsing takes is had before: the most for a byte of text is an empty object's in a list, a
 * third of 300 bytes. Its allocators know no context; one text is read at a time. */
enum { ALIGNED = 16, ROOM_FOR_A_BYTE = 128, ROOM_AT_LEAST = 1 << 16 };
static struct {
    char *at;
    size_t left;
} room;

static void *room_take(size_t size)
{
    size = (size + ALIGNED - 1) / ALIGNED * ALIGNED;
    if (size > room.left)
        return NULL;
    room.left -= size;
    room.at += size;
    return room.at - size;
}

static void room_keep(void *bytes)
{
    (void)bytes;
}

static vg_status ids_read(const json_t *root, vg_report_run *out)
{
    const struct {
        const char *key;
        char *to;
        size_t room;
    } texts[] = {{"run_id", out->run_id, sizeof out->run_id},
                 {"hardware_id", out->hardware_id, sizeof out->hardware_id},
                 {"build_id", out->build_id, sizeof out->build_id}};
    json_int_t version = json_integer_value(json_object_get(root, "schema_version"));
    if (version != VG_SCHEMA_VERSION)
        VG_FAIL(VG_INVALID, "env.json: schema_version %" JSON_INTEGER_FORMAT ": expected %d",
                version, VG_SCHEMA_VERSION);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *text = json_string_value(json_object_get(root, texts[i].key));
        if (!text || strlen(text) >= texts[i].room)
            VG_FAIL(VG_INVALID, "env.json: no %s", texts[i].key);
        memcpy(texts[i].to, text, strlen(text) + 1);
    }
    return VG_OK;
}

vg_status vg_runinfo_read(const char *json, size_t size, vg_report_run *out)
{
    json_error_t error;
    const bool fits = size < (SIZE_MAX - ROOM_AT_LEAST) / ROOM_FOR_A_BYTE;
    const size_t wanted = size * ROOM_FOR_A_BYTE + ROOM_AT_LEAST;
    char *bytes = fits ? malloc(wanted) : NULL;
    if (!bytes)
        VG_FAIL(VG_NO_MEMORY, "env.json: no memory to read it");
    room.at = bytes;
    room.left = wanted;
    json_set_alloc_funcs(room_take, room_keep);
    const json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    vg_status status = root ? ids_read(root, out)
                            : vg_fail(VG_INVALID, "env.json: line %d, column %d: %s", error.line,
                                      error.column, error.text);
    json_set_alloc_funcs(malloc, free); /* root goes with its room */
    free(bytes);
    return status;
}
