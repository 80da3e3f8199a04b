/* Cases: defaults, ranges, and the one-line name. */
#include "vg/case.h"

#include "numbers.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NUMBER = 32 };

static const double default_alpha = 0.01;
static const uint32_t default_pieces = 2;

const char *vg_loss_name(vg_loss loss)
{
    static const char *const names[] = {"mse", "ones", "random"};
    return loss < VG_LOSS_COUNT ? names[loss] : NULL;
}

const char *vg_loss_at_name(vg_loss_at at)
{
    static const char *const names[] = {"last", "all"};
    return at < VG_LOSS_AT_COUNT ? names[at] : NULL;
}

const char *vg_input_name(vg_input x)
{
    static const char *const names[] = {"normal", "abs", "zero", "ones"};
    return x < VG_X_COUNT ? names[x] : NULL;
}

static const struct {
    const char *name;
    int least, most;
} initialisers[] = {
#define ROW(id, name, least, most) {name, least, most},
    VG_INITIALISERS(ROW)
#undef ROW
};

/* --- initialisers --- */

void vg_init_name(vg_init init, char *out, size_t size)
{
    char a[MAX_NUMBER], b[MAX_NUMBER];
    vg_number_name(init.a, a, sizeof a);
    vg_number_name(init.b, b, sizeof b);
    const char *name = initialisers[init.kind].name;
    int least = initialisers[init.kind].least, most = initialisers[init.kind].most;
    if (most == 2 && init.b != 0)
        snprintf(out, size, "%s:%s:%s", name, a, b);
    else if (least == 1 || (most == 1 && init.a != 1))
        snprintf(out, size, "%s:%s", name, a);
    else
        snprintf(out, size, "%s", name);
}

vg_status vg_init_parse(const char *text, size_t length, vg_init *out)
{
    const char *end = text + length, *colon = memchr(text, ':', length);
    size_t name_length = colon ? (size_t)(colon - text) : length;
    int kind = 0;
    while (kind < VG_INIT_COUNT && (strlen(initialisers[kind].name) != name_length ||
                                    memcmp(initialisers[kind].name, text, name_length) != 0))
        kind++;
    if (kind == VG_INIT_COUNT)
        VG_FAIL(VG_INVALID, "--init=%.*s: unknown initialiser", (int)length, text);
    double values[2] = {1, 0};
    int count = 0;
    while (colon) {
        const char *next = memchr(colon + 1, ':', (size_t)(end - colon - 1));
        size_t field = (size_t)((next ? next : end) - colon - 1);
        if (count == initialisers[kind].most || !vg_number_parse(colon + 1, field, &values[count]))
            VG_FAIL(VG_INVALID, "--init=%.*s: expected %s with %d to %d numbers", (int)length, text,
                    initialisers[kind].name, initialisers[kind].least, initialisers[kind].most);
        count++;
        colon = next;
    }
    if (count < initialisers[kind].least)
        VG_FAIL(VG_INVALID, "--init=%.*s: expected %s:NUMBER", (int)length, text,
                initialisers[kind].name);
    *out = (vg_init){(vg_init_kind)kind, values[0], values[1]};
    return VG_OK;
}

/* --- defaults and ranges --- */

static vg_init default_init(vg_model_kind kind, vg_activation activation)
{
    vg_init init = {VG_INIT_XAVIER, 1, 0};
    if (kind != VG_stack)
        init.kind = VG_INIT_UNIFORM;
    else if (activation == VG_relu || activation == VG_leaky_relu)
        init.kind = VG_INIT_HE;
    else if (activation == VG_maxout)
        init.kind = VG_INIT_LECUN;
    return init;
}

void vg_model_defaults(vg_model_kind kind, vg_activation activation, vg_model *out)
{
    *out = (vg_model){.kind = kind,
                      .activation = activation,
                      .output_activation = VG_ACTIVATION_COUNT,
                      .init = {VG_INIT_COUNT, 1, 0},
                      .dtype = VG_FP32,
                      .depth = kind == VG_stack ? 8 : 1,
                      .width = 256,
                      .batch = 32,
                      .seq_len = kind == VG_stack ? 1 : 128,
                      .forget_bias = NAN,
                      .alpha = default_alpha,
                      .pieces = default_pieces,
                      .seed = 1};
}

