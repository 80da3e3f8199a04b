/* Windows and slots to and from the host: through pinned memory, in pieces, converted there. */
#include "cuda_exec.h"
#include "whole_numbers.h"

#include <string.h>

/* Rows [row, +rows) and columns [col, +cols) of a window, as many as the staging area holds. */
typedef struct vg_piece {
    vg_mat mat;
    uint64_t row, rows;
    uint32_t col, cols;
} vg_piece;

static vg_piece first_piece(vg_mat mat)
{
    const uint64_t most = VG_STAGING_BYTES / vg_dtype_size(mat.dtype);
    const uint64_t cols = vg_least(mat.cols, most);
    return (vg_piece){.mat = mat, .rows = vg_least(mat.rows, most / cols), .cols = (uint32_t)cols};
}

/* Columns first, then rows; false: that was the last. */
static bool next_piece(vg_piece *p)
{
    const vg_piece first = first_piece(p->mat);
    p->col += p->cols;
    if (p->col == p->mat.cols) {
        p->col = 0;
        p->row += p->rows;
    }
    p->cols = (uint32_t)vg_least(first.cols, p->mat.cols - p->col);
    p->rows = vg_least(first.rows, p->mat.rows - p->row);
    return p->rows > 0;
}

static vg_status copy(vg_exec *exec, const vg_piece *p, enum cudaMemcpyKind kind)
{
    vg_device *device = exec->device;
    const size_t size = vg_dtype_size(p->mat.dtype), pitch = p->mat.ld * size;
    const size_t width = p->cols * size;
    unsigned char *there = exec->arena + p->mat.at + p->row * pitch + p->col * size;
    const bool to = kind == cudaMemcpyHostToDevice;
    VG_CUDA(device, cudaMemcpy2DAsync(to ? there : exec->staging, to ? pitch : width,
                                      to ? exec->staging : there, to ? width : pitch, width,
                                      p->rows, kind, device->stream));
    VG_CUDA(device, cudaStreamSynchronize(device->stream));
    return VG_OK;
}

static void narrow(vg_dtype dtype, void *to, const double *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const float value = (float)vg_dtype_round(dtype, from[i]);
        uint32_t bits;
        if (dtype == VG_U8) {
            ((uint8_t *)to)[i] = (uint8_t)from[i];
        } else if (dtype == VG_BF16) {
            memcpy(&bits, &value, sizeof bits);
            ((uint16_t *)to)[i] = (uint16_t)(bits >> 16);
        } else {
            ((float *)to)[i] = value;
        }
    }
}

static void widen(vg_dtype dtype, double *to, const void *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (dtype == VG_U8) {
            to[i] = ((const uint8_t *)from)[i];
        } else if (dtype == VG_BF16) {
            const uint32_t bits = (uint32_t)((const uint16_t *)from)[i] << 16;
            float value;
            memcpy(&value, &bits, sizeof value);
            to[i] = (double)value;
        } else {
            to[i] = (double)((const float *)from)[i];
        }
    }
}

static vg_status usable(const vg_exec *exec)
{
    if (exec->device->lost)
        VG_FAIL(VG_DEVICE_LOST, "%s: lost by an earlier error", exec->device->name);
    return VG_OK;
}

vg_status vg_cuda_write(vg_exec *exec, vg_mat to, const double *from)
{
    VG_TRY(usable(exec));
    vg_piece p = first_piece(to);
    const size_t size = vg_dtype_size(to.dtype);
    do {
        for (uint64_t r = 0; r < p.rows; r++)
            narrow(to.dtype, exec->staging + r * p.cols * size,
                   from + (p.row + r) * to.cols + p.col, p.cols);
        VG_TRY(copy(exec, &p, cudaMemcpyHostToDevice));
    } while (next_piece(&p));
    return VG_OK;
}

vg_status vg_cuda_read(vg_exec *exec, vg_mat from, double *to)
{
    VG_TRY(usable(exec));
    vg_piece p = first_piece(from);
    const size_t size = vg_dtype_size(from.dtype);
    do {
        VG_TRY(copy(exec, &p, cudaMemcpyDeviceToHost));
        for (uint64_t r = 0; r < p.rows; r++)
            widen(from.dtype, to + (p.row + r) * from.cols + p.col,
                  exec->staging + r * p.cols * size, p.cols);
    } while (next_piece(&p));
    return VG_OK;
}

vg_status vg_cuda_slots(vg_exec *exec, vg_slot *out)
{
    vg_device *device = exec->device;
    const uint64_t count = exec->program->slot_count, most = VG_STAGING_BYTES / sizeof *out;
    VG_TRY(usable(exec));
    for (uint64_t i = 0; i < count; i += most) {
        const uint64_t n = vg_least(most, count - i);
        VG_CUDA(device, cudaMemcpyAsync(exec->staging, exec->slots + i, n * sizeof *out,
                                        cudaMemcpyDeviceToHost, device->stream));
        VG_CUDA(device, cudaStreamSynchronize(device->stream));
        memcpy(out + i, exec->staging, n * sizeof *out);
    }
    return VG_OK;
}
