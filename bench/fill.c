/* The values of a case's inputs and parameters: which law each tensor follows, and its drawing. */
#include "vg/fill.h"

#include "random.h"
#include "theory.h"

#include <math.h>
#include <string.h>

/* What a tensor is, by its name. */
typedef enum tensor_part {
    PART_X,
    PART_TARGET,
    PART_H_0,
    PART_C_0,
    PART_WEIGHT_IH,
    PART_BIAS_IH,
    PART_WEIGHT_HH,
    PART_BIAS_HH,
    PART_WEIGHT, /* dense: a stack's layer, or the read-out of any model */
    PART_BIAS,
    PART_COUNT
} tensor_part;

typedef enum fill_law_kind {
    LAW_CONSTANT,
    LAW_UNIFORM, /* U(-scale, scale) */
    LAW_ABS_UNIFORM,
    LAW_NORMAL, /* N(0, scale²) */
    LAW_ABS_NORMAL,
    LAW_ORTHOGONAL, /* each block, times scale */
    LAW_IDENTITY,
    LAW_SPECTRAL
} fill_law_kind;

typedef struct fill_law {
    fill_law_kind kind;
    double scale;
    uint64_t blocks; /* gates or pieces: so many matrices stand one below the other */
} fill_law;

static tensor_part part_of(const vg_tensor *tensor)
{
    static const char *const prefixes[PART_COUNT] = {
        "x",         "target",      "h_0",       "c_0",     "weight_ih_l",
        "bias_ih_l", "weight_hh_l", "bias_hh_l", "weight_", "bias_"};
    int part = 0;
    while (part < PART_COUNT && strncmp(tensor->name, prefixes[part], strlen(prefixes[part])) != 0)
        part++;
    return (tensor_part)part;
}

static vg_activation activation_of(const vg_model *m, const vg_tensor *tensor)
{
    uint32_t last = m->depth + (m->output > 0);
    return tensor->layer == last ? m->output_activation : m->activation;
}

static fill_law x_law(const vg_model *m)
{
    switch (m->x) {
    case VG_X_ABS: return (fill_law){LAW_ABS_NORMAL, 1, 1};
    case VG_X_ZERO: return (fill_law){LAW_CONSTANT, 0, 1};
    case VG_X_ONES: return (fill_law){LAW_CONSTANT, 1, 1};
    default: return (fill_law){LAW_NORMAL, 1, 1};
    }
}

/* The matrices that orthogonal, identity and spectral act on. */
static bool is_shaped(const vg_model *m, tensor_part part)
{
    return part == PART_WEIGHT_HH || (m->kind == VG_stack && part == PART_WEIGHT);
}

/* PyTorch's: recurrent layers by their width, dense ones by what comes in. */
static double uniform_bound(const vg_model *m, tensor_part part, double fan_in)
{
    return 1 / sqrt(part == PART_WEIGHT || part == PART_BIAS ? fan_in : m->width);
}

static fill_law weight_law(const vg_model *m, const vg_tensor *tensor, tensor_part part,
                           fill_law law)
{
    double fan_in = tensor->mat.cols;
    double fan_out = (double)(tensor->mat.rows / law.blocks), alpha = m->alpha;
    bool square = fan_in == fan_out;
    bool leaky = part == PART_WEIGHT && activation_of(m, tensor) == VG_leaky_relu;
    law.kind = LAW_UNIFORM;
    law.scale = uniform_bound(m, part, fan_in);
    switch (m->init.kind) {
    case VG_INIT_XAVIER: law.scale = sqrt(6 / (fan_in + fan_out)); return law;
    case VG_INIT_HE:
        law.kind = LAW_NORMAL;
        law.scale = sqrt(2 / ((leaky ? 1 + alpha * alpha : 1) * fan_in));
        return law;
    case VG_INIT_LECUN:
        law.kind = LAW_NORMAL;
        law.scale = sqrt(1 / fan_in);
        return law;
    case VG_INIT_NORMAL:
        law.kind = LAW_NORMAL;
        law.scale = m->init.a / sqrt(fan_in);
        return law;
    case VG_INIT_IDENTITY:
        if (part == PART_WEIGHT_IH)
            law.kind = LAW_ABS_UNIFORM;
        if (is_shaped(m, part))
            law = (fill_law){LAW_IDENTITY, m->init.a, law.blocks};
        return law;
    case VG_INIT_ORTHOGONAL:
        return is_shaped(m, part) ? (fill_law){LAW_ORTHOGONAL, m->init.a, law.blocks} : law;
    case VG_INIT_SPECTRAL:
        if (is_shaped(m, part) && square)
            law.kind = LAW_SPECTRAL;
        return law;
    default: return law;
    }
}

static fill_law bias_law(const vg_model *m, const vg_tensor *tensor, tensor_part part, fill_law law)
{
    double fan_in = m->kind == VG_stack && tensor->layer == 1 ? m->input : m->width;
    law.kind = LAW_CONSTANT;
    law.scale = 0;
    if (m->init.kind == VG_INIT_UNIFORM) {
        law.kind = LAW_UNIFORM;
        law.scale = uniform_bound(m, part, fan_in);
    } else if (m->init.kind == VG_INIT_NORMAL) {
        law.kind = LAW_NORMAL;
        law.scale = m->init.b;
    }
    return law;
}

