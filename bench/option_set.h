/* The parser's state, and how one option changes it. */
#ifndef VG_OPTION_SET_H
#define VG_OPTION_SET_H

#include "option_table.h"

/* The parser's state. A source is one preset or the command line, which comes last: a later source
 * replaces what an earlier one set, while within one source a list adds up. */
typedef struct vg_parser {
    vg_options *options;
    int source, command_line; /* the present source, and the number of the last */
    int set_by[VG_MAX_OPTIONS];
} vg_parser;

/* One option as typed. */
typedef struct vg_argument {
    const vg_option_row *row;
    const char *value; /* null: none */
    const char *shown; /* the word that names it */
} vg_argument;

/* Sets the option by the rule of sources. VG_INVALID with one line, VG_NO_MEMORY. */
vg_status vg_option_set(vg_parser *parser, const vg_argument *argument);

/* Whether the command line itself set the option. */
bool vg_option_typed(const vg_parser *parser, const char *name);

#endif
