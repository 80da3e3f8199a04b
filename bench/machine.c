/* What the kernel says of this machine, from /proc and /sys; what it does not say is left out. */
#include "runinfo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* A file read line by line; without an allocation, so that for want of memory nothing is left out.
 */
typedef struct lines {
    int fd;
    size_t at, end;
    char bytes[4096];
} lines;

static bool lines_open(lines *l, const char *path)
{
    l->fd = open(path, O_RDONLY | O_CLOEXEC);
    l->at = l->end = 0;
    return l->fd >= 0;
}

/* The next line without its end, cut to `size`; false: there is none. */
static bool lines_next(lines *l, char *out, size_t size)
{
    size_t used = 0;
    for (bool some = false;; some = true) {
        if (l->at == l->end) {
            ssize_t got = read(l->fd, l->bytes, sizeof l->bytes);
            if (got <= 0) {
                out[used] = 0;
                return some;
            }
            l->at = 0;
            l->end = (size_t)got;
        }
        char byte = l->bytes[l->at++];
        if (byte == '\n') {
            out[used] = 0;
            return true;
        }
        if (used + 1 < size)
            out[used++] = byte;
    }
}

/* The first line of a file without its end; false: there is none. */
static bool line_read(const char *path, char *out, size_t size)
{
    lines file;
    if (!lines_open(&file, path))
        return false;
    bool got = lines_next(&file, out, size);
    close(file.fd);
    return got;
}

/* The value of the first line "KEY : VALUE" of a file. */
static bool value_read(const char *path, const char *key, char *out, size_t size)
{
    lines file;
    char line[4096];
    bool found = false;
    if (!lines_open(&file, path))
        return false;
    size_t length = strlen(key);
    while (!found && lines_next(&file, line, sizeof line)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, length) != 0 ||
            line[length + strspn(line + length, " \t")] != ':')
            continue;
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        found = true;
    }
    close(file.fd);
    return found;
}

static vg_status processor_facts(vg_facts *out)
{
    static const char *const rows[][2] = {
        {"cpu_vendor", "vendor_id"},  {"cpu_model", "model name"},
        {"cpu_family", "cpu family"}, {"cpu_model_number", "model"},
        {"cpu_stepping", "stepping"}, {"microcode", "microcode"},
        {"cpu_flags", "flags"},       {"cpu_implementer", "CPU implementer"},
        {"cpu_part", "CPU part"},     {"cpu_features", "Features"}};
    char value[4096];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (value_read("/proc/cpuinfo", rows[i][1], value, sizeof value))
            VG_TRY(vg_facts_add(out, rows[i][0], value));
    snprintf(value, sizeof value, "%ld", sysconf(_SC_NPROCESSORS_CONF));
    VG_TRY(vg_facts_add(out, "logical_cpus", value));
    snprintf(value, sizeof value, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    return vg_facts_add(out, "online_cpus", value);
}

/* Caches of the first processor: "L2_unified" = "2048K, shared by 0-1". */
static vg_status cache_facts(vg_facts *out)
{
    for (int i = 0; i < 8; i++) {
        char path[128], level[16], type[32], size[32], shared[128], key[64], value[192];
        const struct {
            const char *file;
            char *to;
            size_t room;
        } parts[] = {{"level", level, sizeof level},
                     {"type", type, sizeof type},
                     {"size", size, sizeof size},
                     {"shared_cpu_list", shared, sizeof shared}};
        bool all = true;
        for (size_t p = 0; p < sizeof parts / sizeof parts[0] && all; p++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i,
                     parts[p].file);
            all = line_read(path, parts[p].to, parts[p].room);
        }
        if (!all)
            break;
        snprintf(key, sizeof key, "cache_L%s_%s", level, type);
        snprintf(value, sizeof value, "%s, shared by %s", size, shared);
        VG_TRY(vg_facts_add(out, key, value));
    }
    return VG_OK;
}

