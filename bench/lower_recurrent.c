#include "lower_build.h"
void vg_lower_recurrent(vg_builder *b)
{
    b->status = vg_fail(VG_UNSUPPORTED, "lowering: recurrent models");
}
