/* Frames over the pipes between the supervisor and its workers. Both ends are the same program, so
 * a body is a plain struct; yet whatever arrives is checked as if a stranger had sent it: a worker
 * that is about to crash may write anything. A request is answered by any number of frames and then
 * by one VG_FRAME_DONE; VG_FRAME_WARN may come before any of them. */
#ifndef VG_WIRE_H
#define VG_WIRE_H

#include "vg/measure.h"

enum {
    VG_WIRE_REASON = 512,
    VG_WIRE_CASE = 256,
    VG_WIRE_KNOWN = 8,          /* checksums of processes before */
    VG_WIRE_ATTEMPTS = 3,       /* measurements of one repetition */
    VG_WIRE_TAIL_MAX = 16 << 20 /* bytes of text after a body */
};
#define VG_WIRE_MAGIC 0x31574756u /* "VGW1" */

/* What a device is opened with; the texts after it are settings NAME=VALUE and flags of Google
 * Benchmark, which begin with two dashes. */
typedef struct vg_wire_open {
    char family[32], name[32], description[96];
    uint32_t rank, index, threads, bind, denormals;
} vg_wire_open;

typedef struct vg_wire_applied {
    uint32_t threads, bind, denormals, flushing;
    char implementation[64];
} vg_wire_applied;

/* A case: lowered, checked, its sizes told. The text after it: the folder for --dump, or none. */
typedef struct vg_wire_case {
    char name[VG_WIRE_CASE];
    uint32_t probe;       /* 1: lowered with PROBE, which verification needs */
    uint32_t exact;       /* 1: EXACT runs too, for rows of gradients */
    uint32_t verify;      /* vg_verify_mode */
    uint32_t timed;       /* bit set of 1 << vg_timed */
    uint32_t known_count; /* of results that an earlier process was found right with */
    uint32_t may_differ;  /* 1: others are verified; 0: if any are known, others are a mismatch */
    uint64_t known[VG_WIRE_KNOWN];
    double min_time_s, warmup_s;
    uint64_t gradient_rows;
} vg_wire_case;

typedef struct vg_wire_turn {
    uint32_t repetition;
} vg_wire_turn;

/* A device of this machine; the text after it: why it cannot be used ("" = it can). */
typedef struct vg_wire_found {
    char family[32], name[32], description[96], note[128];
    uint32_t rank, index, automatic;
} vg_wire_found;

/* The text after it is the value. */
typedef struct vg_wire_fact {
    char key[64];
} vg_wire_fact;

typedef struct vg_wire_size {
    uint64_t bytes;        /* arena and what the device takes beside it, the profile's included */
    uint64_t memory_bytes; /* the same without the profile */
    double verify_s;       /* estimate of a full verification */
    uint32_t host;         /* 1: the arena is in this machine's main memory */
} vg_wire_size;

typedef struct vg_wire_loaded {
    char algorithm[256];
} vg_wire_loaded;

typedef struct vg_wire_verdict {
    uint32_t verified; /* vg_verified; of known results nothing is said */
    uint32_t is_known;
    double max_error;
    uint64_t checksum;
} vg_wire_verdict;

/* One pass of one repetition; everything a pass, NaN = not known. status: VG_OK, or VG_UNSUPPORTED
 * for this pass alone. */
typedef struct vg_wire_timed {
    uint32_t timed, status;
    uint64_t iterations;
    double time_s, flop, bytes, peak_flop_per_s, peak_bytes_per_s, barrier_s, floor_s;
    double energy_j, power_w, clock_mhz, temperature_c;
    uint32_t disturbed;
    uint32_t attempts; /* all but the last one were disturbed */
    char throttle[64];
} vg_wire_timed;

typedef struct vg_wire_checksum {
    uint64_t checksum;
} vg_wire_checksum;

typedef struct vg_wire_gradient {
    char tensor[16];
    uint32_t layer, has_step;
    uint64_t step;
    vg_slot plain;
    double log10_norm, log10_norm_exact;
    double mean_abs_derivative, saturated, dead, predicted_log10_norm;
} vg_wire_gradient;

typedef struct vg_wire_done {
    uint32_t status; /* vg_status */
    char reason[VG_WIRE_REASON];
} vg_wire_done;

