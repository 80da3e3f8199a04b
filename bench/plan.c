/* From the axes to the cases of a plan, each once. */
#include "plan.h"

#include "keys.h"
#include "option_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COMBINATIONS = 1000000, MAX_UNASKED = 10000 };

/* The plan while it grows; planned: its cases with their settings. */
typedef struct builder {
    const vg_options *options;
    vg_plan *plan;
    size_t capacity, combinations;
    vg_keys planned;
    bool used[VG_AXIS_COUNT];
} builder;

static void set_model(vg_axis_id axis, vg_value value, vg_model *m)
{
    uint32_t whole = (uint32_t)value.whole;
    switch (axis) {
    case VG_AXIS_OUTPUT_ACTIVATION: m->output_activation = (vg_activation)whole; break;
    case VG_AXIS_DEPTH: m->depth = whole; break;
    case VG_AXIS_WIDTH: m->width = whole; break;
    case VG_AXIS_INPUT: m->input = whole; break;
    case VG_AXIS_OUTPUT: m->output = whole; break;
    case VG_AXIS_BATCH: m->batch = whole; break;
    case VG_AXIS_SEQ_LEN: m->seq_len = value.whole; break;
    case VG_AXIS_DTYPE: m->dtype = (vg_dtype)whole; break;
    case VG_AXIS_INIT: m->init = value.init; break;
    case VG_AXIS_RESIDUAL: m->residual = whole != 0; break;
    case VG_AXIS_CLIP_NORM: m->clip_norm = value.number; break;
    case VG_AXIS_FORGET_BIAS: m->forget_bias = value.number; break;
    case VG_AXIS_ALPHA: m->alpha = value.number; break;
    case VG_AXIS_PIECES: m->pieces = whole; break;
    case VG_AXIS_LOSS: m->loss = (vg_loss)whole; break;
    case VG_AXIS_LOSS_AT: m->loss_at = (vg_loss_at)whole; break;
    case VG_AXIS_X: m->x = (vg_input)whole; break;
    case VG_AXIS_H0: m->h0 = value.number; break;
    case VG_AXIS_SEED: m->seed = value.whole; break;
    default: break;
    }
}

static bool uses_activation(const vg_model *m, vg_activation activation)
{
    return m->activation == activation || m->output_activation == activation;
}

/* Whether a complete model would be another one with another value of the axis. *hint: whom the
 * option is for. */
static bool concerns(vg_axis_id axis, const vg_model *m, const char **hint)
{
    bool stack = m->kind == VG_stack;
    const vg_cell_info *cell = stack ? NULL : vg_cell_find(m->kind);
    switch (axis) {
    case VG_AXIS_ACTIVATION:
        *hint = "stack and rnn have one to choose";
        return stack || cell->takes_activation;
    case VG_AXIS_OUTPUT_ACTIVATION:
        *hint = "a recurrent model has one with --output";
        return stack || m->output > 0;
    case VG_AXIS_SEQ_LEN:
    case VG_AXIS_LOSS_AT:
    case VG_AXIS_H0: *hint = "it is for recurrent models"; return !stack;
    case VG_AXIS_RESIDUAL: *hint = "it is for stacks"; return stack;
    case VG_AXIS_FORGET_BIAS:
        *hint = "it is for lstm and gru";
        return !stack && cell->forget_gate >= 0;
    case VG_AXIS_ALPHA:
        *hint = "it is for --activation=leaky_relu";
        return uses_activation(m, VG_leaky_relu);
    case VG_AXIS_PIECES:
        *hint = "it is for --activation=maxout";
        return uses_activation(m, VG_maxout);
    default: *hint = ""; return true;
    }
}

