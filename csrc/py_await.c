/* The awaitables that receive() and send() return. See py_gateway.h.
 *
 * An await tries its operation at once and returns without a Future when it can; else it sleeps on one and tries again.
 * It is a coroutine in the sense of collections.abc (send, throw, close, __await__), so that a Task can be made of it.
 * Cancelling it has no effect on the request: what it waited for is still there for the next.
 */
#include "py_gateway.h"

#define SPARE_AWAITS 64

typedef struct FcAwait {
    PyObject_HEAD
    PyEngine *engine; /* borrowed */
    FcAsgi *request;  /* owned; NULL: had ended before */
    PyObject *event; /* owned: argument of send */
    PyObject *inner; /* owned: iterator of the future it sleeps on */
    struct FcAwait *next; /* spare list */
    uint8_t kind;
    bool taken; /* the message of this send is on its way; it waits for room */
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
    self->engine = engine;
    self->request = (FcAsgi *)Py_XNewRef((PyObject *)request);
    self->event = Py_XNewRef(event);
    self->inner = NULL;
    self->kind = (uint8_t)kind;
    self->taken = false;
    return (PyObject *)self;
}

static void
await_dealloc(PyObject *object)
{
    FcAwait *self = (FcAwait *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyEngine *engine = self->engine;

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
                           : fc_asgi_send(self->request, self->event, result, future);
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
await_send(PyObject *object, PyObject *value, PyObject **result)
{
    FcAwait *self = (FcAwait *)object;
    PyObject *future = NULL;
    PySendResult state;

    *result = NULL;
    for (;;) {
        if (self->inner != NULL) {
            state = sleep_on(self, value, result);
            if (state != PYGEN_RETURN)
                return state;
        }
        state = attempt(self, result, &future);
        if (state != PYGEN_NEXT)
            return state;
        self->taken = true;
        self->inner = PyObject_GetIter(future);
        Py_CLEAR(future);
        if (self->inner == NULL)
            return PYGEN_ERROR;
        value = Py_None;
    }
}

/* The generator protocol over await_send: NULL with StopIteration(result) at the end. */
static PyObject *
step(PyObject *object, PyObject *value)
{
    PyObject *result = NULL, *stop;
    PySendResult state = await_send(object, value, &result);

    if (state == PYGEN_RETURN) {
        stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
await_next(PyObject *object)
{
    return step(object, Py_None);
}

static PyObject *
await_throw(PyObject *object, PyObject *const *args, Py_ssize_t nargs)
{
    FcAwait *self = (FcAwait *)object;

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
    (void)ignored;
    Py_CLEAR(((FcAwait *)object)->inner);
    Py_RETURN_NONE;
}

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
