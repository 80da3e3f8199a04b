/* The folder of --out: locked, its files appended to so that a kill at any moment loses at most the
 * case in hand. */
#ifndef VG_FOLDER_H
#define VG_FOLDER_H

#include "sink_csv.h"

/* In the order in which a case's rows are written. */
typedef enum vg_file { VG_FILE_GRADIENTS, VG_FILE_DECAY, VG_FILE_RESULTS, VG_FILE_COUNT } vg_file;
const char *vg_file_name(vg_file file);
/* Appends a file's first line. */
void vg_file_header(vg_file file, vg_text *out);

typedef struct vg_folder {
    char path[4096];
    int fd; /* of the folder itself, which carries the lock; -1: none is open */
    int files[VG_FILE_COUNT];
    bool to_stdout; /* --out=-: results alone */
} vg_folder;

/* A folder and those above it, where they are not there. VG_IO. */
vg_status vg_folders_make(const char *path);

/* Makes the folder with what leads to it and locks it; "-" is stdout. VG_IO: it cannot be made or
 * written, or another run holds the lock. */
vg_status vg_folder_open(const char *path, vg_folder *out);
bool vg_folder_has(const vg_folder *folder, const char *name);

/* Opens the three files for appending; a fresh one gets its header. VG_IO. */
vg_status vg_folder_begin(vg_folder *folder);

/* One checked append and fdatasync; what was written of it before a failure is taken back. VG_IO.
 */
vg_status vg_folder_append(vg_folder *folder, vg_file file, const vg_text *rows);

/* Puts a whole file in place: a new one, on disk, then renamed. VG_IO. */
vg_status vg_folder_replace(const vg_folder *folder, const char *name, const char *bytes,
                            size_t size);

/* A whole file; the caller frees text->at. VG_IO, VG_NO_MEMORY. */
vg_status vg_folder_read(const vg_folder *folder, const char *name, vg_text *out);

void vg_folder_close(vg_folder *folder);

#endif