/* Room for one more case. */
static vg_status grow(builder *b)
{
    vg_plan *plan = b->plan;
    if (plan->case_count < b->capacity)
        return VG_OK;
    size_t capacity = b->capacity == 0 ? 64 : 2 * b->capacity;
    vg_planned_case *cases = realloc(plan->cases, capacity * sizeof *cases);
    if (cases == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for a plan of %zu cases", capacity);
    plan->cases = cases;
    b->capacity = capacity;
    return VG_OK;
}

static vg_status add_case(builder *b, const vg_planned_case *c)
{
    char key[VG_KEY];
    snprintf(key, sizeof key, "%s\t%u\t%d\t%d", c->name, c->threads, c->bind, c->denormals);
    if (vg_keys_has(&b->planned, key))
        return VG_OK;
    if (b->plan->case_count >= MAX_UNASKED && !b->options->yes)
        VG_FAIL(VG_INVALID, "the plan has more than %d cases; --yes runs them", MAX_UNASKED);
    VG_TRY(grow(b));
    VG_TRY(vg_keys_add(&b->planned, key));
    b->plan->cases[b->plan->case_count++] = *c;
    return VG_OK;
}

/* One line, once. */
static vg_status add_note(vg_plan *plan, const char *note)
{
    for (size_t i = 0; i < plan->notes.count; i++)
        if (strcmp(plan->notes.at[i], note) == 0)
            return VG_OK;
    return vg_strings_add(&plan->notes, note, strlen(note));
}

/* The choice of index[a] on every axis a that has values. */
static vg_status add_combination(builder *b, vg_model_kind kind, const vg_values *axes,
                                 const size_t *index)
{
    vg_planned_case c = {.bind = VG_BIND_CORE, .denormals = VG_DENORMALS_KEEP};
    vg_activation activation =
        (vg_activation)axes[VG_AXIS_ACTIVATION].at[index[VG_AXIS_ACTIVATION]].whole;
    vg_model_defaults(kind, activation, &c.model);
    for (vg_axis_id axis = 0; axis < VG_AXIS_THREADS; axis++)
        if (axes[axis].count > 0)
            set_model(axis, axes[axis].at[index[axis]], &c.model);
    if (axes[VG_AXIS_THREADS].count > 0)
        c.threads = (uint32_t)axes[VG_AXIS_THREADS].at[index[VG_AXIS_THREADS]].whole;
    if (axes[VG_AXIS_BIND].count > 0)
        c.bind = (vg_bind)axes[VG_AXIS_BIND].at[index[VG_AXIS_BIND]].whole;
    if (axes[VG_AXIS_DENORMALS].count > 0)
        c.denormals = (vg_denormals)axes[VG_AXIS_DENORMALS].at[index[VG_AXIS_DENORMALS]].whole;
    vg_status status = vg_model_complete(&c.model);
    if (status == VG_UNSUPPORTED) {
        char note[512];
        snprintf(note, sizeof note, "left out of the plan: %s", vg_reason());
        return add_note(b->plan, note);
    }
    VG_TRY(status);
    const char *hint;
    for (vg_axis_id axis = 0; axis < VG_AXIS_COUNT; axis++)
        b->used[axis] = b->used[axis] || concerns(axis, &c.model, &hint);
    vg_case_name(&c.model, c.name);
    return add_case(b, &c);
}

/* Every combination of the axes for one kind, the last axis fastest. */
static vg_status add_kind(builder *b, vg_model_kind kind, const vg_values *axes)
{
    size_t index[VG_AXIS_COUNT] = {0};
    for (;;) {
        if (++b->combinations > MAX_COMBINATIONS)
            VG_FAIL(VG_INVALID, "the axes make more than %d combinations", MAX_COMBINATIONS);
        VG_TRY(add_combination(b, kind, axes, index));
        for (vg_axis_id axis = VG_AXIS_COUNT; axis-- > VG_AXIS_ACTIVATION;) {
            if (++index[axis] < axes[axis].count)
                break;
            index[axis] = 0;
            if (axis == VG_AXIS_ACTIVATION)
                return VG_OK;
        }
    }
}

/* The product of all axes, before any combination is made. */
static vg_status check_product(const vg_values *axes)
{
    size_t product = 1;
    for (vg_axis_id axis = 0; axis < VG_AXIS_COUNT; axis++) {
        if (axes[axis].count > 0)
            product *= axes[axis].count; /* each at most 65,536, product at most 1,000,000 */
        if (product > MAX_COMBINATIONS)
            VG_FAIL(VG_INVALID, "--%s: the axes make more than %d combinations with it",
                    vg_option_of_axis(axis)->name, MAX_COMBINATIONS);
    }
    return VG_OK;
}

static vg_status add_models(builder *b)
{
    vg_value kinds[] = {
        {.whole = VG_stack}, {.whole = VG_rnn}, {.whole = VG_lstm}, {.whole = VG_gru}};
    vg_value activations[] = {{.whole = VG_sigmoid}, {.whole = VG_tanh}, {.whole = VG_relu}};
    vg_values axes[VG_AXIS_COUNT];
    memcpy(axes, b->options->axes->at, sizeof axes);
    VG_TRY(check_product(axes));
    vg_values models = axes[VG_AXIS_MODEL];
    if (models.count == 0)
        models =
            axes[VG_AXIS_SEQ_LEN].count > 0 ? (vg_values){&kinds[1], 3} : (vg_values){kinds, 1};
    for (size_t i = 0; i < models.count; i++) {
        vg_model_kind kind = (vg_model_kind)models.at[i].whole;
        axes[VG_AXIS_ACTIVATION] = b->options->axes->at[VG_AXIS_ACTIVATION];
        if (axes[VG_AXIS_ACTIVATION].count == 0)
            axes[VG_AXIS_ACTIVATION] =
                kind == VG_stack ? (vg_values){activations, 3} : (vg_values){&activations[1], 1};
        VG_TRY(add_kind(b, kind, axes));
    }
    return VG_OK;
}

/* --case: the model by its name, with each of --threads, --bind and --denormals. */
static vg_status add_named(builder *b, const char *name)
{
    vg_planned_case c = {0};
    vg_status status = vg_case_parse(name, &c.model);
    if (status == VG_NO_MEMORY)
        return status;
    if (status != VG_OK) {
        char why[512];
        snprintf(why, sizeof why, "%s", vg_reason());
        VG_FAIL(VG_INVALID, "--case: %s", why);
    }
    vg_case_name(&c.model, c.name);
    const vg_values *axes = b->options->axes->at;
    size_t threads = axes[VG_AXIS_THREADS].count, binds = axes[VG_AXIS_BIND].count;
    size_t denormals = axes[VG_AXIS_DENORMALS].count;
    for (size_t t = 0; t < threads || t == 0; t++)
        for (size_t i = 0; i < binds || i == 0; i++)
            for (size_t d = 0; d < denormals || d == 0; d++) {
                if (++b->combinations > MAX_COMBINATIONS)
                    VG_FAIL(VG_INVALID, "more than %d combinations", MAX_COMBINATIONS);
                c.threads = threads > 0 ? (uint32_t)axes[VG_AXIS_THREADS].at[t].whole : 0;
                c.bind = binds > 0 ? (vg_bind)axes[VG_AXIS_BIND].at[i].whole : VG_BIND_CORE;
                c.denormals = denormals > 0 ? (vg_denormals)axes[VG_AXIS_DENORMALS].at[d].whole
                                            : VG_DENORMALS_KEEP;
                VG_TRY(add_case(b, &c));
            }
    return VG_OK;
}

/* An option that no case looks at is a misunderstanding. */
static vg_status check_used(const builder *b)
{
    for (vg_axis_id axis = 0; axis < VG_AXIS_COUNT; axis++) {
        if (b->options->axes->at[axis].count == 0 || b->used[axis])
            continue;
        const vg_model any = {.kind = VG_stack};
        const char *hint;
        concerns(axis, &any, &hint);
        VG_FAIL(VG_INVALID, "--%s: no case of this plan uses it; %s", vg_option_of_axis(axis)->name,
                hint);
    }
    return VG_OK;
}

vg_status vg_plan_cases(const vg_options *options, vg_plan *out)
{
    builder b = {.options = options, .plan = out};
    vg_status status = VG_OK;
    if (options->case_names.count > 0) {
        for (size_t i = 0; i < options->case_names.count && status == VG_OK; i++)
            status = add_named(&b, options->case_names.at[i]);
    } else {
        status = add_models(&b);
        if (status == VG_OK && out->case_count == 0)
            status = vg_fail(VG_INVALID, "no case is left; %s",
                             out->notes.count > 0 ? out->notes.at[0] : "the axes are empty");
        if (status == VG_OK)
            status = check_used(&b);
    }
    vg_keys_free(&b.planned);
    return status;
}

int vg_plan_exit(vg_status status)
{
    switch (status) {
    case VG_OK: return 0;
    case VG_INVALID: return 2;
    case VG_DEVICE_LOST: return 3;
    case VG_IO: return 4;
    default: return 1;
    }
}

void vg_plan_free(vg_plan *plan)
{
    free(plan->cases);
    free(plan->devices);
    vg_strings_free(&plan->notes);
    vg_strings_free(&plan->accelerators);
    *plan = (vg_plan){0};
}
