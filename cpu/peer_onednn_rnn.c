/* Recurrent layers, a primitive each way for each: vanilla rnn, lstm, and gru as torch.nn.GRU has
 * it, which oneDNN calls lbr_gru. Backward is one primitive; it adds to the gradients of weights
 * and biases. */
#include "peer_onednn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Logical shapes; a state, a sequence, weights [1, 1, in, gates, units], bias [1, 1, gates, units].
 */
typedef struct layer {
    vg_exec *exec;
    const vg_model *model;
    uint32_t index;
    dnnl_dim_t steps, batch, in, units, gates, biases;
    dnnl_memory_desc_t x_desc, y_desc, state_desc, bias_desc;
    dnnl_memory_desc_t weight_any[2], weight_plain[2]; /* of the input, of the recurrence */
    float *bias_two[2], *dbias_two[2];                 /* bias_ih and bias_hh as PyTorch has them */
    float *bias_sum, *dbias_sum;
    dnnl_memory_t x, y, dx, dy, weight[2], dweight[2], bias, dbias;
    dnnl_memory_t state[VG_MAX_STATES],
        last[VG_MAX_STATES]; /* before the first step, after the last */
    dnnl_memory_t dstate[VG_MAX_STATES], dlast[VG_MAX_STATES];
    dnnl_memory_t reserve;
    dnnl_primitive_desc_t hint;
} layer;

/* The library's place of our gates: lstm i f c o as they are; gru u r o for our r z n. */
static const uint32_t gru_order[] = {1, 0, 2};

static const uint32_t *order_of(const vg_model *m)
{
    return m->kind == VG_gru ? gru_order : NULL;
}

static bool two_states(const layer *l)
{
    return l->model->kind == VG_lstm;
}

static void describe(layer *l)
{
    const dnnl_dim_t x[] = {l->steps, l->batch, l->in}, y[] = {l->steps, l->batch, l->units},
                     state[] = {1, 1, l->batch, l->units}, bias[] = {1, 1, l->biases, l->units};
    l->x_desc = vg_onednn_plain(3, x);
    l->y_desc = vg_onednn_plain(3, y);
    l->state_desc = vg_onednn_plain(4, state);
    l->bias_desc = vg_onednn_plain(4, bias);
    for (int i = 0; i < 2; i++) {
        const dnnl_dim_t in = i ? l->units : l->in, all = in * l->units * l->gates;
        const dnnl_dim_t shape[] = {1, 1, in, l->gates, l->units};
        const dnnl_dim_t strides[] = {all, all, 1, l->units * in, in};
        l->weight_any[i] = vg_onednn_any(5, shape);
        l->weight_plain[i] = vg_onednn_strided(5, shape, strides);
    }
}

static dnnl_alg_kind_t activation_of(vg_activation activation)
{
    return activation == VG_relu      ? dnnl_eltwise_relu
           : activation == VG_sigmoid ? dnnl_eltwise_logistic
                                      : dnnl_eltwise_tanh;
}

static vg_status forward_desc(const layer *l, dnnl_primitive_desc_t *out)
{
    const dnnl_memory_desc_t *w = l->weight_any;
    const dnnl_prop_kind_t training = dnnl_forward_training;
    const dnnl_rnn_direction_t way = dnnl_unidirectional_left2right;
    dnnl_rnn_desc_t desc;
    switch (l->model->kind) {
    case VG_lstm:
        VG_ONEDNN(dnnl_lstm_forward_desc_init(&desc, training, way, &l->x_desc, &l->state_desc,
                                              &l->state_desc, &w[0], &w[1], &l->bias_desc,
                                              &l->y_desc, &l->state_desc, &l->state_desc, 0));
        break;
    case VG_gru:
        VG_ONEDNN(dnnl_lbr_gru_forward_desc_init(&desc, training, way, &l->x_desc, &l->state_desc,
                                                 &w[0], &w[1], &l->bias_desc, &l->y_desc,
                                                 &l->state_desc, 0));
        break;
    default:
        VG_ONEDNN(dnnl_vanilla_rnn_forward_desc_init(
            &desc, training, activation_of(l->model->activation), way, &l->x_desc, &l->state_desc,
            &w[0], &w[1], &l->bias_desc, &l->y_desc, &l->state_desc, 0, 0, 0));
    }
    VG_ONEDNN(dnnl_primitive_desc_create(out, &desc, NULL, l->exec->engine, NULL));
    return VG_OK;
}

