/* What stands in buffers of ours: windows, written and read, and the loss, which oneDNN has no
 * primitive for. */
#include "peer_onednn.h"

static const vg_onednn_region *region_of(const vg_exec *exec, vg_mat m, uint64_t *first)
{
    for (size_t i = 0; i < exec->region_count; i++) {
        const vg_onednn_region *r = &exec->regions[i];
        const uint64_t bytes = r->window.ld * sizeof(float);
        if (m.at < r->window.at || m.cols != r->window.cols || (m.at - r->window.at) % bytes)
            continue;
        *first = (m.at - r->window.at) / bytes;
        if (*first + m.rows <= r->window.rows)
            return r;
    }
    return NULL;
}

static float *row_of(const vg_onednn_region *r, uint64_t row)
{
    if (r->order) {
        const uint64_t each = r->window.rows / r->gates;
        row = r->order[row / each] * each + row % each;
    }
    return r->at + row * r->window.cols;
}

vg_status vg_onednn_write(vg_exec *exec, vg_mat to, const double *from)
{
    uint64_t first;
    const vg_onednn_region *r = region_of(exec, to, &first);
    for (uint64_t i = 0; r && i < to.rows; i++)
        for (uint32_t j = 0; j < to.cols; j++)
            row_of(r, first + i)[j] = (float)from[i * to.cols + j];
    if (!r)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: there is no such window in it");
    return VG_OK;
}

vg_status vg_onednn_read(vg_exec *exec, vg_mat from, double *to)
{
    uint64_t first;
    const vg_onednn_region *r = region_of(exec, from, &first);
    for (uint64_t i = 0; r && i < from.rows; i++)
        for (uint32_t j = 0; j < from.cols; j++)
            to[i * from.cols + j] = row_of(r, first + i)[j];
    if (!r)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: its inside cannot be read");
    return VG_OK;
}

vg_status vg_onednn_loss(vg_exec *exec)
{
    const vg_loss_op *op = &exec->loss->loss;
    uint64_t y_first = 0, dy_first = 0, target_first = 0;
    const vg_onednn_region *y = region_of(exec, op->y, &y_first);
    const vg_onednn_region *dy = region_of(exec, op->dy, &dy_first), *target = NULL;
    if (op->target.rows)
        target = region_of(exec, op->target, &target_first);
    exec->loss_value = 0;
    for (uint64_t i = 0; i < op->y.rows; i++) {
        const float *from = row_of(y, y_first + i);
        const float *want = target ? row_of(target, target_first + i) : NULL;
        float *to = row_of(dy, dy_first + i);
        for (uint32_t j = 0; j < op->y.cols; j++) {
            const double aim = want ? want[j] : 1, value = from[j];
            const bool mse = op->loss == VG_LOSS_MSE;
            exec->loss_value += mse ? (value - aim) * (value - aim) / 2 / op->divisor : value * aim;
            to[j] = (float)(mse ? (value - aim) / op->divisor : aim);
        }
    }
    return VG_OK;
}
