/* Memory of the emulated devices, and pinned memory. Device memory is closed to the host (poisoned
 * for AddressSanitizer) but while a call does a stream's work; fresh memory is all ones: NaN. */
#include "runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)   ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

namespace
{

enum { ALIGNMENT = 256, GRAIN = 512 };

/* What an allocation takes away from the device's memory. */
size_t taken(size_t bytes)
{
    return (bytes + GRAIN - 1) / GRAIN * GRAIN;
}

/* All ones; of a large area only both ends, so that it takes no memory of the host's. */
void fill_fresh(void *at, size_t bytes)
{
    size_t most = (size_t)32 << 20;
    memset(at, 0xff, bytes < most ? bytes : most);
    if (bytes > most)
        memset((unsigned char *)at + bytes - most, 0xff, most);
}

void *fresh(size_t bytes, int device)
{
    void *at = nullptr;
    if (posix_memalign(&at, ALIGNMENT, bytes))
        return nullptr;
    fill_fresh(at, bytes);
    emu::machine &m = emu::the_machine();
    m.memory[(uintptr_t)at] = {bytes, device};
    if (device != emu::PINNED && !m.open)
        ASAN_POISON_MEMORY_REGION(at, bytes);
    return at;
}

void drop(uintptr_t at, const emu::allocation &gone)
{
    ASAN_UNPOISON_MEMORY_REGION((void *)at, gone.bytes);
    free((void *)at);
}

cudaError_t release(void *at, bool pinned)
{
    emu::machine &m = emu::the_machine();
    auto found = m.memory.find((uintptr_t)at);
    if (found == m.memory.end() || (found->second.device == emu::PINNED) != pinned)
        return cudaErrorInvalidValue;
    if (!pinned)
        m.devices[(size_t)found->second.device].used -= taken(found->second.bytes);
    drop(found->first, found->second);
    m.memory.erase(found);
    return cudaSuccess;
}

} // namespace

namespace emu
{

void memory_open()
{
    machine &m = the_machine();
    if (m.open)
        return;
    m.open = true;
    for (const auto &block : m.memory)
        if (block.second.device != PINNED)
            ASAN_UNPOISON_MEMORY_REGION((void *)block.first, block.second.bytes);
    for (const area &hidden : m.hidden)
        ASAN_UNPOISON_MEMORY_REGION(hidden.at, hidden.bytes);
}

void memory_close()
{
    machine &m = the_machine();
    if (!m.open)
        return;
    m.open = false;
    for (const auto &block : m.memory)
        if (block.second.device != PINNED)
            ASAN_POISON_MEMORY_REGION((void *)block.first, block.second.bytes);
    for (const area &hidden : m.hidden)
        ASAN_POISON_MEMORY_REGION(hidden.at, hidden.bytes);
}

void memory_hide(const area &hidden)
{
    machine &m = the_machine();
    m.hidden.push_back(hidden);
    if (!m.open)
        ASAN_POISON_MEMORY_REGION(hidden.at, hidden.bytes);
}

void memory_show(const area &shown)
{
    std::vector<area> &hidden = the_machine().hidden;
    auto same = [&shown](const area &a) { return a.at == shown.at && a.bytes == shown.bytes; };
    hidden.erase(std::find_if(hidden.begin(), hidden.end(), same));
    ASAN_UNPOISON_MEMORY_REGION(shown.at, shown.bytes);
}

const allocation *memory_find(const void *at, size_t bytes)
{
    const std::map<uintptr_t, allocation> &memory = the_machine().memory;
    auto next = memory.upper_bound((uintptr_t)at);
    if (next == memory.begin())
        return nullptr;
    --next;
    size_t offset = (uintptr_t)at - next->first;
    const allocation &area = next->second;
    return offset <= area.bytes && bytes <= area.bytes - offset ? &area : nullptr;
}

bool is_pinned(const void *at, size_t bytes)
{
    const allocation *area = memory_find(at, bytes);
    return area && area->device == PINNED;
}

void memory_free_all()
{
    machine &m = the_machine();
    for (const auto &block : m.memory)
        drop(block.first, block.second);
    m.memory.clear();
    m.hidden.clear();
    m.open = false;
}

} // namespace emu

bool emu_is_device_memory(const void *at, size_t bytes)
{
    const emu::allocation *area = emu::memory_find(at, bytes);
    return area && area->device != emu::PINNED;
}

extern "C" {

cudaError_t cudaMalloc(void **at, size_t bytes)
{
    EMU_CALL(cudaErrorMemoryAllocation, emu::UNSAFE);
    if (!at)
        return call_.done(cudaErrorInvalidValue);
    if (!bytes) {
        *at = nullptr;
        return call_.done(cudaSuccess);
    }
    emu::device &device = emu::here();
    size_t all = emu_current()->memory_bytes;
    if (bytes > all || taken(bytes) > all - device.used)
        return call_.done(cudaErrorMemoryAllocation);
    void *made = fresh(bytes, emu::current_device());
    if (!made)
        return call_.done(cudaErrorMemoryAllocation);
    device.used += taken(bytes);
    *at = made;
    return call_.done(cudaSuccess);
}

cudaError_t cudaFree(void *at)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES | emu::UNSAFE);
    if (!at)
        return call_.done(cudaSuccess);
    const emu::allocation *area = emu::memory_find(at, 0);
    if (area && area->device != emu::PINNED)
        emu::finish_device(area->device);
    return call_.done(release(at, false));
}

cudaError_t cudaHostAlloc(void **at, size_t bytes, unsigned flags)
{
    EMU_CALL(cudaErrorMemoryAllocation, emu::UNSAFE);
    (void)flags;
    if (!at)
        return call_.done(cudaErrorInvalidValue);
    void *made = bytes ? fresh(bytes, emu::PINNED) : nullptr;
    if (bytes && !made)
        return call_.done(cudaErrorMemoryAllocation);
    *at = made;
    return call_.done(cudaSuccess);
}

cudaError_t cudaMallocHost(void **at, size_t bytes)
{
    EMU_CALL(cudaErrorMemoryAllocation, emu::UNSAFE);
    if (!at)
        return call_.done(cudaErrorInvalidValue);
    void *made = bytes ? fresh(bytes, emu::PINNED) : nullptr;
    if (bytes && !made)
        return call_.done(cudaErrorMemoryAllocation);
    *at = made;
    return call_.done(cudaSuccess);
}

cudaError_t cudaFreeHost(void *at)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES | emu::UNSAFE);
    if (!at)
        return call_.done(cudaSuccess);
    for (size_t i = 0; i < emu::the_machine().devices.size(); i++)
        emu::finish_device((int)i);
    return call_.done(release(at, true));
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    EMU_CALL(cudaErrorInitializationError);
    if (!left || !all)
        return call_.done(cudaErrorInvalidValue);
    *all = emu_current()->memory_bytes;
    *left = *all - emu::here().used;
    return call_.done(cudaSuccess);
}

} /* extern "C" */
