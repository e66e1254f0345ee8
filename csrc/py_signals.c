/* Signal handlers that do nothing, or only write down who sent what. */
#include "py_process.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

void
fc_ignore_signal(int number)
{
    (void)number;
}

int
fc_set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}

/* Do this at each of the signals. None, or NULL with an exception set; those before the bad one are set. */
static PyObject *
set_each(PyObject *numbers, const struct sigaction *action)
{
    PyObject *item = NULL;
    PyObject *iterator = PyObject_GetIter(numbers);

    if (iterator == NULL)
        return NULL;
    while ((item = PyIter_Next(iterator)) != NULL) {
        long number = PyLong_AsLong(item);
        Py_DECREF(item);
        if (number == -1 && PyErr_Occurred())
            break;
        if (sigaction((int)number, action, NULL) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            break;
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

const char fc_quiet_signals_doc[] =
    PyDoc_STR("quiet_signals(numbers: Iterable[int]) -> None\n--\n\n"
              "Make these signals do nothing in this process. Unlike SIG_IGN this is not\n"
              "inherited by the programs it executes, and calls are restarted.");

PyObject *
fc_quiet_signals(PyObject *self, PyObject *numbers)
{
    struct sigaction action = {.sa_handler = fc_ignore_signal, .sa_flags = SA_RESTART};

    (void)self;
    sigemptyset(&action.sa_mask);
    return set_each(numbers, &action);
}

/* Where record_signals() writes; -1: nowhere. */
static _Atomic int fc_record_fd = -1;

typedef struct FcSignalRecord {
    int32_t number, pid; /* pid 0: not sent by a process, or by one outside our namespace */
    uint32_t uid;
} FcSignalRecord;

static void
fc_record_signal(int number, siginfo_t *info, void *context)
{
    bool sent = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
    FcSignalRecord record = {
        .number = number, .pid = sent ? info->si_pid : 0, .uid = sent ? info->si_uid : 0};
    int saved = errno;

    (void)context;
    /* A full pipe holds hundreds of records that nobody has read: one more tells nothing new. */
    (void)!write(atomic_load(&fc_record_fd), &record, sizeof record);
    errno = saved;
}

const char fc_record_signals_doc[] =
    PyDoc_STR("record_signals(numbers: Iterable[int], fd: int) -> None\n--\n\n"
              "Have each of these signals only write a record (number, sender's pid or 0, its uid; 32 bits\n"
              "each) to this descriptor, which must stay open and must not block.");

PyObject *
fc_record_signals(PyObject *self, PyObject *arguments)
{
    struct sigaction action = {.sa_sigaction = fc_record_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    PyObject *numbers = NULL;
    int fd = -1;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "Oi:record_signals", &numbers, &fd))
        return NULL;
    atomic_store(&fc_record_fd, fd);
    sigfillset(&action.sa_mask);
    return set_each(numbers, &action);
}
