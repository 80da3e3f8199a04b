/* A program loaded on a CUDA device, and its ops as they are issued into a stream. Loading prepares
 * each op once (products, plans); a pass is then only issued, or captured in a graph and launched.
 */
#ifndef VG_CUDA_EXEC_H
#define VG_CUDA_EXEC_H

#include "cuda_gemm.h"
#include "scan_kernels.h"

/* An op made ready; what it is made of belongs to the file that runs its kind. */
typedef struct vg_prepared vg_prepared;

struct vg_exec {
    vg_device *device;
    const vg_program *program;
    unsigned char *arena;                  /* device memory */
    unsigned char *scratch, *side_scratch; /* of the two streams: shared by their ops in turn */
    uint64_t scratch_bytes, side_scratch_bytes;
    void *work, *side_work;  /* of the products */
    vg_slot *slots;          /* device memory, program->slot_count */
    vg_prepared *prepared;   /* op_count */
    struct vg_graph *graphs; /* one a set of passes that has been run */
};

/* Where an op is issued: the stream with its scratch and work area. */
typedef struct vg_issue {
    vg_exec *exec;
    const vg_op *op;
    vg_prepared *prepared;
    cudaStream_t stream;
    unsigned char *scratch;
    void *work;
} vg_issue;

static inline void *vg_exec_at(const vg_exec *exec, vg_mat m)
{
    return m.rows ? exec->arena + m.at : NULL;
}
static inline vg_window vg_exec_window(const vg_exec *exec, vg_mat m)
{
    return (vg_window){vg_exec_at(exec, m), m.rows, m.cols, m.ld};
}

/* cuda_exec.c: the rows of the driver's table. */
uint64_t vg_cuda_extra_bytes(vg_device *device, const vg_program *program);
vg_status vg_cuda_load(vg_device *device, const vg_model *model, const vg_program *program,
                       vg_exec **out);
void vg_cuda_unload(vg_exec *exec);
vg_status vg_cuda_choice(vg_exec *exec, char *out, size_t size);
vg_status vg_cuda_write(vg_exec *exec, vg_mat to, const double *from);
vg_status vg_cuda_read(vg_exec *exec, vg_mat from, double *to);
vg_status vg_cuda_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds);
vg_status vg_cuda_slots(vg_exec *exec, vg_slot *out);

/* A recurrence's regime, one table row each for L, M and S; cuda_scan.c picks among them. */
typedef struct vg_scan_regime {
    vg_regime regime;
    const char *name; /* "L" "M" "S" */
    /* Whether it can run this scan on this chip; the reason where it cannot. */
    vg_status (*fits)(const vg_device *device, const vg_op *op, vg_dtype storage);
    /* Seconds of the whole scan by its cost model. */
    double (*cost_s)(const vg_device *device, const vg_op *op, vg_dtype storage);
    /* Bytes of scratch while it runs. */
    uint64_t (*scratch)(const vg_device *device, const vg_op *op, vg_dtype storage);
    /* Makes what issuing needs (products, a plan) and frees it; *plan may stay null. */
    vg_status (*make)(vg_exec *exec, const vg_op *op, void **plan);
    void (*release)(void *plan);
    /* The scan, forward or backward. */
    vg_status (*issue)(const vg_issue *issue, void *plan);
    /* Nodes that it adds to a graph. */
    uint64_t (*nodes)(const vg_op *op);
    /* "" or words for the column `algorithm`, "units=8 blocks=64 weights=shared". */
    void (*words)(const vg_device *device, const vg_op *op, vg_dtype storage, char *out,
                  size_t size);
} vg_scan_regime;

extern const vg_scan_regime vg_scan_l, vg_scan_m, vg_scan_s;

/* cuda_scan.c: the regime of a scan, as asked for or the cheapest that fits. */
vg_status vg_scan_pick(const vg_device *device, const vg_op *op, vg_dtype storage,
                       const vg_scan_regime **out);

/* cuda_scan_args.c: a scan's arguments, but for what only its regime knows. */
void vg_scan_fwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_fwd_args *out);
void vg_scan_bwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_bwd_args *out);

#endif