static vg_status check_integer(const char *option, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most)
        VG_FAIL(VG_INVALID, "--%s=%" PRIu64 ": expected %" PRIu64 "..%" PRIu64, option, value,
                least, most);
    return VG_OK;
}

static vg_status check_number(const char *option, double value, bool fine, const char *expected)
{
    if (!fine || !isfinite(value))
        VG_FAIL(VG_INVALID, "--%s=%.17g: expected %s", option, value, expected);
    return VG_OK;
}

static vg_status check_enumerations(const vg_model *m)
{
    if ((unsigned)m->kind >= VG_MODEL_COUNT || (unsigned)m->activation >= VG_ACTIVATION_COUNT ||
        (unsigned)m->output_activation >= VG_ACTIVATION_COUNT ||
        (unsigned)m->init.kind >= VG_INIT_COUNT || (unsigned)m->dtype >= VG_U8 ||
        (unsigned)m->loss >= VG_LOSS_COUNT || (unsigned)m->loss_at >= VG_LOSS_AT_COUNT ||
        (unsigned)m->x >= VG_X_COUNT)
        VG_FAIL(VG_INVALID, "a model, activation, initialiser, dtype, loss or input out of range");
    return VG_OK;
}

/* Resets what does not concern the kind and resolves what follows from other fields. */
static void settle(vg_model *m)
{
    bool stack = m->kind == VG_stack;
    if (!stack && !vg_cell_find(m->kind)->takes_activation)
        m->activation = VG_identity;
    if (m->input == 0)
        m->input = m->width;
    if (m->output_activation == VG_ACTIVATION_COUNT || (!stack && m->output == 0))
        m->output_activation = stack && m->output == 0 ? m->activation : VG_identity;
    if (m->init.kind == VG_INIT_COUNT)
        m->init = default_init(m->kind, m->activation);
    if ((unsigned)m->init.kind < VG_INIT_COUNT) {
        int most = initialisers[m->init.kind].most;
        m->init.a = most >= 1 ? m->init.a : 1;
        m->init.b = most >= 2 ? m->init.b : 0;
    }
    if (stack) {
        m->seq_len = 1;
        m->loss_at = VG_LOSS_AT_LAST;
        m->h0 = 0;
    } else {
        m->residual = false;
    }
    if (stack || vg_cell_find(m->kind)->forget_gate < 0)
        m->forget_bias = NAN;
    if (m->activation != VG_leaky_relu && m->output_activation != VG_leaky_relu)
        m->alpha = default_alpha;
    if (m->activation != VG_maxout && m->output_activation != VG_maxout)
        m->pieces = default_pieces;
    m->h0 += 0.0; /* -0 -> 0 */
    m->alpha += 0.0;
    m->clip_norm += 0.0;
    m->forget_bias += 0.0;
    m->init.a += 0.0;
    m->init.b += 0.0;
}

static vg_status check_init(vg_init init)
{
    bool fine = isfinite(init.a) && isfinite(init.b);
    if (init.kind == VG_INIT_NORMAL || init.kind == VG_INIT_SPECTRAL)
        fine = fine && init.a >= 0 && init.b >= 0;
    if (!fine) {
        char name[VG_CASE_NAME];
        vg_init_name(init, name, sizeof name);
        VG_FAIL(VG_INVALID, "--init=%s: expected finite numbers, none below 0 but a gain", name);
    }
    return VG_OK;
}

