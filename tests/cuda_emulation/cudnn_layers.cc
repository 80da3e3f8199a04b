/* Recurrent layers in plain loops and in double, as cuDNN's documentation defines them. The reserve
 * says which pass left it: backward by the data spoils it, backward by the weights needs that. */
#include "cudnn_layers.h"
#include "cudnn_emulation.h"
#include "internal.h"

#include <cmath>
#include <cstring>
#include <ctime>
#include <vector>

namespace
{

using emu::layers;
using std::vector;

enum { GAP = 5 };
const double FORWARD = 1, BACKWARD = 2;

/* --- numbers --- */

float nearest(double value, uint32_t dropped)
{
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) {
        bits += (1u << (dropped - 1)) - 1 + (bits >> dropped & 1u);
        bits &= ~((1u << dropped) - 1);
    }
    memcpy(&single, &bits, sizeof single);
    return single;
}

double load(const layers &l, const void *at, uint64_t i)
{
    if (l.type == CUDNN_DATA_FLOAT)
        return (double)((const float *)at)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)at)[i] << 16;
    float single;
    memcpy(&single, &bits, sizeof single);
    return (double)single;
}

void store(const layers &l, void *at, uint64_t i, double value)
{
    if (l.type == CUDNN_DATA_FLOAT) {
        ((float *)at)[i] = (float)value;
        return;
    }
    float single = nearest(value, 16);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    ((uint16_t *)at)[i] = (uint16_t)(bits >> 16);
}

vector<double> load_all(const layers &l, const void *at, uint64_t count)
{
    vector<double> out(count);
    for (uint64_t i = 0; at && i < count; i++)
        out[i] = load(l, at, i);
    return out;
}

void store_all(const layers &l, void *at, const vector<double> &from)
{
    for (uint64_t i = 0; at && i < from.size(); i++)
        store(l, at, i, from[i]);
}

double sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

/* An operand of a product. */
double operand(const layers &l, double value)
{
    return l.tf32 ? (double)nearest(value, 13) : value;
}

/* out[j] += Σ_k m[j, k] v[k], or the transposed: out[k] += Σ_j m[j, k] v[j]. */
void multiply(const layers &l, const double *m, uint64_t rows, uint64_t columns, bool transposed,
              const double *v, double *out)
{
    for (uint64_t j = 0; j < rows; j++)
        for (uint64_t k = 0; k < columns; k++) {
            const double weight = operand(l, m[j * columns + k]);
            if (transposed)
                out[k] += weight * operand(l, v[j]);
            else
                out[j] += weight * operand(l, v[k]);
        }
}

/* --- the reserve --- */

/* Of one layer, [T, B, H] each: gates of the input's side (after backward: what comes back to
 * them), the same of the recurrence's where it differs, c_t, h_t. Doubles. */
struct reserve {
    const layers &l;
    double *start;

    double *part(uint64_t layer, uint64_t which, uint64_t step, uint64_t row) const
    {
        const uint64_t each = l.steps * l.batch * l.units, parts = l.gates() + 3;
        return start + 1 + (layer * parts + which) * each + (step * l.batch + row) * l.units;
    }
    double *gate(uint64_t layer, uint64_t g, uint64_t step, uint64_t row) const
    {
        return part(layer, g, step, row);
    }
    double *recurrent(uint64_t layer, uint64_t step, uint64_t row) const
    {
        return part(layer, l.gates(), step, row);
    }
    double *cell(uint64_t layer, uint64_t step, uint64_t row) const
    {
        return part(layer, l.gates() + 1, step, row);
    }
    double *hidden(uint64_t layer, uint64_t step, uint64_t row) const
    {
        return part(layer, l.gates() + 2, step, row);
    }
};

/* Nothing may be found there from an earlier call. */
void spoil(void *work, uint64_t bytes)
{
    memset(work, 0xff, bytes);
}

/* Both backward passes read the outputs as forward wrote them. */
void want_outputs(const reserve &r, const void *y, const char *caller)
{
    const layers &l = r.l;
    const double *kept = r.hidden(l.depth - 1, 0, 0);
    for (uint64_t i = 0; i < l.steps * l.batch * l.units; i++) {
        const double is = load(l, y, i);
        const double was =
            l.type == CUDNN_DATA_FLOAT ? (double)(float)kept[i] : (double)nearest(kept[i], 16);
        if (is != was && !(std::isnan(is) && std::isnan(was)))
            emu_report("%s: y is not as forward wrote it", caller);
    }
}

void wait(double ms)
{
    const timespec pause = {(time_t)(ms / 1e3), (long)(fmod(ms, 1e3) * 1e6)};
    if (ms > 0)
        nanosleep(&pause, nullptr);
}

