/* Inside the device cpu.onednn: a model as a list of oneDNN primitives, measured beside our own
 * kernels. What a training step has to repeat is a step of the list: weights go to the layout that
 * a primitive wants, gradients come back from it, and what it would add to is cleared first. */
#ifndef VG_PEER_ONEDNN_H
#define VG_PEER_ONEDNN_H

#include "vg/device.h"

#include <dnnl.h>

enum { VG_ONEDNN_ARGS = 24 };

/* How the library may be asked for a product of a dense layer. Which is fastest depends on shape,
 * threads and processor: copies to a layout of its own cost more than they gain where the batch is
 * small. */
typedef enum vg_onednn_form {
    VG_ONEDNN_PACKED, /* an inner product, the weights' layout left to the library */
    VG_ONEDNN_PLAIN,  /* an inner product on the weights as they are */
    VG_ONEDNN_MATMUL, /* a matmul on the weights as they are; dW and db an inner product */
    VG_ONEDNN_FORMS   /* or: whichever is fastest in each pass */
} vg_onednn_form;
extern const char *const vg_onednn_form_names[VG_ONEDNN_FORMS];

typedef struct vg_onednn_step vg_onednn_step;

/* A primitive, or, where that is null, a loop of ours over n numbers. */
struct vg_onednn_step {
    vg_pass pass;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[VG_ONEDNN_ARGS];
    int arg_count;
    void (*loop)(const vg_onednn_step *step);
    float *to, *also;
    const float *from, *and_from;
    size_t n;
};

/* A named tensor in a buffer without gaps; of weights the gates' blocks of rows stand in the
 * library's order: gate g of ours is its gate order[g]. */
typedef struct vg_onednn_region {
    vg_mat window;
    float *at;
    const uint32_t *order; /* null: as they are */
    uint32_t gates;
} vg_onednn_region;

struct vg_exec {
    vg_device *device;
    const vg_program *program;
    dnnl_engine_t engine;
    vg_onednn_step *steps;
    vg_onednn_region *regions;
    dnnl_memory_t *memories;
    float **buffers;
    size_t step_count, region_count, memory_count, buffer_count;
    size_t step_room, region_room, memory_room, buffer_room;
    vg_onednn_form form; /* asked for */
    char algorithm[160];
    bool whole_backward; /* backward cannot be split into its two passes */
    const vg_op *loss;
    double loss_value;
};

/* Fails with the call and the library's status: VG_NO_MEMORY, else VG_UNSUPPORTED. */
vg_status vg_onednn_check(dnnl_status_t status, const char *call);
#define VG_ONEDNN(call) VG_TRY(vg_onednn_check((call), #call))

/* peer_onednn_net.c: everything that is made belongs to the exec. */

/* n zeros, 64-aligned. */
vg_status vg_onednn_floats(vg_exec *exec, size_t n, float **out);
/* A plain fp32 array of so many dimensions, row-major. */
dnnl_memory_desc_t vg_onednn_plain(int axes, const dnnl_dim_t *shape);
dnnl_memory_desc_t vg_onednn_strided(int axes, const dnnl_dim_t *shape, const dnnl_dim_t *strides);
/* The same with the layout left to the library. */
dnnl_memory_desc_t vg_onednn_any(int axes, const dnnl_dim_t *shape);
/* `at` null: memory of its own. */
vg_status vg_onednn_memory(vg_exec *exec, const dnnl_memory_desc_t *desc, float *at,
                           dnnl_memory_t *out);
/* Memory that a primitive wants for an argument. */
const dnnl_memory_desc_t *vg_onednn_wanted(dnnl_primitive_desc_t primitive, int argument);

/* A step that runs the primitive, whose description is destroyed; *out: to be given arguments. */
vg_status vg_onednn_add(vg_exec *exec, vg_pass pass, dnnl_primitive_desc_t primitive,
                        vg_onednn_step **out);
void vg_onednn_arg(vg_onednn_step *step, int argument, dnnl_memory_t memory);
vg_status vg_onednn_loop(vg_exec *exec, vg_onednn_step step);
/* *out: `from` in the layout wanted, after a step that copies it where that is another. */
vg_status vg_onednn_brought(vg_exec *exec, vg_pass pass, dnnl_memory_t from,
                            const dnnl_memory_desc_t *wanted, dnnl_memory_t *out);
/* *out: memory of the layout wanted; vg_onednn_fetched() adds the step that copies it to `to` after
 * it has been computed. */
vg_status vg_onednn_made(vg_exec *exec, dnnl_memory_t to, const dnnl_memory_desc_t *wanted,
                         dnnl_memory_t *out);
vg_status vg_onednn_fetched(vg_exec *exec, vg_pass pass, dnnl_memory_t from, dnnl_memory_t to);

/* The tensor of that name (printf-like, with an index) is found at `at`. */
vg_status vg_onednn_place(vg_exec *exec, float *at, const uint32_t *order, uint32_t gates,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
void vg_onednn_net_free(vg_exec *exec);

/* What was made since a mark can be undone: steps, memories and buffers. */
typedef struct vg_onednn_mark {
    size_t steps, memories, buffers;
} vg_onednn_mark;
vg_onednn_mark vg_onednn_here(const vg_exec *exec);
void vg_onednn_undo(vg_exec *exec, vg_onednn_mark mark);

/* peer_onednn.c: seconds that the steps of a pass take, the least of some runs; for use while a
 * program is loaded. */
vg_status vg_onednn_time(vg_exec *exec, vg_pass pass, double *seconds);

/* peer_onednn_windows.c: as in vg_driver; the loss and dy, of a program that has one. */
vg_status vg_onednn_write(vg_exec *exec, vg_mat to, const double *from);
vg_status vg_onednn_read(vg_exec *exec, vg_mat from, double *to);
vg_status vg_onednn_loss(vg_exec *exec);

/* peer_onednn_stack.c, peer_onednn_rnn.c: all steps of a model; VG_UNSUPPORTED with the reason. */
vg_status vg_onednn_stack(vg_exec *exec, const vg_model *model);
vg_status vg_onednn_recurrent(vg_exec *exec, const vg_model *model);

#endif
