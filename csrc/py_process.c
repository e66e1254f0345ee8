/* forkcluster._process: what the standard library does not offer about processes.
 *
 * A double fork that is honest about signals, the subreaper and parent-death switches of prctl(2), signal
 * handlers that do nothing, the executing of programs, a listener that takes no more, and the constants of
 * wire.h for the test that holds the Python twin to it. Knows no channel and no seat.
 *
 * The state of the TERM handler is static because a signal handler can reach nothing else; it belongs to the
 * process.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spawn.h"
#include "wire.h"

#define FC_MIDDLE_TIMEOUT_MS 5000

enum { FC_ROLE_MOLD = 0, FC_ROLE_WORKER = 1 };

static atomic_int fc_leave_fd = -1; /* eventfd that a TERM makes readable; -1 before the fork */

static void
fc_ignore_signal(int number)
{
    (void)number;
}

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

static int
fc_set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}

static long
fc_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* Where a test may have the process in the middle stop itself. */
enum { FC_STOP_NOWHERE = 0, FC_STOP_MIDDLE = 1, FC_STOP_MIDDLE_FORKED = 2 };

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

PyDoc_STRVAR(
    fc_double_fork_doc,
    "double_fork(stop: int = 0) -> tuple[int, int]\n--\n\n"
    "Fork a worker that is not our child but our nearest subreaper's.\n\n"
    "Return (ROLE_MOLD, pid of the worker) in the caller and (ROLE_WORKER, own pid) in the worker.\n"
    "All signals are blocked across the fork; in the worker INT, HUP, QUIT and USR1 do nothing, TERM\n"
    "makes leave_fd() readable, also when it came at birth. The wake-up descriptor is unset and SIGCHLD\n"
    "back to default in both. Raise OSError when a fork fails and\n"
    "TimeoutError when the process in the middle has not answered within 5 s (it is killed).\n"
    "stop is for tests: where the process in the middle stops itself (STOP_MIDDLE, STOP_MIDDLE_FORKED).");

static PyObject *
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

PyDoc_STRVAR(fc_leave_descriptor_doc,
             "leave_fd() -> int\n--\n\n"
             "Give the eventfd (borrowed) that a TERM to this worker makes readable;\n"
             "-1 in a process that double_fork() did not make.");

static PyObject *
fc_leave_descriptor(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyLong_FromLong(atomic_load(&fc_leave_fd));
}

PyDoc_STRVAR(fc_quiet_signals_doc,
             "quiet_signals(numbers: Iterable[int]) -> None\n--\n\n"
             "Make these signals do nothing in this process. Unlike SIG_IGN this is not\n"
             "inherited by the programs it executes, and calls are restarted.");

