/* The program's named tensors, found by their windows, in the buffers where cuDNN has them. */
#include "peer_cudnn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A tensor row by row: `pieces` runs of `each` elements in device memory. What the library has no
 * place for stands in `host`, and nowhere else where at[0] is null. */
typedef struct region {
    vg_mat window;
    uint64_t each;
    unsigned char *at[VG_MAX_GATES];
    float *host;
    const struct region *other; /* a bias of which cuDNN has the sum with this one */
} region;

struct vg_cudnn_tensors {
    vg_device *device;
    vg_dtype storage;
    uint32_t count;
    region regions[];
};

/* How a tensor lies in its buffer: the last rows of a sequence, the states of a layer, the gates'
 * matrices or biases of a layer. */
typedef enum layout { LAST_ROWS, LAYER, MATRIX, BIAS, HOST } layout;

static const struct {
    const char *name; /* before "_l<layer>" */
    layout layout;
    vg_cudnn_buffer buffer;
    uint32_t side;
} places[] = {
    {"x", LAST_ROWS, VG_CUDNN_X, 0},
    {"y", LAST_ROWS, VG_CUDNN_Y, 0},
    {"dx", LAST_ROWS, VG_CUDNN_DX, 0},
    {"dy", LAST_ROWS, VG_CUDNN_DY, 0},
    {"target", HOST, VG_CUDNN_BUFFERS, 0},
    {"h_0", LAYER, VG_CUDNN_HX, 0},
    {"h_n", LAYER, VG_CUDNN_HY, 0},
    {"dh_0", LAYER, VG_CUDNN_DHX, 0},
    {"c_0", LAYER, VG_CUDNN_CX, 0},
    {"c_n", LAYER, VG_CUDNN_CY, 0},
    {"dc_0", LAYER, VG_CUDNN_DCX, 0},
    {"weight_ih", MATRIX, VG_CUDNN_WEIGHTS, 0},
    {"weight_hh", MATRIX, VG_CUDNN_WEIGHTS, 1},
    {"bias_ih", BIAS, VG_CUDNN_WEIGHTS, 0},
    {"bias_hh", BIAS, VG_CUDNN_WEIGHTS, 1},
    {"dweight_ih", MATRIX, VG_CUDNN_DWEIGHTS, 0},
    {"dweight_hh", MATRIX, VG_CUDNN_DWEIGHTS, 1},
    {"dbias_ih", BIAS, VG_CUDNN_DWEIGHTS, 0},
    {"dbias_hh", BIAS, VG_CUDNN_DWEIGHTS, 1},
};
enum { PLACES = sizeof places / sizeof *places };

static uint64_t elements(vg_mat m)
{
    return m.rows * m.cols;
}

static uint32_t place_of(const vg_tensor *tensor)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        const size_t length = strlen(places[i].name);
        const char *rest = tensor->name + length;
        if (strncmp(tensor->name, places[i].name, length) == 0 &&
            (*rest == 0 || strncmp(rest, "_l", 2) == 0))
            return i;
    }
    return PLACES;
}

/* --- where things are --- */

static vg_status host_room(region *out)
{
    out->host = calloc(elements(out->window), sizeof *out->host);
    if (!out->host)
        VG_FAIL(VG_NO_MEMORY, "cuDNN: no memory for %llu elements",
                (unsigned long long)elements(out->window));
    return VG_OK;
}

