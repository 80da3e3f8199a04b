/* What this thread's arithmetic does with subnormals: read, set and restored as one word. */
#ifndef VG_DENORMALS_H
#define VG_DENORMALS_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

enum { VG_FLUSH_BITS = 0x8040 }; /* MXCSR: flush to zero, denormals are zero */

static inline uint64_t vg_denormals_word(void)
{
    return _mm_getcsr();
}
static inline void vg_denormals_restore(uint64_t word)
{
    _mm_setcsr((unsigned)word);
}
#elif defined(__aarch64__)
enum { VG_FLUSH_BITS = 1 << 24 }; /* FPCR.FZ */

static inline uint64_t vg_denormals_word(void)
{
    uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}
static inline void vg_denormals_restore(uint64_t word)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory");
}
#else
enum { VG_FLUSH_BITS = 0 };

static inline uint64_t vg_denormals_word(void)
{
    return 0;
}
static inline void vg_denormals_restore(uint64_t word)
{
    (void)word;
}
#endif

/* Returns the word before. */
static inline uint64_t vg_denormals_set(bool flush)
{
    uint64_t before = vg_denormals_word();
    vg_denormals_restore(flush ? before | VG_FLUSH_BITS : before & ~(uint64_t)VG_FLUSH_BITS);
    return before;
}

#endif
