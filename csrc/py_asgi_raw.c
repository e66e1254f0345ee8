/* A connection that speaks no HTTP any more: what a WebSocket of the worker calls. See py_asgi.h. */
#include "py_asgi.h"

#define STEP (64 * 1024) /* most bytes of one read */

static PySendResult
at_end(PyEngine *self, PyObject **result)
{
    *result = Py_NewRef(self->module->empty_bytes);
    return PYGEN_RETURN;
}

PySendResult
fc_asgi_raw_receive(FcAsgi *request, PyObject **result, PyObject **future)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;
    PyObject *bytes;
    size_t got = 0;
    FcStream stream;

    if (conn == NULL || request->gone)
        return at_end(self, result);
    bytes = PyBytes_FromStringAndSize(NULL, STEP);
    if (bytes == NULL)
        return PYGEN_ERROR;
    stream = fc_conn_raw(&self->engine, conn, PyBytes_AS_STRING(bytes), STEP, &got);
    if (stream == FC_STREAM_DATA) {
        *result = bytes;
        return _PyBytes_Resize(result, (Py_ssize_t)got) < 0 ? PYGEN_ERROR : PYGEN_RETURN;
    }
    Py_DECREF(bytes);
    if (stream == FC_STREAM_GONE) {
        request->gone = true;
        return at_end(self, result);
    }
    fc_asgi_want(request, FC_WANT_BODY);
    return fc_asgi_wait(request, &request->waiting_receive, future);
}

PyObject *
fc_asgi_raw_read(FcAsgi *request)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;
    FcStream stream = FC_STREAM_WAIT;
    char bytes[STEP];
    size_t got = 0;

    if (conn == NULL || request->gone)
        return Py_NewRef(self->module->empty_bytes);
    /* Edge-triggered: what a short read has emptied stays empty until the next event. */
    if (conn->readable || conn->hung_up || !conn->registered || conn->buf->len > conn->body_at)
        stream = fc_conn_raw(&self->engine, conn, bytes, STEP, &got);
    if (stream == FC_STREAM_DATA)
        return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)got);
    if (stream == FC_STREAM_GONE) {
        request->gone = true;
        return Py_NewRef(self->module->empty_bytes);
    }
    fc_asgi_want(request, FC_WANT_BODY);
    Py_RETURN_NONE;
}

PySendResult
fc_asgi_raw_drain(FcAsgi *request, PyObject **result, PyObject **future)
{
    if (request->answer.conn == NULL || request->gone) {
        PyErr_SetString(PyExc_OSError, "the client has gone or reads too slowly");
        return PYGEN_ERROR;
    }
    if (request->answer.conn->out.size > FC_LOW_WATER)
        return fc_asgi_wait_for_room(request, future);
    return fc_asgi_sent(result);
}

PyObject *
fc_raw_receive(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    return fc_await_new(request->answer.engine, request, FC_AWAIT_RAW_RECEIVE, NULL);
}

PyObject *
fc_raw_read(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return fc_asgi_raw_read((FcAsgi *)object);
}

PyObject *
fc_raw_watch(PyObject *object, PyObject *callback)
{
    FcAsgi *request = (FcAsgi *)object;

    Py_XSETREF(request->watcher, callback != Py_None && request->link != NULL ? Py_NewRef(callback) : NULL);
    Py_RETURN_NONE;
}

/* The upgrade is declined: from here on it is a request like any other, the last of its connection. */
PyObject *
fc_raw_answer(PyObject *object, PyObject *ignored)
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

PyObject *
fc_raw_drain(PyObject *object, PyObject *ignored)
{
    FcAsgi *request = (FcAsgi *)object;

    (void)ignored;
    return fc_await_new(request->answer.engine, request, FC_AWAIT_RAW_DRAIN, NULL);
}

PyObject *
fc_raw_write(PyObject *object, PyObject *data)
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
    else
        fc_asgi_keep_sending(request);
    return PyBool_FromLong(result != FC_BROKEN);
}

/* The answer to the upgrade, or the refusal of it, was sent with this status. */
PyObject *
fc_raw_account(PyObject *object, PyObject *status)
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
PyObject *
fc_raw_close(PyObject *object, PyObject *ignored)
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

PyObject *
fc_raw_abort(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    fc_asgi_over((FcAsgi *)object, false);
    Py_RETURN_NONE;
}
