/* The program `bench`: a supervisor, or one of its workers. */
#include "plan.h"
#include "supervisor.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whether all of the text really went out. */
static int flushed(FILE *to)
{
    return fflush(to) == 0 && !ferror(to) ? 0 : vg_plan_exit(VG_IO);
}

/* A stream that is closed would be the next file that is opened: what goes to stderr would stand in
 * results. In its place is a file that fails as it did. */
static void streams_hold(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    streams_hold();
    if (argc > 1 && strcmp(argv[1], VG_WORKER_ARGUMENT) == 0)
        return vg_worker_main(argc - 2, argv + 2);
    vg_options options;
    vg_status status = vg_options_parse(argc, argv, &options);
    if (status != VG_OK) {
        fprintf(stderr, "bench: %s\n", vg_reason());
        return vg_plan_exit(status);
    }
    int code;
    if (options.command == VG_COMMAND_HELP) {
        vg_options_help(stdout);
        code = flushed(stdout);
    } else if (options.command == VG_COMMAND_VERSION) {
        vg_options_version(stdout);
        code = flushed(stdout);
    } else {
        code = vg_supervisor_main(&options);
    }
    vg_options_free(&options);
    return code;
}
