/* What the emulation objects to: printed with every waiting thread's place, then the end, or the
 * end of emu_expect(). */
#include "grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPORT = 16384 };

struct text {
    char *at;
    size_t size, used;
};

struct expectation {
    jmp_buf back;
    char *report;
    size_t size;
    void *identity; /* who expects it: a report may come from a stream */
};
static __thread expectation *expected;

static void add_list(text *to, const char *format, va_list list)
{
    if (to->used >= to->size)
        return;
    int wrote = vsnprintf(to->at + to->used, to->size - to->used, format, list);
    if (wrote > 0)
        to->used += (size_t)wrote;
}

static void __attribute__((format(printf, 2, 3))) add(text *to, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(to, format, list);
    va_end(list);
}

static bool same_wait(const emu_thread *a, const emu_thread *b)
{
    return b->state == EMU_WAITS && a->what == b->what && a->site.line == b->site.line &&
           a->site.file == b->site.file && a->word == b->word;
}

/* Threads side by side that wait for the same are one line. */
static void add_waiting(text *to, const emu_grid *grid)
{
    for (uint32_t b = 0; b < grid->cluster_count * grid->cluster_blocks; b++) {
        const emu_block *block = &grid->blocks[b];
        for (uint32_t i = 0, end; i < block->count; i = end) {
            const emu_thread *thread = &block->threads[i];
            for (end = i + 1; end < block->count && thread->state == EMU_WAITS &&
                              same_wait(thread, &block->threads[end]);)
                end++;
            if (thread->state != EMU_WAITS)
                continue;
            add(to, "\n  block %u thread %u", block->index, i);
            if (end > i + 1)
                add(to, "..%u", end - 1);
            add(to, " waits: %s at %s:%d", thread->what, thread->site.file, thread->site.line);
            if (thread->word)
                add(to, " (%u, wants %u)", *thread->word, thread->least);
        }
    }
}

[[noreturn]] static void finish(text *report)
{
    emu_grid *grid = emu_now;
    if (!expected) {
        fprintf(stderr, "emulation: %s\n", report->at);
        fflush(stderr);
        abort();
    }
    if (expected->size)
        snprintf(expected->report, expected->size, "%s", report->at);
    emu_unwatched(false);
    if (grid && grid->self)
        emu_abandon(grid);
    if (grid)
        emu_drop(grid);
    emu_expect_end();
}

[[noreturn]] void emu_expect_end(void)
{
    expectation *back = expected;
    expected = nullptr;
    emu_identity_join(emu_identity_now(), back->identity);
    longjmp(back->back, 1);
}

[[noreturn]] void emu_report(const char *format, ...)
{
    static __thread char memory[REPORT];
    text report = {memory, sizeof memory, 0};
    emu_unwatched(true);
    va_list list;
    va_start(list, format);
    add_list(&report, format, list);
    va_end(list);
    finish(&report);
}

[[noreturn]] void emu_report_at(emu_grid *grid, const emu_thread *thread, emu_site site,
                                const char *format, ...)
{
    static __thread char memory[REPORT];
    text report = {memory, sizeof memory, 0};
    emu_unwatched(true);
    add(&report, "%s: ", grid->launch.kernel->name);
    va_list list;
    va_start(list, format);
    add_list(&report, format, list);
    va_end(list);
    if (thread)
        add(&report, "\n  block %u thread %u", thread->block->index, thread->position.thread);
    if (site.file)
        add(&report, " at %s:%d", site.file, site.line);
    add_waiting(&report, grid);
    finish(&report);
}

bool emu_expect(void (*body)(void *context), void *context, char *report, size_t size)
{
    expectation mine;
    mine.report = report;
    mine.size = size;
    if (size)
        report[0] = '\0';
    mine.identity = emu_identity_now();
    if (setjmp(mine.back))
        return true;
    expected = &mine;
    body(context);
    expected = nullptr;
    return false;
}