/* X(enumerator, member of the body, its type, texts may follow) */
#define VG_FRAMES_WITH_BODY(X)                                                                     \
    X(VG_FRAME_OPEN, open, vg_wire_open, 1)                                                        \
    X(VG_FRAME_APPLIED, applied, vg_wire_applied, 0)                                               \
    X(VG_FRAME_CASE, planned, vg_wire_case, 1)                                                     \
    X(VG_FRAME_TURN, turn, vg_wire_turn, 0)                                                        \
    X(VG_FRAME_FOUND, found, vg_wire_found, 1)                                                     \
    X(VG_FRAME_FACT, fact, vg_wire_fact, 1)                                                        \
    X(VG_FRAME_SIZE, size, vg_wire_size, 0)                                                        \
    X(VG_FRAME_LOADED, loaded, vg_wire_loaded, 0)                                                  \
    X(VG_FRAME_VERDICT, verdict, vg_wire_verdict, 0)                                               \
    X(VG_FRAME_TIMED, timed, vg_wire_timed, 0)                                                     \
    X(VG_FRAME_CHECKSUM, checksum, vg_wire_checksum, 0)                                            \
    X(VG_FRAME_GRADIENT, gradient, vg_wire_gradient, 0)                                            \
    X(VG_FRAME_DECAY, decay, vg_decay, 0)                                                          \
    X(VG_FRAME_DONE, done, vg_wire_done, 0)

/* Those that are a word alone. WARN carries a text. */
#define VG_FRAMES_BARE(X)                                                                          \
    X(VG_FRAME_LIST, 0)                                                                            \
    X(VG_FRAME_FACTS, 0)                                                                           \
    X(VG_FRAME_LOAD, 0)                                                                            \
    X(VG_FRAME_VERIFY, 0)                                                                          \
    X(VG_FRAME_ROWS, 0)                                                                            \
    X(VG_FRAME_UNLOAD, 0)                                                                          \
    X(VG_FRAME_WARN, 1)

#define VG_WIRE_ENUMERATOR(id, member, type, text) id,
#define VG_WIRE_BARE_ENUMERATOR(id, text)          id,
typedef enum vg_frame_type {
    VG_FRAMES_WITH_BODY(VG_WIRE_ENUMERATOR) VG_FRAMES_BARE(VG_WIRE_BARE_ENUMERATOR) VG_FRAME_COUNT
} vg_frame_type;
#undef VG_WIRE_ENUMERATOR
#undef VG_WIRE_BARE_ENUMERATOR

typedef union vg_frame_body {
#define VG_WIRE_MEMBER(id, member, type, text) type member;
    VG_FRAMES_WITH_BODY(VG_WIRE_MEMBER)
#undef VG_WIRE_MEMBER
} vg_frame_body;

/* A frame that was checked: texts end, numbers of enumerations are in range. `tail` are the
 * tail_size bytes of text after the body, a NUL at the end; they belong to whoever decoded. */
typedef struct vg_frame {
    vg_frame_type type;
    vg_frame_body body;
    const char *tail;
    size_t tail_size;
} vg_frame;

/* The texts of a frame one by one; start with null, which also ends. */
const char *vg_frame_text(const vg_frame *frame, const char *last);

/* The first frame of `bytes`. *used: its bytes, or 0 where more must be read first (VG_OK all the
 * same, *out untouched). VG_INVALID: this is no frame. */
vg_status vg_frame_decode(const void *bytes, size_t size, size_t *used, vg_frame *out);

/* Writes a whole frame; body may be null for a bare one, tail null for none. VG_IO: the other end
 * is gone; VG_INVALID: tail too long or not ended by NUL. */
vg_status vg_frame_write(int fd, vg_frame_type type, const void *body, const char *tail,
                         size_t tail_size);

/* What has arrived and was not yet taken. Starts as zeros. */
typedef struct vg_inbox {
    unsigned char *bytes;
    size_t start, end, capacity;
} vg_inbox;

/* Takes the next frame if it is complete (*got), without reading. out->tail stays valid until the
 * next vg_inbox_fill. VG_INVALID as vg_frame_decode. */
vg_status vg_inbox_take(vg_inbox *inbox, bool *got, vg_frame *out);

/* One read() from fd. *closed: the other end is gone. VG_IO, VG_NO_MEMORY. */
vg_status vg_inbox_fill(vg_inbox *inbox, int fd, bool *closed);
void vg_inbox_free(vg_inbox *inbox);

#endif
