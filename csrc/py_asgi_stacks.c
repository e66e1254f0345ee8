/* What an ASGI worker tells when it is asked for its stacks, beside those of its threads. See py_asgi.h.
 *
 * The signal's handler runs behind faulthandler's: it names the request whose Task is running, which is the
 * one that blocks the loop, and asks the loop, by a turn, for what the other Tasks wait for. A loop that is
 * alive answers at once; one that is not, when it is again.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "py_asgi.h"

/* The one engine of this process whose loop is to be asked, and the pipe the stacks go to. A signal has no
 * other way to know. Written before the handler is installed and when the engine goes, read by the handler.
 */
static PyEngine *_Atomic told;
static volatile int told_pipe = -1;

typedef struct Text {
    char bytes[512];
    size_t len;
} Text;

static void
add(Text *text, const char *bytes, size_t len)
{
    size_t room = sizeof text->bytes - text->len, n = len < room ? len : room;

    memcpy(text->bytes + text->len, bytes, n);
    text->len += n;
}

#define ADD(text, literal) add(text, literal, sizeof(literal) - 1)

static void
add_number(Text *text, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    add(text, digits + at, sizeof digits - at);
}

/* Only calls that are safe in a signal's handler, and only on the loop's own thread: there the request is as
 * it was when its Task called what it is stuck in. */
static void
name_running(PyEngine *self)
{
    const FcAsgi *request = self->stepping;
    const FcConn *conn = request != NULL ? request->answer.conn : NULL;
    Text text = {.len = 0};
    ssize_t ignored;

    ADD(&text, "\n");
    if (request == NULL) {
        ADD(&text, "No request's own task is running.\n");
    } else if (conn == NULL || conn->buf == NULL) {
        ADD(&text, "The task of a request that has its answer is running.\n");
    } else {
        const FcRequest *head = fc_conn_request(conn);
        uint64_t age = (fc_now() - conn->begun_ns) / 100000000ull;

        ADD(&text, "The task of this request is running: ");
        add(&text, conn->buf->data + head->method_name.at, head->method_name.len);
        ADD(&text, " ");
        add(&text, conn->buf->data + head->target.at, head->target.len < 256 ? head->target.len : 256);
        ADD(&text, ", for ");
        add_number(&text, age / 10);
        ADD(&text, ".");
        add_number(&text, age % 10);
        ADD(&text, " s\n");
    }
    ignored = write(told_pipe, text.bytes, text.len);
    (void)ignored;
}

static void
on_signal(int number)
{
    PyEngine *self = atomic_load(&told);

    (void)number;
    if (self == NULL || self->forked_away)
        return;
    if (gettid() == getpid())
        name_running(self);
    atomic_store(&self->tell_due, true);
    fc_engine_command(&self->engine, 0);
}

/* on_stacks(signal, pipe, callback) */
PyObject *
fc_asgi_on_stacks(PyObject *object, PyObject *args)
{
    PyEngine *self = (PyEngine *)object;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    PyObject *callback;
    int number, pipe;

    if (!PyArg_ParseTuple(args, "iiO:on_stacks", &number, &pipe, &callback))
        return NULL;
    if (!self->live)
        return PyErr_Format(PyExc_RuntimeError, "the engine is closed");
    Py_XSETREF(self->on_stacks, Py_NewRef(callback));
    told_pipe = pipe;
    atomic_store(&told, self);
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

void
fc_asgi_untold(PyEngine *self)
{
    PyEngine *expected = self;

    atomic_compare_exchange_strong(&told, &expected, NULL);
}

/* From a turn: the loop is alive. Leaves no exception. */
void
fc_asgi_tell(PyEngine *self)
{
    PyObject *callback, *result;

    if (!atomic_exchange(&self->tell_due, false) || self->on_stacks == NULL)
        return;
    callback = Py_NewRef(self->on_stacks);
    result = PyObject_CallNoArgs(callback);
    if (result == NULL)
        PyErr_WriteUnraisable(callback);
    Py_XDECREF(result);
    Py_DECREF(callback);
}

static PyObject *
describe(const FcAsgi *request, uint64_t now)
{
    const FcConn *conn = request->answer.conn;
    const FcRequest *head = fc_conn_request(conn);
    const char *data = conn->buf->data;

    return Py_BuildValue("(dNNO)", (double)(now - conn->begun_ns) / 1e9,
                         PyUnicode_DecodeLatin1(data + head->method_name.at, head->method_name.len, NULL),
                         PyUnicode_DecodeLatin1(data + head->target.at, head->target.len, NULL),
                         request->task);
}

/* waiting(): (seconds, method, target, task) of every request that has no answer yet, the newest first. */
PyObject *
fc_asgi_tasks(PyObject *object, PyObject *ignored)
{
    PyObject *list = PyList_New(0);

    (void)ignored;
    for (FcAsgi *request = ((PyEngine *)object)->running; list != NULL && request != NULL;
         request = request->next)
        if (request->task != NULL && PyList_Append(list, request->task) < 0)
            Py_CLEAR(list);
    return list;
}

PyObject *
fc_asgi_waiting(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;
    PyObject *list = PyList_New(0);
    uint64_t now = fc_now();

    (void)ignored;
    for (FcAsgi *request = self->running; list != NULL && request != NULL; request = request->next) {
        const FcConn *conn = request->answer.conn;
        PyObject *row;

        if (conn == NULL || conn->flight == NULL || conn->buf == NULL || request->task == NULL)
            continue;
        row = describe(request, now);
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}
