/* A set of passes is captured in a graph at its first run and launched from then on; where it is
 * never timed, or too long for a graph, its ops are issued one by one. */
#include "cuda_graph.h"

#include "cuda_schedule.h"

#include <stdlib.h>

/* Beyond this, making a graph and keeping it costs more than it spares. */
enum { MOST_NODES = 65536 };

typedef struct vg_graph {
    struct vg_graph *next;
    unsigned passes;
    vg_schedule schedule;
    cudaGraphExec_t launched; /* null: the ops are issued one by one */
} vg_graph;

/* `to` waits for all that `from` has been given so far. */
static vg_status await(vg_device *device, cudaStream_t to, cudaEvent_t event, cudaStream_t from)
{
    VG_CUDA(device, cudaEventRecord(event, from));
    VG_CUDA(device, cudaStreamWaitEvent(to, event, 0));
    return VG_OK;
}

static vg_status step_issue(vg_exec *exec, const vg_step *step)
{
    vg_device *device = exec->device;
    const vg_issue issue = {.exec = exec,
                            .op = &exec->program->ops[step->op],
                            .prepared = &exec->prepared[step->op],
                            .stream = step->side ? device->side : device->stream,
                            .scratch = step->side ? exec->side_scratch : exec->scratch,
                            .work = step->side ? exec->side_work : exec->work};
    if (step->waits && step->side)
        VG_TRY(await(device, device->side, exec->forked, device->stream));
    else if (step->waits)
        VG_TRY(await(device, device->stream, exec->done, device->side));
    return vg_cuda_op_issue(&issue);
}

/* The whole set once; the streams are joined again even where it fails. */
static vg_status issue_all(vg_exec *exec, const vg_schedule *schedule)
{
    vg_device *device = exec->device;
    vg_status status = VG_OK;
    bool forked = false;
    for (uint32_t i = 0; i < schedule->count && status == VG_OK; i++) {
        status = step_issue(exec, &schedule->steps[i]);
        forked = forked || schedule->steps[i].side;
    }
    if (status == VG_OK)
        return schedule->joins ? await(device, device->stream, exec->done, device->side) : VG_OK;
    if (forked && cudaEventRecord(exec->done, device->side) == cudaSuccess)
        (void)cudaStreamWaitEvent(device->stream, exec->done, 0);
    (void)cudaGetLastError(); /* the first failure is the one to be told */
    return status;
}

/* Capturing. */

static vg_status capture(vg_exec *exec, const vg_schedule *schedule, cudaGraph_t *out)
{
    vg_device *device = exec->device;
    /* Relaxed: the library may load a kernel when it is first used. */
    VG_CUDA(device, cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeRelaxed));
    vg_status status = issue_all(exec, schedule);
    if (status == VG_OK) {
        VG_CUDA(device, cudaStreamEndCapture(device->stream, out));
        return VG_OK;
    }
    cudaGraph_t partial = NULL;
    (void)cudaStreamEndCapture(device->stream, &partial);
    if (partial)
        (void)cudaGraphDestroy(partial);
    (void)cudaGetLastError();
    return status;
}

static vg_status instantiate(vg_exec *exec, vg_graph *graph)
{
    vg_device *device = exec->device;
    cudaGraph_t captured = NULL;
    VG_TRY(capture(exec, &graph->schedule, &captured));
    vg_status status = vg_cuda_check(device, cudaGraphInstantiate(&graph->launched, captured, 0),
                                     "cudaGraphInstantiate");
    if (status != VG_OK)
        graph->launched = NULL;
    (void)cudaGraphDestroy(captured);
    return status;
}

static bool is_worth_a_graph(const vg_exec *exec, const vg_graph *graph)
{
    uint64_t nodes = 0;
    if (graph->passes & ~(unsigned)VG_PASSES_TRAIN)
        return false;
    for (uint32_t i = 0; i < graph->schedule.count && nodes <= MOST_NODES; i++)
        nodes += vg_cuda_op_nodes(exec, &exec->program->ops[graph->schedule.steps[i].op]);
    return nodes > 0 && nodes <= MOST_NODES;
}

static void graph_free(vg_graph *graph)
{
    if (graph->launched)
        (void)cudaGraphExecDestroy(graph->launched);
    vg_schedule_free(&graph->schedule);
    free(graph);
}

void vg_graphs_free(vg_exec *exec)
{
    while (exec->graphs) {
        vg_graph *graph = exec->graphs;
        exec->graphs = graph->next;
        graph_free(graph);
    }
}

static vg_status graph_make(vg_exec *exec, unsigned passes, vg_graph **out)
{
    vg_graph *graph = calloc(1, sizeof *graph);
    if (!graph)
        VG_FAIL(VG_NO_MEMORY, "no memory for a set of passes");
    graph->passes = passes;
    vg_status status = vg_schedule_make(exec->program, passes, &graph->schedule);
    if (status == VG_OK && is_worth_a_graph(exec, graph))
        status = instantiate(exec, graph);
    if (status != VG_OK) {
        graph_free(graph);
        return status;
    }
    graph->next = exec->graphs;
    exec->graphs = graph;
    *out = graph;
    return VG_OK;
}

/* Running. */

static vg_status run_once(vg_exec *exec, const vg_graph *graph)
{
    if (!graph->launched)
        return issue_all(exec, &graph->schedule);
    VG_CUDA(exec->device, cudaGraphLaunch(graph->launched, exec->device->stream));
    return VG_OK;
}

static vg_status run_all(vg_exec *exec, const vg_graph *graph, uint32_t times)
{
    vg_device *device = exec->device;
    VG_CUDA(device, cudaEventRecord(device->start, device->stream));
    for (uint32_t n = 0; n < times; n++)
        VG_TRY(run_once(exec, graph));
    VG_CUDA(device, cudaEventRecord(device->stop, device->stream));
    return VG_OK;
}

vg_status vg_cuda_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    vg_device *device = exec->device;
    if (device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", device->name);
    vg_graph *graph = exec->graphs;
    while (graph && graph->passes != passes)
        graph = graph->next;
    if (!graph)
        VG_TRY(graph_make(exec, passes, &graph));
    vg_status status = run_all(exec, graph, times);
    if (status != VG_OK) { /* nothing is left running */
        (void)cudaStreamSynchronize(device->stream);
        (void)cudaGetLastError();
        return status;
    }
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    float ms;
    VG_CUDA(device, cudaEventElapsedTime(&ms, device->start, device->stop));
    *seconds = 1e-3 * (double)ms;
    return VG_OK;
}
