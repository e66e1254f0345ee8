/* wsgi.input: the body as a file (PEP 3333), from memory or from a temporary file. See py_gateway.h.
 *
 * The body is whole before the first byte is given out: one that was cut short raises an OSError and is never
 * taken for a whole one. A body behind "Expect: 100-continue" is fetched on the first read.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "py_gateway.h"

#define LINE_STEP  8192 /* bytes read ahead for a line of a file */
#define CHAIN_MOST 16   /* causes of an exception that are looked at */

typedef struct FcInput {
    PyObject_HEAD PyEngine *engine; /* borrowed */
    FcConn *conn;                   /* borrowed; NULL: the request is over, or there is no body */
    bool closed;
    uint64_t at;      /* bytes read so far */
    PyObject *raised; /* what a read raised because of the client; NULL: nothing */
} FcInput;

PyObject *
fc_input_new(PyEngine *engine, FcConn *conn)
{
    PyTypeObject *type = engine->module->input_type;
    FcInput *input = (FcInput *)type->tp_alloc(type, 0);

    if (input != NULL) {
        input->engine = engine;
        input->conn = conn;
    }
    return (PyObject *)input;
}

void
fc_input_close(PyObject *object)
{
    FcInput *input = (FcInput *)object;

    if (input->conn != NULL) {
        input->conn = NULL;
        input->closed = true;
    }
    Py_CLEAR(input->raised); /* whose traceback holds the environ, and that us */
}

/* Keep the exception that is set. */
static void
keep_raised(FcInput *input)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XSETREF(input->raised, Py_XNewRef(value));
    PyErr_Restore(type, value, traceback);
}

bool
fc_input_raised(PyObject *object)
{
    PyObject *raised = ((FcInput *)object)->raised, *type, *value, *traceback, *error, *next;
    bool found = false;

    if (raised == NULL)
        return false;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    error = Py_XNewRef(value);
    for (int depth = 0; !found && error != NULL && depth < CHAIN_MOST; depth++) {
        found = error == raised;
        next = PyException_GetCause(error);
        if (next == NULL && PyErr_GivenExceptionMatches(error, PyExc_OSError))
            next = PyException_GetContext(error);
        Py_SETREF(error, next);
    }
    Py_XDECREF(error);
    PyErr_Restore(type, value, traceback);
    return found;
}

static void
input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_CLEAR(((FcInput *)self)->raised);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The body, fetched if it waits; NULL with an exception. */
static FcBody *
body_of(FcInput *input)
{
    FcHttpError error = FC_HTTP_OK;

    if (input->closed) {
        PyErr_SetString(PyExc_ValueError, "wsgi.input was read after its request had ended");
        return NULL;
    }
    if (input->conn->body.kind == FC_BODY_PENDING || input->conn->lent & FC_LENT_BODY) {
        FcEngine *engine = &input->engine->engine;
        uint64_t received = 0;

        if (!fc_lend(input->conn, FC_LENT_BODY))
            return NULL;
        Py_BEGIN_ALLOW_THREADS error = fc_conn_fetch_body(engine, input->conn, &received);
        Py_END_ALLOW_THREADS fc_lend_back(input->conn, FC_LENT_BODY);
        fc_add(&engine->line->bytes_in, received);
        if (error != FC_HTTP_OK) {
            input->closed = true;
            input->conn->bad_body = (uint16_t)fc_http_status(error);
            PyErr_Format(error == FC_HTTP_TIMEOUT     ? PyExc_TimeoutError
                         : error == FC_HTTP_CUT_SHORT ? PyExc_ConnectionResetError
                                                      : PyExc_OSError,
                         "the request body could not be read: %s", fc_http_reason(error));
            keep_raised(input);
            return NULL;
        }
    }
    return &input->conn->body;
}

/* len bytes of a body that is in a file, from `from` on. False with an exception. */
static bool
read_file(FcConn *conn, uint64_t from, char *to, uint64_t len)
{
    int fd = conn->body.fd;
    uint64_t done = 0;

    if (!fc_lend(conn, FC_LENT_BODY))
        return false;
    while (done < len) {
        ssize_t n;

        Py_BEGIN_ALLOW_THREADS n = pread(fd, to + done, len - done, (off_t)(from + done));
        Py_END_ALLOW_THREADS if (n < 0 && errno == EINTR && PyErr_CheckSignals() == 0) continue;
        if (n <= 0) {
            if (!PyErr_Occurred()) {
                errno = n == 0 ? EIO : errno;
                PyErr_SetFromErrno(PyExc_OSError);
            }
            break;
        }
        done += (uint64_t)n;
    }
    fc_lend_back(conn, FC_LENT_BODY);
    return done == len;
}

