/* What receive() and send() of an ASGI request do: one try each. See py_gateway.h.
 *
 * Governing: ASGI 3, HTTP & WebSocket specification 2.5 with the extensions http.response.trailers,
 * .pathsend, .zerocopysend and .early_hint. A try never blocks; where it must wait it leaves a future that
 * the engine's next event for this connection resolves.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "py_gateway.h"

#define BODY_STEP (64 * 1024) /* most bytes of one http.request event */

/* -- waiting
 * ------------------------------------------------------------------------------------------------------ */

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
static PySendResult
wait_for(FcAsgi *request, PyObject **slot, PyObject **future)
{
    if (*slot == NULL && (*slot = PyList_New(0)) == NULL)
        return PYGEN_ERROR;
    forget_done(request->answer.engine->module, *slot);
    *future = PyObject_CallNoArgs(request->answer.engine->create_future);
    if (*future == NULL || PyList_Append(*slot, *future) < 0) {
        Py_CLEAR(*future);
        return PYGEN_ERROR;
    }
    return PYGEN_NEXT;
}

/* -- receive
 * ------------------------------------------------------------------------------------------------------ */

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
    PyObject *body = PyBytes_FromStringAndSize(NULL, BODY_STEP);
    size_t got = 0;
    bool last = false;
    FcStream stream;

    if (body == NULL)
        return PYGEN_ERROR;
    stream = fc_conn_stream(&self->engine, conn, PyBytes_AS_STRING(body), BODY_STEP, &got, &last);
    if (stream == FC_STREAM_DATA) {
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
    fc_conn_want(&self->engine, conn, FC_WANT_BODY, self->engine.config.body_timeout);
    fc_asgi_schedule(self);
    return wait_for(request, &request->waiting_receive, future);
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
    fc_conn_want(&request->answer.engine->engine, conn, FC_WANT_GONE, 0);
    return wait_for(request, &request->waiting_receive, future);
}

/* -- send
 * ---------------------------------------------------------------------------------------------------------
 */

