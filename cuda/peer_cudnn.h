/* Inside the device family cuda.cudnn: the recurrent layers of cuDNN, measured beside our own. The
 * library is opened at run time. A form is one way that it can be asked to compute a model; all of
 * them are tried when a program is loaded and the fastest is kept. */
#ifndef VG_PEER_CUDNN_H
#define VG_PEER_CUDNN_H

#include "cuda_device.h"

#include <cudnn.h>

#define VG_CUDNN_FUNCTIONS(X)                                                                      \
    X(cudnnBuildRNNDynamic)                                                                        \
    X(cudnnCreate)                                                                                 \
    X(cudnnCreateDropoutDescriptor)                                                                \
    X(cudnnCreateRNNDataDescriptor)                                                                \
    X(cudnnCreateRNNDescriptor)                                                                    \
    X(cudnnCreateTensorDescriptor)                                                                 \
    X(cudnnDestroy)                                                                                \
    X(cudnnDestroyDropoutDescriptor)                                                               \
    X(cudnnDestroyRNNDataDescriptor)                                                               \
    X(cudnnDestroyRNNDescriptor)                                                                   \
    X(cudnnDestroyTensorDescriptor)                                                                \
    X(cudnnGetErrorString)                                                                         \
    X(cudnnGetLastErrorString)                                                                     \
    X(cudnnGetRNNTempSpaceSizes)                                                                   \
    X(cudnnGetRNNWeightParams)                                                                     \
    X(cudnnGetRNNWeightSpaceSize)                                                                  \
    X(cudnnGetTensorNdDescriptor)                                                                  \
    X(cudnnGetVersion)                                                                             \
    X(cudnnRNNBackwardData_v8)                                                                     \
    X(cudnnRNNBackwardWeights_v8)                                                                  \
    X(cudnnRNNForward)                                                                             \
    X(cudnnSetDropoutDescriptor)                                                                   \
    X(cudnnSetRNNDataDescriptor)                                                                   \
    X(cudnnSetRNNDescriptor_v8)                                                                    \
    X(cudnnSetStream)                                                                              \
    X(cudnnSetTensorNdDescriptor)

/* The library's functions, by their own names. */
#define VG_CUDNN_MEMBER(name) __typeof__(&name) name;
typedef struct vg_cudnn_api {
    VG_CUDNN_FUNCTIONS(VG_CUDNN_MEMBER)
} vg_cudnn_api;
#undef VG_CUDNN_MEMBER

/* What this family keeps with an opened device (vg_device.peer). */
typedef struct vg_cudnn {
    vg_cudnn_api api;
    cudnnHandle_t handle; /* issues into the device's stream */
    const char *asked[4]; /* "auto" or the value of each option, in the order of the table */
    void *stage;          /* pinned, VG_CUDNN_STAGE bytes: what is on its way to or from a buffer */
} vg_cudnn;
enum { VG_CUDNN_STAGE = 1 << 20 };

static inline const vg_cudnn *vg_cudnn_of(const vg_device *device)
{
    return device->peer;
}

/* peer_cudnn_library.c */
/* VG_UNSUPPORTED names the library or the function that is not there. */
vg_status vg_cudnn_api_open(vg_cudnn_api *out);
/* Fails with the call's name and cuDNN's own words: VG_NO_MEMORY, VG_UNSUPPORTED for all that the
 * library refuses or cannot carry out, VG_DEVICE_LOST where it leaves an error that stays. */
