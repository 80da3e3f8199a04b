/* A library to be preloaded (LD_PRELOAD) that makes the n-th call of a kind fail. From the
 * environment:
 *   VG_FAULT=WHO:CALL:N:WHAT[+]   WHO: supervisor or worker. CALL: a row of `kinds`. The N-th call
 *                                 of that process fails, with + every one from then on. WHAT: an
 *                                 error's name, or what stands beside the kind in `kinds`.
 *   VG_FAULT_LOG=FILE             each process adds a line "WHO CALL COUNT FAILED" a kind. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef enum kind {
    MALLOC, /* any allocation of the C library */
    SIGHT,  /* the same, while hwloc looks at this machine */
    LOOK,   /* of hwloc at this machine: it finds one processor alone */
    WRITE,  /* to a regular file; WHAT short: half of the bytes */
    PIPE,   /* write or writev to a pipe; WHAT short, or garble: other bytes */
    MAP,    /* memory of 1 MiB or more straight from the system */
    OPEN,   /* a file to be written */
    SYNC,   /* fsync, fdatasync */
    CLOSE,  /* of a regular file */
    RENAME,
    TRUNCATE,
    MKDIR,
    FORK,
    THREAD,   /* pthread_create */
    AFFINITY, /* sched_setaffinity, and pthread_create of a bound thread */
    CLOCK,    /* of the calendar; WHAT: seconds that it jumps by, there and back */
    HWLOC,    /* WHAT: the version that the library says it has, in hexadecimal */
    ONEDNN,   /* WHAT: its major version */
    KINDS
} kind;

static const char *const kinds[KINDS] = {
    "malloc", "sight",    "look",  "write", "pipe",   "map",      "open",  "sync",  "close",
    "rename", "truncate", "mkdir", "fork",  "thread", "affinity", "clock", "hwloc", "onednn"};

static const struct {
    const char *name;
    int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM}, {"EACCES", EACCES},
              {"EROFS", EROFS},   {"EDQUOT", EDQUOT}, {"EPERM", EPERM},   {"EAGAIN", EAGAIN},
              {"EINTR", EINTR},   {"EPIPE", EPIPE}};

/* What was ordered, and what was counted; written before main, but for the counts. */
static struct {
    bool armed, sticky;
    kind kind;
    uint64_t first;
    int error;
    char what[32];
    const char *who;
} order;

static atomic_uint_fast64_t counts[KINDS], failures[KINDS];

/* Only what main does counts: libraries' initialisers (CUDA's are in the program) may die of it. */
static atomic_bool in_main;

/* Whether the calling thread is in hwloc_topology_load. Found without a call, which a sanitizer
 * takes before it is ready for it. */
static _Thread_local bool looks __attribute__((tls_model("initial-exec")));

static bool fails(kind k)
{
    if (!in_main)
        return false;
    uint64_t n = atomic_fetch_add(&counts[k], 1) + 1;
    if (!order.armed || order.kind != k || !(n == order.first || (order.sticky && n > order.first)))
        return false;
    atomic_fetch_add(&failures[k], 1);
    errno = order.error;
    return true;
}

static void order_read(const char *text)
{
    char who[16] = "", call[16] = "";
    unsigned long long first = 0;
    if (sscanf(text, "%15[^:]:%15[^:]:%llu:%31s", who, call, &first, order.what) != 4 ||
        strcmp(who, order.who) != 0)
        return;
    size_t length = strlen(order.what);
    order.sticky = length > 0 && order.what[length - 1] == '+';
    order.what[length - order.sticky] = 0;
    order.first = first;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, order.what) == 0)
            order.error = errors[i].number;
    for (int k = 0; k < KINDS; k++)
        if (strcmp(kinds[k], call) == 0) {
            order.kind = (kind)k;
            order.armed = true;
        }
}

