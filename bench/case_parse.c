/* A case's name back to its model. */
#include "vg/case.h"

#include "numbers.h"

#include <string.h>

/* One part of a name, between two slashes. */
typedef struct segment {
    const char *at;
    size_t length;
} segment;

static bool is(segment part, const char *text)
{
    return strlen(text) == part.length && memcmp(part.at, text, part.length) == 0;
}

static bool take(segment *part, const char *prefix)
{
    size_t length = strlen(prefix);
    if (length > part->length || memcmp(part->at, prefix, length) != 0)
        return false;
    part->at += length;
    part->length -= length;
    return true;
}

static bool parse_integer(segment part, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < part.length; i++) {
        unsigned digit = (unsigned char)part.at[i] - (unsigned)'0';
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return part.length > 0;
}

static bool parse_u32(segment part, uint32_t *out)
{
    uint64_t value = 0;
    bool fine = parse_integer(part, UINT32_MAX, &value);
    *out = (uint32_t)value;
    return fine;
}

static bool parse_activation(segment part, vg_activation *out)
{
    for (int i = 0; i < VG_ACTIVATION_COUNT; i++)
        if (is(part, vg_activation_find((vg_activation)i)->name)) {
            *out = (vg_activation)i;
            return true;
        }
    return false;
}

/* MODEL[-ACT][+OUTACT]; sets the defaults of that kind and activation. */
static bool parse_model(segment part, vg_model *m)
{
    vg_activation activation = VG_tanh, output = VG_ACTIVATION_COUNT;
    const char *plus = memchr(part.at, '+', part.length);
    if (plus) {
        size_t length = (size_t)(plus - part.at);
        if (!parse_activation((segment){plus + 1, part.length - length - 1}, &output))
            return false;
        part.length = length;
    }
    const char *minus = memchr(part.at, '-', part.length);
    if (minus) {
        size_t length = (size_t)(minus - part.at);
        if (!parse_activation((segment){minus + 1, part.length - length - 1}, &activation))
            return false;
        part.length = length;
    }
    for (int i = 0; i < VG_MODEL_COUNT; i++)
        if (is(part, vg_model_kind_name((vg_model_kind)i))) {
            vg_model_defaults((vg_model_kind)i, activation, m);
            m->output_activation = output;
            return true;
        }
    return false;
}

static bool parse_dtype(segment part, vg_dtype *out)
{
    for (int i = 0; i < VG_U8; i++)
        if (is(part, vg_dtype_name((vg_dtype)i))) {
            *out = (vg_dtype)i;
            return true;
        }
    return false;
}

#define PARSE_NAME(function, type, name_of, count)                                                 \
    static bool function(segment part, type *out)                                                  \
    {                                                                                              \
        for (int i = 0; i < (count); i++)                                                          \
            if (is(part, name_of((type)i))) {                                                      \
                *out = (type)i;                                                                    \
                return true;                                                                       \
            }                                                                                      \
        return false;                                                                              \
    }
PARSE_NAME(parse_loss, vg_loss, vg_loss_name, VG_LOSS_COUNT)
PARSE_NAME(parse_loss_at, vg_loss_at, vg_loss_at_name, VG_LOSS_AT_COUNT)
PARSE_NAME(parse_input, vg_input, vg_input_name, VG_X_COUNT)

/* Any part after the first; in whatever order, since the canonical name decides in the end. */
static bool parse_part(segment part, vg_model *m)
{
    if (parse_dtype(part, &m->dtype))
        return true;
    if (is(part, "residual"))
        return m->residual = true;
    if (take(&part, "clip"))
        return vg_number_parse(part.at, part.length, &m->clip_norm);
    if (take(&part, "fb"))
        return vg_number_parse(part.at, part.length, &m->forget_bias);
    if (take(&part, "alpha"))
        return vg_number_parse(part.at, part.length, &m->alpha);
    if (take(&part, "pieces"))
        return parse_u32(part, &m->pieces);
    if (take(&part, "loss-"))
        return parse_loss(part, &m->loss);
    if (take(&part, "at-"))
        return parse_loss_at(part, &m->loss_at);
    if (take(&part, "x-"))
        return parse_input(part, &m->x);
    if (take(&part, "h0-"))
        return vg_number_parse(part.at, part.length, &m->h0);
    if (take(&part, "seed"))
        return parse_integer(part, UINT64_MAX, &m->seed);
    if (vg_init_parse(part.at, part.length, &m->init) == VG_OK)
        return true;
    if (take(&part, "d"))
        return parse_u32(part, &m->depth);
    if (take(&part, "w"))
        return parse_u32(part, &m->width);
    if (take(&part, "i"))
        return parse_u32(part, &m->input);
    if (take(&part, "o"))
        return parse_u32(part, &m->output);
    if (take(&part, "b"))
        return parse_u32(part, &m->batch);
    if (take(&part, "t"))
        return parse_integer(part, UINT64_MAX, &m->seq_len);
    return false;
}

vg_status vg_case_parse(const char *name, vg_model *out)
{
    vg_model m = {0};
    char canonical[VG_CASE_NAME];
    const char *at = name;
    for (bool first = true;; first = false) {
        segment part = {at, strcspn(at, "/")};
        if (!(first ? parse_model(part, &m) : parse_part(part, &m)))
            VG_FAIL(VG_INVALID, "case \"%s\", column %zu: \"%.*s\" is no part of a case's name",
                    name, (size_t)(at - name) + 1, (int)part.length, at);
        if (at[part.length] == 0)
            break;
        at += part.length + 1;
    }
    VG_TRY(vg_model_complete(&m));
    vg_case_name(&m, canonical);
    if (strcmp(canonical, name) != 0) {
        size_t same = 0;
        while (name[same] == canonical[same])
            same++;
        VG_FAIL(VG_INVALID, "case \"%s\", column %zu: the case's name is \"%s\"", name, same + 1,
                canonical);
    }
    *out = m;
    return VG_OK;
}
