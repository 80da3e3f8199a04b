/* vg_latency: prints how long a GPU takes to synchronise, as CSV. */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_row(void *context, const vg_latency *l)
{
    (void)context;
    printf("%s,%u,%u,%.4f,%.4f,%.4f\n", l->what, l->blocks, l->threads, l->microseconds, l->lower,
           l->upper);
    fflush(stdout);
}

/* --name=N: whether this is it; -1 in *out: not a number. */
static int take(const char *argument, const char *name, long *out)
{
    const size_t length = strlen(name);
    char *end;
    if (strncmp(argument, name, length) != 0)
        return 0;
    *out = strtol(argument + length, &end, 10);
    if (end == argument + length || *end || *out < 0 || *out > 1000000)
        *out = -1;
    return 1;
}

int main(int argc, char **argv)
{
    long ordinal = 0, times = 1000, samples = 21;
    for (int i = 1; i < argc; i++)
        if (!take(argv[i], "--gpu=", &ordinal) && !take(argv[i], "--times=", &times) &&
            !take(argv[i], "--samples=", &samples)) {
            fprintf(stderr, "vg_latency: %s: expected --gpu=N, --times=N or --samples=N\n",
                    argv[i]);
            return 2;
        }
    if (ordinal < 0 || times < 1 || samples < 1) {
        fprintf(stderr, "vg_latency: expected whole numbers, at most 1000000\n");
        return 2;
    }
    const vg_probe_how how = {(int)ordinal, (uint32_t)times, (uint32_t)samples};
    printf("what,blocks,threads,microseconds,quartile_1,quartile_3\n");
    const vg_status status = vg_probe_run(&how, print_row, NULL);
    if (status != VG_OK)
        fprintf(stderr, "vg_latency: %s: %s\n", vg_status_name(status), vg_reason());
    return status == VG_OK ? 0 : status == VG_INVALID ? 2 : 1;
}
