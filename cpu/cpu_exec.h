/* Inside the CPU devices: a loaded program, and the ops as every thread runs them. All threads call
 * each op's function with their own number; barriers inside are met by all. */
#ifndef VG_CPU_EXEC_H
#define VG_CPU_EXEC_H

#include "bf16/bf16.h"
#include "gemm.h"
#include "kernels.h"
#include "pool.h"
#include "topology.h"

#include "vg/device.h"

typedef enum vg_scan_split {
    VG_SCAN_AUTO,
    VG_SCAN_UNITS,
    VG_SCAN_BATCH,
    VG_SCAN_LAYERS,
    VG_SCAN_BESIDE
} vg_scan_split;

struct vg_device {
    const vg_kernels *kernels;
    const vg_bf16_kernels *bf16; /* null: none here */
    const char *bf16_absent;     /* why */
    vg_topology topology;
    vg_pool *pool;
    vg_device_applied applied;
    vg_scan_split scan_split;
    float *probe;        /* memory that peaks reads; null until then */
    uint64_t near_bytes; /* of the largest cache up to the second that is a core's own */
};

/* The packed recurrent weights of one layer, for one direction. */
typedef struct vg_scan_pack {
    uint64_t weight_at;
    bool backward;
    bool done, alone; /* while a schedule is made: packed, and for one thread */
    float *at;
} vg_scan_pack;

/* Layers that run as a wavefront: `lanes` at a time, each on one thread, in so many chunks of
 * steps. */
typedef struct vg_wave {
    uint32_t layers, lanes; /* layers: a multiple of lanes; 0: no wavefront */
    uint64_t chunks;
} vg_wave;

/* One op of a set of passes, in the order of the program. */
typedef struct vg_scheduled {
    const vg_op *op;
    const vg_scan_pack *pack; /* of a scan */
    bool packs;               /* first to use it in this run */
    vg_wave wave;             /* that starts at this op: two ops a layer */
    bool beside; /* this op and the next are a layer whose dense op runs beside its scan */
    bool joint;  /* this op and the next are done as one */
    bool apart;  /* the next op needs nothing of other threads' share of this one */
} vg_scheduled;

typedef struct vg_job vg_job;
typedef struct vg_scan_type vg_scan_type;

/* How signals in windows of any dtype that a program may hold are looked at and scaled. */
typedef struct vg_signals {
    double (*loss)(const vg_job *job, const vg_loss_op *op);
    /* As vg_kernels.measure and census. */
    float (*measure)(const vg_job *job, vg_mat m, vg_slot *slot);
    void (*census)(const vg_job *job, vg_mat a, vg_slot *slot);
    void (*scale_by_power)(const vg_job *job, int exponent, vg_mat x, vg_mat y);
} vg_signals;

/* The ops of programs of one storage: a dtype is a row of these. */
typedef struct vg_ops {
    vg_dtype storage;
    bool flushes; /* subnormals, whatever is asked for */
    /* In every thread, around its part of a region; null: nothing to do. */
    void (*enter)(const vg_device *device);
    void (*leave)(const vg_device *device);
    const vg_signals *signals;
    void (*dense_fwd)(const vg_job *job);
    void (*dense_bwd_data)(const vg_job *job);
    void (*dense_bwd_weights)(const vg_job *job);
    const vg_scan_type *scan;
    /* As vg_dense_apart; null: never. */
    bool (*apart)(const vg_device *device, const vg_op *op, const vg_op *next);
    /* As vg_dense_joint; null: never. */
    bool (*joint)(const vg_op *op, const vg_op *next);
    /* Floats of an op's scratch, which the threads share; not of a scan's (vg_scan_scratch). next:
     * what is done as one with it; null: nothing. */
    size_t (*scratch)(const vg_device *device, const vg_op *op, const vg_op *next);
} vg_ops;

