/* The device family cuda.cudnn: a whole recurrent model handed to cuDNN. Its inside cannot be read,
 * so it is verified as a whole, and it has no probe. */
#include "peer_cudnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements of y and of the target that the host looks at together. */
enum { LOSS_ELEMENTS = 1 << 18 };

struct vg_exec {
    vg_device *device;
    const vg_program *program;
    vg_cudnn_rnn rnn;
    vg_cudnn_tensors *tensors;
    const vg_op *loss;
    double loss_value;
    uint32_t tried;
};

/* --- device --- */

static vg_status cudnn_list(vg_device_info *out, size_t capacity, size_t *count)
{
    vg_cudnn_api api;
    VG_TRY(vg_cuda_list("cuda.cudnn", out, capacity, count));
    vg_status status = vg_cudnn_api_open(&api);
    for (size_t i = 0; i < capacity && i < *count; i++) {
        out[i].automatic = false; /* a peer is asked for by its name */
        if (status != VG_OK && out[i].absent[0] == 0)
            snprintf(out[i].absent, sizeof out[i].absent, "%s", vg_reason());
    }
    return VG_OK;
}

static void peer_close(vg_device *device)
{
    vg_cudnn *cudnn = device->peer;
    if (!cudnn)
        return;
    if (cudnn->handle)
        (void)cudnn->api.cudnnDestroy(cudnn->handle);
    (void)cudaFreeHost(cudnn->stage);
    free(cudnn);
    device->peer = NULL;
}

/* The products inside cuDNN repeat their bits only where all work areas that cuBLAS hands out are
 * of one size (cuDNN's release notes). These are of the size that it takes by itself on this chip.
 */
static void settle_work_areas(const vg_chip *chip)
{
    const bool large = chip->major == 9 || chip->major == 10;
    (void)setenv("CUBLAS_WORKSPACE_CONFIG", large ? ":32768:2" : ":4096:2", 0);
}