static PySendResult
sent(PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

/* The client does not take it (ASGI: send raises an OSError then). */
static PySendResult
broken(FcAsgi *request)
{
    request->gone = true;
    fc_asgi_over(request, false);
    PyErr_SetString(PyExc_OSError, "the client has gone or reads too slowly");
    return PYGEN_ERROR;
}

/* A message, taken apart in one walk: borrowed values, NULL where not given. */
typedef struct Message {
    PyObject *dict, *type, *status, *headers, *body, *more_body, *trailers;
} Message;

/* Keys are the interned words most of the time; else they are compared as text. */
static PyObject **
place_of(FcModule *module, Message *message, PyObject *key)
{
    struct {
        FcWordId word;
        PyObject **place;
    } places[] = {{FC_W_type, &message->type},           {FC_W_body, &message->body},
                  {FC_W_more_body, &message->more_body}, {FC_W_status, &message->status},
                  {FC_W_headers, &message->headers},     {FC_W_trailers, &message->trailers}};

    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        if (key == module->words[places[i].word])
            return places[i].place;
    for (unsigned i = 0; PyUnicode_Check(key) && i < sizeof places / sizeof *places; i++)
        if (PyUnicode_Compare(key, module->words[places[i].word]) == 0)
            return places[i].place;
    return NULL;
}

static void
take_apart(FcAsgi *request, PyObject *event, Message *message)
{
    PyObject *key, *value, **place;
    Py_ssize_t at = 0;

    *message = (Message){.dict = event};
    while (PyDict_Next(event, &at, &key, &value)) {
        place = place_of(request->answer.engine->module, message, key);
        if (place != NULL)
            *place = value;
    }
}

/* A key that few messages have. */
static PyObject *
get(FcAsgi *request, PyObject *event, FcWordId key)
{
    return PyDict_GetItemWithError(event, request->answer.engine->module->words[key]);
}

/* False with an exception set: its __bool__ has raised. */
static bool
is_true(PyObject *value)
{
    return value != NULL && value != Py_False && (value == Py_True || PyObject_IsTrue(value) == 1);
}

/* The bytes of a name or value: borrowed from the object. */
static const unsigned char *
bytes_of(PyObject *object, const char *what, Py_ssize_t *len)
{
    if (PyBytes_Check(object)) {
        *len = PyBytes_GET_SIZE(object);
        return (const unsigned char *)PyBytes_AS_STRING(object);
    }
    if (PyByteArray_Check(object)) {
        *len = PyByteArray_GET_SIZE(object);
        return (const unsigned char *)PyByteArray_AS_STRING(object);
    }
    PyErr_Format(PyExc_TypeError, "%s must be bytes, not %.100s: %R", what, Py_TYPE(object)->tp_name, object);
    return NULL;
}

static int
add_header(FcAnswer *answer, PyObject *pair)
{
    PyObject *fast = PySequence_Fast(pair, "a header must be a pair (name, value) of bytes");
    const unsigned char *name, *value;
    Py_ssize_t name_len, value_len;
    bool fixed;
    int result = -1;

    if (fast == NULL)
        return -1;
    if (PySequence_Fast_GET_SIZE(fast) != 2) {
        PyErr_Format(PyExc_ValueError, "a header must be a pair (name, value) of bytes, not %R", pair);
        goto done;
    }
    name = bytes_of(PySequence_Fast_GET_ITEM(fast, 0), "a header name", &name_len);
    value = name != NULL ? bytes_of(PySequence_Fast_GET_ITEM(fast, 1), "a header value", &value_len) : NULL;
    if (value == NULL)
        goto done;
    fixed = PyBytes_CheckExact(PySequence_Fast_GET_ITEM(fast, 0)) &&
            PyBytes_CheckExact(PySequence_Fast_GET_ITEM(fast, 1));
    result = fc_answer_field(answer, fixed ? PySequence_Fast_GET_ITEM(fast, 0) : NULL,
                             fixed ? PySequence_Fast_GET_ITEM(fast, 1) : NULL, name, (size_t)name_len, value,
                             (size_t)value_len);
done:
    Py_DECREF(fast);
    return result;
}

static int
add_headers(FcAsgi *request, PyObject *headers)
{
    PyObject *fast;
    int result = 0;

    if (headers == NULL)
        return 0;
    fast = PySequence_Fast(headers, "headers must be an iterable of pairs");
    if (fast == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast) && result == 0; i++)
        result = add_header(&request->answer, PySequence_Fast_GET_ITEM(fast, i));
    Py_DECREF(fast);
    return result;
}

/* Reason phrases that RFC 9110 section 15 names; "" for others. */
static const char *
phrase(int status)
{
    switch (status) {
#define P(code, text)                                                                                        \
    case code:                                                                                               \
        return text
        P(200, "OK");
        P(201, "Created");
        P(202, "Accepted");
        P(203, "Non-Authoritative Information");
        P(204, "No Content");
        P(205, "Reset Content");
        P(206, "Partial Content");
        P(207, "Multi-Status");
        P(300, "Multiple Choices");
        P(301, "Moved Permanently");
        P(302, "Found");
        P(303, "See Other");
        P(304, "Not Modified");
        P(307, "Temporary Redirect");
        P(308, "Permanent Redirect");
        P(400, "Bad Request");
        P(401, "Unauthorized");
        P(402, "Payment Required");
        P(403, "Forbidden");
        P(404, "Not Found");
        P(405, "Method Not Allowed");
        P(406, "Not Acceptable");
        P(408, "Request Timeout");
        P(409, "Conflict");
        P(410, "Gone");
        P(411, "Length Required");
        P(412, "Precondition Failed");
        P(413, "Content Too Large");
        P(414, "URI Too Long");
        P(415, "Unsupported Media Type");
        P(416, "Range Not Satisfiable");
        P(418, "I'm a Teapot");
        P(421, "Misdirected Request");
        P(422, "Unprocessable Content");
        P(423, "Locked");
        P(424, "Failed Dependency");
        P(425, "Too Early");
        P(426, "Upgrade Required");
        P(428, "Precondition Required");
        P(429, "Too Many Requests");
        P(431, "Request Header Fields Too Large");
        P(451, "Unavailable For Legal Reasons");
        P(500, "Internal Server Error");
        P(501, "Not Implemented");
        P(502, "Bad Gateway");
        P(503, "Service Unavailable");
        P(504, "Gateway Timeout");
        P(505, "HTTP Version Not Supported");
#undef P
    default:
        return "";
    }
}

