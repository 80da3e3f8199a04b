/* What a device family is to the harness: it can be listed, opened, loaded with a program, and
 * asked to run and time sets of passes. Everything the harness knows of a device stands here. */
#ifndef VG_DEVICE_H
#define VG_DEVICE_H

#include "vg/program.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vg_device vg_device; /* an opened device; each family has its own */
typedef struct vg_exec vg_exec;     /* a program loaded on it */

/* A row of a driver's own option table: --device-option=FAMILY.NAME=VALUE. values:
 * "auto|units|batch"; the first is the default; "LEAST..MOST" among them stands for every whole
 * number in that range. */
typedef struct vg_option {
    const char *name, *values, *help;
} vg_option;

typedef struct vg_device_info {
    char name[32];        /* as the user types it: "cpu.avx512", "cuda:0", "ref" */
    char description[96]; /* "AMD EPYC ..., 2 cores" */
    char absent[160];     /* why it cannot be used here; "" = usable */
    char note[128];       /* what it has here beyond its name, or lacks, for --list; "" = nothing */
    uint32_t rank;        /* among one family's usable devices the largest is its best: "cpu";
                             all 0: not ranked, the first is what the family's name means */
    uint32_t index;       /* the driver's own */
    bool automatic;       /* taken by --device=auto (of a ranked family only the best) */
} vg_device_info;

typedef enum vg_bind { VG_BIND_CORE, VG_BIND_NONE } vg_bind;
typedef enum vg_denormals { VG_DENORMALS_KEEP, VG_DENORMALS_FLUSH } vg_denormals;

typedef struct vg_setting {
    const char *name, *value;
} vg_setting;

typedef struct vg_device_options {
    uint32_t threads; /* 0: one a physical core */
    vg_bind bind;
    vg_denormals denormals;
    const vg_setting *settings; /* of the driver's own options, values checked; null name ends */
    void (*warn)(void *context, const char *text); /* may be null */
    void *warn_context;
} vg_device_options;

/* What really applied, which may be less than was asked for. */
typedef struct vg_device_applied {
    uint32_t threads;
    vg_bind bind;
    vg_denormals denormals;
    uint32_t flushing;       /* bits 1 << vg_dtype: of cases that flush whatever is asked for */
    char implementation[64]; /* library and version: "vgbench 0.1.0", "oneDNN 2.6.3" */
} vg_device_applied;

/* What really applied to a case of that dtype. */
static inline vg_denormals vg_denormals_of(vg_denormals applied, uint32_t flushing, vg_dtype dtype)
{
    return flushing >> dtype & 1 ? VG_DENORMALS_FLUSH : applied;
}

typedef void vg_fact_fn(void *context, const char *key, const char *value);

enum { VG_MAX_LEVELS = 6 };

/* Measured on the very threads that a pass uses. NaN = not known. */
typedef struct vg_level {
    double bytes_per_s;    /* reads, all threads together */
    double capacity_bytes; /* summed over the threads used; infinite for main memory */
} vg_level;

typedef struct vg_peaks {
    double flop_per_s;
    uint32_t levels; /* smallest first; the last is main (device) memory */
    vg_level level[VG_MAX_LEVELS];
    double barrier_s;
    /* What stays in registers and the like from one step of a scan to the next, all threads or
     * multiprocessors together: weights that fit need not be read again. 0: nothing does. */
    double held_bytes;
} vg_peaks;

/* NaN = not known; energy is a running counter in joules. */
typedef struct vg_telemetry {
    double clock_mhz, power_w, energy_j, temperature_c;
    char throttle[64]; /* reasons, "" = none or not known */
} vg_telemetry;

typedef struct vg_driver {
    const char *family;       /* "cpu" "ref" "null" "cuda" "cpu.onednn" "cuda.cudnn" */
    const char *help;         /* one line for --list */
    const vg_option *options; /* its own; ends with a null name; may be null */
    bool oracle;              /* computes in double: its programs are lowered with FP64 storage */
    bool opaque;              /* a peer whose inside cannot be read: verified by norm */
    bool hollow;              /* computes nothing: never verified, `verified` says no */
    bool own_memory;          /* its arenas are not in the main memory of the machine */

    /* Fills at most `capacity` rows and always `count`; absent ones are listed with the reason. */
    vg_status (*list)(vg_device_info *out, size_t capacity, size_t *count);
    vg_status (*open)(const vg_device_info *info, const vg_device_options *options,
                      vg_device **out);
    void (*close)(vg_device *device);
    void (*applied)(vg_device *device, vg_device_applied *out);
    /* Key, value -> env.json; the key "topology.xml" carries the file of that name. */
    vg_status (*facts)(vg_device *device, vg_fact_fn *emit, void *context);
    /* VG_UNSUPPORTED, VG_NO_MEMORY: not known, which stops nobody. */
    vg_status (*peaks)(vg_device *device, vg_dtype dtype, vg_peaks *out);
    vg_status (*telemetry)(vg_device *device, vg_telemetry *out);
    /* Bytes that load would take beside the arena (packed weights, scratch). Null: none. */
    uint64_t (*extra_bytes)(vg_device *device, const vg_program *program);
    /* VG_UNSUPPORTED with the reason, VG_NO_MEMORY. The arena starts as zeros. The model and the
     * program outlive the exec. */
    vg_status (*load)(vg_device *device, const vg_model *model, const vg_program *program,
                      vg_exec **out);
    void (*unload)(vg_exec *exec);
    /* "scan=units gemm=14x32": what was chosen, for the column `algorithm`. */
    vg_status (*choice)(vg_exec *exec, char *out, size_t size);
    /* Row-major rows × cols doubles, without padding, rounded to the window's dtype (write). A bf16
     * or u8 window is read as numbers. */
    vg_status (*write)(vg_exec *exec, vg_mat to, const double *from);
    vg_status (*read)(vg_exec *exec, vg_mat from, double *to);
    /* Runs the ops of the set of passes in the program's order, `times` times over; *seconds is the
     * time of all of them, by the device's own clock. VG_UNSUPPORTED where a set cannot be run
     * alone. */
    vg_status (*run)(vg_exec *exec, unsigned passes, uint32_t times, double *seconds);
    /* All program->slot_count slots as the last runs left them. */
    vg_status (*slots)(vg_exec *exec, vg_slot *out);
} vg_driver;

#ifdef __cplusplus
}
#endif
#endif
