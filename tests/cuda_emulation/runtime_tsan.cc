/* What ThreadSanitizer is told of streams and graphs: each is a thread of its own. No file of the
 * runtime is instrumented then: its tables belong to the host. */
#include "runtime.h"

#if defined(EMU_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emu
{

#if defined(EMU_TSAN)

void tsan_release(void *at)
{
    __tsan_release(at);
}

void tsan_acquire(void *at)
{
    __tsan_acquire(at);
}

void *tsan_make()
{
    return __tsan_create_fiber(0);
}

void tsan_as(void *fiber, const std::function<void()> &what)
{
    void *self = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
    what();
    __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
}

void tsan_drop(void *fiber)
{
    if (fiber)
        __tsan_destroy_fiber(fiber);
}

#else

void tsan_release(void *)
{
}

void tsan_acquire(void *)
{
}

void *tsan_make()
{
    return nullptr;
}

void tsan_as(void *, const std::function<void()> &what)
{
    what();
}

void tsan_drop(void *)
{
}

#endif

} // namespace emu