/* --- weights --- */

struct gate {
    vector<double> matrix, bias;
};

vector<gate> load_gates(const layers &l, uint64_t layer, const void *weights)
{
    vector<gate> out;
    for (uint64_t id = 0; id < 2 * l.gates(); id++) {
        const uint64_t columns = id < l.gates() ? l.columns(layer) : l.units;
        gate one = {vector<double>(l.units * columns), vector<double>(l.units)};
        for (uint64_t i = 0; i < one.matrix.size(); i++)
            one.matrix[i] = load(l, weights, emu::matrix_at(l, layer, id) + i);
        for (uint64_t i = 0; l.has_bias(id) && i < l.units; i++)
            one.bias[i] = load(l, weights, emu::bias_at(l, layer, id) + i);
        out.push_back(std::move(one));
    }
    return out;
}

/* --- forward --- */

/* h_t and c_t of one row from the two sides' pre-activations, and what is kept. */
void cell_forward(const layers &l, const reserve &r, uint64_t layer, uint64_t t, uint64_t b,
                  const vector<double> &x, const vector<double> &h, const double *h_before,
                  const double *c_before)
{
    const uint64_t H = l.units;
    double *hidden = r.hidden(layer, t, b), *cell = r.cell(layer, t, b);
    for (uint64_t j = 0; j < H; j++) {
        double a[4] = {};
        for (uint64_t g = 0; g < l.gates(); g++)
            a[g] = x[g * H + j] + h[g * H + j];
        if (l.mode == CUDNN_LSTM) {
            const double i = sigmoid(a[0]), f = sigmoid(a[1]), n = tanh(a[2]), o = sigmoid(a[3]);
            cell[j] = f * c_before[j] + i * n;
            hidden[j] = o * tanh(cell[j]);
            a[0] = i, a[1] = f, a[2] = n, a[3] = o;
        } else if (l.mode == CUDNN_GRU) {
            a[0] = sigmoid(a[0]);
            a[1] = sigmoid(a[1]);
            a[2] = tanh(x[2 * H + j] + a[0] * h[2 * H + j]);
            r.recurrent(layer, t, b)[j] = h[2 * H + j];
            hidden[j] = (1 - a[1]) * a[2] + a[1] * h_before[j];
        } else {
            hidden[j] = a[0] = l.mode == CUDNN_RNN_TANH ? tanh(a[0]) : a[0] > 0 ? a[0] : 0;
        }
        for (uint64_t g = 0; g < l.gates(); g++)
            r.gate(layer, g, t, b)[j] = a[g];
    }
}

void layer_forward(const layers &l, const reserve &r, uint64_t layer, const vector<gate> &gates,
                   const vector<double> &x, const double *h0, const double *c0)
{
    const uint64_t G = l.gates(), H = l.units, columns = l.columns(layer);
    for (uint64_t t = 0; t < l.steps; t++)
        for (uint64_t b = 0; b < l.batch; b++) {
            const double *before = t ? r.hidden(layer, t - 1, b) : h0 + b * H;
            const double *cell = t ? r.cell(layer, t - 1, b) : c0 + b * H;
            const double *in =
                layer ? r.hidden(layer - 1, t, b) : x.data() + (t * l.batch + b) * columns;
            vector<double> px(G * H), ph(G * H);
            for (uint64_t g = 0; g < G; g++) {
                for (uint64_t j = 0; j < H; j++) {
                    px[g * H + j] = gates[g].bias[j];
                    ph[g * H + j] = gates[G + g].bias[j];
                }
                multiply(l, gates[g].matrix.data(), H, columns, false, in, &px[g * H]);
                multiply(l, gates[G + g].matrix.data(), H, H, false, before, &ph[g * H]);
            }
            cell_forward(l, r, layer, t, b, px, ph, before, cell);
        }
}

/* --- backward by the data --- */

/* Turns the kept gates of one element into what comes back to their pre-activations; dh, dc: what
 * comes back to h_t and c_t; what goes on to step t - 1 past the products. */
