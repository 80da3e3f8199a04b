/* Instrumented, as kernels are: an asynchronous copy is the doing of its thread, at some moment
 * between the call and the wait. */
#include "grid.h"

struct alignas(16) sixteen {
    uint32_t word[4];
};

void emu_copy_land(void *shared, const void *global)
{
    *(sixteen *)shared = *(const sixteen *)global;
}
