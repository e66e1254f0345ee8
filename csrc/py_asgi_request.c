/* One ASGI request: its beginning, what the engine's events mean to it, and its end. See py_asgi.h.
 *
 * The response and the coroutine end independently: after the last body event the connection serves its next
 * request while background work goes on.
 */
#include <unistd.h>

#include "py_asgi.h"

#define SPARE_REQUESTS 64 /* as many as one turn may begin */
#define DEEPEST        16 /* exceptions that are followed from one to its cause */

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
    request->unbroken = 0;
    if (!fc_ports_ready(request)) {
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

void
fc_asgi_dealloc(PyObject *object)
{
    FcAsgi *request = (FcAsgi *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyEngine *engine = request->answer.engine;

    fc_port_part(&request->receive); /* the first thing: what follows may run code that calls a port */
    fc_port_part(&request->send);
    Py_CLEAR(request->watcher);
    Py_CLEAR(request->waiting_receive);
    Py_CLEAR(request->waiting_send);
    Py_CLEAR(request->coro);
    Py_CLEAR(request->task);
    Py_CLEAR(request->trailer);
    if (request->file >= 0)
        close(request->file);
    Py_CLEAR(request->scope);
    Py_CLEAR(request->asked);
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
    fc_enter(self);
    if (request->answer.now > self->engine.now)
        self->engine.now = request->answer.now;
    if (whole)
        fc_conn_checkin(&self->engine, conn);
    else if (refused)
        fc_conn_refuse(&self->engine, conn, conn->bad_body);
    else
        fc_conn_abort(&self->engine, conn);
    fc_leave(self);
    if (request->file >= 0)
        close(request->file);
    request->file = -1;
    fc_asgi_wake(self->module, &request->waiting_receive);
    fc_asgi_wake(self->module, &request->waiting_send);
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

void
fc_asgi_event(FcAsgi *request, FcWhy why)
{
    FcModule *module = request->answer.engine->module;

    switch (why) {
    case FC_WHY_ROOM:
        fc_asgi_wake(module, &request->waiting_send);
        call_watcher(request); /* which may have stopped reading for want of it */
        break;
    case FC_WHY_LATE: /* a body, and the time counts only while it is waited for */
        if (!fc_asgi_awaited(module, request->waiting_receive))
            break;
        request->answer.conn->bad_body = 408;
        /* fall through */
    case FC_WHY_GONE:
        request->gone = true;
        fc_asgi_wake(module, &request->waiting_send);
        fc_asgi_wake(module, &request->waiting_receive);
        call_watcher(request);
        break;
    case FC_WHY_BODY:
    case FC_WHY_REQUEST:
        if (request->answer.conn->out.size <= FC_LOW_WATER) /* the same event may have brought room */
            fc_asgi_wake(module, &request->waiting_send);
        fc_asgi_wake(module, &request->waiting_receive);
        call_watcher(request);
        break;
    }
}

/* The application's coroutine has ended: leave the list, break the cycles. */
void
fc_asgi_ended(FcAsgi *request)
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
    Py_CLEAR(request->asked);
    Py_CLEAR(request->coro);
    Py_CLEAR(request->task);
    if (self->engine.draining)
        fc_asgi_schedule(self); /* which may have waited for this one */
    Py_DECREF(request);
}

/* The bytes of a text or bytes in a scope, borrowed from it; none, when the application has put something
 * else there. */
static const char *
said_in(PyObject *scope, const char *name, Py_ssize_t *len)
{
    PyObject *value = scope != NULL ? PyDict_GetItemString(scope, name) : NULL;
    const char *text = NULL;
    char *bytes;

    if (value != NULL && PyUnicode_Check(value))
        text = PyUnicode_AsUTF8AndSize(value, len);
    else if (value != NULL && PyBytes_Check(value) && PyBytes_AsStringAndSize(value, &bytes, len) == 0)
        text = bytes;
    PyErr_Clear();
    if (text == NULL)
        *len = 0;
    return text != NULL ? text : "";
}

/* The exception that is set, with the request as the client wrote it; as the scope has it, when the answer is
 * complete and the connection is on to other things. */
static void
report(FcAsgi *request, const char *where)
{
    PyEngine *engine = request->answer.engine;
    FcConn *conn = request->answer.conn;
    PyObject *type, *value, *traceback, *scope;
    const char *method, *path;
    Py_ssize_t method_len, path_len;

    if (conn != NULL) {
        const FcRequest *head = fc_conn_request(conn);

        fc_report(engine, where, conn->buf->data + head->method_name.at, head->method_name.len,
                  conn->buf->data + head->target.at, head->target.len);
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    scope = Py_XNewRef(request->asked);
    method = said_in(scope, "method", &method_len);
    path = said_in(scope, "raw_path", &path_len);
    PyErr_Restore(type, value, traceback);
    fc_report(engine, where, method, (size_t)method_len, path, (size_t)path_len);
    Py_XDECREF(scope);
}

/* What a group of exceptions holds, as a new reference; NULL: it is none. Before 3.11 groups are a library's.
 */
static PyObject *
members_of(PyObject *error)
{
    PyObject *members = PyObject_GetAttrString(error, "exceptions");

    if (members != NULL && PyTuple_Check(members) && PyTuple_GET_SIZE(members) > 0)
        return members;
    PyErr_Clear();
    Py_XDECREF(members);
    return NULL;
}

/* Whether that is the OSError of a send(), or what an application makes of it: an exception raised from it or
 * of a class of its own, a group of such. One of Python's that is raised while it is handled is a fault. */
static bool
tells_of_departure(PyObject *error /* borrowed, may be NULL */, unsigned deep)
{
    PyObject *members, *next;
    bool tells;

    if (error == NULL || deep == 0 || !PyExceptionInstance_Check(error))
        return false;
    if (Py_IS_TYPE(error, (PyTypeObject *)PyExc_OSError))
        return true;
    members = members_of(error);
    if (members != NULL) {
        tells = true;
        for (Py_ssize_t i = 0; tells && i < PyTuple_GET_SIZE(members); i++)
            tells = tells_of_departure(PyTuple_GET_ITEM(members, i), deep - 1);
        Py_DECREF(members);
        return tells;
    }
    next = PyException_GetCause(error);
    if (next == NULL && PyType_HasFeature(Py_TYPE(error), Py_TPFLAGS_HEAPTYPE))
        next = PyException_GetContext(error);
    tells = tells_of_departure(next, deep - 1);
    Py_XDECREF(next);
    return tells;
}

/* The exception that is set comes of the client's departure. */
static bool
came_of_departure(void)
{
    PyObject *type, *value, *traceback;
    bool came;

    if (PyErr_ExceptionMatches(PyExc_OSError))
        return true;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    came = tells_of_departure(value, DEEPEST);
    PyErr_Restore(type, value, traceback);
    return came;
}

/* Without an exception, or with one that is set: what becomes of the answer. Leaves no exception. */
static void
conclude(FcAsgi *request)
{
    bool failed = PyErr_Occurred() != NULL, open = request->answer.conn != NULL;
    bool begun = request->answer.head_done || request->answer.broken;

    /* The client has left, and the application was told so: nothing to report. */
    if (failed && request->gone && came_of_departure()) {
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
int
fc_asgi_finish(FcAsgi *request)
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
    fc_asgi_ended(request);
    if (type == NULL)
        return 0;
    PyErr_Restore(type, value, traceback);
    return -1;
}

void
fc_asgi_failed(FcAsgi *request)
{
    conclude(request);
    fc_asgi_ended(request);
}