/* A single bias stands for both: its gradient is that of each, and their sum is its value. */
static vg_status place_gates(const vg_cudnn_rnn *r, uint32_t place, uint32_t layer, region *out)
{
    const uint32_t gates = vg_cell_find(r->model->kind)->gates;
    const cudnnRNNBiasMode_t mode = vg_cudnn_bias(&r->form);
    uint32_t side = places[place].side;
    if (places[place].layout == BIAS && mode != CUDNN_RNN_DOUBLE_BIAS)
        side = mode == CUDNN_RNN_SINGLE_REC_BIAS;
    out->each = elements(out->window) / gates;
    for (uint32_t g = 0; g < gates; g++) {
        uint64_t matrix, bias;
        VG_TRY(vg_cudnn_rnn_gate(r, layer - 1, side, g, &matrix, &bias));
        const uint64_t at = places[place].layout == BIAS ? bias : matrix;
        const uint64_t bytes = out->each * vg_dtype_size(r->storage);
        const uint64_t all = r->bytes[places[place].buffer];
        if (at > all || bytes > all - at)
            VG_FAIL(VG_UNSUPPORTED, "cuDNN: layer %u, gate %u: a place outside its weights", layer,
                    g);
        out->at[g] = r->at[places[place].buffer] + at;
    }
    return VG_OK;
}

static vg_status place_tensor(const vg_cudnn_rnn *r, const vg_tensor *tensor, region *out)
{
    const uint32_t place = place_of(tensor);
    const uint64_t size = vg_dtype_size(r->storage);
    *out = (region){.window = tensor->mat, .each = elements(tensor->mat)};
    if (place == PLACES)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: it has no %s", tensor->name);
    const vg_cudnn_buffer buffer = places[place].buffer;
    switch (places[place].layout) {
    case HOST: return host_room(out);
    case LAST_ROWS:
        assert(out->each * size <= r->bytes[buffer]);
        out->at[0] = r->at[buffer] + r->bytes[buffer] - out->each * size;
        return VG_OK;
    case LAYER:
        assert(out->each * r->model->depth * size == r->bytes[buffer]);
        out->at[0] = r->at[buffer] + (tensor->layer - 1) * out->each * size;
        return VG_OK;
    case BIAS:
        if (buffer == VG_CUDNN_WEIGHTS && vg_cudnn_bias(&r->form) != CUDNN_RNN_DOUBLE_BIAS)
            VG_TRY(host_room(out));
        return place_gates(r, place, tensor->layer, out);
    default: return place_gates(r, place, tensor->layer, out);
    }
}

/* Two biases with one place, which follow each other, are each other's other. */
static void pair_biases(vg_cudnn_tensors *t)
{
    region *last = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        region *r = &t->regions[i];
        if (!r->host || !r->at[0])
            continue;
        if (last && last->at[0] == r->at[0]) {
            r->other = last;
            last->other = r;
        }
        last = r;
    }
}

vg_status vg_cudnn_tensors_make(const vg_cudnn_rnn *rnn, const vg_program *program,
                                vg_cudnn_tensors **out)
{
    vg_cudnn_tensors *t = calloc(1, sizeof *t + program->tensor_count * sizeof *t->regions);
    if (!t)
        VG_FAIL(VG_NO_MEMORY, "cuDNN: no memory for %u tensors", program->tensor_count);
    t->device = rnn->device;
    t->storage = rnn->storage;
    vg_status status = VG_OK;
    while (status == VG_OK && t->count < program->tensor_count) {
        status = place_tensor(rnn, &program->tensors[t->count], &t->regions[t->count]);
        t->count++;
    }
    if (status != VG_OK) {
        vg_cudnn_tensors_free(t);
        return status;
    }
    pair_biases(t);
    *out = t;
    return VG_OK;
}

void vg_cudnn_tensors_free(vg_cudnn_tensors *tensors)
{
    for (uint32_t i = 0; tensors && i < tensors->count; i++)
        free(tensors->regions[i].host);
    free(tensors);
}

/* --- numbers --- */

void vg_cudnn_pack(vg_dtype storage, double value, void *to)
{
    const float single = (float)vg_dtype_round(storage, value);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    const uint16_t half = (uint16_t)(bits >> 16);
    if (storage == VG_BF16)
        memcpy(to, &half, sizeof half);
    else
        memcpy(to, &single, sizeof single);
}

