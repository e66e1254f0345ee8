/* The awaitables that receive() and send() return. See py_gateway.h.
 *
 * An await tries its operation at once and returns without a Future when it can; else it sleeps on one and
 * tries again. It is a coroutine in the sense of collections.abc (send, throw, close, __await__), so that a
 * Task can be made of it. Cancelling it has no effect on the request: what it waited for is still there for
 * the next. It ends once: like a coroutine it cannot be awaited again.
 */
#include <stddef.h>

#include "py_asgi.h"

#include <structmember.h>

#define SPARE_AWAITS 64

typedef struct FcAwait {
    PyObject_HEAD PyEngine *engine; /* owned */
    FcAsgi *request;                /* owned; NULL: had ended before */
    PyObject *event;                /* owned: argument of send */
    PyObject *inner;                /* owned: iterator of the future it sleeps on */
    struct FcAwait *next;           /* spare list */
    uint8_t kind;
    bool taken; /* the message of this send is on its way; it waits for room */
    bool begun; /* somebody has awaited it */
    bool spent; /* it has given its result, or was closed */
    bool busy;  /* in await_send */
} FcAwait;

PyObject *
fc_await_new(PyEngine *engine, FcAsgi *request, FcAwaitKind kind, PyObject *event)
{
    PyTypeObject *type = engine->module->await_type;
    FcAwait *self = engine->spare_awaits;

    if (self != NULL) {
        engine->spare_awaits = self->next;
        engine->spare_await_count--;
        _Py_NewReference((PyObject *)self);
        Py_INCREF(type);
    } else if ((self = PyObject_New(FcAwait, type)) == NULL) {
        return NULL;
    }
    self->engine = (PyEngine *)Py_NewRef((PyObject *)engine);
    self->request = (FcAsgi *)Py_XNewRef((PyObject *)request);
    self->event = Py_XNewRef(event);
    self->inner = NULL;
    self->kind = (uint8_t)kind;
    self->taken = self->begun = self->spent = self->busy = false;
    return (PyObject *)self;
}

static const char *
name_of(const FcAwait *self)
{
    switch ((FcAwaitKind)self->kind) {
    case FC_AWAIT_RECEIVE:
        return "receive";
    case FC_AWAIT_SEND:
        return "send";
    case FC_AWAIT_RAW_RECEIVE:
        return "raw_receive";
    case FC_AWAIT_RAW_DRAIN:
        return "raw_drain";
    }
    return "?";
}

/* A forgotten await: the message was not sent. Said as Python says it of its own coroutines. */
static void
warn_never_awaited(FcAwait *self)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "%s() of an ASGI request was never awaited",
                         name_of(self)) < 0)
        PyErr_WriteUnraisable(NULL);
    PyErr_Restore(type, value, traceback);
}

static void
await_dealloc(PyObject *object)
{
    FcAwait *self = (FcAwait *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyEngine *engine = self->engine;

    if (!self->begun && !self->spent)
        warn_never_awaited(self);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->event);
    Py_CLEAR(self->request);
    if (engine->spare_await_count < SPARE_AWAITS) {
        self->next = engine->spare_awaits;
        engine->spare_awaits = self;
        engine->spare_await_count++;
    } else {
        PyObject_Free(object);
    }
    Py_DECREF((PyObject *)engine); /* the last thing: it may free the spares */
    Py_DECREF(type);
}

void
fc_await_clear_spares(PyEngine *engine)
{
    while (engine->spare_awaits != NULL) {
        FcAwait *self = engine->spare_awaits;

        engine->spare_awaits = self->next;
        PyObject_Free(self);
    }
    engine->spare_await_count = 0;
}

/* The request had ended when its port was called. */
static PySendResult
too_late(FcAwait *self, PyObject **result)
{
    if (self->kind == FC_AWAIT_RECEIVE) {
        *result = PyDict_Copy(self->engine->module->disconnect_event);
        return *result != NULL ? PYGEN_RETURN : PYGEN_ERROR;
    }
    PyErr_SetString(PyExc_RuntimeError, "unexpected ASGI message after the request has ended");
    return PYGEN_ERROR;
}

static PySendResult
attempt(FcAwait *self, PyObject **result, PyObject **future)
{
    if (self->request == NULL)
        return too_late(self, result);
    switch ((FcAwaitKind)self->kind) {
    case FC_AWAIT_RECEIVE:
        return fc_asgi_receive(self->request, result, future);
    case FC_AWAIT_SEND:
        return self->taken ? fc_asgi_send_more(self->request, result, future)
                           : fc_asgi_send(self->request, self->event, &self->taken, result, future);
    case FC_AWAIT_RAW_RECEIVE:
        return fc_asgi_raw_receive(self->request, result, future);
    case FC_AWAIT_RAW_DRAIN:
        return fc_asgi_raw_drain(self->request, result, future);
    }
    return PYGEN_ERROR;
}

/* Go on sleeping on the future. PYGEN_RETURN: it is done, try again. */
static PySendResult
sleep_on(FcAwait *self, PyObject *value, PyObject **result)
{
    PySendResult state = PyIter_Send(self->inner, value, result);

    if (state == PYGEN_NEXT)
        return state;
    Py_CLEAR(self->inner);
    if (state == PYGEN_RETURN)
        Py_CLEAR(*result);
    return state;
}

