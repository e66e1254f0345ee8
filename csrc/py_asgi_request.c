/* One ASGI request: the coroutine its Task runs, its receive and send, and its end. See py_gateway.h.
 *
 * The driver stands between Task and application so that the end of the application's coroutine is seen
 * without a callback: an exception is reported, an answer that was not completed is cut. The response and the
 * coroutine end independently: after the last body event the connection serves its next request while
 * background work goes on.
 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "py_gateway.h"

#include <structmember.h>

#define SPARE_REQUESTS 32

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

/* The request goes: a port that somebody has kept outlives it, another may be used again. */
static void
part_from(FcPort **port)
{
    if (*port == NULL || Py_REFCNT(*port) == 1)
        return;
    (*port)->request = NULL;
    Py_INCREF((PyObject *)(*port)->engine);
    Py_CLEAR(*port);
}

/* -- life
 * ---------------------------------------------------------------------------------------------------------
 */

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
    fc_answer_begin(&request->answer, (PyEngine *)Py_NewRef((PyObject *)engine), conn);
    request->file = -1;
    request->websocket = request->body_given = request->complete = request->gone = request->in_trailers =
        false;
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
    bool refused;

    if (conn == NULL)
        return;
    if (self->forked_away) { /* the connection, and its place on the scoreboard, are the parent's */
        request->answer.conn = NULL;
        return;
    }
    request->complete = whole;
    refused = !whole && conn->bad_body != 0 && !request->answer.head_done && !request->answer.broken;
    conn->gateway = NULL;
    if (!whole && !refused)
        fc_answer_account(&request->answer, true);
    request->answer.conn = NULL;
    fc_add(&self->engine.line->in_flight, (uint64_t)-1);
    if (whole)
        fc_conn_checkin(&self->engine, conn);
    else if (refused)
        fc_conn_refuse(&self->engine, conn, conn->bad_body);
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

static void
call_watcher(FcAsgi *request)
{
    PyObject *watcher = Py_XNewRef(request->watcher), *result;

    if (watcher == NULL)
        return;
    result = PyObject_CallNoArgs(watcher);
    if (result == NULL)
        PyErr_WriteUnraisable(watcher);
    Py_XDECREF(result);
    Py_DECREF(watcher);
}

/* Whether somebody still waits: a future of the list that is not done, as one of a cancelled wait is. */
static bool
is_awaited(FcModule *module, PyObject *futures)
{
    bool found = false;

    for (Py_ssize_t i = 0; futures != NULL && !found && i < PyList_GET_SIZE(futures); i++) {
        PyObject *done = PyObject_CallMethodNoArgs(PyList_GET_ITEM(futures, i), module->words[FC_W_done]);

        found = done == Py_False;
        if (done == NULL)
            PyErr_Clear();
        Py_XDECREF(done);
    }
    return found;
}

void
fc_asgi_event(FcAsgi *request, FcWhy why)
{
    FcModule *module = request->answer.engine->module;

    switch (why) {
    case FC_WHY_ROOM:
        wake(module, &request->waiting_send);
        break;
    case FC_WHY_LATE: /* a body, and the time counts only while it is waited for */
        if (!is_awaited(module, request->waiting_receive))
            break;
        request->answer.conn->bad_body = 408;
        /* fall through */
    case FC_WHY_GONE:
        request->gone = true;
        wake(module, &request->waiting_send);
        wake(module, &request->waiting_receive);
        call_watcher(request);
        break;
    case FC_WHY_BODY:
    case FC_WHY_REQUEST:
        wake(module, &request->waiting_receive);
        call_watcher(request);
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
    Py_CLEAR(request->watcher);
    Py_CLEAR(request->scope);
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
    bool begun = request->answer.head_done || request->answer.broken;

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
    if (open && !request->gone && !request->websocket && !begun)
        fc_asgi_over(request, fc_answer_plain(&request->answer, 500, "500 Internal Server Error"));
    fc_asgi_over(request, false);
}

/* The application's coroutine is through, with an exception set or without. -1: the exception is the Task's
 * to see: a Task that was cancelled must end cancelled. */
static int
finish(FcAsgi *request)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyEngine *self = request->answer.engine;

    if (PyErr_Occurred() && self->cancelled_error != NULL &&
        (PyErr_ExceptionMatches(self->cancelled_error) || PyErr_ExceptionMatches(PyExc_GeneratorExit))) {
        PyErr_Fetch(&type, &value, &traceback);
        if (!request->websocket && !request->gone)
            PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
        else
            request->gone = true;
    }
    conclude(request);
    ended(request);
    if (type == NULL)
        return 0;
    PyErr_Restore(type, value, traceback);
    return -1;
}

