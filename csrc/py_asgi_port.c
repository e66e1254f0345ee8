/* receive and send, the two callables of one ASGI request. See py_asgi.h. */
#include <stddef.h>

#include "py_asgi.h"

#include <structmember.h>

/* receive or send of one request. */
typedef struct FcPort {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyEngine *engine; /* borrowed while there is a request, then owned */
    FcAsgi *request;  /* borrowed; NULL: it has ended and is gone */
} FcPort;

static PyObject *
receive_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    FcPort *port = (FcPort *)self;

    (void)args;
    if (PyVectorcall_NARGS(nargsf) != 0 || names != NULL)
        return PyErr_Format(PyExc_TypeError, "receive() takes no arguments");
    return fc_await_new(port->engine, port->request, FC_AWAIT_RECEIVE, NULL);
}

static PyObject *
send_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    FcPort *port = (FcPort *)self;
    bool keyword = PyVectorcall_NARGS(nargsf) == 0 && names != NULL && PyTuple_GET_SIZE(names) == 1;

    if (!keyword && (PyVectorcall_NARGS(nargsf) != 1 || names != NULL))
        return PyErr_Format(PyExc_TypeError, "send() takes one argument, the message");
    return fc_await_new(port->engine, port->request, FC_AWAIT_SEND, args[0]);
}

static FcPort *
port_new(FcAsgi *request, vectorcallfunc vectorcall)
{
    FcPort *port = PyObject_New(FcPort, request->answer.engine->module->port_type);

    if (port != NULL) {
        port->vectorcall = vectorcall;
        port->engine = request->answer.engine;
        port->request = request;
    }
    return port;
}

static void
port_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    FcPort *port = (FcPort *)object;

    if (port->request == NULL)
        Py_DECREF((PyObject *)port->engine);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Both ports of a request; those of the request before it serve again where nobody has kept them. False with
 * an exception. */
bool
fc_ports_ready(FcAsgi *request)
{
    if (request->receive == NULL)
        request->receive = port_new(request, receive_vectorcall);
    if (request->send == NULL)
        request->send = port_new(request, send_vectorcall);
    return request->receive != NULL && request->send != NULL;
}

/* The request goes: a port that somebody has kept outlives it, another may be used again. */
void
fc_port_part(FcPort **port)
{
    if (*port == NULL || Py_REFCNT(*port) == 1)
        return;
    (*port)->request = NULL;
    Py_INCREF((PyObject *)(*port)->engine);
    Py_CLEAR(*port);
}

static PyMemberDef port_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FcPort, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot port_slots[] = {
    {Py_tp_dealloc, port_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, port_members},
    {Py_tp_doc, (void *)"receive() or send(message) of one ASGI request."},
    {0, NULL},
};

PyType_Spec fc_port_spec = {
    .name = "forkcluster._engine.Port",
    .basicsize = sizeof(FcPort),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = port_slots,
};
