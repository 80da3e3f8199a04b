/* Stacks and the switch between them. One stack belongs to one host thread. */
#ifndef VG_EMULATION_FIBER_H
#define VG_EMULATION_FIBER_H

#include <stddef.h>
#include <stdint.h>

struct emu_stack {
    void *top;    /* saved stack pointer while it does not run */
    char *bottom; /* lowest byte; below it a page that no one may touch */
    size_t bytes; /* 0: the host's own, whose bounds the first switch away from it learns */
    void *fake;   /* AddressSanitizer's frames of this stack */
    emu_stack *next;
    uint64_t used;        /* the last emu_stack_take() with that number */
    const void *launcher; /* and that launcher */
};

/* A stack that will run entry() when it is first switched to; entry() never returns. `number`,
 * `launcher`: of the launch and its stream; where ThreadSanitizer watches, a stack given back under
 * the same number or by another stream's launch, which may run at the same time, is forgotten by
 * it.
 */
emu_stack *emu_stack_take(void (*entry)(void), uint64_t number, const void *launcher);
/* Returns it to the pool, where it may still run until it switches away for good. `abandoned`: it
 * has frames that never return. */
void emu_stack_give(emu_stack *stack, bool abandoned);
/* Leaves `from` (until someone switches back to it, or for good) and goes on with `to`. */
void emu_stack_switch(emu_stack *from, emu_stack *to, bool for_good);
/* To be called first in entry(). `from`: where the switch came from. */
void emu_stack_entered(emu_stack *from);

#endif
