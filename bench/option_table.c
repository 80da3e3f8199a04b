/* The one table of options. */
#include "option_table.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const models[] = {"stack",
#define VG_CELL(id, gates, states, kept, differ, activation, forget) #id,
#include "vg/cells.def"
#undef VG_CELL
                                     NULL};
static const char *const activations[] = {
#define VG_ACTIVATION(id, stack, rnn, bound, kink) #id,
#include "vg/activations.def"
#undef VG_ACTIVATION
    NULL};
/* Those of a case are the first of vg_dtype. */
static const char *const dtypes[] = {
#define OF_A_CASE_1(name) name,
#define OF_A_CASE_0(name)
#define DTYPE(id, name, bytes, of_a_case) OF_A_CASE_##of_a_case(name)
    VG_DTYPES(DTYPE)
#undef DTYPE
        NULL};
static const char *const timed[] = {
#define TIMED(id, name, passes) name,
    VG_TIMED_PASSES(TIMED)
#undef TIMED
        NULL};
static const char *const off_on[] = {"off", "on", NULL};
static const char *const losses[] = {"mse", "ones", "random", NULL};
static const char *const loss_ats[] = {"last", "all", NULL};
static const char *const xs[] = {"normal", "abs", "zero", "ones", NULL};
static const char *const binds[] = {"core", "none", NULL};
static const char *const denormals[] = {"keep", "flush", NULL};
static const char *const measures[] = {"throughput", "gradient", "both", NULL};
static const char *const verifies[] = {"auto", "full", "sampled", "off", NULL};
static const char *const switches[] = {"auto", "off", "on", NULL};

#define AT(field)           .at = offsetof(vg_options, field)
#define COMMAND(id)         .kind = VG_OPTION_COMMAND, .at = VG_COMMAND_##id
#define FLAG(field)         .kind = VG_OPTION_FLAG, AT(field)
#define SWITCH(field)       .kind = VG_OPTION_SWITCH, AT(field), .names = switches, .bare = "on"
#define TEXT(field)         .kind = VG_OPTION_TEXT, AT(field)
#define WHOLE(field, a, b)  .kind = VG_OPTION_WHOLE, AT(field), .least = (a), .most = (b)
#define SECONDS(field, a)   .kind = VG_OPTION_SECONDS, AT(field), .range = {.least = (a)}
#define AXIS(id, a, b)      .kind = VG_OPTION_AXIS_WHOLE, .at = VG_AXIS_##id, .least = (a), .most = (b)
#define NUMBERS(id, ...)    .kind = VG_OPTION_AXIS_NUMBER, .at = VG_AXIS_##id, .range = {__VA_ARGS__}
#define CHOICES(id, choice) .kind = VG_OPTION_AXIS_CHOICE, .at = VG_AXIS_##id, .names = (choice)
#define LIST                .list = true

