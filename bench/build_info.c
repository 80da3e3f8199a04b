/* What this program was built from and with; the values are written at every build. */
#include "build_info.h"

static const vg_build_info info = {
#include "build_info.inc"
};

const vg_build_info *vg_build_info_get(void)
{
    return &info;
}
