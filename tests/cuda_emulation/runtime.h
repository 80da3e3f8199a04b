/* Inside the emulated runtime and libraries: the machine that they share. Work is not done when it
 * is asked for: it stays in its stream until something waits for it, and the policy draws which of
 * the streams goes on. */
#ifndef VG_EMULATION_RUNTIME_H
#define VG_EMULATION_RUNTIME_H

#include "internal.h"

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace emu
{

/* Where a stream was when an event was recorded. */
struct mark {
    CUstream_st *stream = nullptr;
    bool done = false;
    double at_ms = 0;
};

struct operation {
    std::function<void()> work;
    std::shared_ptr<mark> needs, sets;
    cudaError_t fault = cudaSuccess; /* the work fails with this, and it stays */
    uint64_t number = 0;             /* in the order of issue, over all streams */
    std::unique_ptr<char> issued;    /* what the host had done before: for ThreadSanitizer */
};

struct allocation {
    size_t bytes;
    int device; /* or PINNED */
};
enum { PINNED = -1 };

struct device {
    cudaError_t stays = cudaSuccess; /* the error that every further call returns */
    size_t used = 0;
    CUstream_st *legacy = nullptr;
};

struct machine {
    emu_settings settings;
    uint64_t calls = 0, issued = 0, drawn = 0;
    bool lost = false;
    int open = 0; /* device memory may be touched */
    std::vector<device> devices;
    std::map<uintptr_t, allocation> memory;
    std::vector<CUstream_st *> streams; /* in the order they were made */
    std::set<CUevent_st *> events;
    std::map<const void *, const char *> library; /* what libraries made, and its kind */
    std::map<const void *, size_t> dynamic_shared;
    std::set<const void *> wide_clusters;
};
machine &the_machine();

/* Draws 0 .. below - 1 by the seed. */
uint64_t draw(uint64_t below);
int &current_device();
device &here();
/* An error after which a device answers nothing else. */
bool stays(cudaError_t error);

/* Flags of a call. */
enum {
    RELEASES = 1,    /* an injected error is returned, but what it releases is released */
    NO_CONTEXT = 2,  /* answers also where an error stays */
    NO_DEVICE = 4,   /* and where there is no device */
    UNSAFE = 8,      /* while a stream is captured: only where that capture is relaxed */
    MAY_BE_LATE = 16 /* an injected error that stays is seen by a later call */
};

/* One call of an API: counted; `error` is what it must return at once. Device memory is closed to
 * the host when it ends. */
class call
{
  public:
    call(const char *name, cudaError_t likely, unsigned flags = 0);
    ~call();
    call(const call &) = delete;
    call &operator=(const call &) = delete;
    /* What the call returns; kept for cudaGetLastError. */
    cudaError_t done(cudaError_t result);

    const char *name;
    cudaError_t error = cudaSuccess;
    cudaError_t late = cudaSuccess; /* for the operation that it issues */
};
#define EMU_CALL(...)                                                                              \
    emu::call call_(__func__, __VA_ARGS__);                                                        \
    if (call_.error)                                                                               \
    return call_.done(call_.error)

/* runtime_memory.cc */
void memory_open();  /* for kernels, copies and products, until the call ends */
void memory_close(); /* to the host */
const allocation *memory_find(const void *at, size_t bytes);
bool is_pinned(const void *at, size_t bytes);
void memory_free_all();

/* runtime_stream.cc */
CUstream_st *stream_of(cudaStream_t stream, const char *caller);
/* Appends work to a stream, or a node to the graph that it is captured in. */
cudaError_t issue(cudaStream_t stream, call &from, std::function<void()> work);
void finish(CUstream_st *stream);
void finish_device(int device);
void streams_free_all();

} // namespace emu

struct CUstream_st {
    int device = 0;
    bool blocking = false, legacy = false;
    std::deque<emu::operation> queue;
    emu::operation now;    /* what is being done */
    void *fiber = nullptr; /* ThreadSanitizer's */
    char progress = 0;
};

struct CUevent_st {
    int device = 0;
    bool timed = true;
    std::shared_ptr<emu::mark> last;
};

#endif