void
fc_asgi_failed(FcAsgi *request)
{
    conclude(request);
    ended(request);
}

/* -- the driver
 * --------------------------------------------------------------------------------------------------- */

/* The first step, inside the Task: what the application does before it gives its coroutine happens in the
 * Task's own context. NULL: it has failed. */
static PyObject *
begin(FcAsgi *request)
{
    PyObject *scope = request->scope;

    request->scope = NULL;
    request->coro = fc_asgi_call(request, scope);
    Py_DECREF(scope);
    return request->coro;
}

/* The application has forked, and the child came back here: it shares the loop's descriptors with its parent,
 * so any step further would be taken in the parent's name. */
static void
leave_if_forked(FcAsgi *request)
{
    static const char words[] = "forkcluster: a forked child has returned into the server; it ends here\n";
    ssize_t ignored;

    if (!request->answer.engine->forked_away)
        return;
    ignored = write(2, words, sizeof words - 1);
    (void)ignored;
    _exit(1);
}

static PySendResult
driver_send(PyObject *object, PyObject *value, PyObject **result)
{
    FcAsgi *request = (FcAsgi *)object;
    PySendResult state = PYGEN_ERROR;

    *result = NULL;
    if (request->coro == NULL && request->scope == NULL) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    Py_INCREF(request);
    if (request->coro != NULL || begin(request) != NULL)
        state = PyIter_Send(request->coro, value, result);
    leave_if_forked(request);
    if (state == PYGEN_NEXT) {
        Py_DECREF(request);
        return state;
    }
    if (state == PYGEN_RETURN)
        Py_CLEAR(*result);
    if (finish(request) < 0) {
        Py_DECREF(request);
        return PYGEN_ERROR;
    }
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
    PySendResult state = driver_send(object, value, &result);

    if (state == PYGEN_NEXT)
        return result;
    Py_XDECREF(result);
    return state == PYGEN_ERROR ? NULL : stop();
}

static PyObject *
driver_next(PyObject *object)
{
    return driver_step(object, Py_None);
}

/* Raise in the application; before its first step there is nobody to catch it. */
static PyObject *
throw_into(FcAsgi *request, PyObject *args)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL, *method, *result;

    if (request->coro != NULL) {
        method = PyObject_GetAttr(request->coro, request->answer.engine->module->words[FC_W_throw]);
        result = method != NULL ? PyObject_Call(method, args, NULL) : NULL;
        Py_XDECREF(method);
        return result;
    }
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback))
        return NULL;
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else
        PyErr_SetObject(type, value);
    return NULL;
}

/* A cancellation, most often. One that the application lets through ends the answer, and the Task as
 * cancelled. */
static PyObject *
driver_throw(PyObject *object, PyObject *args)
{
    FcAsgi *request = (FcAsgi *)object;
    PyObject *result;
    int outcome;

    if (request->coro == NULL && request->scope == NULL)
        return stop();
    Py_INCREF(request);
    result = throw_into(request, args);
    leave_if_forked(request);
    if (result == NULL) {
        if (PyErr_ExceptionMatches(PyExc_StopIteration))
            PyErr_Clear();
        outcome = finish(request);
        if (outcome == 0)
            stop();
    }
    Py_DECREF(request);
    return result;
}

static PyObject *
driver_close(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;
    PyObject *result = Py_None, *type, *value, *traceback;

    (void)ignored;
    if (request->coro == NULL && request->scope == NULL)
        Py_RETURN_NONE;
    Py_INCREF(request);
    if (request->coro != NULL)
        result = PyObject_CallMethodNoArgs(request->coro, request->answer.engine->module->words[FC_W_close_]);
    else
        Py_INCREF(result);
    PyErr_Fetch(&type, &value, &traceback);
    fc_asgi_over(request, false);
    ended(request);
    PyErr_Restore(type, value, traceback);
    Py_DECREF(request);
    return result;
}

/* -- raw: for WebSockets
 * ------------------------------------------------------------------------------------------ */

static PyObject *
raw_receive(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    return fc_await_new(request->answer.engine, request, FC_AWAIT_RAW_RECEIVE, NULL);
}

static PyObject *
raw_read(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return fc_asgi_raw_read((FcAsgi *)object);
}

static PyObject *
raw_watch(PyObject *object, PyObject *callback)
{
    FcAsgi *request = (FcAsgi *)object;

    Py_XSETREF(request->watcher, callback != Py_None && request->link != NULL ? Py_NewRef(callback) : NULL);
    Py_RETURN_NONE;
}