static vg_status backward_desc(const layer *l, dnnl_primitive_desc_t *out)
{
    const dnnl_memory_desc_t *w = l->weight_any, *s = &l->state_desc, *b = &l->bias_desc;
    const dnnl_rnn_direction_t way = dnnl_unidirectional_left2right;
    dnnl_rnn_desc_t desc;
    switch (l->model->kind) {
    case VG_lstm:
        VG_ONEDNN(dnnl_lstm_backward_desc_init(&desc, dnnl_backward, way, &l->x_desc, s, s, &w[0],
                                               &w[1], b, &l->y_desc, s, s, &l->x_desc, s, s, &w[0],
                                               &w[1], b, &l->y_desc, s, s, 0));
        break;
    case VG_gru:
        VG_ONEDNN(dnnl_lbr_gru_backward_desc_init(&desc, dnnl_backward, way, &l->x_desc, s, &w[0],
                                                  &w[1], b, &l->y_desc, s, &l->x_desc, s, &w[0],
                                                  &w[1], b, &l->y_desc, s, 0));
        break;
    default:
        VG_ONEDNN(dnnl_vanilla_rnn_backward_desc_init(
            &desc, dnnl_backward, activation_of(l->model->activation), way, &l->x_desc, s, &w[0],
            &w[1], b, &l->y_desc, s, &l->x_desc, s, &w[0], &w[1], b, &l->y_desc, s, 0, 0, 0));
    }
    VG_ONEDNN(dnnl_primitive_desc_create(out, &desc, NULL, l->exec->engine, l->hint));
    return VG_OK;
}

/* Biases: the sum of both, of the gru's n gate apart (W_hn h + b_hn is multiplied by r). */

static void bias_join(const vg_onednn_step *s)
{
    const size_t units = s->n;
    for (size_t j = 0; j < units; j++)
        s->to[j] = s->from[j] + s->and_from[j];
}

static void bias_copy(const vg_onednn_step *s)
{
    memcpy(s->to, s->from, s->n * sizeof *s->to);
    if (s->also)
        memcpy(s->also, s->from, s->n * sizeof *s->also);
}

static void zeros(const vg_onednn_step *s)
{
    memset(s->to, 0, s->n * sizeof *s->to);
}

static vg_status loop(const layer *l, vg_pass pass, void (*run)(const vg_onednn_step *), float *to,
                      float *also, const float *from, const float *and_from, size_t n)
{
    return vg_onednn_loop(l->exec, (vg_onednn_step){.pass = pass,
                                                    .loop = run,
                                                    .to = to,
                                                    .also = also,
                                                    .from = from,
                                                    .and_from = and_from,
                                                    .n = n});
}

/* Forward: gate g of the library's bias from both of ours; backward: both of ours from it. */
static vg_status bias_gates(const layer *l, vg_pass pass)
{
    const uint32_t *order = order_of(l->model);
    const size_t units = (size_t)l->units;
    const bool apart = l->biases > l->gates, back = pass != VG_PASS_FWD;
    for (size_t g = 0; g < (size_t)l->gates; g++) {
        const size_t ours = g * units, theirs = (order ? order[g] : g) * units;
        const bool last = apart && g + 1 == (size_t)l->gates;
        const size_t second = last ? theirs + units : theirs;
        if (back && last)
            VG_TRY(loop(l, pass, bias_copy, l->dbias_two[1] + ours, NULL, l->dbias_sum + second,
                        NULL, units));
        if (back)
            VG_TRY(loop(l, pass, bias_copy, l->dbias_two[0] + ours,
                        last ? NULL : l->dbias_two[1] + ours, l->dbias_sum + theirs, NULL, units));
        else if (last) {
            VG_TRY(loop(l, pass, bias_copy, l->bias_sum + theirs, NULL, l->bias_two[0] + ours, NULL,
                        units));
            VG_TRY(loop(l, pass, bias_copy, l->bias_sum + second, NULL, l->bias_two[1] + ours, NULL,
                        units));
        } else
            VG_TRY(loop(l, pass, bias_join, l->bias_sum + theirs, NULL, l->bias_two[0] + ours,
                        l->bias_two[1] + ours, units));
    }
    return VG_OK;
}

