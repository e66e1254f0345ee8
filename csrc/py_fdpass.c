/* forkcluster._fdpass: hand open connections to another process, for Python. The binding only; see fdpass.h.
 *
 * The calls never block, so they keep the GIL. A Connection is a record: it owns no descriptor and closes
 * none.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fdpass.h"

typedef struct Connection {
    PyObject_HEAD int fd;
    unsigned int listener;
    unsigned int hops;
    unsigned int served;
    unsigned long long deadline_ns;
    unsigned long long accepted_ns;
    PyObject *address; /* bytes */
    PyObject *unread;  /* bytes */
} Connection;

typedef struct ModuleState {
    PyTypeObject *connection_type;
} ModuleState;

/* An int from 0 to max, or an error naming the field. */
static int
read_unsigned(PyObject *value, unsigned long long max, const char *name, unsigned long long *out)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(value);

    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
    } else if (number <= max) {
        *out = number;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s must be from 0 to %llu, not %R", name, max, value);
    return -1;
}

static int
check_bytes(PyObject *value, Py_ssize_t max, const char *name)
{
    if (PyBytes_GET_SIZE(value) <= max)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s may have %zd bytes at most, not %zd", name, max,
                 PyBytes_GET_SIZE(value));
    return -1;
}

static Connection *
connection_alloc(PyTypeObject *type)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);

    return (Connection *)alloc(type, 0);
}

static PyObject *
connection_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd",          "listener", "hops",   "served", "deadline_ns",
                            "accepted_ns", "address",  "unread", NULL};
    static const unsigned long long limits[] = {INT32_MAX,  UINT16_MAX, FC_PASS_HOPS,
                                                UINT32_MAX, UINT64_MAX, UINT64_MAX};
    PyObject *numbers[6] = {NULL};
    unsigned long long values[6] = {0};
    PyObject *address = NULL;
    PyObject *unread = NULL;
    Connection *self = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOOOSS:Connection", names, &numbers[0], &numbers[1],
                                     &numbers[2], &numbers[3], &numbers[4], &numbers[5], &address, &unread))
        return NULL;
    for (int i = 0; i < 6; i++)
        if (numbers[i] && read_unsigned(numbers[i], limits[i], names[i], &values[i]) < 0)
            return NULL;
    if ((address && check_bytes(address, sizeof((FcPassed *)0)->addr, "address") < 0) ||
        (unread && check_bytes(unread, FC_PASS_UNREAD, "unread") < 0))
        return NULL;
    self = connection_alloc(type);
    if (!self)
        return NULL;
    self->fd = (int)values[0];
    self->listener = (unsigned)values[1];
    self->hops = (unsigned)values[2];
    self->served = (unsigned)values[3];
    self->deadline_ns = values[4];
    self->accepted_ns = values[5];
    self->address = address ? Py_NewRef(address) : PyBytes_FromStringAndSize(NULL, 0);
    self->unread = unread ? Py_NewRef(unread) : PyBytes_FromStringAndSize(NULL, 0);
    if (!self->address || !self->unread)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* A record of what was received; fd is borrowed. */
