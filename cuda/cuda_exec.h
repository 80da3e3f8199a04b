/* A program loaded on a CUDA device, and its ops as they are issued into a stream. Loading prepares
 * each op once (products, plans); a pass is then only issued, or captured in a graph and launched.
 */
#ifndef VG_CUDA_EXEC_H
#define VG_CUDA_EXEC_H

#include "cuda_gemm.h"
#include "cuda_pieces.h"
#include "cuda_stack.h"
#include "scan_kernels.h"

/* Bytes of pinned host memory through which windows travel. */
enum { VG_STAGING_BYTES = 4 << 20 };

typedef struct vg_scan_regime vg_scan_regime;

/* An op made ready. */
typedef struct vg_prepared {
    const vg_gemm *gemm; /* of a dense op; the exec's */
    bool kernel;         /* a dense op with a kernel of our own beside the product */
    const vg_scan_regime *regime;
    void *plan;              /* of a scan, its regime's own */
    const vg_stack_run *run; /* of a layer that is in a kernel with others; the exec's */
} vg_prepared;

/* A product of the program; ops of equal shapes share one. */
typedef struct vg_shared_gemm {
    vg_gemm_shape shape;
    vg_gemm *gemm; /* null: the library has none */
} vg_shared_gemm;

/* A stream, and the device memory that its ops use in turn; null: no op of the program is there.
 * work: of the products. */
typedef struct vg_lane {
    cudaStream_t stream;
    unsigned char *scratch;
    uint64_t scratch_bytes;
    void *work;
} vg_lane;

struct vg_exec {
    vg_device *device;
    vg_pieces pieces;
    const vg_program *program; /* the one that is run: of the pieces */
    unsigned char *arena;      /* device memory */
    vg_lane lanes[VG_LANES];   /* the main and the side lane's streams are the device's */
    vg_slot *slots;            /* device memory, program->slot_count */
    unsigned char *staging;    /* pinned host memory */
    cudaEvent_t *events;       /* of the schedules, by number */
    uint32_t event_count;
    vg_prepared *prepared; /* op_count */
    vg_shared_gemm *gemms;
    uint32_t gemm_count, gemm_capacity;
    vg_stack_runs runs;
    unsigned char *stack_table; /* device memory; null: no layers are in a kernel together */
    struct vg_graph *graphs;    /* one a set of passes that has been run */
};

/* Where an op is issued: the stream with its scratch and work area. */
typedef struct vg_issue {
    vg_exec *exec;
    const vg_op *op;
    const vg_prepared *prepared;
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

/* A recurrence's regime, one table row each for L, M, S and C; cuda_scan.c picks among them. dtype:
 * the model's, fp32, tf32 or bf16. */
struct vg_scan_regime {
    vg_regime regime;
    const char *name; /* "L" "M" "S" "C" */
    /* Whether it can run this scan on this chip; the reason where it cannot. */
    vg_status (*fits)(const vg_device *device, const vg_op *op, vg_dtype dtype);
    /* Whether the device, asked, would launch it. May be null: it launches what fits. */
    vg_status (*launches)(vg_device *device, const vg_op *op, vg_dtype dtype, bool *out);
    /* Seconds of the whole scan by its cost model. */
    double (*cost_s)(const vg_device *device, const vg_op *op, vg_dtype dtype);
    /* Multiprocessors that it keeps busy. May be null: all of them. */
    double (*busy)(const vg_device *device, const vg_op *op, vg_dtype dtype);
    /* Bytes of scratch while it runs. May be null: none. */
    uint64_t (*scratch)(const vg_device *device, const vg_op *op, vg_dtype dtype);
    /* Makes what issuing needs (products, a plan) and frees it; *plan may stay null. Either may be
     * null: nothing is to be made. */
    vg_status (*make)(vg_exec *exec, const vg_op *op, void **plan);
    void (*release)(void *plan);
    /* The scan, forward or backward. */
    vg_status (*issue)(const vg_issue *issue, void *plan);
    /* Nodes that it adds to a graph. May be null: one. */
    uint64_t (*nodes)(const vg_op *op);
    /* "" or words for the column `algorithm`, "units=8 blocks=64 weights=shared". */
    void (*words)(const vg_device *device, const vg_op *op, vg_dtype dtype, char *out, size_t size);
};

extern const vg_scan_regime vg_scan_l, vg_scan_m, vg_scan_s, vg_scan_c;

static inline bool vg_scan_is_forward(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD;
}
static inline vg_mat vg_scan_weight(const vg_op *op)
{
    return vg_scan_is_forward(op) ? op->scan_fwd.weight_hh : op->scan_bwd.weight_hh;
}

/* What a driver calls, as vg_driver says of its members (cuda_exec.c, cuda_graph.c: run). */
uint64_t vg_cuda_extra_bytes(vg_device *device, const vg_program *program);
vg_status vg_cuda_load(vg_device *device, const vg_model *model, const vg_program *program,
                       vg_exec **out);
void vg_cuda_unload(vg_exec *exec);
vg_status vg_cuda_choice(vg_exec *exec, char *out, size_t size);
vg_status vg_cuda_write(vg_exec *exec, vg_mat to, const double *from);
vg_status vg_cuda_read(vg_exec *exec, vg_mat from, double *to);
vg_status vg_cuda_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds);
vg_status vg_cuda_slots(vg_exec *exec, vg_slot *out);

/* The exec's product of that shape; VG_UNSUPPORTED where the library has none. */
vg_status vg_exec_gemm(vg_exec *exec, const vg_gemm_shape *shape, const vg_gemm **out);
/* The largest power of two, at most 256, that divides the offsets of all the windows, and of their
 * rows, in the arena; absent windows do not count. */
uint32_t vg_exec_alignment(const vg_mat *const *mats, size_t count);

/* An op of whatever kind: nodes in a graph at most, and its issue. */
uint64_t vg_cuda_op_nodes(const vg_exec *exec, const vg_op *op);
vg_status vg_cuda_op_issue(const vg_issue *issue);

/* cuda_dense.c */
uint64_t vg_dense_scratch(const vg_op *op);
vg_status vg_dense_prepare(vg_exec *exec, const vg_op *op, vg_prepared *out);
vg_status vg_dense_issue(const vg_issue *issue);

/* cuda_signals.c: LOSS, CLIP, MEASURE, CENSUS, RESCALE */
uint64_t vg_signal_scratch(const vg_op *op);
uint64_t vg_signal_nodes(const vg_op *op);
vg_status vg_signal_issue(const vg_issue *issue);

/* cuda_scan.c: the regime of a scan, as asked for or the cheapest that fits and launches. */
vg_status vg_scan_pick(vg_device *device, const vg_op *op, vg_dtype dtype,
                       const vg_scan_regime **out);

/* scan_c.c: finds out what the chip's members about clusters say. */
vg_status vg_scan_clusters(vg_device *device);

/* cuda_scan_args.c: a scan's arguments, but for what only its regime knows. */
void vg_scan_fwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_fwd_args *out);
void vg_scan_bwd_arguments(const vg_exec *exec, const vg_op *op, vg_scan_bwd_args *out);

#endif
