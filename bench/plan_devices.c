/* From the device patterns to the devices of a plan, and the drivers' own options. */
#include "plan.h"

#include "axes.h"
#include "numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETTINGS = 64, MAX_NAMES = 256 };

static bool is_glob(const char *pattern)
{
    return strpbrk(pattern, "*?") != NULL;
}

/* `*` any text, `?` one byte. */
static bool matches(const char *glob, const char *name)
{
    const char *star = NULL, *retry = NULL;
    while (*name != '\0') {
        if (*glob == '*') {
            star = ++glob;
            retry = name;
        } else if (*glob == '?' || *glob == *name) {
            glob++;
            name++;
        } else if (star != NULL) {
            glob = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    return glob[strspn(glob, "*")] == '\0';
}

static bool usable(const vg_found_device *device)
{
    return device->info.absent[0] == '\0';
}

static bool of_family(const vg_found_device *device, const char *family)
{
    return strcmp(device->driver->family, family) == 0;
}

/* The usable device of the family with the largest rank, the first of equals; or null. */
static const vg_found_device *best_of(const vg_found_device *found, size_t count,
                                      const char *family)
{
    const vg_found_device *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (of_family(&found[i], family) && usable(&found[i]) &&
            (best == NULL || found[i].info.rank > best->info.rank))
            best = &found[i];
    return best;
}

/* Adds a device once; the room is for all that were found. */
static void add_device(vg_plan *plan, const vg_found_device *device)
{
    for (size_t i = 0; i < plan->device_count; i++)
        if (strcmp(plan->devices[i].info.name, device->info.name) == 0)
            return;
    plan->devices[plan->device_count++] = *device;
}

/* Every automatic device; of a family with ranks only the best. */
static void add_automatic(const vg_found_device *found, size_t count, vg_plan *plan)
{
    for (size_t i = 0; i < count; i++) {
        if (!usable(&found[i]) || !found[i].info.automatic)
            continue;
        const vg_found_device *best = best_of(found, count, found[i].driver->family);
        if (best->info.rank == 0 || best == &found[i])
            add_device(plan, &found[i]);
    }
}

/* The names of all usable devices and of their families, for a suggestion. */
static const char *nearest_device(const vg_found_device *found, size_t count, const char *typed)
{
    const char *names[MAX_NAMES + 1];
    size_t n = 0;
    for (size_t i = 0; i < count && n + 2 <= MAX_NAMES; i++)
        if (usable(&found[i])) {
            names[n++] = found[i].info.name;
            names[n++] = found[i].driver->family;
        }
    names[n] = NULL;
    return vg_nearest(typed, names);
}

/* Whether the pattern is of that family: "cuda", or "cuda:3" of "cuda". */
static bool names_family(const char *pattern, const char *family)
{
    size_t length = strcspn(pattern, ":");
    return strlen(family) == length && memcmp(family, pattern, length) == 0;
}

/* Why a device is not here: its own reason, or that of all its family; null: there is none such. */
static const char *absent_reason(const vg_found_device *found, size_t count, const char *pattern)
{
    const char *reason = NULL;
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        if (names_family(pattern, a->family))
            return a->reason;
    for (size_t i = 0; i < count; i++)
        if (!usable(&found[i]) && strcmp(found[i].info.name, pattern) == 0)
            return found[i].info.absent;
    for (size_t i = 0; i < count; i++) {
        if (!names_family(pattern, found[i].driver->family))
            continue;
        if (usable(&found[i]))
            return NULL;
        reason = reason != NULL ? reason : found[i].info.absent;
    }
    return reason;
}

/* "--device=cuda:1: not here: REASON", or the nearest that is. */
static vg_status fail_device(const vg_found_device *found, size_t count, const char *pattern)
{
    const char *reason = absent_reason(found, count, pattern);
    char shown[VG_SHOWN];
    vg_shown(pattern, strlen(pattern), shown);
    if (reason != NULL)
        VG_FAIL(VG_DEVICE_LOST, "--device=%s: not here: %s", shown, reason);
    const char *near = nearest_device(found, count, pattern);
    VG_FAIL(VG_DEVICE_LOST, "--device=%s: no such device; see --list%s%s%s", shown,
            near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
            near != NULL ? "'?" : "");
}

/* auto, a device's name, a family's (its best), or a glob. */
static vg_status add_pattern(const vg_found_device *found, size_t count, const char *pattern,
                             vg_plan *plan)
{
    if (strcmp(pattern, "auto") == 0) {
        add_automatic(found, count, plan);
        return VG_OK;
    }
    if (is_glob(pattern)) {
        bool any = false;
        for (size_t i = 0; i < count; i++)
            if (usable(&found[i]) && matches(pattern, found[i].info.name)) {
                add_device(plan, &found[i]);
                any = true;
            }
        char note[128], shown[VG_SHOWN];
        snprintf(note, sizeof note, "--device=%s: matches no device that is here",
                 vg_shown(pattern, strlen(pattern), shown));
        return any ? VG_OK : vg_strings_add(&plan->notes, note, strlen(note));
    }
    for (size_t i = 0; i < count; i++)
        if (usable(&found[i]) && strcmp(found[i].info.name, pattern) == 0) {
            add_device(plan, &found[i]);
            return VG_OK;
        }
    const vg_found_device *best = best_of(found, count, pattern);
    if (best == NULL)
        return fail_device(found, count, pattern);
    add_device(plan, best);
    return VG_OK;
}

/* --- options of the drivers' own --- */

static bool starts(const char *text, const char *family)
{
    size_t length = strlen(family);
    return strncmp(text, family, length) == 0 && text[length] == '.';
}

/* The driver whose family is the longest that starts FAMILY.KEY=VALUE, or null where that family is
 * not in this build; *key follows it. */
static const vg_driver *driver_of(const char *text, const char **key)
{
    const vg_driver *longest = NULL;
    size_t most = 0;
    for (const vg_driver *const *d = vg_drivers(); *d != NULL; d++)
        if (starts(text, (*d)->family) && strlen((*d)->family) > most) {
            longest = *d;
            most = strlen(longest->family);
        }
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        if (starts(text, a->family) && strlen(a->family) > most)
            return NULL;
    *key = text + most + (most > 0);
    return longest;
}

static vg_status fail_family(const char *text, const char *shown)
{
    const char *names[MAX_NAMES + 1];
    char typed[VG_SHOWN];
    size_t n = 0, end = strcspn(text, "="), dot = end;
    while (dot > 0 && text[dot] != '.')
        dot--;
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        if (strlen(a->family) == dot && memcmp(a->family, text, dot) == 0)
            VG_FAIL(VG_INVALID, "--device-option=%s: %s", shown, a->reason);
    for (const vg_driver *const *d = vg_drivers(); *d != NULL && n < MAX_NAMES; d++)
        names[n++] = (*d)->family;
    names[n] = NULL;
    const char *near = vg_nearest(vg_shown(text, dot, typed), names);
    if (near != NULL)
        VG_FAIL(VG_INVALID, "--device-option=%s: no such family; did you mean '%s'?", shown, near);
    VG_FAIL(VG_INVALID, "--device-option=%s: expected FAMILY.KEY=VALUE as --list shows", shown);
}

static vg_status fail_key(const vg_driver *driver, const char *key, size_t length,
                          const char *shown)
{
    const char *names[MAX_SETTINGS + 1];
    char typed[VG_SHOWN], all[256] = "";
    size_t n = 0, used = 0;
    for (const vg_option *o = driver->options; o != NULL && o->name != NULL && n < MAX_SETTINGS;
         o++) {
        if (used < sizeof all)
            used +=
                (size_t)snprintf(all + used, sizeof all - used, "%s%s", n > 0 ? ", " : "", o->name);
        names[n++] = o->name;
    }
    names[n] = NULL;
    if (n == 0)
        VG_FAIL(VG_INVALID, "--device-option=%s: %s has no options", shown, driver->family);
    const char *near = vg_nearest(vg_shown(key, length, typed), names);
    VG_FAIL(VG_INVALID, "--device-option=%s: %s%s%s%s's options are %s", shown,
            near != NULL ? "did you mean '" : "", near != NULL ? near : "",
            near != NULL ? "'? " : "", driver->family, all);
}

/* One alternative of "auto|units|0..64". */
static bool fits(const char *alternative, size_t length, const char *value)
{
    if (strlen(value) == length && memcmp(alternative, value, length) == 0)
        return true;
    uint64_t least, most, whole;
    for (size_t i = 1; i + 2 < length; i++)
        if (alternative[i] == '.' && alternative[i + 1] == '.')
            return vg_whole_parse(alternative, i, &least) &&
                   vg_whole_parse(alternative + i + 2, length - i - 2, &most) &&
                   vg_whole_parse(value, strlen(value), &whole) && whole >= least && whole <= most;
    return false;
}

/* Checks one FAMILY.KEY=VALUE; the row that it sets. */
static vg_status check_setting(const char *text, const vg_driver **driver, const vg_option **row)
{
    char shown[VG_SHOWN];
    const char *key;
    vg_shown(text, strlen(text), shown);
    *driver = driver_of(text, &key);
    if (*driver == NULL)
        return fail_family(text, shown);
    size_t length = strcspn(key, "=");
    for (*row = (*driver)->options; *row != NULL && (*row)->name != NULL; (*row)++)
        if (strlen((*row)->name) == length && memcmp((*row)->name, key, length) == 0)
            break;
    if (*row == NULL || (*row)->name == NULL)
        return fail_key(*driver, key, length, shown);
    const char *value = key[length] == '=' ? key + length + 1 : "";
    for (const char *at = (*row)->values;; at++) {
        size_t n = strcspn(at, "|");
        if (fits(at, n, value))
            return VG_OK;
        at += n;
        if (*at == '\0')
            VG_FAIL(VG_INVALID, "--device-option=%s: expected %s", shown, (*row)->values);
    }
}

vg_status vg_plan_settings(const vg_options *options, const vg_driver *driver, vg_setting **out)
{
    const vg_strings *given = &options->device_options;
    size_t bytes = (given->count + 1) * sizeof(vg_setting);
    for (size_t i = 0; i < given->count; i++)
        bytes += strlen(given->at[i]) + 1;
    vg_setting *settings = calloc(1, bytes);
    if (settings == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for the device options");
    char *text = (char *)(settings + given->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < given->count; i++) {
        const vg_driver *of;
        const vg_option *row;
        vg_status status = check_setting(given->at[i], &of, &row);
        if (status != VG_OK) {
            free(settings);
            return status;
        }
        if (of != driver)
            continue;
        size_t n = 0;
        while (n < count && settings[n].name != row->name)
            n++;
        strcpy(text, strchr(given->at[i], '=') + 1);
        settings[n] = (vg_setting){row->name, text};
        text += strlen(text) + 1;
        count += n == count;
    }
    *out = settings;
    return VG_OK;
}

/* Every device option is right and concerns a device of the plan. */
static vg_status check_settings(const vg_options *options, const vg_plan *plan)
{
    for (size_t i = 0; i < options->device_options.count; i++) {
        const char *text = options->device_options.at[i];
        const vg_driver *driver;
        const vg_option *row;
        bool used = false;
        VG_TRY(check_setting(text, &driver, &row));
        for (size_t d = 0; d < plan->device_count; d++)
            used = used || plan->devices[d].driver == driver;
        char shown[VG_SHOWN];
        if (!used)
            VG_FAIL(VG_INVALID, "--device-option=%s: no device of this plan is of %s",
                    vg_shown(text, strlen(text), shown), driver->family);
    }
    return VG_OK;
}

/* Devices with memory of their own that are here, whether they are of the plan or not; a peer on
 * the same chip, which is not automatic, counts no second time. */
static vg_status add_accelerators(const vg_found_device *found, size_t count, vg_plan *plan)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = found[i].info.description;
        if (usable(&found[i]) && found[i].info.automatic && found[i].driver->own_memory)
            VG_TRY(vg_strings_add(&plan->accelerators, text, strlen(text)));
    }
    return VG_OK;
}

vg_status vg_plan_devices(const vg_options *options, const vg_found_device *found, size_t count,
                          vg_plan *out)
{
    VG_TRY(add_accelerators(found, count, out));
    out->devices = calloc(count + 1, sizeof *out->devices);
    if (out->devices == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for the devices");
    if (options->devices.count == 0)
        add_automatic(found, count, out);
    for (size_t i = 0; i < options->devices.count; i++)
        VG_TRY(add_pattern(found, count, options->devices.at[i], out));
    if (out->device_count == 0)
        VG_FAIL(VG_DEVICE_LOST, "--device: none of the devices here is meant; see --list");
    return check_settings(options, out);
}