__attribute__((constructor)) static void begin(int argc, char **argv)
{
    bool worker = argc > 1 && strcmp(argv[1], "--vgbench-worker") == 0;
    order.who = worker ? "worker" : "supervisor";
    const char *text = getenv("VG_FAULT");
    if (text)
        order_read(text);
}

typedef int main_fn(int argc, char **argv, char **environment);
typedef int start_fn(main_fn *start, int argc, char **argv, void (*init)(void), void (*fini)(void),
                     void (*loader_fini)(void), void *stack_end);
static main_fn *program;

static int main_begin(int argc, char **argv, char **environment)
{
    in_main = true;
    return program(argc, argv, environment);
}

/* What calls main, by the ABI of the C library. */
start_fn __libc_start_main;
int __libc_start_main(main_fn *start, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end)
{
    start_fn *real = (start_fn *)dlsym(RTLD_NEXT, "__libc_start_main");
    program = start;
    return real(main_begin, argc, argv, init, fini, loader_fini, stack_end);
}

__attribute__((destructor)) static void end(void)
{
    char line[64];
    const char *path = getenv("VG_FAULT_LOG");
    long fd = path ? syscall(SYS_open, path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    for (int k = 0; k < KINDS && fd >= 0; k++) {
        int size = snprintf(line, sizeof line, "%s %s %llu %llu\n", order.who, kinds[k],
                            (unsigned long long)counts[k], (unsigned long long)failures[k]);
        syscall(SYS_write, fd, line, (size_t)size);
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
}

/* REAL(name): the function of that name that comes after this library's. */
#define REAL(name) real = real ? real : (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define NEXT(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    REAL(name)

/* Counts for both kinds. */
static bool allocation_fails(void)
{
    const bool sight = looks && fails(SIGHT);
    return fails(MALLOC) || sight;
}

void *malloc(size_t size)
{
    NEXT(malloc);
    return allocation_fails() ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    NEXT(calloc);
    return allocation_fails() ? NULL : real(count, size);
}

void *realloc(void *old, size_t size)
{
    NEXT(realloc);
    return allocation_fails() ? NULL : real(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    NEXT(posix_memalign);
    return allocation_fails() ? ENOMEM : real(out, alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    NEXT(aligned_alloc);
    return allocation_fails() ? NULL : real(alignment, size);
}

static mode_t type_of(int fd)
{
    struct stat seen;
    return fstat(fd, &seen) == 0 ? seen.st_mode & S_IFMT : 0;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    NEXT(write);
    mode_t type = type_of(fd);
    kind k = type == S_IFIFO ? PIPE : WRITE;
    if ((type != S_IFREG && type != S_IFIFO) || !fails(k))
        return real(fd, bytes, size);
    return strcmp(order.what, "short") == 0 ? real(fd, bytes, (size + 1) / 2) : -1;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(writev);
    if (type_of(fd) != S_IFIFO || count < 1 || !fails(PIPE))
        return real(fd, parts, count);
    if (strcmp(order.what, "short") == 0) {
        const struct iovec half = {parts->iov_base, (parts->iov_len + 1) / 2};
        return real(fd, &half, 1);
    }
    if (strcmp(order.what, "garble") != 0)
        return -1;
    char other[] = "a line that some library prints, longer than the head of a frame\n";
    const struct iovec line = {other, sizeof other};
    return real(fd, &line, 1);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    NEXT(mmap);
    if (fd >= 0 || size < 1 << 20 || !fails(MAP))
        return real(at, size, protection, flags, fd, offset);
    return MAP_FAILED;
}

static bool writes(const char *path, int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY && strcmp(path, "/dev/null") != 0;
}

int open(const char *path, int flags, ...)
{
    NEXT(open);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return writes(path, flags) && fails(OPEN) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    NEXT(openat);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return writes(path, flags) && fails(OPEN) ? -1 : real(folder, path, flags, mode);
}

int fsync(int fd)
{
    NEXT(fsync);
    return fails(SYNC) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync);
    return fails(SYNC) ? -1 : real(fd);
}

/* The descriptor is gone where the close fails, too. */
int close(int fd)
{
    NEXT(close);
    bool written = type_of(fd) == S_IFREG && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    bool fail = written && fails(CLOSE);
    int error = errno, result = real(fd);
    if (!fail)
        return result;
    errno = error;
    return -1;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    NEXT(renameat);
    return fails(RENAME) ? -1 : real(from_folder, from, to_folder, to);
}

int ftruncate(int fd, off_t size)
{
    NEXT(ftruncate);
    return fails(TRUNCATE) ? -1 : real(fd, size);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    return fails(MKDIR) ? -1 : real(path, mode);
}

pid_t fork(void)
{
    NEXT(fork);
    return fails(FORK) ? -1 : real();
}

/* Whether the attributes that this thread made last bind a thread. */
static _Thread_local bool binds;

int pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size, const cpu_set_t *set)
{
    NEXT(pthread_attr_setaffinity_np);
    binds = true;
    return real(attributes, size, set);
}

/* It binds the new thread, too: that may be what is not permitted. */
int pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *context)
{
    NEXT(pthread_create);
    bool bound = binds;
    binds = false;
    if (fails(THREAD))
        return EAGAIN;
    return bound && fails(AFFINITY) ? order.error : real(out, attributes, run, context);
}

int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
    NEXT(sched_setaffinity);
    return fails(AFFINITY) ? -1 : real(pid, size, set);
}