vg_status vg_cudnn_check(vg_device *device, cudnnStatus_t status, const char *call);
#define VG_CUDNN(device, function, ...)                                                            \
    VG_TRY(vg_cudnn_check((device), vg_cudnn_of(device)->api.function(__VA_ARGS__), #function))

/* peer_cudnn.c */
/* Copies the first bytes of the stage to device memory, or fills them from it, and waits. */
vg_status vg_cudnn_upload(vg_device *device, void *to, size_t bytes);
vg_status vg_cudnn_download(vg_device *device, const void *from, size_t bytes);
/* One number of a buffer, fp32 or bf16; pack rounds to nearest even. */
void vg_cudnn_pack(vg_dtype storage, double value, void *to);
double vg_cudnn_unpack(vg_dtype storage, const void *from);

/* --- peer_cudnn_form.c: which forms there are --- */

/* Each is an index into the table of its name. */
typedef struct vg_cudnn_form {
    uint32_t algo, math, bias, layout;
} vg_cudnn_form;

enum {
    VG_CUDNN_ALGOS = 5,
    VG_CUDNN_MATHS = 4,
    VG_CUDNN_BIASES = 3,
    VG_CUDNN_LAYOUTS = 2,
};
extern const vg_option vg_cudnn_options[];

cudnnRNNAlgo_t vg_cudnn_algo(const vg_cudnn_form *form, bool forward);
cudnnMathType_t vg_cudnn_math(const vg_cudnn_form *form);
cudnnRNNBiasMode_t vg_cudnn_bias(const vg_cudnn_form *form);
cudnnRNNDataLayout_t vg_cudnn_layout(const vg_cudnn_form *form);
/* "algo=STANDARD math=FMA bias=double layout=packed" */
void vg_cudnn_form_words(const vg_cudnn_form *form, char *out, size_t size);

/* A model that cuDNN has no layers for is VG_UNSUPPORTED, with the reason. */
vg_status vg_cudnn_takes(const vg_model *model);
/* Whether no device option rules the form out. */
bool vg_cudnn_form_asked(const vg_cudnn *cudnn, const vg_cudnn_form *form);
/* Whether the form computes what the model asks for, in its dtype. VG_UNSUPPORTED with the reason.
 */
vg_status vg_cudnn_form_fits(const vg_model *model, const vg_cudnn_form *form);

/* --- peer_cudnn_rnn.c: a model in one form, ready to run --- */

/* Device memory. Sequences [T, B, ·] and states [L, B, H] without gaps; weights as cuDNN lays them
 * out; reserve is what it keeps from forward for backward, work is temporary. */
typedef enum vg_cudnn_buffer {
    VG_CUDNN_X,
    VG_CUDNN_Y,
    VG_CUDNN_DX,
    VG_CUDNN_DY,
    VG_CUDNN_HX,
    VG_CUDNN_HY,
    VG_CUDNN_DHX,
    VG_CUDNN_CX,
    VG_CUDNN_CY,
    VG_CUDNN_DCX,
    VG_CUDNN_WEIGHTS,
    VG_CUDNN_DWEIGHTS,
    VG_CUDNN_WORK,
    VG_CUDNN_RESERVE,
    VG_CUDNN_BUFFERS
} vg_cudnn_buffer;

typedef struct vg_cudnn_rnn {
    vg_device *device;
    const vg_model *model;
    vg_cudnn_form form;
    vg_dtype storage; /* of every buffer but work and reserve */
    cudnnDropoutDescriptor_t dropout;
    cudnnRNNDescriptor_t forward, backward;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t state;
    size_t bytes[VG_CUDNN_BUFFERS]; /* 0: the model has none */
    unsigned char *at[VG_CUDNN_BUFFERS];
} vg_cudnn_rnn;

/* Describes the model to cuDNN and fills `bytes`; allocates nothing on the device. `out` is freed
 * by vg_cudnn_rnn_free() also where it fails. */
vg_status vg_cudnn_rnn_describe(vg_device *device, const vg_model *model, const vg_cudnn_form *form,
                                vg_cudnn_rnn *out);
/* describe, and all buffers, zeroed. */
vg_status vg_cudnn_rnn_make(vg_device *device, const vg_model *model, const vg_cudnn_form *form,
                            vg_cudnn_rnn *out);
void vg_cudnn_rnn_free(vg_cudnn_rnn *rnn);

/* Runs a set of FWD, BWD_DATA and BWD_WEIGHTS `times` times and waits; *seconds is their time by
 * the device's clock. Forward overwrites y, hy, cy and the reserve; backward by the data overwrites
 * dx, dhx and dcx and spoils the reserve, of which backward by the weights, which overwrites
 * dweights, reads what it left. So what a set needs before it is run too, before every repetition
 * and outside the time; VG_UNSUPPORTED for a set that would need it in its midst. */
vg_status vg_cudnn_rnn_run(vg_cudnn_rnn *rnn, unsigned passes, uint32_t times, double *seconds);

/* Where cuDNN keeps one gate of a layer (from 0): its matrix [H, ·] and its bias [H], bytes from
 * the start of the weights. side 0: of the input, 1: of the recurrence. An absent bias:
 * VG_CUDNN_NONE. VG_UNSUPPORTED where they do not lie row by row. */
#define VG_CUDNN_NONE UINT64_MAX
vg_status vg_cudnn_rnn_gate(const vg_cudnn_rnn *rnn, uint32_t layer, uint32_t side, uint32_t gate,
                            uint64_t *matrix, uint64_t *bias);

/* --- peer_cudnn_choice.c --- */

/* Tries every form that fits and finds the fastest by the time of a training step; *tried: how many
 * ran. VG_UNSUPPORTED where none does, with the reason of the last one that was refused;
 * VG_NO_MEMORY where one had none. */
vg_status vg_cudnn_choose(vg_device *device, const vg_model *model, vg_cudnn_form *out,
                          uint32_t *tried);

/* --- peer_cudnn_tensors.c: the program's windows in cuDNN's buffers --- */

typedef struct vg_cudnn_tensors vg_cudnn_tensors;

vg_status vg_cudnn_tensors_make(const vg_cudnn_rnn *rnn, const vg_program *program,
                                vg_cudnn_tensors **out);
void vg_cudnn_tensors_free(vg_cudnn_tensors *tensors);
/* Whole rows of a named tensor of the program; VG_UNSUPPORTED for a window that cuDNN does not
 * show. */
vg_status vg_cudnn_tensors_write(vg_cudnn_tensors *tensors, vg_mat to, const double *from);
vg_status vg_cudnn_tensors_read(vg_cudnn_tensors *tensors, vg_mat from, double *to);

#endif