static PySendResult
send_start(FcAsgi *request, const Message *message, PyObject **result)
{
    PyObject *status = message->status;
    long code = status != NULL ? PyLong_AsLong(status) : -1;
    bool trailers = !PyErr_Occurred() && is_true(message->trailers);
    char line[64];
    size_t len;

    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (code < 200 || code > 999) {
        PyErr_Format(PyExc_ValueError, "http.response.start: status must be from 200 to 999, not %R",
                     status != NULL ? status : Py_None);
        return PYGEN_ERROR;
    }
    line[0] = (char)('0' + code / 100);
    line[1] = (char)('0' + code / 10 % 10);
    line[2] = (char)('0' + code % 10);
    line[3] = ' ';
    strcpy(line + 4, phrase((int)code));
    len = 4 + strlen(line + 4);
    if (!fc_answer_status(&request->answer, (int)code, line, len)) {
        PyErr_NoMemory();
        return PYGEN_ERROR;
    }
    if (add_headers(request, message->headers) < 0)
        return PYGEN_ERROR;
    request->answer.trailers = trailers;
    request->answer.started = true;
    return sent(result);
}

/* Sleep until the queue has gone down to `until` bytes; the deadline is that of a slow reader. */
static PySendResult
wait_for_room(FcAsgi *request, PyObject **future)
{
    FcEngine *engine = &request->answer.engine->engine;

    fc_conn_want(engine, request->answer.conn, FC_WANT_ROOM, engine->config.write_timeout);
    fc_asgi_schedule(request->answer.engine);
    return wait_for(request, &request->waiting_send, future);
}

static PySendResult
finish_body(FcAsgi *request, PyObject **result)
{
    if (request->answer.trailers) {
        request->in_trailers = true;
        return sent(result);
    }
    fc_asgi_over(request, fc_answer_end(&request->answer, NULL, 0));
    return sent(result);
}

static PySendResult
send_body(FcAsgi *request, const Message *message, PyObject **result, PyObject **future)
{
    PyObject *body = message->body;
    bool more = is_true(message->more_body);
    const char *data = "";
    Py_ssize_t len = 0;
    Py_buffer view = {.obj = NULL};
    bool ok;

    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (body != NULL && PyBytes_Check(body)) {
        data = PyBytes_AS_STRING(body);
        len = PyBytes_GET_SIZE(body);
    } else if (body != NULL) {
        if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) < 0)
            return PYGEN_ERROR;
        data = view.buf;
        len = view.len;
    }
    /* An empty chunk still sends the head: the application says "begin". */
    ok = (len == 0 && more && request->answer.head_done) ||
         fc_answer_send(&request->answer, data, (size_t)len, view.obj == NULL ? body : NULL, !more);
    if (view.obj != NULL)
        PyBuffer_Release(&view);
    if (!ok)
        return broken(request);
    if (!more)
        return finish_body(request, result);
    if (request->answer.conn->out.size > FC_HIGH_WATER)
        return wait_for_room(request, future);
    return sent(result);
}

/* The file is sent, or more of it is to be. */
static PySendResult
go_on_with_file(FcAsgi *request, PyObject **result, PyObject **future)
{
    if (request->answer.conn->out.size > 0)
        return wait_for_room(request, future);
    request->sending_file = false;
    if (request->file >= 0)
        close(request->file);
    request->file = -1;
    return request->file_more ? sent(result) : finish_body(request, result);
}