void cell_backward(const layers &l, const reserve &r, uint64_t layer, uint64_t t, uint64_t b,
                   uint64_t j, double h_before, double c_before, double &dh, double &dc)
{
    double *a[4] = {}, *n_side = r.recurrent(layer, t, b) + j;
    for (uint64_t g = 0; g < l.gates(); g++)
        a[g] = r.gate(layer, g, t, b) + j;
    if (l.mode == CUDNN_LSTM) {
        const double i = *a[0], f = *a[1], n = *a[2], o = *a[3];
        const double squashed = tanh(r.cell(layer, t, b)[j]);
        const double dcell = dc + dh * o * (1 - squashed * squashed);
        *a[0] = dcell * n * i * (1 - i);
        *a[1] = dcell * c_before * f * (1 - f);
        *a[2] = dcell * i * (1 - n * n);
        *a[3] = dh * squashed * o * (1 - o);
        dc = dcell * f;
        dh = 0;
    } else if (l.mode == CUDNN_GRU) {
        const double reset = *a[0], z = *a[1], n = *a[2], dn = dh * (1 - z) * (1 - n * n);
        *a[0] = dn * *n_side * reset * (1 - reset);
        *a[1] = dh * (h_before - n) * z * (1 - z);
        *a[2] = dn;
        *n_side = dn * reset;
        dh *= z;
    } else {
        const double y = *a[0];
        *a[0] = dh * (l.mode == CUDNN_RNN_TANH ? 1 - y * y : y > 0 ? 1 : 0);
        dh = 0;
    }
}

/* What comes back to a gate's recurrent side. */
const double *recurrent_side(const layers &l, const reserve &r, uint64_t layer, uint64_t g,
                             uint64_t t, uint64_t b)
{
    return l.mode == CUDNN_GRU && g == 2 ? r.recurrent(layer, t, b) : r.gate(layer, g, t, b);
}

/* dout [T·B, H] comes back to the outputs; din [T·B, I] and the first states' are the result. */
void layer_backward(const layers &l, const reserve &r, uint64_t layer, const vector<gate> &gates,
                    const vector<double> &dout, vector<double> &din, const double *h0,
                    const double *c0, double *dh, double *dc)
{
    const uint64_t G = l.gates(), H = l.units, columns = l.columns(layer);
    for (uint64_t t = l.steps; t-- > 0;)
        for (uint64_t b = 0; b < l.batch; b++) {
            const uint64_t row = t * l.batch + b;
            const double *before = t ? r.hidden(layer, t - 1, b) : h0 + b * H;
            const double *cell = t ? r.cell(layer, t - 1, b) : c0 + b * H;
            for (uint64_t j = 0; j < H; j++) {
                dh[b * H + j] += dout[row * H + j];
                cell_backward(l, r, layer, t, b, j, before[j], cell[j], dh[b * H + j],
                              dc[b * H + j]);
            }
            for (uint64_t g = 0; g < G; g++) {
                multiply(l, gates[g].matrix.data(), H, columns, true, r.gate(layer, g, t, b),
                         &din[row * columns]);
                multiply(l, gates[G + g].matrix.data(), H, H, true,
                         recurrent_side(l, r, layer, g, t, b), dh + b * H);
            }
        }
}

/* --- backward by the weights --- */

void layer_weights(const layers &l, const reserve &r, uint64_t layer, uint64_t id,
                   const vector<double> &x, const double *h0, void *dweights)
{
    const uint64_t G = l.gates(), H = l.units, columns = id < G ? l.columns(layer) : H;
    vector<double> matrix(H * columns), bias(H);
    for (uint64_t t = 0; t < l.steps; t++)
        for (uint64_t b = 0; b < l.batch; b++) {
            const double *d =
                id < G ? r.gate(layer, id, t, b) : recurrent_side(l, r, layer, id - G, t, b);
            const double *in = id >= G ? (t ? r.hidden(layer, t - 1, b) : h0 + b * H)
                               : layer ? r.hidden(layer - 1, t, b)
                                       : x.data() + (t * l.batch + b) * columns;
            for (uint64_t j = 0; j < H; j++) {
                bias[j] += d[j];
                for (uint64_t k = 0; k < columns; k++)
                    matrix[j * columns + k] += operand(l, d[j]) * operand(l, in[k]);
            }
        }
    for (uint64_t i = 0; i < matrix.size(); i++) {
        const uint64_t at = emu::matrix_at(l, layer, id) + i;
        store(l, dweights, at, load(l, dweights, at) + matrix[i]);
    }
    for (uint64_t j = 0; l.has_bias(id) && j < H; j++) {
        const uint64_t at = emu::bias_at(l, layer, id) + j;
        store(l, dweights, at, load(l, dweights, at) + bias[j]);
    }
}

} // namespace

