/* --help, generated from the table of options, and --version. */
#include "help.h"

#include "build_info.h"
#include "option_table.h"

#include "vg/devices.h"

#include <string.h>

const char vg_help_summary[] =
    "how fast, and how far, gradients travel through deep and long networks";

const vg_help_pair vg_help_examples[] = {
    {"--device=cuda --depth=64", "64 layers on the first GPU"},
    {"--seq-len=128,1024 --width=512", "rnn, lstm and gru, two lengths"},
    {"--model=lstm --seq-len=1:1024:*2 --forget-bias=drawn,1", "a sweep and a remedy"},
    {"--device='cpu.*' --preset=quick", "every CPU device side by side"},
    {"--case=stack-tanh/d64/w256/b32/fp32/xavier/seed1 --check", "one case, its results alone"},
    {NULL, NULL}};

const char vg_help_values[] =
    "Results go to stderr as a table and to files (--out). Several values of an option make\n"
    "several cases. AXIS: 8 or 8,16,64 or 1:64:*2 or 0:100:+10. TIME: 0.2s, 200ms, 1m.\n";

const vg_help_pair vg_help_exits[] = {{"0", "all well"},
                                      {"1", "a case failed"},
                                      {"2", "usage"},
                                      {"3", "a named device is not there"},
                                      {"4", "results could not be written"},
                                      {"130, 143, 129", "Ctrl-C, SIGTERM, SIGHUP"},
                                      {NULL, NULL}};

enum { LEFT = 26, WIDTH = 100 };

/* Words of the text from column `*at` on, in lines of WIDTH that begin at column LEFT. */
static void print_words(FILE *to, const char *text, int *at)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (*at + 1 + length > WIDTH) {
            fprintf(to, "\n%*s", LEFT, "");
            *at = LEFT;
        }
        fprintf(to, " %.*s", length, text);
        *at += 1 + length;
        text += length;
        text += strspn(text, " ");
    }
}

/* "  left    help [fallback]"; a left part that is too long stands on a line of its own. */
static void print_row(FILE *to, const char *left, const char *help, const char *fallback)
{
    int at = (int)strlen(left) + 2;
    fprintf(to, "  %-*s", LEFT - 2, left);
    at = at > LEFT ? WIDTH : LEFT;
    print_words(to, help, &at);
    if (fallback != NULL) {
        char text[128];
        snprintf(text, sizeof text, "[%s]", fallback);
        print_words(to, text, &at);
    }
    fputc('\n', to);
}

static void print_option(FILE *to, const vg_option_row *row)
{
    char left[128];
    snprintf(left, sizeof left, "--%s%s%s", row->name, row->values != NULL ? "=" : "",
             row->values != NULL ? row->values : "");
    print_row(to, left, row->help, row->fallback);
}

void vg_options_help(FILE *to)
{
    fprintf(to, "bench: %s\n\nExamples\n", vg_help_summary);
    for (const vg_help_pair *e = vg_help_examples; e->term != NULL; e++)
        fprintf(to, "  bench %-58s %s\n", e->term, e->what);
    fprintf(to, "\n%s", vg_help_values);
    for (const vg_option_row *row = vg_option_rows; row->name != NULL; row++) {
        if (row->group != NULL)
            fprintf(to, "\n%s\n", row->group);
        print_option(to, row);
    }
    fputs("\nExit status\n", to);
    for (const vg_help_pair *e = vg_help_exits; e->term != NULL; e++)
        print_row(to, e->term, e->what, NULL);
}

void vg_options_version(FILE *to)
{
    const vg_build_info *b = vg_build_info_get();
    fprintf(to, "bench %s", b->version);
    if (b->commit[0] != '\0')
        fprintf(to, " (commit %s%s)", b->commit, b->dirty ? ", modified" : "");
    fprintf(to, "\ncompiler: %s, %s\n", b->compiler, b->flags);
    fprintf(to, "libraries: hwloc %s, Google Benchmark %s, jansson %s\n",
            b->hwloc[0] != '\0' ? b->hwloc : "none",
            b->benchmark[0] != '\0' ? b->benchmark : "none",
            b->jansson[0] != '\0' ? b->jansson : "none");
    if (b->parts[0] != '\0')
        fprintf(to, "devices' parts: %s\n", b->parts);
    fprintf(to, "devices:");
    for (const vg_driver *const *d = vg_drivers(); *d != NULL; d++)
        fprintf(to, " %s", (*d)->family);
    fprintf(to, "\n");
    for (const vg_absent_family *a = vg_absent_families(); a->family != NULL; a++)
        fprintf(to, "without %s: %s\n", a->family, a->reason);
}
