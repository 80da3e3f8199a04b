/* NPY 1.0: a magic number, a header in Python's notation padded to 64 bytes, then the elements in
 * little-endian order. */
#include "dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, PREFIX = 10, CHUNK = 4096 };

/* The header's text, with its padding and the newline at the end. */
static size_t header_format(vg_dtype dtype, uint32_t axes, const uint64_t *shape, char out[512])
{
    const char *descr = dtype == VG_FP64 ? "<f8" : dtype == VG_U8 ? "|u1" : "<f4";
    size_t size =
        (size_t)snprintf(out, 256, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t i = 0; i < axes; i++)
        size += (size_t)snprintf(out + size, 32, "%llu%s", (unsigned long long)shape[i],
                                 i + 1 < axes || axes == 1 ? "," : "");
    size += (size_t)snprintf(out + size, 8, "), }");
    while ((PREFIX + size + 1) % ALIGNMENT != 0)
        out[size++] = ' ';
    out[size++] = '\n';
    return size;
}

/* One element as bytes, lowest first. */
static size_t element_encode(vg_dtype dtype, double value, unsigned char *out)
{
    if (dtype == VG_U8) {
        out[0] = (unsigned char)value;
        return 1;
    }
    uint64_t bits = 0;
    size_t size = dtype == VG_FP64 ? 8 : 4;
    if (dtype == VG_FP64) {
        memcpy(&bits, &value, sizeof value);
    } else {
        float narrow = (float)value;
        uint32_t word;
        memcpy(&word, &narrow, sizeof narrow);
        bits = word;
    }
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(bits >> (8 * i));
    return size;
}

static bool elements_write(FILE *file, vg_dtype dtype, uint64_t count, const double *values)
{
    unsigned char bytes[8 * CHUNK];
    for (uint64_t at = 0; at < count;) {
        size_t size = 0;
        for (int i = 0; i < CHUNK && at < count; i++)
            size += element_encode(dtype, values[at++], bytes + size);
        if (fwrite(bytes, 1, size, file) != size)
            return false;
    }
    return true;
}

vg_status vg_npy_write(const char *path, vg_dtype dtype, uint32_t axes, const uint64_t *shape,
                       const double *values)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < axes; i++)
        count *= shape[i];
    char header[512];
    size_t size = header_format(dtype, axes, shape, header);
    const unsigned char prefix[PREFIX] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)size, (unsigned char)(size >> 8)};

    FILE *file = fopen(path, "wbe");
    if (!file)
        VG_FAIL(VG_IO, "%s: %s", path, strerror(errno));
    errno = 0;
    bool written = fwrite(prefix, 1, PREFIX, file) == PREFIX &&
                   fwrite(header, 1, size, file) == size &&
                   elements_write(file, dtype, count, values);
    int problem = errno;
    if (fclose(file) != 0 && written) {
        problem = errno;
        written = false;
    }
    if (!written)
        VG_FAIL(VG_IO, "%s: %s", path, strerror(problem));
    return VG_OK;
}

vg_status vg_dump_tensors(const vg_driver *driver, vg_exec *exec, const vg_program *program,
                          const char *folder)
{
    vg_status status = VG_OK;
    double *values = NULL;
    for (uint32_t i = 0; i < program->tensor_count && status == VG_OK; i++) {
        const vg_tensor *tensor = &program->tensors[i];
        uint64_t count = tensor->mat.rows * tensor->mat.cols;
        free(values);
        values = malloc((count ? count : 1) * sizeof *values);
        if (!values)
            VG_FAIL(VG_NO_MEMORY, "no memory to dump %s", tensor->name);
        char path[4096];
        if (snprintf(path, sizeof path, "%s/%s.npy", folder, tensor->name) >= (int)sizeof path)
            status = vg_fail(VG_IO, "%s/%s.npy: the path is too long", folder, tensor->name);
        if (status == VG_OK)
            status = driver->read(exec, tensor->mat, values);
        if (status == VG_OK)
            status = vg_npy_write(path, tensor->mat.dtype, tensor->axes, tensor->shape, values);
    }
    free(values);
    return status;
}