/* request->file from offset, length bytes of it, with the head before it. The await lasts until it is sent;
 * the descriptor is our own, so that a wait that is cancelled cannot make us send from another file of the
 * same number. */
static PySendResult
send_file(FcAsgi *request, off_t offset, uint64_t length, bool more, PyObject **result, PyObject **future)
{
    if (!fc_answer_send_file(&request->answer, request->file, offset, length, !more))
        return broken(request);
    request->file_more = more;
    request->sending_file = true;
    return go_on_with_file(request, result, future);
}

PySendResult
fc_asgi_send_more(FcAsgi *request, PyObject **result, PyObject **future)
{
    if (request->complete) /* by another task, behind what this one has given */
        return sent(result);
    if (request->gone || request->answer.conn == NULL)
        return broken(request);
    if (request->sending_file)
        return go_on_with_file(request, result, future);
    return request->answer.conn->out.size > FC_LOW_WATER ? wait_for_room(request, future) : sent(result);
}

static PySendResult
send_path(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future)
{
    PyObject *path = PyDict_GetItemString(event, "path"), *encoded = NULL;
    struct stat status;
    int fd;

    if (path == NULL || !PyUnicode_FSConverter(path, &encoded)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "http.response.pathsend: no path");
        return PYGEN_ERROR;
    }
    fd = open(PyBytes_AS_STRING(encoded),
              O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop the loop */
    Py_DECREF(encoded);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        if (fd >= 0) {
            close(fd);
            errno = EINVAL;
        }
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        return PYGEN_ERROR;
    }
    request->file = fd;
    return send_file(request, 0, (uint64_t)status.st_size, false, result, future);
}

/* An optional non-negative number of an event; -1: not given, -2: exception. */
static int64_t
number(FcAsgi *request, PyObject *event, FcWordId key)
{
    PyObject *value = get(request, event, key);
    int64_t number;

    if (value == NULL || value == Py_None)
        return PyErr_Occurred() ? -2 : -1;
    number = PyLong_AsLongLong(value);
    if (number < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError,
                        "http.response.zerocopysend: offset and count must not be negative");
    return number < 0 ? -2 : number;
}