static fill_law law_of(const vg_model *m, const vg_tensor *tensor, tensor_part part)
{
    fill_law law = {LAW_CONSTANT, 0, 1};
    switch (part) {
    case PART_X: return x_law(m);
    case PART_TARGET: return (fill_law){LAW_NORMAL, 1, 1};
    case PART_H_0: return (fill_law){LAW_CONSTANT, m->h0, 1};
    case PART_C_0: return law;
    case PART_WEIGHT:
    case PART_BIAS:
        if (activation_of(m, tensor) == VG_maxout)
            law.blocks = m->pieces;
        break;
    default: law.blocks = vg_cell_find(m->kind)->gates; break;
    }
    bool bias = part == PART_BIAS || part == PART_BIAS_IH || part == PART_BIAS_HH;
    return bias ? bias_law(m, tensor, part, law) : weight_law(m, tensor, part, law);
}

static double draw(fill_law law, vg_stream stream, uint64_t index)
{
    switch (law.kind) {
    case LAW_UNIFORM:
    case LAW_SPECTRAL: return law.scale * (2 * vg_random_uniform(stream, index) - 1);
    case LAW_ABS_UNIFORM: return fabs(law.scale * (2 * vg_random_uniform(stream, index) - 1));
    case LAW_NORMAL: return law.scale * vg_random_normal(stream, index);
    case LAW_ABS_NORMAL: return fabs(law.scale * vg_random_normal(stream, index));
    case LAW_ORTHOGONAL: return vg_random_normal(stream, index);
    default: return law.scale;
    }
}

/* What acts on a drawn block as a whole. */
static vg_status shape_block(const vg_model *m, fill_law law, double *block, size_t rows,
                             size_t cols)
{
    double scale = law.scale;
    if (law.kind == LAW_IDENTITY) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                block[i * cols + j] = i == j ? scale : 0;
        return VG_OK;
    }
    if (law.kind == LAW_ORTHOGONAL) {
        VG_TRY(vg_random_orthogonal(block, rows, cols));
    } else if (law.kind == LAW_SPECTRAL) {
        double radius = vg_spectral_radius(block, rows);
        if (isnan(radius))
            VG_FAIL(VG_NO_MEMORY, "no memory for the spectral radius of %zu x %zu", rows, cols);
        scale = radius > 0 ? m->init.a / radius : 0;
    } else {
        return VG_OK;
    }
    for (size_t i = 0; i < rows * cols; i++)
        block[i] *= scale;
    return VG_OK;
}

/* What the window of that tensor holds in the model's dtype (see math: x, weights and h_t in it,
 * everything else in fp32 at least; of tf32 the operands of products that are drawn). */
static vg_dtype rounding_of(const vg_model *m, tensor_part part)
{
    if (m->dtype == VG_FP64)
        return VG_FP64;
    if (part == PART_X || part == PART_WEIGHT || part == PART_WEIGHT_IH || part == PART_WEIGHT_HH)
        return m->dtype;
    return m->dtype == VG_BF16 && part == PART_H_0 ? VG_BF16 : VG_FP32;
}

/* Rows [gate·H, (gate + 1)·H) of bias_ih hold the forget bias; of bias_hh zero. */
static void set_forget_bias(const vg_model *m, tensor_part part, double *bias)
{
    if (isnan(m->forget_bias) || (part != PART_BIAS_IH && part != PART_BIAS_HH))
        return;
    size_t first = (size_t)vg_cell_find(m->kind)->forget_gate * m->width;
    for (size_t i = first; i < first + m->width; i++)
        bias[i] = part == PART_BIAS_IH ? m->forget_bias : 0;
}

vg_status vg_fill(const vg_program *program, const vg_tensor *tensor, double *out)
{
    const vg_model *m = &program->model;
    tensor_part part = part_of(tensor);
    if (tensor->role > VG_ROLE_BIAS || part == PART_COUNT)
        VG_FAIL(VG_INVALID, "tensor %s is a result: nothing to fill it with", tensor->name);
    fill_law law = law_of(m, tensor, part);
    vg_stream stream = vg_stream_make(m->seed, tensor->name);
    uint64_t rows = tensor->mat.rows, cols = tensor->mat.cols, block = rows / law.blocks;
    for (uint64_t i = 0; i < rows * cols; i++)
        out[i] = draw(law, stream, i);
    for (uint64_t i = 0; i < law.blocks; i++)
        VG_TRY(shape_block(m, law, out + i * block * cols, block, cols));
    set_forget_bias(m, part, out);
    vg_dtype dtype = rounding_of(m, part);
    for (uint64_t i = 0; i < rows * cols; i++)
        out[i] = vg_dtype_round(dtype, out[i]);
    return VG_OK;
}
