/* Writes the manual page, or a shell's completion, from the table of options. Part of the build,
 * not of the program: vg_manual man|bash|zsh|fish */
#include "build_info.h"
#include "help.h"
#include "option_table.h"

#include "vg/devices.h"

#include <stdio.h>
#include <string.h>

/* What an option's value may be. */
typedef struct values {
    const char *const *names; /* null-terminated, or null */
    bool list, files;         /* several with commas between; or paths */
} values;

static values values_of(const vg_option_row *row)
{
    static const char *devices[64] = {"auto", NULL};
    if (strcmp(row->name, "device") == 0) {
        size_t n = 1;
        for (const vg_driver *const *d = vg_drivers(); *d != NULL && n < 63; d++)
            devices[n++] = (*d)->family;
        return (values){devices, true, false};
    }
    if (row->kind == VG_OPTION_PRESET)
        return (values){vg_preset_names(), false, true};
    bool several = row->kind == VG_OPTION_AXIS_CHOICE || row->kind == VG_OPTION_SET;
    return (values){row->names, several, row->path};
}

/* The manual page, in the man macros. */

/* Text without what troff would take for its own. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\'')
            fputs("\\(aq", stdout);
        else if (*text == '|')
            fputs("|\\:", stdout); /* a line may end here */
        else
            putchar(*text);
    }
}

static void roff_pairs(const char *heading, const char *before, const vg_help_pair *pairs)
{
    printf(".SH %s\n", heading);
    for (const vg_help_pair *p = pairs; p->term != NULL; p++) {
        printf(".TP\n.B %s", before);
        roff(p->term);
        putchar('\n');
        roff(p->what);
        putchar('\n');
    }
}

static void roff_option(const vg_option_row *row)
{
    if (row->group != NULL) {
        fputs(".SS ", stdout);
        roff(row->group);
        putchar('\n');
    }
    fputs(".TP\n\\fB\\-\\-", stdout);
    roff(row->name);
    fputs("\\fR", stdout);
    if (row->values != NULL) {
        fputs("=\\fI", stdout);
        roff(row->values);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    roff(row->help);
    if (row->fallback != NULL) {
        fputs(" [", stdout);
        roff(row->fallback);
        putchar(']');
    }
    putchar('\n');
}

/* The families of this build, and their own options. */
static void roff_devices(void)
{
    puts(".SH DEVICES");
    for (const vg_driver *const *d = vg_drivers(); *d != NULL; d++) {
        printf(".TP\n.B %s\n", (*d)->family);
        roff((*d)->help);
        putchar('\n');
        puts(".RS");
        for (const vg_option *o = (*d)->options; o != NULL && o->name != NULL; o++) {
            printf(".TP\n\\fB\\-\\-device\\-option=%s.%s\\fR=\\fI", (*d)->family, o->name);
            roff(o->values);
            puts("\\fR");
            roff(o->help);
            putchar('\n');
        }
        puts(".RE");
    }
    puts(".PP\n.B bench \\-\\-list\nsays which are here, and why others are not.");
}

static void manual(void)
{
    static const vg_help_pair files[] = {
        {"results.csv", "a row for each case, device, pass and repetition: times, rates, shares of "
                        "the measured peak and of the floor"},
        {"gradients.csv",
         "a row for each tensor, layer and step: norms, and counts of what is zero, "
         "subnormal or not finite"},
        {"decay.csv", "a row for each case, device and direction: the factor a layer or step, the "
                      "half-life, the verdict, what theory predicts"},
        {"env.json, topology.xml", "the machine, the build and the command"},
        {NULL, NULL}};
    printf(".TH BENCH 1 \"\" \"vgbench %s\" \"User Commands\"\n.ad l\n.nh\n.SH NAME\nbench \\- ",
           vg_build_info_get()->version);
    roff(vg_help_summary);
    puts("\n.SH SYNOPSIS\n.B bench\n.RI [ options ]\n.SH DESCRIPTION\n"
         "Runs forward and backward passes of deep stacks and of long recurrent networks on this\n"
         "machine's devices, and reports their throughput and how the gradient's norm decays over\n"
         "depth and sequence length. Every timed case is verified against an oracle in double\n"
         "precision.\n.PP");
    roff(vg_help_values);
    puts(".SH OPTIONS");
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++)
        roff_option(row);
    roff_devices();
    roff_pairs("EXAMPLES", "bench ", vg_help_examples);
    roff_pairs("FILES", "", files);
    roff_pairs("EXIT STATUS", "", vg_help_exits);
}

