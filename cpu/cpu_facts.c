/* What must be known of a machine to compare its figures: emitted as key and value, or left out. */
#include "cpu_exec.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

typedef struct emitter {
    vg_fact_fn *emit;
    void *context;
} emitter;

static void fact(const emitter *e, const char *key, const char *value)
{
    char text[512];
    size_t end = 0;
    for (; value[end] && end + 1 < sizeof text; end++)
        text[end] = isprint((unsigned char)value[end]) ? value[end] : ' ';
    while (end > 0 && text[end - 1] == ' ')
        end--;
    text[end] = '\0';
    if (end > 0)
        e->emit(e->context, key, text);
}

static void fact_number(const emitter *e, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    fact(e, key, text);
}

static bool first_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    bool read = f && fgets(out, (int)size, f);
    if (f)
        fclose(f);
    return read;
}

static void fact_file(const emitter *e, const char *key, const char *path)
{
    char line[256];
    if (first_line(path, line, sizeof line))
        fact(e, key, line);
}

/* "key : value" lines of a file; the first of each wanted key. */
static void fact_lines(const emitter *e, const char *path, const char *const (*wanted)[2],
                       size_t count)
{
    char line[4096];
    unsigned found = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        size_t length = strcspn(line, "\t:");
        for (size_t i = 0; i < count && colon; i++)
            if (!(found >> i & 1) && strlen(wanted[i][0]) == length &&
                strncmp(line, wanted[i][0], length) == 0) {
                found |= 1u << i;
                fact(e, wanted[i][1], colon + 1 + strspn(colon + 1, " \t"));
            }
    }
    if (f)
        fclose(f);
}

/* "meltdown: Not affected; ..." in the names' order. */
static void fact_mitigations(const emitter *e)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[512], key[320];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        snprintf(key, sizeof key, "cpu.vulnerability.%s", names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            fact_file(e, key, path);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static void fact_topology(const emitter *e, const vg_device *device)
{
    const vg_topology *t = &device->topology;
    char key[32];
    fact_number(e, "cpu.cores", t->cores);
    for (uint32_t c = 0; c < t->cache_count; c++) {
        snprintf(key, sizeof key, "cpu.cache.l%u_bytes", t->caches[c].level);
        fact_number(e, key, t->caches[c].bytes);
    }
    char *xml = vg_topology_xml(t);
    if (xml)
        e->emit(e->context, "topology.xml", xml);
    free(xml);
}

vg_status vg_cpu_facts(vg_device *device, vg_fact_fn *emit, void *context)
{
    static const char *const cpuinfo[][2] = {
        {"model name", "cpu.model"},
        {"vendor_id", "cpu.vendor"},
        {"cpu family", "cpu.family"},
        {"model", "cpu.model_number"},
        {"stepping", "cpu.stepping"},
        {"microcode", "cpu.microcode"},
        {"CPU implementer", "cpu.implementer"},
        {"CPU part", "cpu.part"},
    };
    static const char *const meminfo[][2] = {{"MemTotal", "memory.total"},
                                             {"HugePages_Total", "memory.huge_pages"}};
    const emitter e = {emit, context};
    struct utsname system;
    fact_lines(&e, "/proc/cpuinfo", cpuinfo, sizeof cpuinfo / sizeof *cpuinfo);
    fact_lines(&e, "/proc/meminfo", meminfo, sizeof meminfo / sizeof *meminfo);
    fact_file(&e, "memory.transparent_huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled");
    fact_file(&e, "cpu.governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    fact_file(&e, "cpu.boost", "/sys/devices/system/cpu/cpufreq/boost");
    fact_file(&e, "cpu.smt", "/sys/devices/system/cpu/smt/control");
    fact_file(&e, "machine.vendor", "/sys/class/dmi/id/sys_vendor");
    fact_file(&e, "machine.product", "/sys/class/dmi/id/product_name");
    fact_file(&e, "machine.hypervisor", "/sys/hypervisor/type");
    fact_mitigations(&e);
    if (uname(&system) == 0) {
        fact(&e, "system.name", system.sysname);
        fact(&e, "system.kernel", system.release);
        fact(&e, "system.architecture", system.machine);
    }
    fact(&e, "cpu.kernels", device->kernels->name);
    fact_topology(&e, device);
    return VG_OK;
}