const vg_option_row vg_option_rows[] = {
    {"list", NULL, NULL, "devices found and why others were not, models, activations",
     COMMAND(LIST), .group = "Instead of measuring"},
    {"dry-run", NULL, NULL, "the plan, with memory and estimated time", COMMAND(DRY_RUN)},
    {"check", NULL, NULL, "correctness only: every op against the double oracle", COMMAND(CHECK)},
    {"help", NULL, NULL, "this text", COMMAND(HELP)},
    {"version", NULL, NULL, "what this program was built with", COMMAND(VERSION)},

    {"device", "NAMES", "auto", "auto, cpu, cuda, cuda:1, cpu.avx2, ref, ... or globs as 'cpu.*'",
     .kind = VG_OPTION_LIST, AT(devices), LIST, .group = "Where"},
    {"threads", "AXIS", "one a physical core", "threads of a CPU device", AXIS(THREADS, 1, 1024)},
    {"bind", "core,none", "core", "whether threads are pinned", CHOICES(BIND, binds)},
    {"denormals", "keep,flush", "keep", "subnormal numbers", CHOICES(DENORMALS, denormals)},
    {"device-option", "FAMILY.KEY=VALUE", NULL, "an option of a driver's own, see --list",
     .kind = VG_OPTION_STRING, AT(device_options), LIST},

    {"case", "NAME", NULL, "one case by its name; may be given again", .kind = VG_OPTION_STRING,
     AT(case_names), LIST, .group = "What"},
    {"model", "NAMES", "stack; with --seq-len rnn,lstm,gru", "stack, rnn, lstm, gru",
     CHOICES(MODEL, models), LIST},
    {"activation", "NAMES", "stack sigmoid,tanh,relu; rnn tanh",
     "sigmoid, tanh, relu, leaky_relu, maxout, identity", CHOICES(ACTIVATION, activations), LIST},
    {"output-activation", "NAMES", "the layer's own; of a read-out identity",
     "of the read-out, or else of a stack's last layer", CHOICES(OUTPUT_ACTIVATION, activations),
     LIST},
    {"depth", "AXIS", "stack 8, else 1", "layers", AXIS(DEPTH, 1, VG_MAX_DEPTH)},
    {"width", "AXIS", "256", "units of a layer", AXIS(WIDTH, 1, VG_MAX_WIDTH)},
    {"batch", "AXIS", "32", "rows", AXIS(BATCH, 1, VG_MAX_BATCH)},
    {"seq-len", "AXIS", "128", "steps of a recurrent model", AXIS(SEQ_LEN, 1, VG_MAX_SEQ_LEN)},
    {"input", "AXIS", "= width", "inputs of the first layer", AXIS(INPUT, 1, VG_MAX_WIDTH)},
    {"output", "AXIS", "0: none", "units of a read-out layer", AXIS(OUTPUT, 0, VG_MAX_WIDTH)},
    {"dtype", "NAMES", "fp32", "fp32, tf32, bf16, fp64", CHOICES(DTYPE, dtypes), LIST},
    {"seed", "AXIS", "1", "of every random number", AXIS(SEED, 0, VG_MAX_SEED)},

    {"init", "LIST", "by activation; recurrent uniform",
     "xavier, he, lecun, normal:SW[:SB], orthogonal[:G], identity[:G], spectral:R, uniform",
     .kind = VG_OPTION_AXIS_INIT, .at = VG_AXIS_INIT, .group = "How it is set up"},
    {"residual", "off,on", "off", "h + f(z) instead of f(z), in stacks", CHOICES(RESIDUAL, off_on),
     .bare = "on"},
    {"clip-norm", "AXIS", "off", "largest norm of all gradients together",
     NUMBERS(CLIP_NORM, 0, 1e30, false, "a number of at least 0, or off", "off", 0)},
    {"forget-bias", "AXIS", "drawn", "bias of the lstm's forget, the gru's update gate",
     NUMBERS(FORGET_BIAS, -1e6, 1e6, false, "a number, or drawn", "drawn", NAN)},
    {"alpha", "AXIS", "0.01", "slope of leaky_relu below 0",
     NUMBERS(ALPHA, 0, 1, true, "a number of at least 0 and below 1", NULL, 0)},
    {"pieces", "AXIS", "2", "pieces of a maxout unit", AXIS(PIECES, 2, VG_MAX_PIECES)},
    {"x", "NAMES", "normal", "inputs: normal, abs, zero, ones", CHOICES(X, xs), LIST},
    {"h0", "AXIS", "0", "every element of the initial h",
     NUMBERS(H0, -1e6, 1e6, false, "a number of -1e6..1e6", NULL, 0)},
    {"loss", "NAMES", "mse", "mse, ones, random", CHOICES(LOSS, losses), LIST},
    {"loss-at", "NAMES", "last", "steps that the loss looks at: last, all",
     CHOICES(LOSS_AT, loss_ats), LIST},

    {"measure", "WHAT", "both", "throughput, gradient, both", .kind = VG_OPTION_MEASURE,
     .names = measures, .group = "How it is measured"},
    {"pass", "NAMES", "fwd,bwd,train", "fwd, bwd, train, bwd_data, bwd_weights",
     .kind = VG_OPTION_SET, AT(timed), .names = timed, LIST},
    {"verify", "HOW", "auto", "auto (full if quick, else sampled), full, sampled, off",
     .kind = VG_OPTION_VERIFY, .names = verifies},
    {"repetitions", "N", "5", "of every timed pass", WHOLE(repetitions, 1, 100000)},
    {"min-time", "TIME", "0.2s", "each repetition lasts at least", SECONDS(min_time_s, 0)},
    {"warmup", "TIME", "0.1s", "before the first repetition", SECONDS(warmup_s, 0)},
    {"timeout", "TIME", "60s", "measuring one case on one device", SECONDS(timeout_s, 0.001)},
    {"processes", "N", "1", "fresh workers a device, interleaved", WHOLE(processes, 1, 1000)},
    {"benchmark_*", "VALUE", NULL, "passed to Google Benchmark", .kind = VG_OPTION_BENCHMARK,
     AT(benchmark_flags), LIST},

    {"out", "FOLDER", "results/local/<run> or bench-<run>",
     "for results.csv and the rest; - prints results.csv to stdout alone", TEXT(out), .path = true,
     .group = "What comes out"},
    {"resume", NULL, NULL, "run only what is not complete in --out", FLAG(resume)},
    {"dump", "FOLDER", NULL, "every tensor of each case as .npy", TEXT(dump), .path = true},
    {"gradient-rows", "N", "1024", "steps a tensor in gradients.csv", .kind = VG_OPTION_WHOLE64,
     AT(gradient_rows), .least = 2, .most = VG_MAX_SEQ_LEN},
    {"host-name", "NAME", "a hash", "this machine's name in env.json", TEXT(host_name)},
    {"preset", "FILE|NAME", NULL, "a file of option lines, or one of ours (--list)",
     .kind = VG_OPTION_PRESET, .path = true},
    {"color", "auto,off,on", "auto", "of the table", SWITCH(color)},
    {"progress", "auto,off,on", "auto", "a line that counts cases", SWITCH(progress)},
    {"quiet", NULL, NULL, "no table, no progress; warnings and errors alone", FLAG(quiet)},
    {"yes", NULL, NULL, "to a plan of more than 10,000 cases", FLAG(yes)},
    {.name = NULL}};