static vg_status memory_facts(vg_facts *out)
{
    char value[64];
    if (!value_read("/proc/meminfo", "MemTotal", value, sizeof value))
        return VG_OK;
    uint64_t bytes = strtoull(value, NULL, 10) * 1024;
    char pages[64];
    if (value_read("/proc/meminfo", "HugePages_Total", pages, sizeof pages))
        VG_TRY(vg_facts_add(out, "huge_pages", pages));
    snprintf(value, sizeof value, "%" PRIu64, bytes);
    VG_TRY(vg_facts_add(out, "memory_bytes", value));
    /* What the kernel keeps for itself changes with its version: rounded, for the id. */
    snprintf(value, sizeof value, "%" PRIu64, (bytes + ((uint64_t)1 << 29)) >> 30);
    return vg_facts_add(out, "memory_gib", value);
}

/* The names of NVIDIA's GPUs in the order of their slots, whether this build can use them or not.
 */
static vg_status gpu_facts(vg_facts *out)
{
    static const char folder[] = "/proc/driver/nvidia/gpus";
    char names[1024] = "", path[512], model[128];
    struct dirent **slots;
    int count = scandir(folder, &slots, NULL, alphasort);
    if (count < 0 && errno == ENOMEM)
        VG_FAIL(VG_NO_MEMORY, "no memory for a list of GPUs");
    for (int i = 0; i < count; i++) {
        size_t used = strlen(names);
        snprintf(path, sizeof path, "%s/%s/information", folder, slots[i]->d_name);
        if (slots[i]->d_name[0] != '.' && value_read(path, "Model", model, sizeof model))
            snprintf(names + used, sizeof names - used, "%s%s", used ? "; " : "", model);
        free(slots[i]);
    }
    if (count >= 0)
        free(slots);
    return names[0] ? vg_facts_add(out, "gpus", names) : VG_OK;
}

static vg_status mitigation_facts(vg_facts *out)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    char path[512], key[320], value[512];
    DIR *list = opendir(folder);
    if (!list && errno == ENOMEM)
        VG_FAIL(VG_NO_MEMORY, "no memory for a list of mitigations");
    if (!list)
        return VG_OK;
    vg_status status = VG_OK;
    for (struct dirent *entry; status == VG_OK && (entry = readdir(list));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        snprintf(key, sizeof key, "mitigation_%s", entry->d_name);
        if (entry->d_name[0] != '.' && line_read(path, value, sizeof value))
            status = vg_facts_add(out, key, value);
    }
    closedir(list);
    return status;
}

static vg_status system_facts(vg_facts *out)
{
    static const char *const rows[][2] = {
        {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"},
        {"frequency_driver", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"},
        {"no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo"},
        {"boost", "/sys/devices/system/cpu/cpufreq/boost"},
        {"smt", "/sys/devices/system/cpu/smt/control"},
        {"transparent_hugepage", "/sys/kernel/mm/transparent_hugepage/enabled"},
        {"machine_vendor", "/sys/class/dmi/id/sys_vendor"},
        {"machine_product", "/sys/class/dmi/id/product_name"},
        {"hypervisor_type", "/sys/hypervisor/type"}};
    char value[512];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (line_read(rows[i][1], value, sizeof value))
            VG_TRY(vg_facts_add(out, rows[i][0], value));
    struct utsname names;
    if (uname(&names) == 0) {
        VG_TRY(vg_facts_add(out, "kernel", names.release));
        VG_TRY(vg_facts_add(out, "architecture", names.machine));
    }
    char flags[4096];
    bool guest = value_read("/proc/cpuinfo", "flags", flags, sizeof flags) &&
                 strstr(flags, " hypervisor") != NULL;
    return vg_facts_add(out, "hypervisor", guest ? "yes" : "none seen");
}

vg_status vg_machine_facts(vg_facts *out)
{
    VG_TRY(processor_facts(out));
    VG_TRY(cache_facts(out));
    VG_TRY(memory_facts(out));
    VG_TRY(gpu_facts(out));
    VG_TRY(system_facts(out));
    return mitigation_facts(out);
}