/* Completions. */

static void words(const char *const *names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", names[i]);
}

/* "benchmark_*" names no single option. */
static bool is_one(const vg_option_row *row)
{
    return row->kind != VG_OPTION_BENCHMARK;
}

static void bash(void)
{
    fputs("# Completion of bench's options for bash; generated from its table of options.\n"
          "_bench()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} option='' words='' files='' several=''\n"
          "    if [[ $current == '=' ]]; then\n"
          "        option=${COMP_WORDS[COMP_CWORD - 1]} current=''\n"
          "    elif ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[COMP_CWORD - 1]} == '=' ]]; then\n"
          "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    case $option in\n"
          "        '') words='",
          stdout);
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++)
        if (is_one(row))
            printf("--%s%s ", row->name, row->values != NULL ? "=" : "");
    puts("' ;;");
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++) {
        values of = values_of(row);
        if (!is_one(row) || (of.names == NULL && !of.files))
            continue;
        printf("        --%s)", row->name);
        if (of.names != NULL) {
            fputs(" words='", stdout);
            words(of.names);
            putchar('\'');
        }
        printf("%s%s ;;\n", of.list ? " several=1" : "", of.files ? " files=1" : "");
    }
    fputs(
        "    esac\n"
        "    local before=''\n"
        "    [[ -z $several ]] || before=${current%\"${current##*,}\"}\n"
        "    mapfile -t COMPREPLY < <(compgen -P \"$before\" -W \"$words\" -- \"${current##*,}\")\n"
        "    if [[ -n $files ]]; then\n"
        "        compopt -o filenames\n"
        "        mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$current\")\n"
        "    fi\n"
        "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
        "}\n"
        "complete -F _bench bench\n",
        stdout);
}

/* Text inside single quotes, where `special` needs a backslash; a quote ends them for a moment. */
static void quoted(const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            printf("%s%c", strchr(special, *text) != NULL ? "\\" : "", *text);
    }
}

static void zsh(void)
{
    puts("#compdef bench\n# Generated from bench's table of options.\n_arguments \\");
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++) {
        if (!is_one(row))
            continue;
        values of = values_of(row);
        printf("  '%s--%s%s[", row->list ? "*" : "", row->name, row->values != NULL ? "=-" : "");
        quoted(row->help, "[]:\\");
        putchar(']');
        if (row->values != NULL) {
            printf(":%s:", row->values);
            if (of.names != NULL && of.files) {
                fputs("{compadd ", stdout);
                words(of.names);
                fputs("; _files}", stdout);
            } else if (of.names != NULL) {
                fputs(of.list ? "_sequence compadd - " : "(", stdout);
                words(of.names);
                fputs(of.list ? "" : ")", stdout);
            } else if (of.files) {
                fputs("_files", stdout);
            }
        }
        puts("' \\");
    }
    puts("  && return 0");
}

static void fish(void)
{
    puts("# Generated from bench's table of options.\ncomplete -c bench -f");
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++) {
        if (!is_one(row))
            continue;
        values of = values_of(row);
        printf("complete -c bench -l %s%s%s -d '", row->name, row->values != NULL ? " -r" : "",
               of.files ? " -F" : "");
        for (const char *at = row->help; *at != '\0'; at++)
            printf("%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
        putchar('\'');
        if (of.names != NULL) {
            fputs(" -a '", stdout);
            words(of.names);
            putchar('\'');
        }
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(void);
    } forms[] = {{"man", manual}, {"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; argc == 2 && i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(argv[1], forms[i].name) == 0) {
            forms[i].write();
            return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
        }
    fputs("usage: vg_manual man|bash|zsh|fish\n", stderr);
    return 2;
}
