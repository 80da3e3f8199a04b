/* Not instrumented by any sanitizer: a switch in the middle of an instrumented frame confuses all
 * of them. They are told instead. */
#include "fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_TSAN
extern "C" void AnnotateIgnoreWritesBegin(const char *file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char *file, int line);
#endif

enum { GUARD = 4096, STACK = 65536, SLAB = 32, GUARDED = 24576 };

/* At the beginning of its own memory; given back to the system when the host thread ends. */
struct slab {
    slab *next;
    size_t bytes;
};
struct pool {
    emu_stack *free;
    slab *slabs;
    size_t stacks;
    ~pool()
    {
        while (slabs) {
            slab *gone = slabs;
            slabs = gone->next;
            munmap(gone, gone->bytes);
        }
    }
};
static thread_local pool stacks;

/* Fresh pages, at a place of the system's choice or, not null, where others were. To
 * ThreadSanitizer no one has touched them. */
static char *map(void *at, size_t bytes)
{
#ifdef EMU_TSAN
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    void *memory = mmap(at, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1, 0);
#ifdef EMU_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
    if (memory == MAP_FAILED) {
        fprintf(stderr, "emulation: no memory for another stack after %zu\n", stacks.stacks);
        abort();
    }
    return (char *)memory;
}

#if defined(__x86_64__)
/* void emu_switch(void **save, void *to): what a call preserves goes onto the stack. */
asm(R"(
    .text
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, .-emu_switch
)");
extern "C" void emu_switch(void **save, void *to);

static void prepare(emu_stack *stack, void (*entry)(void))
{
    /* Six registers, the address that `ret` takes, and a return address of nowhere for a frame
     * that is aligned as after a call. */
    void **top = (void **)(void *)stack;
    top -= 2 + 6;
    for (int i = 0; i < 6; i++)
        top[i] = nullptr;
    top[6] = (void *)entry;
    top[7] = nullptr;
    stack->top = top;
}
#else
#include <ucontext.h>

static void emu_switch(void **save, void *to)
{
    ucontext_t here;
    *save = &here;
    swapcontext(&here, (ucontext_t *)to);
}

static void prepare(emu_stack *stack, void (*entry)(void))
{
    ucontext_t *context = (ucontext_t *)(void *)stack->bottom;
    getcontext(context);
    context->uc_stack.ss_sp = context + 1;
    context->uc_stack.ss_size = (size_t)((char *)stack - (char *)(context + 1));
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    stack->top = context;
}
#endif

static void grow(void)
{
    size_t each = GUARD + STACK, bytes = GUARD + SLAB * each;
    char *memory = map(nullptr, bytes);
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    slab *made = (slab *)(void *)memory;
    *made = slab{stacks.slabs, bytes};
    stacks.slabs = made;
    for (size_t i = SLAB; i-- > 0;) {
        char *bottom = memory + 2 * GUARD + i * each;
        /* A process may have some 65,000 mappings. */
        if (stacks.stacks < GUARDED)
            mprotect(bottom - GUARD, GUARD, PROT_NONE);
        emu_stack *stack = (emu_stack *)(void *)(bottom + STACK - 128);
        *stack = emu_stack{nullptr, bottom, STACK, nullptr, stacks.free, 0, nullptr};
        stacks.free = stack;
        stacks.stacks++;
    }
}

#ifdef EMU_TSAN
/* The accesses of whoever had this stack before are no one's. */
static void forget(emu_stack *stack)
{
    emu_stack kept = *stack;
    map(kept.bottom, kept.bytes);
    *stack = kept;
}
#endif

emu_stack *emu_stack_take(void (*entry)(void), uint64_t number, const void *launcher)
{
    static_assert(sizeof(emu_stack) <= 128, "it lies at the end of its own stack");
    if (!stacks.free)
        grow();
    emu_stack *stack = stacks.free;
    stacks.free = stack->next;
#ifdef EMU_TSAN
    if (stack->used == number || (stack->launcher && stack->launcher != launcher))
        forget(stack);
#endif
    stack->used = number;
    stack->launcher = launcher;
    stack->fake = nullptr;
    prepare(stack, entry);
    return stack;
}

void emu_stack_give(emu_stack *stack, bool abandoned)
{
#ifdef EMU_ASAN
    if (abandoned)
        __asan_unpoison_memory_region(stack->bottom, stack->bytes);
#endif
    (void)abandoned;
    stack->next = stacks.free;
    stacks.free = stack;
}

/* The host's stack has no bounds of its own in an emu_stack until it has been left once. */
void emu_stack_entered(emu_stack *from)
{
#ifdef EMU_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (!from->bytes) {
        from->bottom = (char *)bottom;
        from->bytes = bytes;
    }
#endif
    (void)from;
}

void emu_stack_switch(emu_stack *from, emu_stack *to, bool for_good)
{
#ifdef EMU_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from->fake, to->bottom, to->bytes);
#endif
    (void)for_good;
    emu_switch(&from->top, to->top);
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
#endif
}
