/* Parses the command line and presets, by the one table of options. */
#include "options.h"

#include "option_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

vg_status vg_strings_add(vg_strings *strings, const char *text, size_t length)
{
    char **grown = realloc(strings->at, (strings->count + 1) * sizeof *grown);
    if (grown != NULL)
        strings->at = grown;
    char *copy = grown != NULL ? malloc(length + 1) : NULL;
    if (copy == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for a text");
    memcpy(copy, text, length);
    copy[length] = '\0';
    grown[strings->count++] = copy;
    return VG_OK;
}

void vg_strings_free(vg_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->at[i]);
    free(strings->at);
    *strings = (vg_strings){0};
}

const char *vg_timed_name(vg_timed timed)
{
#define NAME(id, name, passes) name,
    static const char *const names[] = {VG_TIMED_PASSES(NAME)};
#undef NAME
    return names[timed];
}

unsigned vg_timed_passes(vg_timed timed)
{
#define PASSES(id, name, passes) passes,
    static const unsigned sets[] = {VG_TIMED_PASSES(PASSES)};
#undef PASSES
    return sets[timed];
}

/* Finds the option that `word` names and its value, in the word or else in `next` (may be null);
 * *took_next says which. */
static vg_status read_argument(const char *word, const char *next, vg_argument *out,
                               bool *took_next)
{
    char shown[VG_SHOWN];
    vg_shown(word, strlen(word), shown);
    if (word[0] != '-' || word[1] != '-') {
        size_t dashes = strspn(word, "-");
        return vg_fail_option(word, word + dashes, strcspn(word + dashes, "="));
    }
    size_t length = strcspn(word + 2, "=");
    const vg_option_row *row = vg_option_find(word + 2, length);
    if (row == NULL)
        return vg_fail_option(word, word + 2, length);
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    *took_next = false;
    if (row->values == NULL && value != NULL)
        VG_FAIL(VG_INVALID, "%s: --%s takes no value", shown, row->name);
    if (row->values != NULL && value == NULL && row->bare != NULL)
        value = row->bare;
    if (row->values != NULL && value == NULL && row->kind != VG_OPTION_BENCHMARK) {
        if (next == NULL || strncmp(next, "--", 2) == 0)
            VG_FAIL(VG_INVALID, "--%s: expected --%s=%s", row->name, row->name, row->values);
        value = next;
        *took_next = true;
    }
    *out = (vg_argument){row, value, word};
    return VG_OK;
}

/* One line of a preset, without its comment and the white space around it. */
static vg_status set_line(vg_parser *p, char *line, size_t *column)
{
    vg_argument a;
    bool took_next;
    char *end = line + strlen(line);
    for (char *c = line; *c != '\0'; c++)
        if (*c == '#' && (c == line || c[-1] == ' ' || c[-1] == '\t')) {
            end = c;
            break;
        }
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    size_t indent = strspn(line, " \t");
    *column = indent + 1;
    if (line[indent] == '\0')
        return VG_OK;
    VG_TRY(read_argument(line + indent, NULL, &a, &took_next));
    if (a.row->kind == VG_OPTION_PRESET)
        VG_FAIL(VG_INVALID, "--preset: a preset names no other");
    if (a.row->kind == VG_OPTION_COMMAND)
        VG_FAIL(VG_INVALID, "--%s: a command, which stands on the command line alone", a.row->name);
    if (a.value >= line && a.value <= end)
        *column = (size_t)(a.value - line) + 1;
    return vg_option_set(p, &a);
}

static vg_status set_preset(vg_parser *p, const char *preset)
{
    char *text, why[512];
    size_t length, column = 1;
    VG_TRY(vg_preset_read(preset, &text, &length));
    vg_status status = VG_OK;
    unsigned long number = 1;
    for (char *line = text; status == VG_OK && line < text + length; number++) {
        char *end = memchr(line, '\n', (size_t)(text + length - line));
        char *after = end != NULL ? end + 1 : text + length;
        if (end == NULL)
            end = text + length;
        *end = '\0';
        size_t control = 0;
        while (line + control < end &&
               ((unsigned char)line[control] >= 0x20 || line[control] == '\t'))
            control++;
        if (line + control < end) {
            column = control + 1;
            status = vg_fail(VG_INVALID, line[control] == '\r'
                                             ? "a carriage return; lines end with a line feed alone"
                                             : "a control character");
        } else {
            status = set_line(p, line, &column);
        }
        if (status != VG_OK) {
            snprintf(why, sizeof why, "%s", vg_reason());
            vg_fail(status, "%s:%lu:%zu: %s", preset, number, column, why);
        }
        line = after;
    }
    free(text);
    return status;
}

static vg_status note(vg_options *o, const char *text, size_t length)
{
    size_t before = o->command_line != NULL ? strlen(o->command_line) : 0;
    char *grown = realloc(o->command_line, before + length + 1);
    if (grown == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for the command line");
    memcpy(grown + before, text, length);
    grown[before + length] = '\0';
    o->command_line = grown;
    return VG_OK;
}

/* Appends " word" to the command line of env.json, quoted where a shell would need it; of a path
 * its last part. */
static vg_status note_argument(vg_options *o, const vg_argument *a)
{
    static const char plain[] = "-_./:=,+%@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789";
    bool as_typed = a->row->kind == VG_OPTION_BENCHMARK; /* any name is one of theirs */
    const char *value = as_typed ? a->shown : a->value != NULL ? a->value : "";
    size_t length = strlen(value), from = 0;
    if (a->row->path) {
        while (length > 1 && value[length - 1] == '/')
            length--;
        from = length;
        while (from > 0 && value[from - 1] != '/')
            from--;
    }
    const char *quote = strspn(value + from, plain) >= length - from ? "" : "'";
    const char *const before[] = {" ", quote, as_typed ? "" : "--", as_typed ? "" : a->row->name,
                                  !as_typed && a->value != NULL ? "=" : ""};
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++)
        VG_TRY(note(o, before[i], strlen(before[i])));
    VG_TRY(note(o, value + from, length - from));
    return note(o, quote, strlen(quote));
}

