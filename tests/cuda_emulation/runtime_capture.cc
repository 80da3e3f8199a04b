/* Streams that are captured: what is issued becomes nodes of a graph. Another stream joins the
 * capture by waiting for an event of it, and must be joined back before the capture ends. */
#include "runtime.h"

#include <algorithm>

namespace
{

using emu::capture;
using emu::the_machine;
using emu::tips;

/* The stream records no longer. */
void detach(CUstream_st *stream)
{
    stream->capturing = nullptr;
    stream->tips.clear();
}

void end(const std::shared_ptr<capture> &ended)
{
    for (CUstream_st *stream : ended->streams)
        detach(stream);
    ended->streams.clear();
    auto &all = the_machine().captures;
    all.erase(std::find(all.begin(), all.end(), ended));
}

bool is_going_on(const std::shared_ptr<capture> &some)
{
    const auto &all = the_machine().captures;
    return std::find(all.begin(), all.end(), some) != all.end();
}

cudaError_t break_with(const std::shared_ptr<capture> &some, cudaError_t error)
{
    some->broken = true;
    return error;
}

/* Every node of every stream comes before the origin's last ones. */
bool is_joined(const capture &c)
{
    const auto &nodes = c.graph->nodes;
    std::vector<bool> before(nodes.size());
    for (size_t tip : c.origin->tips)
        before[tip] = true;
    for (size_t i = nodes.size(); i-- > 0;)
        if (before[i])
            for (size_t need : nodes[i]->needs)
                before[need] = true;
    for (const CUstream_st *stream : c.streams)
        for (size_t tip : stream->tips)
            if (!before[tip])
                return false;
    return true;
}

} // namespace

namespace emu
{

cudaError_t capture_work(CUstream_st *stream, std::function<void()> work, std::vector<area> fills)
{
    capture &c = *stream->capturing;
    if (c.broken)
        return cudaErrorStreamCaptureInvalidated;
    auto node = std::make_shared<CUgraphNode_st>();
    node->work = std::move(work);
    node->fills = std::move(fills);
    node->needs = stream->tips;
    node->lane =
        (size_t)(std::find(c.streams.begin(), c.streams.end(), stream) - c.streams.begin());
    stream->tips = {c.graph->nodes.size()};
    c.graph->nodes.push_back(std::move(node));
    return cudaSuccess;
}

void capture_record(CUstream_st *stream, CUevent_st *event)
{
    event->captured = stream->capturing;
    event->tips = stream->tips;
    event->last = nullptr;
}

bool capture_wait(CUstream_st *stream, const CUevent_st *event, cudaError_t *result)
{
    const std::shared_ptr<capture> &theirs = event->captured, &ours = stream->capturing;
    *result = cudaSuccess;
    if (!theirs && !ours)
        return false;
    if (!theirs)
        *result = event->last ? break_with(ours, cudaErrorStreamCaptureIsolation) : cudaSuccess;
    else if (!is_going_on(theirs))
        *result = ours ? break_with(ours, cudaErrorCapturedEvent) : cudaErrorCapturedEvent;
    else if (ours && ours != theirs) {
        ours->broken = true;
        *result = break_with(theirs, cudaErrorStreamCaptureMerge);
    } else if (stream->legacy)
        *result = break_with(theirs, cudaErrorStreamCaptureImplicit);
    else if (theirs->broken)
        *result = cudaErrorStreamCaptureInvalidated;
    else {
        if (!ours) {
            stream->capturing = theirs;
            theirs->streams.push_back(stream);
        }
        stream->tips.insert(event->tips.begin(), event->tips.end());
    }
    return true;
}

cudaError_t capture_forbids(const CUstream_st *stream)
{
    if (stream->capturing)
        return break_with(stream->capturing, cudaErrorStreamCaptureUnsupported);
    if (stream->legacy)
        for (const auto &c : the_machine().captures)
            for (const CUstream_st *other : c->streams)
                if (other->blocking && other->device == stream->device)
                    return break_with(c, cudaErrorStreamCaptureImplicit);
    return cudaSuccess;
}

cudaError_t capture_forbids_device(int device)
{
    cudaError_t error = cudaSuccess;
    for (const auto &c : the_machine().captures)
        if (c->origin->device == device)
            error = break_with(c, cudaErrorStreamCaptureUnsupported);
    return error;
}

cudaError_t capture_forbids_unsafe()
{
    cudaError_t error = cudaSuccess;
    for (const auto &c : the_machine().captures)
        if (c->mode == cudaStreamCaptureModeGlobal ||
            (c->mode == cudaStreamCaptureModeThreadLocal &&
             c->thread == std::this_thread::get_id()))
            error = break_with(c, cudaErrorStreamCaptureUnsupported);
    return error;
}

void capture_leave(CUstream_st *stream)
{
    if (!stream->capturing)
        return;
    std::shared_ptr<capture> c = stream->capturing;
    c->broken = true;
    if (c->origin == stream) {
        CUgraph_st *graph = c->graph;
        end(c);
        delete graph;
        return;
    }
    c->streams.erase(std::find(c->streams.begin(), c->streams.end(), stream));
    detach(stream);
}

} // namespace emu

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    EMU_CALL(cudaErrorInitializationError);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (s->legacy)
        return call_.done(cudaErrorStreamCaptureUnsupported);
    if (s->capturing)
        return call_.done(cudaErrorIllegalState);
    auto c = std::make_shared<capture>();
    c->origin = s;
    c->mode = mode;
    c->thread = std::this_thread::get_id();
    c->graph = new CUgraph_st();
    c->streams.push_back(s);
    s->capturing = c;
    s->tips.clear();
    the_machine().captures.push_back(c);
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    emu::call call_(__func__, cudaErrorStreamCaptureInvalidated, emu::RELEASES);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (out)
        *out = nullptr;
    if (!s->capturing)
        return call_.done(cudaErrorIllegalState);
    std::shared_ptr<capture> c = s->capturing;
    if (c->origin != s)
        return call_.done(break_with(c, cudaErrorStreamCaptureUnmatched));
    if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
        return call_.done(cudaErrorStreamCaptureWrongThread);
    cudaError_t error = call_.error;
    if (!error && c->broken)
        error = cudaErrorStreamCaptureInvalidated;
    if (!error && !is_joined(*c))
        error = cudaErrorStreamCaptureUnjoined;
    CUgraph_st *graph = c->graph;
    end(c);
    if (error || !out) {
        delete graph;
        return call_.done(error ? error : cudaErrorInvalidValue);
    }
    the_machine().graphs.insert(graph);
    *out = graph;
    return call_.done(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    EMU_CALL(cudaErrorInitializationError);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (!status)
        return call_.done(cudaErrorInvalidValue);
    *status = cudaStreamCaptureStatusNone;
    if (s->capturing)
        *status = s->capturing->broken ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
    return call_.done(cudaSuccess);
}

} /* extern "C" */
