/* Graphs: made by a capture, instantiated, and launched as one operation of a stream, the nodes in
 * one of the orders that they allow: fifo: as captured; random: drawn; lifo: the latest that may;
 * skewed: along one stream of the capture as far as it goes. */
#include "runtime.h"

#include <algorithm>

struct CUgraphExec_st {
    int device = 0;
    std::vector<std::shared_ptr<CUgraphNode_st>> nodes;
    /* ThreadSanitizer's: a thread for each stream of the capture; what is ordered by each node. */
    std::vector<void *> fibers;
    std::vector<char> done;
    char begun = 0;
};

namespace
{

using emu::the_machine;

/* The place in `ready` of the node that goes next, after `last`. */
size_t pick(const CUgraphExec_st &exec, const std::vector<size_t> &ready, size_t last)
{
    switch (emu_current()->policy) {
    case EMU_RANDOM: return emu::draw(ready.size());
    case EMU_LIFO: return (size_t)(std::max_element(ready.begin(), ready.end()) - ready.begin());
    case EMU_SKEWED:
        for (size_t i = 0; i < ready.size(); i++)
            if (last < exec.nodes.size() && exec.nodes[ready[i]]->lane == exec.nodes[last]->lane)
                return i;
        return emu::draw(ready.size());
    default: return (size_t)(std::min_element(ready.begin(), ready.end()) - ready.begin());
    }
}

void run_node(CUgraphExec_st *exec, size_t index)
{
    const CUgraphNode_st &node = *exec->nodes[index];
    emu::tsan_as(exec->fibers[node.lane], [exec, index, &node] {
        emu::tsan_acquire(&exec->begun);
        for (size_t need : node.needs)
            emu::tsan_acquire(&exec->done[need]);
        node.work();
        emu::tsan_release(&exec->done[index]);
    });
}

/* Nodes and, of each, how many it still waits for and which wait for it. */
struct progress {
    std::vector<size_t> missing, ready;
    std::vector<std::vector<size_t>> after;
};

void begin(const CUgraphExec_st &exec, progress *p)
{
    p->missing.resize(exec.nodes.size());
    p->after.resize(exec.nodes.size());
    for (size_t i = 0; i < exec.nodes.size(); i++) {
        p->missing[i] = exec.nodes[i]->needs.size();
        for (size_t need : exec.nodes[i]->needs)
            p->after[need].push_back(i);
        if (!p->missing[i])
            p->ready.push_back(i);
    }
}

void run(CUgraphExec_st *exec, progress *p)
{
    size_t last = exec->nodes.size();
    emu::tsan_release(&exec->begun);
    while (!p->ready.empty()) {
        size_t place = pick(*exec, p->ready, last);
        last = p->ready[place];
        p->ready.erase(p->ready.begin() + (ptrdiff_t)place);
        run_node(exec, last);
        for (size_t next : p->after[last])
            if (!--p->missing[next])
                p->ready.push_back(next);
    }
    for (char &done : exec->done)
        emu::tsan_acquire(&done);
}

void drop(CUgraphExec_st *exec)
{
    for (void *fiber : exec->fibers)
        emu::tsan_drop(fiber);
    delete exec;
}

} // namespace

namespace emu
{

void graphs_free_all()
{
    machine &m = the_machine();
    for (const auto &c : m.captures)
        delete c->graph;
    m.captures.clear();
    for (CUgraph_st *graph : m.graphs)
        delete graph;
    m.graphs.clear();
    for (CUgraphExec_st *exec : m.execs)
        drop(exec);
    m.execs.clear();
}

} // namespace emu

extern "C" {

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    EMU_CALL(cudaErrorMemoryAllocation);
    if (!out || !the_machine().graphs.count(graph) || flags)
        return call_.done(cudaErrorInvalidValue);
    CUgraphExec_st *exec = new CUgraphExec_st();
    exec->device = emu::current_device();
    exec->nodes = graph->nodes;
    size_t lanes = 0;
    for (const auto &node : graph->nodes)
        lanes = std::max(lanes, node->lane + 1);
    for (; lanes; lanes--)
        exec->fibers.push_back(emu::tsan_make());
    exec->done.resize(graph->nodes.size());
    the_machine().execs.insert(exec);
    *out = exec;
    return call_.done(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    EMU_CALL(cudaErrorMemoryAllocation);
    if (!the_machine().execs.count(exec))
        return call_.done(cudaErrorInvalidValue);
    return call_.done(emu::issue(stream, call_, [] {}));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    EMU_CALL(cudaErrorLaunchFailure, emu::MAY_BE_LATE);
    if (!the_machine().execs.count(exec))
        return call_.done(cudaErrorInvalidValue);
    CUstream_st *s = emu::stream_of(stream, __func__);
    if (s->capturing)
        emu_report("cudaGraphLaunch: graphs within graphs are not emulated");
    if (s->device != exec->device)
        return call_.done(cudaErrorInvalidValue);
    auto p = std::make_shared<progress>();
    begin(*exec, p.get());
    std::vector<emu::area> fills;
    for (const auto &node : exec->nodes)
        fills.insert(fills.end(), node->fills.begin(), node->fills.end());
    return call_.done(emu::issue(
        stream, call_, [exec, p = std::move(p)] { run(exec, p.get()); }, std::move(fills)));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES);
    if (!the_machine().execs.count(exec))
        return call_.done(cudaErrorInvalidValue);
    /* It goes when its launches are done. */
    emu::finish_device(exec->device);
    the_machine().execs.erase(exec);
    drop(exec);
    return call_.done(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    emu::call call_(__func__, cudaErrorLaunchFailure, emu::RELEASES);
    if (!the_machine().graphs.erase(graph))
        return call_.done(cudaErrorInvalidValue);
    delete graph;
    return call_.done(cudaSuccess);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    EMU_CALL(cudaErrorInitializationError);
    if (!the_machine().graphs.count(graph) || !count)
        return call_.done(cudaErrorInvalidValue);
    size_t there = graph->nodes.size();
    for (size_t i = 0; nodes && i < *count; i++)
        nodes[i] = i < there ? graph->nodes[i].get() : nullptr;
    if (!nodes || *count > there)
        *count = there;
    return call_.done(cudaSuccess);
}

} /* extern "C" */
