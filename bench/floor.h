/* What a set of passes costs at least, by the peaks measured beside it. */
#ifndef VG_FLOOR_H
#define VG_FLOOR_H

#include "vg/device.h"

/* The sum over the ops of the passes of max(FLOP / peak, Σ bytes of an operand / bandwidth of its
 * levels), seconds; a scan's recurrent weights count once a step. A level can keep of an operand
 * the share capacity / distance, where the distance is all that the passes, run again and again,
 * touch from one use of it to the next; so the weights of a deep stack come from where all of them
 * fit, and from both levels where they are just too many for the nearer. With several threads a
 * scan costs the least of: units shared out, with a barrier a step; batch rows shared out, where
 * there are enough, each thread reading the weights; one thread for it alone at its share of the
 * peak, the others on other layers. NaN where a peak that is needed is not known, or memory is
 * short. */
double vg_floor(const vg_program *program, unsigned passes, const vg_peaks *peaks,
                uint32_t threads);

#endif
