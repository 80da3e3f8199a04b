/* Frames between the supervisor and its workers: encoding, decoding, and every check. */
#include "wire.h"

#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct frame_header {
    uint32_t magic, type, length; /* of body and tail together */
    uint32_t reserved;            /* 0 */
} frame_header;

static const struct {
    size_t size;
    bool text;
} shapes[VG_FRAME_COUNT] = {
#define SHAPE(id, member, type, text) [id] = {sizeof(type), text},
#define BARE(id, text)                [id] = {0, text},
    VG_FRAMES_WITH_BODY(SHAPE) VG_FRAMES_BARE(BARE)
#undef SHAPE
#undef BARE
};

/* A field of a body that not every bit pattern may stand in: a text of `size` bytes, or (size 0) a
 * number below `limit`. */
typedef struct field_rule {
    vg_frame_type type;
    size_t offset, size;
    uint32_t limit;
} field_rule;

#define TEXT(id, struct_type, member)                                                              \
    {                                                                                              \
        id, offsetof(struct_type, member), sizeof(((struct_type *)0)->member), 0                   \
    }
#define BELOW(id, struct_type, member, limit)                                                      \
    {                                                                                              \
        id, offsetof(struct_type, member), 0, (uint32_t)(limit)                                    \
    }

static const field_rule rules[] = {
    TEXT(VG_FRAME_OPEN, vg_wire_open, family),
    TEXT(VG_FRAME_OPEN, vg_wire_open, name),
    TEXT(VG_FRAME_OPEN, vg_wire_open, description),
    BELOW(VG_FRAME_OPEN, vg_wire_open, bind, VG_BIND_NONE + 1),
    BELOW(VG_FRAME_OPEN, vg_wire_open, denormals, VG_DENORMALS_FLUSH + 1),
    BELOW(VG_FRAME_APPLIED, vg_wire_applied, bind, VG_BIND_NONE + 1),
    BELOW(VG_FRAME_APPLIED, vg_wire_applied, denormals, VG_DENORMALS_FLUSH + 1),
    BELOW(VG_FRAME_APPLIED, vg_wire_applied, flushing, 1u << VG_DTYPE_COUNT),
    TEXT(VG_FRAME_APPLIED, vg_wire_applied, implementation),
    TEXT(VG_FRAME_CASE, vg_wire_case, name),
    BELOW(VG_FRAME_CASE, vg_wire_case, probe, 2),
    BELOW(VG_FRAME_CASE, vg_wire_case, exact, 2),
    BELOW(VG_FRAME_CASE, vg_wire_case, known_count, VG_WIRE_KNOWN + 1),
    BELOW(VG_FRAME_CASE, vg_wire_case, may_differ, 2),
    BELOW(VG_FRAME_CASE, vg_wire_case, verify, VG_VERIFY_OFF + 1),
    BELOW(VG_FRAME_CASE, vg_wire_case, timed, 1u << VG_TIMED_COUNT),
    TEXT(VG_FRAME_FOUND, vg_wire_found, family),
    TEXT(VG_FRAME_FOUND, vg_wire_found, name),
    TEXT(VG_FRAME_FOUND, vg_wire_found, description),
    TEXT(VG_FRAME_FOUND, vg_wire_found, note),
    BELOW(VG_FRAME_FOUND, vg_wire_found, automatic, 2),
    TEXT(VG_FRAME_FACT, vg_wire_fact, key),
    BELOW(VG_FRAME_SIZE, vg_wire_size, host, 2),
    TEXT(VG_FRAME_LOADED, vg_wire_loaded, algorithm),
    BELOW(VG_FRAME_VERDICT, vg_wire_verdict, verified, VG_VERIFIED_FULL + 1),
    BELOW(VG_FRAME_VERDICT, vg_wire_verdict, is_known, 2),
    BELOW(VG_FRAME_TIMED, vg_wire_timed, timed, VG_TIMED_COUNT),
    BELOW(VG_FRAME_TIMED, vg_wire_timed, status, VG_STATUS_COUNT),
    BELOW(VG_FRAME_TIMED, vg_wire_timed, disturbed, 2),
    BELOW(VG_FRAME_TIMED, vg_wire_timed, attempts, VG_WIRE_ATTEMPTS + 1),
    TEXT(VG_FRAME_TIMED, vg_wire_timed, throttle),
    TEXT(VG_FRAME_GRADIENT, vg_wire_gradient, tensor),
    BELOW(VG_FRAME_GRADIENT, vg_wire_gradient, has_step, 2),
    BELOW(VG_FRAME_DECAY, vg_decay, direction, VG_TIME + 1),
    BELOW(VG_FRAME_DECAY, vg_decay, verdict, VG_VERDICT_COUNT),
    BELOW(VG_FRAME_DONE, vg_wire_done, status, VG_STATUS_COUNT),
    TEXT(VG_FRAME_DONE, vg_wire_done, reason),
};

static vg_status body_check(uint32_t type, const unsigned char *body)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const field_rule *rule = &rules[i];
        if ((uint32_t)rule->type != type)
            continue;
        if (rule->size > 0) {
            if (!memchr(body + rule->offset, 0, rule->size))
                VG_FAIL(VG_INVALID, "frame of type %u: a text without an end", type);
            continue;
        }
        uint32_t value;
        memcpy(&value, body + rule->offset, sizeof value);
        if (value >= rule->limit)
            VG_FAIL(VG_INVALID, "frame of type %u: %u where less than %u was expected", type, value,
                    rule->limit);
    }
    return VG_OK;
}

