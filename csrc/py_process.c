/* forkcluster._process: what the standard library does not offer about processes.
 *
 * The module and its smallest functions: the subreaper and parent-death switches of prctl(2), a listener that
 * takes no more, the CPU left to others. The larger ones have rooms of their own. Knows no channel and
 * no seat.
 */
#include "py_process.h"

#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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

PyDoc_STRVAR(fc_give_way_doc,
             "give_way() -> None\n--\n\n"
             "Leave the CPU to whoever serves requests, as far as the kernel lets a process choose: a ninth\n"
             "of a worker's weight where CPUs are short, and a worker that wakes need not wait. Threads and\n"
             "children made from now on inherit it.");

/* struct sched_attr of sched_setattr(2), first version; the C library names it only since glibc 2.41. */
typedef struct {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime; /* ns; of an ordinary process the slice it asks for, since Linux 6.12 */
    uint64_t deadline;
    uint64_t period;
} FcSchedAttr;

/* Niceness added, the most there is, nanoseconds. */
enum { FC_LATER = 10, FC_LAST = 19, FC_LONG_SLICE = 100 * 1000 * 1000 };

/* EEVDF lets a running process finish its slice, at a nice of 19, too, and looks again at the next tick: a
 * worker that woke waited up to 4 ms. One whose slice is shorter than the running one's does not wait.
 * SCHED_IDLE would do the same, but starves on a busy machine, and without privilege there is no way back. */
static PyObject *
fc_give_way(PyObject *self, PyObject *unused)
{
    FcSchedAttr attr = {.size = sizeof attr};

    (void)self, (void)unused;
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) == 0) {
        attr.nice = attr.nice + FC_LATER < FC_LAST ? attr.nice + FC_LATER : FC_LAST;
        attr.runtime = FC_LONG_SLICE;
        (void)syscall(SYS_sched_setattr, 0, &attr, 0); /* refused in a sandbox: then we run as others do */
    }
    Py_RETURN_NONE;
}

static PyMethodDef fc_process_methods[] = {
    {"double_fork", fc_double_fork, METH_VARARGS, fc_double_fork_doc},
    {"give_way", fc_give_way, METH_NOARGS, fc_give_way_doc},
    {"leave_fd", fc_leave_descriptor, METH_NOARGS, fc_leave_descriptor_doc},
    {"quiet_signals", fc_quiet_signals, METH_O, fc_quiet_signals_doc},
    {"record_signals", fc_record_signals, METH_VARARGS, fc_record_signals_doc},
    {"set_child_subreaper", fc_set_child_subreaper, METH_NOARGS, fc_set_child_subreaper_doc},
    {"set_parent_death_signal", fc_set_parent_death_signal, METH_O, fc_set_parent_death_signal_doc},
    {"spawn", (PyCFunction)(void (*)(void))fc_spawn_program, METH_VARARGS | METH_KEYWORDS, fc_spawn_doc},
    {"refuse_handshakes", fc_refuse_handshakes, METH_O, fc_refuse_handshakes_doc},
    {"trim_memory", fc_trim_memory, METH_NOARGS, fc_trim_memory_doc},
    {"fill_holes", fc_fill_holes, METH_NOARGS, fc_fill_holes_doc},
    {"immortalize", fc_immortalize, METH_NOARGS, fc_immortalize_doc},
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
