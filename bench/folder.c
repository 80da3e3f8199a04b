/* Files of a run: made early, locked, appended to with checks, replaced by renaming. */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *vg_file_name(vg_file file)
{
    static const char *const names[VG_FILE_COUNT] = {"gradients.csv", "decay.csv", "results.csv"};
    return names[file];
}

void vg_file_header(vg_file file, vg_text *out)
{
    static void (*const headers[VG_FILE_COUNT])(vg_text *) = {
        vg_csv_gradient_header, vg_csv_decay_header, vg_csv_result_header};
    headers[file](out);
}

vg_status vg_folders_make(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            VG_FAIL(VG_IO, "%s: %s", part, strerror(errno));
    }
    return VG_OK;
}

vg_status vg_folder_open(const char *path, vg_folder *out)
{
    *out = (vg_folder){.fd = -1, .files = {-1, -1, -1}};
    out->to_stdout = strcmp(path, "-") == 0;
    if (out->to_stdout)
        return VG_OK;
    if (path[0] == 0 || strlen(path) >= sizeof out->path - 64)
        VG_FAIL(VG_IO, "--out: %s", path[0] ? "the path is too long" : "empty");
    memcpy(out->path, path, strlen(path) + 1);
    VG_TRY(vg_folders_make(path));
    out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0)
        VG_FAIL(VG_IO, "%s: %s", path, strerror(errno));
    if (flock(out->fd, LOCK_EX | LOCK_NB) != 0) {
        vg_folder_close(out);
        VG_FAIL(VG_IO, "%s: another run writes there", path);
    }
    return VG_OK;
}

bool vg_folder_has(const vg_folder *folder, const char *name)
{
    return folder->fd >= 0 && faccessat(folder->fd, name, F_OK, 0) == 0;
}

static vg_status bytes_write(int fd, const char *name, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            VG_FAIL(VG_IO, "%s: %s", name, strerror(written < 0 ? errno : ENOSPC));
        bytes += written;
        size -= (size_t)written;
    }
    return VG_OK;
}

/* What is written to a file that somebody removed is nowhere. */
static vg_status still_there(int fd, const char *name)
{
    struct stat seen;
    if (fstat(fd, &seen) == 0 && seen.st_nlink == 0)
        VG_FAIL(VG_IO, "%s: it was removed while the run wrote there", name);
    return VG_OK;
}

vg_status vg_folder_append(vg_folder *folder, vg_file file, const vg_text *rows)
{
    const char *name = vg_file_name(file);
    if (rows->failed)
        VG_FAIL(VG_IO, "%s: no memory for a case's rows", name);
    if (rows->size == 0)
        return VG_OK;
    if (folder->to_stdout) {
        if (file != VG_FILE_RESULTS)
            return VG_OK;
        return bytes_write(STDOUT_FILENO, "stdout", rows->at, rows->size);
    }
    int fd = folder->files[file];
    off_t before = lseek(fd, 0, SEEK_END);
    vg_status status = bytes_write(fd, name, rows->at, rows->size);
    if (status == VG_OK && fdatasync(fd) != 0 && errno != EINVAL)
        status = vg_fail(VG_IO, "%s: %s", name, strerror(errno));
    if (status == VG_OK)
        status = still_there(fd, name);
    if (status != VG_OK && before >= 0)
        (void)!ftruncate(fd, before); /* the disk is full or broken: nothing more can be done */
    return status;
}

/* That the names in it last; a file system that cannot promise it says EINVAL. */
static vg_status names_sync(const vg_folder *folder)
{
    if (folder->fd >= 0 && fsync(folder->fd) != 0 && errno != EINVAL)
        VG_FAIL(VG_IO, "%s: %s", folder->path, strerror(errno));
    return VG_OK;
}

vg_status vg_folder_begin(vg_folder *folder)
{
    for (int i = 0; i < VG_FILE_COUNT; i++) {
        const char *name = vg_file_name((vg_file)i);
        off_t size = 0;
        if (!folder->to_stdout) {
            folder->files[i] =
                openat(folder->fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
            if (folder->files[i] < 0)
                VG_FAIL(VG_IO, "%s/%s: %s", folder->path, name, strerror(errno));
            size = lseek(folder->files[i], 0, SEEK_END);
        }
        if (size > 0)
            continue;
        vg_text header = {0};
        vg_file_header((vg_file)i, &header);
        vg_status status = vg_folder_append(folder, (vg_file)i, &header);
        vg_text_free(&header);
        VG_TRY(status);
    }
    return names_sync(folder);
}

vg_status vg_folder_replace(const vg_folder *folder, const char *name, const char *bytes,
                            size_t size)
{
    char fresh[64];
    snprintf(fresh, sizeof fresh, "%s.new", name);
    int fd = openat(folder->fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        VG_FAIL(VG_IO, "%s/%s: %s", folder->path, fresh, strerror(errno));
    vg_status status = bytes_write(fd, fresh, bytes, size);
    if (status == VG_OK && fsync(fd) != 0)
        status = vg_fail(VG_IO, "%s: %s", fresh, strerror(errno));
    if (close(fd) != 0 && status == VG_OK)
        status = vg_fail(VG_IO, "%s: %s", fresh, strerror(errno));
    if (status == VG_OK && renameat(folder->fd, fresh, folder->fd, name) != 0)
        status = vg_fail(VG_IO, "%s: %s", name, strerror(errno));
    if (status == VG_OK)
        return names_sync(folder);
    unlinkat(folder->fd, fresh, 0);
    return status;
}

vg_status vg_folder_read(const vg_folder *folder, const char *name, vg_text *out)
{
    int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        VG_FAIL(VG_IO, "%s/%s: %s", folder->path, name, strerror(errno));
    char part[1 << 16];
    ssize_t size;
    while ((size = read(fd, part, sizeof part)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            vg_text_add(out, part, (size_t)size);
    int problem = errno;
    close(fd);
    if (size == 0 && !out->failed)
        return VG_OK;
    bool short_of_memory = out->failed;
    vg_text_free(out);
    if (short_of_memory)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory to read it", name);
    VG_FAIL(VG_IO, "%s/%s: %s", folder->path, name, strerror(problem));
}

void vg_folder_close(vg_folder *folder)
{
    for (int i = 0; i < VG_FILE_COUNT; i++)
        if (folder->files[i] >= 0)
            close(folder->files[i]);
    if (folder->fd >= 0)
        close(folder->fd);
    *folder = (vg_folder){.fd = -1, .files = {-1, -1, -1}};
}