/* Where an application's file object stands: a buffered one has read ahead of that. -1 with an exception. */
static off_t
position_of(PyObject *file, int fd)
{
    PyObject *told = PyLong_Check(file) ? NULL : PyObject_CallMethod(file, "tell", NULL);
    off_t position = told != NULL ? (off_t)PyLong_AsLongLong(told) : -1;

    Py_XDECREF(told);
    if (!PyLong_Check(file))
        return position;
    position = lseek(fd, 0, SEEK_CUR);
    if (position < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return position;
}

/* As sendfile does without an offset: the file stands behind what was sent. */
static int
advance(PyObject *file, int fd, off_t to)
{
    PyObject *told = PyLong_Check(file) ? NULL : PyObject_CallMethod(file, "seek", "L", (long long)to);
    bool moved = told != NULL || (PyLong_Check(file) && lseek(fd, to, SEEK_SET) == to);

    Py_XDECREF(told);
    if (!moved && !PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    return moved ? 0 : -1;
}

static PySendResult
send_zerocopy(FcAsgi *request, PyObject *event, PyObject **result, PyObject **future)
{
    PyObject *file = get(request, event, FC_W_file);
    int64_t offset = number(request, event, FC_W_offset), count = number(request, event, FC_W_count);
    bool more = offset != -2 && count != -2 && is_true(get(request, event, FC_W_more_body));
    int64_t position = -1, rest;
    struct stat status;
    int fd;

    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (file == NULL) {
        PyErr_SetString(PyExc_ValueError, "http.response.zerocopysend: no file");
        return PYGEN_ERROR;
    }
    fd = PyObject_AsFileDescriptor(file);
    if (fd < 0)
        return PYGEN_ERROR;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        PyErr_SetString(PyExc_ValueError, "http.response.zerocopysend: the file must be a regular file");
        return PYGEN_ERROR;
    }
    if (offset == -1 && (position = offset = position_of(file, fd)) < 0)
        return PYGEN_ERROR;
    rest = status.st_size > offset ? status.st_size - offset : 0;
    if (count == -1 || count > rest)
        count = rest;
    if (position >= 0 && advance(file, fd, position + count) < 0)
        return PYGEN_ERROR;
    if (request->answer.conn == NULL) /* the file object's methods are the application's code */
        return broken(request);
    request->file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (request->file < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return PYGEN_ERROR;
    }
    return send_file(request, offset, (uint64_t)count, more, result, future);
}

/* A 103 with the links, at once (RFC 8297), before the head of the answer or not at all. Clients of 1.0 do
 * not know interim answers. */
static PySendResult
send_early_hint(FcAsgi *request, PyObject *event, PyObject **result)
{
    PyObject *links = get(request, event, FC_W_links), *fast, *text;
    FcConn *conn = request->answer.conn;
    bool kept, ok = true, begun = conn->head_sent;
    struct iovec vector;

    fast = PySequence_Fast(links != NULL ? links : Py_None,
                           "http.response.early_hint: links must be an iterable of bytes");
    if (fast == NULL)
        return PYGEN_ERROR;
    text = PyBytes_FromString("HTTP/1.1 103 Early Hints\r\n");
    for (Py_ssize_t i = 0; text != NULL && i < PySequence_Fast_GET_SIZE(fast); i++) {
        Py_ssize_t len = 0;
        const unsigned char *link = bytes_of(PySequence_Fast_GET_ITEM(fast, i), "a link", &len);

        for (Py_ssize_t at = 0; link != NULL && at < len; at++)
            ok = ok && fc_value_byte(link[at]);
        if (link == NULL || !ok) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "http.response.early_hint: control character in a link");
            Py_CLEAR(text);
            break;
        }
        PyBytes_ConcatAndDel(&text, PyBytes_FromFormat("Link: %s\r\n", (const char *)link));
    }
    Py_DECREF(fast);
    if (text != NULL)
        PyBytes_ConcatAndDel(&text, PyBytes_FromString("\r\n"));
    if (text == NULL)
        return PYGEN_ERROR;
    vector.iov_base = PyBytes_AS_STRING(text);
    vector.iov_len = (size_t)PyBytes_GET_SIZE(text);
    ok = fc_conn_request(conn)->minor == 0 || request->answer.head_done ||
         fc_conn_send(&request->answer.engine->engine, conn, &vector, 1, NULL, &kept) != FC_BROKEN;
    conn->head_sent = begun; /* what "100 Continue" and a cut go by is the answer itself */
    Py_DECREF(text);
    return ok ? sent(result) : broken(request);
}

/* Trailer fields, after the body. */
static PySendResult
send_trailers(FcAsgi *request, PyObject *event, PyObject **result)
{
    PyObject *headers = get(request, event, FC_W_headers), *fast;
    bool more = is_true(get(request, event, FC_W_more_trailers)), wanted;

    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (request->trailer == NULL && (request->trailer = PyBytes_FromStringAndSize(NULL, 0)) == NULL)
        return PYGEN_ERROR;
    fast = headers != NULL ? PySequence_Fast(headers, "headers must be an iterable of pairs") : NULL;
    if (fast == NULL && PyErr_Occurred())
        return PYGEN_ERROR;
    for (Py_ssize_t i = 0; fast != NULL && i < PySequence_Fast_GET_SIZE(fast); i++) {
        if (fc_asgi_trailer(request, PySequence_Fast_GET_ITEM(fast, i)) < 0) {
            Py_DECREF(fast);
            return PYGEN_ERROR;
        }
    }
    Py_XDECREF(fast);
    if (more)
        return sent(result);
    wanted = fc_conn_takes_trailers(request->answer.conn);
    fc_asgi_over(request, fc_answer_end(&request->answer, PyBytes_AS_STRING(request->trailer),
                                        wanted ? (size_t)PyBytes_GET_SIZE(request->trailer) : 0));
    return sent(result);
}

