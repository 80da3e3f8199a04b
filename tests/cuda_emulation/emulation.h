/* What tests ask of the emulated CUDA machine (device.cuh, the runtime, cuBLASLt). Settings hold
 * for the calling process; the environment variable VG_EMULATION ("policy=random,seed=7,fail=12")
 * sets the same before the first call, for whole programs. */
#ifndef VG_EMULATION_H
#define VG_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which runnable fiber goes next: first in, drawn by the seed, last in, or blocks that run far
 * ahead of others, drawn by the seed. */
typedef enum emu_policy { EMU_FIFO, EMU_RANDOM, EMU_LIFO, EMU_SKEWED, EMU_POLICY_COUNT } emu_policy;

/* What products may do where the library's documentation is silent. */
enum { EMU_TF32_TRUNCATES = 1, EMU_FLUSHES_SUBNORMALS = 2, EMU_RELU_DROPS_NAN = 4 };

typedef struct emu_settings {
    emu_policy policy;        /* policy=fifo|random|lifo|skewed */
    uint64_t seed;            /* seed=N */
    uint32_t devices;         /* devices=N: how many there are; default 1 */
    uint32_t multiprocessors; /* sms=N: 4 by default */
    uint32_t major, minor;    /* cc=90 */
    uint32_t ptx;             /* ptx=80: what the kernels were compiled from; 0: the device's own */
    size_t shared_bytes;      /* shared=BYTES: the most a block may have, 232448 by default */
    size_t memory_bytes;      /* memory=BYTES: of the device, 1 GiB by default */
    uint64_t fail_at;         /* fail=N: the N-th call of any API from now on fails; 0: none */
    int fail_with;            /* with=ERROR: the cudaError_t or, for a library, its nearest status;
                                 0: what that call would most likely give; with odd seeds what
                                 does work on the device fails as it, later */
    uint64_t lose_at;         /* lose=N: the device is lost at the N-th call */
    int driver_version;       /* driver=13000; 0: no driver */
    bool plain_library;       /* plain=1: cuBLASLt has no epilogue algorithms */
    uint32_t quirks;          /* quirks=N: of the above */
    bool no_products;         /* noproducts=1: cuBLASLt is not installed */
    bool no_nvml;             /* nonvml=1: NVML is not installed */
    bool occupied; /* occupied=1: of no kernel a block or cluster is said to be resident */
} emu_settings;

/* The defaults, with what VG_EMULATION says. */
emu_settings emu_defaults(void);
/* Starts afresh: a new device, no memory, no error, call numbers from 1. Everything made before
 * must have been destroyed: what leaks is reported and fails (returns how many things leaked). */
size_t emu_reset(const emu_settings *settings);
/* Calls of any API since the reset. */
uint64_t emu_calls(void);
/* Bytes: what the last product to be issued was promised of every operand's address. */
uint32_t emu_product_alignment(void);
/* The `calls`-th call from now on fails, as fail_at says; 0: none. Only that call, and the seed,
 * change: a device that is open stays so. */
void emu_fail_after(uint64_t calls, uint64_t seed);

/* What the emulation objects to (a race with the host, a barrier not met by all, a deadlock, a read
 * of poison, a wrong launch ...) is printed with the threads' places and, unless a test expects it,
 * aborts. A test of the emulation itself catches the first report of a call. */
bool emu_expect(void (*body)(void *context), void *context, char *report, size_t size);

#ifdef __cplusplus
}
#endif
#endif