static vg_status peer_open(vg_device *device, const vg_setting *settings)
{
    vg_cudnn *cudnn = calloc(1, sizeof *cudnn);
    if (!cudnn)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for the library", device->name);
    device->peer = cudnn;
    for (size_t i = 0; vg_cudnn_options[i].name; i++) {
        cudnn->asked[i] = "auto";
        for (const vg_setting *s = settings; s && s->name; s++)
            if (strcmp(s->name, vg_cudnn_options[i].name) == 0)
                cudnn->asked[i] = s->value;
    }
    settle_work_areas(&device->chip);
    VG_TRY(vg_cudnn_api_open(&cudnn->api));
    VG_CUDNN(device, cudnnCreate, &cudnn->handle);
    VG_CUDNN(device, cudnnSetStream, cudnn->handle, device->stream);
    VG_CUDA(device, cudaMallocHost(&cudnn->stage, VG_CUDNN_STAGE));
    const size_t version = cudnn->api.cudnnGetVersion();
    snprintf(device->applied.implementation, sizeof device->applied.implementation,
             "cuDNN %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
    return VG_OK;
}

static void cudnn_close(vg_device *device)
{
    if (!device)
        return;
    peer_close(device);
    vg_cuda_close(device);
}

static vg_status cudnn_open(const vg_device_info *info, const vg_device_options *wanted,
                            vg_device **out)
{
    vg_device_options plain = *wanted;
    vg_device *device;
    plain.settings = NULL;
    VG_TRY(vg_cuda_open(info, &plain, &device));
    vg_status status = peer_open(device, wanted->settings);
    if (status != VG_OK) {
        cudnn_close(device);
        return status;
    }
    *out = device;
    return VG_OK;
}

vg_status vg_cudnn_upload(vg_device *device, void *to, size_t bytes)
{
    VG_CUDA(device, cudaMemcpyAsync(to, vg_cudnn_of(device)->stage, bytes, cudaMemcpyHostToDevice,
                                    device->stream));
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    return VG_OK;
}

vg_status vg_cudnn_download(vg_device *device, const void *from, size_t bytes)
{
    VG_CUDA(device, cudaMemcpyAsync(vg_cudnn_of(device)->stage, from, bytes, cudaMemcpyDeviceToHost,
                                    device->stream));
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    return VG_OK;
}

/* --- program --- */

/* What the first form that can be described takes beyond the arena, of which cuDNN uses nothing.
 * Others differ in the work area and the reserve. */
static uint64_t cudnn_extra_bytes(vg_device *device, const vg_program *program)
{
    uint64_t bytes = 0;
    for (uint32_t algo = 0; algo < VG_CUDNN_ALGOS && bytes == 0; algo++) {
        vg_cudnn_rnn rnn;
        const vg_cudnn_form form = {.algo = algo};
        vg_status status = vg_cudnn_rnn_describe(device, &program->model, &form, &rnn);
        for (int i = 0; status == VG_OK && i < VG_CUDNN_BUFFERS; i++)
            bytes += rnn.bytes[i];
        vg_cudnn_rnn_free(&rnn);
    }
    return bytes > program->arena_bytes ? bytes - program->arena_bytes : 0;
}

static void cudnn_unload(vg_exec *exec)
{
    if (!exec)
        return;
    vg_cudnn_tensors_free(exec->tensors);
    vg_cudnn_rnn_free(&exec->rnn);
    free(exec);
}

static vg_status prepare(vg_exec *exec, const vg_model *model)
{
    vg_cudnn_form form;
    VG_TRY(vg_cudnn_choose(exec->device, model, &form, &exec->tried));
    VG_TRY(vg_cudnn_rnn_make(exec->device, model, &form, &exec->rnn));
    for (uint32_t i = 0; i < exec->program->op_count; i++)
        if (exec->program->ops[i].kind == VG_LOSS_OP)
            exec->loss = &exec->program->ops[i];
    return vg_cudnn_tensors_make(&exec->rnn, exec->program, &exec->tensors);
}

static vg_status cudnn_load(vg_device *device, const vg_model *model, const vg_program *program,
                            vg_exec **out)
{
    vg_exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for a program", device->name);
    exec->device = device;
    exec->program = program;
    vg_status status = prepare(exec, model);
    if (status != VG_OK) {
        cudnn_unload(exec);
        return status;
    }
    *out = exec;
    return VG_OK;
}

static vg_status cudnn_choice(vg_exec *exec, char *out, size_t size)
{
    char words[192];
    vg_cudnn_form_words(&exec->rnn.form, words, sizeof words);
    snprintf(out, size, "%s graph=no tried=%u", words, exec->tried);
    return VG_OK;
}

static vg_status cudnn_write(vg_exec *exec, vg_mat to, const double *from)
{
    return vg_cudnn_tensors_write(exec->tensors, to, from);
}

static vg_status cudnn_read(vg_exec *exec, vg_mat from, double *to)
{
    return vg_cudnn_tensors_read(exec->tensors, from, to);
}

/* --- passes --- */

/* One element: dy, and what it adds to the loss. */
static double loss_element(const vg_loss_op *op, double y, double target, double *loss)
{
    switch (op->loss) {
    case VG_LOSS_MSE:
        *loss += (y - target) * (y - target) / op->divisor / 2;
        return (y - target) / op->divisor;
    case VG_LOSS_ONES: *loss += y; return 1;
    default: *loss += y * target; return target;
    }
}

/* Rows [first, first + count) of the loss; y and target have room for them. */
static vg_status loss_rows(vg_exec *exec, uint64_t first, uint64_t count, double *y, double *target,
                           double *loss)
{
    const vg_loss_op *op = &exec->loss->loss;
    VG_TRY(cudnn_read(exec, vg_mat_rows(op->y, first, count), y));
    if (op->target.rows)
        VG_TRY(cudnn_read(exec, vg_mat_rows(op->target, first, count), target));
    for (uint64_t i = 0; i < count * op->y.cols; i++)
        y[i] = loss_element(op, y[i], target[i], loss);
    return cudnn_write(exec, vg_mat_rows(op->dy, first, count), y);
}

/* On the host, some rows at a time: it is never timed. */
static vg_status run_loss(vg_exec *exec)
{
    const vg_mat m = exec->loss->loss.y;
    const uint64_t band = m.cols < LOSS_ELEMENTS ? LOSS_ELEMENTS / m.cols : 1;
    const uint64_t most = band < m.rows ? band : m.rows;
    double loss = 0, *room = calloc(2 * most * m.cols, sizeof *room);
    if (!room)
        VG_FAIL(VG_NO_MEMORY, "%s: no memory for %llu rows of %u", exec->device->name,
                (unsigned long long)most, m.cols);
    vg_status status = VG_OK;
    for (uint64_t r = 0; r < m.rows && status == VG_OK; r += most) {
        const uint64_t count = m.rows - r < most ? m.rows - r : most;
        status = loss_rows(exec, r, count, room, room + most * m.cols, &loss);
    }
    free(room);
    VG_TRY(status);
    exec->loss_value = loss;
    return VG_OK;
}

static vg_status cudnn_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds)
{
    if (exec->device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", exec->device->name);
    if (passes & (VG_PASS_PROBE | VG_PASS_EXACT))
        VG_FAIL(VG_UNSUPPORTED, "%s: cuDNN shows no gradient inside its layers",
                exec->device->name);
    if (passes == VG_PASS_LOSS) {
        VG_TRY(run_loss(exec));
        *seconds = 0;
        return VG_OK;
    }
    if (passes & VG_PASS_LOSS)
        VG_FAIL(VG_UNSUPPORTED, "%s: the loss is a pass of its own", exec->device->name);
    return vg_cudnn_rnn_run(&exec->rnn, passes, times, seconds);
}

static vg_status cudnn_slots(vg_exec *exec, vg_slot *out)
{
    memset(out, 0, exec->program->slot_count * sizeof *out);
    if (exec->loss)
        out[exec->loss->slot].sum_squares = exec->loss_value;
    return VG_OK;
}

const vg_driver vg_cudnn_driver = {
    .family = "cuda.cudnn",
    .help = "NVIDIA's cuDNN: its recurrent layers, the fastest of its algorithms",
    .options = vg_cudnn_options,
    .opaque = true,
    .own_memory = true,
    .list = cudnn_list,
    .open = cudnn_open,
    .close = cudnn_close,
    .applied = vg_cuda_applied,
    .facts = vg_cuda_facts,
    .peaks = vg_cuda_peaks,
    .telemetry = vg_cuda_telemetry,
    .extra_bytes = cudnn_extra_bytes,
    .load = cudnn_load,
    .unload = cudnn_unload,
    .choice = cudnn_choice,
    .write = cudnn_write,
    .read = cudnn_read,
    .run = cudnn_run,
    .slots = cudnn_slots,
};
