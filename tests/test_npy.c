/* NPY files, byte by byte. */
#include "../bench/dump.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 4096 };

/* Writes and reads back; the size of the file. */
static size_t written(vg_dtype dtype, uint32_t axes, const uint64_t *shape, const double *values,
                      unsigned char *out)
{
    char path[] = "/tmp/vg_npy_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(vg_npy_write(path, dtype, axes, shape, values), VG_OK);
    ssize_t size = read(fd, out, MOST);
    close(fd);
    unlink(path);
    assert_true(size > 0);
    return (size_t)size;
}

static void headers_are_exact(void **state)
{
    (void)state;
    static const struct {
        vg_dtype dtype;
        uint32_t axes;
        uint64_t shape[3];
        const char *header;
        size_t element;
    } table[] = {
        {VG_FP32, 1, {3}, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 4},
        {VG_FP64, 2, {2, 3}, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,3), }", 8},
        {VG_BF16, 3, {1, 2, 2}, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,2,2), }", 4},
        {VG_U8, 2, {2, 1}, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,1), }", 1},
    };
    const double values[6] = {0, 1, 2, 3, 4, 5};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        unsigned char bytes[MOST];
        size_t size = written(table[i].dtype, table[i].axes, table[i].shape, values, bytes);
        size_t header = bytes[8] + 256u * bytes[9], text = strlen(table[i].header);
        uint64_t count = 1;
        for (uint32_t axis = 0; axis < table[i].axes; axis++)
            count *= table[i].shape[axis];
        assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
        assert_int_equal((10 + header) % 64, 0);
        assert_memory_equal(bytes + 10, table[i].header, text);
        for (size_t at = 10 + text; at < 10 + header - 1; at++)
            assert_int_equal(bytes[at], ' ');
        assert_int_equal(bytes[10 + header - 1], '\n');
        assert_int_equal(size, 10 + header + count * table[i].element);
    }
}

static void elements_are_exact(void **state)
{
    (void)state;
    const double values[] = {1.0, -2.5, 1e-45, (double)INFINITY};
    const uint64_t shape[] = {4};
    static const unsigned char narrow[] = {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0,
                                           1, 0, 0,    0,    0, 0, 0x80, 0x7f};
    unsigned char bytes[MOST];
    size_t size = written(VG_FP32, 1, shape, values, bytes);
    assert_memory_equal(bytes + size - sizeof narrow, narrow, sizeof narrow);
    size = written(VG_FP64, 1, shape, values, bytes);
    assert_memory_equal(bytes + size - sizeof values, values, sizeof values);
}

static void an_unwritable_path_is_reported(void **state)
{
    (void)state;
    const double value = 1;
    const uint64_t shape[] = {1};
    assert_int_equal(vg_npy_write("/nowhere/x.npy", VG_FP32, 1, shape, &value), VG_IO);
    assert_non_null(strstr(vg_reason(), "/nowhere/x.npy"));
    static double many[1 << 16];
    const uint64_t large[] = {1 << 16};
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(vg_npy_write("/dev/full", VG_FP64, 1, large, many), VG_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_exact),
        cmocka_unit_test(elements_are_exact),
        cmocka_unit_test(an_unwritable_path_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
