/* --resume: what a folder holds already, and a folder without the rows of what is not complete.
 *
 * The key of a measurement is (case, device, threads, bind, denormals, process, pass, repetition),
 * as it stands in results.csv. A failure's row has no repetition and completes its pass; an
 * interrupted one completes nothing. */
#ifndef VG_RESUME_H
#define VG_RESUME_H

#include "folder.h"
#include "keys.h"
#include "options.h"

/* One case on one device under its settings: complete or not as a whole. */
typedef struct vg_subject {
    const char *name, *device;
    int64_t threads; /* that applied; -1: not known */
    const char *bind, *denormals;
} vg_subject;

void vg_subject_key(const vg_subject *subject, char out[VG_KEY]);
/* Whose gradients they are: threads and binding leave no trace in a gradient. */
void vg_profile_key(const char *name, const char *device, const char *denormals, char out[VG_KEY]);
/* A case and a device, whatever the settings. */
void vg_planned_key(const char *name, const char *device, char out[VG_KEY]);

/* Writes the three files anew without the rows of every subject that is planned (`planned` holds
 * vg_planned_key) but not complete, without profiles that no ok row backs up, and without a torn
 * last line; files that change are replaced by renaming. Then `done` holds every subject that is
 * complete, `profiled` every profile that stands there. Complete: a row for each process, pass and
 * repetition of the options. VG_INVALID: a file of other columns, or damaged, and its line; VG_IO,
 * VG_NO_MEMORY. */
vg_status vg_resume(const vg_folder *folder, const vg_options *options, const vg_keys *planned,
                    vg_keys *done, vg_keys *profiled);

#endif