vg_status vg_model_complete(vg_model *model)
{
    vg_model m = *model;
    if ((unsigned)m.kind >= VG_MODEL_COUNT || (unsigned)m.activation >= VG_ACTIVATION_COUNT)
        VG_FAIL(VG_INVALID, "--model, --activation: out of range");
    settle(&m);
    VG_TRY(check_enumerations(&m));
    VG_TRY(check_integer("depth", m.depth, 1, VG_MAX_DEPTH));
    VG_TRY(check_integer("width", m.width, 1, VG_MAX_WIDTH));
    VG_TRY(check_integer("input", m.input, 1, VG_MAX_WIDTH));
    VG_TRY(check_integer("output", m.output, 0, VG_MAX_WIDTH));
    VG_TRY(check_integer("batch", m.batch, 1, VG_MAX_BATCH));
    VG_TRY(check_integer("seq-len", m.seq_len, 1, VG_MAX_SEQ_LEN));
    VG_TRY(check_integer("pieces", m.pieces, 2, VG_MAX_PIECES));
    VG_TRY(check_integer("seed", m.seed, 0, VG_MAX_SEED));
    VG_TRY(check_number("alpha", m.alpha, m.alpha >= 0 && m.alpha < 1, "0 <= alpha < 1"));
    VG_TRY(check_number("clip-norm", m.clip_norm, m.clip_norm >= 0, "a norm of at least 0"));
    VG_TRY(check_number("h0", m.h0, true, "a finite number"));
    if (!isnan(m.forget_bias))
        VG_TRY(check_number("forget-bias", m.forget_bias, true, "a finite number"));
    VG_TRY(check_init(m.init));
    const vg_activation_info *activation = vg_activation_find(m.activation);
    if (!(m.kind == VG_stack ? activation->in_stack : activation->in_rnn))
        VG_FAIL(VG_UNSUPPORTED, "--activation=%s: there is no %s with it", activation->name,
                vg_model_kind_name(m.kind));
    *model = m;
    return VG_OK;
}

/* --- names --- */

typedef struct writer {
    char *at;
    size_t left;
} writer;

static void put(writer *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(w->at, w->left, format, arguments);
    va_end(arguments);
    size_t used = n < 0 ? 0 : (size_t)n < w->left ? (size_t)n : w->left - 1;
    w->at += used;
    w->left -= used;
}

static void put_number(writer *w, const char *part, double value)
{
    char number[MAX_NUMBER];
    vg_number_name(value, number, sizeof number);
    put(w, "/%s%s", part, number);
}

void vg_case_name(const vg_model *m, char out[VG_CASE_NAME])
{
    writer w = {out, VG_CASE_NAME};
    bool stack = m->kind == VG_stack;
    char init[80];
    vg_init_name(m->init, init, sizeof init);
    put(&w, "%s", vg_model_kind_name(m->kind));
    if (stack || vg_cell_find(m->kind)->takes_activation)
        put(&w, "-%s", vg_activation_find(m->activation)->name);
    if (m->output_activation != (stack && m->output == 0 ? m->activation : VG_identity))
        put(&w, "+%s", vg_activation_find(m->output_activation)->name);
    put(&w, "/d%" PRIu32 "/w%" PRIu32, m->depth, m->width);
    if (m->input != m->width)
        put(&w, "/i%" PRIu32, m->input);
    if (m->output)
        put(&w, "/o%" PRIu32, m->output);
    put(&w, "/b%" PRIu32, m->batch);
    if (!stack)
        put(&w, "/t%" PRIu64, m->seq_len);
    put(&w, "/%s/%s", vg_dtype_name(m->dtype), init);
    if (m->residual)
        put(&w, "/residual");
    if (m->clip_norm > 0)
        put_number(&w, "clip", m->clip_norm);
    if (!isnan(m->forget_bias))
        put_number(&w, "fb", m->forget_bias);
    if (m->alpha != default_alpha)
        put_number(&w, "alpha", m->alpha);
    if (m->pieces != default_pieces)
        put(&w, "/pieces%" PRIu32, m->pieces);
    if (m->loss != VG_LOSS_MSE)
        put(&w, "/loss-%s", vg_loss_name(m->loss));
    if (m->loss_at != VG_LOSS_AT_LAST)
        put(&w, "/at-%s", vg_loss_at_name(m->loss_at));
    if (m->x != VG_X_NORMAL)
        put(&w, "/x-%s", vg_input_name(m->x));
    if (m->h0 != 0)
        put_number(&w, "h0-", m->h0);
    put(&w, "/seed%" PRIu64, m->seed);
}
