/* The emulated machine: its settings, the calls that are counted and made to fail, its errors. */
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

namespace
{

std::recursive_mutex lock;
thread_local int depth; /* calls of this thread that hold the lock: a report leaves them open */
thread_local cudaError_t last_error = cudaSuccess;

const char *const policies[EMU_POLICY_COUNT] = {"fifo", "random", "lifo", "skewed"};

void set_one(emu_settings *settings, const std::string &key, const std::string &value)
{
    char *end = nullptr;
    uint64_t number = strtoull(value.c_str(), &end, 10);
    bool is_number = !value.empty() && !*end;
    if (key == "policy") {
        for (int i = 0; i < EMU_POLICY_COUNT; i++)
            if (value == policies[i]) {
                settings->policy = (emu_policy)i;
                return;
            }
        emu_report("VG_EMULATION: policy=%s: expected fifo, random, lifo or skewed", value.c_str());
    }
    if (!is_number)
        emu_report("VG_EMULATION: %s=%s: expected a number", key.c_str(), value.c_str());
    if (key == "seed")
        settings->seed = number;
    else if (key == "devices")
        settings->devices = (uint32_t)number;
    else if (key == "sms")
        settings->multiprocessors = (uint32_t)number;
    else if (key == "cc") {
        settings->major = (uint32_t)number / 10;
        settings->minor = (uint32_t)number % 10;
    } else if (key == "ptx")
        settings->ptx = (uint32_t)number;
    else if (key == "shared")
        settings->shared_bytes = number;
    else if (key == "memory")
        settings->memory_bytes = number;
    else if (key == "fail")
        settings->fail_at = number;
    else if (key == "with")
        settings->fail_with = (int)number;
    else if (key == "lose")
        settings->lose_at = number;
    else if (key == "driver")
        settings->driver_version = (int)number;
    else if (key == "plain")
        settings->plain_library = number != 0;
    else if (key == "quirks")
        settings->quirks = (uint32_t)number;
    else if (key == "noproducts")
        settings->no_products = number != 0;
    else if (key == "nonvml")
        settings->no_nvml = number != 0;
    else if (key == "occupied")
        settings->occupied = number != 0;
    else
        emu_report("VG_EMULATION: unknown setting %s", key.c_str());
}

void set_all(emu_settings *settings, const char *text)
{
    std::string rest = text;
    while (!rest.empty()) {
        size_t comma = rest.find(',');
        std::string one = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        size_t equals = one.find('=');
        set_one(settings, one.substr(0, equals),
                equals == std::string::npos ? "" : one.substr(equals + 1));
    }
}

emu::machine *made;

void make(const emu_settings &settings)
{
    if (!made)
        made = new emu::machine();
    *made = emu::machine();
    made->settings = settings;
    made->devices.resize(settings.devices);
}

/* The device's driver is there and new enough, and there is a device. */
cudaError_t absent()
{
    const emu_settings &s = emu::the_machine().settings;
    if (s.driver_version / 1000 < CUDART_VERSION / 1000)
        return cudaErrorInsufficientDriver;
    return s.devices ? cudaSuccess : cudaErrorNoDevice;
}

} // namespace

emu_settings emu_defaults(void)
{
    emu_settings s = {};
    s.devices = 1;
    s.multiprocessors = 4;
    s.major = 9;
    s.shared_bytes = 232448;
    s.memory_bytes = (size_t)1 << 30;
    s.driver_version = CUDART_VERSION;
    const char *text = getenv("VG_EMULATION");
    if (text)
        set_all(&s, text);
    return s;
}

namespace emu
{

machine &the_machine()
{
    if (!made)
        make(emu_defaults());
    return *made;
}

uint64_t draw(uint64_t below)
{
    machine &m = the_machine();
    uint64_t x = m.settings.seed + 0x9e3779b97f4a7c15u * ++m.drawn;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return below ? (x ^ x >> 31) % below : 0;
}

int &current_device()
{
    static thread_local int ordinal;
    return ordinal;
}

device &here()
{
    machine &m = the_machine();
    if ((size_t)current_device() >= m.devices.size())
        current_device() = 0;
    return m.devices[(size_t)current_device()];
}

bool stays(cudaError_t error)
{
    switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown: return true;
    default: return false;
    }
}

