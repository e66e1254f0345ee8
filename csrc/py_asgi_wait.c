/* Futures on which the awaits of one request sleep, until the engine's next event for its connection. See
 * py_asgi.h.
 */
#include "py_asgi.h"

#define UNBROKEN_MOST (1024 * 1024)

/* Forget futures whose waits were cancelled: an application may ask again and again with a time limit. */
static void
forget_done(FcModule *module, PyObject *futures)
{
    for (Py_ssize_t i = PyList_GET_SIZE(futures); i-- > 0;) {
        PyObject *done = PyObject_CallMethodNoArgs(PyList_GET_ITEM(futures, i), module->words[FC_W_done]);

        if (done == NULL || (done == Py_True && PyList_SetSlice(futures, i, i + 1, NULL) < 0))
            PyErr_Clear();
        Py_XDECREF(done);
    }
}

/* A new future in the list at *slot; the engine's next event for this connection resolves them all.
 * PYGEN_NEXT or PYGEN_ERROR. Each waiter has its own, so that cancelling one leaves the others. */
PySendResult
fc_asgi_wait(FcAsgi *request, PyObject **slot, PyObject **future)
{
    if (*slot == NULL && (*slot = PyList_New(0)) == NULL)
        return PYGEN_ERROR;
    request->unbroken = 0;
    forget_done(request->answer.engine->module, *slot);
    *future = PyObject_CallNoArgs(request->answer.engine->create_future);
    if (*future == NULL || PyList_Append(*slot, *future) < 0) {
        Py_CLEAR(*future);
        return PYGEN_ERROR;
    }
    return PYGEN_NEXT;
}

/* Resolve the futures of a list. */
void
fc_asgi_wake(FcModule *module, PyObject **slot)
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

/* Whether somebody still waits: a future of the list that is not done, as one of a cancelled wait is. */
bool
fc_asgi_awaited(FcModule *module, PyObject *futures)
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
fc_asgi_keep_sending(FcAsgi *request)
{
    FcConn *conn = request->answer.conn;

    if (fc_output_empty(&conn->out) || conn->wants & FC_WANT_ROOM)
        return;
    fc_asgi_want(request, FC_WANT_ROOM);
    fc_asgi_schedule(request->answer.engine);
}

/* Sleep until the queue has gone down; the deadline is that of a slow reader. */
PySendResult
fc_asgi_wait_for_room(FcAsgi *request, PyObject **future)
{
    fc_asgi_want(request, FC_WANT_ROOM);
    fc_asgi_schedule(request->answer.engine);
    return fc_asgi_wait(request, &request->waiting_send, future);
}

/* A client that is as fast as its application keeps every await from sleeping: after so many bytes the others
 * of the loop have a turn. */
bool
fc_asgi_should_pass(const FcAsgi *request)
{
    return request->unbroken >= UNBROKEN_MOST;
}

PySendResult
fc_asgi_pass(FcAsgi *request, PyObject **future)
{
    request->unbroken = 0;
    *future = NULL;
    return PYGEN_NEXT;
}
