/* The vocabulary of device.cuh as nvcc compiles it. */
#ifndef VG_DEVICE_PTX_CUH
#define VG_DEVICE_PTX_CUH

#define VG_KERNEL(name, threads, args)                                                             \
    __global__ void __launch_bounds__(threads) name(const __grid_constant__ args p)
#define VG_KERNEL_ALONE(name, threads, args)                                                       \
    __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ args p)
#define VG_KERNEL_ENTRY(name, threads, args)                                                       \
    (vg_kernel{(const void *)(void (*)(const args))(name), #name, (threads)})
#define VG_DEVICE   static __device__ __forceinline__
#define VG_CONSTANT static __constant__
#define VG_UNROLL   _Pragma("unroll")

#define VG_SHARED(type, name, count) __shared__ type name[count]
#define VG_DYNAMIC_SHARED(name)                                                                    \
    extern __shared__ __align__(128) unsigned char vg_dynamic_shared[];                            \
    unsigned char *name = vg_dynamic_shared

VG_DEVICE uint32_t thread_index(void)
{
    return threadIdx.x;
}
VG_DEVICE uint32_t block_threads(void)
{
    return blockDim.x;
}
VG_DEVICE uint32_t block_index(void)
{
    return blockIdx.x;
}
VG_DEVICE uint32_t block_count(void)
{
    return gridDim.x;
}
VG_DEVICE uint32_t lane_index(void)
{
    return threadIdx.x % 32;
}
VG_DEVICE uint32_t warp_index(void)
{
    return threadIdx.x / 32;
}

VG_DEVICE void sync_block(void)
{
    __syncthreads();
}
VG_DEVICE void sync_named(uint32_t barrier, uint32_t threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
VG_DEVICE void sync_warp(uint32_t mask)
{
    __syncwarp(mask);
}
template <typename T> VG_DEVICE T shuffle(uint32_t mask, T value, uint32_t lane)
{
    return __shfl_sync(mask, value, (int)lane);
}
template <typename T> VG_DEVICE T shuffle_xor(uint32_t mask, T value, uint32_t bits)
{
    return __shfl_xor_sync(mask, value, (int)bits);
}
template <typename T> VG_DEVICE T shuffle_down(uint32_t mask, T value, uint32_t delta)
{
    return __shfl_down_sync(mask, value, delta);
}
VG_DEVICE uint32_t ballot(uint32_t mask, bool vote)
{
    return __ballot_sync(mask, vote);
}

VG_DEVICE void store_release(uint32_t *at, uint32_t value)
{
    asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(at), "r"(value) : "memory");
}
VG_DEVICE uint32_t load_acquire(const uint32_t *at)
{
    uint32_t value;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
    return value;
}
VG_DEVICE void add_release(uint32_t *at, uint32_t value)
{
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(at)),
                 "r"(value)
                 : "memory");
}
VG_DEVICE uint32_t add_acq_rel(uint32_t *at, uint32_t value)
{
    uint32_t before;
    asm volatile("atom.acq_rel.gpu.add.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(at), "r"(value)
                 : "memory");
    return before;
}
VG_DEVICE void wait_at_least(const uint32_t *at, uint32_t value)
{
    while (load_acquire(at) < value) {
    }
}

VG_DEVICE uint32_t shared_address(const void *own)
{
    return (uint32_t)__cvta_generic_to_shared(own);
}

/* Clusters and mbarriers came with sm_90; a kernel that needs them is never launched on less. */
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define VG_CLUSTER_BODY(...) __VA_ARGS__
#else
#define VG_CLUSTER_BODY(...)
#endif

