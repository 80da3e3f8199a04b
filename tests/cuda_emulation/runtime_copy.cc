/* Copies and fills. Asynchronous copies want pinned memory on the host's side and say which way
 * they go, as the host code's rules have it. */
#include "runtime.h"

#include <cstring>

namespace
{

/* height rows of width bytes, pitch bytes apart. */
struct rows {
    size_t pitch, width, height;
    size_t span() const
    {
        return height ? (height - 1) * pitch + width : 0;
    }
};

struct copy {
    unsigned char *to;
    const unsigned char *from;
    rows to_rows, from_rows;
};

void move(const copy &c)
{
    for (size_t y = 0; y < c.to_rows.height; y++)
        memcpy(c.to + y * c.to_rows.pitch, c.from + y * c.from_rows.pitch, c.to_rows.width);
}

enum { MAX_PITCH = 0x7fffffff };

/* One side of a copy: device memory that is there, or host memory. */
cudaError_t check_side(const emu::call &from, const void *at, size_t bytes, bool on_device,
                       bool asynchronous)
{
    if (on_device)
        return emu_is_device_memory(at, bytes) ? cudaSuccess : cudaErrorInvalidValue;
    if (emu_is_device_memory(at, 1))
        return cudaErrorInvalidValue;
    if (asynchronous && !emu::is_pinned(at, bytes))
        emu_report("%s: %zu bytes at %p are no pinned memory", from.name, bytes, at);
    return cudaSuccess;
}

cudaError_t check(const emu::call &from, const copy &c, cudaMemcpyKind kind, bool asynchronous)
{
    if (kind == cudaMemcpyDefault)
        emu_report("%s: cudaMemcpyDefault: say which way it goes", from.name);
    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost &&
        kind != cudaMemcpyDeviceToDevice)
        return cudaErrorInvalidMemcpyDirection;
    if (c.to_rows.width > c.to_rows.pitch || c.to_rows.width > c.from_rows.pitch)
        return cudaErrorInvalidPitchValue;
    size_t to_span = c.to_rows.span(), from_span = c.from_rows.span();
    if (!to_span)
        return cudaSuccess;
    cudaError_t error =
        check_side(from, c.to, to_span, kind != cudaMemcpyDeviceToHost, asynchronous);
    if (!error)
        error = check_side(from, c.from, from_span, kind != cudaMemcpyHostToDevice, asynchronous);
    if (!error && c.to_rows.height == 1 && c.to < c.from + from_span && c.from < c.to + to_span)
        emu_report("%s: %zu bytes from %p to %p overlap", from.name, to_span, (const void *)c.from,
                   (void *)c.to);
    return error;
}

cudaError_t copy_in_stream(emu::call &from, const copy &c, cudaMemcpyKind kind, cudaStream_t stream)
{
    cudaError_t error = check(from, c, kind, true);
    if (error)
        return error;
    std::vector<emu::area> fills;
    if (kind == cudaMemcpyDeviceToHost && c.to_rows.height == 1)
        fills.push_back({c.to, c.to_rows.width});
    return emu::issue(
        stream, from, [c] { move(c); }, std::move(fills));
}

} // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    EMU_CALL(cudaErrorInvalidValue, emu::MAY_BE_LATE);
    rows line = {bytes, bytes, bytes ? (size_t)1 : 0};
    copy c = {(unsigned char *)to, (const unsigned char *)from, line, line};
    return call_.done(copy_in_stream(call_, c, kind, stream));
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream)
{
    EMU_CALL(cudaErrorInvalidValue, emu::MAY_BE_LATE);
    if (to_pitch > MAX_PITCH || from_pitch > MAX_PITCH)
        return call_.done(cudaErrorInvalidPitchValue);
    if (!width)
        height = 0;
    copy c = {(unsigned char *)to,
              (const unsigned char *)from,
              {to_pitch, width, height},
              {from_pitch, width, height}};
    return call_.done(copy_in_stream(call_, c, kind, stream));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    EMU_CALL(cudaErrorIllegalAddress, emu::UNSAFE);
    rows line = {bytes, bytes, bytes ? (size_t)1 : 0};
    copy c = {(unsigned char *)to, (const unsigned char *)from, line, line};
    cudaError_t error = check(call_, c, kind, false);
    if (!error)
        error = emu::issue(nullptr, call_, [c] { move(c); });
    if (!error)
        emu::finish(emu::stream_of(nullptr, call_.name));
    return call_.done(error);
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream)
{
    EMU_CALL(cudaErrorInvalidValue, emu::MAY_BE_LATE);
    if (bytes && !emu_is_device_memory(at, bytes))
        return call_.done(cudaErrorInvalidValue);
    return call_.done(emu::issue(stream, call_, [at, value, bytes] { memset(at, value, bytes); }));
}

} /* extern "C" */