static PySendResult
run(FcAwait *self, PyObject *value, PyObject **result)
{
    PyObject *future = NULL;
    PySendResult state;

    for (;;) {
        if (self->inner != NULL) {
            state = sleep_on(self, value, result);
            if (state != PYGEN_RETURN)
                return state;
        }
        state = attempt(self, result, &future);
        if (state != PYGEN_NEXT)
            return state;
        if (future == NULL) { /* what asyncio.sleep(0) yields */
            *result = Py_NewRef(Py_None);
            return state;
        }
        self->inner = PyObject_GetIter(future);
        Py_CLEAR(future);
        if (self->inner == NULL)
            return PYGEN_ERROR;
        value = Py_None;
    }
}

static PySendResult
await_send(PyObject *object, PyObject *value, PyObject **result)
{
    FcAwait *self = (FcAwait *)object;
    PySendResult state;

    *result = NULL;
    if (self->spent || self->busy) {
        PyErr_Format(PyExc_RuntimeError,
                     self->spent ? "cannot await %s() a second time" : "%s() is being awaited already",
                     name_of(self));
        return PYGEN_ERROR;
    }
    self->begun = self->busy = true;
    state = run(self, value, result);
    self->busy = false;
    self->spent = state != PYGEN_NEXT;
    return state;
}

/* Raise StopIteration with this value (stolen): NULL. */
static PyObject *
stop_with(PyObject *value)
{
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);

    Py_DECREF(value);
    if (stop != NULL)
        PyErr_SetObject(PyExc_StopIteration, stop);
    Py_XDECREF(stop);
    return NULL;
}

/* The generator protocol over await_send: NULL with StopIteration(result) at the end. */
static PyObject *
step(PyObject *object, PyObject *value)
{
    PyObject *result = NULL;
    PySendResult state = await_send(object, value, &result);

    return state == PYGEN_RETURN ? stop_with(result) : result;
}

/* As step, but that the end with None is said by no exception, as tp_iternext may: "await" of Python 3.12 on
 * asks an object that is no coroutine of its own this way, and an exception would be made for each message.
 */
static PyObject *
await_next(PyObject *object)
{
    PyObject *result = NULL;
    PySendResult state = await_send(object, Py_None, &result);

    if (state != PYGEN_RETURN)
        return result;
    if (result != Py_None)
        return stop_with(result);
    Py_DECREF(result);
    return NULL;
}

static PyObject *
await_throw(PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    FcAwait *self = (FcAwait *)object;

    self->begun = self->spent = true;
    Py_CLEAR(self->inner);
    if (nargs < 1 || nargs > 3)
        return PyErr_Format(PyExc_TypeError, "throw takes one to three arguments");
    if (nargs == 1 && PyExceptionInstance_Check(args[0]))
        PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    else
        PyErr_Restore(Py_NewRef(args[0]), nargs > 1 ? Py_NewRef(args[1]) : NULL,
                      nargs > 2 && args[2] != Py_None ? Py_NewRef(args[2]) : NULL);
    return NULL;
}

static PyObject *
await_close(PyObject *object, PyObject *ignored)
{
    FcAwait *self = (FcAwait *)object;

    (void)ignored;
    self->begun = self->spent = true;
    Py_CLEAR(self->inner);
    Py_RETURN_NONE;
}

/* The states that inspect.getcoroutinestate() tells, as anyio asks for them of a task that it cancels.
 * Before 3.11 that function knows "suspended" only by a frame, which we have none of: "running" serves the
 * same end there. */
static PyObject *
get_running(PyObject *object, void *ignored)
{
    FcAwait *self = (FcAwait *)object;
    bool suspended = self->begun && !self->spent;

    (void)ignored;
#if PY_VERSION_HEX < 0x030b0000
    return PyBool_FromLong(suspended);
#else
    return PyBool_FromLong(suspended && self->busy);
#endif
}

static PyObject *
get_suspended(PyObject *object, void *ignored)
{
    FcAwait *self = (FcAwait *)object;

    (void)ignored;
    return PyBool_FromLong(self->begun && !self->spent && !self->busy);
}

static PyObject *
get_frame(PyObject *object, void *ignored)
{
    (void)object;
    (void)ignored;
    Py_RETURN_NONE;
}

static PyObject *
get_name(PyObject *object, void *ignored)
{
    (void)ignored;
    return PyUnicode_FromString(name_of((FcAwait *)object));
}

static PyGetSetDef await_getset[] = {
    {"cr_running", get_running, NULL, "Whether it is being resumed.", NULL},
    {"cr_suspended", get_suspended, NULL, "Whether it waits.", NULL},
    {"cr_frame", get_frame, NULL, "None: it has no Python frame.", NULL},
    {"__name__", get_name, NULL, "receive or send.", NULL},
    {"__qualname__", get_name, NULL, "receive or send.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef await_members[] = {
    {"cr_await", T_OBJECT, offsetof(FcAwait, inner), READONLY, "What it waits for, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef await_methods[] = {
    {"send", step, METH_O, "send(value, /)\n--\n\nResume (PEP 342)."},
    {"throw", (PyCFunction)(void (*)(void))await_throw, METH_FASTCALL,
     "throw(type, value=None, traceback=None, /)\n--\n\nRaise the exception where it waits."},
    {"close", await_close, METH_NOARGS, "close()\n--\n\nStop waiting."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot await_slots[] = {
    {Py_tp_dealloc, await_dealloc},
    {Py_tp_methods, await_methods},
    {Py_tp_getset, await_getset},
    {Py_tp_members, await_members},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, await_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, await_send},
    {Py_tp_doc, (void *)"What receive() and send() of an ASGI request return."},
    {0, NULL},
};

PyType_Spec fc_await_spec = {
    .name = "forkcluster._engine.Await",
    .basicsize = sizeof(FcAwait),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = await_slots,
};
