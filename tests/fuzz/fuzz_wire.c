/* Any bytes as what a worker sends: frames as they come, then no frame, or too few bytes. What was
 * taken for a frame is one: written again, it is the same. */
#include "fuzz.h"
#include "wire.h"

#include <unistd.h>

/* The frame as vg_frame_write sends it; small ones fit a pipe. */
static void check_written(const vg_frame *frame, const uint8_t *bytes, size_t size)
{
    enum { PIPE = 32768 };
    static uint8_t written[PIPE];
    int ends[2];
    if (size > PIPE)
        return;
    require(pipe(ends) == 0, "no pipe");
    require(vg_frame_write(ends[1], frame->type, &frame->body, frame->tail, frame->tail_size) ==
                VG_OK,
            "not written");
    require(read(ends[0], written, size) == (ssize_t)size, "another size");
    require(memcmp(written, bytes, size) == 0, "other bytes");
    close(ends[0]);
    close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* of this very size, so that a byte too far is seen */
    require(copy != NULL, "no memory");
    memcpy(copy, bytes, size);
    size_t at = 0, used = 1;
    while (at < size && used > 0) {
        vg_frame frame;
        vg_status status = vg_frame_decode(copy + at, size - at, &used, &frame);
        if (status != VG_OK) {
            require(status == VG_INVALID, "neither a frame nor none");
            require_reason();
            break;
        }
        require(used <= size - at, "more than there is");
        if (used == 0)
            break;
        for (const char *text = NULL; (text = vg_frame_text(&frame, text)) != NULL;)
            require(text >= frame.tail && text + strlen(text) < frame.tail + frame.tail_size,
                    "a text beyond its frame");
        check_written(&frame, copy + at, used);
        at += used;
    }
    free(copy);
    return 0;
}
