/* Any bytes as env.json: the ids of a run, or one line that says why there are none. */
#include "fuzz.h"
#include "runinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    vg_report_run run = {0};
    vg_status status = vg_runinfo_read((const char *)bytes, size, &run);
    if (status == VG_OK) {
        require(strlen(run.run_id) < sizeof run.run_id, "an id without end");
    } else {
        require(status == VG_INVALID, "neither read nor refused");
        require_reason();
    }
    return 0;
}
