/* The coroutine that an ASGI request's Task runs: a driver around the application's own. See py_asgi.h.
 *
 * It stands between Task and application so that the end of the application's coroutine is seen without a
 * callback: an exception is reported, an answer that was not completed is cut.
 */
#include <string.h>
#include <unistd.h>

#include "py_asgi.h"

/* The first step, inside the Task: what the application does before it gives its coroutine happens in the
 * Task's own context. NULL: it has failed. */
static PyObject *
begin(FcAsgi *request)
{
    PyObject *scope = request->scope;

    request->scope = NULL;
    Py_XSETREF(request->asked, Py_NewRef(scope));
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

/* This request's Task runs from here on; what ran before it (an eager start runs inside another) is given. */
static inline FcAsgi *
step_into(FcAsgi *request)
{
    PyEngine *self = request->answer.engine;
    FcAsgi *before = self->stepping;

    self->stepping = request;
    return before;
}

static PySendResult
driver_send(PyObject *object, PyObject *value, PyObject **result)
{
    FcAsgi *request = (FcAsgi *)object;
    PySendResult state = PYGEN_ERROR;
    FcAsgi *before;

    *result = NULL;
    if (request->coro == NULL && request->scope == NULL) {
        *result = Py_NewRef(Py_None);
        return PYGEN_RETURN;
    }
    Py_INCREF(request);
    before = step_into(request);
    if (request->coro != NULL || begin(request) != NULL)
        state = PyIter_Send(request->coro, value, result);
    request->answer.engine->stepping = before;
    leave_if_forked(request);
    if (state == PYGEN_NEXT) {
        Py_DECREF(request);
        return state;
    }
    if (state == PYGEN_RETURN)
        Py_CLEAR(*result);
    if (fc_asgi_finish(request) < 0) {
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

/* The attribute, or NULL; with an exception only where that is no AttributeError. */
static PyObject *
attribute_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);

    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return value;
}

/* Raise in the application. Nobody can catch it there before the first step, and in an iterator that knows no
 * throw, as which an awaitable may wait. */
static PyObject *
throw_into(FcAsgi *request, PyObject *args)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL, *method = NULL, *result;

    if (request->coro != NULL)
        method = attribute_of(request->coro, request->answer.engine->module->words[FC_W_throw]);
    if (method != NULL) {
        result = PyObject_Call(method, args, NULL);
        Py_DECREF(method);
        return result;
    }
    if (PyErr_Occurred())
        return NULL;
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
    FcAsgi *before;
    int outcome;

    if (request->coro == NULL && request->scope == NULL)
        return stop();
    Py_INCREF(request);
    before = step_into(request);
    result = throw_into(request, args);
    request->answer.engine->stepping = before;
    leave_if_forked(request);
    if (result == NULL) {
        if (PyErr_ExceptionMatches(PyExc_StopIteration))
            PyErr_Clear();
        outcome = fc_asgi_finish(request);
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
    PyObject *result = NULL, *method = NULL, *type, *value, *traceback;

    (void)ignored;
    if (request->coro == NULL && request->scope == NULL)
        Py_RETURN_NONE;
    Py_INCREF(request);
    if (request->coro != NULL)
        method = attribute_of(request->coro, request->answer.engine->module->words[FC_W_close_]);
    if (method != NULL)
        result = PyObject_CallNoArgs(method);
    else if (!PyErr_Occurred())
        result = Py_NewRef(Py_None);
    Py_XDECREF(method);
    PyErr_Fetch(&type, &value, &traceback);
    fc_asgi_over(request, false);
    fc_asgi_ended(request);
    PyErr_Restore(type, value, traceback);
    Py_DECREF(request);
    return result;
}

static PyObject *
get_queued(PyObject *object, void *ignored)
{
    FcConn *conn = ((FcAsgi *)object)->answer.conn;

    (void)ignored;
    return PyLong_FromUnsignedLongLong(conn != NULL ? conn->out.size : 0);
}

static PyObject *
get_untaken(PyObject *object, void *ignored)
{
    FcConn *conn = ((FcAsgi *)object)->answer.conn;

    (void)ignored;
    return PyLong_FromUnsignedLongLong(conn != NULL ? conn->out.size + (uint64_t)fc_conn_in_kernel(conn) : 0);
}

/* What inspect.getcoroutinestate() is to find where the application waits in something that has no such
 * attributes, as the iterator of an awaitable or of a coroutine compiled by Cython. */
static PyObject *
state_of(const FcAsgi *request, const char *name)
{
    bool running = request->answer.engine->stepping == request;

    if (strcmp(name, "cr_suspended") == 0)
        return PyBool_FromLong(!running);
#if PY_VERSION_HEX < 0x030b0000 /* which sees "suspended" only by a frame: "running" serves the same end */
    running = true;
#endif
    return PyBool_FromLong(running);
}

/* An attribute of the application's own coroutine, so that asyncio's and anyio's questions to this one (its
 * name, its stack, whether it was started) have the answer a reader expects. Not called yet: the closure says
 * which default. */
static PyObject *
get_of_coro(PyObject *object, void *name)
{
    FcAsgi *request = (FcAsgi *)object;
    const char *text = name;

    if (request->coro != NULL) {
        PyObject *value = PyObject_GetAttrString(request->coro, text);

        if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
            return value;
        PyErr_Clear();
        if (strcmp(text, "cr_running") == 0 || strcmp(text, "cr_suspended") == 0)
            return state_of(request, text);
    }
    if (text[0] == '_')
        return PyUnicode_FromString("request");
    if (strcmp(text, "cr_running") == 0 || strcmp(text, "cr_suspended") == 0)
        Py_RETURN_FALSE;
    Py_RETURN_NONE;
}

static PyMethodDef request_methods[] = {
    {"send", driver_step, METH_O, "send(value, /)\n--\n\nResume the application (PEP 342)."},
    {"throw", driver_throw, METH_VARARGS,
     "throw(type, value=None, traceback=None, /)\n--\n\nRaise in the application."},
    {"close", driver_close, METH_NOARGS,
     "close()\n--\n\nEnd the application's coroutine and cut the answer."},
    {"raw_receive", fc_raw_receive, METH_NOARGS,
     "raw_receive()\n--\n\nAwait bytes of a connection that speaks no HTTP any more; b'' at its end."},
    {"raw_read", fc_raw_read, METH_NOARGS,
     "raw_read()\n--\n\nBytes that are there; b'' at the end; None: nothing yet, the watcher will be "
     "called."},
    {"raw_watch", fc_raw_watch, METH_O,
     "raw_watch(callback, /)\n--\n\nCall it when raw_read will find something."},
    {"raw_answer", fc_raw_answer, METH_NOARGS,
     "raw_answer()\n--\n\nDecline the upgrade: the send callable of a plain response."},
    {"raw_write", fc_raw_write, METH_O,
     "raw_write(data, /)\n--\n\nSend or queue bytes; False: the client is gone."},
    {"raw_drain", fc_raw_drain, METH_NOARGS,
     "raw_drain()\n--\n\nAwait that little is queued. Raises OSError."},
    {"raw_close", fc_raw_close, METH_NOARGS, "raw_close()\n--\n\nEnd the connection after what is queued."},
    {"raw_abort", fc_raw_abort, METH_NOARGS, "raw_abort()\n--\n\nCut the connection."},
    {"raw_account", fc_raw_account, METH_O,
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
    {"queued", get_queued, NULL, "Bytes that wait to be sent.", NULL},
    {"untaken", get_untaken, NULL, "Those, and what was sent and the client's side has not received.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, fc_asgi_dealloc},
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
