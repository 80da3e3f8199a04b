/* The tensor cores' words of mma.cuh on the emulated GPU (mma.cc). */
#ifndef VG_MMA_EMULATED_CUH
#define VG_MMA_EMULATED_CUH

void emu_mma(emu_kind kind, float *c, const uint32_t *a, const uint32_t *b, emu_site site);

VG_DEVICE void mma_tf32(float (&c)[4], const uint32_t *a, const uint32_t *b, EMU_SITE)
{
    emu_mma(EMU_MMA_TF32, c, a, b, EMU_HERE);
}
VG_DEVICE void mma_bf16(float (&c)[4], const uint32_t *a, const uint32_t *b, EMU_SITE)
{
    emu_mma(EMU_MMA_BF16, c, a, b, EMU_HERE);
}

#endif