call::call(const char *name_, cudaError_t likely, unsigned flags_) : name(name_), flags(flags_)
{
    lock.lock();
    depth++;
    machine &m = the_machine();
    m.calls++;
    const emu_settings &s = m.settings;
    bool injected = s.fail_at && m.calls == s.fail_at;
    if (injected && s.fail_with)
        error = (cudaError_t)s.fail_with;
    else if (injected) /* what goes wrong on the device is told later, or at once: by the seed */
        error = flags & MAY_BE_LATE && s.seed % 2 ? cudaErrorLaunchFailure : likely;
    cudaError_t reason = flags & NO_DEVICE ? cudaSuccess : absent();
    if (reason || m.devices.empty()) {
        error = reason ? reason : error;
        return;
    }
    if (s.lose_at && m.calls >= s.lose_at && !m.lost) {
        m.lost = true;
        here().stays = s.fail_with ? (cudaError_t)s.fail_with : cudaErrorUnknown;
    }
    if (!(flags & NO_CONTEXT))
        meet_device(injected);
    if (!error && (flags & UNSAFE))
        error = capture_forbids_unsafe();
}

/* The device's own error, or the injected one as the device's. */
void call::meet_device(bool injected)
{
    if (here().stays)
        error = here().stays;
    else if (injected && stays(error) && (flags & MAY_BE_LATE)) {
        late = error;
        error = cudaSuccess;
    } else if (injected && stays(error))
        here().stays = error;
}

call::~call()
{
    memory_close();
    depth--;
    lock.unlock();
}

cudaError_t call::done(cudaError_t result)
{
    if (late && !result)
        here().stays = late;
    if (error)
        result = error;
    else if (!result && !(flags & NO_CONTEXT) && here().stays)
        result = here().stays;
    if (result && result != cudaErrorNotReady)
        last_error = result;
    return result;
}

cudaError_t call::take_late()
{
    cudaError_t taken = late;
    late = cudaSuccess;
    return taken;
}

} // namespace emu

const emu_settings *emu_current(void)
{
    return &emu::the_machine().settings;
}

uint32_t emu_product_alignment(void)
{
    return emu::the_machine().product_alignment;
}

uint64_t emu_calls(void)
{
    return emu::the_machine().calls;
}

void emu_fail_after(uint64_t calls, uint64_t seed)
{
    emu::machine &m = emu::the_machine();
    m.settings.fail_at = calls ? m.calls + calls : 0;
    m.settings.seed = seed;
}

namespace
{

/* Says what there still is, and how much; after an error that stays nobody can release a thing. */
size_t count_leaks()
{
    const emu::machine &m = emu::the_machine();
    size_t leaks = 0;
    bool broken = m.lost;
    for (const emu::device &d : m.devices)
        broken = broken || d.stays;
    auto leaked = [&](const char *what, size_t count) {
        if (count && !broken)
            fprintf(stderr, "emulation: %zu of %s leaked\n", count, what);
        leaks += broken ? 0 : count;
    };
    size_t streams = 0;
    for (const CUstream_st *s : m.streams)
        streams += !s->legacy;
    leaked("streams", streams);
    leaked("allocations", m.memory.size());
    leaked("events", m.events.size());
    leaked("graphs", m.graphs.size());
    leaked("executable graphs", m.execs.size());
    std::map<std::string, size_t> kinds;
    for (const auto &thing : m.library)
        kinds[thing.second]++;
    for (const auto &kind : kinds)
        leaked(kind.first.c_str(), kind.second);
    return leaks;
}

/* A program that ends with things left has not released them: it does not end well. */
struct at_exit {
    ~at_exit()
    {
        if (made && count_leaks()) {
            fflush(nullptr);
            _Exit(70);
        }
    }
} leaks_at_exit;

} // namespace

size_t emu_reset(const emu_settings *settings)
{
    using namespace emu;
    for (; depth; depth--)
        lock.unlock();
    emu_grid_reset();
    size_t leaks = count_leaks();
    /* What libraries made stays where LeakSanitizer finds it: it has been told already. */
    static std::vector<const void *> left_behind;
    for (const auto &thing : the_machine().library)
        left_behind.push_back(thing.first);
    graphs_free_all();
    streams_free_all();
    memory_free_all();
    emu_settings fresh = settings ? *settings : emu_defaults();
    make(fresh);
    current_device() = 0;
    last_error = cudaSuccess;
    return leaks;
}

extern "C" cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    emu::machine &m = emu::the_machine();
    return !m.devices.empty() && emu::here().stays ? emu::here().stays : error;
}

extern "C" cudaError_t cudaPeekAtLastError(void)
{
    emu::machine &m = emu::the_machine();
    return !m.devices.empty() && emu::here().stays ? emu::here().stays : last_error;
}
