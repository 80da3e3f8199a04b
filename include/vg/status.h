/* How every function that the world can defeat reports it: a status, and the reason in words. */
#ifndef VG_STATUS_H
#define VG_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(enumerator, name as it stands in the reports) */
#define VG_STATUSES(X)                                                                             \
    X(VG_OK, "ok")                                                                                 \
    X(VG_INVALID, "invalid")                                                                       \
    X(VG_UNSUPPORTED, "unsupported")                                                               \
    X(VG_NO_MEMORY, "no_memory")                                                                   \
    X(VG_TIMEOUT, "timeout")                                                                       \
    X(VG_CRASHED, "crashed")                                                                       \
    X(VG_DEVICE_LOST, "device_lost")                                                               \
    X(VG_MISMATCH, "mismatch")                                                                     \
    X(VG_UNTRUSTED, "untrusted")                                                                   \
    X(VG_INTERRUPTED, "interrupted")                                                               \
    X(VG_IO, "io")

#define VG_STATUS_ENUMERATOR(id, name) id,
typedef enum vg_status { VG_STATUSES(VG_STATUS_ENUMERATOR) VG_STATUS_COUNT } vg_status;
#undef VG_STATUS_ENUMERATOR

/* "ok", "unsupported", ... ; never null. */
const char *vg_status_name(vg_status status);

/* Sets this thread's reason (printf format) and returns `status`, so that it ends a return. A
 * reason is one line: control characters, which what was refused may hold, become '?'. */
vg_status vg_fail(vg_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The reason of the last failure in this thread; "" if there was none. */
const char *vg_reason(void);

#define VG_FAIL(status, ...) return vg_fail((status), __VA_ARGS__)

#define VG_TRY(expression)                                                                         \
    do {                                                                                           \
        vg_status vg_try_status_ = (expression);                                                   \
        if (vg_try_status_ != VG_OK)                                                               \
            return vg_try_status_;                                                                 \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