namespace emu
{

/* All matrices from the last id of the last layer to the first of the first, then all biases. */
uint64_t matrix_at(const layers &l, uint64_t layer, uint64_t id)
{
    uint64_t at = GAP;
    for (uint64_t k = l.depth; k-- > 0;)
        for (uint64_t i = 2 * l.gates(); i-- > 0;) {
            if (k == layer && i == id)
                return at;
            at += l.units * (i < l.gates() ? l.columns(k) : l.units) + GAP;
        }
    return at;
}

uint64_t bias_at(const layers &l, uint64_t layer, uint64_t id)
{
    const uint64_t rank = (l.depth - 1 - layer) * 2 * l.gates() + (id ^ 1u);
    return matrix_at(l, l.depth, 0) + rank * (l.units + GAP);
}

uint64_t weights_count(const layers &l)
{
    return matrix_at(l, l.depth, 0) + (l.depth * 2 * l.gates() + 1) * (l.units + GAP);
}

uint64_t reserve_bytes(const layers &l)
{
    return sizeof(double) * (1 + l.depth * (l.gates() + 3) * l.steps * l.batch * l.units);
}

uint64_t work_bytes(const layers &l)
{
    return 64 + (l.algo == CUDNN_RNN_ALGO_STANDARD ? l.batch * l.units : 8) * sizeof(double);
}

void run_forward(const forward_call &c)
{
    const layers &l = c.l;
    const uint64_t state = l.batch * l.units, rows = l.steps * l.batch;
    const reserve r = {l, (double *)c.reserve};
    vector<double> x = load_all(l, c.x, rows * l.input), y(rows * l.units);
    vector<double> h0 = load_all(l, c.hx, l.depth * state), c0 = load_all(l, c.cx, l.depth * state);
    spoil(c.work, work_bytes(l));
    wait(emu_cudnn.delay_ms[l.algo]);
    for (uint64_t k = 0; k < l.depth; k++) {
        layer_forward(l, r, k, load_gates(l, k, c.weights), x, &h0[k * state], &c0[k * state]);
        for (uint64_t i = 0; i < state; i++) {
            h0[k * state + i] = r.hidden(k, l.steps - 1, 0)[i];
            c0[k * state + i] = r.cell(k, l.steps - 1, 0)[i];
        }
    }
    for (uint64_t i = 0; i < y.size(); i++)
        y[i] = r.hidden(l.depth - 1, 0, 0)[i];
    store_all(l, c.y, y);
    store_all(l, c.hy, h0);
    if (l.mode == CUDNN_LSTM)
        store_all(l, c.cy, c0);
    r.start[0] = FORWARD;
}

void run_data(const data_call &c)
{
    const layers &l = c.l;
    const uint64_t state = l.batch * l.units, rows = l.steps * l.batch;
    const reserve r = {l, (double *)c.reserve};
    if (r.start[0] != FORWARD)
        emu_report("cudnnRNNBackwardData_v8: the reserve is not as a forward pass left it");
    const vector<double> h0 = load_all(l, c.hx, l.depth * state);
    const vector<double> c0 = load_all(l, c.cx, l.depth * state);
    vector<double> dh = load_all(l, c.dhy, l.depth * state),
                   dout = load_all(l, c.dy, rows * l.units);
    vector<double> dc = load_all(l, c.dcy, l.depth * state);
    spoil(c.work, work_bytes(l));
    want_outputs(r, c.y, "cudnnRNNBackwardData_v8");
    for (uint64_t k = l.depth; k-- > 0;) {
        vector<double> din(rows * l.columns(k));
        layer_backward(l, r, k, load_gates(l, k, c.weights), dout, din, &h0[k * state],
                       &c0[k * state], &dh[k * state], &dc[k * state]);
        dout = std::move(din);
    }
    store_all(l, c.dx, dout);
    store_all(l, c.dhx, dh);
    if (l.mode == CUDNN_LSTM)
        store_all(l, c.dcx, dc);
    r.start[0] = BACKWARD;
}

void run_weights(const weights_call &c)
{
    static double restless; /* what an algorithm adds that never gives the same bits */
    const layers &l = c.l;
    const uint64_t state = l.batch * l.units, rows = l.steps * l.batch;
    const reserve r = {l, (double *)c.reserve};
    if (r.start[0] != BACKWARD)
        emu_report(
            "cudnnRNNBackwardWeights_v8: the reserve is not as backward by the data left it");
    const vector<double> x = load_all(l, c.x, rows * l.input);
    const vector<double> h0 = load_all(l, c.hx, l.depth * state);
    spoil(c.work, work_bytes(l));
    want_outputs(r, c.y, "cudnnRNNBackwardWeights_v8");
    for (uint64_t k = 0; k < l.depth; k++)
        for (uint64_t id = 0; id < 2 * l.gates(); id++)
            layer_weights(l, r, k, id, x, &h0[k * state], c.dweights);
    if (emu_cudnn.restless >> l.algo & 1u)
        store(l, c.dweights, matrix_at(l, 0, 0), restless += 1);
}

} // namespace emu
