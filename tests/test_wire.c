/* Frames: what goes in comes out, and nothing else is taken for a frame. */
#include "../bench/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEADER = 16, ENOUGH = 1 << 16 };

/* The bytes of one frame, written through a pipe. */
static size_t encode(vg_frame_type type, const void *body, const char *tail, size_t tail_size,
                     unsigned char *out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(vg_frame_write(ends[1], type, body, tail, tail_size), VG_OK);
    close(ends[1]);
    size_t size = 0;
    for (ssize_t n; (n = read(ends[0], out + size, ENOUGH - size)) > 0;)
        size += (size_t)n;
    close(ends[0]);
    return size;
}

static size_t encode_open(unsigned char *out)
{
    vg_wire_open open = {.family = "null", .name = "null", .description = "nothing", .rank = 3};
    return encode(VG_FRAME_OPEN, &open, "sleep=1\0--benchmark_x\0", 22, out);
}

static void a_frame_comes_back_as_it_was(void **state)
{
    (void)state;
    unsigned char bytes[ENOUGH];
    size_t size = encode_open(bytes), used;
    vg_frame frame;
    assert_int_equal(vg_frame_decode(bytes, size, &used, &frame), VG_OK);
    assert_int_equal(used, size);
    assert_int_equal(frame.type, VG_FRAME_OPEN);
    assert_string_equal(frame.body.open.description, "nothing");
    assert_int_equal(frame.body.open.rank, 3);
    const char *text = vg_frame_text(&frame, NULL);
    assert_string_equal(text, "sleep=1");
    text = vg_frame_text(&frame, text);
    assert_string_equal(text, "--benchmark_x");
    assert_null(vg_frame_text(&frame, text));
}

static void a_truncated_frame_waits_for_more(void **state)
{
    (void)state;
    unsigned char bytes[ENOUGH];
    size_t size = encode_open(bytes), used = 1;
    vg_frame frame;
    for (size_t part = 0; part < size; part++) {
        unsigned char *copy = malloc(part + 1); /* so that reading beyond is seen */
        memcpy(copy, bytes, part);
        assert_int_equal(vg_frame_decode(copy, part, &used, &frame), VG_OK);
        assert_int_equal(used, 0);
        free(copy);
    }
}

static void put(unsigned char *bytes, size_t at, uint32_t value)
{
    memcpy(bytes + at, &value, sizeof value);
}

static void bad_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
    } table[] = {
        {"magic", 0, 0x12345678},
        {"type", 4, VG_FRAME_COUNT},
        {"type", 4, UINT32_MAX},
        {"too short", 8, sizeof(vg_wire_open) - 1},
        {"too long", 8, sizeof(vg_wire_open) + VG_WIRE_TAIL_MAX + 1},
        {"far too long", 8, UINT32_MAX},
        {"reserved", 12, 1},
        {"another type's length", 4, VG_FRAME_TURN},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        unsigned char bytes[ENOUGH];
        size_t size = encode_open(bytes), used = 7;
        vg_frame frame;
        put(bytes, table[i].at, table[i].value);
        if (vg_frame_decode(bytes, size, &used, &frame) != VG_INVALID)
            fail_msg("%s: %u at %zu was taken for a frame", table[i].what, table[i].value,
                     table[i].at);
        assert_int_equal(used, 0);
    }
}

static void texts_must_end(void **state)
{
    (void)state;
    unsigned char bytes[ENOUGH];
    size_t size = encode_open(bytes), used;
    vg_frame frame;
    memset(bytes + HEADER, 'x', sizeof((vg_wire_open *)0)->family);
    assert_int_equal(vg_frame_decode(bytes, size, &used, &frame), VG_INVALID);
    size = encode_open(bytes);
    bytes[size - 1] = 'x';
    assert_int_equal(vg_frame_decode(bytes, size, &used, &frame), VG_INVALID);
    vg_wire_open open = {.family = "null"};
    assert_int_equal(vg_frame_write(1, VG_FRAME_OPEN, &open, "no end", 6), VG_INVALID);
}

static void enumerations_stay_in_range(void **state)
{
    (void)state;
    unsigned char bytes[ENOUGH];
    vg_wire_done done = {.status = VG_STATUS_COUNT};
    size_t size = encode(VG_FRAME_DONE, &done, NULL, 0, bytes), used;
    vg_frame frame;
    assert_int_equal(vg_frame_decode(bytes, size, &used, &frame), VG_INVALID);
    vg_decay decay = {.verdict = VG_VERDICT_COUNT};
    size = encode(VG_FRAME_DECAY, &decay, NULL, 0, bytes);
    assert_int_equal(vg_frame_decode(bytes, size, &used, &frame), VG_INVALID);
}

/* Deterministic garbage, alone and as damage to a good frame: never a crash (sanitizers look on),
 * never more used than there was. */
static void garbage_is_survived(void **state)
{
    (void)state;
    uint32_t random = 12345;
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[ENOUGH];
        size_t size = encode_open(bytes) % 64 + 300, used;
        if (round % 2 == 0)
            for (size_t i = 0; i < size; i++)
                bytes[i] = (unsigned char)((random = random * 1664525 + 1013904223) >> 24);
        else
            for (int hit = 0; hit < 4; hit++) {
                random = random * 1664525 + 1013904223;
                bytes[(random >> 8) % 48] = (unsigned char)(random >> 24);
            }
        vg_frame frame;
        if (vg_frame_decode(bytes, size, &used, &frame) == VG_OK)
            assert_true(used <= size);
        else
            assert_int_equal(used, 0);
    }
}

static void an_inbox_joins_and_splits(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    vg_inbox inbox = {0};
    bool got, closed;
    vg_frame frame;
    for (uint32_t i = 0; i < 5; i++) {
        vg_wire_turn turn = {i};
        assert_int_equal(vg_frame_write(ends[1], VG_FRAME_TURN, &turn, NULL, 0), VG_OK);
    }
    static char text[40000];
    memset(text, 'w', sizeof text - 1);
    assert_int_equal(vg_frame_write(ends[1], VG_FRAME_WARN, NULL, text, sizeof text), VG_OK);
    close(ends[1]);
    uint32_t turns = 0;
    bool warned = false;
    do {
        assert_int_equal(vg_inbox_fill(&inbox, ends[0], &closed), VG_OK);
        while (vg_inbox_take(&inbox, &got, &frame) == VG_OK && got) {
            if (frame.type == VG_FRAME_TURN)
                assert_int_equal(frame.body.turn.repetition, turns++);
            else
                warned = strcmp(vg_frame_text(&frame, NULL), text) == 0;
        }
    } while (!closed);
    assert_int_equal(turns, 5);
    assert_true(warned);
    vg_inbox_free(&inbox);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_back_as_it_was),
        cmocka_unit_test(a_truncated_frame_waits_for_more),
        cmocka_unit_test(bad_frames_are_refused),
        cmocka_unit_test(texts_must_end),
        cmocka_unit_test(enumerations_stay_in_range),
        cmocka_unit_test(garbage_is_survived),
        cmocka_unit_test(an_inbox_joins_and_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
