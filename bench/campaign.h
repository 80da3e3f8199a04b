/* The measuring of a whole plan: files, cases in order, rows on disk case by case. */
#ifndef VG_CAMPAIGN_H
#define VG_CAMPAIGN_H

#include "folder.h"
#include "keys.h"
#include "runinfo.h"
#include "trial.h"

typedef struct vg_campaign {
    const vg_options *options;
    const vg_plan *plan;
    vg_interrupt *interrupt;
    vg_console *console;
    vg_report_run ids;
    vg_facts machine;
    vg_folder folder;
    vg_side *sides;       /* one a device of the plan */
    vg_outcome *outcomes; /* likewise, of the case in hand */
    vg_keys done, profiled;
    size_t well, failed; /* outcomes that were ok, and that were neither ok nor unsupported */
    size_t ran;          /* outcomes in all */
} vg_campaign;

/* Ids, workers' sides; nothing is started. Free with vg_campaign_close in any case. VG_INVALID,
 * VG_NO_MEMORY. */
vg_status vg_campaign_open(vg_campaign *out, const vg_options *options, const vg_plan *plan,
                           vg_interrupt *interrupt, vg_console *console);

/* The folder with env.json and headers, and what --resume finds there. VG_INVALID: results are
 * there already, or of another machine or build; VG_IO. */
vg_status vg_campaign_files(vg_campaign *campaign);

/* Every case in order, until done or interrupted. VG_IO: rows could not be written; those of the
 * case in hand have gone to stdout. */
vg_status vg_campaign_measure(vg_campaign *campaign);

/* Every case verified in full, a line each on stdout. */
vg_status vg_campaign_check(vg_campaign *campaign);

void vg_campaign_close(vg_campaign *campaign);

#endif
