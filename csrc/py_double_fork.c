/* A double fork that is honest about signals: the worker is the nearest subreaper's child, not the mold's.
 *
 * The state of the TERM handler is static because a signal handler can reach nothing else; it belongs to the
 * process.
 */
#include "py_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FC_MIDDLE_TIMEOUT_MS 5000

static atomic_int fc_leave_fd = -1; /* eventfd that a TERM makes readable; -1 before the fork */

/* "Retire me": wake whoever polls the eventfd. Async-signal-safe. */
static void
fc_leave_signal(int number)
{
    (void)number;
    int saved = errno;
    uint64_t one = 1;
    int fd = atomic_load_explicit(&fc_leave_fd, memory_order_relaxed);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* the counter is at its limit: it is readable already */
    }
    errno = saved;
}

static long
fc_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* The second half of the fork, in the middle process: tell the mold the pid (or -errno) and vanish. Returns
 * in the grandchild only. */
static void
fc_middle(int tell, int stop)
{
    if (stop == FC_STOP_MIDDLE)
        raise(SIGSTOP);
    pid_t pid = fork();
    if (pid == 0)
        return;
    int word = pid < 0 ? -errno : pid;
    ssize_t sent = -1;
    if (stop == FC_STOP_MIDDLE_FORKED)
        raise(SIGSTOP);
    do
        sent = write(tell, &word, sizeof word);
    while (sent < 0 && errno == EINTR);
    _exit(sent == sizeof word ? 0 : 1);
}

/* In the new worker, all signals still blocked: nothing the mold's handlers would do may happen here, and a
 * TERM that is pending since birth must find its handler. */
static void
fc_reset_signals(void)
{
    static const int quiet[] = {SIGINT, SIGHUP, SIGQUIT, SIGUSR1};
    atomic_store(&fc_leave_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    for (size_t i = 0; i < sizeof quiet / sizeof quiet[0]; i++)
        fc_set_handler(quiet[i], fc_ignore_signal);
    fc_set_handler(SIGTERM, fc_leave_signal);
}

/* Unset the wake-up descriptor an import may have left, before the fork: shared with a child it would wake
 * the parent. */
static int
fc_unset_wakeup(void)
{
    PyObject *module = PyImport_ImportModule("signal");
    if (module == NULL)
        return -1;
    PyObject *before = PyObject_CallMethod(module, "set_wakeup_fd", "i", -1);
    Py_DECREF(module);
    Py_XDECREF(before);
    return before == NULL ? -1 : 0;
}

/* Read the grandchild's pid within the time; a positive pid, or -errno (-ETIMEDOUT, -EPIPE: it died unheard).
 */
static int
fc_hear_pid(int hear, long until_ms)
{
    struct pollfd poller = {.fd = hear, .events = POLLIN};
    for (;;) {
        long left = until_ms - fc_now_ms();
        int ready = poll(&poller, 1, left > 0 ? (int)left : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        int word = 0;
        ssize_t got = read(hear, &word, sizeof word);
        if (got < 0 && errno == EINTR)
            continue;
        return got == sizeof word ? word : -EPIPE;
    }
}

/* Reap the middle process, by force when it did not answer. It has nothing left to do but _exit. */
static void
fc_reap_middle(pid_t middle, bool by_force)
{
    if (by_force)
        kill(middle, SIGKILL);
    while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
        continue;
}

const char fc_double_fork_doc[] = PyDoc_STR(
    "double_fork(stop: int = 0) -> tuple[int, int]\n--\n\n"
    "Fork a worker that is not our child but our nearest subreaper's.\n\n"
    "Return (ROLE_MOLD, pid of the worker) in the caller and (ROLE_WORKER, own pid) in the worker.\n"
    "All signals are blocked across the fork; in the worker INT, HUP, QUIT and USR1 do nothing, TERM\n"
    "makes leave_fd() readable, also when it came at birth. The wake-up descriptor is unset and SIGCHLD\n"
    "back to default in both. Raise OSError when a fork fails and\n"
    "TimeoutError when the process in the middle has not answered within 5 s (it is killed).\n"
    "stop is for tests: where the process in the middle stops itself (STOP_MIDDLE, STOP_MIDDLE_FORKED).");

PyObject *
fc_double_fork(PyObject *self, PyObject *args)
{
    (void)self;
    int ends[2] = {-1, -1}, stop = FC_STOP_NOWHERE;
    sigset_t all, before;
    int word = 0;

    if (!PyArg_ParseTuple(args, "|i", &stop) || fc_unset_wakeup() < 0)
        return NULL;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    fc_set_handler(SIGCHLD, SIG_DFL);
    PyOS_BeforeFork();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t middle = fork();
    int failure = middle < 0 ? errno : 0;
    if (middle == 0) {
        fc_middle(ends[1], stop);
        close(ends[0]);
        close(ends[1]);
        fc_reset_signals();
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        PyOS_AfterFork_Child();
        return Py_BuildValue("(ii)", FC_ROLE_WORKER, (int)getpid());
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    PyOS_AfterFork_Parent();
    close(ends[1]);
    if (failure != 0) {
        word = -failure;
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    word = fc_hear_pid(ends[0], fc_now_ms() + FC_MIDDLE_TIMEOUT_MS);
    fc_reap_middle(middle, word <= 0);
    Py_END_ALLOW_THREADS;
done:
    close(ends[0]);
    if (word <= 0) {
        errno = -word;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(ii)", FC_ROLE_MOLD, word);
}

const char fc_leave_descriptor_doc[] =
    PyDoc_STR("leave_fd() -> int\n--\n\n"
              "Give the eventfd (borrowed) that a TERM to this worker makes readable;\n"
              "-1 in a process that double_fork() did not make.");

PyObject *
fc_leave_descriptor(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyLong_FromLong(atomic_load(&fc_leave_fd));
}
