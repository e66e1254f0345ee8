/* One request through a WSGI application (PEP 3333). See py_gateway.h.
 *
 * The engine token is given up for as long as the application runs: in the call itself, in each step of its
 * iterable and in close(). An answer whose client does not keep up is parked between two chunks and other
 * requests are served meanwhile; a file is parked until the kernel has taken it all.
 */
#include <string.h>

#include "py_gateway.h"

typedef enum Progress {
    DONE,   /* the answer is whole, sent or queued */
    PARKED, /* waits for room */
    CUT,    /* the answer cannot be completed */
} Progress;

static void
leave_engine(PyEngine *self)
{
    fc_engine_release(&self->engine);
}

/* With one thread the token is always free here. */
static void
enter_engine(PyEngine *self)
{
    while (!fc_engine_try_take(&self->engine))
        ;
}

/* An exception of the application is set: report it, and answer if that is still possible. */
static Progress
failed(FcCall *call, const char *where)
{
    PyEngine *self = call->answer.engine;
    FcConn *conn = call->answer.conn;
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;

    if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        /* The application wants this process to end: after this answer it does, and the master replaces it.
         */
        conn->keep_alive = false;
        fc_engine_command(&self->engine, FC_COMMAND_DRAIN);
        if (self->monitor != NULL)
            fc_monitor_leave(self->monitor, "the application asked to exit");
    }
    fc_report(self, where, data + request->method_name.at, request->method_name.len,
              data + request->target.at, request->target.len);
    if (call->answer.head_done)
        return CUT;
    return fc_answer_plain(&call->answer, 500, "500 Internal Server Error") ? DONE : CUT;
}

/* The whole body is there: a list or tuple of bytes. False with an exception when it is something else. */
static bool
send_sequence(FcCall *call, PyObject *sequence, Progress *progress)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    PyObject **items = PySequence_Fast_ITEMS(sequence), *joined;
    bool sent;

    if (count > 1 || (count == 1 && !PyBytes_CheckExact(items[0])))
        return false;
    joined = count == 1 ? items[0] : NULL;
    if (!call->answer.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application returned without calling start_response (PEP 3333)");
        *progress = failed(call, "after the application");
        return true;
    }
    sent = fc_answer_send(&call->answer, joined != NULL ? PyBytes_AS_STRING(joined) : "",
                          joined != NULL ? (size_t)PyBytes_GET_SIZE(joined) : 0, joined, true) &&
           fc_answer_end(&call->answer, NULL, 0);
    *progress = sent ? DONE : CUT;
    return true;
}

/* Step through the iterable until it ends, fails or the client does not keep up. */
static Progress
pump(FcCall *call)
{
    PyEngine *self = call->answer.engine;

    for (;;) {
        PyObject *item;
        bool sent = true;

        if (call->answer.no_body && call->answer.head_done)
            break;
        leave_engine(self);
        item = PyIter_Next(call->iterator);
        enter_engine(self);
        if (item == NULL)
            break;
        if (!PyBytes_Check(item)) {
            PyErr_Format(PyExc_TypeError, "the application's iterable gave %.100s, not bytes",
                         Py_TYPE(item)->tp_name);
            Py_DECREF(item);
            break;
        }
        if (!call->answer.started) {
            PyErr_SetString(PyExc_AssertionError,
                            "the application gave a chunk before calling start_response");
            Py_DECREF(item);
            break;
        }
        if (PyBytes_GET_SIZE(item) > 0)
            sent = fc_answer_send(&call->answer, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item),
                                  item, false);
        Py_DECREF(item);
        if (!sent)
            return CUT;
        if (call->answer.conn->out.size > FC_HIGH_WATER)
            return PARKED;
    }
    if (PyErr_Occurred())
        return failed(call, "in the application's iterable");
    if (!call->answer.started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application's iterable ended without start_response being called");
        return failed(call, "after the application");
    }
    return fc_answer_end(&call->answer, NULL, 0) ? DONE : CUT;
}

static Progress
send_wrapped_file(FcCall *call, bool *wrapped)
{
    int fd;
    off_t offset;
    uint64_t length;

    /* Behind write() the body may be chunked: then the file is read like any iterable. */
    *wrapped = call->answer.started && !call->answer.head_done &&
               fc_file_wrapper_extent(call->answer.engine->module, call->iterable, &fd, &offset, &length);
    if (!*wrapped)
        return CUT;
    if (!fc_answer_send_file(&call->answer, fd, offset, length, true) ||
        !fc_answer_end(&call->answer, NULL, 0))
        return CUT;
    return call->answer.conn->out.size > 0 ? PARKED
                                           : DONE; /* the file must stay open until the kernel has it */
}