struct vg_exec {
    vg_device *device;
    const vg_program *program;
    const vg_ops *ops;
    unsigned char *arena, *extra; /* one mapping */
    uint64_t mapped_bytes, scratch_bytes;
    vg_slot *slots;
    vg_scan_pack *packs;
    uint32_t pack_count, scheduled_count;
    vg_scheduled *scheduled; /* op_count of them */
    uint32_t times;
    bool stream_weights; /* all dweights together stay in no cache until they are read */
};

/* What an op's function is given. */
struct vg_job {
    vg_exec *exec;
    const vg_device *device;
    const vg_kernels *kernels;
    const vg_op *op;
    const vg_scheduled *scheduled;
    float *scratch; /* 64-aligned, shared by the threads */
    uint32_t thread, threads;
};

static inline void *vg_at(const vg_exec *exec, vg_mat m)
{
    return exec->arena + m.at;
}
static inline float *vg_floats(const vg_exec *exec, vg_mat m)
{
    return (float *)(void *)(exec->arena + m.at);
}
/* Null where the window is absent. */
static inline float *vg_floats_or_null(const vg_exec *exec, vg_mat m)
{
    return m.rows ? vg_floats(exec, m) : NULL;
}
static inline bool vg_same_window(vg_mat a, vg_mat b)
{
    return a.at == b.at && a.rows == b.rows && a.cols == b.cols;
}
static inline bool vg_is_scan(const vg_op *op)
{
    return op->kind == VG_SCAN_FWD || op->kind == VG_SCAN_BWD;
}
/* None for an op that one thread runs alone. */
static inline void vg_job_barrier(const vg_job *job)
{
    if (job->threads > 1)
        vg_pool_barrier(job->device->pool, job->thread);
}

/* This thread's share of n columns, in whole vectors: [*first, *last). Where they do not come out
 * even the first threads get one more: the last one's last vector may be a part, which takes longer
 * to load and store. */
static inline void vg_columns_share(uint32_t lanes, uint64_t n, uint32_t thread, uint32_t threads,
                                    size_t *first, size_t *last)
{
    uint64_t vectors = (n + lanes - 1) / lanes, whole = vectors / threads, more = vectors % threads;
    uint64_t from = whole * thread + (thread < more ? thread : more);
    uint64_t to = from + whole + (thread < more);
    *first = (size_t)(from * lanes < n ? from * lanes : n);
    *last = (size_t)(to * lanes < n ? to * lanes : n);
}

/* dense_forward.c, dense_backward.c, dense_weights.c; scratch: floats, shared by the threads. */
void vg_dense_fwd_run(const vg_job *job);
void vg_dense_bwd_data_run(const vg_job *job);
void vg_dense_bwd_weights_run(const vg_job *job);
size_t vg_dense_fwd_scratch(const vg_device *device, const vg_op *op);
size_t vg_dense_bwd_data_scratch(const vg_device *device, const vg_op *op);
size_t vg_dense_bwd_weights_scratch(const vg_device *device, const vg_op *op, const vg_op *next);
/* Whether both are gradients of weights by the same dz, best done as one: dz is then copied and
 * summed once. */
bool vg_dense_joint(const vg_op *op, const vg_op *next);
/* Whether [rows, cols] is better shared out by rows, a vector of columns being the smallest share.
 */
bool vg_share_by_rows(const vg_device *device, size_t rows, size_t cols);
/* Whether rows are so many that blocks of them are dealt out to the threads, and the weights serve
 * all. */
bool vg_deal_rows(const vg_job *job, size_t rows);
/* The next rows [*first, *last) of so many that this thread does, a block at most; false: none are
 * left (vg_pool_turn). */
bool vg_rows_deal(const vg_job *job, size_t rows, size_t block, size_t *first, size_t *last);
/* Whether a few rows, which are the lanes of vectors forward, are shared out: evenly, and a vector
 * each. */
bool vg_share_few_rows(const vg_device *device, size_t rows);

/* Whether packed weights [k, n] leave too little of the near cache for what they are multiplied
 * with, so that blocks of it are best copied in the order of their use (vg_product.strips). */
bool vg_weights_far(const vg_device *device, size_t k, size_t n);

