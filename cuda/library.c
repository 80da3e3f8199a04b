/* Libraries opened when they are first needed. */
#include "library.h"

#include <dlfcn.h>
#include <string.h>

vg_status vg_library_open(const char *const *files, const vg_symbol *symbols)
{
    void *library = NULL;
    const char *opened = files[0];
    for (const char *const *file = files; *file && !library; file++) {
        library = dlopen(opened = *file, RTLD_NOW | RTLD_LOCAL);
        if (!library)
            (void)dlerror();
    }
    if (!library)
        VG_FAIL(VG_UNSUPPORTED, "%s cannot be opened: it is not installed, or not for this machine",
                files[0]);
    for (const vg_symbol *symbol = symbols; symbol->name; symbol++) {
        void *found = dlsym(library, symbol->name);
        if (!found)
            VG_FAIL(VG_UNSUPPORTED, "%s has no %s: another version is needed", opened,
                    symbol->name);
        *symbol->to = found;
    }
    return VG_OK;
}