/* RFC 9110 section 6.5.1: what frames a message, routes it or says how to read its body comes before the
 * body. */
static bool
is_forbidden_trailer(const char *name, size_t len)
{
    static const char *const names[] = {
        "transfer-encoding", "content-length",   "host",         "trailer",       "te",
        "connection",        "content-encoding", "content-type", "content-range", "authorization",
        "set-cookie",        "cache-control",    "expect",       "max-forwards",
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && strncasecmp(names[i], name, len) == 0)
            return true;
    return false;
}

int
fc_asgi_trailer(FcAsgi *request, PyObject *pair)
{
    const unsigned char *name, *value;
    Py_ssize_t name_len = 0, value_len = 0;
    bool sound = true;

    if (!PySequence_Check(pair) || PySequence_Size(pair) != 2) {
        PyErr_Format(PyExc_ValueError, "a trailer must be a pair (name, value) of bytes, not %R", pair);
        return -1;
    }
    PyObject *first = PySequence_GetItem(pair, 0), *second = PySequence_GetItem(pair, 1);

    name = first != NULL ? bytes_of(first, "a trailer name", &name_len) : NULL;
    value = name != NULL && second != NULL ? bytes_of(second, "a trailer value", &value_len) : NULL;
    for (Py_ssize_t i = 0; value != NULL && i < name_len; i++)
        sound = sound && fc_token_byte[name[i]];
    for (Py_ssize_t i = 0; value != NULL && i < value_len; i++)
        sound = sound && fc_value_byte(value[i]);
    if (value != NULL && (!sound || name_len == 0))
        PyErr_Format(PyExc_ValueError, "malformed trailer %R", pair);
    if (value != NULL && sound && is_forbidden_trailer((const char *)name, (size_t)name_len))
        PyErr_Format(PyExc_ValueError, "%R may not be a trailer (RFC 9110 section 6.5.1)", first);
    if (value != NULL && !PyErr_Occurred())
        PyBytes_ConcatAndDel(&request->trailer,
                             PyBytes_FromFormat("%s: %s\r\n", (const char *)name, (const char *)value));
    Py_XDECREF(first);
    Py_XDECREF(second);
    return PyErr_Occurred() ? -1 : 0;
}

static bool
is_type(FcAsgi *request, PyObject *type, FcWordId word)
{
    PyObject *known = request->answer.engine->module->words[word];

    return type == known || (PyUnicode_Check(type) && PyUnicode_Compare(type, known) == 0);
}

/* As is_type, for the two that each request sends: the application's own object is remembered. */
static bool
is_common_type(FcAsgi *request, PyObject *type, FcWordId word, PyObject **seen)
{
    if (type == *seen)
        return true;
    if (!is_type(request, type, word))
        return false;
    Py_XSETREF(*seen, Py_NewRef(type));
    return true;
}

static PySendResult
unexpected(FcAsgi *request, PyObject *type)
{
    const char *when = request->complete         ? "after the response was completed"
                       : request->in_trailers    ? "while trailers are due"
                       : request->answer.started ? "after the response was started"
                                                 : "before http.response.start";

    if (!PyErr_Occurred())
        PyErr_Format(PyExc_RuntimeError, "unexpected ASGI message %R %s", type, when);
    return PYGEN_ERROR;
}