double vg_cudnn_unpack(vg_dtype storage, const void *from)
{
    float single;
    uint16_t half;
    if (storage != VG_BF16) {
        memcpy(&single, from, sizeof single);
        return (double)single;
    }
    memcpy(&half, from, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy(&single, &bits, sizeof single);
    return (double)single;
}

/* --- to and fro --- */

/* The tensor that holds whole rows of the window, and the first element. Where two do, the later
 * is y, the earlier a last state. */
static vg_status find_region(vg_cudnn_tensors *t, vg_mat m, region **out, uint64_t *first)
{
    for (uint32_t i = t->count; i-- > 0;) {
        const vg_mat *w = &t->regions[i].window;
        const uint64_t row_bytes = (uint64_t)w->ld * vg_dtype_size(w->dtype);
        if (m.at < w->at || m.ld != w->ld || m.cols != w->cols || m.dtype != w->dtype ||
            (m.at - w->at) % row_bytes != 0)
            continue;
        const uint64_t row = (m.at - w->at) / row_bytes;
        if (row > w->rows || m.rows > w->rows - row)
            continue;
        *out = &t->regions[i];
        *first = row * w->cols;
        return VG_OK;
    }
    VG_FAIL(VG_UNSUPPORTED, "%s: %llu rows at %llu of the arena: cuDNN shows named tensors only",
            t->device->name, (unsigned long long)m.rows, (unsigned long long)m.at);
}

/* As many elements from `first` on as lie together and fit the stage. */
static uint64_t run_of(const vg_cudnn_tensors *t, const region *r, uint64_t first, uint64_t left,
                       unsigned char **at)
{
    const uint64_t size = vg_dtype_size(t->storage), offset = first % r->each;
    uint64_t count = r->each - offset;
    count = count < left ? count : left;
    *at = r->at[first / r->each] + offset * size;
    return count < VG_CUDNN_STAGE / size ? count : VG_CUDNN_STAGE / size;
}

/* Elements [first, first + count) as cuDNN is to have them. */
static double value_of(const region *r, uint64_t i, double from)
{
    if (!r->host)
        return from;
    return (double)r->host[i] + (double)r->other->host[i];
}

vg_status vg_cudnn_tensors_write(vg_cudnn_tensors *tensors, vg_mat to, const double *from)
{
    region *r;
    uint64_t first, count = elements(to);
    VG_TRY(find_region(tensors, to, &r, &first));
    for (uint64_t i = 0; r->host && i < count; i++)
        r->host[first + i] = (float)vg_dtype_round(to.dtype, from[i]);
    const size_t size = vg_dtype_size(tensors->storage);
    unsigned char *stage = vg_cudnn_of(tensors->device)->stage, *at;
    for (uint64_t done = 0; r->at[0] && done < count;) {
        const uint64_t n = run_of(tensors, r, first + done, count - done, &at);
        for (uint64_t i = 0; i < n; i++)
            vg_cudnn_pack(tensors->storage, value_of(r, first + done + i, from[done + i]),
                          stage + i * size);
        VG_TRY(vg_cudnn_upload(tensors->device, at, n * size));
        done += n;
    }
    return VG_OK;
}

vg_status vg_cudnn_tensors_read(vg_cudnn_tensors *tensors, vg_mat from, double *to)
{
    region *r;
    uint64_t first, count = elements(from);
    VG_TRY(find_region(tensors, from, &r, &first));
    for (uint64_t i = 0; r->host && i < count; i++)
        to[i] = (double)r->host[first + i];
    const size_t size = vg_dtype_size(tensors->storage);
    const unsigned char *stage = vg_cudnn_of(tensors->device)->stage;
    unsigned char *at;
    for (uint64_t done = 0; !r->host && done < count;) {
        const uint64_t n = run_of(tensors, r, first + done, count - done, &at);
        VG_TRY(vg_cudnn_download(tensors->device, at, n * size));
        for (uint64_t i = 0; i < n; i++)
            to[done + i] = vg_cudnn_unpack(tensors->storage, stage + i * size);
        done += n;
    }
    return VG_OK;
}
