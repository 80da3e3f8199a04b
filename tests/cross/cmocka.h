/* As much of cmocka's interface as the tests use, for cross builds where cmocka itself is not to be
 * had. A failed assertion ends its test, and the program goes on with the next. */
#ifndef VG_TESTS_CROSS_CMOCKA_H
#define VG_TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
};

enum { CROSS_FAILED = 1, CROSS_SKIPPED = 2 };
static jmp_buf cross_end;

static inline void cross_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4), unused));
static inline void cross_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("[  ERROR   ] --- %s:%d: ", file, line);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    longjmp(cross_end, CROSS_FAILED);
}

static inline void cross_equal(const char *file, int line, intmax_t a, intmax_t b, int equal)
{
    if ((a == b) != equal)
        cross_fail(file, line, "%jd %s %jd", a, equal ? "!=" : "==", b);
}

static inline void cross_bytes(const char *file, int line, const void *a, const void *b, size_t n,
                               int equal)
{
    if ((memcmp(a, b, n) == 0) != equal)
        cross_fail(file, line, "%zu bytes %s", n, equal ? "differ" : "are the same");
}

static inline void cross_text(const char *file, int line, const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        cross_fail(file, line, "\"%s\" != \"%s\"", a, b);
}

#define fail_msg(...)      cross_fail(__FILE__, __LINE__, __VA_ARGS__)
#define fail()             fail_msg("failed")
#define skip()             longjmp(cross_end, CROSS_SKIPPED)
#define print_message(...) printf(__VA_ARGS__)

#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            fail_msg("%s", #c);                                                                    \
    } while (0)
#define assert_false(c)            assert_true(!(c))
#define assert_null(p)             assert_true((p) == NULL)
#define assert_non_null(p)         assert_true((p) != NULL)
#define assert_ptr_equal(a, b)     assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)     cross_equal(__FILE__, __LINE__, (intmax_t)(a), (intmax_t)(b), 1)
#define assert_int_not_equal(a, b) cross_equal(__FILE__, __LINE__, (intmax_t)(a), (intmax_t)(b), 0)
#define assert_in_range(v, low, high)                                                              \
    assert_true((uintmax_t)(v) >= (uintmax_t)(low) && (uintmax_t)(v) <= (uintmax_t)(high))
#define assert_string_equal(a, b)        cross_text(__FILE__, __LINE__, a, b)
#define assert_memory_equal(a, b, n)     cross_bytes(__FILE__, __LINE__, a, b, n, 1)
#define assert_memory_not_equal(a, b, n) cross_bytes(__FILE__, __LINE__, a, b, n, 0)

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL                                                                          \
    }
#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                        \
    {                                                                                              \
#f, f, setup, teardown                                                                     \
    }

static inline int cross_run_one(const struct CMUnitTest *test, void **state)
{
    volatile int how = setjmp(cross_end);
    if (how == 0 && test->setup && test->setup(state))
        return CROSS_FAILED;
    if (how == 0)
        test->run(state);
    if (test->teardown && test->teardown(state))
        how = CROSS_FAILED;
    return how;
}

static inline int cross_run(const struct CMUnitTest *tests, size_t count,
                            int (*setup)(void **state), int (*teardown)(void **state))
{
    static const char *const word[] = {"      OK", "  FAILED", " SKIPPED"};
    void *state = NULL;
    size_t ended[3] = {0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (setup && setup(&state))
        return 1;
    for (size_t i = 0; i < count; i++) {
        printf("[ RUN      ] %s\n", tests[i].name);
        int how = cross_run_one(tests + i, &state);
        printf("[%s  ] %s\n", word[how], tests[i].name);
        ended[how]++;
    }
    if (teardown && teardown(&state))
        ended[CROSS_FAILED]++;
    printf("[  PASSED  ] %zu test(s).\n", ended[0]);
    if (ended[CROSS_FAILED])
        printf("[  FAILED  ] %zu test(s).\n", ended[CROSS_FAILED]);
    if (ended[CROSS_SKIPPED])
        printf("[  SKIPPED ] %zu test(s).\n", ended[CROSS_SKIPPED]);
    return (int)ended[CROSS_FAILED];
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cross_run(tests, sizeof(tests) / sizeof(tests)[0], setup, teardown)

#endif
