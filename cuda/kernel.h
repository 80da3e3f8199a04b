/* A kernel as the host knows it, and a window of device memory as a kernel knows it. Plain C. */
#ifndef VG_CUDA_KERNEL_H
#define VG_CUDA_KERNEL_H

#include <stdint.h>

/* function: what cudaLaunchKernelExC takes; threads: the most in a block. */
typedef struct vg_kernel {
    const void *function;
    const char *name;
    uint32_t threads;
} vg_kernel;

/* Rows of numbers in device memory; ld in elements; `at` null: absent. The type of the elements is
 * the kernel's. Rows begin on 64 bytes unless a window is columns of a larger one. */
typedef struct vg_window {
    void *at;
    uint64_t rows;
    uint32_t cols, ld;
} vg_window;

#endif
