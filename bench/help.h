/* What the program says of itself beside its table of options: --help and the manual page tell it.
 */
#ifndef VG_HELP_H
#define VG_HELP_H

typedef struct vg_help_pair {
    const char *term, *what;
} vg_help_pair;

extern const char vg_help_summary[];
extern const char vg_help_values[];           /* how values are written; whole lines */
extern const vg_help_pair vg_help_examples[]; /* arguments; a null term ends */
extern const vg_help_pair vg_help_exits[];    /* exit status; a null term ends */

#endif
