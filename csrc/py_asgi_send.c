/* One try of send() of an ASGI request: which message may come when, head and body. See py_asgi.h.
 *
 * Governing: ASGI 3, HTTP & WebSocket specification 2.5, "Response Start" and "Response Body".
 */
#include <string.h>

#include "phrase.h"
#include "py_asgi.h"

PySendResult
fc_asgi_sent(PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

/* The client does not take it (ASGI: send raises an OSError then). */
PySendResult
fc_asgi_broken(FcAsgi *request)
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

/* Where the value of a key belongs; NULL: nowhere. By the object, as long as the key is interned, which the
 * literals of a program are. */
static PyObject **
place_of(FcModule *module, Message *message, PyObject *key)
{
    PyObject **words = module->words;

    return key == words[FC_W_type]        ? &message->type
           : key == words[FC_W_body]      ? &message->body
           : key == words[FC_W_status]    ? &message->status
           : key == words[FC_W_headers]   ? &message->headers
           : key == words[FC_W_more_body] ? &message->more_body
           : key == words[FC_W_trailers]  ? &message->trailers
                                          : NULL;
}

/* The interned word that equals a key which is not interned, else the key: borrowed. */
static PyObject *
word_of(FcModule *module, PyObject *key)
{
    static const FcWordId known[] = {FC_W_type,    FC_W_body,      FC_W_status,
                                     FC_W_headers, FC_W_more_body, FC_W_trailers};

    if (!PyUnicode_Check(key) || PyUnicode_CHECK_INTERNED(key))
        return key;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (PyUnicode_Compare(key, module->words[known[i]]) == 0)
            return module->words[known[i]];
    return key;
}

static void
take_apart(FcModule *module, PyObject *event, Message *message)
{
    PyObject *key, *value, **place;
    Py_ssize_t at = 0;

    *message = (Message){.dict = event};
    while (PyDict_Next(event, &at, &key, &value)) {
        place = place_of(module, message, word_of(module, key));
        if (place != NULL)
            *place = value;
    }
}

static PySendResult
send_start(FcAsgi *request, const Message *message, PyObject **result)
{
    PyObject *status = message->status;
    long code = status != NULL ? PyLong_AsLong(status) : -1;
    bool trailers = !PyErr_Occurred() && fc_asgi_true(message->trailers);
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
    strcpy(line + 4, fc_phrase((int)code));
    len = 4 + strlen(line + 4);
    if (!fc_answer_status(&request->answer, (int)code, line, len)) {
        PyErr_NoMemory();
        return PYGEN_ERROR;
    }
    if (fc_asgi_headers(request, message->headers) < 0)
        return PYGEN_ERROR;
    request->answer.trailers = trailers;
    request->answer.started = true;
    return fc_asgi_sent(result);
}

PySendResult
fc_asgi_finish_body(FcAsgi *request, PyObject **result)
{
    if (request->answer.trailers) {
        request->in_trailers = true;
        fc_asgi_keep_sending(request);
        return fc_asgi_sent(result);
    }
    fc_asgi_over(request, fc_answer_end(&request->answer, NULL, 0));
    return fc_asgi_sent(result);
}

static PySendResult
send_body(FcAsgi *request, const Message *message, PyObject **result, PyObject **future)
{
    PyObject *body = message->body;
    bool more = fc_asgi_true(message->more_body);
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
        return fc_asgi_broken(request);
    if (!more)
        return fc_asgi_finish_body(request, result);
    request->unbroken += (size_t)len;
    if (request->answer.conn->out.size > FC_HIGH_WATER)
        return fc_asgi_wait_for_room(request, future);
    fc_asgi_keep_sending(request);
    if (fc_asgi_should_pass(request))
        return fc_asgi_pass(request, future);
    return fc_asgi_sent(result);
}

PySendResult
fc_asgi_send_more(FcAsgi *request, PyObject **result, PyObject **future)
{
    if (request->complete) /* by another task, behind what this one has given */
        return fc_asgi_sent(result);
    if (request->gone || request->answer.conn == NULL)
        return fc_asgi_broken(request);
    if (request->sending_file)
        return fc_asgi_send_rest(request, result, future);
    return request->answer.conn->out.size > FC_LOW_WATER ? fc_asgi_wait_for_room(request, future)
                                                         : fc_asgi_sent(result);
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
        return fc_asgi_broken(request);
    if (!PyDict_Check(event)) {
        PyErr_Format(PyExc_TypeError, "an ASGI message must be a dict, not %.100s", Py_TYPE(event)->tp_name);
        return PYGEN_ERROR;
    }
    take_apart(self->module, event, &message);
    if (message.type == NULL) {
        PyErr_SetString(PyExc_ValueError, "an ASGI message without a type");
        return PYGEN_ERROR;
    }
    /* The wait for a file was cancelled, or another task's lasts: first things first. */
    if (request->sending_file) {
        PySendResult state = fc_asgi_send_rest(request, result, future);

        if (state != PYGEN_RETURN)
            return state;
        Py_CLEAR(*result);
    }
    *taken = true;
    if (request->complete || request->answer.conn == NULL)
        return unexpected(request, message.type);
    if (request->in_trailers)
        return is_type(request, message.type, FC_W_response_trailers)
                   ? fc_asgi_send_trailers(request, event, result)
                   : unexpected(request, message.type);
    if (request->answer.started) {
        if (is_common_type(request, message.type, FC_W_response_body, &self->seen_body))
            return send_body(request, &message, result, future);
        if (is_type(request, message.type, FC_W_response_pathsend))
            return fc_asgi_send_path(request, event, result, future);
        if (is_type(request, message.type, FC_W_response_zerocopysend))
            return fc_asgi_send_zerocopy(request, event, result, future);
        if (is_type(request, message.type, FC_W_response_early_hint))
            return fc_asgi_send_early_hint(request, event, result);
        return unexpected(request, message.type);
    }
    if (is_common_type(request, message.type, FC_W_response_start, &self->seen_start))
        return send_start(request, &message, result);
    if (is_type(request, message.type, FC_W_response_early_hint))
        return fc_asgi_send_early_hint(request, event, result);
    return unexpected(request, message.type);
}
