/* One request through a WSGI application (PEP 3333). See py_gateway.h.
 *
 * From the moment a connection is given out until it is given back the thread holds the GIL only: the token
 * is for the engine's tables. An answer whose client does not keep up is parked between two chunks and other
 * requests are served meanwhile, after which any thread may go on with it; a file is parked until the kernel
 * has taken it all.
 */
#include <stdio.h>
#include <string.h>

#include "phrase.h"
#include "py_gateway.h"

typedef enum Progress {
    DONE,   /* the answer is whole, sent or queued */
    PARKED, /* waits for room */
    CUT,    /* the answer cannot be completed */
} Progress;

/* A thread of the application may still be in read() or write() of this call. */
static void
settle(FcCall *call, uint8_t what)
{
    if (call->answer.conn->lent & what && !call->answer.engine->forked_away)
        fc_recall(call->answer.conn, what);
}

/* An exception of the application is set: report it, unless it is the client's fault, and answer if that is
 * still possible. */
static Progress
failed(FcCall *call, const char *where)
{
    PyEngine *self = call->answer.engine;
    FcConn *conn = call->answer.conn;
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;
    char text[64] = "500 Internal Server Error";
    int status = 500;

    if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        /* The application wants this process to end: after this answer it does, and the master replaces it.
         */
        conn->keep_alive = false;
        fc_engine_command(&self->engine, FC_COMMAND_DRAIN);
        if (self->monitor != NULL)
            fc_monitor_leave(self->monitor, "the application asked to exit");
    }
    if (conn->bad_body != 0 && call->input != NULL && fc_input_raised(call->input)) {
        status = conn->bad_body;
        snprintf(text, sizeof text, "%d %s", status, fc_phrase(status));
    }
    if (status >= 500)
        fc_report(self, where, data + request->method_name.at, request->method_name.len,
                  data + request->target.at, request->target.len);
    else
        PyErr_Clear();
    if (call->answer.head_done)
        return CUT;
    return fc_answer_plain(&call->answer, status, text) ? DONE : CUT;
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
    for (;;) {
        PyObject *item;
        bool sent = true;

        if (call->answer.no_body && call->answer.head_done)
            break;
        item = PyIter_Next(call->iterator);
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
        if (!fc_output_empty(&call->answer.conn->out)) /* the next chunk may be a long time coming */
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
    call->returned = true;
    call->thread = PyThread_get_thread_ident();
    settle(call, FC_LENT_OUT);
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

static bool
has_close(const FcCall *call)
{
    const PyObject *iterable = call->iterable;

    return iterable != NULL && !PyList_CheckExact(iterable) && !PyTuple_CheckExact(iterable);
}

/* As the client wrote it, in an environ whose connection is on to other things; empty, if the application
 * changed it. */
static const char *
said(const FcCall *call, PyObject *key, size_t *len)
{
    PyObject *text = PyDict_GetItem(call->environ, key);
    bool kept = text != NULL && PyUnicode_Check(text) && PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND;

    *len = kept ? (size_t)PyUnicode_GET_LENGTH(text) : 0;
    return kept ? PyUnicode_DATA(text) : "";
}

/* close() of the iterable, always called (PEP 3333), the client gone or not. */
static void
close_iterable(PyEngine *self, FcCall *call)
{
    PyObject *method = PyObject_GetAttr(call->iterable, self->module->close), *result;

    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return;
    }
    result = method != NULL ? PyObject_CallNoArgs(method) : NULL;
    if (result == NULL) {
        size_t method_len, target_len;
        const char *verb = said(call, self->module->keys[FC_KEY_REQUEST_METHOD], &method_len);
        const char *target = said(call, self->module->keys[FC_KEY_RAW_URI], &target_len);

        fc_report(self, "in close() of the application's answer", verb, method_len, target, target_len);
    }
    Py_XDECREF(result);
    Py_XDECREF(method);
}

/* Give a connection back: whole, or cut. As fc_wsgi_serve_one. */
static bool
give_back(PyEngine *self, FcServer *me, FcConn *conn, bool whole, uint64_t now)
{
    FcEngine *engine = &self->engine;
    bool leads = fc_come_back(self, me);

    if (now > engine->now)
        engine->now = now;
    if (whole)
        fc_conn_checkin(engine, conn);
    else
        fc_conn_abort(engine, conn);
    if (!leads)
        fc_bow_out(self);
    return leads;
}

