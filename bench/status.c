/* The status names and this thread's reason. */
#include "vg/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char reason[512];

const char *vg_status_name(vg_status status)
{
#define NAME(id, name) name,
    static const char *const names[] = {VG_STATUSES(NAME)};
#undef NAME
    return (unsigned)status < VG_STATUS_COUNT ? names[status] : "unknown";
}

vg_status vg_fail(vg_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    for (char *at = reason; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return status;
}

const char *vg_reason(void)
{
    return reason;
}