/* There and back: every other reading is off. */
static time_t jump(void)
{
    return fails(CLOCK) && counts[CLOCK] % 2 ? (time_t)strtoll(order.what, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    NEXT(clock_gettime);
    int result = real(clock, out);
    if (clock == CLOCK_REALTIME)
        out->tv_sec += jump();
    return result;
}

time_t time(time_t *out)
{
    NEXT(time);
    time_t now = real(NULL) + jump();
    if (out)
        *out = now;
    return now;
}

unsigned hwloc_get_api_version(void)
{
    unsigned (*real)(void) = (unsigned (*)(void))dlsym(RTLD_NEXT, "hwloc_get_api_version");
    return fails(HWLOC) || !real ? (unsigned)strtoul(order.what, NULL, 16) : real();
}

static void keep_one_processor(void *topology)
{
    void *(*make)(void) = (void *(*)(void))dlsym(RTLD_NEXT, "hwloc_bitmap_alloc");
    int (*only)(void *, unsigned) =
        (int (*)(void *, unsigned))dlsym(RTLD_NEXT, "hwloc_bitmap_only");
    int (*restricts)(void *, const void *, unsigned long) =
        (int (*)(void *, const void *, unsigned long))dlsym(RTLD_NEXT, "hwloc_topology_restrict");
    void (*drop)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "hwloc_bitmap_free");
    cpu_set_t mine;
    unsigned first = 0;
    if (!make || !only || !restricts || !drop || sched_getaffinity(0, sizeof mine, &mine) != 0)
        return;
    while (first + 1 < CPU_SETSIZE && !CPU_ISSET(first, &mine))
        first++;
    void *set = make();
    if (set && only(set, first) == 0)
        restricts(topology, set, 0);
    drop(set);
}

int hwloc_topology_load(void *topology)
{
    int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "hwloc_topology_load");
    looks = true;
    const int result = real(topology);
    looks = false;
    if (result == 0 && fails(LOOK))
        keep_one_processor(topology);
    return result;
}

/* dnnl_version_t: three numbers, then more. */
const void *dnnl_version(void)
{
    const int *(*real)(void) = (const int *(*)(void))dlsym(RTLD_NEXT, "dnnl_version");
    static int other[16];
    if (!fails(ONEDNN))
        return real ? real() : NULL;
    other[0] = (int)strtol(order.what, NULL, 10);
    return other;
}