/* The arguments that both directions have. */
static void arguments(const layer *l, vg_onednn_step *step, const dnnl_memory_t weight[2])
{
    vg_onednn_arg(step, DNNL_ARG_SRC_LAYER, l->x);
    vg_onednn_arg(step, DNNL_ARG_SRC_ITER, l->state[0]);
    vg_onednn_arg(step, DNNL_ARG_WEIGHTS_LAYER, weight[0]);
    vg_onednn_arg(step, DNNL_ARG_WEIGHTS_ITER, weight[1]);
    vg_onednn_arg(step, DNNL_ARG_BIAS, l->bias);
    vg_onednn_arg(step, DNNL_ARG_DST_LAYER, l->y);
    vg_onednn_arg(step, DNNL_ARG_DST_ITER, l->last[0]);
    vg_onednn_arg(step, DNNL_ARG_WORKSPACE, l->reserve);
    if (two_states(l)) {
        vg_onednn_arg(step, DNNL_ARG_SRC_ITER_C, l->state[1]);
        vg_onednn_arg(step, DNNL_ARG_DST_ITER_C, l->last[1]);
    }
}

/* Both weights in the layouts that the primitive wants. */
static vg_status bring(const layer *l, vg_pass pass, dnnl_primitive_desc_t primitive,
                       dnnl_memory_t weight[2])
{
    VG_TRY(vg_onednn_brought(l->exec, pass, l->weight[0],
                             vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS_LAYER), &weight[0]));
    return vg_onednn_brought(l->exec, pass, l->weight[1],
                             vg_onednn_wanted(primitive, DNNL_ARG_WEIGHTS_ITER), &weight[1]);
}

static vg_status forward(layer *l)
{
    dnnl_memory_t weight[2];
    dnnl_primitive_desc_t primitive;
    vg_onednn_step *step;
    const char *words = "";
    VG_TRY(forward_desc(l, &l->hint));
    if (dnnl_primitive_desc_query(l->hint, dnnl_query_impl_info_str, 0, (void *)&words) ==
        dnnl_success)
        snprintf(l->exec->algorithm, sizeof l->exec->algorithm, "fwd=%s", words);
    VG_TRY(bias_gates(l, VG_PASS_FWD));
    VG_TRY(bring(l, VG_PASS_FWD, l->hint, weight));
    VG_TRY(vg_onednn_memory(l->exec, vg_onednn_wanted(l->hint, DNNL_ARG_WORKSPACE), NULL,
                            &l->reserve));
    VG_ONEDNN(dnnl_primitive_desc_clone(&primitive, l->hint));
    VG_TRY(vg_onednn_add(l->exec, VG_PASS_FWD, primitive, &step));
    arguments(l, step, weight);
    return VG_OK;
}

/* The gradients of the weights where the primitive adds to them, cleared first. */
static vg_status clear(const layer *l, dnnl_memory_t memory)
{
    const dnnl_memory_desc_t *desc;
    void *at;
    VG_ONEDNN(dnnl_memory_get_memory_desc(memory, &desc));
    VG_ONEDNN(dnnl_memory_get_data_handle(memory, &at));
    return loop(l, VG_PASS_BWD_DATA, zeros, at, NULL, NULL, NULL,
                dnnl_memory_desc_get_size(desc) / sizeof(float));
}