/* What is left when the answer is out: the context is left, the call is forgotten. */
static void
forget(PyEngine *self, FcCall *call)
{
    if (call->context != NULL)
        PyContext_Exit(call->context);
    fc_add(&self->engine.line->in_flight, (uint64_t)-1);
    fc_call_done(call);
}

/* The answer is over. A connection is given back before close(), which may take its time; and after the rest,
 * which does not, so that the token is taken once. As fc_wsgi_serve_one. */
static bool
finish(PyEngine *self, FcServer *me, FcCall *call, bool whole)
{
    FcConn *conn = call->answer.conn;
    uint64_t now;
    bool leads;

    settle(call, FC_LENT_BODY | FC_LENT_OUT);
    if (call->input != NULL)
        fc_input_close(call->input);
    if (!whole)
        fc_answer_account(&call->answer, true);
    now = call->answer.now;
    call->answer.conn = NULL;
    if (!has_close(call)) {
        forget(self, call);
        return give_back(self, me, conn, whole, now);
    }
    leads = give_back(self, me, conn, whole, now);
    if (leads) {
        fc_call_begins(self);
        fc_leave(self);
    }
    close_iterable(self, call);
    forget(self, call);
    return fc_come_back(self, me) || (fc_bow_out(self), false);
}

/* Go on with, or put away, an answer that has made progress. */
static bool
conclude(PyEngine *self, FcServer *me, FcCall *call, Progress progress)
{
    FcConn *conn = call->answer.conn;
    bool leads;

    if (progress != PARKED)
        return finish(self, me, call, progress == DONE);
    conn->gateway = call;
    PyContext_Exit(call->context);
    leads = fc_come_back(self, me);
    if (call->answer.now > self->engine.now)
        self->engine.now = call->answer.now;
    fc_conn_park(&self->engine, conn); /* from here on it may be another thread's */
    if (!leads)
        fc_bow_out(self);
    return leads;
}

static bool
resume(PyEngine *self, FcServer *me, FcConn *conn)
{
    FcCall *call = conn->gateway;
    Progress progress = CUT;

    conn->gateway = NULL;
    call->thread = PyThread_get_thread_ident();
    PyContext_Enter(call->context);
    if (conn->why == FC_WHY_ROOM)
        progress = call->iterator != NULL ? pump(call) : DONE; /* without an iterator: a file, sent by now */
    return conclude(self, me, call, progress);
}

/* A call for the request, in a context of its own, with its environ. NULL, and no exception: that failed. */
static FcCall *
prepare(PyEngine *self, FcConn *conn)
{
    FcCall *call = fc_call_new(self, conn);
    bool entered = call != NULL && (call->context = PyContext_Copy(self->context)) != NULL &&
                   PyContext_Enter(call->context) == 0;

    if (entered && (call->environ = fc_environ_new(self, conn, &call->input)) != NULL)
        return call;
    fc_report(self, "preparing a request", "", 0, "", 0);
    if (entered)
        PyContext_Exit(call->context);
    if (call != NULL)
        fc_call_done(call);
    return NULL;
}

static bool
refuse(PyEngine *self, FcServer *me, FcConn *conn)
{
    bool leads = fc_come_back(self, me);

    fc_conn_refuse(&self->engine, conn, 503);
    if (!leads)
        fc_bow_out(self);
    return leads;
}

bool
fc_wsgi_serve_one(PyEngine *self, FcServer *me, FcConn *conn)
{
    PyObject *args[3] = {NULL, NULL, NULL}, *result;
    FcCall *call;

    fc_call_begins(self);
    if (conn->why != FC_WHY_REQUEST)
        return resume(self, me, conn);
    call = prepare(self, conn);
    if (call == NULL)
        return refuse(self, me, conn);
    fc_add(&self->engine.line->in_flight, 1);
    args[1] = call->environ;
    args[2] = (PyObject *)call;
    result = PyObject_Vectorcall(self->app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    return conclude(self, me, call, respond(call, result));
}
