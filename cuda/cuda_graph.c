/* A set of passes is captured in a graph at its first run and launched from then on; where it is
 * never timed, or too long for a graph, its ops are issued one by one. */
#include "cuda_graph.h"

#include <stdlib.h>

/* Beyond this, making a graph and keeping it costs more than it spares. */
enum { MOST_NODES = 65536 };

typedef struct vg_graph {
    struct vg_graph *next;
    unsigned passes;
    vg_schedule schedule;
    cudaGraphExec_t launched; /* null: the ops are issued one by one */
} vg_graph;

static vg_status await_events(vg_exec *exec, const vg_schedule *schedule, const vg_step *step)
{
    for (uint32_t i = 0; i < step->wait_count; i++)
        VG_CUDA(exec->device,
                cudaStreamWaitEvent(exec->lanes[step->lane].stream,
                                    exec->events[schedule->waits[step->first_wait + i]], 0));
    return VG_OK;
}

static vg_status step_issue(vg_exec *exec, const vg_schedule *schedule, const vg_step *step)
{
    const vg_lane *lane = &exec->lanes[step->lane];
    const vg_issue issue = {.exec = exec,
                            .op = &exec->program->ops[step->op],
                            .prepared = &exec->prepared[step->op],
                            .stream = lane->stream,
                            .scratch = lane->scratch,
                            .work = lane->work};
    VG_TRY(await_events(exec, schedule, step));
    VG_TRY(vg_cuda_op_issue(&issue));
    if (step->event != VG_NO_EVENT)
        VG_CUDA(exec->device, cudaEventRecord(exec->events[step->event], lane->stream));
    return VG_OK;
}

/* After a failure: the main lane waits for all that the others were given. */
static void rejoin(vg_exec *exec, const vg_schedule *schedule, uint32_t issued)
{
    bool used[VG_LANES] = {false};
    for (uint32_t i = 0; i < issued; i++)
        used[schedule->steps[i].lane] = true;
    for (int lane = VG_LANE_MAIN + 1; lane < VG_LANES; lane++)
        if (used[lane] &&
            cudaEventRecord(exec->events[VG_EVENT_BEGIN], exec->lanes[lane].stream) == cudaSuccess)
            (void)cudaStreamWaitEvent(exec->lanes[VG_LANE_MAIN].stream,
                                      exec->events[VG_EVENT_BEGIN], 0);
    (void)cudaGetLastError(); /* the first failure is the one to be told */
}

/* The whole set once; the lanes are joined again even where it fails. */
static vg_status issue_all(vg_exec *exec, const vg_schedule *schedule)
{
    uint32_t i = 0;
    vg_status status = VG_OK;
    if (schedule->event_count)
        VG_CUDA(exec->device,
                cudaEventRecord(exec->events[VG_EVENT_BEGIN], exec->lanes[VG_LANE_MAIN].stream));
    while (i < schedule->count && status == VG_OK)
        status = step_issue(exec, schedule, &schedule->steps[i++]);
    if (status == VG_OK)
        status = await_events(exec, schedule, &schedule->join);
    if (status != VG_OK)
        rejoin(exec, schedule, i);
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

/* At least `count` events. */
static vg_status make_events(vg_exec *exec, uint32_t count)
{
    if (count <= exec->event_count)
        return VG_OK;
    cudaEvent_t *grown = realloc(exec->events, count * sizeof *grown);
    if (!grown)
        VG_FAIL(VG_NO_MEMORY, "no memory for %u events", count);
    exec->events = grown;
    for (; exec->event_count < count; exec->event_count++)
        VG_CUDA(exec->device,
                cudaEventCreateWithFlags(&exec->events[exec->event_count], cudaEventDisableTiming));
    return VG_OK;
}

static vg_status graph_make(vg_exec *exec, unsigned passes, vg_graph **out)
{
    vg_graph *graph = calloc(1, sizeof *graph);
    if (!graph)
        VG_FAIL(VG_NO_MEMORY, "no memory for a set of passes");
    graph->passes = passes;
    vg_status status =
        vg_schedule_make(exec->program, exec->pieces.lanes, passes, &graph->schedule);
    if (status == VG_OK)
        status = make_events(exec, graph->schedule.event_count);
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
