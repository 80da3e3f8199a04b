/* Streams and events. A stream is a queue; its work is done when something waits for it, in one of
 * the orders that events and streams allow: fifo: as issued; random: drawn, and now and then before
 * anything waits; lifo: nothing but what is waited for; skewed: at once. */
#include "runtime.h"

#include <algorithm>
#include <ctime>

namespace
{

using emu::machine;
using emu::the_machine;

/* Under ThreadSanitizer a stream is a thread of its own, ordered after what the host did before the
 * issue, after the events that it waits for, and before what the host does after a wait. */
void run_as(CUstream_st *stream, emu::operation &op)
{
    emu::tsan_as(stream->fiber, [stream, &op] {
        emu::tsan_acquire(op.issued.get());
        if (op.needs)
            emu::tsan_acquire(op.needs.get());
        if (op.work)
            op.work();
        op.work = nullptr; /* what it read is freed by who read it */
        if (op.sets)
            emu::tsan_release(op.sets.get());
        emu::tsan_release(&stream->progress);
    });
}

double now_ms()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* The stream that must go on before this one's next operation may; null: none. */
CUstream_st *blocker(const CUstream_st *stream)
{
    const emu::operation &next = stream->queue.front();
    if (next.needs && !next.needs->done)
        return next.needs->stream;
    if (!stream->legacy && !stream->blocking)
        return nullptr;
    for (CUstream_st *other : the_machine().streams)
        if (other != stream && other->device == stream->device && !other->queue.empty() &&
            (stream->legacy ? other->blocking : other->legacy) &&
            other->queue.front().number < next.number)
            return other;
    return nullptr;
}

void run_next(CUstream_st *stream)
{
    /* In the stream, not here: a report in a kernel leaves without unwinding. */
    emu::operation &op = stream->now = std::move(stream->queue.front());
    stream->queue.pop_front();
    for (const emu::area &filled : op.fills)
        emu::memory_show(filled);
    cudaError_t &stays = the_machine().devices[(size_t)stream->device].stays;
    if (!stays)
        stays = op.fault;
    if (stays)
        op.work = nullptr;
    else if (op.work)
        emu::memory_open();
    run_as(stream, op);
    if (op.sets) {
        op.sets->done = true;
        op.sets->at_ms = now_ms();
    }
    op = emu::operation();
}

/* The stream that goes on next while `wanted` is waited for (null: any); null: all are empty. */
CUstream_st *pick(CUstream_st *wanted)
{
    if (wanted && emu_current()->policy == EMU_LIFO) {
        while (CUstream_st *before = blocker(wanted))
            wanted = before;
        return wanted;
    }
    std::vector<CUstream_st *> ready;
    for (CUstream_st *stream : the_machine().streams)
        if (!stream->queue.empty() && !blocker(stream))
            ready.push_back(stream);
    if (ready.empty())
        return nullptr;
    if (emu_current()->policy == EMU_RANDOM)
        return ready[emu::draw(ready.size())];
    return *std::min_element(ready.begin(), ready.end(),
                             [](const CUstream_st *a, const CUstream_st *b) {
                                 return a->queue.front().number < b->queue.front().number;
                             });
}

void append(CUstream_st *stream, emu::operation op)
{
    op.number = the_machine().issued++;
    op.issued = std::make_unique<char>();
    emu::tsan_release(op.issued.get());
    stream->queue.push_back(std::move(op));
    emu_policy policy = emu_current()->policy;
    uint64_t ahead = 0;
    if (policy == EMU_SKEWED)
        ahead = UINT64_MAX;
    else if (policy == EMU_RANDOM && !emu::draw(4))
        ahead = 1 + emu::draw(4);
    for (; ahead; ahead--) {
        CUstream_st *next = pick(nullptr);
        if (!next)
            break;
        run_next(next);
    }
}

bool is_event(cudaEvent_t event)
{
    return the_machine().events.count(event) != 0;
}

/* Nobody asks how far an event of a capture is. */
cudaError_t ask_forbidden(const CUevent_st *event)
{
    if (!event->captured)
        return cudaSuccess;
    event->captured->broken = true;
    return cudaErrorCapturedEvent;
}

cudaError_t make_stream(cudaStream_t *out, unsigned flags)
{
    if (!out || (flags & ~(unsigned)cudaStreamNonBlocking))
        return cudaErrorInvalidValue;
    CUstream_st *stream = new CUstream_st();
    stream->device = emu::current_device();
    stream->blocking = !(flags & cudaStreamNonBlocking);
    the_machine().streams.push_back(stream);
    *out = stream;
    return cudaSuccess;
}

void drop(CUstream_st *stream)
{
    emu::tsan_drop(stream->fiber);
    delete stream;
}

} // namespace