static vg_status backward_step(layer *l, dnnl_primitive_desc_t primitive)
{
    dnnl_memory_t weight[2], made[2];
    vg_onednn_step *step;
    const int diff[] = {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER};
    vg_status status = bring(l, VG_PASS_BWD_DATA, primitive, weight);
    for (int i = 0; i < 2 && status == VG_OK; i++) {
        status =
            vg_onednn_made(l->exec, l->dweight[i], vg_onednn_wanted(primitive, diff[i]), &made[i]);
        if (status == VG_OK)
            status = clear(l, made[i]);
    }
    if (status == VG_OK)
        status = clear(l, l->dbias);
    if (status != VG_OK) {
        dnnl_primitive_desc_destroy(primitive);
        return status;
    }
    VG_TRY(vg_onednn_add(l->exec, VG_PASS_BWD_DATA, primitive, &step));
    arguments(l, step, weight);
    vg_onednn_arg(step, DNNL_ARG_DIFF_SRC_LAYER, l->dx);
    vg_onednn_arg(step, DNNL_ARG_DIFF_SRC_ITER, l->dstate[0]);
    vg_onednn_arg(step, diff[0], made[0]);
    vg_onednn_arg(step, diff[1], made[1]);
    vg_onednn_arg(step, DNNL_ARG_DIFF_BIAS, l->dbias);
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST_LAYER, l->dy);
    vg_onednn_arg(step, DNNL_ARG_DIFF_DST_ITER, l->dlast[0]);
    if (two_states(l)) {
        vg_onednn_arg(step, DNNL_ARG_DIFF_SRC_ITER_C, l->dstate[1]);
        vg_onednn_arg(step, DNNL_ARG_DIFF_DST_ITER_C, l->dlast[1]);
    }
    for (int i = 0; i < 2; i++)
        VG_TRY(vg_onednn_fetched(l->exec, VG_PASS_BWD_DATA, made[i], l->dweight[i]));
    return bias_gates(l, VG_PASS_BWD_DATA);
}

static vg_status backward(layer *l)
{
    dnnl_primitive_desc_t primitive;
    VG_TRY(backward_desc(l, &primitive));
    return backward_step(l, primitive);
}

/* Memories, and the tensors in them. */

static vg_status named_memory(const layer *l, const dnnl_memory_desc_t *desc, float **at,
                              dnnl_memory_t *out)
{
    VG_TRY(vg_onednn_floats(l->exec, dnnl_memory_desc_get_size(desc) / sizeof(float), at));
    return vg_onednn_memory(l->exec, desc, *at, out);
}

static vg_status parameters(layer *l)
{
    static const char *const sides[] = {"ih", "hh"};
    const uint32_t *order = order_of(l->model), gates = (uint32_t)l->gates, k = l->index;
    const size_t all = (size_t)(l->gates * l->units);
    float *at;
    for (int i = 0; i < 2; i++) {
        VG_TRY(named_memory(l, &l->weight_plain[i], &at, &l->weight[i]));
        VG_TRY(vg_onednn_place(l->exec, at, order, gates, "weight_%s_l%u", sides[i], k));
        VG_TRY(named_memory(l, &l->weight_plain[i], &at, &l->dweight[i]));
        VG_TRY(vg_onednn_place(l->exec, at, order, gates, "dweight_%s_l%u", sides[i], k));
        VG_TRY(vg_onednn_floats(l->exec, all, &l->bias_two[i]));
        VG_TRY(vg_onednn_place(l->exec, l->bias_two[i], NULL, 0, "bias_%s_l%u", sides[i], k));
        VG_TRY(vg_onednn_floats(l->exec, all, &l->dbias_two[i]));
        VG_TRY(vg_onednn_place(l->exec, l->dbias_two[i], NULL, 0, "dbias_%s_l%u", sides[i], k));
    }
    VG_TRY(named_memory(l, &l->bias_desc, &l->bias_sum, &l->bias));
    return named_memory(l, &l->bias_desc, &l->dbias_sum, &l->dbias);
}

