/* The forms in which cuDNN can compute a model: algorithm, math type, biases and layout. */
#include "peer_cudnn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The first value of each table is tried first and kept among equals. */
static const struct {
    const char *option, *words;
    cudnnRNNAlgo_t forward, backward;
} algos[VG_CUDNN_ALGOS] = {
    {"standard", "STANDARD", CUDNN_RNN_ALGO_STANDARD, CUDNN_RNN_ALGO_STANDARD},
    {"static", "PERSIST_STATIC", CUDNN_RNN_ALGO_PERSIST_STATIC, CUDNN_RNN_ALGO_PERSIST_STATIC},
    {"dynamic", "PERSIST_DYNAMIC", CUDNN_RNN_ALGO_PERSIST_DYNAMIC, CUDNN_RNN_ALGO_PERSIST_DYNAMIC},
    {"small", "PERSIST_STATIC_SMALL_H", CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H,
     CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H},
    /* Forward takes wider layers than backward does; the reserve is the same for both. */
    {"mixed", "PERSIST_STATIC_SMALL_H+STANDARD", CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H,
     CUDNN_RNN_ALGO_STANDARD},
};

/* Which dtypes' promise a math type keeps: fp32 is never rounded to tf32. */
static const struct {
    const char *option, *words;
    cudnnMathType_t type;
    bool fp32, tf32, bf16;
} maths[VG_CUDNN_MATHS] = {
    {"fma", "FMA", CUDNN_FMA_MATH, true, true, true},
    {"default", "DEFAULT", CUDNN_DEFAULT_MATH, false, true, true},
    {"tensor", "TENSOR_OP", CUDNN_TENSOR_OP_MATH, false, true, true},
    {"conversion", "TENSOR_OP_ALLOW_CONVERSION", CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, false, true,
     false},
};

/* A single bias is bias_ih + bias_hh; each one's gradient is that of the sum. */
static const struct {
    const char *option, *words;
    cudnnRNNBiasMode_t mode;
} biases[VG_CUDNN_BIASES] = {
    {"double", "double", CUDNN_RNN_DOUBLE_BIAS},
    {"input", "single_inp", CUDNN_RNN_SINGLE_INP_BIAS},
    {"recurrent", "single_rec", CUDNN_RNN_SINGLE_REC_BIAS},
};

/* All sequences are of one length, so both are the same bytes; what cuDNN does with them is not. */
static const struct {
    const char *option, *words;
    cudnnRNNDataLayout_t layout;
} layouts[VG_CUDNN_LAYOUTS] = {
    {"packed", "packed", CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED},
    {"padded", "padded", CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED},
};

/* The order is that of vg_cudnn.asked. */
const vg_option vg_cudnn_options[] = {
    {"algo", "auto|standard|static|dynamic|small|mixed",
     "cuDNN's algorithm; auto: the fastest in a trial at load; mixed: small forward, then "
     "standard"},
    {"math", "auto|fma|default|tensor|conversion", "its math type, among those that the dtype has"},
    {"bias", "auto|double|input|recurrent", "two biases, or one at the input or at the recurrence"},
    {"layout", "auto|packed|padded", "how the sequences are described to it"},
    {NULL, NULL, NULL},
};

cudnnRNNAlgo_t vg_cudnn_algo(const vg_cudnn_form *form, bool forward)
{
    return forward ? algos[form->algo].forward : algos[form->algo].backward;
}

cudnnMathType_t vg_cudnn_math(const vg_cudnn_form *form)
{
    return maths[form->math].type;
}

cudnnRNNBiasMode_t vg_cudnn_bias(const vg_cudnn_form *form)
{
    return biases[form->bias].mode;
}

cudnnRNNDataLayout_t vg_cudnn_layout(const vg_cudnn_form *form)
{
    return layouts[form->layout].layout;
}

void vg_cudnn_form_words(const vg_cudnn_form *form, char *out, size_t size)
{
    snprintf(out, size, "algo=%s math=%s bias=%s layout=%s", algos[form->algo].words,
             maths[form->math].words, biases[form->bias].words, layouts[form->layout].words);
}

vg_status vg_cudnn_takes(const vg_model *model)
{
    const char *name = vg_model_kind_name(model->kind);
    if (model->kind == VG_stack)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: no stacks: it is asked for recurrent layers");
    if (model->kind != VG_rnn && model->kind != VG_lstm && model->kind != VG_gru)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: no %s: it has rnn, lstm and gru", name);
    if (model->kind == VG_rnn && model->activation != VG_tanh && model->activation != VG_relu)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: no rnn with %s: it has tanh and relu",
                vg_activation_find(model->activation)->name);
    if (model->output > 0)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: --output=%u: its recurrent layers have no read-out",
                model->output);
    if (model->residual)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: --residual: its layers have none");
    if (model->clip_norm > 0)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: --clip-norm=%g: it does not clip gradients",
                model->clip_norm);
    if (model->dtype != VG_FP32 && model->dtype != VG_TF32 && model->dtype != VG_BF16)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: --dtype=%s: expected fp32, tf32 or bf16",
                vg_dtype_name(model->dtype));
    return VG_OK;
}

static bool keeps_dtype(uint32_t math, vg_dtype dtype)
{
    return dtype == VG_FP32   ? maths[math].fp32
           : dtype == VG_TF32 ? maths[math].tf32
                              : dtype == VG_BF16 && maths[math].bf16;
}

static bool is_asked(const char *asked, const char *option)
{
    return strcmp(asked, "auto") == 0 || strcmp(asked, option) == 0;
}

bool vg_cudnn_form_asked(const vg_cudnn *cudnn, const vg_cudnn_form *form)
{
    assert(form->algo < VG_CUDNN_ALGOS && form->math < VG_CUDNN_MATHS &&
           form->bias < VG_CUDNN_BIASES && form->layout < VG_CUDNN_LAYOUTS);
    return is_asked(cudnn->asked[0], algos[form->algo].option) &&
           is_asked(cudnn->asked[1], maths[form->math].option) &&
           is_asked(cudnn->asked[2], biases[form->bias].option) &&
           is_asked(cudnn->asked[3], layouts[form->layout].option);
}

vg_status vg_cudnn_form_fits(const vg_model *model, const vg_cudnn_form *form)
{
    if (!keeps_dtype(form->math, model->dtype))
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: math=%s does not compute in %s", maths[form->math].option,
                vg_dtype_name(model->dtype));
    /* r∘(R h + b) needs the recurrent bias for itself. */
    if (model->kind == VG_gru && biases[form->bias].mode != CUDNN_RNN_DOUBLE_BIAS)
        VG_FAIL(VG_UNSUPPORTED, "cuDNN: bias=%s: a gru has two biases", biases[form->bias].option);
    return VG_OK;
}
