/* One try of receive() of an ASGI request: the body as it comes, then the client's end. See py_asgi.h. */
#include "py_asgi.h"

#define BODY_STEP (64 * 1024) /* most bytes of one http.request event */

static PySendResult
give(PyObject *event, PyObject **result)
{
    *result = event;
    return event != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult
give_disconnect(FcAsgi *request, PyObject **result)
{
    return give(PyDict_Copy(request->answer.engine->module->disconnect_event), result);
}

/* {"type": "http.request", "body": body (stolen), "more_body": more} */
static PySendResult
give_body(FcAsgi *request, PyObject *body, bool more, PyObject **result)
{
    FcModule *module = request->answer.engine->module;
    PyObject *event = body != NULL ? PyDict_New() : NULL;

    if (event != NULL &&
        (PyDict_SetItem(event, module->words[FC_W_type], module->words[FC_W_http_request]) < 0 ||
         PyDict_SetItem(event, module->words[FC_W_body], body) < 0 ||
         PyDict_SetItem(event, module->words[FC_W_more_body], more ? Py_True : Py_False) < 0))
        Py_CLEAR(event);
    Py_XDECREF(body);
    request->body_given = request->body_given || !more;
    return give(event, result);
}

static PySendResult
receive_stream(FcAsgi *request, PyObject **result, PyObject **future)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;
    PyObject *body;
    size_t got = 0;
    bool last = false;
    FcStream stream;

    if (fc_asgi_should_pass(request))
        return fc_asgi_pass(request, future);
    body = PyBytes_FromStringAndSize(NULL, BODY_STEP);
    if (body == NULL)
        return PYGEN_ERROR;
    stream = fc_conn_stream(&self->engine, conn, PyBytes_AS_STRING(body), BODY_STEP, &got, &last);
    if (stream == FC_STREAM_DATA) {
        request->unbroken += got;
        if (got < BODY_STEP && _PyBytes_Resize(&body, (Py_ssize_t)got) < 0)
            return PYGEN_ERROR;
        return give_body(request, body, !last, result);
    }
    Py_DECREF(body);
    if (stream == FC_STREAM_GONE) {
        request->gone = true;
        return give_disconnect(request, result);
    }
    /* The application may take its time between two receives: the clock runs while we wait for the client
     * only. */
    if (conn->body_rests_ns == 0 && !fc_asgi_awaited(self->module, request->waiting_receive))
        fc_conn_forgive_stream(&self->engine, conn);
    fc_asgi_want(request, FC_WANT_BODY);
    fc_asgi_schedule(self);
    return fc_asgi_wait(request, &request->waiting_receive, future);
}

PySendResult
fc_asgi_receive(FcAsgi *request, PyObject **result, PyObject **future)
{
    FcConn *conn = request->answer.conn;

    if (conn == NULL || request->gone || request->answer.engine->forked_away)
        return give_disconnect(request, result);
    if (!request->body_given) {
        if (conn->body.kind == FC_BODY_STREAM)
            return receive_stream(request, result, future);
        return give_body(request,
                         conn->body.kind == FC_BODY_SPAN
                             ? PyBytes_FromStringAndSize(conn->body.memory, (Py_ssize_t)conn->body.size)
                             : Py_NewRef(request->answer.engine->module->empty_bytes),
                         false, result);
    }
    if (conn->hung_up) {
        request->gone = true;
        return give_disconnect(request, result);
    }
    fc_asgi_want(request, FC_WANT_GONE);
    return fc_asgi_wait(request, &request->waiting_receive, future);
}
