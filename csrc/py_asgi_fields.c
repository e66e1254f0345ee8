/* The fields that an ASGI application sends: headers, trailers, early hints. See py_asgi.h.
 *
 * Governing: the extensions http.response.trailers and http.response.early_hint; RFC 9110 section 6.5, RFC
 * 8297.
 */
#include <string.h>
#include <strings.h>

#include "py_asgi.h"

/* A key that few messages have. */
PyObject *
fc_asgi_get(FcAsgi *request, PyObject *event, FcWordId key)
{
    return PyDict_GetItemWithError(event, request->answer.engine->module->words[key]);
}

/* False with an exception set: its __bool__ has raised. */
bool
fc_asgi_true(PyObject *value)
{
    return value != NULL && value != Py_False && (value == Py_True || PyObject_IsTrue(value) == 1);
}

/* The bytes of a name or value: borrowed from the object. */
const unsigned char *
fc_asgi_bytes(PyObject *object, const char *what, Py_ssize_t *len)
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
    name = fc_asgi_bytes(PySequence_Fast_GET_ITEM(fast, 0), "a header name", &name_len);
    value =
        name != NULL ? fc_asgi_bytes(PySequence_Fast_GET_ITEM(fast, 1), "a header value", &value_len) : NULL;
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

int
fc_asgi_headers(FcAsgi *request, PyObject *headers)
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

/* A 103 with the links, at once (RFC 8297), before the head of the answer or not at all. Clients of 1.0 do
 * not know interim answers. */
PySendResult
fc_asgi_send_early_hint(FcAsgi *request, PyObject *event, PyObject **result)
{
    PyObject *links = fc_asgi_get(request, event, FC_W_links), *fast, *text;
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
        const unsigned char *link = fc_asgi_bytes(PySequence_Fast_GET_ITEM(fast, i), "a link", &len);

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
    if (!ok)
        return fc_asgi_broken(request);
    fc_asgi_keep_sending(request);
    return fc_asgi_sent(result);
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

    name = first != NULL ? fc_asgi_bytes(first, "a trailer name", &name_len) : NULL;
    value = name != NULL && second != NULL ? fc_asgi_bytes(second, "a trailer value", &value_len) : NULL;
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

/* Trailer fields, after the body. */
PySendResult
fc_asgi_send_trailers(FcAsgi *request, PyObject *event, PyObject **result)
{
    PyObject *headers = fc_asgi_get(request, event, FC_W_headers), *fast;
    bool more = fc_asgi_true(fc_asgi_get(request, event, FC_W_more_trailers)), wanted;

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
        return fc_asgi_sent(result);
    wanted = fc_conn_takes_trailers(request->answer.conn);
    fc_asgi_over(request, fc_answer_end(&request->answer, PyBytes_AS_STRING(request->trailer),
                                        wanted ? (size_t)PyBytes_GET_SIZE(request->trailer) : 0));
    return fc_asgi_sent(result);
}
