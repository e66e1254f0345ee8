/* One ASGI request: the coroutine its Task runs, its receive and send, and its end. See py_gateway.h.
 *
 * The driver stands between Task and application so that the end of the application's coroutine is seen without a
 * callback: an exception is reported, an answer that was not completed is cut. The response and the coroutine end
 * independently: after the last body event the connection serves its next request while background work goes on.
 */
#include <stddef.h>
#include <unistd.h>

#include "py_gateway.h"

#include <structmember.h>

#define SPARE_REQUESTS 32

/* receive or send of one request. */
typedef struct FcPort {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyEngine *engine; /* borrowed */
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

    PyObject_Free(object);
    Py_DECREF(type);
}

/* The request goes: a port that somebody has kept outlives it, another may be used again. */
static void
part_from(FcPort **port)
{
    if (*port == NULL || Py_REFCNT(*port) == 1)
        return;
    (*port)->request = NULL;
    Py_CLEAR(*port);
}

/* -- life --------------------------------------------------------------------------------------------------------- */

static FcAsgi *
spare_request(PyEngine *engine)
{
    FcAsgi *request = engine->spare_requests;

    if (request == NULL)
        return NULL;
    engine->spare_requests = request->next;
    engine->spare_request_count--;
    _Py_NewReference((PyObject *)request);
    Py_INCREF(engine->module->request_type);
    return request;
}

FcAsgi *
fc_asgi_new(PyEngine *engine, FcConn *conn)
{
    PyTypeObject *type = engine->module->request_type;
    FcAsgi *request = spare_request(engine);

    if (request == NULL && (request = (FcAsgi *)type->tp_alloc(type, 0)) == NULL)
        return NULL;
    fc_answer_begin(&request->answer, engine, conn);
    request->file = -1;
    request->websocket = request->body_given = request->complete = request->gone = request->in_trailers = false;
    request->sending_file = request->file_more = false;
    if (request->receive == NULL)
        request->receive = port_new(request, receive_vectorcall);
    if (request->send == NULL)
        request->send = port_new(request, send_vectorcall);
    if (request->receive == NULL || request->send == NULL) {
        request->answer.conn = NULL;
        Py_DECREF(request);
        return NULL;
    }
    conn->gateway = request;
    request->next = engine->running;
    if (request->next != NULL)
        request->next->link = &request->next;
    request->link = &engine->running;
    engine->running = (FcAsgi *)Py_NewRef((PyObject *)request);
    fc_add(&engine->engine.line->in_flight, 1);
    return request;
}

/* Resolve the futures of a list. */
static void
wake(FcModule *module, PyObject **slot)
{
    PyObject *futures = *slot;

    *slot = NULL;
    for (Py_ssize_t i = 0; futures != NULL && i < PyList_GET_SIZE(futures); i++) {
        PyObject *future = PyList_GET_ITEM(futures, i);
        PyObject *done = PyObject_CallMethodNoArgs(future, module->words[FC_W_done]);

        if (done == Py_False)
            Py_XDECREF(PyObject_CallMethodOneArg(future, module->words[FC_W_set_result], Py_None));
        Py_XDECREF(done);
        if (PyErr_Occurred())
            PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(futures);
}

void
fc_asgi_over(FcAsgi *request, bool whole)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;

    if (conn == NULL)
        return;
    request->complete = whole;
    conn->gateway = NULL;
    if (!whole)
        fc_answer_account(&request->answer, true);
    request->answer.conn = NULL;
    fc_add(&self->engine.line->in_flight, (uint64_t)-1);
    if (whole)
        fc_conn_checkin(&self->engine, conn);
    else
        fc_conn_abort(&self->engine, conn);
    if (request->file >= 0)
        close(request->file);
    request->file = -1;
    wake(self->module, &request->waiting_receive);
    wake(self->module, &request->waiting_send);
    fc_release_spent(self);
    fc_asgi_schedule(self);
}

void
fc_asgi_event(FcAsgi *request, FcWhy why)
{
    FcModule *module = request->answer.engine->module;

    switch (why) {
    case FC_WHY_ROOM:
        wake(module, &request->waiting_send);
        break;
    case FC_WHY_GONE:
        request->gone = true;
        wake(module, &request->waiting_send);
        wake(module, &request->waiting_receive);
        break;
    case FC_WHY_BODY:
    case FC_WHY_REQUEST:
        wake(module, &request->waiting_receive);
        break;
    }
}

/* The application's coroutine has ended: leave the list, break the cycles. */
static void
ended(FcAsgi *request)
{
    PyEngine *self = request->answer.engine;

    if (request->link == NULL)
        return;
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
    request->link = NULL;
    Py_CLEAR(request->coro);
    Py_CLEAR(request->task);
    fc_asgi_schedule(self); /* a drain may have waited for this one */
    Py_DECREF(request);
}