static Progress
respond(FcCall *call, PyObject *result /* stolen */)
{
    Progress progress = CUT;
    bool wrapped;

    call->iterable = result;
    if (result == NULL)
        return failed(call, "in the application");
    if ((PyList_CheckExact(result) || PyTuple_CheckExact(result)) && !call->answer.head_done &&
        send_sequence(call, result, &progress))
        return progress;
    if (Py_IS_TYPE(result, call->answer.engine->module->file_wrapper_type)) {
        progress = send_wrapped_file(call, &wrapped);
        if (wrapped)
            return progress;
    }
    call->iterator = PyObject_GetIter(result);
    if (call->iterator == NULL)
        return failed(call, "in the application's answer");
    return pump(call);
}

/* close() of the iterable, always called (PEP 3333), the client gone or not. */
static void
close_iterable(FcCall *call)
{
    PyEngine *self = call->answer.engine;
    PyObject *iterable = call->iterable, *method, *result;

    if (iterable == NULL || PyList_CheckExact(iterable) || PyTuple_CheckExact(iterable))
        return;
    leave_engine(self);
    method = PyObject_GetAttr(iterable, self->module->close);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    } else {
        result = method != NULL ? PyObject_CallNoArgs(method) : NULL;
        if (result == NULL)
            fc_report(self, "in close() of the application's answer", "", 0, "", 0);
        Py_XDECREF(result);
        Py_XDECREF(method);
    }
    enter_engine(self);
}

/* The answer is over. The context is entered. */
static void
finish(PyEngine *self, FcCall *call, Progress progress)
{
    FcConn *conn = call->answer.conn;

    if (call->input != NULL)
        fc_input_close(call->input);
    if (progress == DONE) {
        fc_conn_checkin(&self->engine, conn);
    } else {
        fc_answer_account(&call->answer, true);
        fc_conn_abort(&self->engine, conn);
    }
    call->answer.conn = NULL;
    fc_release_spent(self);
    close_iterable(call);
    if (call->context != NULL)
        PyContext_Exit(call->context);
    fc_store(&self->engine.line->in_flight, fc_load(&self->engine.line->in_flight) - 1);
    fc_call_done(call);
}

/* Go on with, or put away, an answer that has made progress. */
static void
conclude(PyEngine *self, FcCall *call, Progress progress)
{
    if (progress != PARKED) {
        finish(self, call, progress);
        return;
    }
    call->answer.conn->gateway = call;
    fc_conn_park(&self->engine, call->answer.conn);
    PyContext_Exit(call->context);
}

static void
resume(PyEngine *self, FcConn *conn)
{
    FcCall *call = conn->gateway;
    Progress progress = CUT;

    conn->gateway = NULL;
    PyContext_Enter(call->context);
    if (conn->why == FC_WHY_ROOM)
        progress = call->iterator != NULL ? pump(call) : DONE; /* without an iterator: a file, sent by now */
    conclude(self, call, progress);
}

void
fc_wsgi_serve_one(PyEngine *self, FcConn *conn)
{
    FcLine *line = self->engine.line;
    FcCall *call = NULL;
    PyObject *environ = NULL, *result = NULL;

    if (conn->why != FC_WHY_REQUEST) {
        resume(self, conn);
        return;
    }
    call = fc_call_new(self, conn);
    if (call == NULL || (call->context = PyContext_CopyCurrent()) == NULL ||
        PyContext_Enter(call->context) < 0 || (environ = fc_environ_new(self, conn, &call->input)) == NULL) {
        fc_report(self, "preparing a request", "", 0, "", 0);
        if (call != NULL && call->context != NULL && environ == NULL)
            PyContext_Exit(call->context);
        if (call != NULL)
            fc_call_done(call);
        fc_conn_refuse(&self->engine, conn, 503);
        return;
    }
    fc_add(&line->in_flight, 1);
    fc_add(&line->calls, 1);
    leave_engine(self);
    {
        PyObject *args[3] = {NULL, environ, (PyObject *)call};

        result = PyObject_Vectorcall(self->app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    enter_engine(self);
    fc_add(&line->calls, 1);
    conclude(self, call, respond(call, result));
    Py_DECREF(environ);
}