static vg_status states(layer *l, float *y)
{
    char suffix[16] = "";
    float *at;
    if (l->model->depth > 1)
        snprintf(suffix, sizeof suffix, "_l%u", l->index);
    for (int i = 0; i < 1 + two_states(l); i++) {
        const char name = i ? 'c' : 'h';
        VG_TRY(named_memory(l, &l->state_desc, &at, &l->state[i]));
        VG_TRY(vg_onednn_place(l->exec, at, NULL, 0, "%c_0%s", name, suffix));
        VG_TRY(named_memory(l, &l->state_desc, &at, &l->last[i]));
        if (i)
            VG_TRY(vg_onednn_place(l->exec, at, NULL, 0, "%c_n%s", name, suffix));
        VG_TRY(named_memory(l, &l->state_desc, &at, &l->dstate[i]));
        VG_TRY(vg_onednn_place(l->exec, at, NULL, 0, "d%c_0%s", name, suffix));
        VG_TRY(named_memory(l, &l->state_desc, &at, &l->dlast[i])); /* stays zero */
    }
    const size_t before_last = (size_t)((l->steps - 1) * l->batch * l->units);
    return vg_onednn_place(l->exec, y + before_last, NULL, 0, "h_n%s", suffix);
}

/* *x, *dx: the memories of the layer below; replaced by this one's y and dy. */
static vg_status make_layer(layer *l, dnnl_memory_t *x, dnnl_memory_t *dx)
{
    const vg_model *m = l->model;
    const bool top = l->index + 1 == m->depth;
    float *y, *dy;
    describe(l);
    l->x = *x;
    l->dx = *dx;
    VG_TRY(named_memory(l, &l->y_desc, &y, &l->y));
    VG_TRY(named_memory(l, &l->y_desc, &dy, &l->dy));
    VG_TRY(parameters(l));
    VG_TRY(states(l, y));
    *x = l->y;
    *dx = l->dy;
    if (!top)
        return VG_OK;
    const bool all = m->loss_at == VG_LOSS_AT_ALL;
    const size_t before_last = (size_t)((l->steps - 1) * l->batch * l->units);
    VG_TRY(vg_onednn_place(l->exec, y, NULL, 0, "y"));
    return vg_onednn_place(l->exec, dy + (all ? 0 : before_last), NULL, 0, "dy");
}

static vg_status check_model(const vg_model *m)
{
    if (m->kind == VG_rnn && m->activation == VG_identity)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: no identity in its vanilla rnn");
    if (m->output)
        VG_FAIL(VG_UNSUPPORTED, "oneDNN: a read-out after recurrent layers is not compared");
    return VG_OK;
}

static vg_status build(vg_exec *exec, const vg_model *m, layer *layers)
{
    const dnnl_dim_t shape[] = {(dnnl_dim_t)m->seq_len, m->batch, m->input};
    const dnnl_memory_desc_t desc = vg_onednn_plain(3, shape);
    dnnl_memory_t x, dx;
    float *at;
    const vg_cell_info *cell = vg_cell_find(m->kind);
    layers[0].exec = exec;
    VG_TRY(named_memory(&layers[0], &desc, &at, &x));
    VG_TRY(vg_onednn_place(exec, at, NULL, 0, "x"));
    VG_TRY(named_memory(&layers[0], &desc, &at, &dx));
    VG_TRY(vg_onednn_place(exec, at, NULL, 0, "dx"));
    for (uint32_t i = 0; i < m->depth; i++) {
        layers[i] = (layer){.exec = exec,
                            .model = m,
                            .index = i,
                            .steps = (dnnl_dim_t)m->seq_len,
                            .batch = m->batch,
                            .in = i ? m->width : m->input,
                            .units = m->width,
                            .gates = cell->gates,
                            .biases = cell->gates + cell->gates_differ};
        VG_TRY(make_layer(&layers[i], &x, &dx));
    }
    for (uint32_t i = 0; i < m->depth; i++)
        VG_TRY(forward(&layers[i]));
    for (uint32_t i = m->depth; i-- > 0;)
        VG_TRY(backward(&layers[i]));
    return VG_OK;
}

vg_status vg_onednn_recurrent(vg_exec *exec, const vg_model *m)
{
    VG_TRY(check_model(m));
    layer *layers = calloc(m->depth, sizeof *layers);
    if (!layers)
        VG_FAIL(VG_NO_MEMORY, "oneDNN: no memory for %u layers", m->depth);
    exec->whole_backward = true;
    vg_status status = build(exec, m, layers);
    for (uint32_t i = 0; i < m->depth; i++)
        if (layers[i].hint)
            dnnl_primitive_desc_destroy(layers[i].hint);
    free(layers);
    return status;
}