static void
report(FcAsgi *request, const char *where)
{
    FcConn *conn = request->answer.conn;
    const char *data = conn != NULL ? conn->buf->data : "";
    FcSpan none = {0, 0}, method = conn != NULL ? fc_conn_request(conn)->method_name : none;
    FcSpan target = conn != NULL ? fc_conn_request(conn)->target : none;

    fc_report(request->answer.engine, where, data + method.at, method.len, data + target.at, target.len);
}

/* Without an exception, or with one that is set: what becomes of the answer. Leaves no exception. */
static void
conclude(FcAsgi *request)
{
    bool failed = PyErr_Occurred() != NULL, open = request->answer.conn != NULL;

    /* The client has left, and the application was told so: nothing to report. */
    if (failed && request->gone && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        failed = false;
    }
    if (!failed && open && !request->gone && !request->websocket) {
        PyErr_SetString(PyExc_RuntimeError, "the application returned without completing its response");
        failed = true;
    }
    if (failed)
        report(request, "in the application");
    if (open && !request->gone && !request->websocket && !request->answer.head_done && !request->answer.broken)
        fc_asgi_over(request, fc_answer_plain(&request->answer, 500, "500 Internal Server Error"));
    fc_asgi_over(request, false);
}

void
fc_asgi_failed(FcAsgi *request)
{
    conclude(request);
    ended(request);
}

/* -- the driver --------------------------------------------------------------------------------------------------- */