VG_DEVICE uint32_t cluster_rank(void)
{
    uint32_t rank = 0;
    VG_CLUSTER_BODY(asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));)
    return rank;
}
VG_DEVICE uint32_t cluster_blocks(void)
{
    uint32_t blocks = 1;
    VG_CLUSTER_BODY(asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));)
    return blocks;
}
VG_DEVICE void cluster_arrive(void)
{
    VG_CLUSTER_BODY(asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");)
}
VG_DEVICE void cluster_wait(void)
{
    VG_CLUSTER_BODY(asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");)
}
VG_DEVICE void sync_cluster(void)
{
    cluster_arrive();
    cluster_wait();
}
/* The address of `own`'s twin in the block `rank`, as shared::cluster instructions take it. */
VG_DEVICE uint32_t remote_address(const void *own, uint32_t rank)
{
    uint32_t address = shared_address(own);
    VG_CLUSTER_BODY(asm volatile("mapa.shared::cluster.u32 %0, %0, %1;"
                                 : "+r"(address)
                                 : "r"(rank));)
    (void)rank;
    return address;
}
VG_DEVICE void remote_store(float *own, uint32_t rank, float value)
{
    uint32_t at = remote_address(own, rank);
    VG_CLUSTER_BODY(asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(at), "f"(value)
                                 : "memory");)
    (void)at;
    (void)value;
}
VG_DEVICE float remote_load(const float *own, uint32_t rank)
{
    uint32_t at = remote_address(own, rank);
    float value = 0;
    VG_CLUSTER_BODY(asm volatile("ld.shared::cluster.f32 %0, [%1];"
                                 : "=f"(value)
                                 : "r"(at)
                                 : "memory");)
    (void)at;
    return value;
}
VG_DEVICE void mbar_init(uint64_t *bar, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(arrivals)
                 : "memory");
}
VG_DEVICE void mbar_init_fence(void)
{
    VG_CLUSTER_BODY(asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");)
}
VG_DEVICE void mbar_arrive(uint64_t *bar)
{
    VG_CLUSTER_BODY(asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(
                                     shared_address(bar))
                                 : "memory");)
    (void)bar;
}
VG_DEVICE void mbar_arrive_remote(uint64_t *own, uint32_t rank)
{
    uint32_t at = remote_address(own, rank);
    VG_CLUSTER_BODY(
        asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(at)
                     : "memory");)
    (void)at;
}
VG_DEVICE void mbar_arrive_expect(uint64_t *bar, uint32_t bytes)
{
    VG_CLUSTER_BODY(
        asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                         shared_address(bar)),
                     "r"(bytes)
                     : "memory");)
    (void)bar;
    (void)bytes;
}
VG_DEVICE void mbar_wait(uint64_t *bar, uint32_t parity)
{
    VG_CLUSTER_BODY(
        uint32_t at = shared_address(bar); uint32_t done = 0;
        while (!done) asm volatile("{\n .reg .pred q;\n"
                                   " mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 q, "
                                   "[%1], %2;\n selp.u32 %0, 1, 0, q;\n}"
                                   : "=r"(done)
                                   : "r"(at), "r"(parity)
                                   : "memory");)
    (void)bar;
    (void)parity;
}
template <int n>
VG_DEVICE void remote_store_async(float *own, uint64_t *own_bar, uint32_t rank, const float *values)
{
    static_assert(n == 1 || n == 2 || n == 4, "4, 8 or 16 bytes");
    uint32_t at = remote_address(own, rank), bar = remote_address(own_bar, rank);
#define VG_STORE_ASYNC "st.async.shared::cluster.mbarrier::complete_tx::bytes"
    if constexpr (n == 1) {
        VG_CLUSTER_BODY(
            asm volatile(VG_STORE_ASYNC ".f32 [%0], %1, [%2];" ::"r"(at), "f"(values[0]), "r"(bar)
                         : "memory");)
    } else if constexpr (n == 2) {
        VG_CLUSTER_BODY(asm volatile(VG_STORE_ASYNC ".v2.f32 [%0], {%1, %2}, [%3];" ::"r"(at),
                                     "f"(values[0]), "f"(values[1]), "r"(bar)
                                     : "memory");)
    } else {
        VG_CLUSTER_BODY(
            asm volatile(VG_STORE_ASYNC ".v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(at),
                         "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]), "r"(bar)
                         : "memory");)
    }
#undef VG_STORE_ASYNC
    (void)at;
    (void)bar;
    (void)values;
}

VG_DEVICE void copy_async(void *shared, const void *global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global))
                 : "memory");
}
VG_DEVICE void copy_async_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int groups> VG_DEVICE void copy_async_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

VG_DEVICE int32_t float_bits(float x)
{
    return __float_as_int(x);
}
VG_DEVICE float bits_float(int32_t x)
{
    return __int_as_float(x);
}
VG_DEVICE float round_tf32(float x)
{
    uint32_t rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return __uint_as_float(rounded);
}
VG_DEVICE float round_once(double x)
{
    return __double2float_rn(x);
}

#endif