static PyObject *
fc_quiet_signals(PyObject *self, PyObject *numbers)
{
    (void)self;
    PyObject *item = NULL;
    PyObject *iterator = PyObject_GetIter(numbers);
    if (iterator == NULL)
        return NULL;
    while ((item = PyIter_Next(iterator)) != NULL) {
        long number = PyLong_AsLong(item);
        Py_DECREF(item);
        if (number == -1 && PyErr_Occurred())
            break;
        if (fc_set_handler((int)number, fc_ignore_signal) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            break;
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
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

PyDoc_STRVAR(fc_record_signals_doc,
             "record_signals(numbers: Iterable[int], fd: int) -> None\n--\n\n"
             "Have each of these signals only write a record (number, sender's pid or 0, its uid; 32 bits\n"
             "each) to this descriptor, which must stay open and must not block.");

static PyObject *
fc_record_signals(PyObject *self, PyObject *arguments)
{
    (void)self;
    struct sigaction action = {.sa_sigaction = fc_record_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    PyObject *numbers = NULL, *iterator = NULL, *item = NULL;
    int fd = -1;

    if (!PyArg_ParseTuple(arguments, "Oi:record_signals", &numbers, &fd))
        return NULL;
    iterator = PyObject_GetIter(numbers);
    if (iterator == NULL)
        return NULL;
    atomic_store(&fc_record_fd, fd);
    sigfillset(&action.sa_mask);
    while ((item = PyIter_Next(iterator)) != NULL) {
        long number = PyLong_AsLong(item);
        Py_DECREF(item);
        if (number == -1 && PyErr_Occurred())
            break;
        if (sigaction((int)number, &action, NULL) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            break;
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fc_set_child_subreaper_doc, "set_child_subreaper() -> None\n--\n\n"
                                         "Become the parent of all orphans below this process (prctl(2)).");

static PyObject *
fc_set_child_subreaper(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fc_set_parent_death_signal_doc,
             "set_parent_death_signal(number: int) -> None\n--\n\n"
             "Be sent this signal when the thread that made this process ends (prctl(2)); 0 for none. Check\n"
             "getppid() afterwards: the parent may be dead already.");

static PyObject *
fc_set_parent_death_signal(PyObject *self, PyObject *argument)
{
    (void)self;
    long number = PyLong_AsLong(argument);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)number, 0, 0, 0) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    fc_spawn_doc,
    "spawn(program: bytes, argv: list[bytes], environment: list[bytes], directory: bytes,\n"
    "      descriptors: list[int], *, umask: int = -1, identity: tuple[int, int, list[int]] | None = None,\n"
    "      death_signal: int = 0, listen_pid: bool = False) -> int\n--\n\n"
    "Execute the program at a path in a new session; give its pid, which is the caller's to wait for.\n\n"
    "The descriptors (borrowed) become its 0, 1, 2 …, all others are closed. identity is (uid, gid, "
    "groups).\n"
    "death_signal is sent to it when the calling thread ends. listen_pid: its own pid is added to the\n"
    "environment as LISTEN_PID. Signals have their defaults and the caller's mask. Raise OSError saying\n"
    "what could not be done.");

/* Make a NULL-ended array of the texts of a list of bytes, with `spare` places more; NULL with an exception
 * set. The array is the caller's, its texts are the list's. */
static char **
fc_texts(PyObject *list, size_t spare)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    char **texts = PyMem_Calloc((size_t)count + spare + 1, sizeof *texts);
    if (texts == NULL)
        return (char **)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        texts[i] = PyBytes_AsString(PyList_GET_ITEM(list, i));
        if (texts[i] == NULL) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

/* Make an array of the whole numbers of a list; NULL with an exception set. The array is the caller's. */
static int *
fc_numbers(PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    int *numbers = PyMem_Calloc((size_t)count + 1, sizeof *numbers);
    if (numbers == NULL)
        return (int *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++)
        numbers[i] = (int)PyLong_AsLong(PyList_GET_ITEM(list, i));
    if (PyErr_Occurred()) {
        PyMem_Free(numbers);
        return NULL;
    }
    return numbers;
}

static PyObject *
fc_spawn_failed(FcSpawnStep step, int error, const FcSpawn *spawn)
{
    const char *format = "starting the process: %s";
    const char *object = "";
    switch (step) {
    case FC_SPAWN_OK:
    case FC_SPAWN_FORK:
        break;
    case FC_SPAWN_DESCRIPTORS:
        format = "handing over its descriptors: %s";
        break;
    case FC_SPAWN_IDENTITY:
        format = "becoming its user: %s";
        break;
    case FC_SPAWN_DIRECTORY:
        format = "changing to its directory %2$s: %1$s";
        object = spawn->directory;
        break;
    case FC_SPAWN_EXECUTE:
        format = "executing %2$s: %1$s";
        object = spawn->program;
        break;
    }
    char text[4096 + 256];
    snprintf(text, sizeof text, format, strerror(error), object);
    PyObject *value = Py_BuildValue("(iN)", error, PyUnicode_DecodeFSDefault(text));
    if (value != NULL) {
        PyErr_SetObject(PyExc_OSError, value);
        Py_DECREF(value);
    }
    return NULL;
}

static PyObject *
fc_spawn_program(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"program", "argv",     "environment",  "directory",  "descriptors",
                            "umask",   "identity", "death_signal", "listen_pid", NULL};
    PyObject *argv, *environment, *descriptors, *identity = Py_None, *groups = NULL;
    PyObject *result = NULL;
    char **argv_texts = NULL, **environment_texts = NULL;
    int *descriptor_numbers = NULL, *group_numbers = NULL;
    char listen_pid[32] = "LISTEN_PID=";
    int listen = 0, uid = 0, gid = 0, error = 0;
    FcSpawn spawn = {.umask = -1};
    pid_t pid = -1;
    (void)self;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "yO!O!yO!|$iOip:spawn", names, &spawn.program,
                                     &PyList_Type, &argv, &PyList_Type, &environment, &spawn.directory,
                                     &PyList_Type, &descriptors, &spawn.umask, &identity, &spawn.death_signal,
                                     &listen))
        return NULL;
    if (identity != Py_None && !PyArg_ParseTuple(identity, "iiO!", &uid, &gid, &PyList_Type, &groups))
        return NULL;
    if ((argv_texts = fc_texts(argv, 0)) == NULL || (environment_texts = fc_texts(environment, 1)) == NULL ||
        (descriptor_numbers = fc_numbers(descriptors)) == NULL)
        goto done;
    if (groups != NULL) {
        if ((group_numbers = fc_numbers(groups)) == NULL)
            goto done;
        spawn.become = true;
        spawn.uid = (uid_t)uid;
        spawn.gid = (gid_t)gid;
        spawn.groups = (const gid_t *)group_numbers; /* both are 32 bits wide on Linux */
        spawn.group_count = (int)PyList_GET_SIZE(groups);
    }
    if (listen) {
        environment_texts[PyList_GET_SIZE(environment)] = listen_pid;
        spawn.listen_pid = listen_pid + strlen(listen_pid);
    }
    spawn.argv = argv_texts;
    spawn.envp = environment_texts;
    spawn.descriptors = descriptor_numbers;
    spawn.descriptor_count = (int)PyList_GET_SIZE(descriptors);
    FcSpawnStep step = fc_spawn(&spawn, &pid, &error);
    result = step == FC_SPAWN_OK ? PyLong_FromLong(pid) : fc_spawn_failed(step, error, &spawn);
done:
    PyMem_Free(argv_texts);
    PyMem_Free(environment_texts);
    PyMem_Free(descriptor_numbers);
    PyMem_Free(group_numbers);
    return result;
}

PyDoc_STRVAR(
    fc_refuse_handshakes_doc,
    "refuse_handshakes(listener: int) -> None\n--\n\n"
    "Let no new TCP connection be made to this listening socket, for all who hold it: what is in its\n"
    "accept queue can be served to the last before it is closed, and nobody is reset. SYNs are\n"
    "dropped; the client tries again and finds the socket closed.");

static PyObject *
fc_refuse_handshakes(PyObject *self, PyObject *argument)
{
    /* The packet begins with the TCP header (RFC 9293 section 3.1), whose flags are in byte 13. */
    static struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* SYN, ACK */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog program = {.len = sizeof drop_syn / sizeof drop_syn[0], .filter = drop_syn};
    long listener = PyLong_AsLong(argument);

    (void)self;
    if (listener == -1 && PyErr_Occurred())
        return NULL;
    if (setsockopt((int)listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fc_wire_constants_doc, "wire_constants() -> dict[str, int]\n--\n\n"
                                    "Give the names and values of csrc/wire.h, and the offsets of its head.");

static PyObject *
fc_wire_constants(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
#define FC_NAMED(name)                                                                                       \
    {                                                                                                        \
        #name, FC_##name                                                                                     \
    }
#define FC_OFFSET(name)                                                                                      \
    {                                                                                                        \
        "offset_" #name, (long)offsetof(FcHead, name)                                                        \
    }
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        FC_NAMED(WIRE_MAGIC),
        FC_NAMED(WIRE_VERSION),
        FC_NAMED(WIRE_PAYLOAD),
        FC_NAMED(KIND_LOAD),
        FC_NAMED(KIND_FORK),
        FC_NAMED(KIND_EXIT),
        FC_NAMED(KIND_HOOK),
        FC_NAMED(KIND_MOLD_HELLO),
        FC_NAMED(KIND_LOADED),
        FC_NAMED(KIND_FAILED),
        FC_NAMED(KIND_FORKED),
        FC_NAMED(KIND_FORK_FAILED),
        FC_NAMED(KIND_HELLO),
        FC_NAMED(KIND_READY),
        FC_NAMED(KIND_LEAVE),
        FC_NAMED(KIND_RETIRE),
        FC_NAMED(KIND_QUIT),
        FC_NAMED(KIND_LOG),
        FC_NAMED(KIND_PEER),
        FC_NAMED(KIND_NUDGE),
        FC_NAMED(KIND_STACKS),
        FC_NAMED(KIND_LISTEN),
        FC_NAMED(KIND_PROBE),
        FC_NAMED(KIND_TAKE),
        FC_NAMED(KIND_REOPEN),
        FC_NAMED(KIND_FLUSH),
        FC_NAMED(KIND_ENDED),
        FC_NAMED(KIND_FLUSHED),
        FC_NAMED(KIND_TROUBLE),
        FC_OFFSET(magic),
        FC_OFFSET(version),
        FC_OFFSET(kind),
        FC_OFFSET(seat),
        FC_OFFSET(epoch),
        FC_OFFSET(deadline_ns),
        FC_OFFSET(arg),
        {"head_size", sizeof(FcHead)},
    };
    PyObject *result = PyDict_New();
    if (result == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        PyObject *value = PyLong_FromLong(constants[i].value);
        if (value == NULL || PyDict_SetItemString(result, constants[i].name, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(result);
            return NULL;
        }
        Py_DECREF(value);
    }
    return result;
}

PyDoc_STRVAR(fc_trim_memory_doc, "trim_memory() -> None\n--\n\n"
                                 "Give memory that was used once and is free now back to the system.");

static PyObject *
fc_trim_memory(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    malloc_trim(0);
    Py_RETURN_NONE;
}

static PyMethodDef fc_process_methods[] = {
    {"double_fork", fc_double_fork, METH_VARARGS, fc_double_fork_doc},
    {"leave_fd", fc_leave_descriptor, METH_NOARGS, fc_leave_descriptor_doc},
    {"quiet_signals", fc_quiet_signals, METH_O, fc_quiet_signals_doc},
    {"record_signals", fc_record_signals, METH_VARARGS, fc_record_signals_doc},
    {"set_child_subreaper", fc_set_child_subreaper, METH_NOARGS, fc_set_child_subreaper_doc},
    {"set_parent_death_signal", fc_set_parent_death_signal, METH_O, fc_set_parent_death_signal_doc},
    {"spawn", (PyCFunction)(void (*)(void))fc_spawn_program, METH_VARARGS | METH_KEYWORDS, fc_spawn_doc},
    {"refuse_handshakes", fc_refuse_handshakes, METH_O, fc_refuse_handshakes_doc},
    {"trim_memory", fc_trim_memory, METH_NOARGS, fc_trim_memory_doc},
    {"wire_constants", fc_wire_constants, METH_NOARGS, fc_wire_constants_doc},
    {NULL, NULL, 0, NULL},
};

static int
fc_process_exec(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "ROLE_MOLD", FC_ROLE_MOLD) < 0 ||
        PyModule_AddIntConstant(module, "STOP_MIDDLE", FC_STOP_MIDDLE) < 0 ||
        PyModule_AddIntConstant(module, "STOP_MIDDLE_FORKED", FC_STOP_MIDDLE_FORKED) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "ROLE_WORKER", FC_ROLE_WORKER);
}

static PyModuleDef_Slot fc_process_slots[] = {
    {Py_mod_exec, fc_process_exec},
    {0, NULL},
};

static struct PyModuleDef fc_process_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkcluster._process",
    .m_doc = "What the standard library does not offer about processes.",
    .m_methods = fc_process_methods,
    .m_slots = fc_process_slots,
};

PyMODINIT_FUNC
PyInit__process(void)
{
    return PyModuleDef_Init(&fc_process_module);
}