/* The next len bytes as a new bytes object. */
static PyObject *
take(FcInput *input, FcBody *body, uint64_t len)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);

    if (bytes == NULL)
        return NULL;
    if (body->kind == FC_BODY_FILE) {
        if (!read_file(input->conn, input->at, PyBytes_AS_STRING(bytes), len)) {
            Py_DECREF(bytes);
            return NULL;
        }
    } else if (len > 0) {
        memcpy(PyBytes_AS_STRING(bytes), body->memory + input->at, len);
    }
    input->at += len;
    return bytes;
}

/* An optional size argument: -1 for none, None or negative. */
static int
size_argument(PyObject *const *args, Py_ssize_t nargs, const char *name, Py_ssize_t *size)
{
    *size = -1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most one argument (%zd given)", name, nargs);
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None)
        return 0;
    *size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

/* The body and how much of it is left; false with an exception. A request without one has none left. */
static bool
rest_of(FcInput *input, FcBody **body, uint64_t *left)
{
    *body = NULL;
    *left = 0;
    if (input->conn == NULL && !input->closed)
        return true;
    *body = body_of(input);
    if (*body == NULL)
        return false;
    *left = (*body)->size - input->at;
    return true;
}

static PyObject *
input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    FcInput *input = (FcInput *)self;
    FcBody *body;
    Py_ssize_t size;
    uint64_t left;

    if (size_argument(args, nargs, "read", &size) < 0)
        return NULL;
    if (size == 0) /* asks for nothing: do not make the client send */
        return PyBytes_FromStringAndSize(NULL, 0);
    if (!rest_of(input, &body, &left))
        return NULL;
    if (size >= 0 && (uint64_t)size < left)
        left = (uint64_t)size;
    return left > 0 ? take(input, body, left) : PyBytes_FromStringAndSize(NULL, 0);
}

/* The next line of a body that is in memory, its LF included; at most `most` bytes of it. */
static PyObject *
line_of_memory(FcInput *input, FcBody *body, uint64_t most)
{
    const char *from = body->memory + input->at, *end = memchr(from, '\n', most);

    return take(input, body, end != NULL ? (uint64_t)(end - from + 1) : most);
}

/* Likewise of one that is in a file; most lines are within what is read ahead at first. */
static PyObject *
line_of_file(FcInput *input, FcBody *body, uint64_t most)
{
    char step[LINE_STEP];
    uint64_t len = 0;
    const char *end = NULL;
    PyObject *line;

    while (end == NULL && len < most) {
        size_t want = most - len < sizeof step ? (size_t)(most - len) : sizeof step;

        if (!read_file(input->conn, input->at + len, step, want))
            return NULL;
        end = memchr(step, '\n', want);
        len += end != NULL ? (uint64_t)(end - step + 1) : want;
    }
    if (len > sizeof step)
        return take(input, body, len);
    line = PyBytes_FromStringAndSize(step, (Py_ssize_t)len);
    if (line != NULL)
        input->at += len;
    return line;
}

static PyObject *
next_line(FcInput *input, Py_ssize_t size)
{
    FcBody *body;
    uint64_t left;

    if (!rest_of(input, &body, &left))
        return NULL;
    if (size >= 0 && (uint64_t)size < left)
        left = (uint64_t)size;
    if (left == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    return body->kind == FC_BODY_FILE ? line_of_file(input, body, left) : line_of_memory(input, body, left);
}

static PyObject *
input_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t size;

    if (size_argument(args, nargs, "readline", &size) < 0)
        return NULL;
    return next_line((FcInput *)self, size);
}

static PyObject *
input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *lines = PyList_New(0), *line;
    Py_ssize_t hint, total = 0;

    if (lines == NULL || size_argument(args, nargs, "readlines", &hint) < 0)
        goto fail;
    for (;;) {
        line = next_line((FcInput *)self, -1);
        if (line == NULL)
            goto fail;
        if (PyBytes_GET_SIZE(line) == 0) {
            Py_DECREF(line);
            return lines;
        }
        total += PyBytes_GET_SIZE(line);
        if (PyList_Append(lines, line) < 0) {
            Py_DECREF(line);
            goto fail;
        }
        Py_DECREF(line);
        if (hint > 0 && total >= hint)
            return lines;
    }
fail:
    Py_XDECREF(lines);
    return NULL;
}

static PyObject *
input_next(PyObject *self)
{
    PyObject *line = next_line((FcInput *)self, -1);

    if (line != NULL && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line);
    return line;
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1, /)\n--\n\nRead at most size bytes of the request body; all that is left when size is "
     "negative."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(size=-1, /)\n--\n\nRead one line, at most size bytes of it."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1, /)\n--\n\nRead lines until about hint bytes were read, or all."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, input_methods},
    {Py_tp_doc, (void *)"The body of one request (PEP 3333, wsgi.input)."},
    {0, NULL},
};

PyType_Spec fc_input_spec = {
    .name = "forkcluster._engine.Input",
    .basicsize = sizeof(FcInput),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = input_slots,
};