namespace emu
{

CUstream_st *stream_of(cudaStream_t stream, const char *caller)
{
    machine &m = the_machine();
    if (stream == cudaStreamPerThread)
        emu_report("%s: the per-thread stream is not emulated", caller);
    if (stream && stream != cudaStreamLegacy) {
        if (std::find(m.streams.begin(), m.streams.end(), stream) == m.streams.end())
            emu_report("%s: %p is no stream, or no longer", caller, (void *)stream);
        return stream;
    }
    device &d = here();
    if (!d.legacy) {
        d.legacy = new CUstream_st();
        d.legacy->device = current_device();
        d.legacy->legacy = true;
        m.streams.push_back(d.legacy);
    }
    return d.legacy;
}

cudaError_t issue(cudaStream_t to, call &from, std::function<void()> work, std::vector<area> fills)
{
    CUstream_st *stream = stream_of(to, from.name);
    if (stream->capturing)
        return from.done(capture_work(stream, std::move(work), std::move(fills)));
    if (stream->legacy)
        if (cudaError_t error = capture_forbids(stream))
            return error;
    operation op;
    op.work = std::move(work);
    op.fault = from.take_late();
    op.fills = std::move(fills);
    for (const area &filled : op.fills)
        memory_hide(filled);
    append(stream, std::move(op));
    return cudaSuccess;
}

void finish(CUstream_st *stream)
{
    while (!stream->queue.empty())
        run_next(pick(stream));
    emu::tsan_acquire(&stream->progress);
}

void finish_device(int device)
{
    const std::vector<CUstream_st *> &streams = the_machine().streams;
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i]->device == device)
            finish(streams[i]);
}

void streams_free_all()
{
    machine &m = the_machine();
    for (CUstream_st *stream : m.streams)
        drop(stream);
    m.streams.clear();
    for (CUevent_st *event : m.events)
        delete event;
    m.events.clear();
}

} // namespace emu

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    EMU_CALL(cudaErrorMemoryAllocation);
    return call_.done(make_stream(stream, flags));
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    EMU_CALL(cudaErrorMemoryAllocation);
    return call_.done(make_stream(stream, flags));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    EMU_CALL(cudaErrorInitializationError);
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (s->legacy)
        return call_.done(cudaErrorInvalidResourceHandle);
    emu::capture_leave(s);
    emu::finish(s);
    std::vector<CUstream_st *> &all = the_machine().streams;
    all.erase(std::find(all.begin(), all.end(), s));
    drop(s);
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    EMU_CALL(cudaErrorLaunchFailure);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (cudaError_t error = emu::capture_forbids(s))
        return call_.done(error);
    emu::finish(s);
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    EMU_CALL(cudaErrorLaunchFailure);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (cudaError_t error = emu::capture_forbids(s))
        return call_.done(error);
    if (!s->queue.empty())
        run_next(pick(s));
    if (!s->queue.empty())
        return call_.done(cudaErrorNotReady);
    emu::finish(s);
    return call_.done(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void)
{
    EMU_CALL(cudaErrorLaunchFailure);
    if (cudaError_t error = emu::capture_forbids_device(emu::current_device()))
        return call_.done(error);
    emu::finish_device(emu::current_device());
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    EMU_CALL(cudaErrorMemoryAllocation);
    if (!event || (flags & ~(unsigned)(cudaEventBlockingSync | cudaEventDisableTiming)))
        return call_.done(cudaErrorInvalidValue);
    CUevent_st *made = new CUevent_st();
    made->device = emu::current_device();
    made->timed = !(flags & cudaEventDisableTiming);
    the_machine().events.insert(made);
    *event = made;
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES);
    if (!is_event(event))
        return call_.done(cudaErrorInvalidResourceHandle);
    the_machine().events.erase(event);
    delete event;
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    EMU_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (!is_event(event) || event->device != s->device)
        return call_.done(cudaErrorInvalidResourceHandle);
    if (s->capturing) {
        emu::capture_record(s, event);
        return call_.done(cudaSuccess);
    }
    event->captured = nullptr;
    event->last = std::make_shared<emu::mark>();
    event->last->stream = s;
    emu::operation op;
    op.sets = event->last;
    op.fault = call_.take_late();
    append(s, std::move(op));
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    EMU_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (!is_event(event))
        return call_.done(cudaErrorInvalidResourceHandle);
    if (flags)
        return call_.done(cudaErrorInvalidValue);
    cudaError_t result;
    if (emu::capture_wait(s, event, &result))
        return call_.done(result);
    if (!event->last)
        return call_.done(cudaSuccess);
    emu::operation op;
    op.needs = event->last;
    op.fault = call_.take_late();
    append(s, std::move(op));
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    EMU_CALL(cudaErrorLaunchFailure);
    if (!is_event(event))
        return call_.done(cudaErrorInvalidResourceHandle);
    if (cudaError_t error = ask_forbidden(event))
        return call_.done(error);
    if (event->last && !event->last->done)
        run_next(pick(event->last->stream));
    if (event->last && !event->last->done)
        return call_.done(cudaErrorNotReady);
    if (event->last)
        emu::tsan_acquire(event->last.get());
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    EMU_CALL(cudaErrorLaunchFailure);
    if (!is_event(event))
        return call_.done(cudaErrorInvalidResourceHandle);
    if (cudaError_t error = ask_forbidden(event))
        return call_.done(error);
    while (event->last && !event->last->done)
        run_next(pick(event->last->stream));
    if (event->last)
        emu::tsan_acquire(event->last.get());
    return call_.done(cudaSuccess);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    EMU_CALL(cudaErrorLaunchFailure);
    if (!ms)
        return call_.done(cudaErrorInvalidValue);
    if (!is_event(start) || !is_event(end) || !start->timed || !end->timed || !start->last ||
        !end->last || start->captured || end->captured || start->device != end->device)
        return call_.done(cudaErrorInvalidResourceHandle);
    if (!start->last->done || !end->last->done)
        return call_.done(cudaErrorNotReady);
    *ms = (float)(end->last->at_ms - start->last->at_ms);
    return call_.done(cudaSuccess);
}

} /* extern "C" */
