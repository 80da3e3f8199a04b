/* A case's name and back: MODEL[-ACT][+OUTACT]/dD/wW[/iI][/oO]/bB[/tT]/DTYPE/INIT[/...]/seedS. */
#ifndef VG_CASE_H
#define VG_CASE_H

#include "vg/model.h"

enum { VG_CASE_NAME = 256 };

/* The command line's defaults of a kind. Three fields hold what vg_model_complete() resolves:
 * input 0 (= width), output_activation VG_ACTIVATION_COUNT (identity of a read-out, else the
 * layer's own), init.kind VG_INIT_COUNT (by activation). */
void vg_model_defaults(vg_model_kind kind, vg_activation activation, vg_model *out);

/* Checks the ranges and that the combination exists, and resets what does not concern the kind to
 * its default. VG_INVALID: a value out of range; VG_UNSUPPORTED: values fine, but the combination
 * does not exist (maxout in an rnn). The reason names the option as the user types it. */
vg_status vg_model_complete(vg_model *model);

/* The canonical name of a complete model; at most VG_CASE_NAME bytes with the end. */
void vg_case_name(const vg_model *model, char out[VG_CASE_NAME]);

/* Strict: vg_case_name() of the result is `name` again, byte for byte; else VG_INVALID and where.
 */
vg_status vg_case_parse(const char *name, vg_model *out);

/* Names of the enumerations, shared with the option table; count-terminated by their enums. */
const char *vg_loss_name(vg_loss loss);
const char *vg_loss_at_name(vg_loss_at at);
const char *vg_input_name(vg_input x);
/* "normal:1.5:0.05", "orthogonal". Parsing takes all of [text, text + length) and any decimal
 * spelling of the numbers; ranges are vg_model_complete()'s. */
void vg_init_name(vg_init init, char *out, size_t size);
vg_status vg_init_parse(const char *text, size_t length, vg_init *out);

#endif