static PyObject *
connection_from_passed(PyTypeObject *type, const FcPassed *passed)
{
    Connection *self = connection_alloc(type);

    if (!self)
        return NULL;
    self->fd = passed->fd;
    self->listener = passed->listener;
    self->hops = passed->hops;
    self->served = passed->served;
    self->deadline_ns = passed->deadline_ns;
    self->accepted_ns = passed->accepted_ns;
    self->address = PyBytes_FromStringAndSize(passed->addr, passed->addr_len);
    self->unread = PyBytes_FromStringAndSize(passed->unread, passed->unread_len);
    if (!self->address || !self->unread)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void
connection_to_passed(const Connection *self, FcPassed *passed)
{
    memset(passed, 0, sizeof *passed);
    passed->fd = self->fd;
    passed->listener = (uint16_t)self->listener;
    passed->hops = (uint8_t)self->hops;
    passed->addr_len = (uint8_t)PyBytes_GET_SIZE(self->address);
    passed->served = self->served;
    passed->deadline_ns = self->deadline_ns;
    passed->accepted_ns = self->accepted_ns;
    passed->unread_len = (uint32_t)PyBytes_GET_SIZE(self->unread);
    passed->unread = PyBytes_AS_STRING(self->unread);
    memcpy(passed->addr, PyBytes_AS_STRING(self->address), passed->addr_len);
}

static void
connection_dealloc(Connection *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    Py_CLEAR(self->address);
    Py_CLEAR(self->unread);
    release(self);
    Py_DECREF(type);
}

static PyObject *
connection_repr(Connection *self)
{
    return PyUnicode_FromFormat("Connection(fd=%d, listener=%u, hops=%u, served=%u, unread=%zd bytes)",
                                self->fd, self->listener, self->hops, self->served,
                                PyBytes_GET_SIZE(self->unread));
}

#define MEMBER(name, kind, doc) {#name, kind, offsetof(Connection, name), READONLY, PyDoc_STR(doc)}
static PyMemberDef connection_members[] = {
    MEMBER(fd, T_INT, "The descriptor; owned by whoever holds the record, never closed by it."),
    MEMBER(listener, T_UINT, "Index of the listener it came in by."),
    MEMBER(hops, T_UINT, "Hand-overs since its last answered request."),
    MEMBER(served, T_UINT, "Requests answered so far."),
    MEMBER(deadline_ns, T_ULONGLONG, "CLOCK_MONOTONIC, absolute nanoseconds; 0: none."),
    MEMBER(accepted_ns, T_ULONGLONG, "CLOCK_MONOTONIC nanoseconds."),
    MEMBER(address, T_OBJECT_EX, "The peer's struct sockaddr as bytes; empty for a peer without an address."),
    MEMBER(unread, T_OBJECT_EX, "Bytes read from the connection and not yet used."),
    {.name = NULL},
};
#undef MEMBER

PyDoc_STRVAR(connection_doc, "Connection(fd, *, listener=0, hops=0, served=0, deadline_ns=0, accepted_ns=0,\n"
                             "           address=b'', unread=b'')\n--\n\n"
                             "An open connection that can be handed to another process; owns no descriptor.");

static PyType_Slot connection_slots[] = {
    {Py_tp_new, connection_new},         {Py_tp_dealloc, connection_dealloc}, {Py_tp_repr, connection_repr},
    {Py_tp_members, connection_members}, {Py_tp_doc, (void *)connection_doc}, {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "forkcluster._fdpass.Connection",
    .basicsize = sizeof(Connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = connection_slots,
};

static PyObject *
raise_errno(int error, const char *text)
{
    /* The instance first: its class is the subclass that belongs to the number, and "except BlockingIOError"
     * looks at the class that was set (before 3.12 OSError would stay). */
    PyObject *exception = PyObject_CallFunction(PyExc_OSError, "is", error, text);

    if (exception != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    return NULL;
}

static PyObject *
send_outcome(FcPassResult result)
{
    switch (result) {
    case FC_PASS_OK:
        Py_RETURN_TRUE;
    case FC_PASS_AGAIN:
        Py_RETURN_FALSE;
    case FC_PASS_CLOSED:
        return raise_errno(EPIPE, "the receiver has shut its inbox");
    case FC_PASS_INVALID:
        PyErr_SetString(PyExc_ValueError, "the connections do not fit one message");
        return NULL;
    default:
        return PyErr_SetFromErrno(PyExc_OSError);
    }
}

PyDoc_STRVAR(send_doc, "send_connections(channel_fd, connections, /)\n--\n\n"
                       "Send 1 to MOST connections as one message, all or none, without blocking.\n\n"
                       "True: sent, close your copies with close(). False: the queue is full, keep them.\n"
                       "BrokenPipeError: the receiver has shut its inbox. ValueError: over a limit of one\n"
                       "message (MOST connections, 128 KiB). OSError: what the system said.");

static PyObject *
send_connections(PyObject *module, PyObject *args)
{
    ModuleState *state = PyModule_GetState(module);
    int channel = -1;
    PyObject *channel_arg = NULL;
    PyObject *given = NULL;
    PyObject *items = NULL;
    PyObject *outcome = NULL;
    FcPassed passed[FC_PASS_MOST];
    Py_ssize_t count = 0;

    if (!PyArg_ParseTuple(args, "OO:send_connections", &channel_arg, &given))
        return NULL;
    channel = PyObject_AsFileDescriptor(channel_arg);
    if (channel < 0)
        return NULL;
    items = PySequence_Tuple(given); /* ours alone: the bytes stay while they are borrowed */
    if (!items)
        return NULL;
    count = PyTuple_GET_SIZE(items);
    if (count < 1 || count > FC_PASS_MOST) {
        PyErr_Format(PyExc_ValueError, "a message carries 1 to %d connections, not %zd", FC_PASS_MOST, count);
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        if (!Py_IS_TYPE(item, state->connection_type)) {
            PyErr_Format(PyExc_TypeError, "connections must be Connection, not %.100s",
                         Py_TYPE(item)->tp_name);
            goto done;
        }
        connection_to_passed((Connection *)item, &passed[i]);
    }
    outcome = send_outcome(fc_send_connections(channel, passed, (unsigned)count));
done:
    Py_DECREF(items);
    return outcome;
}

/* A list of records that take over the descriptors; they are closed if there is no memory for it. */
static PyObject *
list_received(PyTypeObject *type, const FcPassed *passed, unsigned count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (unsigned i = 0; list && i < count; i++) {
        PyObject *item = connection_from_passed(type, &passed[i]);
        if (item)
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        else
            Py_CLEAR(list);
    }
    for (unsigned i = 0; !list && i < count; i++)
        close(passed[i].fd);
    return list;
}

PyDoc_STRVAR(receive_doc,
             "receive_connections(channel_fd, /)\n--\n\n"
             "Receive one message without blocking: its connections, descriptors owned by the caller.\n\n"
             "None: end of file, all was read. BlockingIOError: nothing there. OSError with EMFILE:\n"
             "descriptors were dropped for want of room (keep 16 free before you call); with EBADMSG:\n"
             "not a message of this version. Either way no descriptor stays open.");

static PyObject *
receive_connections(PyObject *module, PyObject *arg)
{
    ModuleState *state = PyModule_GetState(module);
    int channel = PyObject_AsFileDescriptor(arg);
    FcPassed passed[FC_PASS_MOST];
    unsigned count = 0;
    char *buf = NULL;
    PyObject *outcome = NULL;

    if (channel < 0)
        return NULL;
    buf = PyMem_Malloc(FC_PASS_BYTES);
    if (!buf)
        return PyErr_NoMemory();
    switch (fc_receive_connections(channel, buf, passed, &count)) {
    case FC_PASS_OK:
        outcome = list_received(state->connection_type, passed, count);
        break;
    case FC_PASS_AGAIN:
        outcome = raise_errno(EAGAIN, "no connection is waiting");
        break;
    case FC_PASS_CLOSED:
        outcome = Py_NewRef(Py_None);
        break;
    case FC_PASS_TRUNCATED:
        outcome = raise_errno(EMFILE, "connections were lost: no room for their descriptors");
        break;
    case FC_PASS_INVALID:
        outcome = raise_errno(EBADMSG, "not a hand-over message of this version");
        break;
    case FC_PASS_ERROR:
        PyErr_SetFromErrno(PyExc_OSError);
        break;
    }
    PyMem_Free(buf);
    return outcome;
}

static PyMethodDef module_methods[] = {
    {"send_connections", send_connections, METH_VARARGS, send_doc},
    {"receive_connections", receive_connections, METH_O, receive_doc},
    {.ml_name = NULL},
};

static int
module_exec(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);

    state->connection_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &connection_spec, NULL);
    if (!state->connection_type || PyModule_AddType(module, state->connection_type) < 0 ||
        PyModule_AddIntConstant(module, "MOST", FC_PASS_MOST) < 0 ||
        PyModule_AddIntConstant(module, "MOST_UNREAD", FC_PASS_UNREAD) < 0 ||
        PyModule_AddIntConstant(module, "MOST_BYTES", FC_PASS_BYTES) < 0)
        return -1;
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *state = PyModule_GetState(module);

    Py_VISIT(state->connection_type);
    return 0;
}

static int
module_clear(PyObject *module)
{
    ModuleState *state = PyModule_GetState(module);

    Py_CLEAR(state->connection_type);
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
    .m_name = "forkcluster._fdpass",
    .m_doc = PyDoc_STR("Hand open connections, with their unread bytes, to another process."),
    .m_size = sizeof(ModuleState),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__fdpass(void)
{
    return PyModuleDef_Init(&module_def);
}