static PySendResult
driver_send(PyObject *object, PyObject *value, PyObject **result)
{
    FcAsgi *request = (FcAsgi *)object;
    PySendResult state;

    if (request->coro == NULL) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    Py_INCREF(request);
    state = PyIter_Send(request->coro, value, result);
    if (state == PYGEN_NEXT) {
        Py_DECREF(request);
        return state;
    }
    if (state == PYGEN_RETURN)
        Py_CLEAR(*result);
    conclude(request);
    ended(request);
    Py_DECREF(request);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
stop(void)
{
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *
driver_step(PyObject *object, PyObject *value)
{
    PyObject *result = NULL;

    if (driver_send(object, value, &result) == PYGEN_NEXT)
        return result;
    Py_XDECREF(result);
    return stop();
}

static PyObject *
driver_next(PyObject *object)
{
    return driver_step(object, Py_None);
}

/* A cancellation, most often. One that the application lets through cuts the answer and cancels the Task. */
static PyObject *
driver_throw(PyObject *object, PyObject *args)
{
    FcAsgi *request = (FcAsgi *)object;
    PyObject *method, *result, *type, *value, *traceback;
    bool cancelled;

    if (request->coro == NULL)
        return stop();
    Py_INCREF(request);
    method = PyObject_GetAttr(request->coro, request->answer.engine->module->words[FC_W_throw]);
    result = method != NULL ? PyObject_Call(method, args, NULL) : NULL;
    Py_XDECREF(method);
    if (result != NULL) {
        Py_DECREF(request);
        return result;
    }
    cancelled = !PyErr_ExceptionMatches(PyExc_StopIteration) && !PyErr_ExceptionMatches(PyExc_Exception);
    if (PyErr_ExceptionMatches(PyExc_StopIteration))
        PyErr_Clear();
    if (cancelled) {
        PyErr_Fetch(&type, &value, &traceback);
        fc_asgi_over(request, false);
        ended(request);
        PyErr_Restore(type, value, traceback);
        Py_DECREF(request);
        return NULL;
    }
    conclude(request);
    ended(request);
    Py_DECREF(request);
    return stop();
}

static PyObject *
driver_close(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;
    PyObject *result = NULL;

    (void)ignored;
    if (request->coro == NULL)
        Py_RETURN_NONE;
    Py_INCREF(request);
    result = PyObject_CallMethodNoArgs(request->coro, request->answer.engine->module->words[FC_W_close_]);
    fc_asgi_over(request, false);
    ended(request);
    Py_DECREF(request);
    return result;
}

/* -- raw: for WebSockets ------------------------------------------------------------------------------------------ */

static PyObject *
raw_receive(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    return fc_await_new(request->answer.engine, request, FC_AWAIT_RAW_RECEIVE, NULL);
}

static PyObject *
raw_drain(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    return fc_await_new(request->answer.engine, request, FC_AWAIT_RAW_DRAIN, NULL);
}

static PyObject *
raw_write(PyObject *object, PyObject *data)
{
    FcAsgi *request = (FcAsgi *)object;
    FcConn *conn = request->answer.conn;
    struct iovec vector;
    bool kept = false;
    Py_buffer view;
    FcSend result;

    if (conn == NULL || request->gone)
        Py_RETURN_FALSE;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    vector.iov_base = view.buf;
    vector.iov_len = (size_t)view.len;
    result = fc_conn_send(&request->answer.engine->engine, conn, &vector, 1, NULL, &kept);
    PyBuffer_Release(&view);
    if (result == FC_BROKEN)
        request->gone = true;
    else if (result == FC_QUEUED) /* whether anybody waits for it or not, it must go on */
        fc_conn_want(&request->answer.engine->engine, conn, FC_WANT_ROOM,
                     request->answer.engine->engine.config.write_timeout);
    return PyBool_FromLong(result != FC_BROKEN);
}

/* The answer to the upgrade, or the refusal of it, was sent with this status. */
static PyObject *
raw_account(PyObject *object, PyObject *status)
{
    FcAsgi *request = (FcAsgi *)object;
    long code = PyLong_AsLong(status);

    if (code == -1 && PyErr_Occurred())
        return NULL;
    request->answer.status = (int)code;
    if (request->answer.conn != NULL)
        fc_answer_account(&request->answer, false);
    Py_RETURN_NONE;
}

/* End the connection: what is queued is still sent; abort: cut it now. */
static PyObject *
raw_close(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    if (request->answer.conn != NULL) {
        request->answer.conn->keep_alive = false;
        request->answer.conn->request_end = request->answer.conn->buf->len;
        fc_answer_account(&request->answer, false);
        fc_asgi_over(request, true);
    }
    Py_RETURN_NONE;
}

static PyObject *
raw_abort(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    fc_asgi_over((FcAsgi *)object, false);
    Py_RETURN_NONE;
}

static PyObject *
raw_size(PyObject *object, void *ignored)
{
    FcConn *conn = ((FcAsgi *)object)->answer.conn;

    (void)ignored;
    return PyLong_FromUnsignedLongLong(conn != NULL ? conn->out.size : 0);
}

static PyObject *
get_await(PyObject *object, void *ignored)
{
    PyObject *coro = ((FcAsgi *)object)->coro;

    (void)ignored;
    return Py_NewRef(coro != NULL ? coro : Py_None);
}

static void
request_free(FcAsgi *request)
{
    Py_CLEAR(request->receive);
    Py_CLEAR(request->send);
    PyMem_RawFree(request->answer.head);
    PyObject_Free(request);
}

void
fc_asgi_clear_spares(PyEngine *engine)
{
    while (engine->spare_requests != NULL) {
        FcAsgi *request = engine->spare_requests;

        engine->spare_requests = request->next;
        request_free(request);
    }
    engine->spare_request_count = 0;
}

static void
request_dealloc(PyObject *object)
{
    FcAsgi *request = (FcAsgi *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyEngine *engine = request->answer.engine;

    Py_CLEAR(request->waiting_receive);
    Py_CLEAR(request->waiting_send);
    Py_CLEAR(request->coro);
    Py_CLEAR(request->task);
    Py_CLEAR(request->trailer);
    if (request->file >= 0)
        close(request->file);
    part_from(&request->receive);
    part_from(&request->send);
    if (engine->live && engine->spare_request_count < SPARE_REQUESTS) {
        request->next = engine->spare_requests;
        engine->spare_requests = request;
        engine->spare_request_count++;
    } else {
        request_free(request);
    }
    Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
    {"send", driver_step, METH_O, "send(value, /)\n--\n\nResume the application (PEP 342)."},
    {"throw", driver_throw, METH_VARARGS, "throw(type, value=None, traceback=None, /)\n--\n\nRaise in the application."},
    {"close", driver_close, METH_NOARGS, "close()\n--\n\nEnd the application's coroutine and cut the answer."},
    {"raw_receive", raw_receive, METH_NOARGS,
     "raw_receive()\n--\n\nAwait bytes of a connection that speaks no HTTP any more; b'' at its end."},
    {"raw_write", raw_write, METH_O, "raw_write(data, /)\n--\n\nSend or queue bytes; False: the client is gone."},
    {"raw_drain", raw_drain, METH_NOARGS, "raw_drain()\n--\n\nAwait that little is queued. Raises OSError."},
    {"raw_close", raw_close, METH_NOARGS, "raw_close()\n--\n\nEnd the connection after what is queued."},
    {"raw_abort", raw_abort, METH_NOARGS, "raw_abort()\n--\n\nCut the connection."},
    {"raw_account", raw_account, METH_O, "raw_account(status, /)\n--\n\nCount and log the answer to the upgrade."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef request_getset[] = {
    {"cr_await", get_await, NULL, "The application's coroutine.", NULL},
    {"queued", raw_size, NULL, "Bytes that wait to be sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},  {Py_tp_methods, request_methods}, {Py_tp_getset, request_getset},
    {Py_tp_iter, PyObject_SelfIter},   {Py_tp_iternext, driver_next},    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, driver_send},         {Py_tp_doc, (void *)"One ASGI request; the coroutine that its Task runs."},
    {0, NULL},
};

PyType_Spec fc_request_spec = {
    .name = "forkcluster._engine.Request",
    .basicsize = sizeof(FcAsgi),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};

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