/* Every word of the command line: the presets alone (they come first, wherever they stand), or all
 * but them. *stop: --help or --version came, and nothing else matters. */
static vg_status set_words(vg_parser *p, int argc, char **argv, bool presets, bool *stop)
{
    for (int i = 1; i < argc; i++) {
        vg_argument a;
        bool took_next;
        VG_TRY(read_argument(argv[i], i + 1 < argc ? argv[i + 1] : NULL, &a, &took_next));
        if (took_next)
            i++;
        bool preset = a.row->kind == VG_OPTION_PRESET;
        if (preset && presets) {
            p->source++;
            p->set_by[a.row - vg_option_rows] = p->source;
            VG_TRY(set_preset(p, a.value));
        }
        if (presets)
            continue;
        if (!preset)
            VG_TRY(vg_option_set(p, &a));
        VG_TRY(note_argument(p->options, &a));
        *stop = p->options->command == VG_COMMAND_HELP || p->options->command == VG_COMMAND_VERSION;
        if (*stop)
            return VG_OK;
    }
    return VG_OK;
}

/* Options that say opposite things, or that nothing would look at. */
static vg_status check_together(const vg_parser *p)
{
    const vg_options *o = p->options;
    if (o->case_names.count > 0)
        for (vg_axis_id axis = 0; axis < VG_AXIS_THREADS; axis++)
            if (o->axes->at[axis].count > 0)
                VG_FAIL(VG_INVALID, "--%s: --case says all of the case already; leave one out",
                        vg_option_of_axis(axis)->name);
    if (o->resume && o->out == NULL)
        VG_FAIL(VG_INVALID, "--resume: expected --out=FOLDER of the run to be completed");
    if (o->resume && strcmp(o->out, "-") == 0)
        VG_FAIL(VG_INVALID, "--resume: there is nothing to be completed in --out=-");
    if (o->quiet && vg_option_typed(p, "progress") && o->progress)
        VG_FAIL(VG_INVALID, "--quiet: --progress=on says the opposite; leave one out");
    if (o->command == VG_COMMAND_CHECK && o->verify == VG_VERIFY_OFF)
        VG_FAIL(VG_INVALID, "--verify=off: --check does nothing but verify; leave one out");
    static const char *const timing[] = {"pass", "repetitions", "min-time", "warmup"};
    for (size_t i = 0; i < sizeof timing / sizeof timing[0] && !o->throughput; i++)
        if (vg_option_typed(p, timing[i]))
            VG_FAIL(VG_INVALID, "--%s: nothing is timed with --measure=gradient; leave one out",
                    timing[i]);
    if (!o->gradient && vg_option_typed(p, "gradient-rows"))
        VG_FAIL(VG_INVALID, "--gradient-rows: no gradient is measured with --measure=throughput; "
                            "leave one out");
    return VG_OK;
}

static vg_status set_defaults(vg_options *o)
{
    *o = (vg_options){.timed = 1u << VG_TIMED_FWD | 1u << VG_TIMED_BWD | 1u << VG_TIMED_TRAIN,
                      .throughput = true,
                      .gradient = true,
                      .repetitions = 5,
                      .processes = 1,
                      .min_time_s = 0.2,
                      .warmup_s = 0.1,
                      .timeout_s = 60,
                      .gradient_rows = 1024};
    bool terminal = isatty(STDERR_FILENO) == 1;
    const char *no_color = getenv("NO_COLOR");
    o->color = terminal && (no_color == NULL || no_color[0] == '\0');
    o->progress = terminal;
    o->axes = calloc(1, sizeof *o->axes);
    if (o->axes == NULL)
        VG_FAIL(VG_NO_MEMORY, "no memory for the options");
    return note(o, "bench", strlen("bench"));
}

/* How many presets the words name at most. */
static int count_presets(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += strncmp(argv[i], "--preset", 8) == 0;
    return count;
}

vg_status vg_options_parse(int argc, char **argv, vg_options *out)
{
    vg_options o;
    bool stop = false;
    vg_parser p = {.options = &o, .command_line = count_presets(argc, argv) + 1};
    vg_status status = set_defaults(&o);
    for (int i = 1; i < argc && status == VG_OK; i++)
        status = vg_strings_add(&o.arguments, argv[i], strlen(argv[i]));
    if (status == VG_OK)
        status = set_words(&p, argc, argv, true, &stop);
    p.source = p.command_line;
    if (status == VG_OK)
        status = set_words(&p, argc, argv, false, &stop);
    if (status == VG_OK && !stop)
        status = check_together(&p);
    if (status != VG_OK) {
        vg_options_free(&o);
        return status;
    }
    *out = o;
    return VG_OK;
}

void vg_options_free(vg_options *options)
{
    vg_strings_free(&options->devices);
    vg_strings_free(&options->device_options);
    vg_strings_free(&options->benchmark_flags);
    vg_strings_free(&options->case_names);
    vg_strings_free(&options->arguments);
    for (vg_axis_id axis = 0; options->axes != NULL && axis < VG_AXIS_COUNT; axis++)
        vg_values_free(&options->axes->at[axis]);
    free(options->axes);
    free(options->out);
    free(options->dump);
    free(options->host_name);
    free(options->command_line);
    *options = (vg_options){0};
}
