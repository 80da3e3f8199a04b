/* The one table of options: what each is called, takes, defaults to and says of itself. */
#ifndef VG_OPTION_TABLE_H
#define VG_OPTION_TABLE_H

#include "axes.h"
#include "options.h"

/* What makes cases: the values of one option each, in the order in which cases are nested. */
typedef enum vg_axis_id {
    VG_AXIS_MODEL,
    VG_AXIS_ACTIVATION,
    VG_AXIS_OUTPUT_ACTIVATION,
    VG_AXIS_DEPTH,
    VG_AXIS_WIDTH,
    VG_AXIS_INPUT,
    VG_AXIS_OUTPUT,
    VG_AXIS_BATCH,
    VG_AXIS_SEQ_LEN,
    VG_AXIS_DTYPE,
    VG_AXIS_INIT,
    VG_AXIS_RESIDUAL,
    VG_AXIS_CLIP_NORM,
    VG_AXIS_FORGET_BIAS,
    VG_AXIS_ALPHA,
    VG_AXIS_PIECES,
    VG_AXIS_LOSS,
    VG_AXIS_LOSS_AT,
    VG_AXIS_X,
    VG_AXIS_H0,
    VG_AXIS_SEED,
    VG_AXIS_THREADS, /* from here on no part of a case's name */
    VG_AXIS_BIND,
    VG_AXIS_DENORMALS,
    VG_AXIS_COUNT
} vg_axis_id;

/* Empty: the default, which may depend on the model. */
struct vg_axes {
    vg_values at[VG_AXIS_COUNT];
};

typedef enum vg_option_kind {
    VG_OPTION_COMMAND,   /* a command of vg_command: `at` */
    VG_OPTION_FLAG,      /* a bool at offset `at` */
    VG_OPTION_SWITCH,    /* a bool: auto (is stderr a terminal?), off, on */
    VG_OPTION_TEXT,      /* a char * */
    VG_OPTION_LIST,      /* vg_strings, split at commas */
    VG_OPTION_STRING,    /* vg_strings, as it stands */
    VG_OPTION_BENCHMARK, /* vg_strings; any --benchmark_ */
    VG_OPTION_PRESET,
    VG_OPTION_WHOLE, /* uint32_t of least..most */
    VG_OPTION_WHOLE64,
    VG_OPTION_SECONDS, /* double of at least `range.least` */
    VG_OPTION_SET,     /* unsigned: a bit for each of `names` */
    VG_OPTION_MEASURE,
    VG_OPTION_VERIFY,
    VG_OPTION_AXIS_WHOLE, /* `at`: vg_axis_id */
    VG_OPTION_AXIS_NUMBER,
    VG_OPTION_AXIS_CHOICE,
    VG_OPTION_AXIS_INIT
} vg_option_kind;

typedef struct vg_option_row {
    const char *name, *values, *fallback, *help; /* values null: takes none */
    vg_option_kind kind;
    size_t at;
    uint64_t least, most;
    vg_number_range range;
    const char *const *names;
    const char *bare;  /* the value of the option without one; null: it needs one */
    bool list;         /* given again, it adds */
    bool path;         /* names a file or folder */
    const char *group; /* a heading of --help starts here */
} vg_option_row;

/* Ends with a null name. */
extern const vg_option_row vg_option_rows[];
enum { VG_MAX_OPTIONS = 64 };

/* The row of "width"; of any "benchmark_..." the one for all of them; or null. */
const vg_option_row *vg_option_find(const char *name, size_t length);
/* VG_INVALID with the nearest name. `shown`: as the user typed it. */
vg_status vg_fail_option(const char *shown, const char *name, size_t length);
/* The row that sets an axis. */
const vg_option_row *vg_option_of_axis(vg_axis_id axis);

/* Whether "benchmark_name[=value]" may be passed on: VG_INVALID for what fights an option of ours.
 */
vg_status vg_benchmark_flag_check(const char *flag);

/* The text of a preset: the bare name of one of ours, or else a file. The caller frees *text, which
 * is zero-terminated beyond `length`. VG_INVALID, VG_NO_MEMORY. */
vg_status vg_preset_read(const char *preset, char **text, size_t *length);
/* Null-terminated names of ours. */
const char *const *vg_preset_names(void);

#endif
