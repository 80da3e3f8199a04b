/* Any bytes as the rows of the three files of a folder, parted by lines "=": --resume reads them,
 * or refuses them with one line; what it left it reads again, and leaves as it is. */
#include "fuzz.h"
#include "resume.h"

#include <fcntl.h>
#include <unistd.h>

static void (*const headers[VG_FILE_COUNT])(vg_text *) = {
    vg_csv_gradient_header, vg_csv_decay_header, vg_csv_result_header};

static void put(const vg_folder *folder, vg_file file, const char *rows, size_t size)
{
    vg_text text = {0};
    headers[file](&text);
    if (size > 0)
        vg_text_add(&text, rows, size);
    int fd = openat(folder->fd, vg_file_name(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    require(fd >= 0 && write(fd, text.at, text.size) == (ssize_t)text.size, "not written");
    close(fd);
    vg_text_free(&text);
}

static size_t size_of(const vg_folder *folder, vg_file file)
{
    vg_text text = {0};
    require(vg_folder_read(folder, vg_file_name(file), &text) == VG_OK, "not read");
    size_t size = text.size;
    vg_text_free(&text);
    return size;
}

static vg_status resume(const vg_folder *folder, const vg_options *options, const vg_keys *planned)
{
    vg_keys done = {0}, profiled = {0};
    vg_status status = vg_resume(folder, options, planned, &done, &profiled);
    vg_keys_free(&done);
    vg_keys_free(&profiled);
    return status;
}

static vg_folder folder = {.fd = -1};

static void folder_remove(void)
{
    for (vg_file file = 0; file < VG_FILE_COUNT; file++)
        unlinkat(folder.fd, vg_file_name(file), 0);
    rmdir(folder.path);
    vg_folder_close(&folder);
}

/* In memory where the system has room there. */
static void folder_make(void)
{
    static char memory[] = "/dev/shm/vg_fuzz_csv_XXXXXX", disk[] = "/tmp/vg_fuzz_csv_XXXXXX";
    const char *path = mkdtemp(memory);
    path = path ? path : mkdtemp(disk);
    require(path && vg_folder_open(path, &folder) == VG_OK, "no folder");
    atexit(folder_remove);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (folder.fd < 0)
        folder_make();
    const char *rows = (const char *)bytes, *end = rows + size;
    for (vg_file file = 0; file < VG_FILE_COUNT; file++) {
        const char *stop = size > 0 ? memmem(rows, (size_t)(end - rows), "=\n", 2) : NULL;
        put(&folder, file, rows, (size_t)((stop ? stop : end) - rows));
        rows = stop ? stop + 2 : end;
    }
    vg_options options = {.timed = 1u << VG_TIMED_TRAIN, .processes = 1, .repetitions = 1};
    vg_keys planned = {0};
    require(vg_keys_add(&planned, "a\tnull") == VG_OK, "no memory");
    vg_status status = resume(&folder, &options, &planned);
    if (status == VG_OK) {
        size_t left[VG_FILE_COUNT];
        for (vg_file file = 0; file < VG_FILE_COUNT; file++)
            left[file] = size_of(&folder, file);
        require(resume(&folder, &options, &planned) == VG_OK, "what was left is refused");
        for (vg_file file = 0; file < VG_FILE_COUNT; file++)
            require(size_of(&folder, file) == left[file], "rows are dropped the second time");
    } else {
        require(status == VG_INVALID, "neither read nor refused");
        require_reason();
    }
    vg_keys_free(&planned);
    return 0;
}
