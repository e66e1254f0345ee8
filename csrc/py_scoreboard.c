/* forkcluster._scoreboard: the shared memory of a cluster, for Python. The binding only; see scoreboard.h. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "py_scoreboard.h"

const char *const fc_state_names[FC_STATES] = {"empty", "booting",  "ready", "busy",
                                               "full",  "draining", "dead"};

static const char *const class_names[FC_CLASSES] = {"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"};

static PyObject *
raise_negative_errno(int error)
{
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
tuple_of_names(const char *const *names, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);

    for (Py_ssize_t i = 0; tuple && i < count; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);
        if (name)
            PyTuple_SET_ITEM(tuple, i, name);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *
scoreboard_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "writable", NULL};
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    int fd = -1;
    int writable = 0;
    int error = 0;
    Scoreboard *self = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|p:Scoreboard", names, &fd, &writable))
        return NULL;
    self = (Scoreboard *)alloc(type, 0);
    if (!self)
        return NULL;
    self->writable = writable;
    error = fc_board_map(&self->board, fd, self->writable);
    if (error) {
        Py_DECREF(self);
        return raise_negative_errno(error);
    }
    return (PyObject *)self;
}

static void
scoreboard_dealloc(Scoreboard *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    fc_board_unmap(&self->board);
    release(self);
    Py_DECREF(type);
}

FcLine *
fc_board_find(Scoreboard *self, Py_ssize_t seat, bool to_write)
{
    if (!self->board.header) {
        PyErr_SetString(PyExc_ValueError, "the scoreboard is closed");
        return NULL;
    }
    if (seat < 0 || seat >= FC_SEATS) {
        PyErr_Format(PyExc_IndexError, "seat must be from 0 to %d, not %zd", FC_SEATS - 1, seat);
        return NULL;
    }
    if (to_write && !self->writable) {
        PyErr_SetString(PyExc_PermissionError, "the scoreboard is mapped read-only");
        return NULL;
    }
    return fc_board_line(&self->board, (unsigned)seat);
}

PyDoc_STRVAR(claim_doc,
             "claim($self, seat, epoch, slot, generation, /)\n--\n\n"
             "Give an empty line to a new owner, state 'booting'. By the master, before the fork.");

static PyObject *
scoreboard_claim(Scoreboard *self, PyObject *args)
{
    Py_ssize_t seat = 0;
    unsigned long long epoch = 0;
    unsigned long long slot = 0;
    unsigned long long generation = 0;
    struct timespec now;
    FcLine *line = NULL;

    if (!PyArg_ParseTuple(args, "nKKK:claim", &seat, &epoch, &slot, &generation))
        return NULL;
    line = fc_board_find(self, seat, true);
    if (!line)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fc_line_claim(line, epoch, slot, generation, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(reset_doc, "reset($self, seat, /)\n--\n\n"
                        "Reset the gauges of a dead owner's line, state 'empty'. The counters stay.");

static PyObject *
scoreboard_reset(Scoreboard *self, PyObject *arg)
{
    Py_ssize_t seat = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    FcLine *line = PyErr_Occurred() ? NULL : fc_board_find(self, seat, true);

    if (!line)
        return NULL;
    fc_line_reset(line);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_sent_doc, "add_sent($self, seat, count, /)\n--\n\n"
                           "Say, before sending, that connections are sent to the inbox of a seat.");

static PyObject *
scoreboard_add_sent(Scoreboard *self, PyObject *args)
{
    Py_ssize_t seat = 0;
    unsigned int count = 0;
    FcLine *line = NULL;

    if (!PyArg_ParseTuple(args, "nI:add_sent", &seat, &count))
        return NULL;
    line = fc_board_find(self, seat, true);
    if (!line)
        return NULL;
    fc_add_shared(&line->sent, count);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_cpu_doc, "add_cpu($self, seat, ns, /)\n--\n\n"
                          "Add the CPU time of an owner of that seat that is gone. By the master.");

static PyObject *
scoreboard_add_cpu(Scoreboard *self, PyObject *args)
{
    Py_ssize_t seat = 0;
    unsigned long long ns = 0;
    FcLine *line = NULL;

    if (!PyArg_ParseTuple(args, "nK:add_cpu", &seat, &ns))
        return NULL;
    line = fc_board_find(self, seat, true);
    if (!line)
        return NULL;
    fc_add(&line->cpu_ns, ns);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_pid_doc, "set_pid($self, seat, pid, /)\n--\n\n"
                          "Say which process has a seat, for an owner that does not know the scoreboard.");

static PyObject *
scoreboard_set_pid(Scoreboard *self, PyObject *args)
{
    Py_ssize_t seat = 0;
    unsigned int pid = 0;
    FcLine *line = NULL;

    if (!PyArg_ParseTuple(args, "nI:set_pid", &seat, &pid))
        return NULL;
    line = fc_board_find(self, seat, true);
    if (!line)
        return NULL;
    fc_store(&line->pid, pid);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_stale_doc,
             "set_stale($self, seat, /)\n--\n\n"
             "Say that a seat does not read its inbox; its owner takes that back when it reads.");

static PyObject *
scoreboard_set_stale(Scoreboard *self, PyObject *arg)
{
    Py_ssize_t seat = PyNumber_AsSsize_t(arg, PyExc_IndexError);
    FcLine *line = PyErr_Occurred() ? NULL : fc_board_find(self, seat, true);

    if (!line)
        return NULL;
    fc_store(&line->stale, 1);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_state_doc, "set_state($self, seat, state, /)\n--\n\nSay what a seat does: one of STATES.");

static PyObject *
scoreboard_set_state(Scoreboard *self, PyObject *args)
{
    Py_ssize_t seat = 0;
    const char *name = NULL;
    unsigned state = 0;
    FcLine *line = NULL;

    if (!PyArg_ParseTuple(args, "ns:set_state", &seat, &name))
        return NULL;
    line = fc_board_find(self, seat, true);
    if (!line)
        return NULL;
    while (state < FC_STATES && strcmp(fc_state_names[state], name) != 0)
        state++;
    if (state == FC_STATES)
        return PyErr_Format(PyExc_ValueError, "no such state: '%s'", name);
    fc_store(&line->state, state);
    Py_RETURN_NONE;
}

static PyObject *
scoreboard_close(Scoreboard *self, PyObject *unused)
{
    (void)unused;
    fc_board_unmap(&self->board);
    Py_RETURN_NONE;
}

static PyObject *
scoreboard_app(Scoreboard *self, void *unused)
{
    (void)unused;
    if (!fc_board_find(self, 0, false))
        return NULL;
    return PyUnicode_DecodeUTF8(self->board.header->app, (Py_ssize_t)strlen(self->board.header->app),
                                "replace");
}

static PyObject *
scoreboard_get_generation(Scoreboard *self, void *unused)
{
    (void)unused;
    if (!fc_board_find(self, 0, false))
        return NULL;
    return PyLong_FromUnsignedLongLong(fc_load(&self->board.header->generation));
}

static int
scoreboard_set_generation(Scoreboard *self, PyObject *value, void *unused)
{
    unsigned long long generation = 0;

    (void)unused;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "generation cannot be deleted");
        return -1;
    }
    generation = PyLong_AsUnsignedLongLong(value);
    if (PyErr_Occurred() || !fc_board_find(self, 0, true))
        return -1;
    fc_store(&self->board.header->generation, generation);
    return 0;
}

static PyObject *
scoreboard_get_ready(Scoreboard *self, void *unused)
{
    (void)unused;
    if (!fc_board_find(self, 0, false))
        return NULL;
    return PyBool_FromLong(fc_load(&self->board.header->ready) != 0);
}

static int
scoreboard_set_ready(Scoreboard *self, PyObject *value, void *unused)
{
    int ready = value ? PyObject_IsTrue(value) : -1;

    (void)unused;
    if (!value)
        PyErr_SetString(PyExc_AttributeError, "ready cannot be deleted");
    if (ready < 0 || !fc_board_find(self, 0, true))
        return -1;
    fc_store(&self->board.header->ready, (uint64_t)ready);
    return 0;
}

static PyMethodDef scoreboard_methods[] = {
    {"line", (PyCFunction)fc_board_line_of, METH_O, fc_board_line_doc},
    {"look", (PyCFunction)fc_board_look, METH_NOARGS, fc_board_look_doc},
    {"claim", (PyCFunction)scoreboard_claim, METH_VARARGS, claim_doc},
    {"reset", (PyCFunction)scoreboard_reset, METH_O, reset_doc},
    {"totals", (PyCFunction)fc_board_totals, METH_NOARGS, fc_board_totals_doc},
    {"loads", (PyCFunction)fc_board_loads, METH_O, fc_board_loads_doc},
    {"add_sent", (PyCFunction)scoreboard_add_sent, METH_VARARGS, add_sent_doc},
    {"add_cpu", (PyCFunction)scoreboard_add_cpu, METH_VARARGS, add_cpu_doc},
    {"set_pid", (PyCFunction)scoreboard_set_pid, METH_VARARGS, set_pid_doc},
    {"set_stale", (PyCFunction)scoreboard_set_stale, METH_O, set_stale_doc},
    {"set_state", (PyCFunction)scoreboard_set_state, METH_VARARGS, set_state_doc},
    {"close", (PyCFunction)scoreboard_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nUnmap it; again does nothing.")},
    {.ml_name = NULL},
};

static PyGetSetDef scoreboard_getset[] = {
    {"app", (getter)scoreboard_app, NULL, PyDoc_STR("The app's name, cut at 127 bytes."), NULL},
    {"generation", (getter)scoreboard_get_generation, (setter)scoreboard_set_generation,
     PyDoc_STR("The generation in service; written by the master."), NULL},
    {"ready", (getter)scoreboard_get_ready, (setter)scoreboard_set_ready,
     PyDoc_STR("Whether the app can be sent requests; written by the master."), NULL},
    {.name = NULL},
};

PyDoc_STRVAR(scoreboard_doc,
             "Scoreboard(fd, writable=False)\n--\n\n"
             "Map the scoreboard of a descriptor, which stays the caller's.\n\n"
             "OSError with EPROTO: made by a build of another layout; EINVAL: not a scoreboard.");

static PyType_Slot scoreboard_slots[] = {
    {Py_tp_new, scoreboard_new},         {Py_tp_dealloc, scoreboard_dealloc},
    {Py_tp_methods, scoreboard_methods}, {Py_tp_getset, scoreboard_getset},
    {Py_tp_doc, (void *)scoreboard_doc}, {0, NULL},
};

static PyType_Spec scoreboard_spec = {
    .name = "forkcluster._scoreboard.Scoreboard",
    .basicsize = sizeof(Scoreboard),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = scoreboard_slots,
};

PyDoc_STRVAR(create_doc, "create(app, /)\n--\n\n"
                         "Make a sealed, empty scoreboard; its descriptor, close-on-exec, is the caller's.");

static PyObject *
create(PyObject *module, PyObject *arg)
{
    const char *app = PyUnicode_AsUTF8(arg);
    int fd = -1;

    (void)module;
    if (!app)
        return NULL;
    fd = fc_board_create(app);
    return fd < 0 ? raise_negative_errno(fd) : PyLong_FromLong(fd);
}

static PyObject *
layout_hash(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(fc_layout_hash());
}

PyDoc_STRVAR(
    bucket_bounds_doc,
    "bucket_bounds()\n--\n\n"
    "Upper bounds of the duration buckets in nanoseconds, the first value that is not in each; the last\n"
    "bucket of a line has none, so there is one bound fewer than buckets.");

static PyObject *
bucket_bounds(PyObject *module, PyObject *unused)
{
    PyObject *bounds = PyTuple_New(FC_BUCKETS - 1);

    (void)module;
    (void)unused;
    for (unsigned i = 0; bounds && i < FC_BUCKETS - 1; i++) {
        PyObject *bound = PyLong_FromUnsignedLongLong(fc_bucket_bound(i));
        if (bound)
            PyTuple_SET_ITEM(bounds, (Py_ssize_t)i, bound);
        else
            Py_CLEAR(bounds);
    }
    return bounds;
}

static PyMethodDef module_methods[] = {
    {"create", create, METH_O, create_doc},
    {"layout_hash", layout_hash, METH_NOARGS,
     PyDoc_STR("layout_hash()\n--\n\n16 hex digits; processes with different ones must not share memory.")},
    {"bucket_bounds", bucket_bounds, METH_NOARGS, bucket_bounds_doc},
    {.ml_name = NULL},
};

/* PyModule_AddObjectRef with a reference that is stolen and may be NULL. */
static int
add_stolen(PyObject *module, const char *name, PyObject *value)
{
    int result = value ? PyModule_AddObjectRef(module, name, value) : -1;

    Py_XDECREF(value);
    return result;
}

static int
module_exec(PyObject *module)
{
    if (add_stolen(module, "Scoreboard", PyType_FromModuleAndSpec(module, &scoreboard_spec, NULL)) < 0 ||
        add_stolen(module, "STATES", tuple_of_names(fc_state_names, FC_STATES)) < 0 ||
        add_stolen(module, "CLASSES", tuple_of_names(class_names, FC_CLASSES)) < 0 ||
        PyModule_AddIntConstant(module, "SEATS", FC_SEATS) < 0)
        return -1;
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkcluster._scoreboard",
    .m_doc = PyDoc_STR("The shared memory that says what every worker is doing and has done."),
    .m_size = 0,
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__scoreboard(void)
{
    return PyModuleDef_Init(&module_def);
}
