/* Worker processes: fork, exec, pipes, deadlines, and what became of one that is gone. */
#include "process.h"

#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double vg_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Between fork and exec: only what is safe there. Never returns. */
static void child_become_worker(int in, int out, const char *supervisor)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    vg_interrupt_reset();
    /* Out of the way first: the pipes' ends may be the very numbers wanted. */
    in = fcntl(in, F_DUPFD, VG_WORKER_OUT + 1);
    out = fcntl(out, F_DUPFD, VG_WORKER_OUT + 1);
    int nothing = open("/dev/null", O_RDONLY);
    /* A library that prints must not print into results on stdout. */
    if (in < 0 || out < 0 || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || dup2(in, VG_WORKER_IN) < 0 ||
        dup2(out, VG_WORKER_OUT) < 0)
        _exit(127);
    close(in);
    close(out);
    if (nothing > VG_WORKER_OUT)
        close(nothing);
    execl("/proc/self/exe", "bench", VG_WORKER_ARGUMENT, supervisor, (char *)NULL);
    _exit(127);
}

vg_status vg_process_start(vg_process *out)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0)
        VG_FAIL(VG_NO_MEMORY, "no pipe to a worker: %s", strerror(errno));
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]);
        close(to[1]);
        VG_FAIL(VG_NO_MEMORY, "no pipe from a worker: %s", strerror(errno));
    }
    char supervisor[24];
    snprintf(supervisor, sizeof supervisor, "%ld", (long)getpid());
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child_become_worker(to[0], from[1], supervisor);
    int problem = errno;
    close(to[0]);
    close(from[1]);
    if (pid < 0) {
        close(to[1]);
        close(from[0]);
        VG_FAIL(VG_NO_MEMORY, "no process for a worker: %s", strerror(problem));
    }
    *out = (vg_process){.pid = pid, .to = to[1], .from = from[0]};
    return VG_OK;
}

/* Waits, for so long at most, for a process to end by itself. */
static bool process_ended(const vg_process *process, double limit_s)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    double deadline = vg_now() + limit_s;
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ||
           errno == EINTR) {
        if (info.si_pid == process->pid)
            return true;
        if (vg_now() > deadline)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void process_forget(vg_process *process)
{
    close(process->to);
    close(process->from);
    vg_inbox_free(&process->inbox);
    process->pid = 0;
}

/* Forgets a process that has ended; how it did. */
static int process_reap(vg_process *process)
{
    int state = 0;
    while (waitpid(process->pid, &state, 0) < 0 && errno == EINTR)
        continue;
    process_forget(process);
    return state;
}

/* One that not even this ends, held by a driver in the kernel, is left behind: 0. */
static int process_kill(vg_process *process)
{
    enum { DYING_S = 10 };
    kill(-process->pid, SIGKILL);
    kill(process->pid, SIGKILL);
    if (process_ended(process, DYING_S))
        return process_reap(process);
    process_forget(process);
    return 0;
}

/* The pipe closed without DONE. */
static vg_status process_died(vg_process *process)
{
    enum { ENDING_S = 2 };
    bool ended = process_ended(process, ENDING_S);
    int state = ended ? process_reap(process) : process_kill(process);
    bool killed = WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL;
    if (!ended)
        VG_FAIL(VG_CRASHED, "the worker closed its pipe and did not end");
    if (killed)
        VG_FAIL(VG_NO_MEMORY, "the worker was killed (SIGKILL), most likely for want of memory");
    const char *name = WIFSIGNALED(state) ? sigabbrev_np(WTERMSIG(state)) : NULL;
    if (name)
        VG_FAIL(VG_CRASHED, "SIG%s", name);
    if (WIFSIGNALED(state))
        VG_FAIL(VG_CRASHED, "signal %d", WTERMSIG(state));
    VG_FAIL(VG_CRASHED, "the worker ended by itself with code %d", WEXITSTATUS(state));
}

/* Waits until the worker has written something. */
static vg_status answer_wait(vg_process *process, vg_interrupt *interrupt, double deadline,
                             double limit)
{
    for (;;) {
        double left = deadline - vg_now();
        if (!(left > 0)) {
            process_kill(process);
            VG_FAIL(VG_TIMEOUT, "no answer within %.3g s", limit);
        }
        struct pollfd ends[] = {{process->from, POLLIN, 0}, {interrupt->fd, POLLIN, 0}};
        int milliseconds = left > 1e6 ? 1000000000 : (int)ceil(left * 1e3);
        int ready = poll(ends, 2, milliseconds);
        if (ready < 0 && errno != EINTR) {
            int problem = errno;
            process_kill(process);
            VG_FAIL(VG_CRASHED, "waiting for a worker: %s", strerror(problem));
        }
        if (vg_interrupt_look(interrupt) && interrupt->count > 1) {
            process_kill(process);
            VG_FAIL(VG_INTERRUPTED, "stopped at once");
        }
        if (ready > 0 && ends[0].revents != 0)
            return VG_OK;
    }
}

vg_status vg_process_ask(vg_process *process, vg_interrupt *interrupt, const vg_question *question)
{
    vg_status status = vg_frame_write(process->to, question->type, question->body, question->tail,
                                      question->tail_size);
    if (status == VG_IO)
        return process_died(process);
    VG_TRY(status);
    double deadline = vg_now() + question->limit_s;
    for (;;) {
        vg_frame frame;
        bool got = false, closed = false;
        if (vg_inbox_take(&process->inbox, &got, &frame) != VG_OK) {
            char reason[256];
            snprintf(reason, sizeof reason, "%s", vg_reason());
            process_kill(process);
            VG_FAIL(VG_CRASHED, "the worker sent nonsense: %s", reason);
        }
        if (got && frame.type == VG_FRAME_DONE) {
            if (frame.body.done.status != VG_OK)
                vg_fail(VG_OK, "%s", frame.body.done.reason);
            return (vg_status)frame.body.done.status;
        }
        if (got) {
            question->answer(question->context, &frame);
            continue;
        }
        VG_TRY(answer_wait(process, interrupt, deadline, question->limit_s));
        status = vg_inbox_fill(&process->inbox, process->from, &closed);
        if (status != VG_OK) {
            process_kill(process);
            return status;
        }
        if (closed)
            return process_died(process);
    }
}

void vg_process_stop(vg_process *process)
{
    enum { POLITE_MS = 2000 };
    if (process->pid == 0)
        return;
    /* The end of its requests ends a worker; it has a moment for it. */
    close(process->to);
    process->to = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct pollfd end = {process->from, POLLIN, 0};
    double deadline = vg_now() + 1e-3 * POLITE_MS;
    char rest[4096];
    for (;;) {
        double left = deadline - vg_now();
        if (left <= 0 || (poll(&end, 1, (int)(left * 1e3) + 1) < 0 && errno != EINTR))
            break;
        if (end.revents != 0 && read(process->from, rest, sizeof rest) == 0)
            break;
    }
    process_kill(process);
}