static const char benchmark_prefix[] = "benchmark_";

static void option_names(const char *names[VG_MAX_OPTIONS + 1])
{
    size_t n = 0;
    for (const vg_option_row *row = vg_option_rows; row->name != NULL && n < VG_MAX_OPTIONS; row++)
        names[n++] = row->name;
    names[n] = NULL;
}

const vg_option_row *vg_option_find(const char *name, size_t length)
{
    size_t prefix = sizeof benchmark_prefix - 1;
    bool benchmark = length > prefix && memcmp(name, benchmark_prefix, prefix) == 0;
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++)
        if (row->kind == VG_OPTION_BENCHMARK
                ? benchmark
                : strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

vg_status vg_fail_option(const char *shown, const char *name, size_t length)
{
    char typed[VG_SHOWN], what[VG_SHOWN];
    const char *names[VG_MAX_OPTIONS + 1];
    option_names(names);
    vg_shown(shown, strcspn(shown, "="), what);
    const char *near = vg_nearest(vg_shown(name, length, typed), names);
    if (near != NULL)
        VG_FAIL(VG_INVALID, "%s: no such option; did you mean --%s?", what, near);
    VG_FAIL(VG_INVALID, "%s: no such option; see --help", what);
}

const vg_option_row *vg_option_of_axis(vg_axis_id axis)
{
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++)
        if (row->kind >= VG_OPTION_AXIS_WHOLE && row->at == axis)
            return row;
    return NULL;
}

vg_status vg_benchmark_flag_check(const char *flag)
{
    static const struct {
        const char *name, *ours;
    } refused[] = {{"filter", "--case or the axes choose the cases"},
                   {"list_tests", "--dry-run lists the cases"},
                   {"dry_run", "use --dry-run"},
                   {"min_time", "use --min-time"},
                   {"min_warmup_time", "use --warmup"},
                   {"repetitions", "use --repetitions"},
                   {"enable_random_interleaving", "repetitions are interleaved already"},
                   {"report_aggregates_only", "every repetition is a row"},
                   {"display_aggregates_only", "every repetition is a row"},
                   {"out", "use --out"},
                   {"out_format", "use --out; files are CSV"},
                   {"format", "use --out=- for CSV"},
                   {"color", "use --color"}};
    static const char *const taken[] = {"context", "counters_tabular", "perf_counters", "time_unit",
                                        NULL};
    const char *name = flag + sizeof benchmark_prefix - 1;
    size_t length = strcspn(name, "=");
    char shown[VG_SHOWN];
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strlen(refused[i].name) == length && memcmp(refused[i].name, name, length) == 0)
            VG_FAIL(VG_INVALID, "--benchmark_%s: %s", refused[i].name, refused[i].ours);
    for (size_t i = 0; taken[i] != NULL; i++)
        if (strlen(taken[i]) == length && memcmp(taken[i], name, length) == 0)
            return VG_OK;
    const char *near = vg_nearest(vg_shown(name, length, shown), taken);
    if (near != NULL)
        VG_FAIL(VG_INVALID, "--benchmark_%s: no such flag; did you mean --benchmark_%s?", shown,
                near);
    VG_FAIL(VG_INVALID, "--benchmark_%s: no such flag that can be passed on", shown);
}
