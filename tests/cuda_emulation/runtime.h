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
#include <thread>
#include <vector>

namespace emu
{

/* Where a stream was when an event was recorded. */
struct mark {
    CUstream_st *stream = nullptr;
    bool done = false;
    double at_ms = 0;
};

struct area {
    void *at;
    size_t bytes;
};

struct operation {
    std::function<void()> work;
    std::shared_ptr<mark> needs, sets;
    cudaError_t fault = cudaSuccess; /* the work fails with this, and it stays */
    std::vector<area> fills;         /* pinned memory: hidden from the host until then */
    uint64_t number = 0;             /* in the order of issue, over all streams */
    std::unique_ptr<char> issued;    /* what the host had done before: for ThreadSanitizer */
};

/* What streams record instead of doing it, between cudaStreamBeginCapture() and its end. */
struct capture {
    CUstream_st *origin = nullptr;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    std::thread::id thread;
    bool broken = false; /* by an illegal call: nothing comes of it */
    CUgraph_st *graph = nullptr;
    std::vector<CUstream_st *> streams; /* the origin and those that have joined */
};

/* Nodes that come last: indexes in the capture's graph. */
using tips = std::set<size_t>;

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
    bool open = false;        /* device memory may be touched */
    std::vector<area> hidden; /* pinned memory that a copy is going to fill */
    std::vector<device> devices;
    std::map<uintptr_t, allocation> memory;
    std::vector<CUstream_st *> streams; /* in the order they were made */
    std::set<CUevent_st *> events;
    std::vector<std::shared_ptr<capture>> captures; /* going on */
    std::set<CUgraph_st *> graphs;
    std::set<CUgraphExec_st *> execs;
    std::map<const void *, const char *> library; /* what libraries made, and its kind */
    std::map<const void *, size_t> dynamic_shared;
    std::set<const void *> wide_clusters;
    uint32_t product_alignment = 0; /* as emu_product_alignment() says */
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
    /* The error that the operation it issues is to bring; what is not taken is returned by done().
     */
    cudaError_t take_late();

    const char *name;
    unsigned flags;
    cudaError_t error = cudaSuccess;

  private:
    cudaError_t late = cudaSuccess;
    void meet_device(bool injected);
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
void memory_hide(const area &hidden); /* from the host */
void memory_show(const area &shown);

/* runtime_stream.cc */
CUstream_st *stream_of(cudaStream_t stream, const char *caller);
/* Appends work to a stream, or a node to the graph that it is captured in. `fills`: pinned memory
 * that the host should not read before. */
cudaError_t issue(cudaStream_t stream, call &from, std::function<void()> work,
                  std::vector<area> fills = {});
void finish(CUstream_st *stream);
void finish_device(int device);
void streams_free_all();

/* runtime_graph.cc */
void graphs_free_all();

/* runtime_capture.cc */
cudaError_t capture_work(CUstream_st *stream, std::function<void()> work, std::vector<area> fills);
void capture_record(CUstream_st *stream, CUevent_st *event);
/* Whether the wait has to do with a capture; *result is then what comes of it. */
bool capture_wait(CUstream_st *stream, const CUevent_st *event, cudaError_t *result);
/* A call that no capture of the stream, or of the device, stands. */
cudaError_t capture_forbids(const CUstream_st *stream);
cudaError_t capture_forbids_device(int device);
cudaError_t capture_forbids_unsafe();
void capture_leave(CUstream_st *stream);

/* What ThreadSanitizer is told; nothing without it. */
void tsan_release(void *at);
void tsan_acquire(void *at);
/* A thread, ordered after what has been done until now, and something done as it. */
void *tsan_make();
void tsan_as(void *fiber, const std::function<void()> &what);
void tsan_drop(void *fiber);

} // namespace emu

struct CUstream_st {
    int device = 0;
    bool blocking = false, legacy = false;
    std::deque<emu::operation> queue;
    emu::operation now; /* what is being done */
    std::shared_ptr<emu::capture> capturing;
    emu::tips tips;                 /* while it is captured: what its next node comes after */
    void *fiber = emu::tsan_make(); /* ThreadSanitizer's */
    char progress = 0;
};

struct CUevent_st {
    int device = 0;
    bool timed = true;
    std::shared_ptr<emu::mark> last;
    std::shared_ptr<emu::capture> captured; /* it was last recorded in a capture, after `tips` */
    emu::tips tips;
};

struct CUgraphNode_st {
    std::function<void()> work;
    std::vector<emu::area> fills;
    emu::tips needs;
    size_t lane = 0; /* of the stream that it was captured in */
};

struct CUgraph_st {
    std::vector<std::shared_ptr<CUgraphNode_st>> nodes;
};

#endif