/* The upgrade is declined: from here on it is a request like any other, the last of its connection. */
static PyObject *
raw_answer(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    if (request->send == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the request is over");
    request->websocket = false;
    Py_CLEAR(request->watcher);
    if (request->answer.conn != NULL)
        request->answer.conn->keep_alive = false;
    return Py_NewRef(request->send);
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
    if (result == FC_BROKEN) {
        request->gone = true;
    } else if (result == FC_QUEUED &&
               !(conn->wants & FC_WANT_ROOM)) { /* whether anybody waits or not, it must go on */
        fc_conn_want(&request->answer.engine->engine, conn, FC_WANT_ROOM,
                     request->answer.engine->engine.config.write_timeout);
        fc_asgi_schedule(request->answer.engine);
    }
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

/* An attribute of the application's own coroutine, so that asyncio's and anyio's questions to this one (its
 * name, its stack, whether it was started) have the answer a reader expects. Not called yet: the closure says
 * which default. */
static PyObject *
get_of_coro(PyObject *object, void *name)
{
    FcAsgi *request = (FcAsgi *)object;
    const char *text = name;

    if (request->coro != NULL)
        return PyObject_GetAttrString(request->coro, text);
    if (text[0] == '_')
        return PyUnicode_FromString("request");
    if (strcmp(text, "cr_running") == 0 || strcmp(text, "cr_suspended") == 0)
        Py_RETURN_FALSE;
    Py_RETURN_NONE;
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

    part_from(&request->receive); /* the first thing: what follows may run code that calls a port */
    part_from(&request->send);
    Py_CLEAR(request->watcher);
    Py_CLEAR(request->waiting_receive);
    Py_CLEAR(request->waiting_send);
    Py_CLEAR(request->coro);
    Py_CLEAR(request->task);
    Py_CLEAR(request->trailer);
    if (request->file >= 0)
        close(request->file);
    Py_CLEAR(request->scope);
    if (engine->live && engine->spare_request_count < SPARE_REQUESTS) {
        request->next = engine->spare_requests;
        engine->spare_requests = request;
        engine->spare_request_count++;
    } else {
        request_free(request);
    }
    Py_DECREF((PyObject *)engine); /* the last thing: it may free the spares */
    Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
    {"send", driver_step, METH_O, "send(value, /)\n--\n\nResume the application (PEP 342)."},
    {"throw", driver_throw, METH_VARARGS,
     "throw(type, value=None, traceback=None, /)\n--\n\nRaise in the application."},
    {"close", driver_close, METH_NOARGS,
     "close()\n--\n\nEnd the application's coroutine and cut the answer."},
    {"raw_receive", raw_receive, METH_NOARGS,
     "raw_receive()\n--\n\nAwait bytes of a connection that speaks no HTTP any more; b'' at its end."},
    {"raw_read", raw_read, METH_NOARGS,
     "raw_read()\n--\n\nBytes that are there; b'' at the end; None: nothing yet, the watcher will be "
     "called."},
    {"raw_watch", raw_watch, METH_O,
     "raw_watch(callback, /)\n--\n\nCall it when raw_read will find something."},
    {"raw_answer", raw_answer, METH_NOARGS,
     "raw_answer()\n--\n\nDecline the upgrade: the send callable of a plain response."},
    {"raw_write", raw_write, METH_O,
     "raw_write(data, /)\n--\n\nSend or queue bytes; False: the client is gone."},
    {"raw_drain", raw_drain, METH_NOARGS, "raw_drain()\n--\n\nAwait that little is queued. Raises OSError."},
    {"raw_close", raw_close, METH_NOARGS, "raw_close()\n--\n\nEnd the connection after what is queued."},
    {"raw_abort", raw_abort, METH_NOARGS, "raw_abort()\n--\n\nCut the connection."},
    {"raw_account", raw_account, METH_O,
     "raw_account(status, /)\n--\n\nCount and log the answer to the upgrade."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef request_getset[] = {
    {"__name__", get_of_coro, NULL, "Of the application's coroutine.", "__name__"},
    {"__qualname__", get_of_coro, NULL, "Of the application's coroutine.", "__qualname__"},
    {"cr_await", get_of_coro, NULL, "Of the application's coroutine.", "cr_await"},
    {"cr_code", get_of_coro, NULL, "Of the application's coroutine.", "cr_code"},
    {"cr_frame", get_of_coro, NULL, "Of the application's coroutine.", "cr_frame"},
    {"cr_origin", get_of_coro, NULL, "Of the application's coroutine.", "cr_origin"},
    {"cr_running", get_of_coro, NULL, "Of the application's coroutine.", "cr_running"},
    {"cr_suspended", get_of_coro, NULL, "Of the application's coroutine.", "cr_suspended"},
    {"queued", raw_size, NULL, "Bytes that wait to be sent.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_getset, request_getset},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, driver_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, driver_send},
    {Py_tp_doc, (void *)"One ASGI request; the coroutine that its Task runs."},
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