static vg_status header_check(const frame_header *header)
{
    if (header->magic != VG_WIRE_MAGIC || header->reserved != 0)
        VG_FAIL(VG_INVALID, "no frame begins with %08x", header->magic);
    if (header->type >= VG_FRAME_COUNT)
        VG_FAIL(VG_INVALID, "no frame has the type %u", header->type);
    size_t size = shapes[header->type].size;
    size_t most = size + (shapes[header->type].text ? VG_WIRE_TAIL_MAX : 0);
    if (header->length < size || header->length > most)
        VG_FAIL(VG_INVALID, "frame of type %u: %u bytes, expected %zu..%zu", header->type,
                header->length, size, most);
    return VG_OK;
}

vg_status vg_frame_decode(const void *bytes, size_t size, size_t *used, vg_frame *out)
{
    *used = 0;
    frame_header header;
    if (size < sizeof header)
        return VG_OK;
    memcpy(&header, bytes, sizeof header);
    VG_TRY(header_check(&header));
    if (size - sizeof header < header.length)
        return VG_OK;

    const unsigned char *body = (const unsigned char *)bytes + sizeof header;
    size_t body_size = shapes[header.type].size, tail_size = header.length - body_size;
    VG_TRY(body_check(header.type, body));
    if (tail_size > 0 && body[header.length - 1] != 0)
        VG_FAIL(VG_INVALID, "frame of type %u: a text without an end", header.type);
    memcpy(&out->body, body, body_size);
    out->type = (vg_frame_type)header.type;
    out->tail = tail_size > 0 ? (const char *)body + body_size : "";
    out->tail_size = tail_size;
    *used = sizeof header + header.length;
    return VG_OK;
}

const char *vg_frame_text(const vg_frame *frame, const char *last)
{
    const char *next = last ? last + strlen(last) + 1 : frame->tail;
    return next < frame->tail + frame->tail_size ? next : NULL;
}

static vg_status write_all(int fd, struct iovec *part, int count)
{
    while (count > 0) {
        ssize_t written = writev(fd, part, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            VG_FAIL(VG_IO, "the other end of a pipe is gone: %s", strerror(errno));
        size_t left = (size_t)written;
        while (count > 0 && left >= part->iov_len) {
            left -= part->iov_len;
            part++;
            count--;
        }
        if (count > 0) {
            part->iov_base = (char *)part->iov_base + left;
            part->iov_len -= left;
        }
    }
    return VG_OK;
}

vg_status vg_frame_write(int fd, vg_frame_type type, const void *body, const char *tail,
                         size_t tail_size)
{
    assert(type < VG_FRAME_COUNT && (body || shapes[type].size == 0));
    if (tail_size > 0 &&
        (!shapes[type].text || tail_size > VG_WIRE_TAIL_MAX || tail[tail_size - 1] != 0))
        VG_FAIL(VG_INVALID, "frame of type %u: %zu bytes of text", (unsigned)type, tail_size);
    frame_header header = {VG_WIRE_MAGIC, (uint32_t)type, (uint32_t)(shapes[type].size + tail_size),
                           0};
    /* iovec has no const; writev only reads. */
    union {
        const void *in;
        void *out;
    } body_base = {.in = body}, tail_base = {.in = tail};
    struct iovec parts[] = {
        {&header, sizeof header}, {body_base.out, shapes[type].size}, {tail_base.out, tail_size}};
    return write_all(fd, parts, 3);
}

vg_status vg_inbox_take(vg_inbox *inbox, bool *got, vg_frame *out)
{
    size_t used = 0;
    if (inbox->end > inbox->start)
        VG_TRY(vg_frame_decode(inbox->bytes + inbox->start, inbox->end - inbox->start, &used, out));
    inbox->start += used;
    *got = used > 0;
    return VG_OK;
}

vg_status vg_inbox_fill(vg_inbox *inbox, int fd, bool *closed)
{
    if (inbox->start > 0) {
        memmove(inbox->bytes, inbox->bytes + inbox->start, inbox->end - inbox->start);
        inbox->end -= inbox->start;
        inbox->start = 0;
    }
    if (inbox->end == inbox->capacity) {
        /* Bounded: a frame longer than its type allows has been refused before it was read. */
        size_t capacity = inbox->capacity ? 2 * inbox->capacity : 1 << 16;
        unsigned char *grown = realloc(inbox->bytes, capacity);
        if (!grown)
            VG_FAIL(VG_NO_MEMORY, "no memory for %zu bytes of a frame", capacity);
        inbox->bytes = grown;
        inbox->capacity = capacity;
    }
    ssize_t size = read(fd, inbox->bytes + inbox->end, inbox->capacity - inbox->end);
    *closed = size == 0;
    if (size < 0 && errno != EINTR && errno != EAGAIN)
        VG_FAIL(VG_IO, "reading from a pipe: %s", strerror(errno));
    if (size > 0)
        inbox->end += (size_t)size;
    return VG_OK;
}

void vg_inbox_free(vg_inbox *inbox)
{
    free(inbox->bytes);
    *inbox = (vg_inbox){0};
}
