/* Signals through a signalfd: nothing runs between two instructions, and no global remembers. */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Not those that whoever started this has it ignore, as nohup does: a blocked one would come. */
static sigset_t signals_of_ours(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction now;
        if (sigaction(numbers[i], NULL, &now) != 0 || now.sa_handler != SIG_IGN)
            sigaddset(&set, numbers[i]);
    }
    return set;
}

vg_status vg_interrupt_open(vg_interrupt *out)
{
    sigset_t set = signals_of_ours();
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        VG_FAIL(VG_IO, "cannot watch for signals: %s", strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    *out = (vg_interrupt){.fd = fd};
    return VG_OK;
}

bool vg_interrupt_look(vg_interrupt *interrupt)
{
    struct signalfd_siginfo info;
    bool fresh = false;
    while (read(interrupt->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (interrupt->count++ == 0)
            interrupt->signal = (int)info.ssi_signo;
        fresh = true;
    }
    return fresh;
}

void vg_interrupt_close(vg_interrupt *interrupt)
{
    sigset_t set = signals_of_ours();
    close(interrupt->fd);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void vg_interrupt_reset(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
}