PySendResult
fc_asgi_send(FcAsgi *request, PyObject *event, bool *taken, PyObject **result, PyObject **future)
{
    PyEngine *self = request->answer.engine;
    Message message;

    if (!request->complete &&
        (request->gone || request->answer.conn == NULL || request->answer.engine->forked_away))
        return broken(request);
    if (!PyDict_Check(event)) {
        PyErr_Format(PyExc_TypeError, "an ASGI message must be a dict, not %.100s", Py_TYPE(event)->tp_name);
        return PYGEN_ERROR;
    }
    take_apart(request, event, &message);
    if (message.type == NULL) {
        PyErr_SetString(PyExc_ValueError, "an ASGI message without a type");
        return PYGEN_ERROR;
    }
    /* The wait for a file was cancelled, or another task's lasts: first things first. */
    if (request->sending_file) {
        PySendResult state = go_on_with_file(request, result, future);

        if (state != PYGEN_RETURN)
            return state;
        Py_CLEAR(*result);
    }
    *taken = true;
    if (request->complete || request->answer.conn == NULL)
        return unexpected(request, message.type);
    if (request->in_trailers)
        return is_type(request, message.type, FC_W_response_trailers) ? send_trailers(request, event, result)
                                                                      : unexpected(request, message.type);
    if (request->answer.started) {
        if (is_common_type(request, message.type, FC_W_response_body, &self->seen_body))
            return send_body(request, &message, result, future);
        if (is_type(request, message.type, FC_W_response_pathsend))
            return send_path(request, event, result, future);
        if (is_type(request, message.type, FC_W_response_zerocopysend))
            return send_zerocopy(request, event, result, future);
        if (is_type(request, message.type, FC_W_response_early_hint))
            return send_early_hint(request, event, result);
        return unexpected(request, message.type);
    }
    if (is_common_type(request, message.type, FC_W_response_start, &self->seen_start))
        return send_start(request, &message, result);
    if (is_type(request, message.type, FC_W_response_early_hint))
        return send_early_hint(request, event, result);
    return unexpected(request, message.type);
}

/* -- a connection that speaks no HTTP any more
 * --------------------------------------------------------------------- */

PySendResult
fc_asgi_raw_receive(FcAsgi *request, PyObject **result, PyObject **future)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;
    PyObject *bytes;
    size_t got = 0;
    FcStream stream;

    if (conn == NULL || request->gone)
        return give(Py_NewRef(self->module->empty_bytes), result);
    bytes = PyBytes_FromStringAndSize(NULL, BODY_STEP);
    if (bytes == NULL)
        return PYGEN_ERROR;
    stream = fc_conn_raw(&self->engine, conn, PyBytes_AS_STRING(bytes), BODY_STEP, &got);
    if (stream == FC_STREAM_DATA)
        return _PyBytes_Resize(&bytes, (Py_ssize_t)got) < 0 ? PYGEN_ERROR : give(bytes, result);
    Py_DECREF(bytes);
    if (stream == FC_STREAM_GONE) {
        request->gone = true;
        return give(Py_NewRef(self->module->empty_bytes), result);
    }
    fc_conn_want(&self->engine, conn, FC_WANT_BODY, 0);
    return wait_for(request, &request->waiting_receive, future);
}

PyObject *
fc_asgi_raw_read(FcAsgi *request)
{
    PyEngine *self = request->answer.engine;
    FcConn *conn = request->answer.conn;
    FcStream stream = FC_STREAM_WAIT;
    size_t got = 0;

    if (conn == NULL || request->gone)
        return Py_NewRef(self->module->empty_bytes);
    /* Edge-triggered: what a short read has emptied stays empty until the next event. */
    if (conn->readable || conn->hung_up || !conn->registered || conn->buf->len > conn->body_at)
        stream = fc_conn_raw(&self->engine, conn, self->engine.scratch, BODY_STEP, &got);
    if (stream == FC_STREAM_DATA)
        return PyBytes_FromStringAndSize(self->engine.scratch, (Py_ssize_t)got);
    if (stream == FC_STREAM_GONE) {
        request->gone = true;
        return Py_NewRef(self->module->empty_bytes);
    }
    fc_conn_want(&self->engine, conn, FC_WANT_BODY, 0);
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
        return wait_for_room(request, future);
    return sent(result);
}