/* Whether each thread does rows of its own, the same in every layer. */
bool vg_dense_fwd_by_few_rows(const vg_device *device, const vg_dense_fwd *d);
/* Whether no thread needs what another does in `op`, nor its scratch, for its share of `next`. */
bool vg_dense_apart(const vg_device *device, const vg_op *op, const vg_op *next);

/* scan.c, scan_plan.c: scans of all dtypes (scan.h). */
extern const vg_scan_type vg_scan_fp32, vg_scan_bf16;
void vg_scan_run(const vg_job *job);
/* Floats of the scratch and of the packed weights of a scan by so many threads. */
size_t vg_scan_scratch(const vg_device *device, const vg_ops *ops, const vg_op *op,
                       uint32_t threads);
size_t vg_scan_pack_size(const vg_device *device, const vg_ops *ops, const vg_op *op,
                         uint32_t threads);
/* Whether the device's threads share out batch rows; else units. */
bool vg_scan_by_batch(const vg_device *device, const vg_ops *ops, const vg_op *op);

/* scan_wave.c */

/* The wavefront that starts at op `index` of the program, if that is best or asked for. */
vg_wave vg_wave_find(const vg_device *device, const vg_ops *ops, const vg_program *program,
                     uint32_t index);
/* Floats of its scratch. */
size_t vg_wave_scratch(const vg_device *device, const vg_ops *ops, const vg_program *program,
                       uint32_t index, const vg_wave *wave);
/* Runs the wavefront that starts at job->scheduled; all threads end it together. */
void vg_wave_run(const vg_job *job);

/* scan_beside.c */

/* Whether ops [index, +2) are a layer whose dense product is best done beside the scan's steps, or
 * is to be. */
bool vg_beside_find(const vg_device *device, const vg_ops *ops, const vg_program *program,
                    uint32_t index);
/* Floats of its scratch. */
size_t vg_beside_scratch(const vg_device *device, const vg_ops *ops, const vg_program *program,
                         uint32_t index);
/* Runs the layer that starts at job->scheduled. */
void vg_beside_run(const vg_job *job);

/* signals.c */
extern const vg_signals vg_signals_fp32;
size_t vg_clip_scratch(const vg_op *op);
void vg_loss_run(const vg_job *job);
void vg_clip_run(const vg_job *job);
void vg_measure_run(const vg_job *job);
void vg_census_run(const vg_job *job);
void vg_rescale_run(const vg_job *job);

/* cpu_memory.c: bytes of zeros, in huge pages where the system has them. VG_NO_MEMORY: more than is
 * free. */
vg_status vg_memory_map(uint64_t bytes, unsigned char **out);
void vg_memory_unmap(unsigned char *at, uint64_t bytes);

/* cpu_load.c */
uint64_t vg_exec_extra_bytes(vg_device *device, const vg_program *program);
vg_status vg_exec_load(vg_device *device, const vg_model *model, const vg_program *program,
                       vg_exec **out);
void vg_exec_unload(vg_exec *exec);
/* The packed weights of a scan; null: none have a place yet. */
vg_scan_pack *vg_scan_pack_find(const vg_exec *exec, const vg_op *op);

/* cpu_exec.c */
vg_status vg_exec_choice(vg_exec *exec, char *out, size_t size);
vg_status vg_exec_write(vg_exec *exec, vg_mat to, const double *from);
vg_status vg_exec_read(vg_exec *exec, vg_mat from, double *to);
vg_status vg_exec_run(vg_exec *exec, unsigned passes, uint32_t times, double *seconds);
vg_status vg_exec_slots(vg_exec *exec, vg_slot *out);

/* cpu_peaks.c, cpu_facts.c */
vg_status vg_cpu_peaks(vg_device *device, vg_dtype dtype, vg_peaks *out);
vg_status vg_cpu_telemetry(vg_device *device, vg_telemetry *out);
vg_status vg_cpu_facts(vg_device *device, vg_fact_fn *emit, void *context);

#endif
