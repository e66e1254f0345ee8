/* forkcluster._process: what the standard library does not offer about processes.
 *
 * The module and its smallest functions: the subreaper and parent-death switches of prctl(2), a listener that
 * takes no more, memory given back. The larger ones have rooms of their own. Knows no channel and no seat.
 */
#include "py_process.h"

#include <linux/filter.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

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

PyDoc_STRVAR(fc_trim_memory_doc, "trim_memory() -> None\n--\n\n"
                                 "Give memory that was used once and is free now back to the system.");

#define FC_LARGE (64 * 1024)

static PyObject *
fc_trim_memory(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    malloc_trim(0);
    /* A large request puts what was freed and never looked at again where it belongs: else each process that
     * is forked from this one would do it, and write into all those pages. */
    void *volatile large = malloc(FC_LARGE); /* volatile: a compiler may leave such a pair out */
    free(large);
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
